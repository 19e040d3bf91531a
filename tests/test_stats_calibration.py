from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.stats import bootstrap_ece_difference, brier_terms, calibration_bins, ece
from mechcot.stats.calibration import (
    bootstrap_debiased_ece_difference,
    debiased_ece,
    squared_calibration_error,
)

PAIRS = st.lists(
    st.tuples(st.integers(0, 16).map(lambda c: c / 16), st.sampled_from([0, 0.5, 1 / 3, 1])),
    min_size=1,
    max_size=50,
)


def ece_by_hand(confidence, outcome, bins):
    total = 0.0
    for b in set(bins):
        inside = [i for i in range(len(bins)) if bins[i] == b]
        gap = np.mean([outcome[i] for i in inside]) - np.mean([confidence[i] for i in inside])
        total += len(inside) / len(bins) * abs(gap)
    return total


@given(PAIRS, st.sampled_from(["width", "mass"]), st.integers(1, 12))
def test_ece_is_the_weighted_gap_of_its_bins(pairs, scheme, n_bins):
    confidence, outcome = (list(column) for column in zip(*pairs, strict=True))
    bins = calibration_bins(confidence, n_bins, scheme)
    assert bins.min() >= 0
    assert bins.max() < n_bins
    expected = ece_by_hand(confidence, outcome, bins.tolist())
    assert ece(confidence, outcome, n_bins, scheme) == pytest.approx(expected, abs=1e-12)


def test_edges_belong_to_the_upper_bin_for_every_vote_share():
    for k in (10, 16, 20, 64):
        shares = np.arange(k + 1) / k
        exact = np.minimum(np.arange(k + 1) * 10 // k, 9)
        assert (calibration_bins(shares) == exact).all()


@given(PAIRS)
def test_equal_confidences_share_a_bin_and_bins_keep_their_order(pairs):
    confidence = np.array([pair[0] for pair in pairs])
    for scheme in ("width", "mass"):
        bins = calibration_bins(confidence, 10, scheme)
        order = np.argsort(confidence, kind="stable")
        assert (np.diff(bins[order]) >= 0).all()
        for value in np.unique(confidence):
            assert len(set(bins[confidence == value])) == 1


def test_equal_mass_bins_hold_equally_many():
    values = np.random.default_rng(0).random(1000)
    assert (np.bincount(calibration_bins(values, 10, "mass")) == 100).all()


def test_a_calibrated_forecaster_is_near_zero_and_an_overconfident_one_is_not():
    rng = np.random.default_rng(1)
    confidence = rng.random(20_000)
    right = rng.random(20_000) < confidence
    assert ece(confidence, right) < 0.015
    assert ece(confidence, right, scheme="mass") < 0.015
    wrong = rng.random(20_000) < confidence - 0.2 * (confidence > 0.5)
    assert ece(confidence, wrong) == pytest.approx(0.1, abs=0.015)


@given(PAIRS)
def test_brier_is_the_mean_over_breaking_ties_at_random(pairs):
    confidence, outcome = (np.array(column) for column in zip(*pairs, strict=True))
    expected = outcome * (1 - confidence) ** 2 + (1 - outcome) * confidence**2
    assert brier_terms(confidence, outcome) == pytest.approx(expected, abs=1e-12)


def test_brier_equals_sklearn_for_right_and_wrong():
    rng = np.random.default_rng(2)
    confidence, right = rng.random(200), rng.integers(0, 2, 200)
    assert brier_terms(confidence, right).mean() == pytest.approx(brier_score_loss(right, confidence))


@pytest.mark.parametrize("scheme", ["width", "mass"])
def test_difference_is_paired_and_determined(scheme):
    rng = np.random.default_rng(3)
    share0, share1 = rng.integers(4, 17, 300) / 16, rng.integers(4, 17, 300) / 16
    right0, right1 = rng.random(300) < share0 - 0.2, rng.random(300) < share1
    interval = bootstrap_ece_difference(share0, right0, share1, right1, 500, 4, scheme=scheme)
    assert interval == bootstrap_ece_difference(share0, right0, share1, right1, 500, 4, scheme=scheme)
    expected = ece(share1, right1, scheme=scheme) - ece(share0, right0, scheme=scheme)
    assert interval.estimate == pytest.approx(expected)
    assert interval.low < interval.estimate < interval.high
    assert interval.high < 0
    same = bootstrap_ece_difference(share0, right0, share0, right0, 200, 4, scheme=scheme)
    assert (same.estimate, same.low, same.high) == (0, 0, 0)


def test_the_replicates_are_eces_of_resampled_questions():
    from mechcot.stats.cluster import resampled_counts

    rng = np.random.default_rng(5)
    share, right = rng.integers(4, 17, 40) / 16, rng.integers(0, 2, 40)
    draws = [ece(np.repeat(share, row), np.repeat(right, row)) for row in next(resampled_counts(40, 100, 8))]
    flat = np.zeros(40)
    interval = bootstrap_ece_difference(flat, flat, share, right, 100, 8)
    assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ece([0.5, 1.2], [0, 1]), "question 1: the confidence 1.2"),
        (lambda: ece([0.5, 1.0], [0, np.nan]), "question 1: the outcome nan"),
        (lambda: ece([0.5], [0, 1]), "one of each"),
        (lambda: ece([[0.5]], [0]), "one confidence per question"),
        (lambda: ece([], []), "no questions"),
        (lambda: bootstrap_ece_difference([0.5], [0], [0.5, 0.5], [0, 1], 10, 0), "same questions"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(AnalysisError, match=words):
        call()


def test_wrong_settings_are_wrong_usage():
    with pytest.raises(UsageError, match="scheme"):
        ece([0.5], [1], scheme="log")
    with pytest.raises(UsageError, match="n_bins"):
        ece([0.5], [1], n_bins=0)


def test_no_questions_have_no_difference():
    assert bootstrap_ece_difference([], [], [], [], 10, 0).estimate is None


@given(PAIRS, st.sampled_from(["width", "mass"]), st.integers(1, 12))
def test_the_debiased_square_is_the_mean_over_pairs_of_different_questions(pairs, scheme, n_bins):
    confidence, outcome = (np.array(column) for column in zip(*pairs, strict=True))
    bins, gaps = calibration_bins(confidence, n_bins, scheme), outcome - confidence
    total = 0.0
    for b in set(bins.tolist()):
        own = gaps[bins == b]
        products = [x * y for i, x in enumerate(own) for j, y in enumerate(own) if i != j]
        total += len(own) / len(gaps) * (np.mean(products) if products else 0.0)
    assert squared_calibration_error(confidence, outcome, n_bins, scheme) == pytest.approx(total, abs=1e-12)
    root = debiased_ece(confidence, outcome, n_bins, scheme)
    assert root * abs(root) == pytest.approx(total, abs=1e-12)


def test_it_is_the_published_correction_where_confidences_of_a_bin_are_equal():
    # Kumar, Liang and Ma (2019): gap^2 - accuracy (1 - accuracy) / (n - 1) in every bin
    rng = np.random.default_rng(6)
    confidence = rng.integers(1, 10, 300) / 10 + 0.05
    right = rng.random(300) < confidence**2
    expected = 0.0
    for value in np.unique(confidence):
        own = right[confidence == value]
        accuracy, n = own.mean(), len(own)
        expected += n / 300 * ((accuracy - value) ** 2 - accuracy * (1 - accuracy) / (n - 1))
    assert squared_calibration_error(confidence, right) == pytest.approx(expected)


def test_calibrated_votes_score_zero_on_average_and_the_plug_in_does_not():
    rng = np.random.default_rng(7)
    squares, roots, plug_in = [], [], []
    for _ in range(2000):
        confidence = rng.integers(4, 17, 150) / 16
        right = rng.random(150) < confidence
        squares.append(squared_calibration_error(confidence, right))
        roots.append(debiased_ece(confidence, right))
        plug_in.append(ece(confidence, right))
    error = np.std(squares) / np.sqrt(len(squares))
    assert abs(np.mean(squares)) < 3 * error
    assert np.mean(plug_in) > 0.06
    assert abs(np.mean(roots)) < 0.15 * np.mean(plug_in)


def test_votes_that_are_all_off_by_a_tenth_score_a_tenth():
    rng = np.random.default_rng(8)
    scores = []
    for _ in range(400):
        confidence = rng.integers(4, 17, 400) / 16
        scores.append(squared_calibration_error(confidence, rng.random(400) < confidence - 0.1))
    assert np.mean(scores) == pytest.approx(0.01, abs=3 * np.std(scores) / 20)


def test_the_interval_of_the_debiased_difference_is_paired_and_centred():
    rng = np.random.default_rng(9)
    share0, share1 = rng.integers(4, 17, 400) / 16, rng.integers(4, 17, 400) / 16
    right0, right1 = rng.random(400) < share0 - 0.2, rng.random(400) < share1
    interval = bootstrap_debiased_ece_difference(share0, right0, share1, right1, 500, 4)
    assert interval.estimate == pytest.approx(debiased_ece(share1, right1) - debiased_ece(share0, right0))
    assert interval.low < interval.estimate < interval.high < 0
    same = bootstrap_debiased_ece_difference(share0, right0, share0, right0, 200, 4)
    assert (same.estimate, same.low, same.high) == (0, 0, 0)
    assert bootstrap_debiased_ece_difference([], [], [], [], 10, 0).estimate is None
    with pytest.raises(AnalysisError, match="same questions"):
        bootstrap_debiased_ece_difference([0.5], [0], [0.5, 0.5], [0, 1], 10, 0)


def test_the_debiased_interval_covers_a_difference_of_calibration():
    hits = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        share = rng.integers(5, 17, 300) / 16
        right0, right1 = rng.random(300) < share - 0.2, rng.random(300) < share - 0.05
        interval = bootstrap_debiased_ece_difference(share, right0, share, right1, 300, seed)
        hits += interval.low <= -0.15 <= interval.high
    assert hits >= 180
