"""Ratings on an ordered scale, for one and the same rater and item: a cumulative-logit mixed model.

    P(Y <= k | u) = expit(theta_k - beta_g - sum over terms sd_t u_t),   u_t standard normal,

one term each for raters, items and texts (an item under a condition). The likelihood is Laplace's: with u*
the mode of the joint density and H its negative curvature there,

    log L = log p(y | u*) - |u*|^2 / 2 - log det(H) / 2

(Tierney and Kadane 1986; for crossed terms Christensen's `ordinal::clmm` does the same, with which
`scripts/likert_clmm.py` compares this). Intervals are Wald's from the observed information. Effects are
*conditional*: about sqrt(1 + 0.346 sum sd^2) times those of `stats.ordinal`, which hold for raters and
items drawn at random (Zeger, Liang and Albert 1988).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mechcot.core.errors import AnalysisError
from mechcot.core.results import Interval
from mechcot.stats.cluster import LEVEL, Floats, Ints
from mechcot.stats.ordinal import Ratings, fit_ordinal

TERMS = ("raters", "items", "texts")
_SMALL = 1e-3
"""A standard deviation below this is on its boundary, 0."""
_STEP = 1e-3
_METHOD = "cumulative-logit mixed model, Laplace, Wald"


@dataclass(frozen=True)
class MixedFit:
    """The fitted model.

    Attributes:
        thresholds: [used categories - 1].
        effects: beta [groups], the first 0.
        sd: standard deviation of each term, in the order of `TERMS`.
        covariance: of the effects but the first [groups - 1, groups - 1]; NaN where it is not defined.
        log_likelihood: Laplace's.
        n_raters: how many raters.
    """

    thresholds: Floats
    effects: Floats
    sd: tuple[float, ...]
    covariance: Floats
    log_likelihood: float
    n_raters: int

    def contrast(self, group: int, other: int, *, level: float = LEVEL) -> Interval:
        """Log odds ratio of `group` over `other` for the same rater and item."""
        from scipy.special import ndtri

        weights = np.zeros(len(self.effects))
        weights[group], weights[other] = 1.0, -1.0
        estimate = float(weights @ self.effects)
        variance = float(weights[1:] @ self.covariance @ weights[1:])
        if not variance > 0:
            reason = "the information is not positive definite"
            return Interval(estimate, None, None, self.n_raters, _METHOD, reason)
        reach = float(ndtri((1 + level) / 2) * np.sqrt(variance))
        return Interval(estimate, estimate - reach, estimate + reach, self.n_raters, _METHOD)


class _Data(NamedTuple):
    """Arrays [ratings]; `levels` is the number of the shared part in u, [terms, ratings]."""

    value: Ints
    group: Ints
    levels: Ints
    sizes: tuple[int, ...]
    categories: int
    groups: int


def fit_mixed(ratings: Ratings) -> MixedFit:
    """Fit the model to the ratings of one scale.

    Raises:
        AnalysisError: several scales; what `fit_ordinal` refuses; the fit does not settle.
    """
    from scipy.optimize import minimize

    if len(np.unique(ratings.scale)) != 1:
        raise AnalysisError(
            "ratings of one scale are needed: each has thresholds and shared parts of its own"
        )
    data, start = _data(ratings), fit_ordinal(ratings)
    n = data.categories - 1
    cuts = start.thresholds[int(ratings.scale[0]), :n]
    first = np.concatenate([1.2 * cuts, 1.2 * start.effects[1:], [0.7, 0.4, 0.4]])
    mode = np.zeros(sum(data.sizes))

    def minus(parameters: Floats) -> float:
        return -_log_likelihood(parameters, data, mode)

    def gradient(parameters: Floats) -> Floats:
        moves = _STEP / 10 * np.eye(len(parameters))
        return np.array([minus(parameters + move) - minus(parameters - move) for move in moves]) / (_STEP / 5)

    found = minimize(minus, first, method="BFGS", jac=gradient, options={"gtol": 1e-3, "maxiter": 200})
    if not np.isfinite(found.fun) or np.abs(found.jac).max() > 0.05:
        raise AnalysisError("the cumulative-logit mixed model did not settle on these ratings")
    parameters = np.asarray(found.x, dtype=np.float64)
    sd = np.abs(parameters[-len(TERMS) :])
    free = np.concatenate([np.ones(n + data.groups - 1, dtype=bool), sd > _SMALL])
    parameters[~free] = 0.0
    return MixedFit(
        thresholds=parameters[:n],
        effects=np.concatenate([[0.0], parameters[n : n + data.groups - 1]]),
        sd=tuple(float(x) for x in np.where(sd > _SMALL, sd, 0.0)),
        covariance=_covariance(minus, parameters, free)[n : n + data.groups - 1, n : n + data.groups - 1],
        log_likelihood=-float(found.fun),
        n_raters=data.sizes[0],
    )


def _data(ratings: Ratings) -> _Data:
    value = np.unique(ratings.value, return_inverse=True)[1]
    texts = ratings.item * ratings.groups + ratings.group
    levels: list[Ints] = []
    sizes: list[int] = []
    for codes in (ratings.rater, ratings.item, texts):
        names, own = np.unique(codes, return_inverse=True)
        levels.append(own + sum(sizes))
        sizes.append(len(names))
    categories = int(value.max()) + 1
    return _Data(value, ratings.group, np.stack(levels), tuple(sizes), categories, ratings.groups)


def _log_likelihood(parameters: Floats, data: _Data, mode: Floats) -> float:
    """Laplace's log likelihood; `mode` is where the search for u* starts, and holds what it finds."""
    n = data.categories - 1
    cuts = np.concatenate([[-np.inf], parameters[:n], [np.inf]])
    if (np.diff(parameters[:n]) <= 0).any():
        return -1e10
    effects = np.concatenate([[0.0], parameters[n : n + data.groups - 1]])
    sd = np.repeat(parameters[-len(TERMS) :], data.sizes)
    upper, lower = (cuts[data.value + side] - effects[data.group] for side in (1, 0))
    u = mode.copy()
    value, gradient, curvature = _joint(u, sd, upper, lower, data)
    for _ in range(100):
        step = np.linalg.solve(curvature, gradient)
        if float(gradient @ step) < 1e-12:
            break
        for _ in range(30):
            here = _joint(u + step, sd, upper, lower, data)
            if here[0] >= value - 1e-12:
                break
            step = step / 2
        u = u + step
        value, gradient, curvature = here
    mode[:] = u
    return float(value - np.linalg.slogdet(curvature)[1] / 2)


def _joint(u: Floats, sd: Floats, upper: Floats, lower: Floats, data: _Data) -> tuple[float, Floats, Floats]:
    """Log joint density at u, its gradient, and its negative curvature."""
    size = len(u)
    shift = (sd * u)[data.levels].sum(axis=0)
    high, low = _expit(upper - shift), _expit(lower - shift)
    p = np.maximum(high - low, 1e-300)
    slope = high + low - 1  # d log p / d shift: -(f_high - f_low) / p
    bend = high * (1 - high) + low * (1 - low)
    gradient = np.bincount(data.levels.ravel(), np.tile(slope, len(data.levels)), minlength=size) * sd - u
    rows, columns = data.levels[:, None, :], data.levels[None, :, :]
    cells = (rows * size + columns).ravel()
    held = np.bincount(cells, np.tile(bend, len(data.levels) ** 2), minlength=size * size)
    curvature = held.reshape(size, size) * sd[:, None] * sd[None, :] + np.eye(size)
    return float(np.log(p).sum() - u @ u / 2), gradient, curvature


def _covariance(minus: Callable[[Floats], float], at: Floats, free: Floats) -> Floats:
    """Inverse of the curvature at the free parameters by central differences; NaN for the others."""
    places = np.flatnonzero(free)
    step = _STEP * np.maximum(1.0, np.abs(at))
    hessian = np.zeros((len(places), len(places)))
    middle = minus(at)
    ends = {}
    for i, a in enumerate(places):
        for side in (1, -1):
            moved = at.copy()
            moved[a] += side * step[a]
            ends[i, side] = minus(moved)
        hessian[i, i] = (ends[i, 1] - 2 * middle + ends[i, -1]) / step[a] ** 2
    for i, a in enumerate(places):
        for j, b in enumerate(places[:i]):
            total = 0.0
            for side in (1, -1):
                moved = at.copy()
                moved[a] += side * step[a]
                moved[b] += side * step[b]
                total += minus(moved)
            cross = total - ends[i, 1] - ends[i, -1] - ends[j, 1] - ends[j, -1] + 2 * middle
            hessian[i, j] = hessian[j, i] = cross / (2 * step[a] * step[b])
    found = np.full((len(at), len(at)), np.nan)
    try:
        found[np.ix_(places, places)] = np.linalg.inv(hessian)
    except np.linalg.LinAlgError:
        return found
    return found


def _expit(values: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-values)))
