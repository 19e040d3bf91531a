"""One pass over the sources of activations, in which every analysis fits what it needs.

A source is a layer, or a (rule, layer). Its factor is by far the largest thing held and often the
dearest to compute, so each source is loaded and factored once, serves the nested fit, the nulls and the
control task together, and is let go before the next one comes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mechcot.core.errors import AnalysisError
from mechcot.core.work import WorkUnit, gather
from mechcot.probe.arrays import like, to_numpy
from mechcot.probe.data import BoolArray, FloatArray, IntArray, Sources, loaded
from mechcot.probe.factors import Factor, factor
from mechcot.probe.solver import TOL, solve


@dataclass(frozen=True, eq=False)
class Problems:
    """Fits on one matrix: what they learn, from which rows, under which penalty."""

    labels: NDArray[Any]  # 0 or 1, [problems, rows] or [rows] for all alike
    rows: BoolArray  # rows trained on, [problems, rows]
    C: FloatArray  # [problems]

    def learnable(self) -> BoolArray:
        """Problems whose training rows hold both classes, [problems]."""
        errors = (self.rows & (self.labels == 1)).sum(axis=1)
        out: BoolArray = (errors > 0) & (errors < self.rows.sum(axis=1))
        return out


@dataclass
class Effort:
    """What the fits of one job took, over all sources."""

    fits: int = 0
    not_converged: int = 0
    iterations: int = 0  # of the fit that took most

    def add(self, converged: BoolArray, iterations: IntArray) -> None:
        """Count the fits of one source."""
        self.fits += len(converged)
        self.not_converged += int((~converged).sum())
        self.iterations = max(self.iterations, int(iterations.max(initial=0)))

    def __add__(self, other: Effort) -> Effort:
        """Of both."""
        most = max(self.iterations, other.iterations)
        return Effort(self.fits + other.fits, self.not_converged + other.not_converged, most)


@dataclass(frozen=True, eq=False)
class SweepJob:
    """What one analysis wants of every source.

    Attributes:
        problems: to fit on each source.
        reduce: scores [problems, rows] of one source to the little that is kept of them.
        finish: what was kept, by source, and the effort, to the result.
        score: how a problem's rows are scored; `logistic` or `class_means`.
        tol: of the fits, see `solver.solve`.
        stages: the problems in parts, [problems of a part] each, fitted one after the other; () for all at
            once.
        enough: whether the scores so far, after so many stages, make the others needless; theirs are NaN.
    """

    problems: Problems
    reduce: Callable[[NDArray[Any]], Any]
    finish: Callable[[dict[Any, Any], Effort], Any]
    score: Callable[[Factor, Problems, float, Effort], NDArray[Any]]
    tol: float = TOL
    stages: Sequence[IntArray] = ()
    enough: Callable[[NDArray[Any], int], bool] = lambda _scores, _stage: False


def logistic(whole: Factor, problems: Problems, tol: float, effort: Effort) -> NDArray[Any]:
    """Score all rows by each problem's logistic fit, [problems, rows]; zeros where it has one class."""
    fits = solve(whole, problems.labels, problems.rows, problems.C, tol=tol)
    effort.add(fits.converged, fits.iterations)
    return fits.scores


def class_means(whole: Factor, problems: Problems, _tol: float, _effort: Effort) -> NDArray[Any]:
    """Score all rows along the difference of the two class means of the training rows, [problems, rows].

    The mass-mean probe of Marks & Tegmark (2024, arXiv 2310.06824, section 5), on standardised columns.
    Rotating into the eigenbasis changes no inner product. The penalty plays no part.
    """
    one = (problems.rows & (problems.labels == 1)).astype(np.float64)
    zero = (problems.rows & (problems.labels == 0)).astype(np.float64)
    share = one / one.sum(axis=1, keepdims=True) - zero / zero.sum(axis=1, keepdims=True)
    Z = whole.Z[:, :-1]
    return to_numpy(like(share, Z) @ Z @ Z.T)


def sweep(
    sources: Sources,
    jobs: Sequence[SweepJob],
    *,
    dtype: str = "float32",
    device: str = "auto",
    after_each: Callable[[], Any] | None = None,
) -> list[Any]:
    """Give every job its fits on every source; results in the jobs' order.

    Sources are loaded one at a time, in the mapping's order. A problem whose training rows hold one class
    is not fitted: its scores are zeros, so that its pairs tie and count one half.

    Args:
        sources: source to activations [steps, d_model], or to a function that loads them.
        jobs: what to fit on each.
        dtype: of the fits.
        device: of the fits, see `factors.factor`.
        after_each: called after every source.

    Raises:
        AnalysisError: no sources, or one whose activations do not fit the labels or are not finite.
    """
    if not sources:
        raise AnalysisError("no activations: pass at least one layer's")
    tasks = [WorkUnit(str(number), (source,)) for number, source in enumerate(sources)]
    found = gather(
        partial(_swept, dtype=dtype, device=device),
        tasks,
        (sources, jobs),
        after_each=after_each or (lambda: None),
    )
    kept = [dict(zip(sources, own, strict=True)) for own in zip(*(parts for parts, _ in found), strict=True)]
    efforts = [sum(own, Effort()) for own in zip(*(efforts for _, efforts in found), strict=True)]
    return [job.finish(parts, effort) for job, parts, effort in zip(jobs, kept, efforts, strict=True)]


def _swept(
    given: tuple[Sources, Sequence[SweepJob]], task: WorkUnit, *, dtype: str, device: str
) -> tuple[list[Any], list[Effort]]:
    """What every job keeps of one source, and its effort."""
    sources, jobs = given
    (source,) = task.arguments
    X, n = loaded(sources[source]), jobs[0].problems.rows.shape[1]
    if np.ndim(X) != 2 or len(X) != n:
        raise AnalysisError(f"layer {source}: expected [{n}, d_model] activations, got {np.shape(X)}")
    try:
        whole = factor(X, dtype=dtype, device=device)
    except AnalysisError as error:
        raise AnalysisError(f"layer {source}: {error}") from error
    del X
    efforts = [Effort() for _ in jobs]
    parts = [
        job.reduce(_scored(whole, job, job.problems.learnable(), effort))
        for job, effort in zip(jobs, efforts, strict=True)
    ]
    return parts, efforts


def _scored(whole: Factor, job: SweepJob, fine: BoolArray, effort: Effort) -> NDArray[Any]:
    """Scores of one source, [problems, rows]: zeros for what cannot be learned, NaN where not needed."""
    labels, rows = job.problems.labels, job.problems.rows
    if fine.all() and not job.stages:
        return job.score(whole, job.problems, job.tol, effort)
    out = np.zeros(rows.shape, dtype=np.float32)
    stages = job.stages or [np.arange(len(rows))]
    for stage, members in enumerate(stages, 1):
        at = members[fine[members]]
        if at.size:
            part = Problems(labels if labels.ndim == 1 else labels[at], rows[at], job.problems.C[at])
            found = job.score(whole, part, job.tol, effort)
            out = out.astype(found.dtype, copy=False)
            out[at] = found
        if stage < len(stages) and job.enough(out, stage):
            out[np.concatenate(stages[stage:])] = np.nan
            break
    return out


def fold_aurocs(scores: NDArray[Any], labels: NDArray[Any], fold: IntArray) -> FloatArray:
    """AUROC over pairs inside one fold, of many scorers at once; as `stats.fold_auroc` gives it for one.

    Args:
        scores: [scorers, rows].
        labels: 0 or 1, [scorers, rows] or [rows] for all alike.
        fold: [rows]; rows below 0 are left out.

    Returns:
        [scorers], NaN where no fold holds both classes.
    """
    right, pairs = np.zeros(len(scores)), np.zeros(len(scores))
    truth = np.broadcast_to(labels, scores.shape)
    for index in np.unique(fold[fold >= 0]):
        rows = np.flatnonzero(fold == index)
        here, now = scores[:, rows], truth[:, rows]
        order = np.argsort(here, axis=1)
        ranked = np.take_along_axis(here, order, axis=1)
        positive = np.take_along_axis(now, order, axis=1).astype(np.float64)
        negatives = len(rows) - positive.sum(axis=1)
        first = np.ones(ranked.shape, dtype=np.bool_)
        first[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
        start = np.flatnonzero(first)  # of each run of tied scores, all scorers in a row
        up = np.add.reduceat(positive.ravel(), start)
        down = np.diff(start, append=positive.size) - up
        owner = start // len(rows)
        below = np.cumsum(down) - down - (np.cumsum(negatives) - negatives)[owner]
        right += np.bincount(owner, up * (below + down / 2), minlength=len(scores))
        pairs += positive.sum(axis=1) * negatives
    return np.divide(right, pairs, out=np.full(len(scores), np.nan), where=pairs > 0)
