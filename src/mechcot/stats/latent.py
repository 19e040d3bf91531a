"""Error rates behind several judges whose mistakes have nothing to do with each other (Dawid, Skene 1979).

Model, of one arm: a step is wrong with probability pi; judge j calls a wrong step wrong with probability
s_j and a right one right with c_j, independently of the other judges given what the step is. Three judges
give 2^3 - 1 = 7 free shares of patterns for 7 parameters: just identified, and nothing is left over to test
the independence by. It is the weak point: judges of one taste make the same mistakes, and what they share
the model takes for truth. Wrong and right can change places without a change of the likelihood; of the two
the one is taken in which the judges are better than chance, sum_j (s_j + c_j - 1) > 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from mechcot.core.errors import AnalysisError
from mechcot.core.results import Interval, Pair, Result, because, keyed
from mechcot.stats.cluster import LEVEL, Floats
from mechcot.stats.jackknife import jackknife_interval

STARTS = 8
"""Starts of the EM: one from the majority, the others from judges drawn at random between .5 and 1."""
MIN_JUDGES = 3
_ROUNDS, _TOLERANCE = 4000, 1e-9
_EDGE = 1e-6
_TOO_FEW = "two judges leave the rates open: at least three are needed"
_NO_RATINGS = "no step was judged right or wrong by two of the judges"


@dataclass(frozen=True)
class LatentJudge(Result):
    """One judge against what the panel takes for truth, in both arms.

    Attributes:
        judge: its name.
        sensitivity: share of wrong steps that it calls wrong, before and after.
        specificity: share of right steps that it calls right, before and after.
    """

    judge: str
    sensitivity: Pair[float]
    specificity: Pair[float]


@dataclass(frozen=True)
class LatentDifference(Result):
    """The difference of error rates behind a panel, each arm with judges of its own quality.

    Attributes:
        before: error rate.
        after: error rate.
        difference: after - before, its interval by leaving out questions.
        judges: one by one; empty where the rates are not identified.
        n_steps: steps that at least two judges called right or wrong, before and after.
        spare: free shares of patterns less parameters, the smaller of the two arms; 0: just identified, the
            independence of the judges cannot be tested.
        starts: of the EM; the most likely end is taken.
        ends: how many different ends (error rates more than .005 apart) the starts led to, before and after.
    """

    before: float | None = field(metadata=because(_TOO_FEW))
    after: float | None = field(metadata=because(_TOO_FEW))
    difference: Interval
    judges: tuple[LatentJudge, ...] = field(metadata=keyed("judge"))
    n_steps: Pair[int]
    spare: int | None = field(metadata=because(_TOO_FEW))
    starts: int
    ends: Pair[int]


def latent_difference(
    before: pd.DataFrame,
    questions_before: npt.ArrayLike,
    after: pd.DataFrame,
    questions_after: npt.ArrayLike,
    *,
    seed: int = 0,
    level: float = LEVEL,
) -> LatentDifference:
    """Error rates of both arms behind the same judges, as `MIN_JUDGES` or more of them see the steps.

    Args:
        before: whether each judge calls each step wrong (1, 0, NaN: it does neither) [steps, judges].
        questions_before: the row of each step's question [steps], 0 or more.
        after: the same after; the same judges.
        questions_after: the same after.
        seed: of the starts.
        level: coverage that is aimed at, if the model holds.

    Raises:
        AnalysisError: other judges after than before, another value, lengths that differ.
    """
    if list(before.columns) != list(after.columns):
        raise AnalysisError(f"the same judges are needed in both arms: {list(before)} and {list(after)}")
    names = [str(name) for name in before.columns]
    n = 1 + max(
        (int(np.max(q)) for q in (questions_before, questions_after) if len(np.asarray(q))), default=-1
    )
    arms = [_counts(before, questions_before, n), _counts(after, questions_after, n)]
    sizes = Pair(*(round(counts.sum()) for _, counts in arms))
    reason = _TOO_FEW if len(names) < MIN_JUDGES else "" if min(sizes) else _NO_RATINGS
    if reason:
        nothing = Interval(None, None, None, 0, "", reason)
        return LatentDifference(None, None, nothing, (), sizes, None, STARTS, Pair(0, 0))
    fits = [_fit(patterns, counts.sum(axis=0), seed) for patterns, counts in arms]
    (own0, ends0), (own1, ends1) = fits
    asked = (arms[0][1].sum(axis=1) + arms[1][1].sum(axis=1)) > 0
    share = sum(counts[asked].sum(axis=1) / counts.sum() for _, counts in arms)
    rates = [
        _em(patterns, counts.sum(axis=0) - counts[asked], np.repeat(own[None], asked.sum(), axis=0))[0][:, 0]
        for (patterns, counts), own in zip(arms, (own0, own1), strict=True)
    ]
    difference = jackknife_interval(
        float(own1[0] - own0[0]),
        rates[1] - rates[0],
        logit=False,
        unit="questions",
        weight=share,
        level=level,
    )
    k = len(names)
    judges = tuple(
        LatentJudge(
            name,
            Pair(float(own0[1 + j]), float(own1[1 + j])),
            Pair(float(own0[1 + k + j]), float(own1[1 + k + j])),
        )
        for j, name in enumerate(names)
    )
    spare = min(_spare(patterns, counts.sum(axis=0)) for patterns, counts in arms)
    return LatentDifference(
        float(own0[0]), float(own1[0]), difference, judges, sizes, spare, STARTS, Pair(ends0, ends1)
    )


def _counts(labels: pd.DataFrame, questions: npt.ArrayLike, n: int) -> tuple[Floats, Floats]:
    """The patterns of ratings that occur [patterns, judges], and each question's steps of each [n, patterns].

    A step that fewer than two judges rated says nothing of any of them, and is left out.
    """
    rated, owner = labels.to_numpy(dtype=np.float64), np.asarray(questions, dtype=np.int64)
    if owner.shape != (len(rated),):
        raise AnalysisError(f"one question per step is needed: {len(rated)} steps, {len(owner)} questions")
    bad = np.argwhere(~np.isnan(rated) & ~np.isin(rated, (0, 1)))
    if len(bad):
        row, column = (int(i) for i in bad[0])
        raise AnalysisError(
            f"step at row {row}, judge {labels.columns[column]}: {rated[row, column]} is neither 1 (wrong), "
            "0 (right) nor missing"
        )
    several = (~np.isnan(rated)).sum(axis=1) >= 2
    codes = np.where(np.isnan(rated), -1, rated)[several]
    patterns, which = np.unique(codes, axis=0, return_inverse=True)
    counts = np.zeros((n, len(patterns)))
    np.add.at(counts, (owner[several], which.ravel()), 1.0)
    return np.where(patterns < 0, np.nan, patterns), counts


def _spare(patterns: Floats, counts: Floats) -> int:
    """Free shares of the patterns that could occur, less parameters.

    Steps rated by the same set of judges have 2^judges - 1 free shares.
    """
    sets = {tuple(row) for row in ~np.isnan(patterns[counts > 0])}
    return sum(2 ** sum(own) - 1 for own in sets) - (2 * patterns.shape[1] + 1)


def _fit(patterns: Floats, counts: Floats, seed: int) -> tuple[Floats, int]:
    """The most likely parameters [1 + 2 judges] over all starts, and how many ends there were."""
    judges = patterns.shape[1]
    rng = np.random.default_rng(seed)
    wrong = np.nanmean(patterns, axis=1) > 0.5
    share = float(np.clip(counts @ wrong / counts.sum(), 0.05, 0.95))
    starts = np.concatenate([np.full((STARTS, 1), share), rng.uniform(0.5, 1, (STARTS, 2 * judges))], axis=1)
    starts[0, 1:] = 0.8
    ends, likely = _em(patterns, np.repeat(counts[None], STARTS, axis=0), starts)
    rates = np.sort(ends[:, 0])
    return ends[likely.argmax()], 1 + int((np.diff(rates) > 0.005).sum())


def _em(patterns: Floats, counts: Floats, start: Floats) -> tuple[Floats, Floats]:
    """EM of every row by itself.

    Args:
        patterns: [patterns, judges], NaN where not rated.
        counts: [rows, patterns].
        start: pi, sensitivities, specificities [rows, 1 + 2 judges].

    Returns:
        Where it ends, in the labels in which judges beat chance [rows, 1 + 2 judges], and the log-likelihood.
    """
    judges = patterns.shape[1]
    says_wrong, says_right = (patterns == 1).astype(float), (patterns == 0).astype(float)
    theta = np.clip(start, _EDGE, 1 - _EDGE)
    for _ in range(_ROUNDS):
        weight, _likely = _posterior(theta, counts, says_wrong, says_right)
        wrong, right = counts * weight, counts * (1 - weight)
        rated = says_wrong + says_right
        moved = np.concatenate(
            [
                wrong.sum(axis=1, keepdims=True) / counts.sum(axis=1, keepdims=True),
                wrong @ says_wrong / np.maximum(wrong @ rated, 1e-300),
                right @ says_right / np.maximum(right @ rated, 1e-300),
            ],
            axis=1,
        )
        moved = np.clip(moved, _EDGE, 1 - _EDGE)
        done = np.abs(moved - theta).max() < _TOLERANCE
        theta = moved
        if done:
            break
    likely = _posterior(theta, counts, says_wrong, says_right)[1]
    backwards = (theta[:, 1:] - 0.5).sum(axis=1) < 0
    theta[backwards] = np.concatenate(
        [1 - theta[backwards, :1], 1 - theta[backwards, 1 + judges :], 1 - theta[backwards, 1 : 1 + judges]],
        axis=1,
    )
    return theta, likely


def _posterior(
    theta: Floats, counts: Floats, says_wrong: Floats, says_right: Floats
) -> tuple[Floats, Floats]:
    """Chance that a step of each pattern is wrong [rows, patterns], and the log-likelihood [rows]."""
    judges = says_wrong.shape[1]
    pi, sensitive, specific = theta[:, :1], theta[:, 1 : 1 + judges], theta[:, 1 + judges :]
    if_wrong = np.log(pi) + np.log(sensitive) @ says_wrong.T + np.log1p(-sensitive) @ says_right.T
    if_right = np.log1p(-pi) + np.log1p(-specific) @ says_wrong.T + np.log(specific) @ says_right.T
    either = np.logaddexp(if_wrong, if_right)
    return np.exp(if_wrong - either), (counts * either).sum(axis=1)
