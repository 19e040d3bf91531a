"""Claims counted, before any rate: how many right and wrong ones a trace makes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mechcot.analyses.arms import ArmSteps
from mechcot.core.results import Pair, Paired, Result
from mechcot.stats.cluster import Floats, bootstrap_ratio, bootstrap_ratio_difference


@dataclass(frozen=True)
class Claims(Result):
    """Right and wrong claims a trace; an arm can lower its error rate by claiming more, so both stand here.

    A trace counts when at least one of its steps has a verdict. Intervals resample questions.

    Attributes:
        right: steps judged correct, over traces.
        wrong: steps judged erroneous, over traces.
        any_wrong: share of traces with at least one erroneous step.
        n_traces: traces that count.
    """

    right: Paired
    wrong: Paired
    any_wrong: Paired
    n_traces: Pair[int]


def claims_of(arms: Pair[ArmSteps], draws: int, seed: int) -> Claims:
    """Count both arms' claims.

    Args:
        arms: before and after.
        draws: bootstrap replicates of the questions.
        seed: of the resampling.
    """
    sums = [_sums(arm) for arm in arms]
    found = {}
    for name in ("right", "wrong", "any_wrong"):
        (num0, den0), (num1, den1) = ((own[name], own["traces"]) for own in sums)
        found[name] = Paired(
            before=bootstrap_ratio(num0, den0, draws, seed),
            after=bootstrap_ratio(num1, den1, draws, seed),
            difference=bootstrap_ratio_difference(num0, den0, num1, den1, draws, seed),
        )
    return Claims(**found, n_traces=Pair(*(int(own["traces"].sum()) for own in sums)))


def _sums(arm: ArmSteps) -> dict[str, Floats]:
    """Of each question [questions]: right and wrong claims, traces with a wrong one, traces."""
    audited = arm.steps[arm.steps["audited"]]
    traces = (
        audited.assign(right=audited["label"] == "correct", wrong=audited["label"] == "erroneous")
        .groupby(["q", "cid"], as_index=False)[["right", "wrong"]]
        .sum()
    )

    def total(values: Floats) -> Floats:
        return np.bincount(traces["q"], values, minlength=arm.n_questions).astype(np.float64)

    right, wrong = (traces[name].to_numpy(np.float64) for name in ("right", "wrong"))
    return {
        "right": total(right),
        "wrong": total(wrong),
        "any_wrong": total((wrong > 0).astype(np.float64)),
        "traces": total(np.ones(len(traces))),
    }
