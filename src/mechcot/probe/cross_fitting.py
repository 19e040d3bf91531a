"""Scores that a second model may learn from: each row's by a fit that did not see its label.

A stack, bits beyond confounds and Platt scaling all learn from scores. Inside an outer fold's training
rows these have to be inner out-of-fold scores, or the second model trusts what the first memorised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mechcot.probe.data import BoolArray, FloatArray, IntArray, Sources, loaded
from mechcot.probe.folds import Design
from mechcot.stats.auroc import fold_auroc

Source = Callable[[BoolArray, FloatArray], FloatArray]
"""Fits logistic models: training rows [problems, steps] and inverse penalties C [problems] to the log odds
of an error at every step, [problems, steps]."""

Part = tuple[FloatArray, float, float, FloatArray]
"""One outer fold of a `CrossFitted`."""

STACK_GRID = (0.01, 0.1, 1.0)
_DIGITS = 6  # of log odds: without it, the rounding of a useless score would be scaled up to a feature


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """A score on each outer fold's training and test rows.

    Attributes:
        evidence: log odds less those of the labels that the fit saw, so that scores of different fits can
            stand in one column, [folds, steps]. On a fold's training rows inner out-of-fold scores, on its
            test rows those of one fit to all its training rows; NaN on purged rows.
        prior: log odds of an error among an outer fold's training rows, [folds].
        C: inverse penalty that its inner folds chose, [folds].
        inner_loss: log-loss of each training row by the inner fit that left it out, nats, [folds, steps];
            NaN on other rows.
    """

    evidence: FloatArray
    prior: FloatArray
    C: FloatArray
    inner_loss: FloatArray

    def scores(self, plan: Design) -> FloatArray:
        """Evidence of each step in the fold that tests it, [steps]; comparable inside a fold only."""
        out: FloatArray = self.evidence[plan.fold, np.arange(len(plan.fold))]
        return out

    def log_odds(self, plan: Design) -> FloatArray:
        """Log odds of an error of each step in the fold that tests it, [steps]."""
        return self.scores(plan) + self.prior[plan.fold]


def dense(X: NDArray[Any], y: IntArray, *, dtype: str = "float64") -> Source:
    """A logistic model of the columns of X, [steps, columns], centred and scaled on all rows."""
    from mechcot.probe.factors import factor
    from mechcot.probe.solver import TOL, solve

    if X.shape[1] == 0:
        return lambda rows, _: np.stack([np.full(len(y), log_odds(y, mask)) for mask in rows])
    whole = factor(X, dtype=dtype)
    tol = TOL if dtype == "float32" else 1e-6

    def fit(rows: BoolArray, C: FloatArray) -> FloatArray:
        return solve(whole, y, rows, C, tol=tol).scores.astype(np.float64)

    return fit


def cross_fit(source: Source, plan: Design, grid: Sequence[float]) -> CrossFitted:
    """Score every fold's training and test rows; inner folds choose the penalty by AUROC.

    Args:
        source: what fits, of the same steps.
        plan: the folds.
        grid: inverse penalties to choose from; ties go to the stronger.

    Raises:
        AnalysisError: an outer fold trains on fewer blocks than there are inner folds.
    """
    return gathered([one_fold(source, plan, k, grid) for k in range(len(plan.train))])


def stacked(
    fixed: FloatArray, scores: Sequence[CrossFitted], plan: Design, grid: Sequence[float] = STACK_GRID
) -> CrossFitted:
    """Fit a logistic model to fixed columns and cross-fitted scores; inner folds choose its penalty by loss.

    Args:
        fixed: [steps, columns]; there may be none.
        scores: each adds a column.
        plan: the folds of `scores`.
        grid: inverse penalties to choose from.

    Raises:
        AnalysisError: as `cross_fit`.
    """
    parts = []
    for k in range(len(plan.train)):
        # purged rows neither train nor test here
        columns = [np.nan_to_num(item.evidence[k]) for item in scores]
        source = dense(np.column_stack([fixed, *columns]), plan.y)
        parts.append(one_fold(source, plan, k, grid, by_loss=True))
    return gathered(parts)


def chosen_folds(chosen: Sequence[Mapping[str, Any]]) -> list[tuple[Any, list[tuple[int, float]]]]:
    """The sources that outer folds chose, in turn, each with these folds and the penalty of each."""
    rows = list(enumerate(chosen))
    return [
        (source, [(k, row["C"]) for k, row in rows if row["layer"] == source])
        for source in dict.fromkeys(row["layer"] for row in chosen)
    ]


def probe_scores(sources: Sources, plan: Design, chosen: Sequence[Mapping[str, Any]]) -> CrossFitted:
    """The nested probe's scores on training rows too: inner out-of-fold, at each fold's chosen source and C.

    Source and penalty were chosen on these training rows, so inner scores are a little optimistic; what is
    learned from them then trusts the probe a little too much, and its gain on test rows comes out lower.

    Args:
        sources: see `data.Sources`.
        plan: the folds.
        chosen: an outer fold's `layer` and `C`, as `fit.nested` chose them.
    """
    parts: dict[int, Part] = {}
    for name, folds in chosen_folds(chosen):
        source = dense(loaded(sources[name]), plan.y, dtype="float32")
        parts |= {k: one_fold(source, plan, k, [C]) for k, C in folds}
    return gathered([parts[k] for k in range(len(chosen))])


def lowest_loss(candidates: Sequence[CrossFitted]) -> CrossFitted:
    """Each outer fold takes the model with the lowest mean inner loss, the first of equals."""
    losses = [np.nanmean(item.inner_loss, axis=1) for item in candidates]
    return gathered([_part(candidates[at], k) for k, at in enumerate(np.argmin(losses, axis=0))])


def where_worth_it(richer: CrossFitted, simpler: CrossFitted, plan: Design) -> CrossFitted:
    """Each outer fold keeps the simpler model unless the richer one's inner losses are clearly lower.

    Clearly: by more than one standard error of the fall, clustered by block (Breiman et al. 1984, section
    3.4.3). Without that rule a useless score lowers the test folds a little, and significantly so: what a
    fold's own rows say by chance, the fits to all the others lack.
    """
    parts = []
    for k in range(len(simpler.C)):
        rows = np.isfinite(simpler.inner_loss[k])
        fall = (simpler.inner_loss[k] - richer.inner_loss[k])[rows]
        sums = np.bincount(plan.block[rows], weights=fall - fall.mean())
        clear = fall.sum() > np.sqrt((sums**2).sum())
        parts.append(_part(richer if clear else simpler, k))
    return gathered(parts)


def folds_apart(one: CrossFitted, other: CrossFitted) -> int:
    """Outer folds in which two models are not one and the same."""
    differ = (one.inner_loss != other.inner_loss) & np.isfinite(other.inner_loss)
    return int(differ.any(axis=1).sum())


def _part(fitted: CrossFitted, k: int) -> Part:
    return fitted.evidence[k], float(fitted.prior[k]), float(fitted.C[k]), fitted.inner_loss[k]


def one_fold(source: Source, plan: Design, k: int, grid: Sequence[float], *, by_loss: bool = False) -> Part:
    """Outer fold k of `cross_fit`: evidence [steps], prior, the chosen C and inner losses [steps]."""
    y, train, test = plan.y, plan.train[k], plan.fold == k
    penalties = np.asarray(sorted(grid), dtype=np.float64)
    fold, masks = plan.inner(k)
    prior = np.array([log_odds(y, mask) for mask in masks])
    trials = np.zeros((len(penalties), len(y)))
    usable = np.flatnonzero(np.isfinite(prior))  # a fold without both classes teaches nothing: evidence 0
    if usable.size:
        rows = np.repeat(np.stack(masks)[usable], len(penalties), axis=0)
        found = source(rows, np.tile(penalties, usable.size)).reshape(usable.size, len(penalties), len(y))
        for index, values in zip(usable, found, strict=True):
            trials[:, fold == index] = values[:, fold == index] - prior[index]
    trials = trials.round(_DIGITS)
    offset = np.where(np.isfinite(prior), prior, log_odds(y, train))[fold[train]]
    losses = log_loss(trials[:, train] + offset, y[train])
    if by_loss:
        best = int(np.argmin(losses.mean(axis=1)))  # the first of equals has the strongest penalty
    else:
        best = int(np.argmax([inner_auroc(row[train], y[train], fold[train]) for row in trials]))
    out, base = np.full(len(y), np.nan), log_odds(y, train)
    out[train] = trials[best, train]
    out[test] = (source(train[None], penalties[[best]])[0, test] - base).round(_DIGITS)
    inner_loss = np.full(len(y), np.nan)
    inner_loss[train] = losses[best]
    return out, base, float(penalties[best]), inner_loss


def inner_auroc(scores: FloatArray, y: IntArray, fold: IntArray) -> float:
    """AUROC over pairs of one inner fold, one half where no fold holds both classes."""
    found = fold_auroc(scores, y, fold)
    return 0.5 if found is None else found


def log_odds(y: IntArray, rows: BoolArray) -> float:
    """Log odds of an error among some rows; NaN where a class is missing."""
    errors, n = int(y[rows].sum()), int(rows.sum())
    return float(np.log(errors / (n - errors))) if 0 < errors < n else float("nan")


def log_loss(logit: FloatArray, y: NDArray[Any]) -> FloatArray:
    """Negative log-likelihood of each label under its log odds, nats, [steps]."""
    out: FloatArray = np.logaddexp(0.0, np.where(y == 1, -logit, logit))
    return out


def gathered(parts: Sequence[Part]) -> CrossFitted:
    """The outer folds' `one_fold`, in order."""
    return CrossFitted(*(np.stack([np.asarray(part[i]) for part in parts]) for i in range(4)))
