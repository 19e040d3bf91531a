"""Which votes a gain of accuracy comes from: how far a question was from being right before.

Votes decide on margins, so a vote's luck is in both the margin and the outcome: where a base vote
was unlucky, margin and score are low, and the next vote is better without any change. Here each
question's traces are halved. The margin is read off one half of the base's votes; the change is from
the other half to the votes after; then the halves change places and the mean is taken. Given the
question the two are independent, and without a change every bin's mean change is 0.

A vote's score is 1, 1/w in a tie of w winners, or 0 (`shared_tie_score`). With s0 and s1 the scores
before and after,

    gained = (1 - s0) s1        lost = s0 (1 - s1)        gained - lost = s1 - s0

are the chances of a gain and a loss when ties are broken at random and apart; this way gain minus
loss is the change of SC exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.core.results import Result, because
from mechcot.stats.cluster import Floats, Ints
from mechcot.stats.votes import shared_tie_score, vote_margin, votes

_NEAR = "no question has a margin near 0"
EDGES = (-0.5, -0.2, -0.05, 0.05, 0.2, 0.5)
"""Inner edges of the bins of margins; a margin on an edge counts to the bin nearer to 0."""


@dataclass(frozen=True)
class HalfVotes:
    """Margins and scores of both halves of each question's votes.

    Attributes:
        margin: of the half before that says where a question stands [2, questions].
        before: score of the *other* half before [2, questions].
        after: score after, mean of both halves [questions].
        margin_change: margin after (mean of both halves) minus that of the other half before
            [2, questions].
        size: votes of a half.
    """

    margin: Floats
    before: Floats
    after: Floats
    margin_change: Floats
    size: int

    @property
    def gained(self) -> Floats:
        """Chance that a question is wrong before and right after [2, questions]."""
        return (1 - self.before) * self.after

    @property
    def lost(self) -> Floats:
        """Chance that a question is right before and wrong after [2, questions]."""
        return self.before * (1 - self.after)


def half_votes(before: npt.ArrayLike, after: npt.ArrayLike, gold: npt.ArrayLike, n_options: int) -> HalfVotes:
    """Halve the votes of every question: traces 0, 2, 4, ... and traces 1, 3, 5, ....

    Args:
        before: answers [questions, traces], -1 for none; an odd trace at the end is left out.
        after: the same after, as many traces.
        gold: index of the right option [questions].
        n_options: number of options (the largest, if questions differ).

    Raises:
        AnalysisError: shapes differ, fewer than two traces, an answer that is not an option.
    """
    old, new = np.asarray(before), np.asarray(after)
    if old.ndim != 2 or old.shape != new.shape or old.shape[1] < 2:
        raise AnalysisError(
            "answers [questions, traces] of at least two traces are needed, as many before as after; the "
            f"shapes are {old.shape} and {new.shape}"
        )
    size = old.shape[1] // 2
    tables = [[votes(arm[:, half : 2 * size : 2], n_options) for half in (0, 1)] for arm in (old, new)]
    margins = np.array([[vote_margin(table, gold) for table in arm] for arm in tables])
    scores = np.array([[shared_tie_score(table, gold) for table in arm] for arm in tables])
    return HalfVotes(
        margin=margins[0],
        before=scores[0, ::-1],
        after=scores[1].mean(axis=0),
        margin_change=margins[1].mean(axis=0) - margins[0, ::-1],
        size=size,
    )


def margin_bins(margin: npt.ArrayLike, edges: Sequence[float] = EDGES) -> Ints:
    """The bin of every margin, 0 to len(edges); one on an edge counts to the bin nearer to 0."""
    values, inner = np.asarray(margin, dtype=np.float64), np.asarray(edges, dtype=np.float64)
    below = np.searchsorted(inner, values - 1e-9, side="left")
    above = np.searchsorted(inner, values + 1e-9, side="right")
    return np.where(values < 0, above, below).astype(np.int64)


def flows_by_margin(halves: HalfVotes, edges: Sequence[float] = EDGES) -> Floats:
    """Weight, gained and lost of every question in every bin [questions, bins, 3].

    The weights of a question add to 1: half for each half of its votes that says where it stands.
    """
    inside = np.eye(len(edges) + 1)[margin_bins(halves.margin, edges)] / 2  # [2, questions, bins]
    parts = np.stack([np.ones_like(halves.gained), halves.gained, halves.lost], axis=-1)
    return np.asarray(np.einsum("hqb,hqp->qbp", inside, parts))


def just_below(halves: HalfVotes, distance: float) -> Floats:
    """What each question gains from a margin in [-distance, 0], and at all [questions, 2]."""
    near = (halves.margin <= 1e-9) & (halves.margin >= -distance - 1e-9)
    return np.stack([(halves.gained * near).mean(axis=0), halves.gained.mean(axis=0)], axis=1)


def equal_share_null(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    gold: npt.ArrayLike,
    n_options: int,
    draws: int,
    seed: int,
    distances: Sequence[float],
) -> tuple[Floats, Floats]:
    """Flows and boundary shares if both arms answered alike: traces of a question dealt out anew.

    With equal shares of every answer in both arms, a question's traces are exchangeable between the
    arms. Each draw deals them out at random, which resamples with equal shares and without a model.

    Args:
        before: answers [questions, traces], -1 for none.
        after: the same after.
        gold: index of the right option [questions].
        n_options: number of options.
        draws: how often the traces are dealt out.
        seed: of the dealing.
        distances: for `just_below`.

    Returns:
        Gained and lost summed over the questions [draws, bins, 2]; share of the gain from just
        below the boundary [draws, distances], NaN in a draw without a gain.

    Raises:
        AnalysisError: as `half_votes`.
        UsageError: draws below 1.
    """
    if draws < 1:
        raise UsageError(f"draws of the null must be at least 1, not {draws}")
    half_votes(before, after, gold, n_options)  # raises
    pooled = np.concatenate([np.asarray(before), np.asarray(after)], axis=1)
    k = pooled.shape[1] // 2
    rng = np.random.default_rng(seed)
    flows, shares = [], []
    for _ in range(draws):
        dealt = rng.permuted(pooled, axis=1)
        halves = half_votes(dealt[:, :k], dealt[:, k:], gold, n_options)
        flows.append(flows_by_margin(halves)[:, :, 1:].sum(axis=0))
        sums = np.array([just_below(halves, distance).sum(axis=0) for distance in distances])
        shares.append(np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), np.nan), where=sums[:, 1] > 0))
    return np.stack(flows), np.stack(shares)


@dataclass(frozen=True)
class Flow(Result):
    """The change of SC as a flow over the boundary: density there times the mean change of margin.

    For a small change of margins that does not depend on them, density x change is the mass that
    crosses 0. Distilling is seldom small: read it as an approximation beside the change of SC.

    Attributes:
        distance: margins of at most this size are near the boundary (whole votes).
        density: of the margins before, questions per unit of margin: the share that is near, over
            the width 2 distance + 1 vote, as margins are whole votes.
        mean_change: of the margins of questions near the boundary, between halves of the votes.
            None if there are none.
        product: density x mean_change.
    """

    distance: float
    density: float
    mean_change: float | None = field(metadata=because(_NEAR))
    product: float | None = field(metadata=because(_NEAR))


def boundary_flow(halves: HalfVotes, distance: float = 0.2) -> Flow:
    """The flow identity near a margin of 0; see `Flow`.

    Args:
        halves: of `half_votes`.
        distance: what counts as near, rounded down to whole votes.
    """
    whole = int(distance * halves.size + 1e-9) / halves.size
    near = np.abs(halves.margin) <= whole + 1e-9
    density = float(near.mean() / (2 * whole + 1 / halves.size))
    if not near.any():
        return Flow(whole, density, None, None)
    change = float(halves.margin_change[near].mean())
    return Flow(whole, density, change, density * change)
