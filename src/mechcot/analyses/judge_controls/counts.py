"""The items that a study's judge controls judged: checked, then counted by control, arm and question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mechcot.analyses.judge_controls.parts import LABEL_SETS, Paired
from mechcot.core.errors import AnalysisError
from mechcot.core.records import LABELS, STEP_KEY
from mechcot.core.results import Interval
from mechcot.stats.cluster import Floats, Ints, percentile_interval, resampled_sums
from mechcot.stats.frames import describe, question_codes, require_columns, require_unique

PRIMARY = "primary"
VERDICTS, DECIDED = LABEL_SETS["four"], LABEL_SETS["two"]
FIDELITIES = ("preserved", "changed", "uncertain", "failed")
VARIANTS = {
    "tone-swap": ("own", "other"),
    "hedge-flip": ("hedged", "plain"),
    "decoy": ("true", "false"),
}
"""Variants of a control; those that are not named here have the one variant ""."""
SAME_STEPS = (PRIMARY, "again", "again-warm", "answer-blind", "factor:")
"""Controls that judge the primary's own steps once more; a name that ends in a colon is a beginning."""
KNOWN = (*SAME_STEPS, "segment:", *VARIANTS, "guess-arm")
"""All controls, in the order in which they are shown."""


def checked_items(items: pd.DataFrame, index: pd.Index, before: str, after: str) -> pd.DataFrame:
    """The items with `q`, the row of the question, and `late`, whether the arm is the one after.

    Args:
        items: one row per item and control (used: control, variant, the step key, label, fidelity, score).
        index: question ids.
        before: arm.
        after: arm.

    Raises:
        AnalysisError: a missing column, a control, variant, arm, question, label or fidelity that does
            not exist, an item twice (decoys may share a step), or no item of the primary instrument.
    """
    what = "judged items"
    require_columns(items, ["control", "variant", *STEP_KEY, "label", "fidelity", "score"], what)
    if before == after:
        raise AnalysisError(f"{what}: the arms before and after are both {before}; name two")
    variants = items["control"].map(lambda name: VARIANTS.get(name, ("",)))
    faults = {
        "control": ~items["control"].map(lambda name: is_one_of(name, KNOWN)).to_numpy(dtype=bool),
        "variant": np.array(
            [own not in known for own, known in zip(items["variant"], variants, strict=True)]
        ),
        "arm": ~items["arm"].isin([before, after]).to_numpy(),
        "label": ~items["label"].isin([*LABELS, ""]).to_numpy(),
        "fidelity": ~items["fidelity"].isin([*FIDELITIES, ""]).to_numpy(),
    }
    for column, bad in faults.items():
        if bad.any():
            row = items.loc[bad]
            raise AnalysisError(
                f"{what}: control {row['control'].iloc[0]!r}, {describe(row, STEP_KEY)}: the {column} "
                f"{row[column].iloc[0]!r} is not known; make the items with mechcot judge-controls"
            )
    own = items.assign(q=question_codes(items, index, what), late=items["arm"] == after)
    require_unique(own[own["control"] != "decoy"], ["control", "variant", *STEP_KEY], what)
    if not (own["control"] == PRIMARY).any():
        raise AnalysisError(
            f"{what}: none is of the control '{PRIMARY}', beside which the others stand; judge it too"
        )
    return own


def same_steps(control: str) -> bool:
    """Whether a control judges the primary's own steps once more."""
    return is_one_of(control, SAME_STEPS)


def is_one_of(name: str, known: tuple[str, ...]) -> bool:
    """Whether a control is one of those named, or begins like one that ends in a colon."""
    return any(name.startswith(one) if one.endswith(":") else name == one for one in known)


@dataclass(frozen=True)
class Ratio:
    """One arm's rate as a ratio of sums over questions.

    Attributes:
        num: numerators [questions].
        den: denominators [questions].
        arm: whose, for the reason why there is none.
    """

    num: Floats
    den: Floats
    arm: str


Quantity = tuple[tuple[float, Ratio], ...]
"""A sum of ratios, each with its factor."""
_Placed = tuple[float, int, int]  # factor, column of the numerator, column of the denominator


@dataclass(frozen=True)
class Arms:
    """The two arms of a table of checked items, and how to add their items up by question.

    Attributes:
        names: before and after.
        n_questions: of the study.
    """

    names: tuple[str, str]
    n_questions: int

    def ratios(self, rows: pd.DataFrame, num: pd.Series, den: pd.Series) -> tuple[Ratio, Ratio]:
        """Sums by question of both arms; a row's numerator counts where its denominator does.

        Args:
            rows: of `checked_items`.
            num: number or bool of each row [rows].
            den: bool of each row [rows].
        """
        q, late = rows["q"].to_numpy(), rows["late"].to_numpy(dtype=bool)
        inside = den.to_numpy(dtype=bool)
        value = np.where(inside, num.to_numpy(dtype=np.float64), 0.0)
        before, after = (
            Ratio(
                num=_sums(q[own], value[own], self.n_questions),
                den=_sums(q[own], inside[own], self.n_questions),
                arm=name,
            )
            for name, own in zip(self.names, (~late, late), strict=True)
        )
        return before, after

    def errors(self, rows: pd.DataFrame) -> tuple[Ratio, Ratio]:
        """Erroneous over correct and erroneous items of both arms."""
        return self.ratios(rows, rows["label"] == "erroneous", rows["label"].isin(DECIDED))

    def count(self, rows: pd.DataFrame, among: pd.Series) -> tuple[int, int]:
        """Rows among some [rows] that are of each arm."""
        return int((among & ~rows["late"]).sum()), int((among & rows["late"]).sum())

    def labels(self, rows: pd.DataFrame) -> tuple[dict[str, int], dict[str, int]]:
        """Label to rows of each arm."""
        found = rows.groupby(["late", "label"]).size().to_dict()
        before, after = (
            {label: int(found.get((late, label), 0)) for label in (*LABELS, "")} for late in (False, True)
        )
        return before, after


def _sums(q: Ints, values: npt.NDArray[Any], n_questions: int) -> Floats:
    return np.bincount(q, weights=values, minlength=n_questions).astype(np.float64)


class Estimates:
    """Quantities that are asked for one by one and estimated together, from the same resampled questions.

    Questions that none of them counts anything of are left out.
    """

    def __init__(self) -> None:
        self._asked: list[Quantity] = []
        self._found: list[Interval] = []

    def ask(self, *terms: tuple[float, Ratio]) -> int:
        """Note a sum of ratios, each with its factor; returns its place among the results."""
        self._asked.append(terms)
        return len(self._asked) - 1

    def ask_pair(self, before: Ratio, after: Ratio) -> tuple[int, int, int]:
        """Note two arms' ratios and their difference."""
        return self.ask((1.0, before)), self.ask((1.0, after)), self.ask((-1.0, before), (1.0, after))

    def pair(self, places: tuple[int, int, int]) -> Paired:
        """The results of an `ask_pair`."""
        before, after, difference = (self[place] for place in places)
        return Paired(before, after, difference)

    def __getitem__(self, place: int) -> Interval:
        return self._found[place]

    def resample(self, draws: int, seed: int) -> None:
        """Estimate everything that was asked for, with percentile intervals.

        Args:
            draws: bootstrap replicates of the questions.
            seed: of the resampling.

        Raises:
            UsageError: draws below 1.
        """
        table, placed = self._columns()
        dens = sorted({den for terms in placed for _, _, den in terms})
        counted = np.any(table[:, dens] > 0, axis=1)
        # resampling needs a row, if one of zeros: every quantity then has a reason and no value
        table = table[counted] if counted.any() else table[:1]
        totals, sums = table.sum(axis=0, keepdims=True), resampled_sums(table, draws, seed)
        for asked, terms in zip(self._asked, placed, strict=True):
            point = _evaluate(totals, terms)[0]
            own = [den for _, _, den in terms]
            empty = dict.fromkeys(ratio.arm for _, ratio in asked if not ratio.den.any())
            interval = percentile_interval(
                None if np.isnan(point) else float(point),
                _evaluate(sums, terms),
                int(np.any(table[:, own] > 0, axis=1).sum()),
                reason=f"nothing of {' and '.join(empty)} was judged" if empty else "",
            )
            self._found.append(interval)

    def _columns(self) -> tuple[Floats, list[list[_Placed]]]:
        """All numerators and denominators [questions, columns], equal ones once, and each term's own."""
        arrays: list[Floats] = []
        places: dict[bytes, int] = {}

        def place(array: Floats) -> int:
            found = places.setdefault(array.tobytes(), len(arrays))
            if found == len(arrays):
                arrays.append(array)
            return found

        placed = []
        for asked in self._asked:
            factors: dict[tuple[int, int], float] = {}  # equal terms cancel to 0 exactly
            for factor, ratio in asked:
                key = place(ratio.num), place(ratio.den)
                factors[key] = factors.get(key, 0.0) + factor
            placed.append([(factor, num, den) for (num, den), factor in factors.items()])
        return np.stack(arrays, axis=1), placed


def _evaluate(sums: Floats, terms: list[_Placed]) -> Floats:
    """The quantity of each row of sums [draws]; NaN where a denominator is empty."""
    value = np.zeros(len(sums))
    for factor, num, den in terms:
        below = sums[:, den]
        value += factor * np.divide(sums[:, num], below, out=np.full(len(sums), np.nan), where=below > 0)
    return value
