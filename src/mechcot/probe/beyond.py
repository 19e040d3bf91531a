"""What a probe knows beyond its confounds: bits a step, a robust test, and the probe on what they leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.core.errors import AnalysisError
from mechcot.probe.cross_fit import (
    CrossFitted,
    Part,
    dense,
    gathered,
    log_loss,
    one_fold,
    stacked,
    where_worth_it,
)
from mechcot.probe.fit import Design
from mechcot.probe.folds import BoolArray, IntArray
from mechcot.probe.metrics import auroc_interval
from mechcot.probe.sweep import FloatArray, loaded
from mechcot.stats import Interval, bootstrap_ratio, leaf

_RIDGE = 1e-2  # on standardised confounds: keeps a kind that never errs from having no finite fit
_SMALL = 1e-6  # share of a variance that is rounding
_COLUMNS = 512


@dataclass(frozen=True)
class Bits:
    """Cross-fitted log-loss of the confounds less that of the confounds and the probe.

    Attributes:
        gain: bits a step, with its interval over questions; above 0 the probe adds something.
        confounds: log-loss of the confounds alone, bits a step.
        both: log-loss with the probe, bits a step.
        prevalence: log-loss of the training folds' error rate, bits a step.
        n_folds: outer folds in which the inner ones found the probe worth its place; with none of them the
            gain is 0 and so are both ends of its interval.
    """

    gain: Interval
    confounds: float
    both: float
    prevalence: float
    n_folds: int

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "gain": self.gain.to_json(),
            "confounds": self.confounds,
            "both": self.both,
            "prevalence": self.prevalence,
            "n_folds": self.n_folds,
        }


@dataclass(frozen=True)
class Wald:
    """Robust Wald test that the probe's score adds nothing to the confounds.

    Attributes:
        coefficient: log odds for one standard deviation of the score; None where it is not defined.
        se: its cluster-robust standard error.
        statistic: coefficient over standard error.
        p: that the coefficient is above 0, one-sided, Student's t with questions - 1 degrees of freedom. A
            worthless score leans below 0 when it is cross-fitted, so the other side would reject too often.
        n_questions: clusters.
        reason: why a value is None.
    """

    coefficient: float | None
    se: float | None
    statistic: float | None
    p: float | None
    n_questions: int
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values; a missing number carries its reason."""
        names = ("coefficient", "se", "statistic", "p")
        values = {name: leaf(getattr(self, name), self.reason) for name in names}
        return {**values, "n_questions": self.n_questions}


@dataclass(frozen=True)
class BeyondConfounds:
    """Three views of what a probe knows beyond its confounds.

    Attributes:
        bits: see `Bits`.
        wald: see `Wald`.
        residualised: AUROC of the probe on activations from which the confounds were regressed out by the
            training rows of each fold. What they explain non-linearly can be left in: bits come first.
        n_columns: of the confounds.
    """

    bits: Bits
    wald: Wald
    residualised: Interval
    n_columns: int

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "bits": self.bits.to_json(),
            "wald": self.wald.to_json(),
            "residualised": self.residualised.to_json(),
            "n_columns": self.n_columns,
        }


def beyond_confounds(
    sources: Mapping[Any, Any],
    confounds: FloatArray,
    probe: CrossFitted,
    chosen: Sequence[Mapping[str, Any]],
    y: IntArray,
    plan: Design,
    *,
    qid: Sequence[Any],
    draws: int,
    seed: int,
    n_inner: int = 3,
) -> BeyondConfounds:
    """Bits, Wald test and residualised AUROC of one probe.

    Args:
        sources: layer (any hashable) to activations [steps, d_model], or to a function that loads them.
        confounds: [steps, columns], as `baselines.feature_blocks` or `confound_features` make them.
        probe: its scores, of `probe_scores`.
        chosen: an outer fold's `layer` and `C`, as `fit.nested` chose them.
        y: 1 where the step is erroneous, [steps].
        plan: the outer folds.
        qid: question of each step.
        draws: bootstrap replicates.
        seed: of bootstrap and inner folds.
        n_inner: inner folds.

    Raises:
        AnalysisError: no more steps than confound columns, or activations that do not fit.
    """
    left = residualised_scores(sources, confounds, y, plan, chosen)
    return BeyondConfounds(
        bits=bits_beyond(confounds, probe, y, plan, qid=qid, draws=draws, seed=seed, n_inner=n_inner),
        wald=wald_test(confounds, probe.scores(plan), y, plan.fold, qid),
        residualised=auroc_interval(left, y, plan.fold, np.asarray(qid)),
        n_columns=confounds.shape[1],
    )


def probe_scores(
    sources: Mapping[Any, Any],
    y: IntArray,
    plan: Design,
    chosen: Sequence[Mapping[str, Any]],
    *,
    n_inner: int = 3,
    seed: int = 0,
) -> CrossFitted:
    """The nested probe's scores on training rows too: inner out-of-fold, at each fold's chosen layer and C.

    Layer and penalty were chosen on these training rows, so inner scores are a little optimistic; what is
    learned from them then trusts the probe a little too much, and its gain on test rows comes out lower.

    Args:
        sources: layer to activations [steps, d_model], or to a function that loads them.
        y: 1 where the step is erroneous, [steps].
        plan: the outer folds.
        chosen: an outer fold's `layer` and `C`, as `fit.nested` chose them.
        n_inner: inner folds.
        seed: of the inner folds, the nested fit's.
    """
    parts: dict[int, Part] = {}
    for layer in dict.fromkeys(row["layer"] for row in chosen):
        source = dense(loaded(sources[layer]), y, dtype="float32")
        for k, row in enumerate(chosen):
            if row["layer"] == layer:
                parts[k] = one_fold(source, y, plan, k, grid=[row["C"]], n_inner=n_inner, seed=seed)
    return gathered([parts[k] for k in range(len(chosen))])


def bits_beyond(
    confounds: FloatArray,
    probe: CrossFitted,
    y: IntArray,
    plan: Design,
    *,
    qid: Sequence[Any],
    draws: int,
    seed: int,
    known: Sequence[CrossFitted] = (),
    n_inner: int = 3,
) -> Bits:
    """Bits a step that the probe's score adds to a logistic model of the confounds.

    Args:
        confounds: [steps, columns].
        probe: scores inside training rows and on test rows.
        y: 1 where the step is erroneous, [steps].
        plan: the outer folds.
        qid: question of each step.
        draws: bootstrap replicates; questions are resampled, fits held fixed.
        seed: of bootstrap and inner folds.
        known: scores that count as confounds too, such as those of the words.
        n_inner: inner folds that choose each model's penalty.

    Raises:
        AnalysisError: no more steps than confound columns.
    """
    _check(confounds, y)
    folds: dict[str, Any] = {"n_inner": n_inner, "seed": seed}
    alone = stacked(confounds, known, y, plan, **folds)
    joined = where_worth_it(stacked(confounds, [*known, probe], y, plan, **folds), alone, plan)
    logits = (alone.log_odds(plan), joined.log_odds(plan), probe.prior[plan.fold])
    losses = [log_loss(logit, y) / np.log(2) for logit in logits]
    codes, _ = pd.factorize(np.asarray(qid, dtype=object), sort=True)
    gains = np.bincount(codes, weights=losses[0] - losses[1])
    before, after, base = (float(loss.mean()) for loss in losses)
    used = (joined.inner_loss != alone.inner_loss) & np.isfinite(alone.inner_loss)
    gain = bootstrap_ratio(gains, np.bincount(codes), draws, seed)
    return Bits(gain, before, after, base, int(used.any(axis=1).sum()))


def wald_test(
    confounds: FloatArray, scores: FloatArray, y: IntArray, fold: IntArray, qid: Sequence[Any]
) -> Wald:
    """Test the score's coefficient in a logistic model of folds, confounds and score.

    The variance is clustered by question (Liang and Zeger 1986), with the factor G / (G - 1). A likelihood
    ratio would take the steps of a question for independent. Confounds bear a ridge of 0.01 on
    standardised columns, the score none.

    Args:
        confounds: [steps, columns].
        scores: out-of-fold, [steps].
        y: 1 where the step is erroneous, [steps].
        fold: the outer fold of each step; each has its own intercept, so that scores meet inside a fold only.
        qid: question of each step.

    Raises:
        AnalysisError: no more steps than confound columns.
    """
    _check(confounds, y)
    codes, names = pd.factorize(np.asarray(qid, dtype=object))
    table = np.column_stack([confounds, fold[:, None] == np.unique(fold)[1:]])
    table = (table - table.mean(axis=0)) / np.where(table.std(axis=0) > 0, table.std(axis=0), 1.0)
    centred = scores - scores.mean()
    design = np.column_stack([np.ones(len(y)), table])
    rest = centred - design @ np.linalg.lstsq(design, centred, rcond=None)[0]
    if rest @ rest <= _SMALL * max(centred @ centred, 1e-12):
        return Wald(None, None, None, None, len(names), "the score is a function of the confounds")
    design = np.column_stack([design, centred / centred.std()])
    ridge = np.array([0.0, *[_RIDGE] * table.shape[1], 0.0])
    weights, curvature = _newton(design, y, ridge)
    by_row = (y - _probability(design @ weights))[:, None] * design
    sums = np.zeros((len(names), design.shape[1]))
    np.add.at(sums, codes, by_row)
    correction = len(names) / max(len(names) - 1, 1)
    last = np.linalg.solve(curvature, np.eye(len(ridge))[-1])
    se = float(np.sqrt(correction * ((sums @ last) ** 2).sum()))
    from scipy.stats import t

    statistic = float(weights[-1]) / se
    p = float(t.sf(statistic, max(len(names) - 1, 1)))
    return Wald(float(weights[-1]), se, statistic, p, len(names))


def residualised(X: NDArray[Any], confounds: FloatArray, train: BoolArray) -> NDArray[Any]:
    """Take from every row what the confounds say of it, as least squares learns it on the training rows.

    Args:
        X: activations [steps, d_model].
        confounds: [steps, columns].
        train: training rows, [steps].

    Returns:
        [steps, d_model], of the type of X, reckoned in float64; a column that the confounds explain whole is
        exactly 0.
    """
    centre = confounds[train].mean(axis=0)
    design = np.column_stack([np.ones(len(confounds)), confounds - centre])
    inverse = np.linalg.pinv(design[train])
    out = np.empty(X.shape, dtype=X.dtype if np.issubdtype(X.dtype, np.floating) else np.float64)
    for start in range(0, X.shape[1], _COLUMNS):  # some columns at a time: no float64 copy of the whole
        part = slice(start, start + _COLUMNS)
        values = np.asarray(X[:, part], dtype=np.float64)
        left = values - design @ (inverse @ values[train])
        left[:, left[train].var(axis=0) <= _SMALL**2 * values[train].var(axis=0)] = 0.0
        out[:, part] = left
    return out


def residualised_scores(
    sources: Mapping[Any, Any],
    confounds: FloatArray,
    y: IntArray,
    plan: Design,
    chosen: Sequence[Mapping[str, Any]],
) -> FloatArray:
    """Score test rows by a probe on `residualised` activations, at each fold's chosen layer and C, [steps].

    It takes one factorisation a fold.
    """
    _check(confounds, y)
    out = np.zeros(len(y))
    for layer in dict.fromkeys(row["layer"] for row in chosen):
        X = loaded(sources[layer])
        for k, row in enumerate(chosen):
            if row["layer"] == layer:
                train, test = plan.train[k], plan.fold == k
                left = residualised(X, confounds, train)
                # nothing of a fold's matrix is kept while the next one is made
                out[test] = dense(left, y, dtype="float32")(train[None], np.array([row["C"]]))[0, test]
                del left
    return out


def _newton(design: FloatArray, y: IntArray, ridge: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Coefficients under half the ridge times their squares, and the curvature there."""
    weights = np.zeros(design.shape[1])

    def loss(at: FloatArray) -> float:
        return float(log_loss(design @ at, y).sum() + 0.5 * (ridge * at**2).sum())

    now = loss(weights)
    for _ in range(100):
        p = _probability(design @ weights)
        gradient = design.T @ (p - y) + ridge * weights
        curvature = (design.T * (p * (1 - p))) @ design + np.diag(ridge)
        step = np.linalg.lstsq(curvature, gradient, rcond=None)[0]
        size = 1.0
        while loss(weights - size * step) > now and size > 1e-6:
            size /= 2
        weights = weights - size * step
        now = loss(weights)
        if gradient @ step < 1e-10:
            return weights, curvature
    raise AnalysisError(
        "the Wald test's logistic fit did not converge: the score separates erroneous from correct steps"
    )


def _probability(logit: FloatArray) -> FloatArray:
    from scipy.special import expit

    out: FloatArray = expit(logit)
    return out


def _check(confounds: FloatArray, y: IntArray) -> None:
    if confounds.ndim != 2 or len(confounds) != len(y) or not np.isfinite(confounds).all():
        raise AnalysisError(f"confounds must be finite and [{len(y)}, columns], not {np.shape(confounds)}")
    if confounds.shape[1] >= len(y):
        raise AnalysisError(
            f"{confounds.shape[1]} confound columns for {len(y)} steps; more steps are needed"
        )
