"""Sets of other tokens beside a hedge: as many tokens in effect, and near it in how likely they are.

The log-odds of a sum of many tokens move less than those of one, as their moves average out: beside a hedge
of one word only sets of one word in effect are its like. How likely a set is matters less: a constant added
to a token's logit makes it as likely as the hedge and leaves every change of its log-odds as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CANDIDATES = 4000
"""Sets that are looked at for those that match."""
SIZES = (0.67, 1.1)
"""How many tokens a set may be in effect, of what the hedge is: more would make its null too narrow."""
SHARED = 0.5
"""Two sets that have more of their probability in common than this count once."""
LEAST = 1e-5
"""A token less likely than this, mean over slots, makes no set another one."""
LARGEST = 8
"""Tokens of a set, at most, if the hedge itself has fewer."""


@dataclass(frozen=True)
class TokenSet:
    """Tokens, and how likely any of them is at the slots.

    Attributes:
        tokens: ids.
        logp: log-probability of any of them, mean over slots, nats.
        spread: its standard deviation over slots.
        parts: how many tokens it is in effect, 1 / sum of squared shares of the probability.
    """

    tokens: tuple[int, ...]
    logp: float
    spread: float
    parts: float


def described(p: Floats, tokens: Sequence[int]) -> TokenSet:
    """A set at the slots.

    Args:
        p: probabilities, [slots, vocabulary].
        tokens: ids.
    """
    table = p[:, list(tokens)]
    own = np.log(np.maximum(table.sum(axis=1), 1e-300))
    each = table.mean(axis=0)
    parts = float(each.sum() ** 2 / max(float(each @ each), 1e-300))
    return TokenSet(tuple(int(token) for token in tokens), float(own.mean()), float(own.std()), parts)


def matched_sets(p: Floats, hedge: Sequence[int], count: int, seed: int) -> tuple[TokenSet, ...]:
    """Sets of the hedge's size in effect, those nearest to it in mean and spread of the log-probability.

    Single tokens, and sets drawn at random, likely tokens oftener. A set shares no token with the hedge, and
    no two of them share more than `SHARED` of their probability.

    Args:
        p: probabilities under the arm before, [slots, vocabulary].
        hedge: token ids.
        count: sets wanted; there are fewer where the vocabulary has fewer.
        seed: of the draws.
    """
    wanted, rng = described(p, hedge), np.random.default_rng(seed)
    mean = p.mean(axis=0)
    others = np.setdiff1d(np.arange(p.shape[1]), list(hedge))
    others = others[mean[others] > LEAST]
    if not len(others):
        return ()
    drawn: set[tuple[int, ...]] = {(int(token),) for token in others}
    weight = np.sqrt(mean[others])
    largest = min(max(LARGEST, len(hedge)), len(others))
    for _ in range(CANDIDATES):
        size = int(rng.integers(1, largest + 1))
        chosen = rng.choice(others, size, replace=False, p=weight / weight.sum())
        drawn.add(tuple(sorted(int(token) for token in chosen)))
    found = [described(p, tokens) for tokens in sorted(drawn)]
    found = [one for one in found if SIZES[0] <= one.parts / wanted.parts <= SIZES[1]]
    found.sort(key=lambda one: (abs(one.logp - wanted.logp) + abs(one.spread - wanted.spread), one.tokens))
    kept: list[TokenSet] = []
    for one in found:
        if len(kept) < count and all(_in_common(mean, one, other) <= SHARED for other in kept):
            kept.append(one)
    return tuple(kept)


def _in_common(mean: Floats, one: TokenSet, other: TokenSet) -> float:
    """How much of their probability two sets share, 0 to 1."""
    both = list(set(one.tokens) & set(other.tokens))
    whole = max(mean[list(one.tokens)].sum(), mean[list(other.tokens)].sum())
    return float(mean[both].sum() / whole) if both else 0.0
