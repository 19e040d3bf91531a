from __future__ import annotations

from itertools import product
from math import comb, factorial, prod

import numpy as np
import pytest

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.stats.self_consistency import sc_at_k
from mechcot.stats.vote_split import _win_table, split_votes
from mechcot.stats.votes import votes
from test_stats_margin import make_shares, sample


def score(gold, others):
    top = max([gold, *others])
    return (gold == top) / [gold, *others].count(top)


@pytest.mark.parametrize(("wrong", "k"), [((3, 4, 1), 5), ((2, 2), 6), ((5,), 4), ((1, 1, 2), 7), ((), 3)])
def test_wins_are_those_of_all_draws_of_the_wrong_votes(wrong, k):
    total = sum(wrong)
    for x, value in enumerate(_win_table(wrong, k)):
        rest, expected = k - x, 0.0
        for taken in product(range(rest + 1), repeat=len(wrong)):
            if sum(taken) != rest:
                continue
            if rest <= total:
                chance = prod(comb(w, j) for w, j in zip(wrong, taken, strict=True)) / comb(total, rest)
            else:
                chance = factorial(rest) * prod(
                    (w / total) ** j / factorial(j) for w, j in zip(wrong, taken, strict=True)
                )
            expected += chance * score(x, taken)
        assert value == pytest.approx(expected, abs=1e-12)


def test_the_terms_add_to_the_exact_change():
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 4, 80)
    tables = [votes(sample(rng, make_shares(rng, 80), 10), 4) for _ in range(2)]
    for k in (1, 5, 10):
        split = split_votes(*tables, gold, k)
        curves = [sc_at_k(table, gold, k)[:, -1].mean() for table in tables]
        assert split.total.estimate == pytest.approx(curves[1] - curves[0])
        assert split.gold_share.estimate + split.concentration.estimate == pytest.approx(split.total.estimate)
    back = split_votes(tables[1], tables[0], gold, 5)
    there = split_votes(*tables, gold, 5)
    assert back.gold_share.estimate == pytest.approx(-there.gold_share.estimate)
    assert back.share_plugged_in == pytest.approx(there.share_plugged_in)


def test_a_single_answer_knows_no_concentration():
    rng = np.random.default_rng(1)
    tables = [votes(sample(rng, make_shares(rng, 40), 6), 4) for _ in range(2)]
    split = split_votes(*tables, np.zeros(40, int), 1)
    assert split.concentration.estimate == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("moved", ["gold", "rest"])
def test_only_the_term_that_was_moved_is_there(moved):
    rng = np.random.default_rng(2)
    n, gold = 4000, np.zeros(4000, int)
    pi = rng.uniform(0.2, 0.5, n)
    near, spread = np.array([0.7, 0.1, 0.1, 0.1]), np.full(4, 0.25)
    share = pi + 0.1 if moved == "gold" else pi
    rest = near if moved == "gold" else spread

    def shares(p, rho):
        return np.column_stack([p, (1 - p)[:, None] * rho])

    before = votes(sample(rng, shares(pi, near), 24), 4)
    after = votes(sample(rng, shares(share, rest), 24), 4)
    split = split_votes(before, after, gold, 8)
    there, absent = split.gold_share, split.concentration
    if moved == "rest":
        there, absent = absent, there
    assert there.low > 0.05
    assert absent.low - 0.005 < 0 < absent.high + 0.005
    assert split.share_plugged_in < 0.01


def test_an_arm_without_wrong_votes_borrows_the_others():
    split = split_votes([[2, 2, 0]], [[4, 0, 0]], [0], 2)
    assert split.total.estimate == 0.5
    assert split.gold_share.estimate == 0.5
    assert split.concentration.estimate == 0
    both = split_votes([[4, 0, 0]], [[4, 0, 0]], [0], 2)
    assert (both.total.estimate, both.gold_share.estimate) == (0, 0)


@pytest.mark.parametrize(
    ("error", "call", "words"),
    [
        (
            AnalysisError,
            lambda: split_votes([[1, 0, 0]], [[1, 0]], [0], 1),
            r"shapes are \(1, 3\) and \(1, 2\)",
        ),
        (AnalysisError, lambda: split_votes([[0, 0]], [[1, 0]], [0], 1), "no votes"),
        (UsageError, lambda: split_votes([[2, 0]], [[1, 0]], [0], 2), "k must be 1 to 1"),
    ],
)
def test_bad_input_is_named(error, call, words):
    with pytest.raises(error, match=words):
        call()
