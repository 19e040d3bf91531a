"""Calibration of a confidence against outcomes: ECE, Brier, and their paired differences.

An outcome is a fraction: 1 right, 0 wrong, 1/w for a tie of w winners. That is the expectation
over breaking the tie at random; the bins' gaps and the Brier score are linear in it.

The plug-in ECE takes the size of each bin's mean gap, noise included, so that a calibrated
forecaster scores above 0. No estimator of |gap| is unbiased; the squared gap has one, the mean of
d_i d_j over pairs of different questions of the bin, with d = outcome - confidence (Kumar, Liang and
Ma 2019, "Verified Uncertainty Calibration", section 4; Ferro and Fricker 2012 for the Brier score's
reliability):

    squared = sum over bins of  n_b / N * (S_b^2 - sum_b d^2) / (n_b (n_b - 1)),   S_b = sum_b d

It is 0 on average for a calibrated forecaster and can fall below 0.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.core.results import Interval
from mechcot.stats.cluster import (
    LEVEL,
    Floats,
    Ints,
    percentile_interval,
    resampled_counts,
    resampled_sums,
)

Scheme = Literal["width", "mass"]
BINS = 10


def calibration_bins(confidence: npt.ArrayLike, n_bins: int = BINS, scheme: Scheme = "width") -> Ints:
    """The bin of every confidence.

    "width": equal parts of [0, 1], each closed below, the last closed above too. "mass": about
    equally many questions in each; equal confidences always share a bin, so there can be fewer.

    Args:
        confidence: [questions] in 0..1.
        n_bins: number of bins.
        scheme: "width" or "mass".

    Raises:
        AnalysisError: a confidence outside 0..1.
        UsageError: an unknown scheme, or no bins.
    """
    values = _unit(confidence, "confidence")
    if n_bins < 1:
        raise UsageError(f"n_bins must be at least 1, not {n_bins}")
    if scheme == "width":
        edges = np.arange(1, n_bins) / n_bins
        return np.searchsorted(edges, values, side="right").astype(np.int64)
    if scheme == "mass":
        _, index, count = np.unique(values, return_inverse=True, return_counts=True)
        middle = (np.cumsum(count) - count / 2)[index]  # mid-rank, from 0 to the number of questions
        return np.minimum(middle * n_bins // max(len(values), 1), n_bins - 1).astype(np.int64)
    raise UsageError(f"scheme must be 'width' or 'mass', not {scheme!r}")


def expected_calibration_gap(gaps: npt.ArrayLike, weight: npt.ArrayLike | float) -> Floats:
    """ECE from the bins' sums of (outcome - confidence): sum of absolute sums over the count.

    Args:
        gaps: [..., bins].
        weight: number of questions, [...] or one number.
    """
    return np.asarray(np.abs(np.asarray(gaps, dtype=np.float64)).sum(axis=-1) / np.asarray(weight))


def ece(
    confidence: npt.ArrayLike, outcome: npt.ArrayLike, n_bins: int = BINS, scheme: Scheme = "width"
) -> float:
    """Expected calibration error: the bins' |accuracy - confidence|, weighted by their size.

    The plug-in value is biased upwards at small n: a calibrated forecaster scores above 0.

    Args:
        confidence: [questions] in 0..1.
        outcome: [questions] in 0..1.
        n_bins: number of bins.
        scheme: "width" or "mass", see `calibration_bins`.

    Raises:
        AnalysisError: no questions, lengths differ, or a value outside 0..1.
    """
    gaps = _gap_columns(confidence, outcome, n_bins, scheme)
    if len(gaps) == 0:
        raise AnalysisError("the calibration error of no questions is not defined")
    return float(expected_calibration_gap(gaps.sum(axis=0), len(gaps)))


def squared_calibration_error(
    confidence: npt.ArrayLike, outcome: npt.ArrayLike, n_bins: int = BINS, scheme: Scheme = "width"
) -> float:
    """The bins' squared gaps, weighted by their size, without the bias of the plug-in value.

    A bin of one question has no pair and adds 0.

    Args:
        confidence: [questions] in 0..1.
        outcome: [questions] in 0..1.
        n_bins: number of bins.
        scheme: "width" or "mass", see `calibration_bins`.

    Raises:
        AnalysisError: no questions, lengths differ, or a value outside 0..1.
    """
    gaps = _gap_columns(confidence, outcome, n_bins, scheme)
    if len(gaps) == 0:
        raise AnalysisError("the calibration error of no questions is not defined")
    bins = calibration_bins(confidence, n_bins, scheme)
    return float(_squared(np.ones((1, len(gaps))), gaps, np.eye(n_bins)[bins])[0])


def debiased_ece(
    confidence: npt.ArrayLike, outcome: npt.ArrayLike, n_bins: int = BINS, scheme: Scheme = "width"
) -> float:
    """The root of `squared_calibration_error`: the size of the bins' gaps, root mean square.

    A square below 0 gives a root below 0: no more miscalibration than noise makes. It is on the scale
    of `ece`; where all bins are off by the same amount the two estimate the same, and where bins
    differ the root mean square is the larger.

    Args:
        confidence: [questions] in 0..1.
        outcome: [questions] in 0..1.
        n_bins: number of bins.
        scheme: "width" or "mass", see `calibration_bins`.

    Raises:
        AnalysisError: no questions, lengths differ, or a value outside 0..1.
    """
    return float(_signed_root(np.asarray(squared_calibration_error(confidence, outcome, n_bins, scheme))))


def bootstrap_debiased_ece_difference(
    confidence0: npt.ArrayLike,
    outcome0: npt.ArrayLike,
    confidence1: npt.ArrayLike,
    outcome1: npt.ArrayLike,
    draws: int,
    seed: int,
    *,
    n_bins: int = BINS,
    scheme: Scheme = "width",
    level: float = LEVEL,
) -> Interval:
    """`debiased_ece` after minus before, with a paired percentile bootstrap over questions.

    The bins are those of the data. A question that a replicate drew twice makes no pair with itself:
    with such pairs the bias that the estimator removes would be back.

    Args:
        confidence0: before [questions] in 0..1.
        outcome0: before [questions] in 0..1.
        confidence1: after [questions] in 0..1.
        outcome1: after [questions] in 0..1.
        draws: bootstrap replicates.
        seed: of the resampling.
        n_bins: number of bins.
        scheme: "width" or "mass", see `calibration_bins`.
        level: coverage that is aimed at.

    Raises:
        AnalysisError: lengths differ, or a value outside 0..1.
    """
    gaps = [
        _gap_columns(confidence, outcome, n_bins, scheme)
        for confidence, outcome in ((confidence0, outcome0), (confidence1, outcome1))
    ]
    if len(gaps[0]) != len(gaps[1]):
        raise AnalysisError(
            f"the same questions are needed in both arms; got {len(gaps[0])} and {len(gaps[1])}"
        )
    n = len(gaps[0])
    if n == 0:
        return percentile_interval(None, np.full(draws, np.nan), 0, reason="no questions", level=level)
    members = [np.eye(n_bins)[calibration_bins(c, n_bins, scheme)] for c in (confidence0, confidence1)]

    def difference(counts: Floats) -> Floats:
        before, after = (
            _signed_root(_squared(counts, own, inside)) for own, inside in zip(gaps, members, strict=True)
        )
        return after - before

    chunks = [difference(counts.astype(np.float64)) for counts in resampled_counts(n, draws, seed)]
    return percentile_interval(float(difference(np.ones((1, n)))[0]), np.concatenate(chunks), n, level=level)


def _squared(counts: Floats, gaps: Floats, inside: Floats) -> Floats:
    """Debiased squared error of replicates [replicates].

    Args:
        counts: how often each question enters [replicates, questions].
        gaps: outcome - confidence in the column of its bin [questions, bins].
        inside: 1 in that column [questions, bins].
    """
    size, twice = counts @ inside, counts**2
    products = (counts @ gaps) ** 2 - twice @ gaps**2
    pairs = size**2 - twice @ inside  # ordered pairs of different questions
    mean = np.divide(products, pairs, out=np.zeros_like(products), where=pairs > 0)
    return np.asarray((size * mean).sum(axis=1) / counts.sum(axis=1))


def _signed_root(values: Floats) -> Floats:
    return np.asarray(np.sign(values) * np.sqrt(np.abs(values)))


def brier_terms(confidence: npt.ArrayLike, outcome: npt.ArrayLike) -> Floats:
    """Squared error of each question's confidence [questions]; their mean is the Brier score.

    For a fractional outcome y it is the expectation over a right/wrong draw with probability y:
    c^2 - 2 c y + y.

    Args:
        confidence: [questions] in 0..1.
        outcome: [questions] in 0..1.

    Raises:
        AnalysisError: lengths differ, or a value outside 0..1.
    """
    values, truth = _pair(confidence, outcome)
    return values**2 - 2 * values * truth + truth


def bootstrap_ece_difference(
    confidence0: npt.ArrayLike,
    outcome0: npt.ArrayLike,
    confidence1: npt.ArrayLike,
    outcome1: npt.ArrayLike,
    draws: int,
    seed: int,
    *,
    n_bins: int = BINS,
    scheme: Scheme = "width",
    level: float = LEVEL,
) -> Interval:
    """ECE after minus ECE before, with a paired percentile bootstrap over questions.

    The bins are those of the data and are not redrawn. Both ECEs are biased upwards, and more so
    in a replicate; in the difference most of that cancels where the two arms are alike.

    Args:
        confidence0: before [questions] in 0..1.
        outcome0: before [questions] in 0..1.
        confidence1: after [questions] in 0..1.
        outcome1: after [questions] in 0..1.
        draws: bootstrap replicates.
        seed: of the resampling.
        n_bins: number of bins.
        scheme: "width" or "mass", see `calibration_bins`.
        level: coverage that is aimed at.

    Raises:
        AnalysisError: lengths differ, or a value outside 0..1.
    """
    before = _gap_columns(confidence0, outcome0, n_bins, scheme)
    after = _gap_columns(confidence1, outcome1, n_bins, scheme)
    if len(before) != len(after):
        raise AnalysisError(f"the same questions are needed in both arms; got {len(before)} and {len(after)}")
    n = len(before)
    if n == 0:
        return percentile_interval(None, np.full(draws, np.nan), 0, reason="no questions", level=level)

    def difference(sums: Floats) -> Floats:
        return expected_calibration_gap(sums[..., n_bins:], n) - expected_calibration_gap(
            sums[..., :n_bins], n
        )

    table = np.concatenate([before, after], axis=1)
    replicates = difference(resampled_sums(table, draws, seed))
    return percentile_interval(float(difference(table.sum(axis=0))), replicates, n, level=level)


def _gap_columns(confidence: npt.ArrayLike, outcome: npt.ArrayLike, n_bins: int, scheme: Scheme) -> Floats:
    """(outcome - confidence) of each question in the column of its bin [questions, bins]."""
    values, truth = _pair(confidence, outcome)
    columns = np.zeros((len(values), n_bins))
    columns[np.arange(len(values)), calibration_bins(values, n_bins, scheme)] = truth - values
    return columns


def _pair(confidence: npt.ArrayLike, outcome: npt.ArrayLike) -> tuple[Floats, Floats]:
    values, truth = _unit(confidence, "confidence"), _unit(outcome, "outcome")
    if values.shape != truth.shape:
        raise AnalysisError(f"{len(values)} confidences and {len(truth)} outcomes: one of each per question")
    return values, truth


def _unit(array: npt.ArrayLike, what: str) -> Floats:
    values = np.asarray(array, dtype=np.float64)
    if values.ndim != 1:
        raise AnalysisError(f"one {what} per question is needed, not an array of shape {values.shape}")
    bad = np.flatnonzero(~((values >= 0) & (values <= 1)))
    if bad.size:
        raise AnalysisError(f"question {bad[0]}: the {what} {values[bad[0]]} is not between 0 and 1")
    return values
