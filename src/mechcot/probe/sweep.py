"""One pass over the sources of activations, in which every analysis fits what it needs.

A source is a layer, or a (rule, layer). Its factor is by far the largest thing held and often the
dearest to compute, so each source is loaded and factored once, serves the nested fit, the nulls and the
control task together, and is let go before the next one comes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mechcot.errors import AnalysisError
from mechcot.probe.folds import BoolArray, IntArray
from mechcot.probe.solver import TOL, Factor, factor, peak_bytes, solve

FloatArray = NDArray[np.float64]
Sources = Mapping[Any, Any]
"""Source to its activations [steps, d_model], or to a function without arguments that loads them."""

log = logging.getLogger("mechcot")

LONG = 10.0
"""Seconds from which on a sweep is announced."""

_EIGH = 13  # eigh's time over that of d³ multiplications in a matrix product, measured at d = 512 to 2048
_PASSES = 2.0  # passes over the scores in one iteration, each about as dear as a sigmoid


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


@dataclass(frozen=True, eq=False)
class Job:
    """What one analysis wants of every source.

    Attributes:
        problems: to fit on each source.
        reduce: scores [problems, rows] of one source to the little that is kept of them.
        finish: what was kept, by source, and the effort, to the result.
        score: how a problem's rows are scored; `logistic` or `class_means`.
        tol: of the fits, see `solver.solve`.
    """

    problems: Problems
    reduce: Callable[[NDArray[Any]], Any]
    finish: Callable[[dict[Any, Any], Effort], Any]
    score: Callable[[Factor, Problems, float, Effort], NDArray[Any]]
    tol: float = TOL


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
    import torch

    one = (problems.rows & (problems.labels == 1)).astype(np.float64)
    zero = (problems.rows & (problems.labels == 0)).astype(np.float64)
    share = one / one.sum(axis=1, keepdims=True) - zero / zero.sum(axis=1, keepdims=True)
    Z = whole.Z[:, :-1]
    direction = torch.as_tensor(share, dtype=Z.dtype, device=Z.device) @ Z
    out: NDArray[Any] = (direction @ Z.T).cpu().numpy()
    return out


def sweep(
    sources: Sources, jobs: Sequence[Job], *, dtype: str = "float32", device: str = "auto"
) -> list[Any]:
    """Give every job its fits on every source; results in the jobs' order.

    Sources are loaded one at a time, in the mapping's order. A problem whose training rows hold one class
    is not fitted: its scores are zeros, so that its pairs tie and count one half.

    Raises:
        AnalysisError: no sources, or one whose activations do not fit the labels or are not finite.
    """
    if not sources:
        raise AnalysisError("no activations: pass at least one layer's")
    usable = [job.problems.learnable() for job in jobs]
    kept: list[dict[Any, Any]] = [{} for _ in jobs]
    efforts = [Effort() for _ in jobs]
    told = False
    for source, given in sources.items():
        X = given() if callable(given) else given
        n = jobs[0].problems.rows.shape[1]
        if np.ndim(X) != 2 or len(X) != n:
            raise AnalysisError(f"layer {source}: expected [{n}, d_model] activations, got {np.shape(X)}")
        if not told:
            _tell(np.shape(X), len(sources), jobs)
            told = True
        try:
            whole = factor(X, dtype=dtype, device=device)
        except AnalysisError as error:
            raise AnalysisError(f"layer {source}: {error}") from error
        del X
        for job, fine, parts, effort in zip(jobs, usable, kept, efforts, strict=True):
            parts[source] = job.reduce(_scored(whole, job, fine, effort))
    return [job.finish(parts, effort) for job, parts, effort in zip(jobs, kept, efforts, strict=True)]


def _scored(whole: Factor, job: Job, fine: BoolArray, effort: Effort) -> NDArray[Any]:
    if fine.all():
        return job.score(whole, job.problems, job.tol, effort)
    labels, rows = job.problems.labels, job.problems.rows
    out = np.zeros(rows.shape, dtype=np.float32)
    if fine.any():
        part = Problems(labels if labels.ndim == 1 else labels[fine], rows[fine], job.problems.C[fine])
        out[fine] = job.score(whole, part, job.tol, effort)
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


@dataclass(frozen=True)
class Cost:
    """What a sweep is expected to take; the time within a factor of about two."""

    seconds: float
    bytes: int  # beside the activations of one source

    def __str__(self) -> str:
        return f"about {self.seconds:.0f} s and {self.bytes / 2**30:.1f} GiB"


def predict(
    n: int, d: int, sources: int, folds: tuple[int, int], grid: Sequence[float], draws: int, C: float = 0.01
) -> Cost:
    """Predict time and memory of a nested fit with its nulls, by timing two small operations here.

    Args:
        n: steps.
        d: width of the activations.
        sources: number of layers, or of (rule, layer).
        folds: outer and inner folds.
        grid: penalties of the nested fit.
        draws: label draws of all nulls and control labels together.
        C: their penalty.
    """
    outer, inner = folds
    return _cost(n, d, sources, np.array([*grid] * (outer * (inner + 1)) + [C] * (outer * draws)))


def _cost(n: int, d: int, sources: int, C: FloatArray) -> Cost:
    product, passing = _speed()
    rank = min(n, d)
    iterations = np.maximum(4.0, 15.0 + 4.0 * np.log10(C)).sum()
    decomposing = _EIGH * rank**3 + 2 * n * d * rank
    descending = iterations * (2 * n * rank * product + (n + rank) * _PASSES * passing)
    sorting = 60e-9 * n * len(C) / 5
    return Cost(
        sources * (decomposing * product + descending + sorting + 40e-9 * n * d), peak_bytes(n, d, len(C))
    )


@cache
def _speed() -> tuple[float, float]:
    """Seconds of one multiplication in a matrix product, and of a pass over one score, on this machine."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    a, b = torch.ones(256, 2048, device=device), torch.ones(2048, 1024, device=device)

    def timed(operation: Callable[[], torch.Tensor]) -> float:
        operation().sum().item()  # warm up
        start = time.perf_counter()
        for _ in range(3):
            operation().sum().item()
        return (time.perf_counter() - start) / 3

    return timed(lambda: a @ b) / (256 * 2048 * 1024), 4 * timed(lambda: torch.sigmoid(a)) / a.numel()


def _tell(shape: tuple[int, ...], sources: int, jobs: Sequence[Job]) -> None:
    """Say before work that takes long what it will take."""
    C = np.concatenate([job.problems.C for job in jobs if job.score is logistic] or [np.empty(0)])
    cost = _cost(shape[0], shape[1], sources, C)
    if cost.seconds > LONG:
        log.info("probe: %d fits on %d layers of %s: %s", len(C) * sources, sources, list(shape), cost)
