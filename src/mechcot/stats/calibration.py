"""Calibration of a confidence against outcomes: ECE, Brier, and their paired differences.

An outcome is a fraction: 1 right, 0 wrong, 1/w for a tie of w winners. That is the expectation
over breaking the tie at random, and every measure here is linear in it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from mechcot.errors import AnalysisError, UsageError
from mechcot.stats.cluster import LEVEL, Floats, Ints, percentile_interval, resampled_sums
from mechcot.stats.interval import Interval

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
