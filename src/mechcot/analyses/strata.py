"""Parts of the questions, by which arm answers them right, and the difference of step error in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mechcot.core.results import OPTIONAL, SPREAD, UNSTORED, Interval, Result, because
from mechcot.stats.cluster import Floats, Ints, ratio_difference
from mechcot.stats.jackknife import by_text, rate_interval, ratio_difference_interval


def right_share(votes: Ints, gold: Ints) -> Floats:
    """Share of each question's traces whose answer is gold [questions]; a trace without one is not.

    Args:
        votes: [questions, options + 1], every question with at least one.
        gold: right option of each question [questions].
    """
    return np.asarray(votes[np.arange(len(votes)), gold] / votes.sum(axis=1), dtype=np.float64)


def stratum_weights(right_before: npt.ArrayLike, right_after: npt.ArrayLike) -> dict[str, Floats]:
    """How far each question lies in the four strata of answers right before and right after.

    A question that arm t gets right with probability p_t is in "both" with p_0 p_1, in "only_before"
    with p_0 (1 - p_1), in "only_after" with (1 - p_0) p_1 and in "neither" with (1 - p_0)(1 - p_1):
    the two arms answer it independently. With 0 and 1 (a vote) it lies in one of them whole.

    With shares of votes for p_t the weights are unbiased for the strata of the true probabilities,
    as the arms were sampled apart. Steps weighted with them are not quite: a judged trace votes as
    well, so that a right one pulls its own steps into the strata of right answers. That pull falls
    with the number of traces and is gone where the judged traces are few among those that vote; with
    one trace a question it is the sorting by the trace's own answer.

    Args:
        right_before: [questions], 0 to 1 or bool.
        right_after: [questions], 0 to 1 or bool.

    Returns:
        Weights [questions] of each stratum; they sum to 1 over strata.
    """
    p0, p1 = (np.asarray(right, dtype=np.float64) for right in (right_before, right_after))
    return {
        "both": p0 * p1,
        "only_before": p0 * (1 - p1),
        "only_after": (1 - p0) * p1,
        "neither": (1 - p0) * (1 - p1),
    }


@dataclass(frozen=True)
class SubsetDelta(Result):
    """The difference of step error on a part of the questions (or of their traces).

    A question is in the part, or in it to some degree: then its steps count by its weight.

    Attributes:
        name: of the part.
        delta: step-weighted difference with its interval.
        rate_before: error rate before, None without judged steps.
        rate_after: error rate after, None without judged steps.
        n_judged_before: correct and erroneous steps behind it, each counted once.
        n_judged_after: correct and erroneous steps behind it, each counted once.
        n_questions: questions with a weight above 0, those without judged steps included.
        weight: sum of the questions' weights: how many questions the part amounts to. It is
            n_questions where a question is in the part or not.
        rate_before_interval: `rate_before` with its own interval; None in results made before it was there.
        rate_after_interval: the same after.
    """

    name: str = field(metadata=UNSTORED)
    delta: Interval = field(metadata=SPREAD)
    rate_before: float | None = field(metadata=because("no judged steps before"))
    rate_after: float | None = field(metadata=because("no judged steps after"))
    n_judged_before: int
    n_judged_after: int
    n_questions: int
    weight: float
    rate_before_interval: Interval | None = field(default=None, metadata=OPTIONAL)
    rate_after_interval: Interval | None = field(default=None, metadata=OPTIONAL)

    @classmethod
    def of(
        cls, name: str, sums: Sequence[Ints | Floats], weights: Floats, text: Ints | None = None
    ) -> SubsetDelta:
        """The difference of step error with questions weighted.

        Args:
            name: of the part.
            sums: four: erroneous and judged steps before, the same after, each [questions].
            weights: [questions], 0 for a question outside the part.
            text: the number of each question's text [questions]; None: no two are equal.

        Raises:
            AnalysisError: as `ratio_difference`.
        """
        num0, den0, num1, den1 = (by_text(weights * column, text) for column in sums)
        point = ratio_difference(num0, den0, num1, den1)
        inside = weights > 0
        return cls(
            name=name,
            delta=ratio_difference_interval(num0, den0, num1, den1),
            rate_before=point.rate_before,
            rate_after=point.rate_after,
            n_judged_before=int(sums[1][inside].sum()),
            n_judged_after=int(sums[3][inside].sum()),
            n_questions=int(inside.sum()),
            weight=float(weights.sum()),
            rate_before_interval=rate_interval(num0, den0),
            rate_after_interval=rate_interval(num1, den1),
        )
