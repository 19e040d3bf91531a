"""Bounds among traces right in both arms: by hand, by every coupling, and what happens at the ends."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import norm, t

from mechcot.core.errors import AnalysisError
from mechcot.core.results import Pair
from mechcot.stats import RightTraces, both_right_bounds
from mechcot.stats.both_right import _trimmed
from mechcot.stats.jackknife import standard_error
from mechcot.stats.sensitivity import imbens_manski


def _arms(right, y, k=4):
    """Counts by half and right traces of both arms from right or not and share wrong [arms, questions, k]."""
    right, y = np.asarray(right, dtype=bool), np.asarray(y, dtype=float)
    halves = [np.stack([own[:, ::2].sum(axis=1), own[:, 1::2].sum(axis=1)], axis=1) for own in right]
    samples = [np.full(own.shape, k // 2) for own in halves]
    traces = []
    for own, share in zip(right, y, strict=True):
        q, place = np.nonzero(own)
        traces.append(RightTraces(q, share[q, place], np.full(len(q), 1 / k)))
    return Pair(*halves), Pair(*samples), Pair(*traces)


def test_answers_that_never_waver_leave_one_number():
    """Every question always right or always wrong in each arm: the stratum is known, the bounds meet."""
    rng = np.random.default_rng(0)
    certain = np.array([[1, 1, 0, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1, 1, 0]])[:, :, None] * np.ones(4)
    certain[1] = certain[0]
    y = rng.random((2, 8, 4))
    found = both_right_bounds(*_arms(certain, y))
    both = certain[0].astype(bool) & certain[1].astype(bool)
    truth = y[1][both].mean() - y[0][both].mean()
    for bounds in (found.any, found.alike):
        assert (bounds.low, bounds.high) == pytest.approx((truth, truth))
        assert bounds.interval_low < truth < bounds.interval_high
    assert found.stratum_any == found.stratum_alike == 6 / 8


def test_by_hand():
    # before: all 4 right, after: 2 of 4. So the stratum is the 2, and half of those before.
    right = np.array([[[1, 1, 1, 1]], [[1, 1, 0, 0]]])
    y = np.array([[[0.1, 0.2, 0.3, 0.4]], [[0.5, 0.7, 0.0, 0.0]]])
    found = both_right_bounds(*_arms(right, y))
    assert found.alike.low == pytest.approx(0.6 - 0.35)
    assert found.alike.high == pytest.approx(0.6 - 0.15)
    assert (found.stratum_any, found.stratum_alike) == (0.5, 0.5)
    assert "too few" in found.any.reason


@pytest.mark.parametrize("seed", range(5))
def test_no_coupling_of_the_traces_leaves_the_bounds(seed):
    """All ways to pair 4 traces of a question with 4: the mean over pairs right in both lies inside."""
    rng = np.random.default_rng(seed)
    right, y = rng.random((2, 3, 4)) < 0.7, rng.random((2, 3, 4))
    found = both_right_bounds(*_arms(right, y))
    for order in itertools.product(list(itertools.permutations(range(4)))[::5], repeat=3):
        after = np.stack([right[1, q, list(own)] for q, own in enumerate(order)])
        share = np.stack([y[1, q, list(own)] for q, own in enumerate(order)])
        pairs = right[0] & after
        if pairs.any():
            change = (share - y[0])[pairs].mean()
            size = pairs.sum() / 12
            if size >= found.stratum_any > 0:
                assert found.any.low - 1e-9 <= change <= found.any.high + 1e-9
            if size == pytest.approx(found.stratum_alike):
                assert found.alike.low - 1e-9 <= change <= found.alike.high + 1e-9


def test_the_bounds_nest_and_swapping_the_arms_turns_them_around():
    rng = np.random.default_rng(3)
    share = rng.beta(4, 1, 30)[None, :, None]
    right, y = rng.random((2, 30, 4)) < share, rng.random((2, 30, 4))
    found = both_right_bounds(*_arms(right, y))
    assert found.any.low <= found.alike.low <= found.alike.high <= found.any.high
    assert found.any.interval_low < found.any.low
    back = both_right_bounds(*_arms(right[::-1], y[::-1]))
    assert (back.any.low, back.any.high) == pytest.approx((-found.any.high, -found.any.low))


def test_what_cannot_be_bounded_says_so():
    never = np.zeros((2, 8, 4))
    never[:, :, 0] = 1  # a quarter right in each arm: none need be right in both
    y = np.random.default_rng(0).random((2, 8, 4))
    found = both_right_bounds(*_arms(never, y))
    assert "has to be right in both" in found.any.reason
    assert found.alike.low is not None
    right, samples, traces = _arms(never, y)
    alone = both_right_bounds(
        Pair(*(side * [1, 0] for side in right)), Pair(*(side * [1, 0] for side in samples)), traces
    )
    assert alone.stratum_any is None
    assert "two traces" in alone.any.reason
    nothing = RightTraces(np.zeros(0, dtype=int), np.zeros(0), np.zeros(0))
    assert "no right trace" in both_right_bounds(right, samples, Pair(nothing, traces[1])).alike.reason
    with pytest.raises(AnalysisError, match="row 0: more right traces than traces"):
        both_right_bounds(Pair(right[0] + 5, right[1]), samples, traces)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_part_without_a_question_is_that_of_the_others_alone(sign):
    rng = np.random.default_rng(3)
    question = rng.integers(0, 30, 400)
    side = RightTraces(question, rng.choice([0, 0.25, 0.5, 1], 400), 1 / rng.integers(1, 9, 400))
    gone, part = np.arange(-1, 30), rng.uniform(0.01, 1, 31)
    found = _trimmed(side, sign, part, gone)
    for one, share, mean in zip(gone, part, found, strict=True):
        kept = np.flatnonzero(question != one)
        kept = kept[np.argsort(sign * side.share_wrong[kept], kind="stable")]
        weight = side.weight[kept]
        taken = np.clip(share * weight.sum() - (np.cumsum(weight) - weight), 0, weight)
        assert mean == pytest.approx(taken @ side.share_wrong[kept] / taken.sum(), rel=1e-12)


def test_the_interval_leaves_out_every_question_and_equal_texts_together():
    rng = np.random.default_rng(5)
    right, y = rng.random((2, 9, 4)) < 0.8, rng.random((2, 9, 4))
    text = np.array([0, 0, 1, 2, 3, 4, 5, 6, 7])
    found = both_right_bounds(*_arms(right, y), text)
    wider = t.ppf(0.975, 7) / norm.ppf(0.975)
    for name in ("any", "alike"):
        left = [
            getattr(both_right_bounds(*_arms(right[:, text != g], y[:, text != g])), name) for g in range(8)
        ]
        errors = [wider * standard_error([getattr(one, end) for one in left]) for end in ("low", "high")]
        own = getattr(found, name)
        ends = imbens_manski(own.low, own.high, *map(float, errors), level=0.95)
        assert (own.interval_low, own.interval_high) == pytest.approx(ends)
        assert own.n == 8
