"""One difference of several judges: their mean, and what they differ by beyond chance."""

from __future__ import annotations

import numpy as np
import pytest

from mechcot.core.errors import AnalysisError
from mechcot.stats import pooled_difference, ratio_difference_interval


def _judges(seed, n=60, shifts=(0.0, 0.0, 0.0), steps=8):
    """Judges on the same questions: each finds the change, plus a shift of its own."""
    rng = np.random.default_rng(seed)
    hard = rng.beta(2, 8, n)
    found = []
    for shift in shifts:
        m = np.full(n, steps)
        before = rng.binomial(m, hard)
        found.append((before, m, rng.binomial(m, np.clip(hard + 0.2 + shift, 0, 1)), m))
    return found


def test_one_judge_is_its_own_pool():
    (only,) = _judges(0, shifts=(0.0,))
    pooled = pooled_difference([only])
    own = ratio_difference_interval(*only)
    assert (pooled.difference.estimate, pooled.difference.low) == pytest.approx((own.estimate, own.low))
    assert pooled.spread is None
    assert pooled_difference([only] * 3).difference.high == pytest.approx(own.high)
    assert pooled_difference([only] * 3).spread == pytest.approx(0, abs=1e-7)


def test_the_mean_of_the_judges_whatever_their_order():
    judges = _judges(1, shifts=(0.0, 0.1, -0.1))
    pooled = pooled_difference(judges)
    assert pooled.difference.estimate == pytest.approx(
        np.mean([ratio_difference_interval(*own).estimate for own in judges])
    )
    backwards = pooled_difference(judges[::-1])
    assert backwards.difference.low == pytest.approx(pooled.difference.low)
    assert backwards.spread == pytest.approx(pooled.spread)


def test_the_spread_is_what_chance_does_not_explain():
    same = [pooled_difference(_judges(seed)).spread for seed in range(40)]
    apart = [pooled_difference(_judges(seed, shifts=(-0.1, 0.0, 0.1))).spread for seed in range(40)]
    assert np.median(same) < 0.02
    assert np.mean(apart) == pytest.approx(0.1, abs=0.02)


def test_a_judge_without_steps_in_an_arm_is_said():
    judges = _judges(2, n=10)
    nothing = np.zeros(10)
    pooled = pooled_difference([*judges, (nothing, nothing, *judges[0][2:])])
    assert pooled.difference.estimate is None
    assert "no judged steps" in pooled.difference.reason
    with pytest.raises(AnalysisError, match="at least one judge"):
        pooled_difference([])
    with pytest.raises(AnalysisError, match="same questions"):
        pooled_difference([*judges, tuple(column[:5] for column in judges[0])])
