from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.stats import auroc, auroc_replicates, cluster_bootstrap_auroc, fold_auroc, stratified_auroc
from mechcot.stats.auroc import leave_one_out
from mechcot.stats.cluster import resampled_counts
from mechcot.stats.jackknife import jackknife_interval, standard_error

ROWS = st.lists(
    st.tuples(st.integers(-3, 3), st.booleans(), st.integers(0, 2), st.integers(0, 1), st.integers(0, 4)),
    min_size=1,
    max_size=40,
)


def pairs_by_hand(scores, labels, weights, cells):
    right = total = 0.0
    for i in range(len(scores)):
        for j in range(len(scores)):
            if labels[i] and not labels[j] and cells[i] == cells[j]:
                weight = weights[i] * weights[j]
                total += weight
                right += weight * ((scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j]))
    return (right / total if total else None), total


@given(ROWS)
def test_auroc_equals_sklearn(rows):
    scores, labels = [row[0] for row in rows], [row[1] for row in rows]
    if len(set(labels)) < 2:
        assert auroc(scores, labels) is None
    else:
        assert auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@given(ROWS)
def test_weighted_auroc_equals_brute_force_and_integer_weights_equal_repetition(rows):
    scores, labels = [row[0] for row in rows], [row[1] for row in rows]
    weights = [row[4] for row in rows]
    expected, _ = pairs_by_hand(scores, labels, weights, [0] * len(rows))
    got = auroc(scores, labels, weights)
    if expected is None:
        assert got is None
    else:
        assert got == pytest.approx(expected, abs=1e-12)
        assert got == pytest.approx(auroc(np.repeat(scores, weights), np.repeat(labels, weights)), abs=1e-12)


@given(ROWS)
def test_fold_and_stratified_auroc_count_only_pairs_inside_a_cell(rows):
    scores, labels, folds, strata, _ = (list(column) for column in zip(*rows, strict=True))
    ones = [1.0] * len(rows)
    by_fold, n_fold = pairs_by_hand(scores, labels, ones, folds)
    both, n_both = pairs_by_hand(scores, labels, ones, list(zip(folds, strata, strict=True)))
    assert fold_auroc(scores, labels, folds) == (None if by_fold is None else pytest.approx(by_fold))
    result = stratified_auroc(scores, labels, folds, strata)
    assert result.auroc == (None if both is None else pytest.approx(both))
    assert result.n_pairs == n_both
    assert stratified_auroc(scores, labels, folds, None).n_pairs == n_fold


@given(ROWS)
def test_reversing_scores_mirrors_and_monotone_maps_change_nothing(rows):
    scores, labels, folds = (np.array([row[i] for row in rows]) for i in range(3))
    value = fold_auroc(scores, labels, folds)
    if value is not None:
        assert fold_auroc(-scores, labels, folds) == pytest.approx(1 - value, abs=1e-12)
        assert fold_auroc(np.exp(scores) + 7, labels, folds) == value


def test_constant_feature_is_exactly_half_although_the_pooled_value_is_not():
    rng = np.random.default_rng(3)
    labels = rng.random(400) < 0.3
    folds = np.arange(400) % 5
    # what an intercept-only model predicts out of fold: the prevalence of the other folds
    scores = np.array([labels[folds != fold].mean() for fold in folds])
    assert auroc(scores, labels) < 0.48
    assert fold_auroc(scores, labels, folds) == 0.5
    weights = rng.random(400)
    assert auroc(np.full(400, 0.7), labels, weights) == 0.5
    interval = cluster_bootstrap_auroc(scores, labels, folds, np.arange(400) // 5, 200, 0)
    assert (interval.estimate, interval.low) == (0.5, None)
    assert "alike" in interval.reason


def test_fold_auroc_is_the_pair_weighted_mean_of_the_folds():
    rng = np.random.default_rng(0)
    scores, labels, folds = rng.normal(size=300), rng.random(300) < 0.3, rng.integers(0, 4, 300)
    values, weights = [], []
    for fold in range(4):
        inside = folds == fold
        values.append(roc_auc_score(labels[inside], scores[inside]))
        weights.append(labels[inside].sum() * (~labels[inside]).sum())
    assert fold_auroc(scores, labels, folds) == pytest.approx(np.average(values, weights=weights), abs=1e-12)


def make_study(n_questions=40, seed=1, shift=1.0):
    rng = np.random.default_rng(seed)
    question = np.repeat(np.arange(n_questions), rng.integers(3, 9, n_questions))
    labels = rng.random(len(question)) < 0.35
    scores = np.round(
        labels * shift + rng.normal(size=len(question)) + rng.normal(size=n_questions)[question], 1
    )
    return (
        scores,
        labels,
        question % 5,
        np.array([f"q{i}" for i in question]),
        rng.integers(0, 3, len(question)),
    )


@pytest.mark.parametrize("with_strata", [False, True])
def test_replicates_equal_repeating_the_rows_of_resampled_questions(with_strata):
    scores, labels, folds, clusters, strata = make_study(15)
    used = strata if with_strata else None
    got = auroc_replicates(scores, labels, folds, clusters, 30, 7, used)
    names = np.unique(clusters)
    counts = np.concatenate(list(resampled_counts(len(names), 30, 7)))
    for replicate, row in zip(got, counts, strict=True):
        times = row[np.searchsorted(names, clusters)]
        cells = np.repeat(folds * 10 + (strata if with_strata else 0), times)
        expected = fold_auroc(np.repeat(scores, times), np.repeat(labels, times), cells)
        assert replicate == pytest.approx(expected, abs=1e-12)


def test_bootstrap_is_determined_by_the_seed_and_not_by_the_order_of_rows():
    study = make_study()
    first = cluster_bootstrap_auroc(*study[:4], 300, 5)
    assert first == cluster_bootstrap_auroc(*study[:4], 300, 5)
    assert first != cluster_bootstrap_auroc(*study[:4], 300, 6)
    order = np.random.default_rng(0).permutation(len(study[0]))
    assert first == cluster_bootstrap_auroc(*(column[order] for column in study[:4]), 300, 5)
    assert first.n == 40
    assert first.low < first.estimate < first.high
    assert "questions" in first.method


def test_cluster_interval_is_wider_than_one_that_resamples_rows():
    rng = np.random.default_rng(2)
    question = np.repeat(np.arange(60), 10)
    labels = np.repeat(rng.random(60) < 0.4, 10)  # all steps of a question alike
    scores = np.repeat(labels[::10] * 0.5 + rng.normal(size=60), 10)
    folds = np.zeros(600)
    by_question = cluster_bootstrap_auroc(scores, labels, folds, question, 500, 0)
    by_row = cluster_bootstrap_auroc(scores, labels, folds, np.arange(600), 500, 0)
    assert by_question.high - by_question.low > 2 * (by_row.high - by_row.low)


@settings(deadline=None)
@given(ROWS)
def test_one_class_or_no_shared_cell_gives_none_with_a_reason(rows):
    scores, labels, folds, _, clusters = (list(column) for column in zip(*rows, strict=True))
    interval = cluster_bootstrap_auroc(scores, labels, folds, clusters, 20, 0)
    if fold_auroc(scores, labels, folds) is None:
        assert interval.estimate is interval.low is interval.high is None
        assert interval.to_json()["estimate"] == {"value": None, "reason": interval.reason}
        assert interval.reason
    else:
        assert interval.estimate is not None


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: auroc([1, 2], [0, 1, 1]), "one score and one label"),
        (lambda: auroc([1, np.nan], [0, 1]), "row 1: the score nan"),
        (lambda: auroc([1, 2], [0, 2]), "row 1: the label"),
        (lambda: auroc([1, 2], [0, 1], [1, -1]), "weights"),
        (lambda: fold_auroc([1, 2], [0, 1], [0, np.nan]), "row 1 has no fold"),
        (lambda: stratified_auroc([1, 2], [0, 1], [0, 0], ["a", None]), "row 1 has no stratum"),
        (lambda: fold_auroc([1, 2], [0, 1], [0]), "one fold per row"),
    ],
)
def test_bad_input_names_the_row(call, words):
    with pytest.raises(AnalysisError, match=words):
        call()


def test_no_draws_is_wrong_usage():
    with pytest.raises(UsageError, match="draws"):
        cluster_bootstrap_auroc([1, 2], [0, 1], [0, 0], [0, 1], 0, 0)


def test_no_rows_at_all_is_undefined():
    assert auroc([], []) is None
    assert cluster_bootstrap_auroc([], [], [], [], 10, 0).estimate is None


@settings(deadline=None)
@given(ROWS, st.booleans())
def test_leaving_out_a_cluster_equals_counting_without_its_rows(rows, with_strata):
    scores, labels, folds, strata, clusters = (np.array(column) for column in zip(*rows, strict=True))
    used = strata if with_strata else None
    found = leave_one_out(scores, labels, folds, clusters, used)
    whole = stratified_auroc(scores, labels, folds, used)
    assert found.auroc == (None if whole.auroc is None else pytest.approx(whole.auroc, abs=1e-12))
    expected = []
    for cluster in np.unique(clusters):
        kept = clusters != cluster
        part = None if used is None else used[kept]
        left = stratified_auroc(scores[kept], labels[kept], folds[kept], part)
        if left.n_pairs < whole.n_pairs:  # the cluster stands in a pair
            expected.append(np.nan if left.auroc is None else left.auroc)
    np.testing.assert_allclose(found.without, expected, atol=1e-12)


def test_the_jackknife_interval_by_hand():
    without = np.array([0.70, 0.72, 0.66, 0.71, 0.69, 0.73])
    error = np.sqrt(5 / 6 * ((without - without.mean()) ** 2).sum())
    assert standard_error(without) == pytest.approx(error)
    reach = student.ppf(0.975, 5) * error
    plain = jackknife_interval(0.7, without, logit=False, unit="questions")
    assert (plain.low, plain.high) == pytest.approx((0.7 - reach, 0.7 + reach))
    odds = jackknife_interval(0.7, without, logit=True, unit="questions")
    ends = expit(logit(0.7) + np.array([-1, 1]) * reach / 0.21)
    assert (odds.low, odds.high) == pytest.approx(tuple(ends))
    assert odds.n == 6
    assert odds.method == "jackknife of questions, log odds, Student's t, level 0.95"


def test_intervals_that_do_not_exist_say_why_and_none_is_without_width():
    none = jackknife_interval(None, [], logit=True, unit="questions")
    assert none.to_json()["estimate"]["reason"].startswith("no pair")
    lone = jackknife_interval(0.8, [np.nan, 0.7], logit=True, unit="questions")
    assert (lone.estimate, lone.low, lone.reason) == (0.8, None, "all of it is of one of the questions")
    assert jackknife_interval(0.8, [0.7], logit=True, unit="questions").low is None
    for value in (0.0, 0.5, 1.0):
        found = jackknife_interval(value, [value] * 9, logit=True, unit="questions")
        assert (found.estimate, found.low) == (value, None)
        assert found.reason == "all questions are alike: no spread to judge by"
    near = jackknife_interval(1 - 1e-9, [1.0] * 50 + [0.4] * 50, logit=True, unit="questions")
    assert 0 <= near.low <= near.high <= 1  # no overflow at an end


def test_the_jackknife_agrees_with_the_bootstrap_and_is_wider_than_one_of_rows():
    scores, labels, folds, clusters, strata = make_study(120, seed=4)
    for used in (None, strata):
        found = leave_one_out(scores, labels, folds, clusters, used)
        replicates = auroc_replicates(scores, labels, folds, clusters, 2000, 0, used)
        assert standard_error(found.without) == pytest.approx(replicates.std(), rel=0.1)
    question = np.repeat(np.arange(60), 10)
    y = np.repeat(np.random.default_rng(2).random(60) < 0.4, 10)
    x = np.repeat(y[::10] * 0.5 + np.random.default_rng(3).normal(size=60), 10)
    by_question, by_row = (leave_one_out(x, y, np.zeros(600), unit) for unit in (question, np.arange(600)))
    assert standard_error(by_question.without) > 2 * standard_error(by_row.without)


def test_ten_thousand_questions_leave_one_out_each():
    rng = np.random.default_rng(5)
    question = np.repeat(np.arange(10_000), 7)
    y = rng.random(70_000) < 0.3
    found = leave_one_out(y + rng.normal(size=70_000), y, question % 5, question)
    assert len(found.without) == 10_000


def test_a_row_that_weighs_nothing_does_not_count():
    assert auroc([0.9, 0.5, 0.1], [1, 0, 1], [1, 1, 0]) == 1
    assert auroc([0.9, 0.5, 0.1], [1, 0, 1], [0, 1, 0]) is None
