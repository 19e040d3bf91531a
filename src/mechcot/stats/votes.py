"""Votes of a question's traces: the table, the plurality, shared ties.

A trace without an answer votes too, for the extra class "no answer", which stands last. That
class can win, and then the vote is wrong.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mechcot.core.errors import AnalysisError
from mechcot.stats.cluster import Floats, Ints

Bools = npt.NDArray[np.bool_]


def votes(answers: npt.ArrayLike, n_options: int) -> Ints:
    """Count the answers of every question.

    Args:
        answers: [questions, traces] of option indices; -1 where a trace has no answer.
        n_options: number of options (the largest, if questions differ).

    Returns:
        [questions, n_options + 1]; the last column counts traces without an answer.

    Raises:
        AnalysisError: an answer that is neither -1 nor an option.
    """
    given = np.asarray(answers)
    if given.ndim != 2:
        raise AnalysisError(f"answers must be [questions, traces], not of shape {given.shape}")
    bad = np.argwhere((given < -1) | (given >= n_options))
    if len(bad):
        row, column = bad[0]
        raise AnalysisError(
            f"question {row}, trace {column}: answer {given[row, column]} is not one of {n_options} options"
        )
    slot = np.where(given < 0, n_options, given).astype(np.int64)
    width = n_options + 1
    flat = slot + np.arange(len(slot))[:, None] * width
    return np.bincount(flat.ravel(), minlength=len(slot) * width).reshape(len(slot), width)


def shared_tie_score(table: npt.ArrayLike, gold: npt.ArrayLike) -> Floats:
    """Plurality score of each question, winners of a tie sharing the point.

    1 if gold is the only winner, 1/w if it is one of w winners, else 0. This is the expected
    score of breaking ties at random. The no-answer class can win (alone or in a tie) and is
    never gold.

    Args:
        table: votes [questions, options + 1].
        gold: index of the right option [questions].

    Raises:
        AnalysisError: a question without votes, or gold that is not an option.
    """
    winners, right = _winners(table, gold)
    return right / winners.sum(axis=1)


def plurality_right(table: npt.ArrayLike, gold: npt.ArrayLike) -> Bools:
    """Whether gold is the one and only winner: a tie counts as not right.

    Used wherever questions are sorted into right and wrong (both arms right, McNemar). It is
    stricter than `shared_tie_score`, which gives a tie its share.

    Args:
        table: votes [questions, options + 1].
        gold: index of the right option [questions].

    Raises:
        AnalysisError: a question without votes, or gold that is not an option.
    """
    winners, right = _winners(table, gold)
    return right & (winners.sum(axis=1) == 1)


def plurality(table: npt.ArrayLike) -> Ints:
    """The winning option of each question; -1 where there is none (a tie, or no answer won).

    Args:
        table: votes [questions, options + 1].

    Raises:
        AnalysisError: a question without votes.
    """
    counts = _counts(table)
    winners = counts == counts.max(axis=1, keepdims=True)
    chosen = counts.argmax(axis=1)
    none = (winners.sum(axis=1) > 1) | (chosen == counts.shape[1] - 1)
    return np.where(none, -1, chosen).astype(np.int64)


def vote_confidence(table: npt.ArrayLike) -> Floats:
    """The winner's share of all votes, "no answer" included both as winner and as vote.

    Args:
        table: votes [questions, options + 1].

    Raises:
        AnalysisError: a question without votes.
    """
    counts = _counts(table)
    return counts.max(axis=1) / counts.sum(axis=1)


def vote_margin(table: npt.ArrayLike, gold: npt.ArrayLike) -> Floats:
    """By how large a share of the votes gold is ahead of the strongest other class, in -1..1.

    The no-answer class is one of the others. 0 is a tie.

    Args:
        table: votes [questions, options + 1].
        gold: index of the right option [questions].

    Raises:
        AnalysisError: a question without votes, or gold that is not an option.
    """
    _winners(table, gold)  # raises
    counts, truth = _counts(table), np.asarray(gold, dtype=np.int64)
    rows = np.arange(len(counts))
    others = counts.copy()
    others[rows, truth] = -1
    return (counts[rows, truth] - others.max(axis=1)) / counts.sum(axis=1)


def _counts(table: npt.ArrayLike) -> Ints:
    counts = np.asarray(table, dtype=np.int64)
    if counts.ndim != 2 or counts.shape[1] < 2:
        raise AnalysisError(f"votes must be [questions, options + 1], not of shape {counts.shape}")
    empty = np.flatnonzero(counts.sum(axis=1) == 0)
    if empty.size:
        raise AnalysisError(f"question {empty[0]} has no votes")
    return counts


def _winners(table: npt.ArrayLike, gold: npt.ArrayLike) -> tuple[Bools, Bools]:
    """Which classes win [questions, options + 1], and whether gold is among them [questions]."""
    counts = _counts(table)
    truth = np.asarray(gold)
    if truth.shape != (len(counts),):
        raise AnalysisError(f"{len(counts)} questions need as many golds, not shape {truth.shape}")
    bad = np.flatnonzero((truth < 0) | (truth >= counts.shape[1] - 1))
    if bad.size:
        raise AnalysisError(
            f"question {bad[0]}: gold {truth[bad[0]]} is not one of {counts.shape[1] - 1} options"
        )
    winners = counts == counts.max(axis=1, keepdims=True)
    return winners, winners[np.arange(len(counts)), truth.astype(np.int64)]
