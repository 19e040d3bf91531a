"""What is known without looking inside: position, length, kind, answer, uncertainty, words, and all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.core.errors import AnalysisError
from mechcot.probe.cross_fit import CrossFitted, cross_fit, dense, lowest_loss, stacked, where_worth_it
from mechcot.probe.fit import BASELINE_GRID, Design, out_of_fold
from mechcot.probe.folds import IntArray
from mechcot.probe.sweep import FloatArray
from mechcot.probe.table import ORACLE
from mechcot.probe.text import TEXT_GRID, texts

_SIGNAL_LABELS = {
    "entropy_end": "entropy at step end",
    "entropy_mean": "entropy, step mean",
    "entropy_max": "entropy, step maximum",
    "surprisal_end": "surprisal of the step's last token",
    "surprisal_mean": "surprisal, step mean",
    "surprisal_max": "surprisal, step maximum",
    "entropy_start": "entropy at the step's first token",
    "surprisal_start": "surprisal of the step's first token",
    "entropy_before": "entropy before the step",
    "surprisal_before": "surprisal of the token before the step",
    "entropy_decision": "entropy at the claim's decision",
    "surprisal_decision": "surprisal of the token of the claim's decision",
}

LABELS = {
    "position_only": "position only",
    "length_only": "length only",
    "kind_only": "kind of step only",
    "answer_only": "final answer right or wrong",
    **_SIGNAL_LABELS,
    "uncertainty": "all of the model's own uncertainty",
    "confounds_only": "the confounds given",
    "text_only": "words and characters of the step",
    "question_only": "words and characters of the question",
    "stack": "all of these together",
    "stack_probe": "all of these and the probe",
    ORACLE: "entropy at the object (an oracle finds it)",
}
"""Baselines in the order in which they are shown; named features of the caller's stand before the stack.

The stack holds all above it and not the oracle's. It is the probe's comparator, fixed in advance.
"""

MAX_POSITIONS = 24
"""Step indices from here on share one column: few traces reach them."""

FEATURE_GRID = (0.001, 0.01, 0.1)
"""Inverse penalties for features of the caller's, high-dimensional ones above all."""

_FEW = 6  # distinct numbers that get a column each instead of a spline
_KNOTS = 5


@dataclass(frozen=True, eq=False)
class BaselineScores:
    """Out-of-fold scores of one baseline on the rows where it is defined.

    Attributes:
        scores: comparable inside a fold only, [rows kept].
        rows: which steps, [steps].
        n_features: columns it saw; in a stack a score is one.
        label: in words.
        fitted: its scores inside training rows, where something was fitted to them.
    """

    scores: FloatArray
    rows: NDArray[np.bool_]
    n_features: int
    label: str = ""
    fitted: CrossFitted | None = None


def baseline_scores(
    y: IntArray,
    plan: Design,
    *,
    role: Sequence[str],
    sid: Sequence[int],
    n_steps: Sequence[int],
    signals: Mapping[str, NDArray[Any]],
    n_words: Sequence[int] | None = None,
    n_tokens: Sequence[int] | None = None,
    answer_right: Sequence[int] | None = None,
    text: Sequence[str] | None = None,
    question: Sequence[str] | None = None,
    confounds: pd.DataFrame | None = None,
    extra: Mapping[str, NDArray[Any]] | None = None,
    probe: CrossFitted | None = None,
    n_inner: int = 3,
    seed: int = 0,
) -> dict[str, BaselineScores]:
    """Score every step by each baseline, fitted and tested on the probe's own folds.

    A signal is scored where it is finite; in the stack a missing one is replaced by its mean and flagged.
    What says nothing (nowhere finite, the same everywhere, a fold without both classes) is left out.

    Args:
        y: 1 where the step is erroneous, [steps].
        plan: the probe's folds.
        role: kind of the step.
        sid: index of the step in its trace.
        n_steps: number of steps of its trace.
        signals: names of `table.SIGNALS_AT` at the probe's own site, and `table.ORACLE`, [steps] each.
        n_words: words of the step.
        n_tokens: tokens of the step.
        answer_right: 1, 0 or -1 as `table.step_table` gives it.
        text: the step's text.
        question: its question's text.
        confounds: columns of the caller's, as `confound_features` takes them.
        extra: features of the caller's, [steps, columns] each, by the name they are shown under:
            activations of untrained weights, sentence embeddings.
        probe: the probe's own scores; with them the stack is fitted with the probe as well.
        n_inner: inner folds of what is fitted in two stages.
        seed: of the inner folds.

    Raises:
        AnalysisError: a signal that is not known, an extra feature that is not finite or takes a
            baseline's name, or no more steps than confound columns.
    """
    known = {*_SIGNAL_LABELS, ORACLE}
    if unknown := sorted(set(signals) - known):
        raise AnalysisError(f"signals {unknown} are not known; the known ones are {sorted(known)}")
    _check_extra(extra or {}, len(y))
    blocks = feature_blocks(
        role=role, sid=sid, n_steps=n_steps, signals=signals, n_words=n_words, n_tokens=n_tokens,
        answer_right=answer_right, confounds=confounds,
    )  # fmt: skip
    _few_enough(np.hstack(list(blocks.values())))
    every = np.ones(len(y), dtype=bool)
    out = {
        name: BaselineScores(out_of_fold(block, y, plan), every, block.shape[1], LABELS[name])
        for name, block in blocks.items()
    }
    for name, values in signals.items():
        found = _one_signal(name, np.asarray(values, dtype=np.float64), y, plan)
        if found is not None:
            out[name] = found
    folds: dict[str, Any] = {"n_inner": n_inner, "seed": seed}
    words = {"text_only": text, "question_only": question}
    out |= _two_stage(y, plan, words, extra or {}, folds)
    out |= _stacks(y, plan, blocks, [row.fitted for row in out.values() if row.fitted], probe, folds)
    names = list(LABELS)
    place = names.index("stack")
    order = [*names[:place], *(extra or {}), *names[place:]]
    return {name: out[name] for name in order if name in out}


def _two_stage(
    y: IntArray,
    plan: Design,
    words: Mapping[str, Sequence[str] | None],
    extra: Mapping[str, NDArray[Any]],
    folds: Mapping[str, Any],
) -> dict[str, BaselineScores]:
    """Baselines of many columns: a stack takes their scores."""
    every, out = np.ones(len(y), dtype=bool), {}
    for name, column in words.items():
        if column is not None and len(set(column)) > 1:
            fitted = cross_fit(texts(column, y), y, plan, grid=TEXT_GRID, **folds)
            out[name] = BaselineScores(fitted.scores(plan), every, 1, LABELS[name], fitted)
    for name, X in extra.items():
        fitted = cross_fit(dense(X, y, dtype="float32"), y, plan, grid=FEATURE_GRID, **folds)
        out[name] = BaselineScores(fitted.scores(plan), every, X.shape[1], name, fitted)
    return out


def _stacks(
    y: IntArray,
    plan: Design,
    blocks: Mapping[str, FloatArray],
    scores: Sequence[CrossFitted],
    probe: CrossFitted | None,
    folds: Mapping[str, Any],
) -> dict[str, BaselineScores]:
    """All baselines together, and with the probe.

    A stack learns from the columns of every block, or from one score a block: the one sees how blocks
    overlap, the other survives few steps. Inner folds choose.
    """
    every, columns = np.ones(len(y), dtype=bool), np.hstack(list(blocks.values()))
    own = [cross_fit(dense(block, y), y, plan, grid=BASELINE_GRID, **folds) for block in blocks.values()]

    def fitted(further: Sequence[CrossFitted]) -> CrossFitted:
        wide = stacked(columns, [*scores, *further], y, plan, **folds)
        narrow = stacked(columns[:, :0], [*own, *scores, *further], y, plan, **folds)
        return lowest_loss([narrow, wide])

    width = columns.shape[1] + len(scores)
    stack = fitted([])
    out = {"stack": BaselineScores(stack.scores(plan), every, width, LABELS["stack"], stack)}
    if probe is not None:
        both = where_worth_it(fitted([probe]), stack, plan)
        label = LABELS["stack_probe"]
        out["stack_probe"] = BaselineScores(both.scores(plan), every, width + 1, label, both)
    return out


def feature_blocks(
    *,
    role: Sequence[str],
    sid: Sequence[int],
    n_steps: Sequence[int],
    signals: Mapping[str, NDArray[Any]] | None = None,
    n_words: Sequence[int] | None = None,
    n_tokens: Sequence[int] | None = None,
    answer_right: Sequence[int] | None = None,
    confounds: pd.DataFrame | None = None,
) -> dict[str, FloatArray]:
    """The low-dimensional features, [steps, columns] each, by the name of their baseline.

    Splines have knots that no label and no fold has a say in. What was not given, or is the same for all
    steps, has no block; position and kind always have one.
    """
    out = {"position_only": position_features(sid, n_steps), "kind_only": kind_features(role)}
    lengths = [np.log1p(np.asarray(v, dtype=np.float64)) for v in (n_words, n_tokens) if v is not None]
    out["length_only"] = _side_by_side([spline(values) for values in lengths], len(role))
    if answer_right is not None:
        answers = np.asarray(answer_right)
        out["answer_only"] = _one_hot(answers) if len(np.unique(answers)) > 1 else np.empty((len(role), 0))
    own = [np.asarray(v, dtype=np.float64) for name, v in (signals or {}).items() if name != ORACLE]
    out["uncertainty"] = _side_by_side([spline(values) for values in own], len(role))
    if confounds is not None:
        if len(confounds) != len(role):
            raise AnalysisError(f"the confounds have {len(confounds)} rows for {len(role)} steps")
        out["confounds_only"] = confound_features(confounds)[0]
    always = ("position_only", "kind_only")
    return {name: out[name] for name in LABELS if name in out and (name in always or out[name].shape[1])}


def position_features(sid: Sequence[int], n_steps: Sequence[int]) -> FloatArray:
    """A column a step index, splines of relative position and of number of steps, [steps, features]."""
    index, total = np.asarray(sid, dtype=np.int64), np.asarray(n_steps, dtype=np.float64)
    relative = index / np.maximum(total - 1, 1)
    return np.column_stack(
        [_one_hot(np.minimum(index, MAX_POSITIONS)), spline(relative), spline(np.log(total))]
    )


def kind_features(role: Sequence[str]) -> FloatArray:
    """One column a role, [steps, roles]."""
    return _one_hot(np.asarray(role, dtype=object))


def confound_features(frame: pd.DataFrame) -> tuple[FloatArray, list[str]]:
    """Turn a caller's confounds into columns: numbers into splines, everything else into one column a value.

    Args:
        frame: one row a step. A missing value gets a column that flags it.

    Returns:
        [steps, columns], and the column of the frame that each came from.

    Raises:
        AnalysisError: no columns, infinite numbers, or no more steps than columns.
    """
    if frame.shape[1] == 0:
        raise AnalysisError("the confounds have no column; leave them out or give at least one")
    parts, names = [], []
    for name, column in frame.items():
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
            infinite = np.flatnonzero(np.isinf(values))
            if infinite.size:
                raise AnalysisError(
                    f"confound '{name}', row {infinite[0]}: {values[infinite[0]]} is no number"
                )
            part = spline(values)
        else:
            part = _one_hot(column.astype(object).where(column.notna(), "").to_numpy())
        parts.append(part)
        names += [str(name)] * part.shape[1]
    return _few_enough(np.hstack(parts)), names


def spline(values: NDArray[Any]) -> FloatArray:
    """A cubic spline of one number a step: [steps] to [steps, columns], none where it is constant.

    Knots stand at quantiles of all values, beyond which it is constant; few distinct values get a column
    each. A missing value stands at the mean and is flagged by a column of its own.
    """
    gaps = ~np.isfinite(values)
    if gaps.all():
        return np.empty((len(values), 0))
    filled = np.where(gaps, values[~gaps].mean(), values)
    distinct = np.unique(filled)
    flag = [gaps[:, None].astype(np.float64)] if gaps.any() else []
    if len(distinct) <= _FEW:
        return np.hstack([_one_hot(filled) if len(distinct) > 1 else filled[:, None][:, :0], *flag])
    from sklearn.preprocessing import SplineTransformer

    knots = np.unique(np.quantile(filled, np.linspace(0, 1, _KNOTS)))
    if len(knots) < 3:  # most values are equal: the range decides
        knots = np.linspace(distinct[0], distinct[-1], _KNOTS)
    made = SplineTransformer(knots=knots[:, None], extrapolation="constant", include_bias=False)
    return np.hstack([made.fit_transform(filled[:, None]), *flag])


def _one_signal(name: str, values: FloatArray, y: IntArray, plan: Design) -> BaselineScores | None:
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
    return BaselineScores(out_of_fold(values[rows, None], y[rows], part), rows, 1, LABELS[name])


def _check_extra(extra: Mapping[str, NDArray[Any]], n: int) -> None:
    for name, X in extra.items():
        if name in LABELS:
            raise AnalysisError(f"'{name}' is the name of a baseline; call the extra features something else")
        if np.ndim(X) != 2 or len(X) != n or not np.isfinite(X).all():
            raise AnalysisError(
                f"'{name}': extra features must be finite and [{n}, columns], got {np.shape(X)}"
            )


def _few_enough(table: FloatArray) -> FloatArray:
    if table.shape[1] >= len(table):
        raise AnalysisError(
            f"{table.shape[1]} confound columns for {len(table)} steps; more steps are needed, or confounds "
            "with fewer values"
        )
    return table


def _side_by_side(parts: Sequence[FloatArray], n: int) -> FloatArray:
    return np.hstack([np.empty((n, 0)), *parts])


def _one_hot(values: NDArray[Any]) -> FloatArray:
    codes, names = pd.factorize(values, sort=True)
    out = np.zeros((len(codes), len(names)))
    out[np.arange(len(codes)), codes] = 1.0
    return out
