from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar

from mechcot.core.errors import AnalysisError
from mechcot.stats import mcnemar_clustered, mcnemar_exact, mean_interval


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_equals_statsmodels_and_the_binomial_test(rows):
    before, after = (np.array([row[i] for row in rows], dtype=bool) for i in (0, 1))
    result = mcnemar_exact(before, after)
    table = [[result.both, result.lost], [result.gained, result.neither]]
    assert sum(map(sum, table)) == len(rows)
    assert result.gained == sum(not b and a for b, a in rows)
    assert result.p_value == pytest.approx(
        mcnemar(table, exact=True).pvalue if result.gained + result.lost else 1
    )
    if result.gained + result.lost:
        assert result.p_value == pytest.approx(binomtest(result.gained, result.gained + result.lost).pvalue)
    assert result.p_value == mcnemar_exact(after, before).p_value


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=10))
def test_equal_texts_change_together(changes):
    """By every way to turn the signs of the texts."""
    rows = [(change < 0, change > 0, text) for text, change in enumerate(changes) for _ in range(abs(change))]
    before, after, text = (np.array(column) for column in zip(*rows, (True, True, 0), strict=True))
    found = mcnemar_exact(before, after, text)
    sums = [abs(np.dot(signs, changes)) for signs in itertools.product((-1, 1), repeat=len(changes))]
    assert found.p_value == pytest.approx(np.mean(np.array(sums) >= abs(sum(changes))))
    assert found.gained - found.lost == sum(changes)


def test_a_published_size_of_change_is_far_from_chance():
    before = np.array([True] * 951 + [False] * 322)
    after = np.array([True] * 930 + [False] * 21 + [True] * 144 + [False] * 178)
    result = mcnemar_exact(before, after)
    assert (result.gained, result.lost) == (144, 21)
    assert result.p_value < 1e-20


def test_lengths_must_agree():
    with pytest.raises(AnalysisError, match="same questions"):
        mcnemar_exact([True], [True, False])


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=60))
def test_one_sample_a_question_is_mcnemar_s_chi_squared(rows):
    before, after = (np.array([row[i] for row in rows], dtype=float) for i in (0, 1))
    ones, n = np.ones(len(rows)), len(rows)
    result = mcnemar_clustered(before, ones, after, ones)
    exact = mcnemar_exact(before, after)
    cells = [result.both, result.gained, result.lost, result.neither]
    assert np.array(cells) * n == pytest.approx([exact.both, exact.gained, exact.lost, exact.neither])
    if exact.gained + exact.lost == 0:
        assert (result.statistic, result.p_value) == (None, 1.0)
        return
    table = [[exact.both, exact.lost], [exact.gained, exact.neither]]
    known = mcnemar(table, exact=False, correction=False)
    assert result.statistic * n / (n - 1) == pytest.approx(known.statistic)


def _samples(seed, n=40, k=8, gain=0.0):
    rng = np.random.default_rng(seed)
    share = rng.beta(0.6, 0.6, n)
    return rng.binomial(k, share), rng.binomial(k, np.clip(share + gain, 0, 1)), np.full(n, k)


def test_many_samples_of_a_question_are_no_more_than_one_question():
    before, after, k = _samples(1, gain=0.1)
    result = mcnemar_clustered(before, k, after, k)
    many = mcnemar_clustered(before * 100, k * 100, after * 100, k * 100)
    assert many.statistic == pytest.approx(result.statistic)
    assert result.gained - result.lost == pytest.approx((after / k - before / k).mean())
    assert result.both + result.gained + result.lost + result.neither == pytest.approx(1)
    backwards = mcnemar_clustered(after, k, before, k)
    assert (backwards.gained, backwards.p_value) == pytest.approx((result.lost, result.p_value))


def test_the_statistic_is_the_self_normalised_sum_of_the_changes():
    """With as many samples in every question Durkalski's is sum(d)^2 / sum(d^2), here less one question."""
    before, after, k = _samples(2, gain=0.15)
    result = mcnemar_clustered(before, k, after, k)
    change = (after - before) / k
    durkalski = change.sum() ** 2 / (change**2).sum()
    assert result.statistic == pytest.approx(durkalski * 39 / 40)
    paired = mean_interval(change)  # the same change; a test that leaves the mean in its variance
    assert (paired.low > 0) == (result.p_value < 0.05)


def test_what_cannot_be_tested_says_so():
    alone = mcnemar_clustered([3], [4], [1], [4])
    assert alone.p_value is None
    assert "only one" in alone.to_json()["statistic"]["reason"]
    with pytest.raises(AnalysisError, match="row 1: 5 right of 4 samples after"):
        mcnemar_clustered([1, 2], [4, 4], [3, 5], [4, 4])
    with pytest.raises(AnalysisError, match="no question has samples"):
        mcnemar_clustered([0], [0], [1], [1])
