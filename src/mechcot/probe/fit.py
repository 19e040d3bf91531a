"""Nested, grouped, purged cross-validation of a logistic probe over layers and penalties."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mechcot.errors import AnalysisError
from mechcot.probe.folds import (
    BoolArray,
    IntArray,
    assign_folds,
    components,
    purged_training_rows,
    text_codes,
)
from mechcot.stats.auroc import fold_auroc

FloatArray = NDArray[np.float64]
MAX_ITER = 300


@dataclass(frozen=True, eq=False)
class Design:
    """Who trains and who tests: shared by the probe and by everything it is compared with."""

    block: IntArray  # [steps], rows linked by a question or an entity
    fold: IntArray  # [steps], the outer fold a row is tested in
    codes: IntArray  # [steps], number of the normalised text
    train: tuple[BoolArray, ...]  # an outer fold's purged training rows, [steps] each
    purged_share: float  # of all training rows over folds


def design(
    y: IntArray, *, qid: Sequence[Any], group: Sequence[Any], text: Sequence[str], n_folds: int, seed: int
) -> Design:
    """Draw the outer folds and purge their training rows.

    Raises:
        AnalysisError: too few blocks, or a fold whose purged training rows lack a class.
    """
    block, codes = components(qid, group), text_codes(text)
    fold = assign_folds(block, n_folds, seed)
    train, before = [], 0
    for index in range(n_folds):
        test = fold == index
        kept = purged_training_rows(~test, test, codes)
        before += int((~test).sum())
        errors, rows = int(y[kept].sum()), int(kept.sum())
        if errors in (0, rows):
            purged = int((~test).sum()) - rows
            raise AnalysisError(
                f"outer fold {index}: its {rows} training steps hold {errors} erroneous ones after purging "
                f"{purged} repeated claims; both classes are needed. Use fewer folds or more steps."
            )
        train.append(kept)
    share = 1.0 - sum(int(mask.sum()) for mask in train) / before
    return Design(block, fold, codes, tuple(train), share)


@dataclass(frozen=True, eq=False)
class Nested:
    """What the nested fit found: scores of test rows only."""

    scores: FloatArray  # [steps], by the layer and penalty that the fold's inner folds chose
    layer_scores: dict[int, FloatArray]  # a layer's own test scores, its penalty chosen inside
    chosen: tuple[dict[str, float], ...]  # an outer fold's layer, C and inner AUROC
    n_fits: int
    n_not_converged: int


class _Fitter:
    """Fits probes and counts those that stopped before they converged."""

    def __init__(self) -> None:
        self.fits = 0
        self.not_converged = 0

    def scores(self, X: NDArray[Any], y: IntArray, train: BoolArray, test: BoolArray, C: float) -> FloatArray:
        """Fit on the training rows (scaled by them alone) and score the test rows, [test rows]."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        inside, outside = scaled(X[train], X[test])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            model = LogisticRegression(C=C, max_iter=MAX_ITER).fit(inside, y[train])
        self.fits += 1
        self.not_converged += any(issubclass(item.category, ConvergenceWarning) for item in caught)
        out: FloatArray = np.asarray(model.decision_function(outside), dtype=np.float64)
        return out


def scaled(inside: NDArray[Any], outside: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Standardise by the first array; a column that is constant there becomes exactly 0 in both."""
    mean, spread = inside.mean(axis=0, dtype=np.float64), inside.std(axis=0, dtype=np.float64)
    constant = spread <= 1e-6 * np.abs(inside).max(axis=0)
    factor = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, spread))
    dtype = inside.dtype
    return ((inside - mean) * factor).astype(dtype), ((outside - mean) * factor).astype(dtype)


def out_of_fold(features: NDArray[Any], y: IntArray, plan: Design, *, C: float = 1.0) -> FloatArray:
    """Score every step by a logistic fit on the other folds' features, [steps, features] to [steps]."""
    fitter, scores = _Fitter(), np.zeros(len(y))
    for index, train in enumerate(plan.train):
        test = plan.fold == index
        scores[test] = fitter.scores(features, y, train, test, C)
    return scores


def nested(
    X_by_layer: Mapping[int, NDArray[Any]],
    y: IntArray,
    plan: Design,
    *,
    grid: Sequence[float],
    n_inner: int,
    seed: int,
) -> Nested:
    """Choose layer and penalty in inner folds of each outer fold's training rows, and score its test rows.

    Ties go to the lower layer and the stronger penalty.
    """
    fitter, chosen = _Fitter(), []
    scores = np.zeros(len(y))
    layer_scores = {layer: np.zeros(len(y)) for layer in X_by_layer}
    for index, train in enumerate(plan.train):
        test = plan.fold == index
        quality = _inner(X_by_layer, y, plan, train, grid, n_inner, seed + 1 + index, fitter)
        best_C = {layer: max(grid, key=lambda C: (quality[layer, C], -C)) for layer in X_by_layer}
        for layer, X in X_by_layer.items():
            layer_scores[layer][test] = fitter.scores(X, y, train, test, best_C[layer])
        best = max(sorted(X_by_layer), key=lambda layer: quality[layer, best_C[layer]])
        scores[test] = layer_scores[best][test]
        chosen.append({"layer": best, "C": best_C[best], "inner_auroc": quality[best, best_C[best]]})
    return Nested(scores, layer_scores, tuple(chosen), fitter.fits, fitter.not_converged)


def _inner(
    X_by_layer: Mapping[int, NDArray[Any]],
    y: IntArray,
    plan: Design,
    rows: BoolArray,
    grid: Sequence[float],
    n_inner: int,
    seed: int,
    fitter: _Fitter,
) -> dict[tuple[int, float], float]:
    """Give every layer and penalty its AUROC over inner folds of the given rows."""
    _, block = np.unique(plan.block[rows], return_inverse=True)
    fold = np.full(len(y), -1, dtype=np.int64)
    fold[rows] = assign_folds(block.astype(np.int64), n_inner, seed)
    scores = {(layer, C): np.zeros(len(y)) for layer in X_by_layer for C in grid}
    for index in range(n_inner):
        test = fold == index
        train = purged_training_rows(rows & ~test, test, plan.codes)
        if len(np.unique(y[train])) < 2:
            continue  # nothing to learn from: the fold's scores stay tied and count one half
        for layer, C in scores:
            scores[layer, C][test] = fitter.scores(X_by_layer[layer], y, train, test, C)
    found = {key: fold_auroc(value[rows], y[rows], fold[rows]) for key, value in scores.items()}
    return {key: 0.5 if value is None else value for key, value in found.items()}
