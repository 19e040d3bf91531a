"""Differences of means matched by kind, their held-out scores and their chance counterparts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.core.errors import AnalysisError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MIN_CELL = 5
"""Fewer of either class in one half of one kind: the kind does not enter the direction."""


def difference_of_means(X: FloatArray, labels: NDArray[np.bool_], kinds: IntArray) -> FloatArray:
    """Mean over kinds of (mean where true - mean where false), for each row of labels, [draws, d_model]."""
    positive = labels.astype(np.float64)
    weights, n_kinds = np.zeros_like(positive), len(np.unique(kinds))
    for kind in np.unique(kinds):
        rows = kinds == kind
        ups = positive[:, rows].sum(axis=1, keepdims=True)
        downs = rows.sum() - ups
        weights[:, rows] = positive[:, rows] / ups - (1.0 - positive[:, rows]) / downs
    out: FloatArray = weights @ X / n_kinds
    return out


def held_out_scores(X: FloatArray, labels: NDArray[np.bool_], kinds: IntArray, half: IntArray) -> FloatArray:
    """Score each row by the direction of the other half, [claims, draws]."""
    out = np.empty((len(X), len(labels)))
    for side in (0, 1):
        train, test = half != side, half == side
        out[test] = X[test] @ difference_of_means(X[train], labels[:, train], kinds[train]).T
    return out


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
