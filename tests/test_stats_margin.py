from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.stats.margin import (
    EDGES,
    HalfVotes,
    boundary_flow,
    equal_share_null,
    flows_by_margin,
    half_votes,
    just_below,
    margin_bins,
)
from mechcot.stats.votes import shared_tie_score, vote_margin, votes

OPTIONS = 4


def sample(rng, shares, k):
    """Answers [questions, k] from shares [questions, options + 1]; the last class is no answer."""
    picks = (rng.random((len(shares), k, 1)) > np.cumsum(shares, axis=1)[:, None]).sum(axis=2)
    return np.where(picks == shares.shape[1] - 1, -1, picks)


def make_shares(rng, n):
    """Shares of questions of all difficulties; gold is option 0."""
    return rng.dirichlet([1.2, 0.6, 0.4, 0.3, 0.1], n)


@given(st.lists(st.integers(0, 6), min_size=3, max_size=6).filter(any), st.data())
def test_a_margin_is_the_lead_over_the_strongest_other_class(counts, data):
    gold = data.draw(st.integers(0, len(counts) - 2))
    others = [count for i, count in enumerate(counts) if i != gold]
    margin = vote_margin([counts], [gold])[0]
    assert margin == (counts[gold] - max(others)) / sum(counts)
    score = shared_tie_score([counts], [gold])[0]
    assert (margin > 0) == (score == 1)
    assert (margin < 0) == (score == 0)


def test_margins_on_an_edge_are_in_the_bin_nearer_to_zero():
    assert margin_bins([-1, -0.5, -0.2, -0.05, 0, 0.05, 0.2, 0.5, 1]).tolist() == [0, 1, 2, 3, 3, 3, 4, 5, 6]
    assert margin_bins([-0.51, -0.21, -0.06, 0.06, 0.21, 0.51]).tolist() == [0, 1, 2, 4, 5, 6]


def test_halves_of_a_question_small_enough_to_count_by_hand():
    # before: traces 0, 2 say 0 0 (right), traces 1, 3 say 1 0 (a tie); after: 0 0, and 1 -1
    halves = half_votes([[0, 1, 0, 0, 3]], [[0, 1, 0, -1, 3]], [0], OPTIONS)
    assert halves.size == 2
    assert halves.margin.ravel().tolist() == [1, 0]
    assert halves.before.ravel().tolist() == [0.5, 1]  # the half that the margin is not of
    assert halves.after.tolist() == [0.5]
    assert halves.gained.ravel().tolist() == [0.25, 0]
    assert halves.lost.ravel().tolist() == [0.25, 0.5]
    assert halves.margin_change.ravel().tolist() == [0.25, -0.75]
    flows = flows_by_margin(halves)[0]
    assert flows[6].tolist() == [0.5, 0.125, 0.125]
    assert flows[3].tolist() == [0.5, 0, 0.25]
    assert just_below(halves, 0.1).tolist() == [[0, 0.125]]


def test_gained_less_lost_is_the_change_of_the_score_ties_and_all():
    rng = np.random.default_rng(0)
    shares = make_shares(rng, 200)
    before, after = sample(rng, shares, 6), sample(rng, shares[::-1], 6)
    gold = np.zeros(200, int)
    halves = half_votes(before, after, gold, OPTIONS)

    def score(answers):
        return np.mean([shared_tie_score(votes(answers[:, h::2], OPTIONS), gold) for h in (0, 1)], axis=0)

    assert (halves.gained - halves.lost).mean(axis=0) == pytest.approx(score(after) - score(before))
    flows = flows_by_margin(halves)
    assert flows[:, :, 0].sum(axis=1) == pytest.approx(np.ones(200))
    assert (flows[:, :, 1] - flows[:, :, 2]).sum(axis=1) == pytest.approx(score(after) - score(before))


def bin_changes(halves):
    """Mean change in each bin and its standard error, questions as units."""
    flows = flows_by_margin(halves)
    change, weight = flows[:, :, 1] - flows[:, :, 2], flows[:, :, 0]
    mean = change.sum(axis=0) / weight.sum(axis=0)
    return mean, np.sqrt(((change - mean * weight) ** 2).sum(axis=0)) / weight.sum(axis=0)


def test_without_a_change_the_same_votes_show_one_in_every_bin_and_halves_show_none():
    rng = np.random.default_rng(1)
    n = 20_000
    shares, gold = make_shares(rng, n), np.zeros(n, int)
    before, after = sample(rng, shares, 16), sample(rng, shares, 16)
    split = half_votes(before, after, gold, OPTIONS)
    mean, error = bin_changes(split)
    assert (np.abs(mean) < 3.5 * error).all()
    # margin and score of the same votes: unlucky votes only rise, lucky ones only fall
    naive = HalfVotes(split.margin, split.before[::-1], split.after, split.margin_change, split.size)
    mean, error = bin_changes(naive)
    assert (mean[:3] > 5 * error[:3]).all()
    assert (mean[4:] < -5 * error[4:]).all()
    assert mean[2] > 0.3
    assert mean[4] < -0.3


def test_the_null_of_equal_shares_holds_where_shares_are_equal():
    gold = np.zeros(60, int)
    inside = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        shares = make_shares(rng, 60)
        before, after = sample(rng, shares, 8), sample(rng, shares, 8)
        flows, _ = equal_share_null(before, after, gold, OPTIONS, 99, seed, (0.2,))
        halves = half_votes(before, after, gold, OPTIONS)
        gained, null = halves.gained.mean(axis=0).sum(), flows[:, :, 0].sum(axis=1)
        inside.append(np.quantile(null, 0.025) <= gained <= np.quantile(null, 0.975))
    assert np.mean(inside) >= 0.88  # 95 % less three standard errors


def test_the_null_is_left_where_the_arms_differ_and_knows_where():
    rng = np.random.default_rng(3)
    n = 400
    shares, gold = make_shares(rng, n), np.zeros(n, int)
    better = shares.copy()
    far = shares[:, 0] < 0.15  # only hopeless questions are learned
    better[far] = [0.9, 0.1, 0, 0, 0]
    before, after = sample(rng, shares, 16), sample(rng, better, 16)
    flows, near = equal_share_null(before, after, gold, OPTIONS, 99, 0, (0.2,))
    halves = half_votes(before, after, gold, OPTIONS)
    observed = flows_by_margin(halves).sum(axis=0)
    assert observed[0, 1] > flows[:, 0, 0].max()
    share = np.divide(*just_below(halves, 0.2).sum(axis=0))
    assert share < near.min()
    again = equal_share_null(before, after, gold, OPTIONS, 99, 0, (0.2,))
    assert (again[0] == flows).all()


def test_the_flow_over_the_boundary_is_the_change_of_the_vote_when_margins_move_a_little():
    # two options, so a margin is 2 pi - 1; all questions move by .06, uniform before
    rng = np.random.default_rng(4)
    n, k = 30_000, 128
    pi = rng.random(n) * 0.9
    gold = np.zeros(n, int)
    before, after = (sample(rng, np.column_stack([p, 1 - p, 0 * p]), k) for p in (pi, pi + 0.03))
    halves = half_votes(before, after, gold, 2)
    flow = boundary_flow(halves, 0.3)
    change = (halves.gained - halves.lost).mean()
    assert flow.mean_change == pytest.approx(0.06, abs=0.004)
    assert flow.product == pytest.approx(change, rel=0.12)
    nowhere = half_votes([[0] * 8], [[1] * 8], [0], 2)
    assert (boundary_flow(nowhere).density, boundary_flow(nowhere).product) == (0, None)


@pytest.mark.parametrize(
    ("error", "call", "words"),
    [
        (AnalysisError, lambda: half_votes([[0]], [[0]], [0], 2), "at least two traces"),
        (AnalysisError, lambda: half_votes([[0, 1]], [[0, 1, 1]], [0], 2), "as many before as after"),
        (AnalysisError, lambda: half_votes([[0, 5]], [[0, 1]], [0], 2), "answer 5"),
        (UsageError, lambda: equal_share_null([[0, 1]], [[0, 1]], [0], 2, 0, 0, (0.1,)), "at least 1"),
    ],
)
def test_bad_input_is_named(error, call, words):
    with pytest.raises(error, match=words):
        call()


def test_edges_are_in_order():
    assert list(EDGES) == sorted(EDGES)
