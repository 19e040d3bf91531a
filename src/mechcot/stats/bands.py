"""Intervals of many ratios at once: the jackknife of `stats.jackknife`, a column for a point of a curve."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mechcot.stats.cluster import LEVEL, Floats, Ints, safe_ratio
from mechcot.stats.jackknife import FEW


class Band(NamedTuple):
    """A curve with pointwise intervals; NaN where there is none.

    Attributes:
        estimate: [points].
        low: lower ends [points].
        high: upper ends [points].
        n: questions behind each point [points].
    """

    estimate: Floats
    low: Floats
    high: Floats
    n: Ints


def band(num: npt.ArrayLike, den: npt.ArrayLike, *, rate: bool, level: float = LEVEL) -> Band:
    """A ratio of sums over questions at every point, with the interval that one of them has.

    Args:
        num: numerators [questions, points].
        den: denominators, likewise; a question without one at a point does not count there.
        rate: whether the ratios lie between 0 and 1: then the interval is that of the log odds, or Clopper
            and Pearson's where no question differs from 0 or 1.
        level: coverage that is aimed at.
    """
    from scipy.special import expit, logit, stdtrit

    num, den = np.asarray(num, np.float64), np.asarray(den, np.float64)
    there = den > 0
    n = there.sum(axis=0)
    sums, counts = num.sum(axis=0), den.sum(axis=0)
    estimate = safe_ratio(sums, counts)
    without = safe_ratio(sums - num, np.where(there, counts - den, 0.0))
    mean = safe_ratio(np.where(there, without, 0.0).sum(axis=0), n.astype(np.float64))
    spread = np.where(there, (without - mean) ** 2, 0.0).sum(axis=0)
    error = np.sqrt(np.maximum(n - 1, 0) / np.maximum(n, 1) * spread)
    freedom = np.maximum(counts**2 / np.maximum((den**2).sum(axis=0), 1e-300) - 1, 1.0)
    reach = stdtrit(freedom, (1 + level) / 2) * error
    usable = (n >= FEW) & (error > 1e-12)
    if not rate:
        ends = [np.where(usable, estimate + side * reach, np.nan) for side in (-1, 1)]
        return Band(estimate, ends[0], ends[1], n)
    inside = (estimate > 0) & (estimate < 1)
    safe = np.where(inside, estimate, 0.5)
    ends = [
        np.where(usable & inside, expit(logit(safe) + side * reach / (safe * (1 - safe))), np.nan)
        for side in (-1, 1)
    ]
    open_end = ((1 - level) / 2) ** (1 / np.maximum(n, 1))
    low, high = np.where(estimate == 1, open_end, ends[0]), np.where(estimate == 0, 1 - open_end, ends[1])
    return Band(estimate, np.where(estimate == 0, 0.0, low), np.where(estimate == 1, 1.0, high), n)
