"""A difference of error rates on the log-odds and complementary-log-log scales.

Model: link(p_i) = a_t + o_i for step i of arm t, with p_i its probability of being wrong and o_i a
fixed offset, log(words) or nothing. The complementary log-log link with that offset is a hazard of
error per word, p = 1 - exp(-words e^a): if errors fall on words independently and every question is
alike, e^(a_1 - a_0) does not change when neighbouring steps are merged into longer ones. The odds
and the risk do change. Where questions differ in difficulty the hazard ratio shrinks with the length
of the step as well, only less; no scale is free of the segmenter then.

The arms share no parameter, so each intercept is found alone; their variance is robust and clustered
by question (Liang and Zeger 1986), with both arms of a question together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.core.results import SPREAD, Interval, Result
from mechcot.stats.cluster import LEVEL, Floats, Ints

Link = Literal["logit", "cloglog"]
LINKS = ("logit", "cloglog")
_TOLERANCE = 1e-12
_ROUNDS = 200


@dataclass(frozen=True)
class ScaleDifference(Result):
    """The difference of two arms on a link's scale.

    Attributes:
        before: the intercept a_0; without an offset the link of the error rate. None if infinite.
        after: the same after.
        difference: a_1 - a_0 with a t interval on its clustered standard error.
        se: of the difference.
    """

    before: float | None
    after: float | None
    difference: Interval = field(metadata=SPREAD)
    se: float | None

    @property
    def reason(self) -> str:
        """Why a number is None."""
        return self.difference.reason


def scale_difference(
    wrong0: npt.ArrayLike,
    question0: npt.ArrayLike,
    wrong1: npt.ArrayLike,
    question1: npt.ArrayLike,
    link: Link,
    offset0: npt.ArrayLike | None = None,
    offset1: npt.ArrayLike | None = None,
) -> ScaleDifference:
    """Fit both arms' intercepts and their difference; see the module's model.

    An arm in which no step is wrong, or every step, has an infinite intercept: then there is no
    difference, with the reason.

    Args:
        wrong0: whether each step before is wrong [steps].
        question0: the row of its question [steps], 0 or more.
        wrong1: the same after [steps].
        question1: the same after [steps].
        link: "logit" or "cloglog".
        offset0: log length of each step before [steps]; None: no offset.
        offset1: the same after.

    Raises:
        AnalysisError: lengths differ, a step neither right nor wrong, an offset that is not finite.
        UsageError: an unknown link, or an offset for one arm alone.
    """
    if link not in LINKS:
        raise UsageError(f"link must be one of {LINKS}, not {link!r}")
    if (offset0 is None) != (offset1 is None):
        raise UsageError("give an offset for both arms or for none")
    arms = [_arm(wrong0, question0, offset0, "before"), _arm(wrong1, question1, offset1, "after")]
    n = len(np.union1d(arms[0][1], arms[1][1]))
    method = f"{link}{'' if offset0 is None else ' with offset'}, t interval, clustered by question, "
    method += f"level {LEVEL:g}"
    reason = next(
        (
            why
            for arm, when in zip(arms, ("before", "after"), strict=True)
            if (why := _infinite(arm[0], when))
        ),
        "",
    )
    ends = [None if _infinite(arm[0], "") else _intercept(arm[0], arm[2], link) for arm in arms]
    before, after = ends
    if before is None or after is None:
        return ScaleDifference(before, after, Interval(None, None, None, n, method, reason), None)
    difference = after - before
    if n < 2:
        why = f"{n} questions have no spread"
        return ScaleDifference(before, after, Interval(difference, None, None, n, method, why), None)
    se = _clustered_se(arms, (before, after), link, n)
    half = _t_quantile((1 + LEVEL) / 2, n - 1) * se
    return ScaleDifference(
        before, after, Interval(difference, difference - half, difference + half, n, method), se
    )


def _arm(
    wrong: npt.ArrayLike, question: npt.ArrayLike, offset: npt.ArrayLike | None, when: str
) -> tuple[Floats, Ints, Floats]:
    outcome, cluster = np.asarray(wrong, dtype=np.float64), np.asarray(question, dtype=np.int64)
    shift = np.zeros_like(outcome) if offset is None else np.asarray(offset, dtype=np.float64)
    if outcome.ndim != 1 or outcome.shape != cluster.shape or outcome.shape != shift.shape:
        raise AnalysisError(
            f"{when}: one outcome, question and offset per step are needed; the shapes are {outcome.shape}, "
            f"{cluster.shape} and {shift.shape}"
        )
    for bad, what in ((~np.isin(outcome, (0, 1)), "outcome"), (~np.isfinite(shift), "offset")):
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            value = (outcome if what == "outcome" else shift)[row]
            raise AnalysisError(
                f"{when}, step at row {row}: the {what} {value} is not "
                + ("0 or 1" if what == "outcome" else "a finite number")
            )
    return outcome, cluster, shift


def _infinite(wrong: Floats, when: str) -> str:
    """Why an arm has no finite intercept, or ""."""
    if wrong.size == 0:
        return f"no judged steps {when}"
    if wrong.all():
        return f"every judged step {when} is wrong"
    return "" if wrong.any() else f"no judged step {when} is wrong"


def _intercept(wrong: Floats, offset: Floats, link: Link) -> float:
    """The maximum-likelihood intercept: Newton, kept inside a bracket (the likelihood is concave)."""
    rate = wrong.mean()
    start = np.log(rate / (1 - rate)) if link == "logit" else np.log(-np.log1p(-rate))
    low, high = float(start - offset.max()) - 1, float(start - offset.min()) + 1
    at = float(start - np.log(np.exp(offset - offset.max()).mean()) - offset.max())
    for _ in range(_ROUNDS):
        score, information = (float(part.sum()) for part in _derivatives(wrong, at + offset, link))
        low, high = (at, high) if score > 0 else (low, at)
        step = score / information if information > 0 else np.inf
        following = at + step if low <= at + step <= high else (low + high) / 2
        if abs(following - at) <= _TOLERANCE * max(1.0, abs(at)):
            return following
        at = following
    raise AnalysisError(f"the {link} fit did not converge in {_ROUNDS} rounds; look at the offsets")


def _derivatives(wrong: Floats, eta: Floats, link: Link) -> tuple[Floats, Floats]:
    """Score and observed information of each step [steps] in its linear predictor."""
    if link == "logit":
        p = 1 / (1 + np.exp(-np.clip(eta, -700, 700)))
        return wrong - p, p * (1 - p)
    hazard = np.exp(np.clip(eta, -700, 6.5))  # beyond e^6.5 a step is wrong with certainty
    ratio = hazard / np.expm1(hazard)
    score = wrong * ratio - (1 - wrong) * hazard
    return score, wrong * ratio * (ratio + hazard - 1) + (1 - wrong) * hazard


def _clustered_se(
    arms: list[tuple[Floats, Ints, Floats]], intercepts: tuple[float, float], link: Link, n: int
) -> float:
    """Sandwich of the difference: each question's score over the arm's information, both arms summed."""
    width = 1 + max(int(cluster.max()) for _, cluster, _ in arms)
    influence = np.zeros(width)
    for (wrong, cluster, offset), at, sign in zip(arms, intercepts, (-1, 1), strict=True):
        score, information = _derivatives(wrong, at + offset, link)
        influence += sign * np.bincount(cluster, weights=score, minlength=width) / information.sum()
    return float(np.sqrt(n / (n - 1) * (influence**2).sum()))


def _t_quantile(level: float, freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, level))
