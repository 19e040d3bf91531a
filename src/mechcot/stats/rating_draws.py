"""Ratings with a planted effect, on the scale on which `stats.ordinal` estimates it.

A rating is the category of logistic noise plus its condition's effect. The noise is made of normal parts
that raters, items, texts (an item under a condition) and (rater, item) pairs share, put through a normal
distribution function and a logistic quantile (a Gaussian copula). So every rating by itself is exactly
logistic: the planted effects are the population-averaged ones whatever the shares, and no integral stands
between the simulation and its truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mechcot.core.errors import UsageError
from mechcot.stats.cluster import Floats, Ints
from mechcot.stats.ordinal import Ratings


@dataclass(frozen=True)
class Shares:
    """What part of the noise's variance is shared, each 0 to 1, together below 1.

    Attributes:
        rater: by all ratings of a rater.
        item: by all ratings of an item.
        text: by all ratings of an item under one condition.
        pair: by a rater's ratings of an item, one a scale.
    """

    rater: float = 0.25
    item: float = 0.05
    text: float = 0.05
    pair: float = 0.2


@dataclass(frozen=True)
class Plan:
    """Who rates what, all arrays [rater and item].

    Attributes:
        rater: number of the rater.
        group: number of the rater's condition.
        item: number of the item.
    """

    rater: Ints
    group: Ints
    item: Ints


def draw_ratings(
    plan: Plan,
    effects: Floats,
    shares: Shares,
    marginal: Floats,
    rng: np.random.Generator,
    *,
    scales: int = 1,
) -> Ratings:
    """Ratings of a plan.

    Args:
        plan: who rates what.
        effects: of the conditions, log odds [groups].
        shares: of the noise's variance.
        marginal: probability of each category under an effect of 0 [categories].
        rng: of the noise.
        scales: ratings of each (rater, item), of one effect.

    Raises:
        UsageError: shares or probabilities that are none.
    """
    parts = (shares.rater, shares.item, shares.text, shares.pair)
    if min(parts) < 0 or sum(parts) >= 1:
        raise UsageError(f"shares lie in 0..1 and sum to less than 1, not {parts}")
    if abs(float(np.sum(marginal)) - 1) > 1e-9 or np.min(marginal) <= 0:
        raise UsageError(f"probabilities above 0 that sum to 1 are needed, not {list(map(float, marginal))}")
    latent = latent_noise(plan, shares, rng, scales=scales) + np.asarray(effects)[plan.group]
    cuts = np.cumsum(marginal)[:-1]
    value = np.searchsorted(np.log(cuts / (1 - cuts)), latent)
    shape = (scales, len(plan.rater))
    return Ratings(
        value=value.ravel().astype(np.int64),
        scale=np.repeat(np.arange(scales), shape[1]),
        group=np.tile(plan.group, scales),
        rater=np.tile(plan.rater, scales),
        item=np.tile(plan.item, scales),
        categories=len(marginal),
        groups=len(effects),
    )


def latent_noise(plan: Plan, shares: Shares, rng: np.random.Generator, *, scales: int) -> Floats:
    """Logistic noise [scales, rater and item]."""
    from scipy.special import log_ndtr

    raters, items = int(plan.rater.max()) + 1, int(plan.item.max()) + 1
    texts = plan.group * items + plan.item
    rest = 1 - shares.rater - shares.item - shares.text - shares.pair
    shared = (
        np.sqrt(shares.rater) * rng.normal(size=raters)[plan.rater]
        + np.sqrt(shares.item) * rng.normal(size=items)[plan.item]
        + np.sqrt(shares.text) * rng.normal(size=int(texts.max()) + 1)[texts]
        + np.sqrt(shares.pair) * rng.normal(size=len(plan.rater))
    )
    normal = shared + np.sqrt(rest) * rng.normal(size=(scales, len(plan.rater)))
    return np.asarray(log_ndtr(normal) - log_ndtr(-normal))
