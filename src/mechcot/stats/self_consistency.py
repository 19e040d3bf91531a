"""Self-consistency at every number of votes, from one set of votes, without simulation.

SC@k is the expected score of a plurality vote over k of a question's n traces, drawn without
replacement, winners of a tie sharing the point:

    SC@k = sum over kappa with sum(kappa) = k of
           prod_a C(c_a, kappa_a) / C(n, k) * 1[gold in argmax kappa] / |argmax kappa|

It is the U-statistic of that score, so unbiased for a vote over k fresh traces at any k <= n
(plugging the vote shares into a multinomial is not). At k = n nothing is averaged: it is the one
realised vote.

The sum is not walked term by term. Fix the winning count t of gold. Every other class then takes
j < t votes, or j = t and ties; with x marking votes and y marking ties the ways are

    P_t(x, y) = prod over a != gold of ( sum_{j<t} C(c_a, j) x^j + y C(c_a, t) x^t )

and w winners share the point: a term y^(w-1) weighs 1/w, which is its integral over y in [0, 1].
P_t has degree at most m in y for m other classes, so m // 2 + 1 Gauss-Legendre nodes integrate
it exactly. All terms are positive: nothing cancels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.stats.cluster import Floats, Ints
from mechcot.stats.votes import shared_tie_score


def sc_at_k(table: npt.ArrayLike, gold: npt.ArrayLike, up_to: int | None = None) -> Floats:
    """Exact unbiased SC@k of every question for k = 1, 2, ..., up_to.

    The no-answer class votes like any other, can win, and is never gold. Questions with the same
    votes for gold and the same votes for the rest in any order are computed once. SC@2 = SC@1
    always: a vote of two is a single answer or a shared tie.

    Args:
        table: votes [questions, options + 1]; the last column is "no answer".
        gold: index of the right option [questions].
        up_to: largest k; by default the number of votes of the question that has the fewest.

    Returns:
        [questions, up_to]; column k - 1 is SC@k, in 0..1.

    Raises:
        AnalysisError: a question without votes, gold that is not an option, or so many votes
            that the number of subsets exceeds a double (1,030 votes at up_to = all).
        UsageError: up_to below 1 or above the votes of some question.
    """
    shared_tie_score(table, gold)  # raises on tables that have no plurality
    counts = np.asarray(table, dtype=np.int64)
    if len(counts) == 0:
        raise AnalysisError("votes: no questions; SC@k needs at least one")
    fewest = int(counts.sum(axis=1).min())
    limit = fewest if up_to is None else int(up_to)
    if not 1 <= limit <= fewest:
        raise UsageError(f"up_to must be 1 to {fewest}, the fewest votes of a question, not {limit}")
    return _curves(counts, np.asarray(gold, dtype=np.int64), limit)


def _curves(counts: Ints, gold: Ints, limit: int) -> Floats:
    """One curve for each distinct (votes for gold, sorted votes for the rest)."""
    from scipy.special import comb

    rows = np.arange(len(counts))
    mine = counts[rows, gold]
    others = counts.copy()
    others[rows, gold] = 0
    keys = np.column_stack([mine, np.sort(others, axis=1)])
    distinct, where = np.unique(keys, axis=0, return_inverse=True)
    largest = int(distinct.sum(axis=1).max())
    grid = comb(np.arange(largest + 1)[:, None], np.arange(limit + 1)[None])
    choose = np.asarray(grid, dtype=np.float64)
    if not np.isfinite(choose[-1]).all():
        raise AnalysisError(f"SC@k for k up to {limit} from {largest} votes exceeds a double; lower up_to")
    curves = np.stack([_curve(int(key[0]), key[1:][key[1:] > 0], limit, choose) for key in distinct])
    return np.clip(curves, 0.0, 1.0)[where.reshape(-1)]


def _curve(gold: int, others: Ints, limit: int, choose: Floats) -> Floats:
    """SC@k [limit] of one question.

    Args:
        gold: votes for the right option.
        others: votes of the other classes that have any [classes].
        limit: largest k.
        choose: binomial coefficients [votes + 1, limit + 1].
    """
    top = min(gold, limit)
    if top == 0:
        return np.zeros(limit)
    nodes, weights = np.polynomial.legendre.leggauss(len(others) // 2 + 1)
    ties, weights = (nodes[:, None] + 1) / 2, weights / 2
    ways = np.zeros((top, len(ties), limit))  # [winning count - 1, node, votes of the others]
    ways[:, :, 0] = 1.0
    length = 1
    for votes in others:
        grown = ways.copy()
        for taken in range(1, min(int(votes), top, limit - 1) + 1):
            stop = min(length + taken, limit)
            part = choose[votes, taken] * ways[taken - 1 :, :, : stop - taken]
            grown[taken:, :, taken:stop] += part[1:]
            grown[taken - 1, :, taken:stop] += ties * part[0]
        ways = grown
        length = min(length + min(int(votes), top), limit)
    ways_to_win = np.einsum("tns,n->ts", ways, weights)
    curve = np.zeros(limit)
    for count in range(1, top + 1):
        curve[count - 1 :] += choose[gold, count] * ways_to_win[count - 1, : limit - count + 1]
    total = gold + int(others.sum())
    return np.asarray(curve / choose[total, 1:], dtype=np.float64)
