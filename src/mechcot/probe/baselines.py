"""What is known without looking inside: position, length, kind, answer, uncertainty, words, and all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mechcot.core.errors import AnalysisError
from mechcot.core.results import SPREAD, Result
from mechcot.probe.cross_fitting import (
    CrossFitted,
    cross_fit,
    dense,
    folds_apart,
    lowest_loss,
    stacked,
    where_worth_it,
)
from mechcot.probe.data import BoolArray, Data, FloatArray
from mechcot.probe.fit import BASELINE_GRID, out_of_fold
from mechcot.probe.folds import Design
from mechcot.probe.incremental import used_or_not
from mechcot.probe.judged_steps import ORACLE
from mechcot.probe.metrics import Comparison, auroc_difference, auroc_interval, compare_auroc
from mechcot.probe.text import TEXT_GRID, texts
from mechcot.stats import Interval

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
    rows: BoolArray
    n_features: int
    label: str = ""
    fitted: CrossFitted | None = None


@dataclass(frozen=True)
class Baseline(Result):
    """One baseline: its AUROC, its AUROC within kind, and the probe minus it on the same rows."""

    label: str
    auroc: Interval
    within_kind: Interval
    probe_minus: Interval
    n_steps: int
    n_features: int


@dataclass(frozen=True)
class OnTheStack(Result):
    """What the probe adds to the comparator fixed in advance, the stack of all baselines.

    Attributes:
        with_probe: AUROC of the stack that has the probe's score as one more column.
        added: that compared with the AUROC of the stack alone, paired by question.
        n_folds: outer folds in which the inner ones found the probe worth its place; with none of them the
            gain is 0, without an interval.
    """

    with_probe: Interval
    added: Comparison = field(metadata=SPREAD)
    n_folds: int

    @property
    def gain(self) -> Interval:
        """AUROC with the probe minus AUROC without it."""
        return self.added.gain


def compare_baselines(
    data: Data, plan: Design, probe: CrossFitted, scores: FloatArray, extra: Mapping[str, NDArray[Any]]
) -> tuple[dict[str, Baseline], OnTheStack | None]:
    """Everything simpler that was given, and what the probe adds to all of it; nothing without confounds.

    Args:
        data: the steps.
        plan: the folds.
        probe: its scores on training rows too, for the stack.
        scores: its nested scores, [steps]; compared with a baseline on the baseline's rows.
        extra: as in `baseline_scores`.
    """
    if not (data.has_few or data.text is not None or data.question is not None or extra):
        return {}, None
    found = baseline_scores(data, plan, extra=extra, probe=probe)
    both = found.pop("stack_probe")
    added, n_folds = compare_auroc(both.scores, found["stack"].scores, plan), 0
    if both.fitted and found["stack"].fitted:
        n_folds = folds_apart(both.fitted, found["stack"].fitted)
    added = replace(added, gain=used_or_not(added.gain, n_folds))
    stack = OnTheStack(auroc_interval(both.scores, plan), added, n_folds)
    unknown = {"position_only": "sid", "kind_only": "kind"}
    kinds, out = data.column("kind"), {}
    for name, item in found.items():
        if name in unknown and unknown[name] not in data.known:
            continue
        here = plan.where(item.rows)
        out[name] = Baseline(
            label=item.label,
            auroc=auroc_interval(item.scores, here),
            within_kind=auroc_interval(item.scores, here, kinds[item.rows]),
            probe_minus=auroc_difference(scores[item.rows], item.scores, here),
            n_steps=int(item.rows.sum()),
            n_features=item.n_features,
        )
    return out, stack


def baseline_scores(
    data: Data,
    plan: Design,
    *,
    extra: Mapping[str, NDArray[Any]] | None = None,
    probe: CrossFitted | None = None,
) -> dict[str, BaselineScores]:
    """Score every step by each baseline, fitted and tested on the probe's own folds.

    A signal is scored where it is finite; in the stack a missing one is replaced by its mean and flagged.
    What says nothing (nowhere finite, the same everywhere, a fold without both classes) is left out.

    Args:
        data: the steps with their confounds, texts and questions.
        plan: the probe's folds.
        extra: further features, [steps, columns] each, by the name they are shown under: activations of
            untrained weights, sentence embeddings.
        probe: the probe's own scores; with them the stack is fitted with the probe as well.

    Raises:
        AnalysisError: an extra feature that is not finite or takes a baseline's name, or no more steps than
            confound columns.
    """
    extra = extra or {}
    _check_extra(extra, len(plan.y))
    blocks = feature_blocks(data)
    _few_enough(np.hstack(list(blocks.values())))
    every = np.ones(len(plan.y), dtype=bool)
    out = {
        name: BaselineScores(out_of_fold(block, plan), every, block.shape[1], LABELS[name])
        for name, block in blocks.items()
    }
    for name, values in data.signals.items():
        rows = np.isfinite(values)
        if all(len(np.unique(plan.y[train & rows])) == 2 for train in plan.train):
            scores = out_of_fold(values[rows, None], plan.where(rows))
            out[name] = BaselineScores(scores, rows, 1, LABELS[name])
    out |= _two_stage(data, plan, extra)
    out |= _stacks(plan, blocks, [row.fitted for row in out.values() if row.fitted], probe)
    names = list(LABELS)
    place = names.index("stack")
    order = [*names[:place], *extra, *names[place:]]
    return {name: out[name] for name in order if name in out}


def _two_stage(data: Data, plan: Design, extra: Mapping[str, NDArray[Any]]) -> dict[str, BaselineScores]:
    """Baselines of many columns: a stack takes their scores."""
    every, out = np.ones(len(plan.y), dtype=bool), {}
    for name, column in {"text_only": data.text, "question_only": data.question}.items():
        if column is not None and len(set(column)) > 1:
            fitted = cross_fit(texts(column, plan.y), plan, TEXT_GRID)
            out[name] = BaselineScores(fitted.scores(plan), every, 1, LABELS[name], fitted)
    for name, X in extra.items():
        fitted = cross_fit(dense(X, plan.y, dtype="float32"), plan, FEATURE_GRID)
        out[name] = BaselineScores(fitted.scores(plan), every, X.shape[1], name, fitted)
    return out


def _stacks(
    plan: Design,
    blocks: Mapping[str, FloatArray],
    scores: Sequence[CrossFitted],
    probe: CrossFitted | None,
) -> dict[str, BaselineScores]:
    """All baselines together, and with the probe.

    A stack learns from the columns of every block, or from one score a block: the one sees how blocks
    overlap, the other survives few steps. Inner folds choose.
    """
    every, columns = np.ones(len(plan.y), dtype=bool), np.hstack(list(blocks.values()))
    own = [cross_fit(dense(block, plan.y), plan, BASELINE_GRID) for block in blocks.values()]

    def fitted(further: Sequence[CrossFitted]) -> CrossFitted:
        wide = stacked(columns, [*scores, *further], plan)
        narrow = stacked(columns[:, :0], [*own, *scores, *further], plan)
        return lowest_loss([narrow, wide])

    width = columns.shape[1] + len(scores)
    stack = fitted([])
    out = {"stack": BaselineScores(stack.scores(plan), every, width, LABELS["stack"], stack)}
    if probe is not None:
        both = where_worth_it(fitted([probe]), stack, plan)
        label = LABELS["stack_probe"]
        out["stack_probe"] = BaselineScores(both.scores(plan), every, width + 1, label, both)
    return out


def feature_blocks(data: Data) -> dict[str, FloatArray]:
    """The low-dimensional features, [steps, columns] each, by the name of their baseline.

    Splines have knots that no label and no fold has a say in. What was not given, or is the same for all
    steps, has no block; position and kind always have one.
    """
    n, known = len(data.labels), data.known
    lengths = [np.log1p(known[name].astype(np.float64)) for name in ("n_words", "n_tokens") if name in known]
    answers = known.get("answer_right", np.zeros(n))
    signals = [values for name, values in data.signals.items() if name != ORACLE]
    out = {
        "position_only": position_features(data.column("sid"), data.column("n_steps")),
        "length_only": np.hstack([np.empty((n, 0)), *map(spline, lengths)]),
        "kind_only": kind_features(data.column("kind")),
        "answer_only": _one_hot(answers) if len(np.unique(answers)) > 1 else np.empty((n, 0)),
        "uncertainty": np.hstack([np.empty((n, 0)), *map(spline, signals)]),
        "confounds_only": np.empty((n, 0)) if data.others is None else confound_features(data.others)[0],
    }
    always = ("position_only", "kind_only")
    return {name: block for name, block in out.items() if name in always or block.shape[1]}


def position_features(sid: ArrayLike, n_steps: ArrayLike) -> FloatArray:
    """A column a step index, splines of relative position and of number of steps, [steps, features]."""
    index, total = np.asarray(sid, dtype=np.int64), np.asarray(n_steps, dtype=np.float64)
    relative = index / np.maximum(total - 1, 1)
    return np.column_stack(
        [_one_hot(np.minimum(index, MAX_POSITIONS)), spline(relative), spline(np.log(total))]
    )


def kind_features(kind: ArrayLike) -> FloatArray:
    """One column a kind, [steps, kinds]."""
    return _one_hot(np.asarray(kind, dtype=object))


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


def _one_hot(values: NDArray[Any]) -> FloatArray:
    codes, names = pd.factorize(values, sort=True)
    out = np.zeros((len(codes), len(names)))
    out[np.arange(len(codes)), codes] = 1.0
    return out
