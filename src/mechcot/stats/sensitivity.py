"""What the data cannot say: abstained steps, and a judge that errs differently in the two arms.

Bounds. With e errors, c correct and u abstained steps an arm's error rate lies between
e / (e + c + u) and (e + u) / (e + c + u) (Manski 1989); the difference of two arms between
low_after - high_before and high_after - low_before. They concern steps on which the judge
abstained. A step that holds nothing to judge is no missing verdict and has no place here.

Tipping point. A judge with sensitivity s and false-positive rate f calls r = s pi + f (1 - pi)
of the steps erroneous when a share pi of them is. If both arms truly err equally often, at pi,
an observed pair of rates needs f_t = (r_t - s pi) / (1 - pi) in arm t.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.core.results import UNSTORED, Interval, Pair, Result, because
from mechcot.stats.cluster import LEVEL, ratio_difference

_NO_STEPS = "no judged or abstained steps"


@dataclass(frozen=True)
class Bounds(Result):
    """The values that a quantity can have, whatever the abstained steps are.

    Attributes:
        low: lowest possible value; None without steps.
        high: highest possible value.
        interval_low: lower end of the Imbens-Manski interval; None without a standard error.
        interval_high: its upper end.
        level: its coverage of the true value, wherever that lies between the bounds.
        n: questions behind it.
        reason: why a value is None.
    """

    low: float | None
    high: float | None
    interval_low: float | None
    interval_high: float | None
    level: float
    n: int
    reason: str = field(default="", metadata=UNSTORED)


@dataclass(frozen=True)
class AbstentionBounds(Result):
    """Bounds for the abstained steps of two arms.

    Attributes:
        before: bounds of the error rate.
        after: bounds of the error rate.
        difference: bounds of after - before.
        share_abstained: share of steps abstained on, before and after; None without steps.
    """

    before: Bounds
    after: Bounds
    difference: Bounds
    share_abstained: Pair[float | None] = field(metadata=because(_NO_STEPS))


@dataclass(frozen=True)
class TippingPoint(Result):
    """The judge that would make an observed difference out of none.

    Attributes:
        prevalence: true error rate assumed in both arms.
        sensitivity: share of true errors that the judge calls, assumed in both arms.
        rate_before: observed error rate.
        rate_after: observed error rate.
        false_positive_before: share of correct steps the judge would have to call erroneous;
            outside 0..1 no judge can.
        false_positive_after: the same in the arm after.
        difference: false_positive_after - false_positive_before = (observed difference) / (1 - prevalence).
        possible: whether both lie in 0..1.
    """

    prevalence: float
    sensitivity: float
    rate_before: float
    rate_after: float
    false_positive_before: float
    false_positive_after: float
    difference: float
    possible: bool


def abstention_bounds(
    errors0: npt.ArrayLike,
    correct0: npt.ArrayLike,
    abstained0: npt.ArrayLike,
    errors1: npt.ArrayLike,
    correct1: npt.ArrayLike,
    abstained1: npt.ArrayLike,
    *,
    level: float = LEVEL,
) -> AbstentionBounds:
    """Bound both arms' error rates and their difference over the abstained steps.

    The bounds are the widest: every abstained step of an arm erroneous, or every one correct, and
    the arms at opposite ends. The interval around them (Imbens and Manski 2004) covers the true
    value with probability `level`; its standard errors are those of the linearised bounds with
    questions as clusters.

    Args:
        errors0: erroneous steps before [questions].
        correct0: correct steps before [questions].
        abstained0: abstained steps before [questions].
        errors1: erroneous steps after [questions].
        correct1: correct steps after [questions].
        abstained1: abstained steps after [questions].
        level: coverage that is aimed at.

    Raises:
        AnalysisError: lengths differ, or a count is negative or not finite.
        UsageError: level outside 0..1.
    """
    if not 0 < level < 1:
        raise UsageError(f"level must lie between 0 and 1, not {level}")
    arms = [_counts(errors0, correct0, abstained0), _counts(errors1, correct1, abstained1)]
    if arms[0][0].shape != arms[1][0].shape:
        raise AnalysisError("the same questions are needed in both arms")
    none = np.zeros(len(arms[0][0]))
    (least0, most0, all0), (least1, most1, all1) = arms
    sums = [float(total.sum()) for total in (all0, all1)]
    shares = [
        float((most - least).sum() / total.sum()) if total.sum() else None for least, most, total in arms
    ]
    single = [
        _bounds((none, total, least, total), (none, total, most, total), level) for least, most, total in arms
    ]
    return AbstentionBounds(
        before=single[0],
        after=single[1],
        difference=_bounds((most0, all0, least1, all1), (least0, all0, most1, all1), level),
        share_abstained=Pair(shares[0] if sums[0] else None, shares[1] if sums[1] else None),
    )


def imbens_manski(
    low: float, high: float, se_low: float, se_high: float, *, level: float = LEVEL
) -> tuple[float, float]:
    """The interval [low - C se_low, high + C se_high] that covers a value between two bounds.

    C solves Phi(C + (high - low) / max(se)) - Phi(-C) = level: the two-sided normal quantile when
    the bounds meet, the one-sided one when they are far apart (Imbens and Manski 2004).

    Args:
        low: estimated lower bound.
        high: estimated upper bound.
        se_low: its standard error.
        se_high: the other's.
        level: coverage that is aimed at.

    Raises:
        UsageError: high below low, a negative standard error, level outside 0..1.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtr, ndtri

    if high < low or min(se_low, se_high) < 0 or not 0 < level < 1:
        raise UsageError(
            f"bounds in order, standard errors not below 0 and a level in 0..1 are needed; got"
            f" {low}, {high}, {se_low}, {se_high}, {level}"
        )
    widest = max(se_low, se_high)
    if widest == 0:
        return low, high
    gap = (high - low) / widest
    one, two = float(ndtri(level)), float(ndtri((1 + level) / 2))
    factor = brentq(lambda c: float(ndtr(c + gap) - ndtr(-c)) - level, one - 1e-9, two + 1e-9)
    return low - factor * se_low, high + factor * se_high


def tipping_point(
    rate_before: float, rate_after: float, *, prevalence: float, sensitivity: float
) -> TippingPoint:
    """The false-positive rates under which two arms that err equally often look as observed.

    Args:
        rate_before: observed error rate.
        rate_after: observed error rate.
        prevalence: true error rate assumed in both arms, below 1.
        sensitivity: share of true errors called, assumed in both arms.

    Raises:
        UsageError: a rate outside 0..1, or a prevalence of 1 (no correct steps to misjudge).
    """
    given = {
        "rate_before": rate_before,
        "rate_after": rate_after,
        "prevalence": prevalence,
        "sensitivity": sensitivity,
    }
    for name, value in given.items():
        if not 0 <= value <= 1:
            raise UsageError(f"{name} must lie in 0..1, not {value}")
    if prevalence == 1:
        raise UsageError("prevalence must be below 1: without correct steps there are no false positives")
    rates = [(rate - sensitivity * prevalence) / (1 - prevalence) for rate in (rate_before, rate_after)]
    possible = all(-1e-12 <= rate <= 1 + 1e-12 for rate in rates)
    return TippingPoint(
        prevalence=prevalence,
        sensitivity=sensitivity,
        rate_before=rate_before,
        rate_after=rate_after,
        false_positive_before=rates[0],
        false_positive_after=rates[1],
        difference=rates[1] - rates[0],
        possible=possible,
    )


def tipping_interval(difference: Interval, *, prevalence: float) -> Interval:
    """The needed difference of false-positive rates, with the interval of the observed difference.

    It is the observed difference over (1 - prevalence), whatever the common sensitivity, so the
    interval is scaled by the same factor. Its end nearer zero is the smallest bias between the
    arms that makes the observed difference compatible with none.

    Args:
        difference: observed difference of error rates.
        prevalence: true error rate assumed in both arms.

    Raises:
        UsageError: prevalence outside [0, 1).
    """
    if not 0 <= prevalence < 1:
        raise UsageError(f"prevalence must lie in [0, 1), not {prevalence}")
    scale = 1 / (1 - prevalence)
    values = (difference.estimate, difference.low, difference.high)
    estimate, low, high = (None if value is None else value * scale for value in values)
    method = f"{difference.method}; over 1 - prevalence, prevalence {prevalence:g}"
    n, reason, undefined = difference.n, difference.reason, difference.undefined_draws
    return Interval(estimate, low, high, n, method, reason, undefined)


_Arrays = tuple[npt.NDArray[np.float64], ...]


def _counts(errors: npt.ArrayLike, correct: npt.ArrayLike, abstained: npt.ArrayLike) -> _Arrays:
    """Fewest errors, most errors and steps of each question."""
    columns = [np.asarray(array, dtype=np.float64) for array in (errors, correct, abstained)]
    if any(column.ndim != 1 for column in columns) or len({column.shape for column in columns}) != 1:
        raise AnalysisError(
            f"one count per question is needed in every array; the shapes are {[c.shape for c in columns]}"
        )
    for name, column in zip(("errors", "correct", "abstained"), columns, strict=True):
        bad = np.flatnonzero(~np.isfinite(column) | (column < 0))
        if bad.size:
            raise AnalysisError(f"{name}, row {bad[0]}: {column[bad[0]]} is no count")
    return columns[0], columns[0] + columns[2], columns[0] + columns[1] + columns[2]


def _bounds(low: _Arrays, high: _Arrays, level: float) -> Bounds:
    """Bounds of a difference from the sums that make its lowest and its highest value."""
    ends = [ratio_difference(*columns) for columns in (low, high)]
    bottom, top = (end.estimate for end in ends)
    if bottom is None or top is None:
        return Bounds(None, None, None, None, level, ends[0].n, _NO_STEPS)
    errors = [end.se for end in ends]
    if errors[0] is None or errors[1] is None or not all(math.isfinite(e) for e in errors if e is not None):
        return Bounds(bottom, top, None, None, level, ends[0].n, ends[0].reason or ends[1].reason)
    ends_of_interval = imbens_manski(bottom, max(top, bottom), errors[0], errors[1], level=level)
    return Bounds(bottom, top, *ends_of_interval, level, ends[0].n)
