"""A change of SC@k in two: more votes for gold, and wrong votes that stand together less.

A vote of k answers is right when gold has more votes than any other answer: its share pi decides,
and so does how the rest is spread, rho (the shares of the wrong answers among themselves, "no
answer" included). Write SC_k(pi, rho). The split of the change from (pi_0, rho_0) to (pi_1, rho_1)
is the Shapley value, the mean over both orders of changing first the one, then the other (the
symmetrical split of Kitagawa 1955; Shorrocks 2013):

    gold share     = (SC(pi_1, rho_0) - SC(pi_0, rho_0) + SC(pi_1, rho_1) - SC(pi_0, rho_1)) / 2
    concentration  = (SC(pi_0, rho_1) - SC(pi_0, rho_0) + SC(pi_1, rho_1) - SC(pi_1, rho_0)) / 2

They add to the change exactly. SC(pi_s, rho_t) is estimated without plugging shares into a
multinomial: x gold votes come from arm s (hypergeometric, k of its n traces), the other k - x from
the wrong votes of arm t without replacement. For s = t this is the exact unbiased SC@k. Where arm t
has fewer wrong votes than k - x, its shares are plugged in; how often is counted. An arm without a
wrong vote has no rho and borrows the other arm's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.core.results import Interval, Result
from mechcot.stats.cluster import Floats, Ints
from mechcot.stats.jackknife import mean_interval
from mechcot.stats.votes import shared_tie_score


@dataclass(frozen=True)
class VoteSplit(Result):
    """A change of SC@k in two terms that add to it.

    Attributes:
        k: votes.
        total: SC@k after minus before.
        gold_share: gold has more or fewer of the votes.
        concentration: the wrong votes are spread more or less.
        share_plugged_in: of the two mixed values, the share of their probability that rests on
            plugged-in shares.
    """

    k: int
    total: Interval
    gold_share: Interval
    concentration: Interval
    share_plugged_in: float


def split_votes(
    table0: npt.ArrayLike,
    table1: npt.ArrayLike,
    gold: npt.ArrayLike,
    k: int,
    text: npt.ArrayLike | None = None,
) -> VoteSplit:
    """Split the change of SC@k; see the module's definition. Intervals leave out question by question.

    Args:
        table0: votes before [questions, options + 1]; the last column is "no answer".
        table1: votes after, of the same shape.
        gold: index of the right option [questions].
        k: votes of the vote that is split.
        text: the number of each question's text [questions]; None: no two are equal.

    Raises:
        AnalysisError: a question without votes, shapes differ, gold that is not an option.
        UsageError: k below 1 or above the votes of some question.
    """
    tables = [np.asarray(table, dtype=np.int64) for table in (table0, table1)]
    if tables[0].shape != tables[1].shape:
        raise AnalysisError(
            f"votes of the same questions and options are needed; the shapes are {tables[0].shape} and "
            f"{tables[1].shape}"
        )
    for table in tables:
        shared_tie_score(table, gold)  # raises
    fewest = min(int(table.sum(axis=1).min()) for table in tables)
    if not 1 <= k <= fewest:
        raise UsageError(f"k must be 1 to {fewest}, the fewest votes of a question, not {k}")
    truth = np.asarray(gold, dtype=np.int64)
    scores = np.empty((len(truth), 2, 2))  # [question, arm of pi, arm of rho]
    plugged = np.zeros(len(truth))
    for row, option in enumerate(truth):
        rest = [np.delete(table[row], option) for table in tables]
        for s, of_gold in enumerate(tables):
            chances = _gold_counts(int(of_gold[row, option]), int(of_gold[row].sum()), k)
            for t in (0, 1):
                wrong = rest[t] if rest[t].any() else rest[1 - t]
                scores[row, s, t] = chances @ _win_table(tuple(sorted(int(v) for v in wrong if v)), k)
                if s != t:
                    scarce = k - np.arange(k + 1) > wrong.sum()
                    plugged[row] += chances[scarce].sum() / 2
    share = (scores[:, 1, 0] - scores[:, 0, 0] + scores[:, 1, 1] - scores[:, 0, 1]) / 2
    total = scores[:, 1, 1] - scores[:, 0, 0]
    return VoteSplit(
        k=k,
        total=mean_interval(total, text),
        gold_share=mean_interval(share, text),
        concentration=mean_interval(total - share, text),
        share_plugged_in=float(plugged.mean()),
    )


def _gold_counts(gold: int, n: int, k: int) -> Floats:
    """Chance of 0..k votes for gold among k of n traces, `gold` of which are for gold [k + 1]."""
    from scipy.special import comb

    taken = np.arange(k + 1)
    return np.asarray(comb(gold, taken) * comb(n - gold, k - taken) / comb(n, k), dtype=np.float64)


@lru_cache(maxsize=4096)
def _win_table(wrong: tuple[int, ...], k: int) -> Floats:
    """Score of a vote with x votes for gold and k - x of these wrong ones, for x = 0..k [k + 1]."""
    from scipy.special import comb, gammaln

    counts = np.array(wrong, dtype=np.int64)
    total = int(counts.sum())
    taken = np.arange(k + 1)
    left = k - taken
    if not wrong:
        return np.where(left == 0, 1.0, 0.0)
    # without replacement: prod C(w, j) / C(W, y)
    drawn = _weighted_wins(np.asarray(comb(counts[:, None], taken[None]), dtype=np.float64), k)
    exact = np.divide(drawn, comb(total, left), out=np.zeros(k + 1), where=left <= total)
    if k <= total:
        return exact
    # with replacement: prod (w/W)^j / j! * y!
    log_weight = taken * np.log(counts[:, None] / total) - gammaln(taken + 1)
    plugged = _weighted_wins(np.exp(log_weight), k) * np.exp(gammaln(left + 1))
    return np.where(left <= total, exact, plugged)


def _weighted_wins(weights: Floats, k: int) -> Floats:
    """Weighted ways in which x gold votes win or share among k, for x = 0..k [k + 1].

    Args:
        weights: of taking j votes of each wrong class [classes, k + 1].
        k: votes in all.
    """
    nodes, areas = np.polynomial.legendre.leggauss(len(weights) // 2 + 1)
    ties, areas = (nodes[:, None] + 1) / 2, areas / 2  # the integral over y makes y^(w - 1) weigh 1/w
    ways = np.zeros((k, len(nodes), k))  # [votes for gold - 1, node, votes for the rest]
    ways[:, :, 0] = 1.0
    for weight in weights:
        grown = ways.copy()
        for j in range(1, k):
            part = weight[j] * ways[j - 1 :, :, : k - j]
            grown[j:, :, j:] += part[1:]
            grown[j - 1, :, j:] += ties * part[0]
        ways = grown
    wins = np.zeros(k + 1)
    gold: Ints = np.arange(1, k + 1)
    wins[1:] = np.einsum("xn,n->x", ways[gold - 1, :, k - gold], areas)
    return wins
