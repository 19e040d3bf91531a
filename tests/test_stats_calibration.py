from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import brier_score_loss

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.stats import brier_terms, calibration_bins, ece, mean_interval
from mechcot.stats.calibration import (
    _Binned,
    recalibration_slope,
    recalibration_slope_difference,
    signed_gap,
    squared_calibration_difference,
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


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ece([0.5, 1.2], [0, 1]), "question 1: the confidence 1.2"),
        (lambda: ece([0.5, 1.0], [0, np.nan]), "question 1: the outcome nan"),
        (lambda: ece([0.5], [0, 1]), "one of each"),
        (lambda: ece([[0.5]], [0]), "one confidence per question"),
        (lambda: ece([], []), "no questions"),
        (lambda: squared_calibration_difference([0.5], [0], [0.5, 0.5], [0, 1]), "same questions"),
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
    assert squared_calibration_difference([], [], [], []).estimate is None
    assert recalibration_slope_difference([], [], [], []).estimate is None


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
    squares, plug_in = [], []
    for _ in range(2000):
        confidence = rng.integers(4, 17, 150) / 16
        right = rng.random(150) < confidence
        squares.append(squared_calibration_error(confidence, right))
        plug_in.append(ece(confidence, right))
    error = np.std(squares) / np.sqrt(len(squares))
    assert abs(np.mean(squares)) < 3 * error
    assert np.mean(plug_in) > 0.06


def test_votes_that_are_all_off_by_a_tenth_score_a_tenth():
    rng = np.random.default_rng(8)
    scores = []
    for _ in range(400):
        confidence = rng.integers(4, 17, 400) / 16
        scores.append(squared_calibration_error(confidence, rng.random(400) < confidence - 0.1))
    assert np.mean(scores) == pytest.approx(0.01, abs=3 * np.std(scores) / 20)


def two_arms(n, seed, off=(0.1, 0.0)):
    rng = np.random.default_rng(seed)
    shares = [rng.integers(5, 17, n) / 16 for _ in off]
    return [column for c, bias in zip(shares, off, strict=True) for column in (c, rng.random(n) < c - bias)]


@pytest.mark.parametrize(("scheme", "off"), [("width", 0.1), ("width", 0.8), ("mass", 0.1)])
def test_the_difference_of_squares_is_that_of_the_arms_with_the_variance_written_out(scheme, off):
    arms = two_arms(30, 3, (off, 0.0))
    found = squared_calibration_difference(*arms, scheme=scheme)
    sides = [(arms[2 * i], arms[2 * i + 1].astype(float)) for i in (0, 1)]
    squares = [squared_calibration_error(*side, scheme=scheme) for side in sides]
    assert found.estimate == pytest.approx(squares[1] - squares[0])
    bins = [calibration_bins(c, 10, scheme) for c, _ in sides]
    parts = []
    for (c, y), b in zip(sides, bins, strict=True):
        same = (b[:, None] == b) & ~np.eye(30, dtype=bool)
        size = same.sum(axis=1) + 1
        mean = np.array([(y - c)[b == own].mean() for own in b])
        rest = (y - c - mean) * np.sqrt(size / np.maximum(size - 1, 1))
        parts.append(same / (30 * np.maximum(size - 1, 1))[:, None] * np.outer(rest, rest))
    pairs = 2 * ((parts[1] - parts[0]) ** 2).sum()
    if scheme == "width":  # bins that do not move when a question is left out
        left = np.diff(
            [
                [squared_calibration_error(np.delete(c, q), np.delete(y, q)) for q in range(30)]
                for c, y in sides
            ],
            axis=0,
        )[0]
        jackknife = 29 / 30 * ((left - left.mean()) ** 2).sum()
        assert (jackknife - pairs > pairs / 2) == (off == 0.8)  # an arm far off is spread by its questions
        variance = max(jackknife - pairs, pairs / 2)
        reach = stats.t.ppf(0.975, 29) * np.sqrt(variance)
        assert (found.low, found.high) == pytest.approx((found.estimate - reach, found.estimate + reach))
    assert found.high - found.low >= 2 * stats.t.ppf(0.975, 29) * np.sqrt(pairs / 2) - 1e-12
    back = squared_calibration_difference(*arms[2:], *arms[:2], scheme=scheme)
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))


def test_questions_of_equal_text_are_no_pair_and_are_left_out_together():
    arms, rng = two_arms(40, 11), np.random.default_rng(12)
    text = np.unique(rng.integers(0, 15, 40), return_inverse=True)[1]
    c, y = arms[:2]
    bins, gaps, total = calibration_bins(c), y - c, 0.0
    for b in set(bins.tolist()):
        own = np.flatnonzero(bins == b)
        products = [gaps[i] * gaps[j] for i in own for j in own if text[i] != text[j]]
        total += len(own) / 40 * (np.mean(products) if products else 0.0)
    assert squared_calibration_error(c, y, text=text) == pytest.approx(total, abs=1e-12)
    left = [
        squared_calibration_error(c[text != g], y[text != g], text=text[text != g]) for g in np.unique(text)
    ]
    np.testing.assert_allclose(_Binned.of(c, y, 10, "width", text).without(), left, atol=1e-12)
    found = squared_calibration_difference(*arms, text)
    assert found.n == len(left)
    assert found.low < found.estimate < found.high
    alone = squared_calibration_difference(*arms, np.arange(40))
    assert alone == squared_calibration_difference(*arms)
    assert found.high - found.low > alone.high - alone.low  # fewer questions than ids


def test_an_arm_against_itself_and_few_questions_have_no_interval():
    arm = two_arms(40, 5)[:2]
    same = squared_calibration_difference(*arm, *arm)
    assert (same.estimate, same.low, same.reason) == (
        0,
        None,
        "all questions are alike: no spread to judge by",
    )
    few = squared_calibration_difference(*(column[:5] for column in two_arms(40, 5)))
    assert few.estimate is not None
    assert few.reason == "5 questions are too few for one that covers"
    with pytest.raises(AnalysisError, match="same questions"):
        recalibration_slope_difference([0.5], [0], [0.5, 0.5], [0, 1])


def test_the_slope_is_least_squares_and_one_for_calibrated_votes():
    c0, y0, c1, y1 = two_arms(200, 6)
    slopes = [np.polyfit(c, y, 1)[0] for c, y in ((c0, y0), (c1, y1))]
    found = recalibration_slope(c0, y0)
    assert found.estimate == pytest.approx(slopes[0])
    left = np.array([np.polyfit(np.delete(c0, q), np.delete(y0, q), 1)[0] for q in range(200)])
    reach = stats.t.ppf(0.975, 199) * np.sqrt(199 / 200 * ((left - left.mean()) ** 2).sum())
    assert (found.low, found.high) == pytest.approx((found.estimate - reach, found.estimate + reach))
    assert recalibration_slope_difference(c0, y0, c1, y1).estimate == pytest.approx(slopes[1] - slopes[0])
    flat = recalibration_slope([0.5] * 9, [0, 1] * 4 + [0])
    assert (flat.estimate, flat.reason) == (None, "all confidences of an arm are the same")
    big = np.random.default_rng(1).uniform(0.2, 1, 50_000)
    assert recalibration_slope(big, np.random.default_rng(2).random(50_000) < big).estimate == pytest.approx(
        1, abs=0.04
    )


def test_the_signed_gap_is_above_zero_where_votes_are_too_sure():
    c, y = two_arms(4000, 7)[:2]
    assert signed_gap(c, y).mean() == pytest.approx(0.1, abs=0.03)
    assert signed_gap([0.75], [0.5]) == pytest.approx([0.25])


@pytest.mark.parametrize("off", [(0.0, 0.0), (0.1, 0.1), (0.3, 0.1)])
def test_intervals_of_calibration_cover(off):
    runs, hits = 400, np.zeros(2)
    for seed in range(runs):
        arms = two_arms(150, [9, seed], off)
        square = squared_calibration_difference(*arms)
        gap = mean_interval(signed_gap(*arms[2:]) - signed_gap(*arms[:2]))
        truths = (off[1] ** 2 - off[0] ** 2, off[1] - off[0])
        hits += [one.low <= truth <= one.high for one, truth in zip((square, gap), truths, strict=True)]
    # four standard errors of a coverage of .95 from 400 runs are .044
    assert (hits / runs >= 0.906).all()
    assert hits[1] / runs <= 0.994
