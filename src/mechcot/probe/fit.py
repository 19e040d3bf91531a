"""Nested, grouped, purged cross-validation of a linear probe over sources and penalties."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mechcot.probe.data import FloatArray, IntArray, Sources
from mechcot.probe.folds import Design
from mechcot.probe.sweeps import Effort, Problems, SweepJob, class_means, fold_aurocs, logistic, sweep

BASELINE_GRID = (1e-2, 1e-1, 1.0, 10.0)
"""Inverse penalties of a fit on a few named features."""

FALLEN = 0.02
"""Once the inner AUROC of every outer fold lies so far below its best, weaker penalties are not tried: on
wide activations they cost most and only overfit."""


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

    def most_chosen(self) -> tuple[Any, float]:
        """The source that most outer folds chose, and most of those folds' penalty; the first of equals."""
        names = [row["layer"] for row in self.chosen]
        best = max(sorted(set(names), key=list(self.layer_scores).index), key=names.count)
        penalties = [row["C"] for row in self.chosen if row["layer"] == best]
        return best, max(sorted(set(penalties)), key=penalties.count)


def nested(sources: Sources, plan: Design, *, after_each: Callable[[], Any] | None = None) -> Nested:
    """Choose source and penalty in inner folds of each outer fold's training rows, and score its test rows.

    Penalties are tried from the strongest on, until the inner AUROC has `FALLEN` in all outer folds. Columns
    are scaled once on all rows, without labels. Ties go to the source that comes first and to the stronger
    penalty. An inner fold whose training rows hold one class counts one half.

    Args:
        sources: see `data.Sources`.
        plan: outer and inner folds, labels and penalties.
        after_each: called after every source.

    Raises:
        AnalysisError: activations that are not finite or of another number of steps; fewer blocks than folds.
    """
    found: Nested = sweep(sources, [nested_job(plan)], after_each=after_each)[0]
    return found


def mass_mean_job(plan: Design) -> SweepJob:
    """The same with the difference of the class means as the probe; there is no penalty to choose.

    Marks & Tegmark (2024, arXiv 2310.06824): it fits nothing but two means, so it is a second opinion on
    what a logistic fit found.
    """
    return nested_job(plan, (1.0,), score=class_means)


def nested_job(plan: Design, grid: Sequence[float] = (), *, score: Any = logistic) -> SweepJob:
    """`nested` as a job of a `sweep`; without a grid the settings' own."""
    penalties = np.array(sorted(grid or plan.settings.grid))  # so that the first of equals is the strongest
    y, n_inner = plan.y, plan.settings.inner
    inner, masks = zip(*(plan.inner(k) for k in range(len(plan.train))), strict=True)
    fits = [[*parts, train] for parts, train in zip(masks, plan.train, strict=True)]
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
        return SweepJob(Problems(y, rows, C), reduce, finish, score)
    stages = [np.arange(first, len(C), len(penalties)) for first in range(len(penalties))]
    return SweepJob(Problems(y, rows, C), reduce, finish, score, stages=stages, enough=enough)


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


def _by_fold(scores: NDArray[Any], fold: IntArray) -> NDArray[Any]:
    """Each row's score from the fit that left its fold out: [folds, scorers, rows] to [scorers, rows]."""
    out = np.zeros(scores.shape[1:], dtype=scores.dtype)
    for index, part in enumerate(scores):
        out[:, fold == index] = part[:, fold == index]
    return out


def out_of_fold(
    features: NDArray[Any], plan: Design, C: float | Sequence[float] = BASELINE_GRID
) -> FloatArray:
    """Score every step by a logistic fit on the other folds' features, [steps, features] to [steps].

    Of several penalties each outer fold takes the one that its inner folds prefer. A single feature ranks
    alike under any. Steps with equal features get equal scores to the last
    bit, so that what cannot tell two steps apart counts one half on them.
    """
    grid = [C] if isinstance(C, int | float) else list(C)
    if features.shape[1] == 1:
        grid = grid[:1]
    if len(grid) == 1:
        plan = replace(plan, settings=replace(plan.settings, inner=0))
    job = nested_job(plan, grid)
    # named features repeat, and products of equal rows may differ in rounding: one row stands for its equals
    _, first, which = np.unique(features, axis=0, return_index=True, return_inverse=True)
    same = first[which.ravel()]
    exact = replace(job, reduce=lambda scores: job.reduce(scores[:, same]), tol=1e-6)
    found: Nested = sweep({0: features}, [exact], dtype="float64", device="cpu")[0]
    return found.scores
