"""Nested, grouped, purged cross-validation of a linear probe over sources and penalties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mechcot.core.errors import AnalysisError
from mechcot.probe.folds import (
    BoolArray,
    IntArray,
    assign_folds,
    components,
    purged_training_rows,
    text_codes,
)
from mechcot.probe.sweep import (
    Effort,
    FloatArray,
    Job,
    Problems,
    Sources,
    class_means,
    fold_aurocs,
    logistic,
    sweep,
)

GRID = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Inverse penalties of a probe on activations: strong ones for wide layers, weak ones for narrow."""

BASELINE_GRID = (1e-2, 1e-1, 1.0, 10.0)
"""Inverse penalties of a fit on a few named features."""

N_INNER = 3

FALLEN = 0.02
"""Once the inner AUROC of every outer fold lies so far below its best, weaker penalties are not tried: on
wide activations they cost most and only overfit."""


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
    """What the nested fit found: scores of test rows only.

    Attributes:
        scores: by the source and penalty that the outer fold's inner folds chose, [steps].
        layer_scores: a source's own test scores, its penalty chosen inside, [steps] each.
        chosen: an outer fold's source (`layer`), penalty `C` and AUROC over the inner folds.
        n_fits: number of fits.
        n_not_converged: fits that stopped at the iteration limit.
        n_iterations: iterations of the fit that took most.
    """

    scores: FloatArray
    layer_scores: dict[Any, FloatArray]
    chosen: tuple[dict[str, Any], ...]
    n_fits: int
    n_not_converged: int
    n_iterations: int


def nested(
    X_by_layer: Sources,
    y: IntArray,
    plan: Design,
    *,
    grid: Sequence[float] = GRID,
    n_inner: int = N_INNER,
    seed: int = 0,
) -> Nested:
    """Choose source and penalty in inner folds of each outer fold's training rows, and score its test rows.

    Penalties are tried from the strongest on, until the inner AUROC has `FALLEN` in all outer folds. Columns
    are scaled once on all rows, without labels. Ties go to the source that comes first and to the stronger
    penalty. An inner fold whose training rows hold one class counts one half.

    Args:
        X_by_layer: source (any hashable: a layer, a (rule, layer)) to activations [steps, d_model], or to
            a function without arguments that loads them.
        y: 1 where the step is erroneous, [steps].
        plan: outer folds.
        grid: inverse penalties to choose from.
        n_inner: inner folds.
        seed: of the inner folds.

    Raises:
        AnalysisError: activations that are not finite or of another number of steps; fewer blocks than folds.
    """
    found: Nested = sweep(X_by_layer, [nested_job(y, plan, grid=grid, n_inner=n_inner, seed=seed)])[0]
    return found


def mass_mean(
    sources: Sources, y: IntArray, plan: Design, *, n_inner: int = N_INNER, seed: int = 0
) -> Nested:
    """Do `nested` with the difference of the class means as the probe; there is no penalty to choose.

    Marks & Tegmark (2024, arXiv 2310.06824): it fits nothing but two means, so it is a second opinion on
    what a logistic fit found.
    """
    found: Nested = sweep(sources, [mass_mean_job(y, plan, n_inner=n_inner, seed=seed)])[0]
    return found


def nested_job(
    y: IntArray,
    plan: Design,
    *,
    grid: Sequence[float] = GRID,
    n_inner: int = N_INNER,
    seed: int = 0,
    score: Any = logistic,
) -> Job:
    """`nested` as a job of a `sweep`."""
    penalties = np.array(sorted(grid))  # so that the first of equals is the strongest
    inner = [_inner_folds(plan, train, n_inner, seed + 1 + k) for k, train in enumerate(plan.train)]
    fits = [
        [*(_training(plan, train, fold, index) for index in range(n_inner)), train]
        for train, fold in zip(plan.train, inner, strict=True)
    ]
    rows = np.repeat(np.stack([mask for part in fits for mask in part]), len(penalties), axis=0)
    C = np.tile(penalties, len(plan.train) * (n_inner + 1))

    def by_penalty(scores: NDArray[Any], k: int, n: int) -> FloatArray:
        """Inner AUROC of outer fold k for the n strongest penalties, -1 for those not tried, [n]."""
        part = scores.reshape(len(plan.train), n_inner + 1, len(penalties), -1)[k, :-1, :n]
        tried = np.isfinite(part[:, :, 0]).all(axis=0)
        out = np.full(n, -1.0)
        out[tried] = np.nan_to_num(fold_aurocs(_by_fold(part[:, tried], inner[k]), y, inner[k]), nan=0.5)
        return out

    def reduce(scores: NDArray[Any]) -> tuple[FloatArray, FloatArray]:
        """Inner AUROC [outer folds, penalties], and test scores of every penalty [penalties, steps]."""
        parts = scores.reshape(len(plan.train), n_inner + 1, len(penalties), -1)
        tested = np.zeros((len(penalties), len(y)))
        for k, part in enumerate(parts):
            tested[:, plan.fold == k] = part[-1][:, plan.fold == k]
        return np.array([by_penalty(scores, k, len(penalties)) for k in range(len(parts))]), tested

    def enough(scores: NDArray[Any], n: int) -> bool:
        quality = np.array([by_penalty(scores, k, n) for k in range(len(plan.train))])
        return bool((quality[:, -1] < quality.max(axis=1) - FALLEN).all())

    def finish(parts: dict[Any, tuple[FloatArray, FloatArray]], effort: Effort) -> Nested:
        return _chosen(parts, plan, penalties, effort)

    if len(penalties) == 1 or n_inner == 0:
        return Job(Problems(y, rows, C), reduce, finish, score)
    stages = [np.arange(first, len(C), len(penalties)) for first in range(len(penalties))]
    return Job(Problems(y, rows, C), reduce, finish, score, stages=stages, enough=enough)


def mass_mean_job(y: IntArray, plan: Design, *, n_inner: int = N_INNER, seed: int = 0) -> Job:
    """`mass_mean` as a job of a `sweep`."""
    return nested_job(y, plan, grid=(1.0,), n_inner=n_inner, seed=seed, score=class_means)


def _chosen(
    parts: dict[Any, tuple[FloatArray, FloatArray]], plan: Design, penalties: FloatArray, effort: Effort
) -> Nested:
    """Pick each outer fold's penalty for every source, and its source."""
    names = list(parts)
    scores = np.zeros(len(plan.fold))
    own = {source: np.zeros(len(plan.fold)) for source in names}
    chosen = []
    for k in range(len(plan.train)):
        test = plan.fold == k
        at = [int(np.argmax(quality[k])) for quality, _ in parts.values()]
        reached = [float(quality[k, best]) for (quality, _), best in zip(parts.values(), at, strict=True)]
        for source, best in zip(names, at, strict=True):
            own[source][test] = parts[source][1][best, test]
        first = int(np.argmax(reached))
        scores[test] = own[names[first]][test]
        C = float(penalties[at[first]])
        chosen.append({"layer": names[first], "C": C, "inner_auroc": reached[first]})
    return Nested(scores, own, tuple(chosen), effort.fits, effort.not_converged, effort.iterations)


def _inner_folds(plan: Design, rows: BoolArray, n_inner: int, seed: int) -> IntArray:
    """Inner fold of each of the given rows, -1 elsewhere, [steps]."""
    fold = np.full(len(rows), -1, dtype=np.int64)
    if n_inner == 0:  # nothing to choose
        return fold
    _, block = np.unique(plan.block[rows], return_inverse=True)
    fold[rows] = assign_folds(block.astype(np.int64), n_inner, seed)
    return fold


def _training(plan: Design, rows: BoolArray, fold: IntArray, index: int) -> BoolArray:
    test = fold == index
    return purged_training_rows(rows & ~test, test, plan.codes)


def _by_fold(scores: NDArray[Any], fold: IntArray) -> NDArray[Any]:
    """Each row's score from the fit that left its fold out: [folds, scorers, rows] to [scorers, rows]."""
    out = np.zeros(scores.shape[1:], dtype=scores.dtype)
    for index, part in enumerate(scores):
        out[:, fold == index] = part[:, fold == index]
    return out


def out_of_fold(
    features: NDArray[Any],
    y: IntArray,
    plan: Design,
    *,
    C: float | Sequence[float] = BASELINE_GRID,
    n_inner: int = N_INNER,
    seed: int = 0,
) -> FloatArray:
    """Score every step by a logistic fit on the other folds' features, [steps, features] to [steps].

    Of several penalties each outer fold takes the one that its inner folds prefer, as the probe does. A
    single feature ranks alike under any. Steps with equal features get equal scores to the last bit, so
    that what cannot tell two steps apart counts one half on them.
    """
    grid = [C] if isinstance(C, int | float) else list(C)
    if features.shape[1] == 1:
        grid = grid[:1]
    job = nested_job(y, plan, grid=grid, n_inner=n_inner if len(grid) > 1 else 0, seed=seed)
    # named features repeat, and products of equal rows may differ in rounding: one row stands for its equals
    _, first, which = np.unique(features, axis=0, return_index=True, return_inverse=True)
    same = first[which.ravel()]
    exact = replace(job, reduce=lambda scores: job.reduce(scores[:, same]), tol=1e-6)
    found: Nested = sweep({0: features}, [exact], dtype="float64", device="cpu")[0]
    return found.scores
