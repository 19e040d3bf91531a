"""What the coverage scripts share: made-up step counts, and how coverage is counted."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, norm

from mechcot.stats import Interval

Floats = NDArray[np.float64]
Row = dict[str, Any]


def holds(found: Interval, truth: float) -> float:
    """1 if it covers, 0 if not, NaN without an interval."""
    if found.low is None or found.high is None:
        return float("nan")
    return float(found.low - 1e-12 <= truth <= found.high + 1e-12)


def mean_of(found: list[list[float]], names: tuple[str, ...]) -> dict[str, float | None]:
    """The mean of each column over the runs that have it; None where none has."""
    table = np.array(found)
    known = ~np.isnan(table).all(axis=0)
    return {n: round(float(np.nanmean(table[:, i])), 4) if known[i] else None for i, n in enumerate(names)}


@cache
def _quantiles(a: float, b: float) -> tuple[Floats, Floats]:
    grid = np.linspace(0, 1, 4001)
    return grid, beta.ppf(grid, a, b)


def beta_of(uniform: Floats, a: float, b: float) -> Floats:
    """Beta variables from uniform ones, read off a fine grid."""
    return np.interp(uniform, *_quantiles(a, b))


RATES = (0.15, 0.4)


def step_counts(runs: int, n: int, icc: float, uneven: bool, rng: np.random.Generator) -> list[Floats]:
    """Erroneous and judged steps of both arms [runs, questions]; questions hard for one are hard for both."""
    shape = (runs, n)
    common, size = rng.normal(size=shape), rng.lognormal(-0.5, 1.0, shape)
    out = []
    for rate, steps in zip(RATES, (4, 8), strict=True):
        judged = 1 + rng.poisson((steps - 1) * size) if uneven else np.full(shape, steps)
        chance = np.full(shape, rate)
        if icc:
            own = norm.cdf(0.7 * common + np.sqrt(1 - 0.49) * rng.normal(size=shape))
            chance = beta_of(own, rate * (1 - icc) / icc, (1 - rate) * (1 - icc) / icc)
        out += [rng.binomial(judged, chance).astype(float), judged.astype(float)]
    return out
