"""What a score is worth beside its AUROC: precision, recall at few false alarms, probabilities, and power.

Ranks are taken inside a fold (`probe.ranks`). Probabilities, calibrated inside training rows, are pooled as
they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from mechcot.core.results import Result, because
from mechcot.probe.cross_fitting import CrossFitted
from mechcot.probe.data import FloatArray, IntArray
from mechcot.probe.folds import Design, Rows
from mechcot.probe.ranks import (
    ONE_CLASS,
    UNIT,
    Recall,
    average_precision,
    average_precision_interval,
    recall_interval,
)
from mechcot.stats import Interval, brier_terms, calibration_bins, rate_interval, stratified_auroc
from mechcot.stats.auroc import LeaveOneOut, leave_one_out
from mechcot.stats.jackknife import jackknife_interval, standard_error

FALSE_POSITIVE_RATES = (0.01, 0.05)
BINS = 10
_TO_DETECT = 2.8015852  # 80 % power at a two-sided level of 5 %: z(.975) + z(.8)


@dataclass(frozen=True)
class CalibrationBin(Result):
    """Steps of about one predicted probability: what was predicted, and the share that is erroneous."""

    predicted: float
    observed: Interval
    n_steps: int


@dataclass(frozen=True)
class Metrics(Result):
    """A score's worth beside its AUROC; intervals are over questions, with the scores held fixed.

    Attributes:
        prevalence: share of erroneous steps.
        average_precision: mean over erroneous steps of the precision at their rank in their fold.
        chance_precision: what a constant score gets: the folds' prevalence, weighted by erroneous steps.
        recalls: at `FALSE_POSITIVE_RATES`.
        brier: mean squared error of the cross-fitted probability.
        brier_prevalence: that of always saying the training folds' error rate.
        calibration: bins of about equally many steps, by predicted probability.
    """

    prevalence: Interval
    average_precision: Interval
    chance_precision: float | None = field(metadata=because(ONE_CLASS))
    recalls: tuple[Recall, ...]
    brier: Interval
    brier_prevalence: float
    calibration: tuple[CalibrationBin, ...]


@dataclass(frozen=True)
class Comparison(Result):
    """The AUROC of one score minus that of another on the same rows.

    Attributes:
        gain: the difference, with a paired interval.
        se: its jackknife standard error.
        detectable: the true difference that a study of this size finds in 80 of 100 repetitions, two-sided
            at 5 %: 2.8 standard errors.
    """

    gain: Interval
    se: float | None = field(metadata=because(""))
    detectable: float | None = field(metadata=because(""))

    @property
    def reason(self) -> str:
        """Why there is no standard error."""
        return self.gain.reason or "the replicates have no spread"


@dataclass(frozen=True)
class Within(Result):
    """An AUROC among pairs that share a stratum and a fold.

    Attributes:
        auroc: with its interval.
        n_pairs: pairs counted.
        share: of the pairs inside folds, those that share the stratum.
    """

    auroc: Interval
    n_pairs: int
    share: float


def metrics_of(probe: CrossFitted, plan: Design) -> Metrics:
    """Prevalence, average precision, recalls, Brier score and calibration of a cross-fitted score.

    Args:
        probe: scores inside training rows and on test rows.
        plan: its folds.
    """
    scores, probability, y = probe.scores(plan), platt(probe, plan), plan.y
    base = 1.0 / (1.0 + np.exp(-probe.prior[plan.fold]))
    drawn = {"draws": plan.settings.draws, "seed": plan.settings.seed}
    return Metrics(
        prevalence=_rate(y.astype(np.float64), plan.qid),
        average_precision=average_precision_interval(scores, plan),
        chance_precision=average_precision(np.zeros(len(y)), plan),
        recalls=tuple(recall_interval(scores, plan, at=at, **drawn) for at in FALSE_POSITIVE_RATES),
        brier=_rate(brier_terms(probability, y), plan.qid),
        brier_prevalence=float(brier_terms(base, y).mean()),
        calibration=calibration_curve(probability, plan),
    )


def platt(probe: CrossFitted, plan: Design) -> FloatArray:
    """Probabilities from scores: a logistic curve fitted to each fold's inner out-of-fold scores, [steps].

    Platt (1999), with his targets (n1 + 1) / (n1 + 2) and 1 / (n0 + 2), which keep the curve finite where
    the scores separate the classes.
    """
    scores, out = probe.scores(plan), np.zeros(len(plan.y))
    for k, train in enumerate(plan.train):
        test = plan.fold == k
        slope, intercept = _sigmoid(probe.evidence[k, train], plan.y[train])
        out[test] = 1.0 / (1.0 + np.exp(-np.clip(slope * scores[test] + intercept, -500, 500)))
    return out


def calibration_curve(
    probability: FloatArray, rows: Rows, *, n_bins: int = BINS
) -> tuple[CalibrationBin, ...]:
    """Predicted and observed error rate in bins of about equally many steps; equal predictions share one."""
    bins = calibration_bins(probability, n_bins, "mass")
    out = []
    for index in np.unique(bins):
        here = bins == index
        observed = _rate(rows.y[here].astype(np.float64), rows.qid[here])
        out.append(CalibrationBin(float(probability[here].mean()), observed, int(here.sum())))
    return tuple(out)


def auroc_interval(scores: npt.ArrayLike, rows: Rows, strata: npt.ArrayLike | None = None) -> Interval:
    """AUROC over pairs inside a fold (and stratum), with the interval of `stats.jackknife` over questions."""
    found = _left_out(scores, rows, strata)
    return jackknife_interval(found.auroc, found.without, logit=True, unit=UNIT)


def mean_auroc_interval(scores: FloatArray, rows: Rows) -> Interval:
    """Mean AUROC of several scorers, [scorers, steps]."""
    estimate, without = _mean(scores, rows)
    return jackknife_interval(estimate, without, logit=True, unit=UNIT)


def auroc_difference(scores: npt.ArrayLike, than: npt.ArrayLike, rows: Rows) -> Interval:
    """AUROC of one score minus that of another, or their mean one ([scorers, steps]), paired by question."""
    return jackknife_interval(*_difference(scores, than, rows), logit=False, unit=UNIT)


def compare_auroc(scores: npt.ArrayLike, than: npt.ArrayLike, rows: Rows) -> Comparison:
    """AUROC of `scores` minus that of `than`, paired by question, and what difference could be found.

    Args:
        scores: of each step, [steps].
        than: of the comparator, fixed in advance, [steps].
        rows: the steps.
    """
    gap, without = _difference(scores, than, rows)
    found = jackknife_interval(gap, without, logit=False, unit=UNIT)
    if found.low is None or found.high == found.low:
        return Comparison(found, None, None)
    se = float(standard_error(without))
    return Comparison(found, se, _TO_DETECT * se)


def within_strata(
    scores: npt.ArrayLike, rows: Rows, strata: Mapping[str, npt.ArrayLike]
) -> dict[str, Within]:
    """AUROC among steps that share a stratum, for each column of strata, and how many pairs that leaves."""
    every = stratified_auroc(scores, rows.y, rows.fold, None).n_pairs
    out = {}
    for name, column in strata.items():
        pairs = stratified_auroc(scores, rows.y, rows.fold, column).n_pairs
        out[name] = Within(auroc_interval(scores, rows, column), pairs, pairs / every if every else 0.0)
    return out


def _left_out(scores: npt.ArrayLike, rows: Rows, strata: npt.ArrayLike | None = None) -> LeaveOneOut:
    return leave_one_out(scores, rows.y, rows.fold, rows.qid.astype(str), strata)


def _mean(scores: npt.ArrayLike, rows: Rows) -> tuple[float | None, FloatArray]:
    """Mean AUROC of scorers [scorers, steps], and that without each question."""
    found = [_left_out(one, rows) for one in np.atleast_2d(scores)]
    each = [one.auroc for one in found if one.auroc is not None]
    return float(np.mean(each)) if each else None, np.mean([one.without for one in found], axis=0)


def _difference(scores: npt.ArrayLike, than: npt.ArrayLike, rows: Rows) -> tuple[float | None, FloatArray]:
    """AUROC of one score minus that of another, and that without each question."""
    (own, left), (other, left_other) = (_mean(values, rows) for values in (scores, than))
    return None if own is None or other is None else own - other, left - left_other


def _rate(values: FloatArray, qid: npt.ArrayLike) -> Interval:
    """The mean over steps, with an interval over questions."""
    codes, _ = pd.factorize(np.asarray(qid, dtype=object), sort=True)
    return rate_interval(np.bincount(codes, weights=values), np.bincount(codes))


def _sigmoid(scores: FloatArray, y: IntArray) -> tuple[float, float]:
    """Slope and intercept of Platt's curve, by Newton steps on standardised scores."""
    positive = float((y == 1).sum())
    target = np.where(y == 1, (positive + 1) / (positive + 2), 1 / (len(y) - positive + 2))
    mean, spread = float(scores.mean()), float(scores.std())
    if spread == 0:
        return 0.0, float(np.log(target.mean() / (1 - target.mean())))
    design = np.column_stack([(scores - mean) / spread, np.ones(len(y))])

    def loss(at: FloatArray) -> float:
        logit = design @ at
        return float((np.logaddexp(0.0, logit) - target * logit).sum())

    weights = np.array([0.0, np.log(target.mean() / (1 - target.mean()))])
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-design @ weights))
        gradient = design.T @ (p - target)
        step = np.linalg.solve((design.T * (p * (1 - p))) @ design + 1e-9 * np.eye(2), gradient)
        size = 1.0
        while loss(weights - size * step) > loss(weights) and size > 1e-4:
            size /= 2
        weights = weights - size * step
        if gradient @ step < 1e-12:
            break
    return float(weights[0] / spread), float(weights[1] - weights[0] * mean / spread)
