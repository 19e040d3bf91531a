from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.stats import (
    abstention_bounds,
    imbens_manski,
    ratio_difference_interval,
    tipping_interval,
    tipping_point,
)


def test_bounds_of_the_published_counts():
    result = abstention_bounds([1546], [1025], [48], [1779], [516], [56])
    assert result.difference.low == pytest.approx(0.148, abs=5e-4)
    assert result.difference.high == pytest.approx(0.190, abs=5e-4)
    assert result.before.low == pytest.approx(1546 / 2619)
    assert result.after.high == pytest.approx(1835 / 2351)
    assert result.share_abstained == pytest.approx((0.0183, 0.0238), abs=5e-5)
    assert result.difference.interval_low is None  # one cluster has no spread
    value = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert "no spread" in value["difference"]["interval_low"]["reason"]


@given(st.integers(0, 5000))
def test_every_way_to_fill_in_the_abstentions_lies_between_the_bounds(seed):
    rng = np.random.default_rng(seed)
    e, c, u = rng.integers(0, 5, (3, 2, 8))
    c += 1
    result = abstention_bounds(e[0], c[0], u[0], e[1], c[1], u[1])
    filled = (e + rng.binomial(u, rng.random())).sum(axis=1) / (e + c + u).sum(axis=1)
    for rate, bounds in zip(filled, (result.before, result.after), strict=True):
        assert bounds.low - 1e-12 <= rate <= bounds.high + 1e-12
        assert bounds.interval_low <= bounds.low <= bounds.high <= bounds.interval_high
    assert result.difference.low - 1e-12 <= filled[1] - filled[0] <= result.difference.high + 1e-12
    assert result.difference.low == pytest.approx(result.after.low - result.before.high)
    assert result.difference.high == pytest.approx(result.after.high - result.before.low)


def test_without_abstentions_the_bounds_meet_in_the_ordinary_interval():
    rng = np.random.default_rng(1)
    e, none = rng.integers(0, 6, (2, 50)), np.zeros(50)
    result = abstention_bounds(e[0], 6 - e[0], none, e[1], 6 - e[1], none)
    assert result.difference.low == result.difference.high == pytest.approx((e[1] - e[0]).sum() / 300)
    se = (e[1] - e[0]).std(ddof=1) / 6 / np.sqrt(50)
    assert result.difference.interval_high - result.difference.high == pytest.approx(1.95996 * se, rel=1e-4)


@given(st.floats(0, 3), st.floats(0.01, 1), st.floats(0.01, 1), st.floats(0.5, 0.99))
def test_the_factor_solves_its_equation(gap, se_low, se_high, level):
    low, high = imbens_manski(0.0, gap, se_low, se_high, level=level)
    factor = -low / se_low
    assert (high - gap) / se_high == pytest.approx(factor, abs=1e-6)
    width = gap / max(se_low, se_high)
    assert norm.cdf(factor + width) - norm.cdf(-factor) == pytest.approx(level, abs=1e-6)


def test_no_spread_leaves_the_bounds():
    assert imbens_manski(0.1, 0.3, 0.0, 0.0) == (0.1, 0.3)


@pytest.mark.slow
def test_the_interval_covers_the_truth_at_the_edge_of_the_bounds():
    rng, n, runs = np.random.default_rng(8), 150, 2000
    hits = 0
    for _ in range(runs):
        risk = rng.beta(2, 4, (2, n))
        steps = rng.integers(3, 9, (2, n))
        errors = rng.binomial(steps, risk)
        # the judge abstains on errors after and on correct steps before: the true difference is
        # the upper bound, the hardest place to cover
        hidden = np.stack([rng.binomial((steps - errors)[0], 0.1), rng.binomial(errors[1], 0.1)])
        seen = np.stack([errors[0], errors[1] - hidden[1]])
        right = steps - seen - hidden
        got = abstention_bounds(seen[0], right[0], hidden[0], seen[1], right[1], hidden[1]).difference
        hits += got.interval_low <= 0 <= got.interval_high
    assert 0.93 <= hits / runs <= 0.97


@pytest.mark.parametrize(("prevalence", "before", "after"), [(0.20, 0.157, 0.404), (0.10, 0.240, 0.459)])
def test_tipping_points_of_the_published_rates(prevalence, before, after):
    got = tipping_point(0.306, 0.503, prevalence=prevalence, sensitivity=0.9)
    assert got.false_positive_before == pytest.approx(before, abs=6e-4)
    assert got.false_positive_after == pytest.approx(after, abs=6e-4)
    assert got.possible
    assert got.difference == pytest.approx(0.197 / (1 - prevalence))
    json.dumps(got.to_json(), allow_nan=False)


@given(st.floats(0, 0.95), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_judge_it_names_makes_the_observed_rates(prevalence, sensitivity, first, second):
    rates = [sensitivity * prevalence + f * (1 - prevalence) for f in (first, second)]
    got = tipping_point(*rates, prevalence=prevalence, sensitivity=sensitivity)
    assert got.possible
    assert (got.false_positive_before, got.false_positive_after) == pytest.approx((first, second), abs=1e-9)


def test_some_differences_no_judge_can_make():
    got = tipping_point(0.1, 0.9, prevalence=0.5, sensitivity=0.9)
    assert not got.possible
    assert got.false_positive_before < 0


def test_the_interval_scales_with_the_estimate():
    rng = np.random.default_rng(0)
    e0, e1, m = rng.integers(0, 3, 60), rng.integers(1, 5, 60), np.full(60, 5)
    seen = ratio_difference_interval(e0, m, e1, m)
    got = tipping_interval(seen, prevalence=0.2)
    assert (got.estimate, got.low, got.high) == pytest.approx(
        [v / 0.8 for v in (seen.estimate, seen.low, seen.high)]
    )
    plain = tipping_interval(seen, prevalence=0)
    assert (plain.estimate, plain.low, plain.high) == (seen.estimate, seen.low, seen.high)
    nothing = ratio_difference_interval([0], [0], [1], [2])
    assert tipping_interval(nothing, prevalence=0.2).estimate is None


def test_an_arm_without_steps_has_no_bounds():
    got = abstention_bounds([0, 0], [0, 0], [0, 0], [1, 1], [1, 2], [0, 1])
    assert got.before.low is None
    assert got.difference.reason == "no judged or abstained steps"
    assert got.after.low == pytest.approx(2 / 6)
    assert got.share_abstained[0] is None
    json.dumps(got.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: abstention_bounds([1], [1, 2], [0], [1], [1], [1]), AnalysisError, "shapes"),
        (lambda: abstention_bounds([1], [1], [0], [1, 1], [1, 1], [1, 1]), AnalysisError, "same questions"),
        (lambda: abstention_bounds([1], [-1], [0], [1], [1], [1]), AnalysisError, "correct, row 0"),
        (lambda: abstention_bounds([1], [1], [0], [1], [1], [1], level=2), UsageError, "level"),
        (lambda: imbens_manski(1, 0, 1, 1), UsageError, "in order"),
        (lambda: imbens_manski(0, 1, 1, 1, level=0), UsageError, "a level in 0..1"),
        (lambda: imbens_manski(0, 1, 1, 1, level=1), UsageError, "a level in 0..1"),
        (lambda: tipping_point(1.2, 0.5, prevalence=0.1, sensitivity=1), UsageError, "rate_before"),
        (lambda: tipping_point(0.2, 0.5, prevalence=1, sensitivity=1), UsageError, "below 1"),
        (lambda: tipping_interval(None, prevalence=1), UsageError, "prevalence"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
