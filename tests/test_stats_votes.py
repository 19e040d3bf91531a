from __future__ import annotations

from itertools import product
from math import comb, prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechcot.core.errors import AnalysisError
from mechcot.stats import plurality, plurality_right, shared_tie_score, vote_confidence, vote_margin, votes

TABLE = st.lists(st.integers(0, 6), min_size=3, max_size=6).filter(any)


def exact_sc(counts, gold, k):
    """SC@k over all subsets of k of the votes, by enumeration."""
    total = 0.0
    for chosen in product(*(range(min(c, k) + 1) for c in counts)):
        if sum(chosen) == k:
            weight = prod(comb(c, m) for c, m in zip(counts, chosen, strict=True)) / comb(sum(counts), k)
            total += weight * shared_tie_score([[*chosen, 0]], [gold])[0]
    return total


@pytest.mark.parametrize(
    ("counts", "gold", "k", "expected"),
    [
        ((7, 5, 3, 1), 0, 1, 0.4375),
        ((7, 5, 3, 1), 0, 3, 0.495833),
        ((7, 5, 3, 1), 0, 5, 0.576923),
        ((7, 5, 3, 1), 0, 8, 0.676768),
        ((7, 5, 3, 1), 0, 16, 1.0),
        ((7, 5, 3, 1), 1, 1, 0.3125),
        ((7, 5, 3, 1), 1, 3, 0.306548),
        ((7, 5, 3, 1), 1, 5, 0.31044),
        ((7, 5, 3, 1), 1, 8, 0.275641),
        ((7, 5, 3, 1), 1, 16, 0.0),
        ((30, 28, 4, 2), 0, 8, 0.537726),
        ((30, 28, 4, 2), 0, 16, 0.559404),
        ((30, 28, 4, 2), 1, 8, 0.460207),
        ((30, 28, 4, 2), 1, 16, 0.440596),
    ],
)
def test_shared_ties_reproduce_the_known_curve(counts, gold, k, expected):
    assert exact_sc(counts, gold, k) == pytest.approx(expected, abs=1e-6)


@given(TABLE.filter(lambda row: sum(row) >= 2), st.data())
def test_two_votes_are_worth_as_much_as_one_when_ties_are_shared(counts, data):
    gold = data.draw(st.integers(0, len(counts) - 1))
    assert exact_sc(counts, gold, 2) == pytest.approx(exact_sc(counts, gold, 1))


@given(TABLE, st.data())
def test_a_shared_tie_is_the_mean_over_breaking_ties_at_random(counts, data):
    gold = data.draw(st.integers(0, len(counts) - 2))
    winners = [i for i, count in enumerate(counts) if count == max(counts)]
    expected = np.mean([winner == gold for winner in winners])
    assert shared_tie_score([counts], [gold])[0] == pytest.approx(expected)
    assert plurality_right([counts], [gold])[0] == (winners == [gold])
    option = winners[0] if len(winners) == 1 and winners[0] < len(counts) - 1 else -1
    assert plurality([counts])[0] == option
    assert vote_confidence([counts])[0] == max(counts) / sum(counts)


@given(TABLE)
def test_shares_of_all_options_and_no_answer_add_to_one(counts):
    by_option = sum(shared_tie_score([counts], [gold])[0] for gold in range(len(counts) - 1))
    winners = [count == max(counts) for count in counts]
    assert by_option + winners[-1] / sum(winners) == pytest.approx(1)


def test_votes_counts_no_answer_last_and_no_answer_can_win():
    answers = np.array([[0, 1, 1, -1], [-1, -1, -1, 0], [2, 2, 0, 0], [-1, -1, 1, 1]])
    table = votes(answers, 3)
    assert table.tolist() == [[1, 2, 0, 1], [1, 0, 0, 3], [2, 0, 2, 0], [0, 2, 0, 2]]
    gold = [1, 0, 0, 1]
    assert shared_tie_score(table, gold).tolist() == [1, 0, 0.5, 0.5]
    assert plurality_right(table, gold).tolist() == [True, False, False, False]
    assert plurality(table).tolist() == [1, -1, -1, -1]
    assert vote_confidence(table).tolist() == [0.5, 0.75, 0.5, 0.5]
    assert vote_margin(table, gold).tolist() == [0.25, -0.5, 0, 0]
    assert vote_margin([[4, 0, 0], [0, 0, 4]], [0, 0]).tolist() == [1, -1]


@given(st.lists(st.lists(st.integers(-1, 3), min_size=5, max_size=5), min_size=1, max_size=8))
def test_votes_of_each_question_add_to_its_traces(answers):
    table = votes(answers, 4)
    assert table.shape == (len(answers), 5)
    assert (table.sum(axis=1) == 5).all()
    for row, given_answers in zip(table, answers, strict=True):
        assert [row[a] for a in (0, 1, 2, 3, -1)] == [given_answers.count(a) for a in (0, 1, 2, 3, -1)]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: votes([[0, 1], [2, 4]], 4), "question 1, trace 1: answer 4"),
        (lambda: votes([[0, -2]], 4), "answer -2"),
        (lambda: votes([0, 1], 4), "questions, traces"),
        (lambda: shared_tie_score([[1, 0], [0, 0]], [0, 0]), "question 1 has no votes"),
        (lambda: shared_tie_score([[1, 0, 2]], [2]), "gold 2 is not one of 2 options"),
        (lambda: shared_tie_score([[1, 0, 2]], [0, 1]), "as many golds"),
        (lambda: plurality([1, 2]), "options \\+ 1"),
    ],
)
def test_bad_votes_are_named(call, words):
    with pytest.raises(AnalysisError, match=words):
        call()
