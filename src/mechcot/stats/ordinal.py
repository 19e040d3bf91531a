"""Ratings on an ordered scale: a cumulative-logit model in which both raters and items are samples.

Model (McCullagh 1980), for a rating Y of scale s under condition g, categories 0 to C - 1:

    P(Y <= k) = expit(theta_sk - beta_g),   beta_0 = 0.

beta_g is a log odds ratio *averaged over raters and items* (the population-averaged effect): the odds of a
higher rating under g over those under condition 0, for a rater and an item drawn at random. The effect for
one and the same rater and item (`stats.ordinal_mixed`) is larger, by about 14 % where they spread with a
standard deviation of 1.

The estimate is that of independent ratings (working independence of Liang and Zeger 1986). Its variance is
not: ratings of one rater go together, and so do ratings of one item by different raters. With influence c of
a cluster on the contrast, its residuals corrected for their leverage as by Kauermann and Carroll (2001),

    V = sum over raters c^2 + max(0, sum over items c^2 - sum over (rater, item) c^2),

the two-way clustered variance of Cameron, Gelbach and Miller (2011), whose second part cannot make the
first smaller. The first part has Welch's degrees of freedom over the two conditions' raters, the second as
many as items less one, the sum Satterthwaite's. `scripts/coverage_likert.py` measures what this covers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mechcot.core.errors import AnalysisError
from mechcot.core.results import Interval
from mechcot.stats.cluster import LEVEL, Floats, Ints
from mechcot.stats.inference import t_test

FEW = 6
"""Raters of a condition, and items, below which no interval is given."""
_ROUNDS, _TOLERANCE = 60, 1e-9


@dataclass(frozen=True)
class Ratings:
    """Ratings in long form, all arrays [ratings].

    Attributes:
        value: category, 0 to `categories` - 1.
        scale: number of the scale; each has thresholds of its own.
        group: number of the condition, 0 to `groups` - 1; a rater has one.
        rater: number of the rater.
        item: number of the item (a question, whichever condition's text of it was shown).
        categories: how many there are.
        groups: how many conditions.
    """

    value: Ints
    scale: Ints
    group: Ints
    rater: Ints
    item: Ints
    categories: int
    groups: int


class Effect(NamedTuple):
    """One condition against another: the log odds ratio of a higher rating, and the p of none."""

    log_odds: Interval
    p: float | None


@dataclass(frozen=True)
class OrdinalFit:
    """The fitted model with what its variances are made of.

    Attributes:
        thresholds: [scales, categories - 1], between the categories that somebody used, then infinity.
        effects: beta [groups], the first 0.
        groups_raters: raters of each condition [groups].
        rater_group: condition of each rater [raters].
        items: how many items were rated.
        by_rater: influence on the parameters [raters, parameters].
        by_item: likewise [items, parameters].
        by_pair: likewise [rater and item, parameters].
        used: whether somebody used a category [scales, categories].
    """

    thresholds: Floats
    effects: Floats
    groups_raters: Ints
    rater_group: Ints
    items: int
    by_rater: Floats
    by_item: Floats
    by_pair: Floats
    used: npt.NDArray[np.bool_]

    def contrast(self, group: int, other: int, *, level: float = LEVEL) -> Effect:
        """Log odds ratio of `group` over `other`, and its test."""
        weights = np.zeros(self.by_rater.shape[1])
        for one, sign in ((group, 1.0), (other, -1.0)):
            if one:
                weights[len(weights) - len(self.effects) + one] += sign
        estimate = float(self.effects[group] - self.effects[other])
        interval = self.linear(estimate, weights, (group, other), level=level)
        if interval.se is None or interval.freedom is None:
            return Effect(interval, None)
        return Effect(interval, t_test(estimate, interval.se, interval.freedom))

    def at_least(self, scale: int, category: int, group: int, *, level: float = LEVEL) -> Interval:
        """Estimated probability of `category` or a higher one under a condition, interval on its logit."""
        from scipy.special import expit

        rank, kept = int(self.used[scale, :category].sum()), int(self.used[scale].sum())
        if rank in (0, kept):
            share, reason = float(rank == 0), "all ratings fall on one side of it"
            return Interval(share, None, None, self.items, _METHOD, reason)
        weights = np.zeros(self.by_rater.shape[1])
        weights[_columns(self.used)[scale, rank - 1]] = -1.0
        if group:
            weights[len(weights) - len(self.effects) + group] = 1.0
        logit = float(self.effects[group] - self.thresholds[scale, rank - 1])
        found = self.linear(logit, weights, (group,), level=level)
        ends = (float(expit(x)) if x is not None else None for x in (logit, found.low, found.high))
        estimate, low, high = ends
        return Interval(estimate, low, high, found.n, found.method, found.reason)

    def linear(
        self, estimate: float, weights: Floats, groups: tuple[int, ...], *, level: float = LEVEL
    ) -> Interval:
        """A linear function of the parameters with its two-way clustered interval."""
        from scipy.special import stdtrit

        few = min(int(self.groups_raters[group]) for group in groups)
        if few < FEW or self.items < FEW:
            reason = f"{few} raters and {self.items} items are too few for an interval ({FEW} of each)"
            return Interval(estimate, None, None, few, _METHOD, reason)
        se, freedom = _error(self, weights)
        if se <= 1e-12:
            return Interval(estimate, None, None, few, _METHOD, "all raters answer alike")
        reach = float(stdtrit(freedom, (1 + level) / 2)) * se
        n = int(self.groups_raters.sum())
        return Interval(
            estimate, estimate - reach, estimate + reach, n, _METHOD, se=se, freedom=float(freedom)
        )


_METHOD = "cumulative logit, population-averaged, two-way clusters of raters and items, Student's t"


def fit_ordinal(ratings: Ratings) -> OrdinalFit:
    """Fit the model.

    A category that nobody used on a scale is left out of that scale; a scale with one used category says
    nothing of conditions and is left out.

    Raises:
        AnalysisError: a condition without ratings, a rater in two conditions, or all ratings of a condition
            at one end (its effect is then infinite).
    """
    used = _counts(ratings).sum(axis=1) > 0
    rank = np.cumsum(used, axis=1) - 1  # of each category among those that were used
    value = rank[ratings.scale, ratings.value]
    counts = _counts(replace(ratings, value=value))
    _check(ratings, counts)
    columns = _columns(used)
    thresholds, effects = _maximised(counts, columns)
    probabilities, slopes = _slopes(thresholds, effects, columns)
    scores = _scores(probabilities, slopes)
    information = np.einsum("sgkp,sgkq->sgpq", slopes, scores)
    totals = counts.sum(axis=2)
    inverse = np.linalg.inv(np.einsum("sg,sgpq->pq", totals, information))
    each = scores[ratings.scale, ratings.group, value]
    cell = ratings.scale * ratings.groups + ratings.group
    raters, of_rater = np.unique(ratings.rater, return_inverse=True)
    items, of_item = np.unique(ratings.item, return_inverse=True)
    rater_group = np.zeros(len(raters), dtype=np.int64)
    rater_group[of_rater] = ratings.group
    pair = np.unique(of_rater * len(items) + of_item, return_inverse=True)[1]
    half = np.linalg.cholesky(inverse)
    held = half.T @ information.reshape(-1, *information.shape[2:]) @ half

    def influence(code: Ints, *, corrected: bool = True) -> Floats:
        """M U of every cluster; corrected, L (I - L'HL)^(-1/2) L'U with M = LL'."""
        n = int(code.max()) + 1
        scaled = np.stack([np.bincount(code, column, minlength=n) for column in (each @ half).T], axis=1)
        if corrected:
            numbers = np.bincount(code * len(held) + cell, minlength=n * len(held)).reshape(n, -1)
            values, vectors = np.linalg.eigh(np.eye(len(half)) - np.einsum("nc,cpq->npq", numbers, held))
            turned = np.einsum("npq,np->nq", vectors, scaled) / np.sqrt(np.maximum(values, 1e-6))
            scaled = np.einsum("npq,nq->np", vectors, turned)
        return np.asarray(scaled @ half.T)

    return OrdinalFit(
        thresholds=thresholds,
        effects=effects,
        groups_raters=np.bincount(rater_group, minlength=ratings.groups),
        rater_group=rater_group,
        items=len(items),
        by_rater=influence(of_rater),
        by_item=influence(of_item),
        by_pair=influence(pair, corrected=False),
        used=used,
    )


def _error(fit: OrdinalFit, weights: Floats) -> tuple[float, float]:
    """Standard error and degrees of freedom of a linear function of the parameters."""
    rater, item, pair = (part @ weights for part in (fit.by_rater, fit.by_item, fit.by_pair))
    first = float((rater**2).sum())
    more = max(0.0, float((item**2).sum() - (pair**2).sum()))
    own = np.bincount(fit.rater_group, weights=rater**2, minlength=len(fit.effects))
    welch = float((own**2 / np.maximum(fit.groups_raters - 1, 1)).sum())
    spread = welch + more**2 / (fit.items - 1)
    return float(np.sqrt(first + more)), (first + more) ** 2 / spread if spread else 1.0


def _counts(ratings: Ratings) -> Floats:
    """Ratings by scale, condition and category [scales, groups, categories]."""
    shape = (int(ratings.scale.max(initial=0)) + 1, ratings.groups, ratings.categories)
    counts = np.zeros(shape)
    np.add.at(counts, (ratings.scale, ratings.group, ratings.value), 1.0)
    return counts


def _check(ratings: Ratings, counts: Floats) -> None:
    """Refuse what has no finite fit; `counts` are of the used categories' ranks."""
    seen = np.unique(np.stack([ratings.rater, ratings.group]), axis=1)[0]
    twice = seen[1:][seen[1:] == seen[:-1]]
    if len(twice):
        raise AnalysisError(f"rater {int(twice[0])} stands in two conditions; a rater has one")
    last = (counts.sum(axis=1) > 0).sum(axis=1) - 1
    if not last.any():
        raise AnalysisError("all ratings of a scale are one value: there is no effect to see")
    varied = counts[last > 0]
    for group in range(ratings.groups):
        own = varied[:, group]
        if not own.sum():
            raise AnalysisError(f"condition {group} has no ratings")
        lowest, highest = own[:, 0], own[np.arange(len(own)), last[last > 0]]
        for name, end in (("lowest", lowest), ("highest", highest)):
            if end.sum() == own.sum():
                raise AnalysisError(
                    f"all ratings of condition {group} are the {name} value in use: its effect is not defined"
                )


def _columns(used: npt.NDArray[np.bool_]) -> Ints:
    """The parameter of every threshold, one fewer than a scale has used categories; -1 beyond them."""
    there = np.arange(used.shape[1] - 1) < used.sum(axis=1, keepdims=True) - 1
    return np.where(there, np.cumsum(there).reshape(there.shape) - 1, -1)


def _maximised(counts: Floats, columns: Ints) -> tuple[Floats, Floats]:
    """Thresholds and effects of largest likelihood, by scoring with halved steps."""
    groups, known, seen = counts.shape[1], columns >= 0, counts > 0
    parameters = np.zeros(int(columns.max()) + groups)
    shares = counts.sum(axis=1)
    upto = (np.cumsum(shares, axis=1)[:, :-1] / shares.sum(axis=1, keepdims=True))[known]
    parameters[columns[known]] = np.log(upto / (1 - upto))
    best, step = -np.inf, np.zeros_like(parameters)
    for _ in range(_ROUNDS):
        p, slopes = _slopes(*_unpacked(parameters + step, columns), columns)
        here = float((counts[seen] * np.log(p[seen])).sum()) if (p[seen] > 0).all() else -np.inf
        if here < best - 1e-9:
            step /= 2
            continue
        parameters, best = parameters + step, here
        scores = _scores(p, slopes)
        gradient = np.einsum("sgk,sgkp->p", counts, scores)
        information = np.einsum("sg,sgkp,sgkq->pq", counts.sum(axis=2), slopes, scores)
        step = np.linalg.solve(information, gradient)
        if np.abs(step).max() < _TOLERANCE:
            return _unpacked(parameters, columns)
    raise AnalysisError(
        "the cumulative-logit model did not settle: the ratings of one condition lie apart from all others"
    )


def _unpacked(parameters: Floats, columns: Ints) -> tuple[Floats, Floats]:
    n = int(columns.max()) + 1
    thresholds = np.where(columns >= 0, parameters[np.maximum(columns, 0)], np.inf)
    return thresholds, np.concatenate([[0.0], parameters[n:]])


def _slopes(thresholds: Floats, effects: Floats, columns: Ints) -> tuple[Floats, Floats]:
    """Probabilities [scales, groups, categories] and their slopes in the parameters [..., parameters]."""
    from scipy.special import expit

    (scales, cuts), groups, n = thresholds.shape, len(effects), int(columns.max()) + 1
    cumulative = expit(thresholds[:, None, :] - effects[None, :, None])
    edge = np.zeros((scales, groups, 1))
    ends = np.concatenate([edge, cumulative, edge + 1], axis=2)
    density = ends * (1 - ends)
    by_end = np.zeros((scales, groups, cuts + 2, n + groups - 1))
    for scale, cut in np.argwhere(columns >= 0):
        by_end[scale, :, cut + 1, columns[scale, cut]] = density[scale, :, cut + 1]
    for group in range(1, groups):
        by_end[:, group, :, n + group - 1] = -density[:, group]
    return np.diff(ends, axis=2), np.diff(by_end, axis=2)


def _scores(probabilities: Floats, slopes: Floats) -> Floats:
    """Slopes of log probabilities; 0 for a category that cannot be."""
    p = probabilities[..., None]
    return np.divide(slopes, p, out=np.zeros_like(slopes), where=p > 0)
