from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

import mechcot.stats.cluster as cluster
from mechcot.core.errors import AnalysisError, UsageError
from mechcot.core.words import points
from mechcot.stats import (
    mean_interval,
    percentile_interval,
    question_weighted_difference,
    rate_interval,
    ratio_difference,
    ratio_difference_interval,
    ratio_interval,
    resampled_counts,
    resampled_sums,
)
from mechcot.stats.jackknife import FEW, jackknife_interval

JUDGED = hnp.arrays(np.int64, st.tuples(st.just(2), st.integers(2, 30)), elements=st.integers(0, 9))


def study(n, rng, rate=(0.3, 0.3), spread=1.3, steps=(3, 10)):
    """Errors and judged steps of two arms: each trace has a difficulty of its own."""
    logit = np.log(np.array(rate) / (1 - np.array(rate)))
    judged = rng.integers(*steps, size=(n, 2))
    risk = 1 / (1 + np.exp(-(logit + rng.normal(scale=spread, size=(n, 2)))))
    errors = rng.binomial(judged, risk)
    return errors[:, 0], judged[:, 0], errors[:, 1], judged[:, 1]


def test_chunking_does_not_change_the_draws(monkeypatch):
    whole = np.concatenate(list(resampled_counts(37, 50, 4)))
    monkeypatch.setattr(cluster, "CHUNK_CELLS", 37 * 7)
    chunks = list(resampled_counts(37, 50, 4))
    assert len(chunks) == 8
    assert (np.concatenate(chunks) == whole).all()
    assert (np.concatenate(list(resampled_counts(37, 50, 4, width=100))) == whole).all()
    assert (whole.sum(axis=1) == 37).all()


def test_resampling_is_uniform_over_questions():
    counts = np.concatenate(list(resampled_counts(50, 4000, 0)))
    assert counts.mean(axis=0) == pytest.approx(1, abs=0.08)
    assert counts.var() == pytest.approx(1 - 1 / 50, rel=0.03)  # multinomial


def test_resampled_sums_equal_indexing_by_hand():
    table = np.random.default_rng(0).normal(size=(12, 3))
    got = resampled_sums(table, 20, 9)
    counts = np.concatenate(list(resampled_counts(12, 20, 9)))
    assert got == pytest.approx(np.stack([np.repeat(table, row, axis=0).sum(axis=0) for row in counts]))


@settings(deadline=None)
@given(JUDGED, st.integers(0, 1000), st.booleans())
def test_point_estimates_are_ratios_of_sums_and_draws_are_determined(judged, seed, swap):
    errors = np.random.default_rng(seed).binomial(judged, 0.4)
    arms = [(errors[0], judged[0]), (errors[1], judged[1])]
    (e0, m0), (e1, m1) = reversed(arms) if swap else arms
    point = ratio_difference(e0, m0, e1, m1)
    interval = ratio_difference_interval(e0, m0, e1, m1)
    assert interval.n == point.n == ((m0 > 0) | (m1 > 0)).sum()
    if m0.sum() and m1.sum():
        assert interval.estimate == point.estimate == pytest.approx(e1.sum() / m1.sum() - e0.sum() / m0.sum())
        back = ratio_difference(e1, m1, e0, m0)
        assert back.estimate == pytest.approx(-point.estimate)
        assert back.se == (None if point.se is None else pytest.approx(point.se))
    else:
        assert point.estimate is None
        assert interval.estimate is None
        assert "nothing to divide by" in interval.reason


def test_questions_without_steps_change_nothing():
    rng = np.random.default_rng(1)
    arrays = study(80, rng)
    padded = [np.concatenate([array, np.zeros(40, dtype=int)]) for array in arrays]
    assert ratio_difference(*padded) == ratio_difference(*arrays)
    assert ratio_difference_interval(*padded) == ratio_difference_interval(*arrays)
    assert question_weighted_difference(*padded) == question_weighted_difference(*arrays)


def test_a_question_with_steps_in_one_arm_counts_in_that_arm_only():
    point = ratio_difference([1, 0, 4], [2, 2, 4], [1, 1, 0], [4, 4, 0])
    assert point.rate_before == 5 / 8
    assert point.rate_after == 2 / 8
    assert point.n == 3
    assert question_weighted_difference([1, 0, 4], [2, 2, 4], [1, 1, 0], [4, 4, 0]).n == 2
    assert question_weighted_difference([1, 0], [2, 2], [1, 2], [4, 4]).estimate == pytest.approx(0.125)


def test_linearised_error_is_the_hand_formula():
    e0, m0, e1, m1 = (np.array(x) for x in ([1, 0, 2, 1], [4, 3, 5, 4], [2, 1, 3, 3], [6, 5, 4, 5]))
    r0, r1 = 4 / 16, 9 / 20
    u = (e1 - r1 * m1) / 5 - (e0 - r0 * m0) / 4
    assert ratio_difference(e0, m0, e1, m1).se == pytest.approx(np.sqrt((u**2).sum() / 3 / 4))


def test_linearised_error_agrees_with_the_bootstrap():
    arrays = study(400, np.random.default_rng(5), rate=(0.3, 0.5))
    table = np.stack(arrays, axis=1)
    sums = resampled_sums(table, 4000, 1)
    replicates = sums[:, 2] / sums[:, 3] - sums[:, 0] / sums[:, 1]
    point = ratio_difference(*arrays)
    assert point.se == pytest.approx(replicates.std(), rel=0.06)
    interval = ratio_difference_interval(*arrays)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * point.se, rel=0.06)


def test_paired_intervals_cover_a_planted_null_and_independent_steps_do_not():
    rng = np.random.default_rng(20)
    runs, hits = 300, np.zeros(4)
    for _ in range(runs):
        arrays = study(120, rng)
        e0, m0, e1, m1 = (array.sum() for array in arrays)
        point = ratio_difference(*arrays)
        naive = np.sqrt(e0 / m0 * (1 - e0 / m0) / m0 + e1 / m1 * (1 - e1 / m1) / m1)
        boot = ratio_difference_interval(*arrays)
        mean = question_weighted_difference(*arrays)
        hits += [
            abs(point.estimate) <= 1.96 * point.se,
            boot.low <= 0 <= boot.high,
            mean.low <= 0 <= mean.high,
            abs(point.estimate) <= 1.96 * naive,
        ]
    linearised, bootstrap, weighted, independent = hits / runs
    # the standard error of a coverage of .95 from 300 runs is .013
    assert 0.91 <= linearised <= 0.985
    assert 0.91 <= bootstrap <= 0.985
    assert 0.91 <= weighted <= 0.985
    assert independent < 0.89


def test_the_two_estimands_differ_when_long_traces_err_more():
    judged = np.array([2] * 50 + [20] * 50)
    none, errors = np.zeros(100, dtype=int), np.array([0] * 50 + [10] * 50)
    step = ratio_difference_interval(none, judged, errors, judged)
    question = question_weighted_difference(none, judged, errors, judged)
    assert step.estimate == pytest.approx(500 / 1100)
    assert question.estimate == pytest.approx(0.25)


def test_ratio_and_mean_are_consistent_with_equal_denominators():
    values = np.random.default_rng(0).integers(0, 5, 60)
    ratio = ratio_interval(values, np.full(60, 4))
    mean = mean_interval(values / 4)
    assert (ratio.estimate, ratio.low, ratio.high) == pytest.approx((mean.estimate, mean.low, mean.high))


def test_one_question_has_an_estimate_and_no_interval():
    interval = mean_interval([0.4])
    assert interval.estimate == 0.4
    assert interval.low is None
    assert "one of the questions" in interval.reason
    assert ratio_difference([1], [2], [1], [4]).se is None


def test_undefined_replicates_are_counted_and_too_many_leave_no_interval():
    some = percentile_interval(1.0, [1.0, 2.0, np.nan, 3.0], 5)
    assert some.undefined_draws == 1
    assert 1.0 <= some.low <= some.high <= 3.0
    most = percentile_interval(1.0, [1.0, np.nan, np.nan, np.nan], 5)
    assert most.low is None
    assert "3 of 4" in most.reason
    flat = percentile_interval(1.0, [1.0, 1.0, 1.0], 5)
    assert (flat.estimate, flat.low, flat.high) == (1.0, None, None)
    assert flat.reason == "all questions are alike: no spread to judge by"


def test_an_arm_without_an_error_has_a_rate_of_zero_and_one_without_steps_none():
    clean = ratio_difference([1, 2], [4, 4], [0, 0], [4, 4])
    assert (clean.rate_before, clean.rate_after, clean.estimate) == (3 / 8, 0, -3 / 8)
    empty = ratio_difference([0, 0], [0, 0], [1, 2], [4, 4])
    assert (empty.rate_before, empty.rate_after, empty.estimate) == (None, 3 / 8, None)


def test_an_arm_that_rests_on_one_question_has_no_interval():
    rare = ratio_difference_interval([1] + [0] * 9, [2] + [0] * 9, [1] * 10, [3] * 10)
    assert (rare.estimate, rare.low) == (pytest.approx(1 / 3 - 1 / 2), None)
    assert rare.reason == "all of it is of one of the questions"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ratio_difference([1], [1, 2], [1], [1]), "shapes"),
        (lambda: ratio_difference([1, 1], [1, -2], [1, 1], [1, 1]), "row 1: a denominator is negative"),
        (lambda: rate_interval([1, np.nan], [1, 2]), "not a finite number"),
        (lambda: mean_interval([1, np.nan]), "not a finite number"),
        (lambda: resampled_sums(np.zeros((0, 2)), 10, 0), "with rows"),
        (lambda: resampled_sums([1.0, 2.0], 10, 0), r"with rows is needed, not one of shape \(2,\)"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(AnalysisError, match=words):
        call()


def test_no_draws_is_wrong_usage():
    with pytest.raises(UsageError, match="at least 1"):
        resampled_sums([[1.0], [2.0]], 0, 0)


def test_nothing_at_all_is_undefined_with_a_reason():
    for interval in (
        mean_interval([]),
        rate_interval([], []),
        ratio_difference_interval([], [], [], []),
        question_weighted_difference([1], [1], [0], [0]),
    ):
        assert interval.estimate is None
        assert interval.reason
        assert interval.n == 0


def test_the_interval_of_a_mean_is_students():
    values = np.random.default_rng(3).normal(size=14)
    found = mean_interval(values)
    reach = stats.t.ppf(0.975, 13) * values.std(ddof=1) / np.sqrt(14)
    assert (found.low, found.high) == pytest.approx((values.mean() - reach, values.mean() + reach))
    assert found.method == "jackknife of questions, Student's t, level 0.95"


def test_the_interval_of_a_share_is_that_of_its_log_odds():
    without = np.array([0.7, 0.75, 0.8, 0.85, 0.82, 0.78, 0.9])
    found = jackknife_interval(0.8, without, logit=True, unit="questions")
    error = np.sqrt(6 / 7 * ((without - without.mean()) ** 2).sum())
    reach = stats.t.ppf(0.975, 6) * error / (0.8 * 0.2)
    ends = 1 / (1 + np.exp(-(np.log(0.8 / 0.2) + np.array([-reach, reach]))))
    assert (found.low, found.high) == pytest.approx(tuple(ends))


def test_a_difference_of_ratios_leaves_out_both_arms_of_a_question():
    arrays = np.stack(study(9, np.random.default_rng(2)), axis=1).astype(float)
    sums = arrays.sum(axis=0) - arrays
    without = sums[:, 2] / sums[:, 3] - sums[:, 0] / sums[:, 1]
    weight = arrays[:, 1] / arrays[:, 1].sum() + arrays[:, 3] / arrays[:, 3].sum()
    freedom = weight.sum() ** 2 / (weight**2).sum() - 1  # Kish's number of effective questions, less one
    assert 6 < freedom < 8
    reach = stats.t.ppf(0.975, freedom) * np.sqrt(8 / 9 * ((without - without.mean()) ** 2).sum())
    found = ratio_difference_interval(*arrays.T)
    assert (found.low, found.high) == pytest.approx((found.estimate - reach, found.estimate + reach))


def test_a_rate_stays_inside_its_ends_and_has_an_interval_at_them():
    found = rate_interval([1] + [0] * 19, [5] * 20)
    assert 0 < found.low < found.estimate == 0.01 < found.high
    for errors, ends in ((0, (0.0, 1 - 0.025 ** (1 / 50))), (3, (0.025 ** (1 / 50), 1.0))):
        edge = rate_interval([errors] * 50, [3] * 50)
        assert (edge.low, edge.high) == pytest.approx(ends)  # the trials are 50 questions, not 150 steps
        assert edge.method.startswith("Clopper-Pearson")
    inside = rate_interval([1] * 50, [3] * 50)
    assert (inside.low, inside.reason) == (None, "all questions are alike: no spread to judge by")


def test_too_few_questions_have_an_estimate_and_the_reason_beside_it():
    few, enough = (mean_interval(np.arange(n) / n) for n in (FEW - 1, FEW))
    assert few.estimate is not None
    assert few.low is None
    assert few.reason == "5 questions are too few for one that covers"
    assert enough.low < enough.estimate < enough.high
    assert "(no interval: 5 questions are too few for one that covers)" in points(few.to_json())
