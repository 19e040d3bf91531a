"""Error rates corrected for the judge, from steps whose truth people (or a checker) know.

Two situations, not to be mixed:

- Some steps of *this* study were checked: `corrected_difference`. No judge rate is carried over
  from elsewhere; the judge may err differently in each arm.
- The judge's sensitivity and specificity come from *other* steps: `rogan_gladen`, wider by about
  half, and right only if those steps are like this study's.

All intervals are for new questions of the same kind (a super-population), questions as clusters.
They take Student's quantile; its degrees of freedom are the questions that carry checked steps,
less one (for `rogan_gladen` the judged questions).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.core.results import Interval, Pair, Result, because
from mechcot.stats.cluster import LEVEL, Floats, Ints, ratio_difference

Method = Literal["design", "prediction"]


@dataclass(frozen=True)
class Calibration:
    """A judge against known truth, on steps from outside the study.

    Attributes:
        called: true errors that the judge called erroneous.
        errors: true errors judged.
        passed: correct steps that the judge called correct.
        correct: correct steps judged.
    """

    called: int
    errors: int
    passed: int
    correct: int


@dataclass(frozen=True)
class Corrected(Result):
    """Two arms' error rates as judged and as corrected.

    Attributes:
        before: corrected error rate.
        after: corrected error rate.
        difference: after - before, corrected, the pairing of questions kept.
        naive: after - before as judged; None without judged steps.
        n_checked: checked steps that entered, before and after.
        weight_on_judge: how far the judge's calls were used, before and after: the factor lambda
            of prediction-powered inference; 1 for the other methods.
    """

    before: Interval
    after: Interval
    difference: Interval
    naive: float | None = field(metadata=because("no judged steps in one of the arms"))
    n_checked: Pair[int]
    weight_on_judge: Pair[float] = Pair(1.0, 1.0)  # noqa: RUF009  (a constant tuple)


@dataclass(frozen=True)
class _Arm:
    """An estimate as a mean of question contributions, or why there is none.

    `contributions` [questions] have mean zero; their spread is the sampling error. `extra` is
    variance that the contributions do not show.
    """

    estimate: float | None
    contributions: Floats
    extra: float
    checked_steps: int
    checked_questions: int
    weight: float = 1.0
    reason: str = ""


def corrected_difference(
    questions: npt.ArrayLike,
    after: npt.ArrayLike,
    called: npt.ArrayLike,
    truth: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    *,
    method: Method = "design",
    level: float = LEVEL,
) -> Corrected:
    """Correct both arms' error rates with the steps of this study whose truth is known.

    "design": r_t = sum over labels l of share_t(l) P(error | l, t), the probability being the
    weighted share of errors among arm t's checked steps of label l. Steps must be drawn at random
    inside each arm and label; a draw of unequal chances inside one needs `weights`.

    "prediction": r_t = lambda mean(called) + weighted mean over checked of (truth - lambda
    called), with the lambda of least variance in 0..1 (prediction-powered inference, Angelopoulos
    et al. 2023). It needs `weights` wherever the draw depended on the label.

    Standard errors are linearised, questions as clusters. In "design", a label whose checked
    steps all agree adds the variance of one error and one correct step more, as its own spread
    would say that it is known exactly.

    Args:
        questions: question of each judged step [steps].
        after: whether the step is of the arm after [steps].
        called: whether the judge called it erroneous, 0 or 1 [steps].
        truth: 1 for an error, 0 for correct, NaN where not checked [steps].
        weights: one over the chance of being drawn [steps]; read for checked steps alone; by
            default all equal.
        method: "design" or "prediction".
        level: coverage that is aimed at.

    Raises:
        AnalysisError: lengths differ, or a value is none of those above.
        UsageError: an unknown method, or level outside (0, 1).
    """
    if method not in ("design", "prediction"):
        raise UsageError(f"method must be 'design' or 'prediction', not {method!r}")
    owner, n_questions, late, label, known, weight = _steps(questions, after, called, truth, weights)
    arms = []
    for arm in (False, True):
        rows = late == arm
        make = _design if method == "design" else _prediction
        arms.append(make(owner[rows], n_questions, label[rows], known[rows], weight[rows]))
    counts = [np.bincount(owner[late == arm], minlength=n_questions) for arm in (False, True)]
    calls = [
        np.bincount(owner[late == arm], weights=label[late == arm], minlength=n_questions)
        for arm in (False, True)
    ]
    naive = ratio_difference(calls[0], counts[0], calls[1], counts[1]).estimate
    words = {"design": "design-weighted P(error | label, arm)", "prediction": "prediction-powered"}[method]
    return _corrected(arms, naive, f"{words}, new questions, level {level:g}", level)


def rogan_gladen(
    errors0: npt.ArrayLike,
    judged0: npt.ArrayLike,
    errors1: npt.ArrayLike,
    judged1: npt.ArrayLike,
    before: Calibration,
    after: Calibration,
    *,
    level: float = LEVEL,
) -> Corrected:
    """Correct both arms' judged error rates with a judge's known sensitivity and specificity.

    r* = (r + Sp - 1) / (Se + Sp - 1) (Rogan and Gladen 1978). Its variance is that of r with
    questions as clusters plus r*^2 Var(Se) + (1 - r*)^2 Var(Sp), all over (Se + Sp - 1)^2; a Se
    or Sp of 0 or 1 gets its variance with one success and one failure more. The calibrations of
    the arms are independent of each other and of the study. r* is not cut off at 0 or 1.

    Args:
        errors0: steps called erroneous before [questions].
        judged0: judged steps before [questions].
        errors1: steps called erroneous after [questions].
        judged1: judged steps after [questions].
        before: the judge on steps in the style of the arm before.
        after: the judge on steps in the style of the arm after.
        level: coverage that is aimed at.

    Returns:
        No estimate where a calibration has no errors or no correct steps, or where
        Se + Sp <= 1: the judge's calls then say nothing about errors.

    Raises:
        AnalysisError: as `ratio_difference`; also impossible calibration counts.
        UsageError: level outside (0, 1).
    """
    naive = ratio_difference(errors0, judged0, errors1, judged1)
    columns = [np.asarray(array, dtype=np.float64) for array in (errors0, judged0, errors1, judged1)]
    keep = (columns[1] > 0) | (columns[3] > 0)
    arms = [
        _externally(columns[0][keep], columns[1][keep], before, "before"),
        _externally(columns[2][keep], columns[3][keep], after, "after"),
    ]
    return _corrected(arms, naive.estimate, f"Rogan-Gladen, new questions, level {level:g}", level)


def _externally(errors: Floats, judged: Floats, known: Calibration, arm: str) -> _Arm:
    if not (0 <= known.called <= known.errors and 0 <= known.passed <= known.correct):
        raise AnalysisError(f"calibration {arm}: {known} counts more hits than steps")
    none = np.zeros(len(errors))
    if judged.sum() == 0:
        return _Arm(None, none, 0.0, 0, 0, reason=f"no judged steps {arm}")
    if known.errors == 0 or known.correct == 0:
        return _Arm(None, none, 0.0, 0, 0, reason=f"calibration {arm}: no errors or no correct steps")
    sensitivity, specificity = known.called / known.errors, known.passed / known.correct
    youden = sensitivity + specificity - 1
    if youden <= 0:
        reason = f"sensitivity + specificity is {youden + 1:.3f} {arm}: the judge does not tell errors apart"
        return _Arm(None, none, 0.0, 0, 0, reason=reason)
    rate = float(errors.sum() / judged.sum())
    true = (rate + specificity - 1) / youden
    extra = true**2 * _variance(known.called, known.errors)
    extra += (1 - true) ** 2 * _variance(known.passed, known.correct)
    contributions = (errors - rate * judged) / judged.mean() / youden
    checked = known.errors + known.correct
    return _Arm(true, contributions, extra / youden**2, checked, int((judged > 0).sum()))


def _design(owner: Ints, n_questions: int, called: Floats, truth: Floats, weight: Floats) -> _Arm:
    checked = ~np.isnan(truth)
    steps, questions = int(checked.sum()), len(np.unique(owner[checked]))
    none = np.zeros(n_questions)
    if len(called) == 0:
        return _Arm(None, none, 0.0, 0, 0, reason="no judged steps in one of the arms")
    expected, residual, extra = np.zeros(len(called)), np.zeros(len(called)), 0.0
    for label in (0.0, 1.0):
        cell = called == label
        share = float(cell.mean())
        drawn = cell & checked
        n = int(drawn.sum())
        if share == 0:
            continue
        if n < 2:
            what = "erroneous" if label else "correct"
            reason = f"only {n} of an arm's steps called {what} were checked; at least 2 are needed"
            return _Arm(None, none, 0.0, steps, questions, reason=reason)
        total = float(weight[drawn].sum())
        wrong = float((weight[drawn] * truth[drawn]).sum() / total)
        expected[cell] = wrong
        residual[drawn] = share * weight[drawn] * (truth[drawn] - wrong) / total
        if wrong in (0.0, 1.0):
            extra += share**2 * _variance(round(n * wrong), n)
    estimate = float(expected.mean())
    terms = (expected - estimate) / len(called) + residual
    return _Arm(estimate, _by_question(terms, owner, n_questions), extra, steps, questions)


def _prediction(owner: Ints, n_questions: int, called: Floats, truth: Floats, weight: Floats) -> _Arm:
    checked = ~np.isnan(truth)
    steps, questions = int(checked.sum()), len(np.unique(owner[checked]))
    if steps < 2:
        reason = f"only {steps} of an arm's steps were checked; at least 2 are needed"
        return _Arm(None, np.zeros(n_questions), 0.0, steps, questions, reason=reason)
    share = np.where(checked, weight, 0.0) / weight[checked].sum()
    known = np.where(checked, truth, 0.0)
    truth_mean, called_mean = float((share * known).sum()), float((share * called).sum())
    rate = float(called.mean())

    plain = _by_question(share * (known - truth_mean), owner, n_questions)
    terms = (called - rate) / len(called) - share * (called - called_mean)
    judge = _by_question(terms, owner, n_questions)
    spread = float(judge @ judge)
    factor = float(np.clip(-(plain @ judge) / spread, 0.0, 1.0)) if spread > 0 else 0.0
    estimate = truth_mean + factor * (rate - called_mean)
    return _Arm(estimate, plain + factor * judge, 0.0, steps, questions, factor)


def _by_question(terms: Floats, owner: Ints, n_questions: int) -> Floats:
    """Sums over questions times their number, so that the mean of them is the sum of the terms."""
    sums = np.bincount(owner, weights=terms, minlength=n_questions)
    return np.asarray(n_questions * sums, dtype=np.float64)


def _corrected(arms: list[_Arm], naive: float | None, method: str, level: float) -> Corrected:
    if not 0 < level < 1:
        raise UsageError(f"level must lie between 0 and 1, not {level}")
    before, after = arms
    both = _Arm(
        estimate=None
        if before.estimate is None or after.estimate is None
        else after.estimate - before.estimate,
        contributions=after.contributions - before.contributions,
        extra=before.extra + after.extra,
        checked_steps=before.checked_steps + after.checked_steps,
        checked_questions=min(before.checked_questions, after.checked_questions),
        reason=before.reason or after.reason,
    )
    return Corrected(
        before=_interval(before, method, level),
        after=_interval(after, method, level),
        difference=_interval(both, method, level),
        naive=naive,
        n_checked=Pair(before.checked_steps, after.checked_steps),
        weight_on_judge=Pair(before.weight, after.weight),
    )


def _interval(arm: _Arm, method: str, level: float) -> Interval:
    from scipy.special import stdtrit

    n = len(arm.contributions)
    if arm.estimate is None:
        return Interval(None, None, None, n, method, arm.reason)
    freedom = arm.checked_questions - 1
    if freedom < 1 or n < 2:
        return Interval(arm.estimate, None, None, n, method, "fewer than two questions carry checked steps")
    variance = float((arm.contributions**2).sum()) / (n * (n - 1)) + arm.extra
    reach = float(stdtrit(freedom, (1 + level) / 2)) * float(np.sqrt(variance))
    return Interval(arm.estimate, arm.estimate - reach, arm.estimate + reach, n, method)


def _variance(hits: int, n: int) -> float:
    """Variance of a share of n; a share of 0 or 1 is counted with one hit and one miss more."""
    share = hits / n if 0 < hits < n else (hits + 1) / (n + 2)
    return share * (1 - share) / n


def _steps(
    questions: npt.ArrayLike,
    after: npt.ArrayLike,
    called: npt.ArrayLike,
    truth: npt.ArrayLike,
    weights: npt.ArrayLike | None,
) -> tuple[Ints, int, npt.NDArray[np.bool_], Floats, Floats, Floats]:
    """The columns of `corrected_difference`, checked; questions as numbers, and how many."""
    owner, names = pd.factorize(pd.Series(np.asarray(questions)), sort=True)
    late, label = np.asarray(after), np.asarray(called, dtype=np.float64)
    known = np.asarray(truth, dtype=np.float64)
    weight = np.ones(len(known)) if weights is None else np.asarray(weights, dtype=np.float64)
    shapes = {"after": late.shape, "called": label.shape, "truth": known.shape, "weights": weight.shape}
    odd = [f"{name} {shape}" for name, shape in shapes.items() if shape != owner.shape]
    if odd:
        raise AnalysisError(f"one value per step is needed, {len(owner)} of them; got {', '.join(odd)}")
    checked = ~np.isnan(known)
    faults = {
        "has no question": owner < 0,
        "has an arm that is neither before (0) nor after (1)": ~np.isin(late, (0, 1)),
        "has a label that is neither 0 nor 1": ~np.isin(label, (0, 1)),
        "has a truth that is neither 0, 1 nor missing": checked & ~np.isin(known, (0, 1)),
        "was checked and has no weight above 0": checked & ~(np.isfinite(weight) & (weight > 0)),
    }
    for what, rows in faults.items():
        if rows.any():
            raise AnalysisError(f"the step at row {int(np.flatnonzero(rows)[0])} {what}")
    return owner.astype(np.int64), len(names), late.astype(bool), label, known, weight
