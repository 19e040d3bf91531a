"""Intervals by leaving out one question at a time.

The percentile bootstrap of questions covers too little where few questions stand behind a difference of
error rates. The delete-one jackknife's standard error (Efron and Stein 1981) is rather too wide than too
narrow for few clusters; Student's t has one degree of freedom less than there are *effective* clusters,
Kish's (sum w)^2 / sum w^2 of their weights in the estimate: with unequal questions a few of them decide
(Carter, Schnepel and Steigerwald 2017). What this covers, `scripts/coverage_intervals.py` and
`scripts/coverage_probe.py` measure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from mechcot.core.results import Interval
from mechcot.core.words import FLAT
from mechcot.stats.cluster import (
    CHUNK_CELLS,
    LEVEL,
    Floats,
    Ints,
    columns_of,
    nothing_in,
    ratio_difference,
    safe_ratio,
)

NO_PAIRS = "no pair of one erroneous and one correct step to compare"
QUESTIONS = "questions"
FEW = 6
"""Clusters below which no interval is given: the fewest that `scripts/coverage_intervals.py` measures."""


def jackknife_interval(
    estimate: float | None,
    without: npt.ArrayLike,
    *,
    logit: bool,
    unit: str,
    weight: npt.ArrayLike | None = None,
    strata: npt.ArrayLike | None = None,
    reason: str = NO_PAIRS,
    level: float = LEVEL,
) -> Interval:
    """The interval of an estimate by leaving out one cluster at a time.

    A share is skewed near its ends: its interval is that of its log odds (Pepe 2003, section 5.2.4). A
    difference is taken as it is. Clusters that are all alike have no spread and give no interval: one
    without width would read as certainty.

    Args:
        estimate: on all clusters; None where it is not defined.
        without: without each cluster, [clusters].
        logit: on the log odds scale.
        unit: what a cluster is, for the method line.
        weight: of each cluster in the estimate, [clusters]; None: all weigh the same.
        strata: clusters that were dealt to parts stand for those of their part, [clusters]; None: one part.
        reason: why `estimate` is None, if it is.
        level: coverage that is aimed at.
    """
    values = np.asarray(without, dtype=np.float64)
    n, scale = len(values), ", log odds" if logit else ""
    method = f"jackknife of {unit}{scale}, Student's t, level {level:g}"
    if estimate is None:
        return Interval(None, None, None, n, method, reason)
    if n < 2 or np.isnan(values).any():
        return Interval(estimate, None, None, n, method, f"all of it is of one of the {unit}")
    if n < FEW:
        return Interval(estimate, None, None, n, method, f"{n} {unit} are too few for one that covers")
    parts = np.zeros(n) if strata is None else np.asarray(strata)
    error = float(np.hypot.reduce([standard_error(values[parts == part]) for part in np.unique(parts)]))
    if error <= 1e-12 or (logit and not 0 < estimate < 1):
        return Interval(estimate, None, None, n, method, f"all {unit} {FLAT}")
    from scipy.special import expit, stdtrit
    from scipy.special import logit as log_odds

    freedom = float(degrees_of_freedom(np.ones(n) if weight is None else weight))
    reach = float(stdtrit(freedom, (1 + level) / 2)) * error
    if not logit:
        return Interval(estimate, estimate - reach, estimate + reach, n, method, se=error, freedom=freedom)
    centre, reach = float(log_odds(estimate)), reach / (estimate * (1 - estimate))
    return Interval(estimate, float(expit(centre - reach)), float(expit(centre + reach)), n, method)


def left_out_counts(n: int, width: int) -> Iterator[Ints]:
    """How often each of `n` units counts without each of them in turn, in chunks of rows.

    Args:
        n: number of units.
        width: size of the caller's widest row; sets how many rows a chunk holds.

    Yields:
        int64 [rows of this chunk, n]: ones, and one zero.
    """
    rows = max(1, CHUNK_CELLS // max(n, width, 1))
    for start in range(0, n, rows):
        yield 1 - np.eye(min(rows, n - start), n, k=start, dtype=np.int64)


def standard_error(without: npt.ArrayLike) -> Floats:
    """The delete-one jackknife's standard error [...] from what is left without each [..., clusters]."""
    values = np.asarray(without, dtype=np.float64)
    n = values.shape[-1]
    around = values - values.mean(axis=-1, keepdims=True)
    return np.asarray(np.sqrt((n - 1) / n * (around**2).sum(axis=-1)))


def degrees_of_freedom(weight: npt.ArrayLike) -> Floats:
    """Effective clusters less one, at least one [...], from the weights of clusters [..., clusters]."""
    w = np.asarray(weight, dtype=np.float64)
    return np.asarray(np.maximum(w.sum(axis=-1) ** 2 / (w**2).sum(axis=-1) - 1.0, 1.0))


def interval_of_sums(
    table: npt.ArrayLike,
    statistic: Callable[[Floats], Floats],
    *,
    weight: npt.ArrayLike | None = None,
    logit: bool = False,
    reason: str = "",
    level: float = LEVEL,
    unit: str = QUESTIONS,
) -> Interval:
    """The interval of anything that is made from column sums over questions.

    Args:
        table: [questions, columns], without questions that count nothing.
        statistic: sums [rows, columns] to values [rows], NaN where there is none.
        weight: of each question in the estimate, [questions]; None: all weigh the same.
        logit: on the log odds scale.
        reason: why there is no estimate, if there is none.
        level: coverage that is aimed at.
        unit: what a row is, for the method line.
    """
    rows = np.asarray(table, dtype=np.float64)
    total = rows.sum(axis=0)
    point = float(statistic(total[None])[0])
    return jackknife_interval(
        None if np.isnan(point) else point,
        statistic(total - rows),
        logit=logit,
        unit=unit,
        weight=weight,
        reason=reason or "not defined on this data",
        level=level,
    )


def mean_interval(
    values: npt.ArrayLike, text: npt.ArrayLike | None = None, *, level: float = LEVEL
) -> Interval:
    """Mean of one value a question; the jackknife of a mean is its standard error.

    Args:
        values: [questions]; for a paired difference, one difference a question.
        text: the number of each question's text [questions], as `frames.text_codes` gives it: equal texts are
            left out together. None: no two are equal.
        level: coverage that is aimed at.

    Raises:
        AnalysisError: a value that is not finite, or several values a question.
    """
    (column,) = columns_of(values).T
    ones = np.ones(len(column))
    return ratio_interval(by_text(column, text), by_text(ones, text), level=level)


def by_text(column: npt.ArrayLike, text: npt.ArrayLike | None) -> Floats:
    """Sums over questions of equal text, [texts, ...].

    Args:
        column: a number of each question, [questions, ...].
        text: the number of each question's text [questions], as `frames.text_codes` gives it; None: no two
            are equal.
    """
    values = np.asarray(column, dtype=np.float64)
    if text is None:
        return values
    codes = np.asarray(text)
    sums = np.zeros((int(codes.max(initial=-1)) + 1, *values.shape[1:]))
    np.add.at(sums, codes, values)
    return sums


def ratio_interval(
    num: npt.ArrayLike, den: npt.ArrayLike, *, level: float = LEVEL, unit: str = QUESTIONS
) -> Interval:
    """A ratio of sums over questions, such as a mean change a step.

    Args:
        num: numerators [questions], of either sign.
        den: denominators [questions]; zero where a question has nothing to count.
        level: coverage that is aimed at.
        unit: what is counted in place of questions, for the method line.

    Raises:
        AnalysisError: lengths differ, a value is not finite, a denominator is negative.
    """
    return _ratio(num, den, False, level, unit)


def rate_interval(
    num: npt.ArrayLike, den: npt.ArrayLike, *, level: float = LEVEL, unit: str = QUESTIONS
) -> Interval:
    """A rate as a ratio of sums over questions, between 0 and 1.

    At exactly 0 or 1 no question differs: the interval is Clopper and Pearson's (1934) of as many independent
    trials as there are questions, the fewest that the steps can be worth.

    Args:
        num: numerators [questions], not above the denominators.
        den: denominators [questions]; zero where a question has nothing to count.
        level: coverage that is aimed at.
        unit: what is counted in place of questions, for the method line.

    Raises:
        AnalysisError: lengths differ, a value is not finite, a denominator is negative.
    """
    found = _ratio(num, den, True, level, unit)
    if found.estimate is None or found.estimate not in (0.0, 1.0):
        return found
    open_end = ((1 - level) / 2) ** (1 / found.n)
    low, high = (0.0, 1 - open_end) if found.estimate == 0.0 else (open_end, 1.0)
    return Interval(found.estimate, low, high, found.n, f"Clopper-Pearson of {unit}, level {level:g}")


def _ratio(num: npt.ArrayLike, den: npt.ArrayLike, logit: bool, level: float, unit: str) -> Interval:
    table = columns_of(num, den)
    table = table[table[:, 1] > 0]
    return interval_of_sums(
        table,
        lambda sums: safe_ratio(sums[:, 0], sums[:, 1]),
        weight=table[:, 1],
        logit=logit,
        reason=nothing_in([""], [0]),
        level=level,
        unit=unit,
    )


def ratio_difference_interval(
    num0: npt.ArrayLike,
    den0: npt.ArrayLike,
    num1: npt.ArrayLike,
    den1: npt.ArrayLike,
    *,
    level: float = LEVEL,
    unit: str = QUESTIONS,
) -> Interval:
    """The step-weighted difference of `ratio_difference`, both arms of a question left out together.

    Questions without a denominator in either arm are left out; one with a denominator in one arm only stays,
    and weighs in that arm's rate.

    Args:
        num0: numerators before [questions].
        den0: denominators before [questions].
        num1: numerators after [questions].
        den1: denominators after [questions].
        level: coverage that is aimed at.
        unit: what is counted in place of questions, for the method line.

    Raises:
        AnalysisError: lengths differ, a value is not finite, a denominator is negative.
    """
    table = columns_of(num0, den0, num1, den1)
    table = table[(table[:, 1] > 0) | (table[:, 3] > 0)]
    share = table[:, [1, 3]] / np.maximum(table[:, [1, 3]].sum(axis=0), 1e-300)
    return interval_of_sums(
        table,
        lambda sums: safe_ratio(sums[:, 2], sums[:, 3]) - safe_ratio(sums[:, 0], sums[:, 1]),
        weight=share.sum(axis=1),
        reason=ratio_difference(*table.T).reason,
        level=level,
        unit=unit,
    )


def question_weighted_difference(
    num0: npt.ArrayLike,
    den0: npt.ArrayLike,
    num1: npt.ArrayLike,
    den1: npt.ArrayLike,
    *,
    level: float = LEVEL,
) -> Interval:
    """Mean over questions of (num1/den1 - num0/den0), each question weighing the same.

    It differs from the step-weighted difference where long traces err more. Only questions with
    a denominator in both arms have a difference; `n` says how many those are.

    Args:
        num0: numerators before [questions].
        den0: denominators before [questions].
        num1: numerators after [questions].
        den1: denominators after [questions].
        level: coverage that is aimed at.

    Raises:
        AnalysisError: lengths differ, a value is not finite, a denominator is negative.
    """
    table = columns_of(num0, den0, num1, den1)
    table = table[(table[:, 1] > 0) & (table[:, 3] > 0)]
    found = mean_interval(table[:, 2] / table[:, 3] - table[:, 0] / table[:, 1], level=level)
    if found.estimate is None:
        reason = "no question has a denominator in both arms"
        return Interval(None, None, None, 0, found.method, reason)
    return found
