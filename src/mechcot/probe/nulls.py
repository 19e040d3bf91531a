"""What the probe's AUROC would be if it knew nothing beyond position, length, kind and question.

The statistic is the largest AUROC over sources of a logistic probe at one penalty fixed in advance, on the
report's outer folds, computed alike on the true labels and on those of `probe.relabel`. A penalty chosen
by the true labels would suit them better than the draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mechcot.core.results import UNSTORED, Result, because
from mechcot.probe.data import BoolArray, Data, FloatArray, IntArray
from mechcot.probe.folds import Design
from mechcot.probe.relabel import claims_of, permuted_labels, redrawn_labels
from mechcot.probe.sweeps import Effort, Problems, SweepJob, fold_aurocs, logistic

MIN_CELLS = 50
MIN_STEPS = 50
NULL_C = 0.001
"""The one penalty of nulls and control task: strong, as wide activations want it."""

NULL_TOL = 1e-2
"""How exact their fits are. A p-value needs the true labels and the draws treated alike, no more; this moves
an AUROC by 1e-4 at most (250 labellings on 7,000 x 4,096), and the draws differ by 5e-3."""

NO_PAIRS = "no pair of steps to compare"


@dataclass(frozen=True)
class Null(Result):
    """The observed statistic beside its null.

    Attributes:
        observed: best source's AUROC at the fixed penalty on the true labels.
        mean: mean of the draws; None where too little can move.
        high: their 95 % point.
        p: share of draws (the data counted in) that reach `observed`; None likewise.
        n_cells: cells of one question, position, length and kind that hold claims of either label; None for
            the redrawn labels, which move between questions.
        n_permutable_steps: steps whose label changed in some draw.
        draws: number of them; 0 where too little can move.
        reason: why `p` is None.
        values: the draws' statistics.
    """

    observed: float | None = field(metadata=because(NO_PAIRS))
    mean: float | None = field(metadata=because(""))
    high: float | None = field(metadata=because(""))
    p: float | None = field(metadata=because(""))
    n_cells: int | None = field(metadata=because("labels move between questions"))
    n_permutable_steps: int
    draws: int
    reason: str = field(default="", metadata=UNSTORED)
    values: tuple[float, ...] = ()


@dataclass(frozen=True)
class Nulls(Result):
    """Two nulls of one statistic.

    Attributes:
        redrawn: labels redrawn given the numbers of erroneous claims of every question and of every
            position x length x kind; the primary one.
        permuted: labels permuted inside question x position x length x kind.
        by_source: each source's AUROC at the fixed penalty.
        C: that penalty.
    """

    redrawn: Null
    permuted: Null
    by_source: dict[Any, float | None] = field(metadata=UNSTORED)
    C: float


def null_job(data: Data, plan: Design) -> SweepJob:
    """Compare the best source's AUROC with that on redrawn and on permuted labels, as a job of a `sweep`.

    Each null has the settings' number of draws. Its `finish` gives `Nulls`.
    """
    y, draws, seed = plan.y, plan.settings.null_draws, plan.settings.seed
    sid, kind, n_steps = (data.column(name) for name in ("sid", "kind", "n_steps"))
    # Without questions, rows trade labels freely within position, length and kind.
    qid = np.zeros(len(y)) if data.groups is None else data.qid
    claims = claims_of(y, plan.codes, qid=qid, sid=sid, role=kind, n_steps=n_steps)
    redrawn, n_redrawn = redrawn_labels(y, claims, draws=draws, seed=seed)
    permuted, n_cells, n_permuted = permuted_labels(y, claims, draws=draws, seed=seed)
    few_steps = f"labels of {n_redrawn} steps can move; a p-value needs {MIN_STEPS}"
    few_cells = f"{n_cells} permutable cells; a p-value needs {MIN_CELLS}"
    if not draws:
        few_steps = few_cells = "no draws were asked for"
    redrawn = redrawn[: draws if n_redrawn >= MIN_STEPS else 0]
    permuted = permuted[: draws if n_cells >= MIN_CELLS else 0]
    labels = np.vstack([y.astype(np.int8)[None, :], redrawn, permuted])

    def finish(parts: dict[Any, FloatArray], _effort: Effort) -> Nulls:
        best = np.fmax.reduce(list(parts.values()))
        first, second = best[1 : 1 + len(redrawn)], best[1 + len(redrawn) :]
        return Nulls(
            _null(best[0], first, None, n_redrawn, few_steps),
            _null(best[0], second, n_cells, n_permuted, few_cells),
            {source: None if np.isnan(part[0]) else float(part[0]) for source, part in parts.items()},
            NULL_C,
        )

    return labellings_job(labels, np.stack(plan.train), plan.fold, finish)


def labellings_job(
    labels: NDArray[np.int8],
    train: BoolArray,
    fold: IntArray,
    finish: Callable[[dict[Any, FloatArray], Effort], Any],
    *,
    scored: BoolArray | None = None,
) -> SweepJob:
    """Fit many labellings alike, under `NULL_C`, and keep one AUROC of each, [labellings] a source.

    Args:
        labels: [labellings, steps].
        train: training rows of each fold, [folds, steps].
        fold: the fold a step is tested in, [steps].
        finish: what to make of the AUROCs of all sources.
        scored: steps whose pairs count, [steps]; None for all.
    """
    problems = Problems(
        np.repeat(labels, len(train), axis=0),
        np.tile(train, (len(labels), 1)),
        np.full(len(labels) * len(train), NULL_C),
    )
    counted = fold if scored is None else np.where(scored, fold, -1)

    def reduce(scores: NDArray[Any]) -> FloatArray:
        parts = scores.reshape(len(labels), len(train), -1)
        return fold_aurocs(parts[:, fold, np.arange(len(fold))], labels, counted)

    return SweepJob(problems, reduce, finish, logistic, NULL_TOL)


def _null(observed: float, null: FloatArray, n_cells: int | None, n_steps: int, few: str) -> Null:
    known = not np.isnan(observed)
    reason = "" if known and len(null) else few if known else NO_PAIRS
    p = (1 + (null >= observed - 1e-12).sum()) / (1 + len(null))
    return Null(
        observed=float(observed) if known else None,
        mean=None if reason else float(null.mean()),
        high=None if reason else float(np.quantile(null, 0.95)),
        p=None if reason else float(p),
        n_cells=n_cells,
        n_permutable_steps=n_steps,
        draws=len(null),
        values=tuple(null.tolist()),
        reason=reason,
    )
