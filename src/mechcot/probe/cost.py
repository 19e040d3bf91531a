"""What a probe report takes, told before it begins: seconds within a factor of about two, and memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from mechcot.probe import factors, solver
from mechcot.probe.arrays import Array, placed, sigmoid
from mechcot.probe.data import FloatArray
from mechcot.probe.settings import FitSettings

LONG = 10.0
"""Seconds from which on work is announced."""

_EIGH = 13  # eigh's time over that of d³ multiplications in a matrix product, measured at d = 512 to 2048
_PASSES = 2.0  # passes over the scores in one iteration, each about as dear as a sigmoid
_SORT = 60e-9  # seconds a score that is sorted into an AUROC
_SCALE = 30e-9  # seconds a number that is loaded and scaled
_WORDS = 25e-6  # seconds a character of the words baselines
_DRAW = 1e-6  # seconds a step and bootstrap draw
_SMALL = 1e-3  # seconds a step that the baselines of few columns and their stacks take
_TABLES = 180 << 20  # bytes of tables, texts and what the allocator keeps
_FEW = 32  # problems whose products take as long as those of none would: the matrix has to be read
_WEAK = 0.03  # on wide activations weaker penalties are seldom tried, see `fit.FALLEN`


@dataclass(frozen=True)
class Cost:
    """What some work is expected to take.

    Attributes:
        seconds: within a factor of about two.
        bytes: the most memory held at once, that of Python and its libraries left out.
    """

    seconds: float
    bytes: int

    def __str__(self) -> str:
        minutes = f" ({self.seconds / 60:.0f} min)" if self.seconds >= 120 else ""
        return f"about {self.seconds:.0f} s{minutes} and {self.bytes / 2**30:.1f} GiB"


@dataclass(frozen=True)
class Fits:
    """Logistic fits on one matrix.

    Attributes:
        C: the inverse penalty of each.
        tol: how exact they are.
        together: how many descend at a time; few make poor use of a matrix product.
    """

    C: FloatArray
    tol: float = solver.TOL
    together: int = solver.BATCH


def report_cost(
    shape: tuple[int, int],
    settings: FitSettings,
    *,
    sources: int,
    beside: int,
    jobs: Sequence[Fits],
    characters: int,
) -> Cost:
    """Predict a whole report, by timing two small operations here.

    Args:
        shape: steps and width of the activations.
        settings: folds, grid and draws.
        sources: layers, or (rule, layer), that are chosen from.
        beside: those that are only shown.
        jobs: what is fitted on each source; the first job alone on those beside.
        characters: of the distinct texts of steps and questions.
    """
    n, d = shape
    outer, inner = settings.folds, settings.inner
    swept = sources * _matrix(n, d, jobs) + beside * _matrix(n, d, jobs[:1])
    middle = float(np.median(settings.grid))
    # the chosen layer again for scores inside training rows, subjects and the card, and untrained weights;
    # without the confounds each fold has a matrix of its own
    fits = Fits(np.full(outer * (inner + 1), middle), together=outer)
    again = (outer + 5) * _matrix(n, d, [fits])
    rest = _WORDS * characters + _DRAW * n * settings.draws + _SMALL * n
    problems = max(len(job.C) for job in jobs)
    return Cost(swept + again + rest, _held(n, d, problems))


def _held(n: int, d: int, problems: int) -> int:
    """The most bytes that are held at once: in a sweep, or where the card is fitted in float64."""
    X = 4 * n * d
    leading = factors.peak_bytes(n, d) - X
    loading, factoring = 2 * X, X + factors.peak_bytes(n, d)
    solving = X + leading // 4 + solver.peak_bytes(n, min(n, d), problems)
    residual, card = X + factoring, X + factors.peak_bytes(n, d, itemsize=8)
    return _TABLES + 2 * n * problems + max(loading, factoring, solving, residual, card)


def _matrix(n: int, d: int, jobs: Sequence[Fits]) -> float:
    """Seconds for one matrix: loading, factoring, all its fits, their AUROCs."""
    product, passing = _speed()
    width = min(n, d)
    whole = min(d, n) <= factors.WHOLE
    leading = 0 if whole else d // factors.LEADING
    factoring = _EIGH * width**3 + 2 * n * d * width if whole else 6 * n * d * leading + 12 * d * leading**2
    seconds = factoring * product + _SCALE * n * d
    for job in jobs:
        tried = job.C if whole else job.C[job.C <= _WEAK]
        count = iterations(tried, whole=whole, tol=job.tol).sum() * (1 + _FEW / job.together)
        one = (2 * n * width + 4 * width * leading) * product + (n + 3 * width) * _PASSES * passing
        seconds += count * one + _SORT * n * len(job.C) / 5
    return float(seconds)


def iterations(C: FloatArray, *, whole: bool, tol: float = solver.TOL) -> FloatArray:
    """Iterations that a fit under each penalty takes, as counted at 7,000 x 4,096 and 4,000 x 2,048."""
    found = np.maximum(25 * C**0.27, 3.0) if whole else np.maximum(60 * C**0.32, 3.0)
    out: FloatArray = 1 + found * np.log10(tol) / np.log10(solver.TOL)
    return out


@cache
def _speed() -> tuple[float, float]:
    """Seconds of one multiplication in a matrix product, and of a pass over one score, on this machine."""
    a, b = (placed(np.ones(shape, np.float32), "auto") for shape in ((256, 2048), (2048, 1024)))

    def timed(operation: Callable[[], Array], times: int) -> float:
        operation().sum().item()  # warm up
        start, busy = time.perf_counter(), time.process_time()
        for _ in range(times):
            operation()
        operation().sum().item()
        # Beside other programs one thread is on the processor for less time than passes.
        return min(time.perf_counter() - start, time.process_time() - busy) / (times + 1)

    return timed(lambda: a @ b, 20) / (256 * 2048 * 1024), 4 * timed(lambda: sigmoid(a), 50) / (256 * 2048)
