"""What the probe's AUROC would be if it knew nothing beyond position, length, kind and question.

The statistic is the largest AUROC over sources of a logistic probe at one penalty fixed in advance, on the
report's outer folds, computed alike on the true labels and on those of `probe.relabel`. A penalty chosen
by the true labels would suit them better than the draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mechcot.probe.fit import Design
from mechcot.probe.folds import BoolArray, IntArray
from mechcot.probe.relabel import claims_of, permuted_labels, redrawn_labels
from mechcot.probe.sweep import Effort, FloatArray, Job, Problems, Sources, fold_aurocs, logistic, sweep
from mechcot.stats import leaf

MIN_CELLS = 50
MIN_STEPS = 50
NULL_C = 0.001
"""The one penalty of nulls and control task: strong, as wide activations want it."""

NULL_TOL = 1e-2
"""How exact their fits are. A p-value needs the true labels and the draws treated alike, no more; this moves
an AUROC by 1e-4 at most (250 labellings on 7,000 x 4,096), and the draws differ by 5e-3."""

DRAWS = 200


@dataclass(frozen=True)
class Null:
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

    observed: float | None
    mean: float | None
    high: float | None
    p: float | None
    n_cells: int | None
    n_permutable_steps: int
    draws: int
    reason: str = ""
    values: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "observed": leaf(self.observed, "no pair of steps to compare"),
            "mean": leaf(self.mean, self.reason),
            "high": leaf(self.high, self.reason),
            "p": leaf(self.p, self.reason),
            "n_cells": leaf(self.n_cells, "labels move between questions"),
            "n_permutable_steps": self.n_permutable_steps,
            "draws": self.draws,
            "values": list(self.values),
        }


@dataclass(frozen=True)
class Nulls:
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
    by_source: dict[Any, float | None]
    C: float

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values, without the sources."""
        return {"redrawn": self.redrawn.to_json(), "permuted": self.permuted.to_json(), "C": self.C}


def label_nulls(
    sources: Sources,
    y: IntArray,
    plan: Design,
    *,
    qid: Sequence[Any],
    sid: Sequence[int],
    role: Sequence[str],
    n_steps: Sequence[int] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    C: float = NULL_C,
) -> Nulls:
    """Compare the best source's AUROC with what it is on redrawn and on permuted labels.

    Args:
        sources: source to activations [steps, d_model], or to a function that loads them.
        y: 1 where the step is erroneous, [steps].
        plan: outer folds.
        qid: question of each step.
        sid: index of the step in its trace.
        role: kind of the step.
        n_steps: number of steps of its trace, in thirds a stratum too; None to leave length out.
        draws: labellings of each null.
        seed: of the draws.
        C: inverse penalty, fixed before the labels are seen.
    """
    job = null_job(y, plan, qid=qid, sid=sid, role=role, n_steps=n_steps, draws=draws, seed=seed, C=C)
    found: Nulls = sweep(sources, [job])[0]
    return found


def null_job(
    y: IntArray,
    plan: Design,
    *,
    qid: Sequence[Any],
    sid: Sequence[int],
    role: Sequence[str],
    n_steps: Sequence[int] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    C: float = NULL_C,
) -> Job:
    """`label_nulls` as a job of a `sweep`."""
    claims = claims_of(y, plan.codes, qid=qid, sid=sid, role=role, n_steps=n_steps)
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
            C,
        )

    return labellings_job(labels, np.stack(plan.train), plan.fold, C, finish)


def labellings_job(
    labels: NDArray[np.int8],
    train: BoolArray,
    fold: IntArray,
    C: float,
    finish: Callable[[dict[Any, FloatArray], Effort], Any],
    *,
    scored: BoolArray | None = None,
) -> Job:
    """Fit many labellings alike, as exactly as `NULL_TOL`, and keep one AUROC of each, [labellings] a source.

    Args:
        labels: [labellings, steps].
        train: training rows of each fold, [folds, steps].
        fold: the fold a step is tested in, [steps].
        C: inverse penalty of all.
        finish: what to make of the AUROCs of all sources.
        scored: steps whose pairs count, [steps]; None for all.
    """
    problems = Problems(
        np.repeat(labels, len(train), axis=0),
        np.tile(train, (len(labels), 1)),
        np.full(len(labels) * len(train), C),
    )
    counted = fold if scored is None else np.where(scored, fold, -1)

    def reduce(scores: NDArray[Any]) -> FloatArray:
        parts = scores.reshape(len(labels), len(train), -1)
        return fold_aurocs(parts[:, fold, np.arange(len(fold))], labels, counted)

    return Job(problems, reduce, finish, logistic, NULL_TOL)


def _null(observed: float, null: FloatArray, n_cells: int | None, n_steps: int, few: str) -> Null:
    known = not np.isnan(observed)
    reason = "" if known and len(null) else few if known else "no pair of steps to compare"
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
