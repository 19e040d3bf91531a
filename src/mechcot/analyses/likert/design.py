"""Who rates what: each participant one trace type, each type and question as often as any other."""

from __future__ import annotations

import numpy as np

from mechcot.core.errors import UsageError
from mechcot.stats.cluster import Ints
from mechcot.stats.rating_draws import Plan

CHECKS = 2
"""Attention checks of a participant, in different halves of the form and with different right answers."""
_VALUES = (1, 2, 4, 5)  # not the middle, which somebody in a hurry chooses


def plan_of(participants: int, types: int, questions: int, each: int) -> Plan:
    """A balanced assignment.

    Participants go to types in turn; those of a type walk round the questions, `each` at a time. So two types
    differ by at most one participant, and two questions of a type by at most one rating.

    Args:
        participants: how many.
        types: trace types.
        questions: questions with a trace of every type.
        each: questions a participant rates.

    Raises:
        UsageError: fewer than two types, fewer participants than types, more questions each than there are.
    """
    if types < 2:
        raise UsageError("at least two arms are compared; name them with --arm")
    if participants < types:
        raise UsageError(f"{participants} participants cannot cover {types} arms; set --participants")
    if not 1 <= each <= questions:
        raise UsageError(f"each participant rates 1 to {questions} questions, not {each}; set --each")
    rater = np.repeat(np.arange(participants), each)
    start = rater // types * each + np.tile(np.arange(each), participants)
    return Plan(rater, rater % types, start % questions)


def checks_of(each: int, rng: np.random.Generator) -> dict[int, int]:
    """Where a participant's attention checks stand and which answer is right.

    Args:
        each: questions that the participant rates.
        rng: chooses both.

    Returns:
        Place on the form, from 0, to the right answer. A form of one question has one check.
    """
    values = rng.choice(_VALUES, size=CHECKS, replace=False)
    halves: list[Ints] = [half for half in np.array_split(np.arange(each), CHECKS) if len(half)]
    return {int(rng.choice(half)): int(value) for half, value in zip(halves, values, strict=False)}
