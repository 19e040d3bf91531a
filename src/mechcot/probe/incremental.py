"""What a probe adds to its confounds: bits a step, a robust test, and the probe on what they leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from mechcot.core.errors import AnalysisError
from mechcot.core.results import UNSTORED, Result, because
from mechcot.probe.cross_fitting import (
    CrossFitted,
    chosen_folds,
    dense,
    folds_apart,
    log_loss,
    stacked,
    where_worth_it,
)
from mechcot.probe.data import BoolArray, FloatArray, IntArray, Sources, loaded
from mechcot.probe.folds import Design, Rows
from mechcot.probe.metrics import auroc_interval
from mechcot.stats import Interval, ratio_interval

MARGIN = 0.05
"""Share of the label's entropy that counts as nothing, fixed before anything is fitted."""

NOT_USED = "no fold used the probe"
"""Why a gain of 0 has no interval: in no fold did the inner folds find the probe worth its place."""

_RIDGE = 1e-2  # on standardised confounds: keeps a kind that never errs from having no finite fit
_SMALL = 1e-6  # share of a variance that is rounding
_COLUMNS = 512
_TIED = 1e-4  # of a fit's range of scores: about what a float32 fit leaves open


@dataclass(frozen=True)
class Bits(Result):
    """Cross-fitted log-loss of the confounds less that of the confounds and the probe.

    Attributes:
        gain: bits a step, with its interval over questions; above 0 the probe adds something.
        confounds: log-loss of the confounds alone, bits a step.
        both: log-loss with the probe, bits a step.
        prevalence: log-loss of the training folds' error rate, bits a step.
        n_folds: outer folds in which the inner ones found the probe worth its place; with none of them the
            gain is 0, without an interval.
    """

    gain: Interval
    confounds: float
    both: float
    prevalence: float
    n_folds: int


@dataclass(frozen=True)
class BeyondPosition(Result):
    """What the probe adds to the step's position, in every fold, whether or not it looks worth its place.

    Without that a probe that is left out would show nothing where little was to be seen.

    Attributes:
        gain: log-loss of position less that of position and probe, bits a step, questions resampled.
        margin: below which it counts as nothing: `MARGIN` of the entropy of the label, bits.
    """

    gain: Interval
    margin: float

    @property
    def is_nothing(self) -> bool:
        """Whether the whole interval lies under the margin."""
        return self.gain.high is not None and self.gain.high < self.margin


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
    _check(confounds, plan.y)
    alone = stacked(confounds, known, plan)
    joined = where_worth_it(stacked(confounds, [*known, probe], plan), alone, plan)
    losses = [_bits(logit, plan) for logit in (alone.log_odds(plan), joined.log_odds(plan))]
    before, after, base = (float(x.mean()) for x in (*losses, _bits(probe.prior[plan.fold], plan)))
    n_folds = folds_apart(joined, alone)
    gain = used_or_not(_gain(losses[0] - losses[1], plan), n_folds)
    return Bits(gain, before, after, base, n_folds)


def beyond_position(position: FloatArray, probe: CrossFitted, plan: Design) -> BeyondPosition:
    """Bits a step that the probe's score adds to a logistic model of the step's position.

    Args:
        position: as `baselines.position_features` makes it, [steps, columns].
        probe: scores inside training rows and on test rows.
        plan: the folds; questions are resampled, fits held fixed.

    Raises:
        AnalysisError: no more steps than columns.
    """
    _check(position, plan.y)
    alone, joined = (_bits(stacked(position, scores, plan).log_odds(plan), plan) for scores in ([], [probe]))
    share = plan.y.mean()
    entropy = float(-(share * np.log2(share) + (1 - share) * np.log2(1 - share)))
    return BeyondPosition(_gain(alone - joined, plan), MARGIN * entropy)


def used_or_not(gain: Interval, n_folds: int) -> Interval:
    """A gain with its interval; with the reason for having none where none of the folds used the probe."""
    return gain if n_folds else replace(gain, low=None, high=None, reason=NOT_USED)


def _bits(logit: FloatArray, plan: Design) -> FloatArray:
    return log_loss(logit, plan.y) / np.log(2)


def _gain(fallen: FloatArray, plan: Design) -> Interval:
    """Mean over steps, with an interval over questions."""
    codes, _ = pd.factorize(plan.qid, sort=True)
    return ratio_interval(np.bincount(codes, weights=fallen), np.bincount(codes))


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
            scores = dense(left, plan.y, dtype="float32")(train[None], np.array([C]))[0]
            out[test] = _tied(scores)[test]
            del left
    return out


def _tied(scores: FloatArray) -> FloatArray:
    """Scores less their mean, in steps of a ten-thousandth of their range, so that rounding ranks nothing."""
    step = max(float(np.ptp(scores)) * _TIED, _TIED**2)
    return np.asarray(np.round((scores - scores.mean()) / step))


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
