"""A permutation null that keeps position, kind and question as they are.

Labels move only among steps of one question, position and kind, and all steps with one text move
together, so whatever the null draws share with the data -- difficulty, place, kind -- cannot make the
probe look significant (methods, amendment 2). The statistic is the best layer's AUROC of a least-squares
probe on the report's own outer folds, computed alike on the true and on the permuted labels: it has a
closed form, so that hundreds of draws cost about as much as one logistic sweep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.probe.fit import Design, FloatArray, scaled
from mechcot.probe.folds import IntArray
from mechcot.stats import leaf, stratified_auroc

MIN_CELLS = 50
_RIDGE = 0.1  # of the number of training rows; about what C = 0.01 is to the logistic loss


@dataclass(frozen=True)
class PermutationNull:
    """What relabelling within (question, position, kind) gives.

    Attributes:
        observed: best layer's AUROC of the least-squares probe on the true labels.
        mean: mean of the draws; None without permutable cells.
        high: their 95 % point.
        p: share of draws (the data counted in) that reach `observed`; None with fewer than
            `MIN_CELLS` permutable cells.
        n_cells: cells with two distinct claims of different label; only these permute.
        n_permutable_steps: steps in them whose label can move.
        draws: number of permutations.
    """

    observed: float | None
    mean: float | None
    high: float | None
    p: float | None
    n_cells: int
    n_permutable_steps: int
    draws: int

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        few = f"{self.n_cells} permutable cells; a p-value needs {MIN_CELLS}"
        return {
            "observed": leaf(self.observed, "no pair of steps to compare"),
            "mean": leaf(self.mean, "no permutable cell"),
            "high": leaf(self.high, "no permutable cell"),
            "p": leaf(self.p, few),
            "n_cells": self.n_cells,
            "n_permutable_steps": self.n_permutable_steps,
            "draws": self.draws,
        }


def permuted_labels(
    y: IntArray,
    codes: IntArray,
    *,
    qid: Sequence[Any],
    sid: Sequence[int],
    role: Sequence[str],
    draws: int,
    seed: int,
) -> tuple[IntArray, int, int]:
    """Permute labels among the distinct claims of each (question, position, kind) cell.

    A claim (one normalised text) whose steps bear different labels stays as it is.

    Returns:
        labels [draws, steps], the number of cells that can change, and of steps in them.
    """
    out = np.tile(y, (draws, 1))
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"q": list(qid), "s": list(sid), "r": list(role), "code": codes, "y": y})
    spread = frame.groupby(["q", "s", "r", "code"])["y"].transform("nunique")
    movable = frame[spread == 1]
    n_cells = n_steps = 0
    for _, cell in movable.groupby(["q", "s", "r"], sort=True):
        _, first, claim = np.unique(cell["code"].to_numpy(), return_index=True, return_inverse=True)
        labels = cell["y"].to_numpy()[first]
        if labels.min() == labels.max():
            continue
        n_cells, n_steps = n_cells + 1, n_steps + len(cell)
        moved = rng.permuted(np.tile(labels, (draws, 1)), axis=1)
        out[:, cell.index.to_numpy()] = moved[:, claim]
    return out, n_cells, n_steps


def permutation_null(
    X_by_layer: Mapping[int, NDArray[Any]],
    y: IntArray,
    plan: Design,
    *,
    qid: Sequence[Any],
    sid: Sequence[int],
    role: Sequence[str],
    draws: int,
    seed: int,
) -> PermutationNull:
    """Compare the best layer's AUROC with what it gives on permuted labels."""
    labels, n_cells, n_steps = permuted_labels(
        y, plan.codes, qid=qid, sid=sid, role=role, draws=draws if draws else 1, seed=seed
    )
    kept = draws if n_cells else 0
    every = np.vstack([y[None, :], labels[:kept]])
    best = np.full(len(every), -np.inf)
    for X in X_by_layer.values():
        scores = _least_squares_scores(X, every, plan)
        found = [stratified_auroc(scores[i], every[i], plan.fold, None).auroc for i in range(len(every))]
        best = np.fmax(best, np.array([np.nan if value is None else value for value in found]))
    observed, null = float(best[0]), best[1:]
    enough = n_cells >= MIN_CELLS and kept > 0
    return PermutationNull(
        observed=observed if np.isfinite(observed) else None,
        mean=float(null.mean()) if kept else None,
        high=float(np.quantile(null, 0.95)) if kept else None,
        p=float((1 + (null >= observed - 1e-12).sum()) / (1 + kept)) if enough else None,
        n_cells=n_cells,
        n_permutable_steps=n_steps,
        draws=kept,
    )


def _least_squares_scores(X: NDArray[Any], labels: IntArray, plan: Design) -> FloatArray:
    """Out-of-fold scores of a ridge fit to each row of labels, [draws, steps].

    One factorisation a fold serves all label rows; of the primal and the dual form the smaller is solved.
    """
    out = np.zeros(labels.shape)
    for index, train in enumerate(plan.train):
        test = plan.fold == index
        inside, outside = scaled(X[train].astype(np.float64), X[test].astype(np.float64))
        target = labels[:, train].T.astype(np.float64)
        target -= target.mean(axis=0)
        penalty = _RIDGE * len(inside)
        if inside.shape[1] <= len(inside):
            gram = inside.T @ inside + penalty * np.eye(inside.shape[1])
            weights = np.linalg.solve(gram, inside.T @ target)
        else:
            gram = inside @ inside.T + penalty * np.eye(len(inside))
            weights = inside.T @ np.linalg.solve(gram, target)
        out[:, test] = (outside @ weights).T
    return out
