"""Calibration of a confidence against outcomes: ECE, Brier, signed gap, slope, and paired differences.

The confidence is that of the *realised* vote: the winner's share of k traces. Its calibration hangs on k (a
model whose latent shares are calibrated has an ECE of .043 at k = 16 and of .012 at k = 64), so k must be the
same in arms that are compared.

An outcome is a fraction: 1 right, 0 wrong, 1/w for a tie of w winners. That is the expectation
over breaking the tie at random; the bins' gaps and the Brier score are linear in it.

The plug-in ECE takes the size of each bin's mean gap, noise included, so that a calibrated
forecaster scores above 0, and a bootstrap doubles that: it is a point value here, without an interval. No
estimator of |gap| is unbiased; the squared gap has one, the mean of d_i d_j over pairs of different questions
of the bin, with d = outcome - confidence (Kumar, Liang and Ma 2019, "Verified Uncertainty Calibration",
section 4; Ferro and Fricker 2012 for the Brier score's reliability):

    squared = sum over bins of  n_b / N * (S_b^2 - sum_b d^2) / (n_b (n_b - 1)),   S_b = sum_b d

It is 0 on average for a calibrated forecaster and can fall below 0. Inference rests on what is a mean or a
slope: the signed gap (confidence minus outcome) and the slope of outcome on confidence, 1 if calibrated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.core.results import Interval
from mechcot.core.words import FLAT
from mechcot.stats.cluster import LEVEL, Floats, Ints
from mechcot.stats.jackknife import FEW, by_text, degrees_of_freedom, interval_of_sums, standard_error

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
    return float(np.abs(gaps.sum(axis=0)).sum() / len(gaps))


def squared_calibration_error(
    confidence: npt.ArrayLike,
    outcome: npt.ArrayLike,
    n_bins: int = BINS,
    scheme: Scheme = "width",
    text: npt.ArrayLike | None = None,
) -> float:
    """The bins' squared gaps, weighted by their size, without the bias of the plug-in value.

    A bin of one question has no pair and adds 0.

    Args:
        confidence: [questions] in 0..1.
        outcome: [questions] in 0..1.
        n_bins: number of bins.
        scheme: "width" or "mass", see `calibration_bins`.
        text: the number of each question's text [questions]: two of equal text are no pair. None: no two
            are equal.

    Raises:
        AnalysisError: no questions, lengths differ, or a value outside 0..1.
    """
    own = _Binned.of(confidence, outcome, n_bins, scheme, text)
    if len(own.gaps) == 0:
        raise AnalysisError("the calibration error of no questions is not defined")
    return own.squared()


def squared_calibration_difference(
    confidence0: npt.ArrayLike,
    outcome0: npt.ArrayLike,
    confidence1: npt.ArrayLike,
    outcome1: npt.ArrayLike,
    text: npt.ArrayLike | None = None,
    *,
    n_bins: int = BINS,
    scheme: Scheme = "width",
    level: float = LEVEL,
) -> Interval:
    """`squared_calibration_error` after minus before, paired by question.

    The bins are those of the data. The jackknife counts the variance that pairs of questions add twice
    (Efron and Stein 1981), which doubles it where both arms are calibrated: it is estimated from the pairs,

        V2 = 2 sum over i != j of (w1_ij e1_i e1_j - w0_ij e0_i e0_j)^2,  w_ij = 1 / (N (n_b - 1)) in a bin,

    with e the spread of d inside its bin, and taken off once, no further than V2 / 2. Questions of equal text
    are summed to one i in each bin. What that covers, and how wide it is, `scripts/coverage_intervals.py`
    measures: near calibration it is too wide.

    Args:
        confidence0: before [questions] in 0..1.
        outcome0: before [questions] in 0..1.
        confidence1: after [questions] in 0..1.
        outcome1: after [questions] in 0..1.
        text: the number of each question's text [questions]; None: no two are equal.
        n_bins: number of bins.
        scheme: "width" or "mass", see `calibration_bins`.
        level: coverage that is aimed at.

    Raises:
        AnalysisError: lengths differ, or a value outside 0..1.
    """
    arms = [
        _Binned.of(confidence, outcome, n_bins, scheme, text)
        for confidence, outcome in ((confidence0, outcome0), (confidence1, outcome1))
    ]
    _same_questions(*(arm.gaps for arm in arms))
    n = len(arms[0].gaps)
    method = f"jackknife of questions less the variance of pairs, Student's t, level {level:g}"
    if n == 0:
        return Interval(None, None, None, 0, method, "no questions")
    estimate = arms[1].squared() - arms[0].squared()
    if n < FEW:
        return Interval(estimate, None, None, n, method, f"{n} questions are too few for one that covers")
    pairs = _variance_of_pairs(*arms)
    error = float(standard_error(arms[1].without() - arms[0].without()))
    variance = max(error**2 - pairs, pairs / 2)
    if variance <= 1e-24:
        return Interval(estimate, None, None, n, method, f"all questions {FLAT}")
    from scipy.special import stdtrit

    freedom = float(degrees_of_freedom(arms[0].counts.sum(axis=1)))
    reach = float(stdtrit(freedom, (1 + level) / 2) * np.sqrt(variance))
    return Interval(estimate, estimate - reach, estimate + reach, n, method)


@dataclass(frozen=True, eq=False)
class _Binned:
    """One arm: the sum of outcome - confidence of each text in each bin, and its questions there.

    Both are [texts, bins]; with S_gb and c_gb a bin's ordered pairs of different texts have the products
    S_b^2 - sum_g S_gb^2 and are n_b^2 - sum_g c_gb^2 many.
    """

    gaps: Floats
    counts: Floats

    @classmethod
    def of(
        cls,
        confidence: npt.ArrayLike,
        outcome: npt.ArrayLike,
        n_bins: int,
        scheme: Scheme,
        text: npt.ArrayLike | None,
    ) -> _Binned:
        values, truth = _pair(confidence, outcome)
        own = calibration_bins(values, n_bins, scheme)[:, None] == np.arange(n_bins)
        return cls(by_text((truth - values)[:, None] * own, text), by_text(own, text))

    def squared(self) -> float:
        """`squared_calibration_error`."""
        return float(self._squared(np.zeros((1, 1)), np.zeros((1, 1)))[0])

    def without(self) -> Floats:
        """The same without each text in turn [texts]."""
        return self._squared(self.gaps, self.counts)

    def _squared(self, gone: Floats, questions: Floats) -> Floats:
        """Without these gaps of these questions, each a text's [rows, bins]; [rows]."""
        products, pairs = self._pairs(gone, self.gaps), self._pairs(questions, self.counts)
        n = self.counts.sum(axis=0) - questions
        mean = np.divide(products, pairs, out=np.zeros_like(products), where=pairs > 0.5)
        return np.asarray((n * mean).sum(axis=1) / np.maximum(n.sum(axis=1), 1))

    @staticmethod
    def _pairs(gone: Floats, of: Floats) -> Floats:
        """Sum over ordered pairs of different texts of a bin, without one text's [rows, bins]."""
        return np.asarray((of.sum(axis=0) - gone) ** 2 - ((of**2).sum(axis=0) - gone**2))

    def weighed(self) -> Floats:
        """What is left of each text's sum beside its bin's mean, by a pair's weight's root [texts, bins].

        A bin of n questions spread over texts is worth n^2 / sum_g c_gb^2 texts.
        """
        n, same = self.counts.sum(axis=0), (self.counts**2).sum(axis=0)
        rest = self.gaps - self.counts * (self.gaps.sum(axis=0) / np.maximum(n, 1))
        pairs = n**2 - same
        weight = np.divide(n / n.sum(), pairs, out=np.zeros_like(n), where=pairs > 0.5)
        spread = np.divide(n**2, pairs, out=np.zeros_like(n), where=pairs > 0.5)
        return np.asarray(rest * np.sqrt(weight * spread))


def _variance_of_pairs(before: _Binned, after: _Binned) -> float:
    """V2 of `squared_calibration_difference`, the products of pairs being those of the rows of two arrays."""
    old, new = before.weighed(), after.weighed()
    everyone = sum(
        sign * float(((left.T @ right) ** 2).sum())
        for sign, left, right in ((1, new, new), (1, old, old), (-2, new, old))
    )
    themselves = ((new**2).sum(axis=1) - (old**2).sum(axis=1)) ** 2
    return max(2 * (everyone - float(themselves.sum())), 0.0)


def signed_gap(confidence: npt.ArrayLike, outcome: npt.ArrayLike) -> Floats:
    """Confidence minus outcome of each question [questions]: above 0 on average, the vote is too sure.

    Args:
        confidence: [questions] in 0..1.
        outcome: [questions] in 0..1.

    Raises:
        AnalysisError: lengths differ, or a value outside 0..1.
    """
    values, truth = _pair(confidence, outcome)
    return values - truth


def recalibration_slope(
    confidence: npt.ArrayLike, outcome: npt.ArrayLike, *, level: float = LEVEL
) -> Interval:
    """Slope of the outcome on the confidence, by least squares: 1 if calibrated, below 1 if it says too much.

    Args:
        confidence: [questions] in 0..1.
        outcome: [questions] in 0..1.
        level: coverage that is aimed at.

    Raises:
        AnalysisError: lengths differ, or a value outside 0..1.
    """
    table = _moments(confidence, outcome)
    return interval_of_sums(table, _slope, reason=_NO_SLOPE, level=level)


def recalibration_slope_difference(
    confidence0: npt.ArrayLike,
    outcome0: npt.ArrayLike,
    confidence1: npt.ArrayLike,
    outcome1: npt.ArrayLike,
    text: npt.ArrayLike | None = None,
    *,
    level: float = LEVEL,
) -> Interval:
    """`recalibration_slope` after minus before, paired by question.

    Args:
        confidence0: before [questions] in 0..1.
        outcome0: before [questions] in 0..1.
        confidence1: after [questions] in 0..1.
        outcome1: after [questions] in 0..1.
        text: the number of each question's text [questions]; None: no two are equal.
        level: coverage that is aimed at.

    Raises:
        AnalysisError: lengths differ, or a value outside 0..1.
    """
    before, after = _moments(confidence0, outcome0), _moments(confidence1, outcome1)
    _same_questions(before, after)
    return interval_of_sums(
        by_text(np.hstack([before, after]), text),
        lambda sums: _slope(sums[:, 5:]) - _slope(sums[:, :5]),
        reason=_NO_SLOPE,
        level=level,
    )


_NO_SLOPE = "all confidences of an arm are the same"


def _moments(confidence: npt.ArrayLike, outcome: npt.ArrayLike) -> Floats:
    c, y = _pair(confidence, outcome)
    return np.stack([np.ones(len(c)), c, y, c * c, c * y], axis=1)


def _slope(sums: Floats) -> Floats:
    """Slopes [rows] from sums of 1, c, y, c^2, c y [rows, 5]; NaN without a spread of c."""
    n, c, y, cc, cy = sums.T
    spread = n * cc - c**2
    return np.divide(n * cy - c * y, spread, out=np.full(len(sums), np.nan), where=spread > 1e-9 * n**2)


def _same_questions(before: Floats, after: Floats) -> None:
    if len(before) != len(after):
        raise AnalysisError(f"the same questions are needed in both arms; got {len(before)} and {len(after)}")


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
