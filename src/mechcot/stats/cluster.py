"""Inference on paired differences when the question is the unit that was sampled.

Steps of one question share its difficulty and its knowledge, in both arms. Every interval
resamples whole questions, or leaves them out one by one (`stats.jackknife`), and keeps both arms of a
question together. Estimates are built from sums over questions, so one product of a count matrix
[draws, questions] with a table of per-question sums [questions, columns] gives all the replicates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.core.results import UNSTORED, Interval, Result
from mechcot.core.words import FLAT

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LEVEL = 0.95
CHUNK_CELLS = 1 << 18  # count-matrix cells held at a time: 2 MiB, which stays in cache


def resampled_counts(n: int, draws: int, seed: int, width: int | None = None) -> Iterator[Ints]:
    """How often each of `n` units enters each bootstrap replicate, in chunks of replicates.

    The counts depend on `n`, `draws` and `seed` alone, whatever the chunking: two statistics of
    the same units under the same seed are therefore paired replicate by replicate.

    Args:
        n: number of units.
        draws: number of replicates.
        seed: of numpy's PCG64.
        width: size of the caller's widest row; sets how many replicates a chunk holds.

    Yields:
        int64 [replicates of this chunk, n]; every row sums to n.

    Raises:
        UsageError: draws below 1.
    """
    if draws < 1:
        raise UsageError(f"draws must be at least 1, not {draws}")
    rng = np.random.default_rng(seed)
    rows = max(1, CHUNK_CELLS // max(n, width or 1, 1))
    for start in range(0, draws, rows):
        size = min(rows, draws - start)
        picks = rng.integers(0, n, size=(size, n))
        picks += np.arange(size)[:, None] * n
        yield np.bincount(picks.ravel(), minlength=size * n).reshape(size, n)


def resampled_sums(columns: npt.ArrayLike, draws: int, seed: int) -> Floats:
    """Column sums of bootstrap replicates of the rows: [questions, columns] to [draws, columns].

    Raises:
        AnalysisError: no rows, or a value that is not finite.
        UsageError: draws below 1.
    """
    table = np.asarray(columns, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] == 0:
        raise AnalysisError(
            f"a table [questions, columns] with rows is needed, not one of shape {table.shape}"
        )
    _check_finite(table, "the table to resample")
    chunks = resampled_counts(table.shape[0], draws, seed)
    return np.concatenate([counts.astype(np.float64) @ table for counts in chunks])


def percentile_interval(
    estimate: float | None,
    replicates: npt.ArrayLike,
    n: int,
    *,
    reason: str = "",
    unit: str = "questions",
    level: float = LEVEL,
) -> Interval:
    """The percentile interval of bootstrap replicates.

    Replicates that are NaN are undefined: left out and counted. There is no interval when fewer
    than two units stand behind it or when more than half of the replicates are undefined.

    Args:
        estimate: on the data themselves.
        replicates: [draws].
        n: units behind the estimate.
        reason: why `estimate` is None, if it is.
        unit: what was resampled, for the method line.
        level: coverage that is aimed at.
    """
    values = np.asarray(replicates, dtype=np.float64)
    method = f"percentile bootstrap of {unit}, {values.size} draws, level {level:g}"
    defined = values[~np.isnan(values)]
    undefined = int(values.size - defined.size)
    if estimate is None:
        return Interval(None, None, None, n, method, reason or "not defined on this data", undefined)
    if n < 2:
        why = f"{n} {unit} cannot be resampled"
        return Interval(float(estimate), None, None, n, method, why, undefined)
    if 2 * defined.size < values.size:
        why = f"undefined in {undefined} of {values.size} replicates"
        return Interval(float(estimate), None, None, n, method, why, undefined)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    if high - low <= 1e-12:  # one without width would read as certainty
        why = f"all {unit} {FLAT}"
        return Interval(float(estimate), None, None, n, method, why, undefined)
    return Interval(float(estimate), float(low), float(high), n, method, "", undefined)


@dataclass(frozen=True)
class RatioDifference(Result):
    """The difference of two ratios of sums over the same questions, linearised.

    Attributes:
        rate_before: sum of numerators over sum of denominators; None with an empty denominator.
        rate_after: the same in the other arm.
        estimate: rate_after - rate_before.
        se: its cluster standard error; None with fewer than two questions.
        n: questions with a denominator in at least one arm.
        reason: why a value is None.
    """

    rate_before: float | None
    rate_after: float | None
    estimate: float | None
    se: float | None
    n: int
    reason: str = field(default="", metadata=UNSTORED)


def ratio_difference(
    num0: npt.ArrayLike, den0: npt.ArrayLike, num1: npt.ArrayLike, den1: npt.ArrayLike
) -> RatioDifference:
    """The step-weighted difference r1 - r0 and its linearised cluster standard error.

    r_t = sum(num_t) / sum(den_t). Question q contributes
    u_q = (num1_q - r1 den1_q) / mean(den1) - (num0_q - r0 den0_q) / mean(den0), and
    SE = sd(u) / sqrt(questions). A question with no denominator in one arm contributes through
    the other arm alone; one with none in either contributes nothing and is not counted.

    Args:
        num0: numerators before [questions].
        den0: denominators before [questions].
        num1: numerators after [questions].
        den1: denominators after [questions].

    Raises:
        AnalysisError: lengths differ, a value is not finite, a denominator is negative.
    """
    table = columns_of(num0, den0, num1, den1)
    table = table[(table[:, 1] > 0) | (table[:, 3] > 0)]
    n = len(table)
    sums = table.sum(axis=0)
    rate0 = float(sums[0] / sums[1]) if sums[1] > 0 else None
    rate1 = float(sums[2] / sums[3]) if sums[3] > 0 else None
    if rate0 is None or rate1 is None:
        reason = nothing_in(["before", "after"], [sums[1], sums[3]])
        return RatioDifference(rate0, rate1, None, None, n, reason)
    if n < 2:
        return RatioDifference(rate0, rate1, rate1 - rate0, None, n, f"{n} questions have no spread")
    before = (table[:, 0] - rate0 * table[:, 1]) / (sums[1] / n)
    after = (table[:, 2] - rate1 * table[:, 3]) / (sums[3] / n)
    se = float(np.std(after - before, ddof=1) / np.sqrt(n))
    return RatioDifference(rate0, rate1, rate1 - rate0, se, n)


def columns_of(*arrays: npt.ArrayLike) -> Floats:
    """Numerators and denominators, alternating, as one table [questions, columns].

    Raises:
        AnalysisError: lengths differ, a value is not finite, a denominator is negative.
    """
    columns = [np.asarray(array, dtype=np.float64) for array in arrays]
    shapes = [column.shape for column in columns]
    if any(column.ndim != 1 for column in columns) or len(set(shapes)) != 1:
        raise AnalysisError(f"one value per question is needed in every array; the shapes are {shapes}")
    table = np.stack(columns, axis=1)
    _check_finite(table, "numerators and denominators")
    negative = np.argwhere(table[:, 1::2] < 0)
    if len(negative):
        raise AnalysisError(f"question at row {negative[0][0]}: a denominator is negative")
    return table


def _check_finite(table: Floats, what: str) -> None:
    bad = np.argwhere(~np.isfinite(table))
    if len(bad):
        raise AnalysisError(f"{what}: the value at {tuple(int(i) for i in bad[0])} is not a finite number")


def safe_ratio(num: Floats, den: Floats) -> Floats:
    """Quotients, NaN over an empty denominator."""
    out = np.full(num.shape, np.nan)
    return np.divide(num, den, out=out, where=den > 0)


def nothing_in(names: list[str], sums: list[float]) -> str:
    """Why a quotient does not exist: which arms' sums are 0."""
    arms = [name for name, total in zip(names, sums, strict=True) if total == 0]
    return "nothing to divide by" + (f" {' and '.join(arms)}" if any(arms) else "")
