"""Differences of means matched by kind, their held-out scores and their chance counterparts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.core.errors import AnalysisError
from mechcot.stats.auroc import pairs_by_cluster

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MIN_CELL = 5
"""Fewer of either class in one half of one kind: the kind does not enter the direction."""


def difference_of_means(
    X: FloatArray, labels: NDArray[np.bool_], kinds: IntArray, kept: NDArray[np.bool_] | None = None
) -> FloatArray:
    """Mean over kinds of (mean where true - mean where false), for each row of labels, [draws, d_model].

    Args:
        X: [claims, d_model].
        labels: [draws, claims].
        kinds: [claims].
        kept: claims that enter, [draws, claims]; None: all. A kind that is left without a class does not.
    """
    inside = np.ones_like(labels, dtype=np.float64) if kept is None else kept.astype(np.float64)
    ups, downs = inside * labels, inside * ~labels
    weights, used = np.zeros_like(ups), np.zeros((len(ups), 1))
    for kind in np.unique(kinds):
        rows = kinds == kind
        n_up, n_down = (part[:, rows].sum(axis=1, keepdims=True) for part in (ups, downs))
        both = (n_up > 0) & (n_down > 0)
        own = ups[:, rows] / np.maximum(n_up, 1) - downs[:, rows] / np.maximum(n_down, 1)
        weights[:, rows] = np.where(both, own, 0.0)
        used += both
    out: FloatArray = weights @ X / np.maximum(used, 1)
    return out


def has_length(vector: FloatArray, states: NDArray[Any]) -> bool:
    """Whether a direction that was fitted on some states is more than rounding.

    Args:
        vector: [d_model].
        states: [claims, d_model].
    """
    return float(np.linalg.norm(vector)) > 1e-10 * float(np.abs(states).max())


def held_out_scores(X: FloatArray, labels: NDArray[np.bool_], kinds: IntArray, half: IntArray) -> FloatArray:
    """Score each row by the direction of the other half, [claims, draws]."""
    out = np.empty((len(X), len(labels)))
    for side in (0, 1):
        train, test = half != side, half == side
        out[test] = X[test] @ difference_of_means(X[train], labels[:, train], kinds[train]).T
    return out


def refitted_without(
    X: FloatArray,
    truth: NDArray[np.bool_],
    kinds: IntArray,
    half: IntArray,
    questions: NDArray[Any],
    cells: IntArray | None = None,
) -> tuple[FloatArray, IntArray]:
    """The held-out AUROC without each question, both directions fitted anew, and its half, [questions].

    A question is left out of its half alone: of what its direction is fitted on and of what the other one
    scores. Questions in the order of half and name; all must stand in some half. Pairs are counted inside
    `cells`, which no half shares with the other; None: inside a kind.
    """
    found, sides = [], []
    counted = kinds if cells is None else cells
    for side in (0, 1):
        own, other = half == side, half != side
        names, owner = np.unique(questions[own], return_inverse=True)
        kept = owner[None, :] != np.arange(len(names))[:, None]
        labels = np.broadcast_to(truth[own], kept.shape)
        fitted = difference_of_means(X[own], labels, kinds[own], kept)
        moved = pairs_in_order(tied(X[other] @ fitted.T), truth[None, other], counted[other])
        scored = tied(X[own] @ difference_of_means(X[other], truth[None, other], kinds[other])[0])
        total, part = pairs_by_cluster(scored, truth[own], counted[own], questions[own])
        found.append(_shares(moved + total[:, None] - part))
        sides.append(np.full(len(names), side))
    return np.concatenate(found), np.concatenate(sides)


def fixed_without(
    scores: NDArray[Any], truth: NDArray[np.bool_], cells: IntArray, half: IntArray, questions: NDArray[Any]
) -> FloatArray:
    """The AUROC of a score that nothing was fitted for, without each question; order of `refitted_without`.

    Args:
        scores: [claims].
        truth: [claims].
        cells: inside which pairs are counted, [claims]; no half shares one with the other.
        half: [claims].
        questions: [claims].
    """
    whole = pairs_in_order(scores[:, None], truth[None, :], cells)
    found = []
    for side in (0, 1):
        own = half == side
        found.append(whole - pairs_by_cluster(scores[own], truth[own], cells[own], questions[own])[1])
    return np.concatenate([_shares(part) for part in found])


def _shares(counts: FloatArray) -> FloatArray:
    """Pairs in the right order of all pairs, [2, questions] to [questions]; NaN without a pair."""
    right, pairs = counts
    return np.divide(right, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0.5)


def pairs_in_order(scores: NDArray[Any], labels: NDArray[np.bool_], cells: IntArray) -> FloatArray:
    """Pairs of one true and one false claim of a cell in the right order, and all pairs, [2, draws].

    Args:
        scores: [claims, draws].
        labels: [draws, claims], or one row for all draws.
        cells: [claims].
    """
    out = np.zeros((2, scores.shape[1]))
    for cell in np.unique(cells):
        rows = cells == cell
        ups = labels[:, rows].T
        n_up = ups.sum(axis=0)
        ranks = (pd.DataFrame(scores[rows]).rank().to_numpy() * ups).sum(axis=0)
        out[0] += ranks - n_up * (n_up + 1) / 2
        out[1] += n_up * (rows.sum() - n_up)
    return out


def tied(values: FloatArray) -> NDArray[np.float32]:
    """Scores at the precision of the activations, so that equal activations tie.

    A product in double precision gives equal rows other last bits by where they stand in the matrix and by
    the number of threads; at the embedding, where every mention of a name is the same vector, those
    bits would decide the ranks.
    """
    return np.asarray(values, dtype=np.float32)


def shuffled_labels(
    truth: NDArray[np.bool_], cells: IntArray, draws: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Labels shuffled within each cell, [draws, claims]."""
    out = np.empty((draws, len(truth)), dtype=bool)
    for cell in np.unique(cells):
        rows = np.flatnonzero(cells == cell)
        out[:, rows] = rng.permuted(np.tile(truth[rows], (draws, 1)), axis=1)
    return out


def random_directions(X: FloatArray, kinds: IntArray, draws: int, rng: np.random.Generator) -> FloatArray:
    """Gaussian directions with the within-kind covariance of X, [draws, d_model]."""
    centred = X.copy()
    for kind in np.unique(kinds):
        centred[kinds == kind] -= X[kinds == kind].mean(axis=0)
    out: FloatArray = rng.standard_normal((draws, len(X))) @ centred / np.sqrt(len(X))
    return out


def halves(qid: pd.Series, group: Mapping[str, str] | None, seed: int) -> IntArray:
    """Deal whole groups out to two halves in turn, in seeded order."""
    if group is not None:
        missing = sorted(set(qid) - set(group))
        if missing:
            raise AnalysisError(f"{len(missing)} questions have no group, the first is {missing[0]}")
        qid = qid.map(group)
    codes, names = pd.factorize(qid, sort=True)
    turn = np.empty(len(names), dtype=np.int64)
    turn[np.random.default_rng(seed).permutation(len(names))] = np.arange(len(names)) % 2
    return turn[codes]


def usable_rows(
    hedged: NDArray[np.bool_], relation: IntArray, half: IntArray, names: list[str]
) -> tuple[NDArray[np.bool_], dict[str, dict[str, int | bool]]]:
    """Rows of relations with enough of both classes in both halves, and the counts of all relations."""
    used = np.zeros(len(hedged), dtype=bool)
    counts: dict[str, dict[str, int | bool]] = {}
    for code, name in enumerate(names):
        rows = relation == code
        cells = [
            int((rows & (half == side) & (hedged == said)).sum()) for side in (0, 1) for said in (True, False)
        ]
        enough = min(cells) >= MIN_CELL
        counts[name] = {"hedged": cells[0] + cells[2], "asserted": cells[1] + cells[3], "used": enough}
        used |= rows & enough
    return used, counts
