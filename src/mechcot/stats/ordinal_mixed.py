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
from contextlib import suppress
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

    def minus(parameters: Floats) -> tuple[float, Floats]:
        value, slope = _log_likelihood(parameters, data, mode)
        return -value, -slope

    found = minimize(minus, first, method="BFGS", jac=True, options={"gtol": 1e-4, "maxiter": 200})
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


def _log_likelihood(parameters: Floats, data: _Data, mode: Floats) -> tuple[float, Floats]:
    """Laplace's log likelihood and its slope; `mode` is where the search for u* starts, and keeps it."""
    n = data.categories - 1
    if (np.diff(parameters[:n]) <= 0).any():
        return -1e10, np.zeros_like(parameters)
    cuts = np.concatenate([[-np.inf], parameters[:n], [np.inf]])
    effects = np.concatenate([[0.0], parameters[n : n + data.groups - 1]])
    sd = np.repeat(parameters[-len(TERMS) :], data.sizes)
    upper, lower = (cuts[data.value + side] - effects[data.group] for side in (1, 0))
    u = mode.copy()
    here = _joint(u, sd, upper, lower, data)
    for _ in range(100):
        step = np.linalg.solve(here.curvature, here.slope)
        if float(here.slope @ step) < 1e-12:
            break
        for _ in range(30):
            there = _joint(u + step, sd, upper, lower, data)
            if there.value >= here.value - 1e-12:
                break
            step = step / 2
        u, here = u + step, there
    mode[:] = u
    value = float(here.value - np.linalg.slogdet(here.curvature)[1] / 2)
    return value, _slope(u, sd, here, data)


class _Joint(NamedTuple):
    """Log joint density at u, its slope [u], its negative curvature [u, u], and F at both ends [ratings]."""

    value: float
    slope: Floats
    curvature: Floats
    high: Floats
    low: Floats


def _joint(u: Floats, sd: Floats, upper: Floats, lower: Floats, data: _Data) -> _Joint:
    from scipy.special import expit

    size = len(u)
    shift = (sd * u)[data.levels].sum(axis=0)
    high, low = expit(upper - shift), expit(lower - shift)
    p = np.maximum(high - low, 1e-300)
    pull = high + low - 1  # d log p / d shift
    bend = high * (1 - high) + low * (1 - low)
    slope = np.bincount(data.levels.ravel(), np.tile(pull, len(data.levels)), minlength=size) * sd - u
    cells = (data.levels[:, None, :] * size + data.levels[None, :, :]).ravel()
    held = np.bincount(cells, np.tile(bend, len(data.levels) ** 2), minlength=size * size)
    curvature = held.reshape(size, size) * sd[:, None] * sd[None, :] + np.eye(size)
    return _Joint(float(np.log(p).sum() - u @ u / 2), slope, curvature, high, low)


def _slope(u: Floats, sd: Floats, at: _Joint, data: _Data) -> Floats:
    """Slope of Laplace's log likelihood in the parameters, u* moving with them.

    With h the log joint density, z a rating's row in u and w its part of H: the slope of h, less half of that
    of log det H directly, sum q dw with q = z' H^-1 z, and through u*, c' H^-1 dh' with c = sum z q dw/du.
    """
    levels, high, low = data.levels, at.high, at.low
    f_high, f_low = high * (1 - high), low * (1 - low)
    p, pull, bend = np.maximum(high - low, 1e-300), high + low - 1, f_high + f_low
    turn_high, turn_low = f_high * (1 - 2 * high), f_low * (1 - 2 * low)
    inverse = np.linalg.inv(at.curvature)
    own = sd[levels]  # [terms, ratings]
    crossed = inverse[levels[:, None, :], levels[None, :, :]]  # [terms, terms, ratings]
    leaning = np.einsum("abn,bn->an", crossed, own)  # of each term's unit row with z
    leverage = (own * leaning).sum(axis=0)
    twist = -leverage * (turn_high + turn_low)  # q dw/dshift
    moved = np.bincount(levels.ravel(), (own * twist).ravel(), minlength=len(u))
    answer = inverse @ moved
    reply = (own * answer[levels]).sum(axis=0)
    by_high = f_high / p - (leverage * turn_high + reply * f_high) / 2
    by_low = -f_low / p - (leverage * turn_low + reply * f_low) / 2
    by_shift = pull - (twist - reply * bend) / 2
    cuts = np.bincount(data.value + 1, by_high, minlength=data.categories + 1)
    cuts += np.bincount(data.value, by_low, minlength=data.categories + 1)
    effects = np.bincount(data.group, by_shift, minlength=data.groups)[1:]
    spread = (by_shift * u[levels] - bend * leaning - answer[levels] * pull / 2).sum(axis=1)
    return np.concatenate([cuts[1:-1], effects, spread])


def _covariance(minus: Callable[[Floats], tuple[float, Floats]], at: Floats, free: Floats) -> Floats:
    """Inverse of the curvature at the free parameters, from slopes on both sides; NaN for the others."""
    places = np.flatnonzero(free)
    rows = []
    for place in places:
        move = np.zeros(len(at))
        move[place] = _STEP
        rows.append((minus(at + move)[1] - minus(at - move)[1])[places] / (2 * _STEP))
    hessian = (np.array(rows) + np.array(rows).T) / 2
    found = np.full((len(at), len(at)), np.nan)
    with suppress(np.linalg.LinAlgError):
        found[np.ix_(places, places)] = np.linalg.inv(hessian)
    return found
