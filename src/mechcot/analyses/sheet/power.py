"""What a sheet can see, known before a step of it is drawn.

The error rate that people find is estimated as sum over labels l of W_l p_l with W_l the label's share
of an arm's judged steps and p_l = P(people call it erroneous | l), so that

    SE^2 = deff sum_l W_l^2 p_l (1 - p_l) / n_l,    deff = 1 + (n - 1) icc sum_q (m_q / m)^2,

m_q of an arm's m judged steps belonging to question q: (n - 1) sum (m_q / m)^2 is how many other
steps of its question a random step of n meets on the sheet. Nobody knows p_l yet, hence two cases:
the judge's labels say nothing (p_l is the judged rate for both), and nine of ten labels are right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mechcot.analyses.sheet.population import JUDGED, Cell
from mechcot.core.results import UNSTORED, Pair, Result, because
from mechcot.core.words import aligned
from mechcot.stats.inference import ALPHA, POWER, design_effect, detectable_difference, power_of_rates

_RIGHT = 0.9


@dataclass(frozen=True)
class Case(Result):
    """What a number of steps sees if the judge is as assumed.

    Attributes:
        steps: on the whole sheet, set-aside ones included.
        checked: of them, steps that the judge called correct or erroneous, before and after.
        detectable: the smallest true difference that is found with a chance of 80 % at the 5 % level,
            the labels saying nothing about errors.
        detectable_if_right: the same, nine of ten labels being right.
        power: the chance to find the difference that the judge sees, the labels saying nothing.
        power_if_right: the same, nine of ten labels being right.
    """

    steps: int
    checked: tuple[int, int]
    detectable: float
    detectable_if_right: float
    power: float
    power_if_right: float


@dataclass(frozen=True)
class Power(Result):
    """Half, all and double of a sheet.

    Attributes:
        arms: before and after.
        rates: the judged error rates.
        icc: of the judged steps of a question, each arm; None where it is not defined (then 0 is used).
        deff: design effect at the sheet's own size, each arm.
        cases: by number of steps; the sheet's own is the second.
    """

    arms: Pair[str] = field(metadata=UNSTORED)
    rates: Pair[float]
    icc: Pair[float | None] = field(metadata=because("not defined on these steps"))
    deff: Pair[float]
    cases: tuple[Case, ...]

    table = "cases"

    def text(self) -> str:
        """The same as a table for a terminal."""
        judged = ", ".join(
            f"{arm} {rate:.1%} (ICC {'-' if icc is None else format(icc, '.2f')}, design effect {deff:.2f})"
            for arm, rate, icc, deff in zip(self.arms, self.rates, self.icc, self.deff, strict=True)
        )
        gap = 100 * (self.rates[1] - self.rates[0])
        head = ("steps", "judged ones", "sees from", f"finds {gap:+.1f}", "sees from", f"finds {gap:+.1f}")
        rows: list[tuple[str, ...]] = [("", "", "labels say nothing", "", "9 of 10 labels right", ""), head]
        rows += [
            (
                str(case.steps),
                "+".join(map(str, case.checked)),
                f"{100 * case.detectable:.1f} points",
                f"{case.power:.0%}",
                f"{100 * case.detectable_if_right:.1f} points",
                f"{case.power_if_right:.0%}",
            )
            for case in self.cases
        ]
        return "\n".join(
            [
                f"Called erroneous: {judged}.",
                f"Difference that a sheet sees with a chance of {POWER:.0%} at the {ALPHA:.0%} level, and "
                "its chance to find the one that the judge sees:",
                *aligned(rows),
            ]
        )


@dataclass(frozen=True)
class _Arm:
    rate: float
    likely: float  # the rate with one error and one correct step more: never 0 or 1
    icc: float | None
    closeness: float  # sum over questions of the squared share of the arm's judged steps
    shares: dict[str, float]
    drawn: dict[str, int]

    def deff(self, factor: float = 1.0) -> float:
        n = factor * sum(self.drawn.values())
        return 1 + max(n - 1, 0.0) * self.closeness * max(self.icc or 0.0, 0.0)

    def variance(self, factor: float, chances: dict[str, float]) -> float:
        return self.deff(factor) * sum(
            self.shares[label] ** 2 * p * (1 - p) / max(factor * self.drawn[label], 1.0)
            for label, p in chances.items()
            if self.shares[label]
        )


def power_of(table: pd.DataFrame, sorted_into: pd.DataFrame, drawn: Sequence[Cell], arms: Pair[str]) -> Power:
    """What a draw can see, and half and double of it.

    Args:
        table: of `population`.
        sorted_into: of `cells`, rows as in the table.
        drawn: the cells with their steps on the sheet.
        arms: before and after.
    """
    both = Pair(*(_arm(table[sorted_into.arm == arm], sorted_into, drawn, arm) for arm in arms))
    total = sum(cell.drawn for cell in drawn)
    return Power(
        arms=arms,
        rates=Pair(*(arm.rate for arm in both)),
        icc=Pair(*(arm.icc for arm in both)),
        deff=Pair(*(arm.deff() for arm in both)),
        cases=tuple(_case(both, total, factor) for factor in (0.5, 1.0, 2.0)),
    )


def _arm(table: pd.DataFrame, sorted_into: pd.DataFrame, drawn: Sequence[Cell], arm: str) -> _Arm:
    labels = sorted_into.loc[table.index, "label"]
    judged = labels.isin(JUDGED)
    wrong = labels[judged] == "erroneous"
    counts = wrong.groupby(table.loc[judged, "qid"]).agg(["sum", "size"])
    sizes = counts["size"].to_numpy(dtype=np.float64)
    rate = float(wrong.mean())
    return _Arm(
        rate=rate,
        likely=float((wrong.sum() + 1) / (len(wrong) + 2)),
        icc=design_effect(counts["sum"], counts["size"]).icc,
        closeness=float(((sizes / sizes.sum()) ** 2).sum()),
        shares={"correct": 1 - rate, "erroneous": rate},
        drawn={
            label: sum(cell.drawn for cell in drawn if cell.arm == arm and cell.label == label)
            for label in JUDGED
        },
    )


def _case(arms: Pair[_Arm], total: int, factor: float) -> Case:
    before, after = arms
    checked = [round(factor * sum(arm.drawn.values())) for arm in arms]
    found = []
    for right in (None, _RIGHT):
        variances = []
        for arm in arms:
            chances = {"correct": arm.likely, "erroneous": arm.likely}
            if right is not None:
                chances = {"correct": 1 - right, "erroneous": right}
            variances.append(arm.variance(factor, chances))
        # as one design effect over independent steps, which is how the power is asked for
        deff = sum(variances) / sum(arm.likely * (1 - arm.likely) for arm in arms)
        power = power_of_rates(before.likely, after.likely, 1, deff=deff)
        found.append((detectable_difference(float(np.sqrt(sum(variances)))), power))
    return Case(
        round(factor * total), (checked[0], checked[1]), found[0][0], found[1][0], found[0][1], found[1][1]
    )
