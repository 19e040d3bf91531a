"""What a score is worth beside its AUROC: precision, recall at few false alarms, probabilities, and power.

Ranks are taken inside a fold (`probe.ranks`). Probabilities, calibrated inside training rows, are pooled as
they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mechcot.probe.cross_fit import CrossFitted
from mechcot.probe.fit import Design
from mechcot.probe.folds import IntArray
from mechcot.probe.ranks import (
    ONE_CLASS,
    UNIT,
    Recall,
    average_precision,
    average_precision_interval,
    recall_interval,
)
from mechcot.probe.sweep import FloatArray
from mechcot.stats import (
    Interval,
    bootstrap_ratio,
    brier_terms,
    calibration_bins,
    leaf,
    stratified_auroc,
)
from mechcot.stats.auroc import leave_one_out
from mechcot.stats.jackknife import jackknife_interval, standard_error

FALSE_POSITIVE_RATES = (0.01, 0.05)
BINS = 10
_TO_DETECT = 2.8015852  # 80 % power at a two-sided level of 5 %: z(.975) + z(.8)


@dataclass(frozen=True)
class CalibrationBin:
    """Steps of about one predicted probability: what was predicted, and the share that is erroneous."""

    predicted: float
    observed: Interval
    n_steps: int

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {"predicted": self.predicted, "observed": self.observed.to_json(), "n_steps": self.n_steps}


@dataclass(frozen=True)
class Metrics:
    """A score's worth beside its AUROC; intervals bootstrap questions with the scores held fixed.

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
    chance_precision: float | None
    recalls: tuple[Recall, ...]
    brier: Interval
    brier_prevalence: float
    calibration: tuple[CalibrationBin, ...]

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "prevalence": self.prevalence.to_json(),
            "average_precision": self.average_precision.to_json(),
            "chance_precision": leaf(self.chance_precision, ONE_CLASS),
            "recalls": [row.to_json() for row in self.recalls],
            "brier": self.brier.to_json(),
            "brier_prevalence": self.brier_prevalence,
            "calibration": [row.to_json() for row in self.calibration],
        }


@dataclass(frozen=True)
class Comparison:
    """The AUROC of one score minus that of another on the same rows.

    Attributes:
        difference: with a paired interval.
        se: its jackknife standard error.
        detectable: the true difference that a study of this size finds in 80 of 100 repetitions, two-sided
            at 5 %: 2.8 standard errors.
    """

    difference: Interval
    se: float | None
    detectable: float | None

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        why = self.difference.reason or "the replicates have no spread"
        return {
            "difference": self.difference.to_json(),
            "se": leaf(self.se, why),
            "detectable": leaf(self.detectable, why),
        }


@dataclass(frozen=True)
class Within:
    """An AUROC among pairs that share a stratum and a fold.

    Attributes:
        auroc: with its interval.
        n_pairs: pairs counted.
        share: of the pairs inside folds, those that share the stratum.
    """

    auroc: Interval
    n_pairs: int
    share: float

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {"auroc": self.auroc.to_json(), "n_pairs": self.n_pairs, "share": self.share}


def metrics(
    probe: CrossFitted, y: IntArray, plan: Design, qid: npt.ArrayLike, *, draws: int, seed: int
) -> Metrics:
    """Prevalence, average precision, recalls, Brier score and calibration of a cross-fitted score.

    Args:
        probe: scores inside training rows and on test rows.
        y: 1 where the step is erroneous, [steps].
        plan: its outer folds.
        qid: question of each step.
        draws: bootstrap replicates.
        seed: of the bootstrap.
    """
    scores, probability = probe.scores(plan), platt(probe, y, plan)
    base = 1.0 / (1.0 + np.exp(-probe.prior[plan.fold]))
    chance = average_precision(np.zeros(len(y)), y, plan.fold)
    return Metrics(
        prevalence=_rate(y.astype(np.float64), qid, draws, seed),
        average_precision=average_precision_interval(scores, y, plan.fold, qid, draws=draws, seed=seed),
        chance_precision=chance,
        recalls=tuple(
            recall_interval(scores, y, plan.fold, qid, at=at, draws=draws, seed=seed)
            for at in FALSE_POSITIVE_RATES
        ),
        brier=_rate(brier_terms(probability, y), qid, draws, seed),
        brier_prevalence=float(brier_terms(base, y).mean()),
        calibration=calibration_curve(probability, y, qid, draws=draws, seed=seed),
    )


def platt(probe: CrossFitted, y: IntArray, plan: Design) -> FloatArray:
    """Probabilities from scores: a logistic curve fitted to each fold's inner out-of-fold scores, [steps].

    Platt (1999), with his targets (n1 + 1) / (n1 + 2) and 1 / (n0 + 2), which keep the curve finite where
    the scores separate the classes.
    """
    scores, out = probe.scores(plan), np.zeros(len(y))
    for k, train in enumerate(plan.train):
        test = plan.fold == k
        slope, intercept = _sigmoid(probe.evidence[k, train], y[train])
        out[test] = 1.0 / (1.0 + np.exp(-np.clip(slope * scores[test] + intercept, -500, 500)))
    return out


def calibration_curve(
    probability: FloatArray, y: IntArray, qid: npt.ArrayLike, *, draws: int, seed: int, n_bins: int = BINS
) -> tuple[CalibrationBin, ...]:
    """Predicted and observed error rate in bins of about equally many steps; equal predictions share one."""
    bins = calibration_bins(probability, n_bins, "mass")
    out = []
    for index in np.unique(bins):
        rows = bins == index
        observed = _rate(y[rows].astype(np.float64), np.asarray(qid, dtype=object)[rows], draws, seed)
        out.append(CalibrationBin(float(probability[rows].mean()), observed, int(rows.sum())))
    return tuple(out)


def auroc_interval(
    scores: npt.ArrayLike,
    y: IntArray,
    fold: IntArray,
    qid: npt.ArrayLike,
    strata: npt.ArrayLike | None = None,
) -> Interval:
    """AUROC over pairs inside a fold (and stratum), with the interval of `stats.jackknife` over questions."""
    found = leave_one_out(scores, y, fold, qid, strata)
    return jackknife_interval(found.auroc, found.without, logit=True, unit=UNIT)


def auroc_difference(
    scores: npt.ArrayLike,
    than: npt.ArrayLike,
    y: IntArray,
    fold: IntArray,
    qid: npt.ArrayLike,
    strata: npt.ArrayLike | None = None,
) -> Interval:
    """AUROC of one score minus that of another on the same steps, paired by question."""
    return jackknife_interval(*_difference(scores, than, y, fold, qid, strata), logit=False, unit=UNIT)


def compare_auroc(
    scores: npt.ArrayLike, than: npt.ArrayLike, y: IntArray, fold: IntArray, qid: npt.ArrayLike
) -> Comparison:
    """AUROC of `scores` minus that of `than`, paired by question, and what difference could be found.

    Args:
        scores: of each step, [steps].
        than: of the comparator, fixed in advance, [steps].
        y: 1 where the step is erroneous, [steps].
        fold: outer fold of both, [steps].
        qid: question of each step.
    """
    gap, without = _difference(scores, than, y, fold, np.asarray(qid, dtype=object), None)
    found = jackknife_interval(gap, without, logit=False, unit=UNIT)
    if found.low is None or found.high == found.low:
        return Comparison(found, None, None)
    se = standard_error(without)
    return Comparison(found, se, _TO_DETECT * se)


def within_strata(
    scores: npt.ArrayLike,
    y: IntArray,
    fold: IntArray,
    qid: npt.ArrayLike,
    strata: Mapping[str, npt.ArrayLike],
) -> dict[str, Within]:
    """AUROC among steps that share a stratum, for each column of strata, and how many pairs that leaves."""
    every = stratified_auroc(scores, y, fold, None).n_pairs
    out = {}
    for name, column in strata.items():
        pairs = stratified_auroc(scores, y, fold, column).n_pairs
        interval = auroc_interval(scores, y, fold, np.asarray(qid, dtype=object), column)
        out[name] = Within(interval, pairs, pairs / every if every else 0.0)
    return out


def _difference(
    scores: npt.ArrayLike,
    than: npt.ArrayLike,
    y: IntArray,
    fold: IntArray,
    qid: npt.ArrayLike,
    strata: npt.ArrayLike | None,
) -> tuple[float | None, FloatArray]:
    """AUROC of one score minus that of another, and that without each question."""
    own, other = (leave_one_out(values, y, fold, qid, strata) for values in (scores, than))
    gap = None if own.auroc is None or other.auroc is None else own.auroc - other.auroc
    return gap, own.without - other.without


def _rate(values: FloatArray, qid: npt.ArrayLike, draws: int, seed: int) -> Interval:
    """The mean over steps, with an interval over questions."""
    codes, _ = pd.factorize(np.asarray(qid, dtype=object), sort=True)
    return bootstrap_ratio(np.bincount(codes, weights=values), np.bincount(codes), draws, seed)


def _sigmoid(scores: FloatArray, y: npt.NDArray[Any]) -> tuple[float, float]:
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
