"""Claims counted, before any rate: how many right and wrong ones a trace makes."""

from __future__ import annotations

from dataclasses import dataclass

from mechcot.analyses.arm_steps import ArmSteps
from mechcot.core.results import Pair, Paired, Result
from mechcot.stats.jackknife import by_text, rate_interval, ratio_difference_interval, ratio_interval


@dataclass(frozen=True)
class Claims(Result):
    """Right and wrong claims a trace; an arm can lower its error rate by claiming more, so both stand here.

    A trace counts when at least one of its steps has a verdict. Intervals leave out question by question.

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


def claims_of(arms: Pair[ArmSteps]) -> Claims:
    """Count both arms' claims."""
    sums = [
        {name: by_text(column, arm.text) for name, column in arm.claims_by_question().items()} for arm in arms
    ]
    found = {}
    for name in ("right", "wrong", "any_wrong"):
        (num0, den0), (num1, den1) = ((own[name], own["traces"]) for own in sums)
        own = rate_interval if name == "any_wrong" else ratio_interval  # a trace makes many claims
        found[name] = Paired(
            before=own(num0, den0),
            after=own(num1, den1),
            difference=ratio_difference_interval(num0, den0, num1, den1),
        )
    return Claims(**found, n_traces=Pair(*(int(own["traces"].sum()) for own in sums)))
