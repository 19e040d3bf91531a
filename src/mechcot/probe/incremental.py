"""What a probe adds to its confounds: bits a step, a robust test, and the probe on what they leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from mechcot.core.errors import AnalysisError
from mechcot.core.results import UNSTORED, Result, because
from mechcot.probe.cross_fitting import CrossFitted, chosen_folds, dense, log_loss, stacked, where_worth_it
from mechcot.probe.data import BoolArray, FloatArray, IntArray, Sources, loaded
from mechcot.probe.folds import Design, Rows
from mechcot.probe.metrics import auroc_interval
from mechcot.stats import Interval, ratio_interval

_RIDGE = 1e-2  # on standardised confounds: keeps a kind that never errs from having no finite fit
_SMALL = 1e-6  # share of a variance that is rounding
_COLUMNS = 512


@dataclass(frozen=True)
class Bits(Result):
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


@dataclass(frozen=True)
class Wald(Result):
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

    coefficient: float | None = field(metadata=because(""))
    se: float | None = field(metadata=because(""))
    statistic: float | None = field(metadata=because(""))
    p: float | None = field(metadata=because(""))
    n_questions: int
    reason: str = field(default="", metadata=UNSTORED)


@dataclass(frozen=True)
class Increment(Result):
    """Three views of what a probe adds to its confounds.

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


def increment(
    sources: Sources,
    confounds: FloatArray,
    probe: CrossFitted,
    chosen: Sequence[Mapping[str, Any]],
    plan: Design,
) -> Increment:
    """Bits, Wald test and residualised AUROC of one probe.

    Args:
        sources: see `data.Sources`.
        confounds: [steps, columns], as `baselines.feature_blocks` or `confound_features` make them.
        probe: its scores, of `cross_fitting.probe_scores`.
        chosen: an outer fold's `layer` and `C`, as `fit.nested` chose them.
        plan: the folds.

    Raises:
        AnalysisError: no more steps than confound columns, or activations that do not fit.
    """
    left = residualised_scores(sources, confounds, plan, chosen)
    return Increment(
        bits=added_bits(confounds, probe, plan),
        wald=wald_test(confounds, probe.scores(plan), plan),
        residualised=auroc_interval(left, plan),
        n_columns=confounds.shape[1],
    )


def added_bits(
    confounds: FloatArray, probe: CrossFitted, plan: Design, known: Sequence[CrossFitted] = ()
) -> Bits:
    """Bits a step that the probe's score adds to a logistic model of the confounds.

    Args:
        confounds: [steps, columns].
        probe: scores inside training rows and on test rows.
        plan: the folds; questions are resampled, fits held fixed.
        known: scores that count as confounds too, such as those of the words.

    Raises:
        AnalysisError: no more steps than confound columns.
    """
    y = plan.y
    _check(confounds, y)
    alone = stacked(confounds, known, plan)
    joined = where_worth_it(stacked(confounds, [*known, probe], plan), alone, plan)
    logits = (alone.log_odds(plan), joined.log_odds(plan), probe.prior[plan.fold])
    losses = [log_loss(logit, y) / np.log(2) for logit in logits]
    codes, _ = pd.factorize(plan.qid, sort=True)
    gains = np.bincount(codes, weights=losses[0] - losses[1])
    before, after, base = (float(loss.mean()) for loss in losses)
    used = (joined.inner_loss != alone.inner_loss) & np.isfinite(alone.inner_loss)
    gain = ratio_interval(gains, np.bincount(codes))
    return Bits(gain, before, after, base, int(used.any(axis=1).sum()))


def wald_test(confounds: FloatArray, scores: FloatArray, rows: Rows) -> Wald:
    """Test the score's coefficient in a logistic model of folds, confounds and score.

    The variance is clustered by question (Liang and Zeger 1986), with the factor G / (G - 1). A likelihood
    ratio would take the steps of a question for independent. Confounds bear a ridge of 0.01 on
    standardised columns, the score none.

    Args:
        confounds: [steps, columns].
        scores: out-of-fold, [steps].
        rows: the steps; each fold has its own intercept, so that scores meet inside a fold only.

    Raises:
        AnalysisError: no more steps than confound columns.
    """
    y, fold = rows.y, rows.fold
    _check(confounds, y)
    codes, names = pd.factorize(rows.qid)
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
    by_row = (y - expit(design @ weights))[:, None] * design
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
    sources: Sources, confounds: FloatArray, plan: Design, chosen: Sequence[Mapping[str, Any]]
) -> FloatArray:
    """Score test rows by a probe on `residualised` activations, at each fold's chosen source and C, [steps].

    It takes one factorisation a fold.
    """
    _check(confounds, plan.y)
    out = np.zeros(len(plan.y))
    for name, folds in chosen_folds(chosen):
        X = loaded(sources[name])
        for k, C in folds:
            train, test = plan.train[k], plan.fold == k
            left = residualised(X, confounds, train)
            # nothing of a fold's matrix is kept while the next one is made
            out[test] = dense(left, plan.y, dtype="float32")(train[None], np.array([C]))[0, test]
            del left
    return out


def _newton(design: FloatArray, y: IntArray, ridge: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Coefficients under half the ridge times their squares, and the curvature there."""
    weights = np.zeros(design.shape[1])

    def loss(at: FloatArray) -> float:
        return float(log_loss(design @ at, y).sum() + 0.5 * (ridge * at**2).sum())

    now = loss(weights)
    for _ in range(100):
        p = expit(design @ weights)
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


def _check(confounds: FloatArray, y: IntArray) -> None:
    if confounds.ndim != 2 or len(confounds) != len(y) or not np.isfinite(confounds).all():
        raise AnalysisError(f"confounds must be finite and [{len(y)}, columns], not {np.shape(confounds)}")
    if confounds.shape[1] >= len(y):
        raise AnalysisError(
            f"{confounds.shape[1]} confound columns for {len(y)} steps; more steps are needed"
        )
