"""What is known without looking inside: position, kind and the model's own uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.errors import AnalysisError
from mechcot.probe.fit import Design, FloatArray, out_of_fold
from mechcot.probe.folds import IntArray

LABELS = {
    "position_only": "position only",
    "kind_only": "kind of step only",
    "entropy_end": "entropy at step end",
    "surprisal_mean": "surprisal, step mean",
    "surprisal_max": "surprisal, step maximum",
    "stack": "all of these together",
    "entropy_object": "entropy at the object (an oracle finds it)",
}
"""Baselines in the order in which they are shown. The stack holds all but the oracle's."""

MAX_POSITIONS = 24
"""Step indices from here on share one column: few traces reach them."""


@dataclass(frozen=True, eq=False)
class BaselineScores:
    """Out-of-fold scores of one baseline on the rows where it is defined."""

    scores: FloatArray  # [rows kept]
    rows: NDArray[np.bool_]  # [steps]
    n_features: int


def position_features(sid: Sequence[int], n_steps: Sequence[int]) -> FloatArray:
    """One column a step index, and a cubic in the relative position, [steps, features]."""
    index, total = np.asarray(sid, dtype=np.int64), np.asarray(n_steps, dtype=np.float64)
    levels = np.minimum(index, MAX_POSITIONS)
    relative = index / np.maximum(total - 1, 1)
    return np.column_stack([_one_hot(levels), relative, relative**2, relative**3])


def kind_features(role: Sequence[str]) -> FloatArray:
    """One column a role, [steps, roles]."""
    return _one_hot(np.asarray(role, dtype=object))


def baseline_scores(
    y: IntArray,
    plan: Design,
    *,
    role: Sequence[str],
    sid: Sequence[int],
    n_steps: Sequence[int],
    signals: Mapping[str, NDArray[Any]],
) -> dict[str, BaselineScores]:
    """Score every step by each baseline, fitted and tested on the probe's own folds.

    A signal is scored where it is finite; in the stack a missing one is replaced by its mean and flagged.
    A signal that is nowhere finite, or leaves a fold without both classes, is left out.

    Raises:
        AnalysisError: a signal that is not known, or no more steps than confound columns.
    """
    unknown = sorted(set(signals) - set(LABELS))
    if unknown:
        raise AnalysisError(f"signals {unknown} are not known; the known ones are {list(LABELS)[2:]}")
    position, kind = position_features(sid, n_steps), kind_features(role)
    own = {name: np.asarray(values, dtype=np.float64) for name, values in signals.items()}
    stack = [position, kind, *(_filled(v) for name, v in own.items() if name != "entropy_object")]
    table = np.hstack([part for part in stack if part.size])
    if table.shape[1] >= len(y):
        raise AnalysisError(f"{table.shape[1]} confound columns for {len(y)} steps; more steps are needed")
    every = np.ones(len(y), dtype=bool)
    out = {
        "position_only": BaselineScores(out_of_fold(position, y, plan), every, position.shape[1]),
        "kind_only": BaselineScores(out_of_fold(kind, y, plan), every, kind.shape[1]),
        "stack": BaselineScores(out_of_fold(table, y, plan), every, table.shape[1]),
    }
    for name, values in own.items():
        found = _one_signal(values, y, plan)
        if found is not None:
            out[name] = found
    return {name: out[name] for name in LABELS if name in out}


def _one_signal(values: FloatArray, y: IntArray, plan: Design) -> BaselineScores | None:
    rows = np.isfinite(values)
    if any(len(np.unique(y[train & rows])) < 2 for train in plan.train):
        return None
    part = Design(
        plan.block[rows],
        plan.fold[rows],
        plan.codes[rows],
        tuple(train[rows] for train in plan.train),
        plan.purged_share,
    )
    return BaselineScores(out_of_fold(values[rows, None], y[rows], part), rows, 1)


def _filled(values: FloatArray) -> FloatArray:
    """A signal with its gaps at the mean, and a column that flags them if there are any."""
    gaps = ~np.isfinite(values)
    if gaps.all():
        return np.empty((len(values), 0))
    filled = np.where(gaps, values[~gaps].mean(), values)
    return np.column_stack([filled, gaps]) if gaps.any() else filled[:, None]


def _one_hot(values: NDArray[Any]) -> FloatArray:
    codes, names = pd.factorize(values, sort=True)
    out = np.zeros((len(codes), len(names)))
    out[np.arange(len(codes)), codes] = 1.0
    return out
