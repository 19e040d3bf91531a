from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.stats import sc_at_k, shared_tie_score

VOTES = st.lists(st.integers(0, 5), min_size=2, max_size=5).filter(lambda c: 1 <= sum(c) <= 10)


def by_subsets(counts, gold, k):
    """The definition: every subset of k votes, its plurality, ties shared."""
    ballots = [a for a, c in enumerate(counts) for _ in range(c)]
    scores = []
    for chosen in itertools.combinations(ballots, k):
        tally = np.bincount(chosen, minlength=len(counts))
        winners = np.flatnonzero(tally == tally.max())
        scores.append((gold in winners) / len(winners))
    return np.mean(scores)


def wide(counts):
    return [[*counts, 0]]


@pytest.mark.parametrize(
    ("counts", "gold", "known"),
    [
        ((7, 5, 3, 1), 0, {1: 0.4375, 3: 0.495833, 5: 0.576923, 8: 0.676768, 16: 1.0}),
        ((7, 5, 3, 1), 1, {1: 0.3125, 3: 0.306548, 5: 0.31044, 8: 0.275641, 16: 0.0}),
        ((30, 28, 4, 2), 0, {8: 0.537726, 16: 0.559404}),
        ((30, 28, 4, 2), 1, {8: 0.460207, 16: 0.440596}),
    ],
)
def test_known_values(counts, gold, known):
    curve = sc_at_k(wide(counts), [gold])[0]
    assert len(curve) == sum(counts)
    for k, value in known.items():
        assert curve[k - 1] == pytest.approx(value, abs=1e-6)


def test_unbiased_for_fresh_votes_where_the_plug_in_is_not():
    shares, k, n = np.array([0.38, 0.34, 0.18, 0.10]), 8, 16

    def tables(total):
        return np.array([c for c in itertools.product(range(total + 1), repeat=4) if sum(c) == total])

    def chance(table, p):
        logs = [math.lgamma(table.sum() + 1) - sum(math.lgamma(c + 1) for c in table)]
        return math.exp(logs[0]) * np.prod(p**table)

    small, big = tables(k), tables(n)
    score = shared_tie_score(np.pad(small, ((0, 0), (0, 1))), np.zeros(len(small), dtype=int))
    truth = sum(chance(row, shares) * s for row, s in zip(small, score, strict=True))
    assert truth == pytest.approx(0.485467, abs=1e-6)
    curves = sc_at_k(np.pad(big, ((0, 0), (0, 1))), np.zeros(len(big), dtype=int))
    weight = np.array([chance(row, shares) for row in big])
    assert weight.sum() == pytest.approx(1)
    assert weight @ curves[:, k - 1] == pytest.approx(truth, abs=1e-12)
    logs = [math.factorial(k) / np.prod([math.factorial(c) for c in row]) for row in small]
    plug = (np.array(logs) * score) @ np.prod((big[None] / n) ** small[:, None], axis=2)
    assert weight @ plug == pytest.approx(0.454214, abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(VOTES, st.data())
def test_equals_the_enumeration_of_subsets(counts, data):
    gold = data.draw(st.integers(0, len(counts) - 2))
    curve = sc_at_k([counts], [gold])[0]
    expected = [by_subsets(counts, gold, k) for k in range(1, sum(counts) + 1)]
    assert curve == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.integers(0, 40), min_size=2, max_size=6), st.data())
def test_two_votes_are_worth_one_and_all_votes_are_the_realised_vote(counts, data):
    total = sum(counts)
    if total < 2:
        return
    gold = data.draw(st.integers(0, len(counts) - 2))
    curve = sc_at_k([counts], [gold])[0]
    assert curve[0] == pytest.approx(counts[gold] / total, abs=1e-12)
    assert curve[1] == pytest.approx(curve[0], abs=1e-12)
    assert curve[-1] == pytest.approx(shared_tie_score([counts], [gold])[0], abs=1e-12)
    assert ((curve >= 0) & (curve <= 1)).all()


@given(st.lists(st.integers(0, 20), min_size=3, max_size=6).filter(sum))
def test_the_classes_share_the_point(counts):
    # with nobody silent, every class in turn as gold: the scores add to one at every k
    rows = [[*counts, 0]] * len(counts)
    assert sc_at_k(rows, range(len(counts))).sum(axis=0) == pytest.approx(1, abs=1e-12)


def test_silence_can_win_and_then_scores_nothing():
    assert sc_at_k([[2, 0, 3]], [0])[0][-1] == 0
    assert sc_at_k([[2, 0, 2]], [0])[0][-1] == 0.5
    assert sc_at_k([[2, 1, 3]], [0])[0] == pytest.approx(sc_at_k([[2, 3, 1]], [0])[0])


def test_many_votes_agree_with_drawing_votes():
    counts, rng = np.array([19, 20, 9, 4, 12]), np.random.default_rng(0)
    drawn = rng.multivariate_hypergeometric(counts, 21, size=40_000)
    expected = shared_tie_score(drawn, np.zeros(len(drawn), dtype=int))
    error = expected.std() / np.sqrt(len(expected))
    assert abs(sc_at_k([counts], [0])[0][20] - expected.mean()) < 4 * error


def test_up_to_cuts_the_curve_and_the_default_is_the_fewest_votes():
    table, gold = [[30, 28, 4, 2], [3, 2, 1, 1]], [0, 1]
    assert sc_at_k(table, gold).shape == (2, 7)
    assert sc_at_k(table[:1], gold[:1])[:, :5] == pytest.approx(sc_at_k(table[:1], gold[:1], 5), abs=1e-14)
    assert sc_at_k([[4000, 3000, 900, 100]], [0], 60)[0, -1] > 0.5


def test_a_study_of_published_size_has_a_curve_for_every_question():
    rng = np.random.default_rng(1)
    table = np.stack([rng.multinomial(64, rng.dirichlet(np.ones(5))) for _ in range(1273)])
    curves = sc_at_k(table, np.zeros(1273, dtype=int))
    assert curves.shape == (1273, 64)
    assert curves[:, 0] == pytest.approx(table[:, 0] / 64)


def test_bad_input_is_named():
    with pytest.raises(AnalysisError, match="question 1 has no votes"):
        sc_at_k([[1, 1], [0, 0]], [0, 0])
    with pytest.raises(AnalysisError, match="gold 1 is not one of 1"):
        sc_at_k([[1, 1]], [1])
    with pytest.raises(AnalysisError, match="no questions"):
        sc_at_k(np.zeros((0, 3), dtype=int), [])
    with pytest.raises(AnalysisError, match="exceeds a double"):
        sc_at_k([[1000, 1000]], [0])
    for up_to in (0, 3):
        with pytest.raises(UsageError, match="1 to 2"):
            sc_at_k([[1, 1]], [0], up_to)
