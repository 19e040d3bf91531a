"""Checked items added up by question, and the quantities that are estimated from these sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mechcot.core.records import LABELS
from mechcot.core.results import Interval, Pair, Paired
from mechcot.stats.cluster import Floats, Ints, safe_ratio
from mechcot.stats.jackknife import interval_of_sums, rate_interval

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
    """What is asked of sums by question: each quantity with its interval, questions left out one by one.

    Each `ask` returns what gives the estimate.
    """

    def ask(self, *terms: tuple[float, Ratio]) -> Callable[[], Interval]:
        """A sum of ratios, each with its factor."""
        found = _estimate(terms)
        return lambda: found

    def ask_rate(self, rate: Ratio) -> Callable[[], Interval]:
        """One arm's rate, between 0 and 1."""
        found = rate_interval(rate.num, rate.den)
        found = found if found.estimate is not None else replace(found, reason=_nothing([rate]))
        return lambda: found

    def ask_pair(self, before: Ratio, after: Ratio) -> Callable[[], Paired]:
        """Two arms' ratios and their difference."""
        three = self.ask((1.0, before)), self.ask((1.0, after)), self.ask((-1.0, before), (1.0, after))
        return lambda: Paired(*(value() for value in three))

    def ask_rates(self, before: Ratio, after: Ratio) -> Callable[[], Paired]:
        """Two arms' rates and their difference."""
        three = self.ask_rate(before), self.ask_rate(after), self.ask((-1.0, before), (1.0, after))
        return lambda: Paired(*(value() for value in three))


def _estimate(terms: Quantity) -> Interval:
    joined: dict[tuple[bytes, bytes], tuple[float, Ratio]] = {}  # equal terms cancel to 0 exactly
    for factor, ratio in terms:
        key = ratio.num.tobytes(), ratio.den.tobytes()
        joined[key] = joined.get(key, (0.0, ratio))[0] + factor, ratio
    factors = np.array([factor for factor, _ in joined.values()])
    table = np.stack([part for _, ratio in joined.values() for part in (ratio.num, ratio.den)], axis=1)
    table = table[(table[:, 1::2] > 0).any(axis=1)]
    weight = (table[:, 1::2] / np.maximum(table[:, 1::2].sum(axis=0), 1e-300)).sum(axis=1)
    return interval_of_sums(
        table,
        lambda sums: safe_ratio(sums[:, 0::2], sums[:, 1::2]) @ factors,
        weight=weight,
        reason=_nothing([ratio for _, ratio in terms]),
    )


def _nothing(ratios: Sequence[Ratio]) -> str:
    empty = dict.fromkeys(ratio.arm for ratio in ratios if not ratio.den.any())
    return f"nothing of {' and '.join(empty)} was judged" if empty else ""
