"""Average precision, and recall at few false alarms, with ranks taken inside a fold.

Scores of different outer folds are not comparable, so every threshold belongs to one fold, and folds are
pooled by their erroneous steps. The interval of average precision leaves out question by question. A recall
hangs on where a threshold falls, as a quantile does, for which the jackknife is not consistent (Efron 1982,
section 3.4): its interval is the percentile bootstrap of questions. What both cover,
`scripts/coverage_ranks.py` measures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.typing import NDArray

from mechcot.core.errors import AnalysisError
from mechcot.core.results import Result, because
from mechcot.probe.data import FloatArray, IntArray
from mechcot.probe.folds import Rows
from mechcot.stats import Interval, jackknife_interval, percentile_interval, resampled_counts
from mechcot.stats.jackknife import left_out_counts

UNIT = "questions, scores held fixed"
"""What is resampled, for the method line of an interval."""

ONE_CLASS = "no fold has steps of both classes"
"""Why a ranking has no value."""


@dataclass(frozen=True)
class Recall(Result):
    """Share of erroneous steps found at a threshold that few correct ones pass.

    Attributes:
        at: share of correct steps that may pass, inside each fold.
        recall: share of erroneous steps that pass, with its interval.
        passed: share of correct steps that do pass; with few correct steps a fold it lies well below `at`.
    """

    at: float
    recall: Interval
    passed: float | None = field(metadata=because(ONE_CLASS))


def average_precision(scores: npt.ArrayLike, rows: Rows) -> float | None:
    """Average precision with ranks inside a fold; None without an erroneous step.

    On one fold it is scikit-learn's `average_precision_score`; folds are weighted by their erroneous steps.
    """
    ranked = _Ranked.of(scores, rows)
    value = ranked.precision(np.ones((1, len(rows.y))))[0]
    return float(value) if np.isfinite(value) else None


def average_precision_interval(scores: npt.ArrayLike, rows: Rows) -> Interval:
    """`average_precision` with the jackknife's interval over questions."""
    codes, names = pd.factorize(np.asarray(rows.qid, dtype=object), sort=True)
    ranked = _Ranked.of(scores, rows)
    chunks = left_out_counts(len(names), len(codes))
    return jackknife_interval(
        average_precision(scores, rows),
        np.concatenate([ranked.precision(counts[:, codes]) for counts in chunks]),
        logit=True,
        unit=UNIT,
        reason="no erroneous step",
    )


def recall_interval(scores: npt.ArrayLike, rows: Rows, *, at: float, draws: int, seed: int) -> Recall:
    """The most erroneous steps that a threshold a fold finds while at most a share of correct ones passes.

    On one fold it is the highest true positive rate of scikit-learn's `roc_curve` at no more than `at`.
    Folds are weighted by their erroneous steps.
    """
    ranked = _Ranked.of(scores, rows)
    found, passed = ranked.recall(np.ones((1, len(rows.y))), at)
    replicates, n = _resampled(lambda counts: ranked.recall(counts, at)[0], rows.qid, draws, seed)
    estimate = float(found[0]) if np.isfinite(found[0]) else None
    interval = percentile_interval(estimate, replicates, n, reason=ONE_CLASS, unit=UNIT)
    return Recall(at, interval, float(passed[0]) if np.isfinite(passed[0]) else None)


@dataclass(frozen=True, eq=False)
class _Ranked:
    """Rows from the highest score down, fold by fold.

    Attributes:
        order: the row at each place, [steps].
        positive: whether it is erroneous, [steps].
        last: the last place with the same score in the same fold, [steps].
        first: the first place of its fold, [steps].
        starts: the folds' first places, [folds].
    """

    order: IntArray
    positive: NDArray[np.bool_]
    last: IntArray
    first: IntArray
    starts: IntArray

    @classmethod
    def of(cls, scores: npt.ArrayLike, rows: Rows) -> _Ranked:
        values, y, fold = np.asarray(scores, dtype=np.float64), rows.y, rows.fold
        if values.shape != np.shape(y) or values.shape != np.shape(fold):
            raise AnalysisError(
                f"one score, label and fold a step are needed; got {values.shape}, {np.shape(y)} and "
                f"{np.shape(fold)}"
            )
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values))[0])
            raise AnalysisError(f"row {row}: the score {values[row]} is not a finite number")
        order = np.lexsort((-values, fold))
        group = np.asarray(fold)[order]
        opens = np.append(True, group[1:] != group[:-1])
        starts = np.flatnonzero(opens)
        changes = np.append(opens[1:] | (np.diff(values[order]) != 0), True)
        ends = np.flatnonzero(changes)
        last = ends[np.searchsorted(ends, np.arange(len(order)))]
        first = starts[np.cumsum(opens) - 1]
        return cls(order, np.asarray(y)[order] == 1, last, first, starts)

    def precision(self, counts: NDArray[Any]) -> FloatArray:
        """Average precision under weights of the rows, [draws, steps] to [draws]."""
        weight, hits, misses = self._passed(counts)
        own = weight * self.positive
        precision = np.divide(hits, hits + misses, out=np.zeros_like(hits), where=hits > 0)
        total = own.sum(axis=1)
        summed = (own * precision).sum(axis=1)
        return np.divide(summed, total, out=np.full(len(total), np.nan), where=total > 0)

    def recall(self, counts: NDArray[Any], at: float) -> tuple[FloatArray, FloatArray]:
        """Recall, and the share of negatives that pass, under weights [draws, steps]: [draws] each."""
        weight, hits, misses = self._passed(counts)
        totals = [
            np.add.reduceat(weight * mask, self.starts, axis=1) for mask in (self.positive, ~self.positive)
        ]
        fold = np.searchsorted(self.starts, self.first)
        # a fold without correct steps has no threshold to keep: it counts for nothing
        allowed = (misses <= at * totals[1][:, fold] + 1e-9) & (totals[1][:, fold] > 0)
        out = []
        for passed, total in zip((hits, misses), totals, strict=True):
            best = np.maximum.reduceat(np.where(allowed, passed, 0.0), self.starts, axis=1)
            whole = np.where(totals[1] > 0, total, 0.0).sum(axis=1)
            summed = best.sum(axis=1)
            out.append(np.divide(summed, whole, out=np.full(len(whole), np.nan), where=whole > 0))
        return out[0], out[1]

    def _passed(self, counts: NDArray[Any]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Weights in order, and the positives and negatives at or above each score, [draws, steps]."""
        weight = counts[:, self.order].astype(np.float64)
        sums = []
        for mask in (self.positive, ~self.positive):
            total = np.zeros((len(weight), weight.shape[1] + 1))
            np.cumsum(weight * mask, axis=1, out=total[:, 1:])
            sums.append(total[:, self.last + 1] - total[:, self.first])
        return weight, sums[0], sums[1]


def _resampled(
    statistic: Callable[[NDArray[Any]], FloatArray], qid: npt.ArrayLike, draws: int, seed: int
) -> tuple[FloatArray, int]:
    """A statistic of row weights [draws, steps] on replicates of the questions, [draws]; and their number."""
    codes, names = pd.factorize(np.asarray(qid, dtype=object), sort=True)
    chunks = resampled_counts(len(names), draws, seed, width=len(codes))
    return np.concatenate([statistic(counts[:, codes]) for counts in chunks]), len(names)
