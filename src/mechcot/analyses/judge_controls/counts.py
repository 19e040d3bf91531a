"""Checked items added up by question, and quantities estimated from one resampling of the questions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mechcot.core.records import LABELS
from mechcot.core.results import Interval, Pair, Paired
from mechcot.stats.cluster import Floats, Ints, percentile_interval, resampled_sums

LABEL_SETS = {"four": LABELS[:4], "two": LABELS[:2]}
"""Which labels are compared: all verdicts, or correct and erroneous."""
VERDICTS, DECIDED = LABEL_SETS["four"], LABEL_SETS["two"]


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

    names: Pair[str]
    n_questions: int

    def ratios(self, rows: pd.DataFrame, num: pd.Series, den: pd.Series) -> Pair[Ratio]:
        """Sums by question of both arms; a row's numerator counts where its denominator does.

        Args:
            rows: of `checked_items`.
            num: number or bool of each row [rows].
            den: bool of each row [rows].
        """
        q, late = rows["q"].to_numpy(), rows["late"].to_numpy(dtype=bool)
        inside = den.to_numpy(dtype=bool)
        value = np.where(inside, num.to_numpy(dtype=np.float64), 0.0)
        return Pair(
            *(
                Ratio(
                    num=_sums(q[own], value[own], self.n_questions),
                    den=_sums(q[own], inside[own], self.n_questions),
                    arm=name,
                )
                for name, own in zip(self.names, (~late, late), strict=True)
            )
        )

    def errors(self, rows: pd.DataFrame) -> Pair[Ratio]:
        """Erroneous over correct and erroneous items of both arms."""
        return self.ratios(rows, rows["label"] == "erroneous", rows["label"].isin(DECIDED))

    def count(self, rows: pd.DataFrame, among: pd.Series) -> Pair[int]:
        """Rows among some [rows] that are of each arm."""
        return Pair(int((among & ~rows["late"]).sum()), int((among & rows["late"]).sum()))

    def labels(self, rows: pd.DataFrame) -> Pair[dict[str, int]]:
        """Label to rows of each arm."""
        found = rows.groupby(["late", "label"]).size().to_dict()
        return Pair(
            *({label: int(found.get((late, label), 0)) for label in (*LABELS, "")} for late in (False, True))
        )


def _sums(q: Ints, values: npt.NDArray[Any], n_questions: int) -> Floats:
    return np.bincount(q, weights=values, minlength=n_questions).astype(np.float64)


class Estimates:
    """Quantities that are asked for one by one and estimated together, from the same resampled questions.

    Each `ask` returns what gives the estimate once `resample` was called. Questions that none of the
    quantities counts anything of are left out.

    Attributes:
        draws: bootstrap replicates of the questions.
        seed: of the resampling.
    """

    def __init__(self, draws: int, seed: int) -> None:
        self.draws = draws
        self.seed = seed
        self._asked: list[Quantity] = []
        self._found: list[Interval] = []

    def ask(self, *terms: tuple[float, Ratio]) -> Callable[[], Interval]:
        """Note a sum of ratios, each with its factor."""
        self._asked.append(terms)
        place = len(self._asked) - 1
        return lambda: self._found[place]

    def ask_pair(self, before: Ratio, after: Ratio) -> Callable[[], Paired]:
        """Note two arms' ratios and their difference."""
        three = self.ask((1.0, before)), self.ask((1.0, after)), self.ask((-1.0, before), (1.0, after))
        return lambda: Paired(*(value() for value in three))

    def resample(self) -> None:
        """Estimate everything that was asked for, with percentile intervals.

        Raises:
            UsageError: draws below 1.
        """
        table, placed = self._columns()
        dens = sorted({den for terms in placed for _, _, den in terms})
        counted = np.any(table[:, dens] > 0, axis=1)
        # resampling needs a row, if one of zeros: every quantity then has a reason and no value
        table = table[counted] if counted.any() else table[:1]
        totals, sums = table.sum(axis=0, keepdims=True), resampled_sums(table, self.draws, self.seed)
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
