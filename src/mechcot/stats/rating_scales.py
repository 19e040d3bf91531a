"""What ratings of several scales are worth together (alpha, omega), and Cliff's delta of two conditions.

Every interval resamples raters, whole, inside their conditions; the items stay as they are.

Cronbach's alpha (1951) of scales with covariance matrix S, pooled inside conditions so that a difference
between these does not pass for agreement: c / (c - 1) (1 - tr S / 1'S1), c scales. McDonald's omega (1999)
with one factor: (sum of loadings)^2 / 1'S1; with three scales a loading is exactly sqrt(s_ab s_ac / s_bc).

Cliff's delta (1993): P(x > y) - P(x < y) of a rater of one condition and one of another, each rater one
number, the mean of his or her ratings.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mechcot.core.errors import AnalysisError
from mechcot.core.results import Interval
from mechcot.stats.cluster import Floats, Ints, percentile_interval, resampled_counts

UNIT = "raters"
_SCALES = 3


class Reliability(NamedTuple):
    """Of three scales together."""

    alpha: Interval
    omega: Interval


def cliffs_delta(x: npt.ArrayLike, y: npt.ArrayLike, *, draws: int, seed: int) -> Interval:
    """P(x > y) - P(x < y), with the bootstrap of raters inside both conditions.

    Args:
        x: one number a rater of the first condition [raters].
        y: likewise of the second.
        draws: replicates.
        seed: of the resampling.

    Raises:
        AnalysisError: a condition without raters.
    """
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if not (len(first) and len(second)):
        raise AnalysisError("both conditions need raters")
    signs = np.sign(first[:, None] - second[None, :])
    both = zip(
        resampled_counts(len(first), draws, seed, max(signs.shape)),
        resampled_counts(len(second), draws, seed + 1, max(signs.shape)),
        strict=False,
    )
    replicates = _deltas(signs, both)
    n = min(signs.shape)
    return percentile_interval(float(signs.mean()), replicates, n, unit=UNIT)


def _deltas(signs: Floats, chunks: Iterator[tuple[Ints, Ints]]) -> Floats:
    found = [np.einsum("bi,ij,bj->b", one, signs, other, optimize=True) for one, other in chunks]
    return np.concatenate(found) / signs.size


def reliability(
    values: npt.ArrayLike, rater: npt.ArrayLike, group: npt.ArrayLike, *, draws: int, seed: int
) -> Reliability:
    """Alpha and omega of three scales.

    Args:
        values: complete ratings [ratings, 3].
        rater: number of each rating's rater [ratings].
        group: number of each rater's condition [raters].
        draws: replicates.
        seed: of the resampling.

    Raises:
        AnalysisError: not three scales.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != _SCALES:
        raise AnalysisError(f"ratings [ratings, {_SCALES}] are needed, not of shape {table.shape}")
    conditions = np.asarray(group)
    sums = _sums(table, np.asarray(rater), len(conditions))
    places = [np.flatnonzero(conditions == one) for one in np.unique(conditions)]
    point = _coefficients([sums[own].sum(axis=0, keepdims=True) for own in places])
    drawn = [
        np.concatenate([counts @ sums[own] for counts in resampled_counts(len(own), draws, seed + number)])
        for number, own in enumerate(places)
    ]
    replicates = _coefficients(drawn)
    reasons = ("ratings do not vary", "two scales do not rise together: one factor does not fit them")
    alpha, omega = (
        percentile_interval(
            None if np.isnan(one[0]) else float(one[0]), many, len(conditions), reason=reason, unit=UNIT
        )
        for one, many, reason in zip(point, replicates, reasons, strict=True)
    )
    return Reliability(alpha, omega)


def _sums(table: Floats, rater: Ints, raters: int) -> Floats:
    """Of each rater: how many ratings, their sum and their products [raters, 1 + 3 + 9]."""
    products = (table[:, :, None] * table[:, None, :]).reshape(len(table), -1)
    sums = np.zeros((raters, 1 + _SCALES + _SCALES**2))
    np.add.at(sums, rater, np.concatenate([np.ones((len(table), 1)), table, products], axis=1))
    return sums


def _coefficients(groups: list[Floats]) -> tuple[Floats, Floats]:
    """Alpha and omega [draws] of sums of each condition [draws, columns]."""
    scatter, freedom = np.zeros((len(groups[0]), _SCALES, _SCALES)), np.zeros(len(groups[0]))
    for sums in groups:
        n, total = sums[:, 0], sums[:, 1 : 1 + _SCALES]
        products = sums[:, 1 + _SCALES :].reshape(-1, _SCALES, _SCALES)
        mean = total / np.maximum(n, 1)[:, None]
        scatter = scatter + products - total[:, :, None] * mean[:, None, :]
        freedom = freedom + np.maximum(n - 1, 0)
    s = scatter / np.maximum(freedom, 1)[:, None, None]
    whole = s.sum(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        alpha = _SCALES / (_SCALES - 1) * (1 - np.trace(s, axis1=1, axis2=2) / whole)
        ab, ac, bc = s[:, 0, 1], s[:, 0, 2], s[:, 1, 2]
        loads = np.sqrt(ab * ac / bc) + np.sqrt(ab * bc / ac) + np.sqrt(ac * bc / ab)
        omega = loads**2 / whole
    fits = (ab > 0) & (ac > 0) & (bc > 0)
    flat = whole <= 1e-12
    return np.where(flat, np.nan, alpha), np.where(fits & ~flat, omega, np.nan)
