"""A difference of error rates by generalised estimating equations, as a check of the other estimates.

Model (Liang and Zeger 1986): logit p = theta_t for a step of arm t, with the working correlation rho
between any two steps of a question, of either arm. The arm is the only covariate, so that the standardised
(g-computed) difference is expit(theta_1) - expit(theta_0), its variance the delta method's on the sandwich
with questions as clusters. Length and place of a step are no covariates: distilling changes them, and
holding what it changes would ask another question (they are mediators). A few clusters make the sandwich
too small: residuals are corrected as by Mancl and DeRouen (2001), and the interval is Student's t with the
effective questions less one.

With rho = 0 the rates are those of all steps; the larger rho, the less a further step of the same question
weighs. So with many steps in some questions this lies between the step-weighted and the question-weighted
difference.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mechcot.core.results import SPREAD, Interval, Result, because
from mechcot.core.words import FLAT
from mechcot.stats.cluster import LEVEL, Floats, Ints, columns_of
from mechcot.stats.jackknife import FEW, by_text, degrees_of_freedom

_ROUNDS, _TOLERANCE = 200, 1e-10


@dataclass(frozen=True)
class GeeDifference(Result):
    """The difference of two error rates with exchangeable steps inside a question.

    Attributes:
        before: standardised error rate; None where an arm has no wrong or no right step.
        after: the same after.
        difference: after - before.
        se: of the difference, Mancl and DeRouen's.
        correlation: working correlation of two steps of a question.
    """

    before: float | None
    after: float | None
    difference: Interval = field(metadata=SPREAD)
    se: float | None
    correlation: float | None = field(metadata=because("no question has two judged steps"))

    @property
    def reason(self) -> str:
        """Why a number is None."""
        return self.difference.reason


def gee_difference(
    errors0: npt.ArrayLike,
    judged0: npt.ArrayLike,
    errors1: npt.ArrayLike,
    judged1: npt.ArrayLike,
    text: npt.ArrayLike | None = None,
    *,
    level: float = LEVEL,
) -> GeeDifference:
    """Fit both arms' rates and one working correlation; see the module's model.

    Args:
        errors0: erroneous steps before [questions].
        judged0: judged steps before [questions].
        errors1: erroneous steps after [questions].
        judged1: judged steps after [questions].
        text: the number of each question's text [questions]: steps of two questions of equal text have no
            working correlation, but are one cluster of the sandwich. None: no two are equal.
        level: coverage that is aimed at.

    Raises:
        AnalysisError: lengths differ, a value is not finite, a denominator is negative.
    """
    from scipy.special import stdtrit

    table = columns_of(errors0, judged0, errors1, judged1)
    asked = (table[:, 1] > 0) | (table[:, 3] > 0)
    codes = np.arange(len(asked)) if text is None else np.asarray(text)
    table, codes = table[asked], np.unique(codes[asked], return_inverse=True)[1]
    n, method = (
        int(codes.max(initial=-1)) + 1,
        f"GEE, exchangeable, Mancl-DeRouen, Student's t, level {level:g}",
    )
    totals = table.sum(axis=0)
    for place, when in ((0, "before"), (2, "after")):
        if totals[place] in (0, totals[place + 1]):
            kind = (
                "no judged step"
                if not totals[place + 1]
                else f"{'every' if totals[place] else 'no'} judged step"
            )
            reason = f"{kind} {when}" + (" is wrong" if totals[place + 1] else "")
            return GeeDifference(None, None, Interval(None, None, None, n, method, reason), None, None)
    rates, rho, converged = fit(table[None, :, ::2], table[None, :, 1::2], len(codes) / max(n, 1))
    before, after = (float(rate) for rate in rates[0])
    if not converged[0]:
        nothing = Interval(None, None, None, n, method, "the working correlation does not settle")
        return GeeDifference(before, after, nothing, None, None)
    estimate = after - before
    if n < FEW:
        few = Interval(estimate, None, None, n, method, f"{n} questions are too few for one that covers")
        return GeeDifference(before, after, few, None, float(rho[0]))
    errors, weight = clustered(table[None, :, ::2], table[None, :, 1::2], rates, rho, codes)
    se = float(errors[0])
    if se <= 1e-12:
        flat = Interval(estimate, None, None, n, method, f"all questions {FLAT}")
        return GeeDifference(before, after, flat, None, float(rho[0]))
    reach = float(stdtrit(degrees_of_freedom(weight[0]), (1 + level) / 2)) * se
    found = Interval(estimate, estimate - reach, estimate + reach, n, method)
    return GeeDifference(before, after, found, se, float(rho[0]))


def fit(wrong: Floats, steps: Floats, repeats: float = 1.0) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Rates and working correlation of several studies at once.

    Args:
        wrong: erroneous steps [studies, questions, arms].
        steps: judged steps [studies, questions, arms]; every arm has wrong and right ones.
        repeats: questions a text: as often the two parameters are fitted to the same.

    Returns:
        Rates [studies, arms], correlation [studies], and whether it settled [studies].
    """
    rates = np.asarray(wrong.sum(axis=1) / steps.sum(axis=1))
    rho = np.zeros(len(rates))
    moved = np.full(len(rates), np.inf)
    for _ in range(_ROUNDS):
        before, rho = (
            rho,
            (rho + _correlation(wrong, steps, rates, 2 * repeats)) / 2,
        )  # by half: negative ones swing
        score, information = _equations(wrong, steps, rates, rho)
        theta = np.log(rates / (1 - rates))
        step = np.linalg.solve(information.sum(axis=1), score.sum(axis=1)[..., None])[..., 0]
        rates = 1 / (1 + np.exp(-(theta + np.clip(step, -2, 2))))
        moved = np.maximum(np.abs(step).max(axis=1), np.abs(rho - before))
        if (moved < _TOLERANCE).all():
            break
    return rates, rho, moved < 1e-6


def clustered(
    wrong: Floats, steps: Floats, rates: Floats, rho: Floats, text: Ints | None = None
) -> tuple[Floats, Floats]:
    """Standard error of the difference [studies], and each text's weight in it [studies, texts].

    With U_i the score of text i, a sum over its questions, H_i its information and M = (sum H_i)^-1, Mancl
    and DeRouen's correction of the residuals, (I - D_i M D_i' V_i^-1)^-1 r_i, is (I - H_i M)^-1 U_i of the
    scores.
    """
    score, information = (
        np.moveaxis(by_text(np.moveaxis(own, 1, 0), text), 0, 1)
        for own in _equations(wrong, steps, rates, rho)
    )
    inverse = np.linalg.inv(information.sum(axis=1))
    own = information @ inverse[:, None]
    corrected = np.linalg.solve(np.eye(2) - own, score[..., None])[..., 0]
    slopes = rates * (1 - rates) * np.array([-1.0, 1.0])
    influence = (corrected @ inverse * slopes[:, None]).sum(axis=2)
    weight = np.trace(own, axis1=2, axis2=3)
    return np.sqrt((influence**2).sum(axis=1)), np.asarray(weight)


def _equations(wrong: Floats, steps: Floats, rates: Floats, rho: Floats) -> tuple[Floats, Floats]:
    """Score [studies, questions, 2] and information [studies, questions, 2, 2] in the arms' logits.

    The inverse of the exchangeable correlation of n steps is (I - rho / (1 + (n - 1) rho) 11') / (1 - rho).
    """
    scale = np.sqrt(rates * (1 - rates))[:, None]
    residual = (wrong - steps * rates[:, None]) / scale  # sums of Pearson residuals
    n = steps.sum(axis=2, keepdims=True)
    r = rho[:, None, None]
    shrunk = r / (1 + (n - 1) * r)
    score = scale * (residual - shrunk * steps * residual.sum(axis=2, keepdims=True)) / (1 - r)
    diagonal = steps[..., None] * np.eye(2)
    information = diagonal - shrunk[..., None] * steps[..., None] * steps[..., None, :]
    information = information * (scale[..., None] * scale[..., None, :]) / (1 - r)[..., None]
    return np.asarray(score), np.asarray(information)


def _correlation(wrong: Floats, steps: Floats, rates: Floats, fitted: float) -> Floats:
    """The moment estimate over all pairs of steps of a question, fitted parameters taken off [studies]."""
    p = rates[:, None]
    variance = p * (1 - p)
    squares = ((wrong * (1 - p) ** 2 + (steps - wrong) * p**2) / variance).sum(axis=2)
    sums = ((wrong - steps * p) / np.sqrt(variance)).sum(axis=2)
    n = steps.sum(axis=2)
    total, pairs = n.sum(axis=1), (n * (n - 1) / 2).sum(axis=1)
    scale = squares.sum(axis=1) / np.maximum(total - fitted, 1)
    rho = ((sums**2 - squares) / 2).sum(axis=1) / (scale * np.maximum(pairs - fitted, 1))
    floor = -1 / np.maximum(n.max(axis=1), 2)  # below -1 / (n - 1) it is no correlation
    return np.asarray(np.where(pairs > 0, np.clip(rho, floor, 0.99), 0.0))
