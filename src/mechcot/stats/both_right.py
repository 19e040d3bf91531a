"""Bounds of the change of step error among traces that would be right in both arms.

"Right in both" is chosen by what distilling itself moves. A trace of one arm has no partner in the other:
which of the base's right traces would have been right after distilling too is not known, only that of
question q a share p_0q of traces is right before and p_1q after. So a share pi_q of pairs right in both is
possible iff

    max(0, p_0q + p_1q - 1) <= pi_q <= min(p_0q, p_1q).

Estimand: tau = E[y_1 - y_0 | right in both], y the share of wrong steps of a trace, over the principal
stratum (Frangakis and Rubin 2002) of pairs right in both arms, of size Pi = sum_q pi_q. In arm t that
stratum is a part f_t = Pi / sum_q p_tq of the right traces, which part is not known; so its mean of y lies
between those of the f_t lowest and the f_t highest y among right traces (Horowitz and Manski 1995), and

    low_1(f_1) - high_0(f_0) <= tau <= high_1(f_1) - low_0(f_0),

with the smallest Pi where nothing is assumed (Zhang and Rubin 2003), with the largest where distilling
changes as few answers as the shares allow (Lee's 2009 monotonicity, in every question its own way). They
are sharp for what they use: the shares of each question and the distribution of y over all right traces.

The smallest Pi is estimated without the upward bias of a positive part: one half of a question's traces says
whether p_0q + p_1q exceeds 1, the other by how much. The largest is biased down, to wider bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from mechcot.core.errors import AnalysisError
from mechcot.core.results import Pair, Result, because
from mechcot.stats.cluster import LEVEL, Floats, Ints
from mechcot.stats.jackknife import FEW, by_text, standard_error
from mechcot.stats.sensitivity import Bounds, imbens_manski

_NONE = "no share of traces has to be right in both arms"
_EMPTY = "an arm has no right trace with a judged step"


@dataclass(frozen=True)
class RightTraces:
    """The judged traces of one arm that are right.

    Attributes:
        question: row of each trace's question [traces].
        share_wrong: wrong steps over judged steps of each [traces].
        weight: 1 over the judged traces, right or wrong, of its question [traces].
    """

    question: Ints
    share_wrong: Floats
    weight: Floats


@dataclass(frozen=True)
class BothRightBounds(Result):
    """Bounds of the change of a trace's share of wrong steps, among traces right in both arms.

    Attributes:
        any: whatever traces those are.
        alike: if distilling changed as few answers as the shares of right traces allow.
        stratum_any: smallest share of pairs of traces that is right in both; at most 0: there may be none.
        stratum_alike: the largest.
    """

    any: Bounds
    alike: Bounds
    stratum_any: float | None = field(metadata=because("two traces of every question and arm are needed"))
    stratum_alike: float


def both_right_bounds(
    right: tuple[npt.ArrayLike, npt.ArrayLike],
    samples: tuple[npt.ArrayLike, npt.ArrayLike],
    traces: Pair[RightTraces],
    text: npt.ArrayLike | None = None,
    *,
    level: float = LEVEL,
) -> BothRightBounds:
    """Bound the change among traces right in both arms; see the module's formula.

    The intervals are Imbens and Manski's (2004) around the bounds, with the jackknife of questions, wider by
    the ratio of Student's t to the normal quantile.

    Args:
        right: right traces of each half of a question's, before and after, [questions, halves] each.
        samples: traces of each half, likewise; a half without a trace says nothing of its question.
        traces: the judged right traces before and after.
        text: the number of each question's text [questions]: equal texts are left out together. None: no two
            are equal.
        level: coverage of tau that is aimed at, wherever it lies between the bounds.

    Raises:
        AnalysisError: shapes differ, or more right traces than traces.
    """
    counts = np.stack([np.asarray(side, dtype=np.float64) for side in (*right, *samples)])
    if counts.ndim != 3 or counts.shape[2] != 2:
        raise AnalysisError(f"counts [questions, 2] are needed, the shapes are {counts.shape[1:]}")
    if (counts[:2] > counts[2:]).any():
        row = int(np.argwhere(counts[:2] > counts[2:])[0][1])
        raise AnalysisError(f"question at row {row}: more right traces than traces")
    own = np.stack([counts[:2].sum(axis=2) / np.maximum(counts[2:].sum(axis=2), 1)]).reshape(2, -1)
    sizes = {"any": _smallest(counts), "alike": own.min(axis=0)}
    halves, n = (counts[2:] > 0).all(), own.shape[1]
    codes = np.arange(n) if text is None else np.asarray(text)
    shares, pooled = (
        by_text(own.T, codes).T,
        Pair(*(replace(side, question=codes[side.question]) for side in traces)),
    )
    found = {
        name: _bounds(
            by_text(pi, codes), shares, pooled, level, "" if name == "alike" or halves else _NO_HALVES
        )
        for name, pi in sizes.items()
    }
    return BothRightBounds(
        any=found["any"],
        alike=found["alike"],
        stratum_any=float(sizes["any"].sum() / n) if halves else None,
        stratum_alike=float(sizes["alike"].sum() / n),
    )


_NO_HALVES = "two traces of every question and arm are needed"


def _smallest(counts: Floats) -> Floats:
    """Each question's p_0 + p_1 - 1 by one half where the other says it is positive, mean of both ways."""
    over = (counts[:2] / np.maximum(counts[2:], 1)).sum(axis=0) - 1  # [questions, halves]
    return np.asarray(np.where(over[:, ::-1] > 0, over, 0.0).mean(axis=1))


def _bounds(pi: Floats, shares: Floats, traces: Pair[RightTraces], level: float, reason: str) -> Bounds:
    from scipy.special import ndtri, stdtrit

    asked = np.unique(np.concatenate([side.question for side in traces]))
    n = len(asked)
    if not reason and any(len(side.question) == 0 for side in traces):
        reason = _EMPTY
    if not reason and pi.sum() <= 0:
        reason = _NONE
    if reason:
        return Bounds(None, None, None, None, level, n, reason)
    everyone = np.arange(len(pi))
    low, high = (float(end[0]) for end in _ends(pi, shares, traces, [-1]))
    if n < FEW:
        return Bounds(low, high, None, None, level, n, f"{n} questions are too few for one that covers")
    errors = [float(standard_error(end)) for end in _ends(pi, shares, traces, everyone)]
    if not np.isfinite(errors).all():
        return Bounds(low, high, None, None, level, n, "all of it hangs on one question")
    wider = float(stdtrit(n - 1, (1 + level) / 2) / ndtri((1 + level) / 2))  # few questions: Student's t
    ends = imbens_manski(low, max(low, high), wider * errors[0], wider * errors[1], level=level)
    return Bounds(low, high, *ends, level, n)


def _ends(
    pi: Floats, shares: Floats, traces: Pair[RightTraces], without: Sequence[int] | Ints
) -> tuple[Floats, Floats]:
    """Lower and upper bound without each of these questions (-1: without none) [without].

    `pi`, `shares` and the traces' questions may be those of texts: sums over the questions of each.
    """
    gone = np.asarray(without)
    left = [pi.sum() - np.where(gone >= 0, pi[gone], 0.0)]
    left += [side.sum() - np.where(gone >= 0, side[gone], 0.0) for side in shares]
    means = []
    for side, total in zip(traces, left[1:], strict=True):
        part = np.clip(left[0] / np.maximum(total, 1e-300), 0, 1)
        means.append([_trimmed(side, sign, part, gone) for sign in (1.0, -1.0)])
    (low0, high0), (low1, high1) = means
    return low1 - high0, high1 - low0


def _trimmed(side: RightTraces, sign: float, part: Floats, gone: Ints) -> Floats:
    """Mean share of wrong steps of the part with the lowest (sign 1) or the highest (-1) ones, row by row.

    A row is the whole less one question, so that its sums are those of the whole less those of the question;
    where its part ends is found by bisection.
    """
    order = np.argsort(sign * side.share_wrong, kind="stable")
    share, weight, owner = side.share_wrong[order], side.weight[order], side.question[order]
    n = len(share)
    ahead, value = (_running(column) for column in (weight, weight * share))
    own = np.argsort(owner, kind="stable")  # by question, and by place among its traces
    key = owner[own] * (n + 1) + own
    own_ahead, own_value = (_running(column[own]) for column in (weight, weight * share))
    first = np.searchsorted(key, gone * (n + 1))

    def before(place: Ints, total: Floats, of_own: Floats) -> Floats:
        """Sum over the traces of each row in front of a place."""
        behind = np.searchsorted(key, gone * (n + 1) + place)
        return np.asarray(total[place] - (of_own[behind] - of_own[first]))

    everything = np.full(len(gone), n)
    mass = part * before(everything, ahead, own_ahead)
    low, high = np.zeros(len(gone), dtype=np.int64), np.maximum(everything - 1, 0)
    while (low < high).any():  # the last trace of the part: the first by whose end all of its mass is there
        middle = (low + high) // 2
        enough = before(middle + 1, ahead, own_ahead) >= mass
        low, high = np.where(enough, low, middle + 1), np.where(enough, middle, high)
    rest = mass - before(low, ahead, own_ahead)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((before(low, value, own_value) + rest * share[low]) / mass)


def _running(column: Floats) -> Floats:
    """Sums of the first 0, 1, ... numbers."""
    return np.concatenate([[0.0], np.cumsum(column)])
