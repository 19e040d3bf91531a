"""Sets of other tokens that are as likely as a hedge where a hedge could stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CANDIDATES = 4000
"""Sets that are looked at for those that match."""
ALIKE = 0.05
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
    """The sets nearest to the hedge in mean and spread of the log-probability, no two of them alike.

    Single tokens, and sets drawn at random, likely tokens oftener: a sum can match where no single one does.
    A set shares no token with the hedge. Two sets that differ by `ALIKE` nats at the slots, in the root of
    the mean square, or less count once.

    Args:
        p: probabilities under the arm before, [slots, vocabulary].
        hedge: token ids.
        count: sets wanted; there are fewer where the vocabulary has fewer.
        seed: of the draws.
    """
    wanted, rng = described(p, hedge), np.random.default_rng(seed)
    others = np.setdiff1d(np.arange(p.shape[1]), list(hedge))
    others = others[p[:, others].mean(axis=0) > LEAST]
    if not len(others):
        return ()
    drawn: set[tuple[int, ...]] = {(int(token),) for token in others}
    weight = np.sqrt(p[:, others].mean(axis=0))
    largest = min(max(LARGEST, len(hedge)), len(others))
    for _ in range(CANDIDATES):
        size = int(rng.integers(1, largest + 1))
        chosen = rng.choice(others, size, replace=False, p=weight / weight.sum())
        drawn.add(tuple(sorted(int(token) for token in chosen)))
    found = [described(p, tokens) for tokens in sorted(drawn)]
    found.sort(key=lambda one: (abs(one.logp - wanted.logp) + abs(one.spread - wanted.spread), one.tokens))
    kept: list[TokenSet] = []
    known = np.empty((0, len(p)))
    for one in found:
        own = np.log(np.maximum(p[:, list(one.tokens)].sum(axis=1), 1e-300))
        if len(kept) < count and (((known - own) ** 2).mean(axis=1) > ALIKE**2).all():
            kept.append(one)
            known = np.vstack([known, own])
    return tuple(kept)
