import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import t
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, roc_curve

from mechcot.core.errors import AnalysisError
from mechcot.probe import Data, FitSettings
from mechcot.probe.cross_fitting import CrossFitted, cross_fit, dense
from mechcot.probe.folds import Rows, design
from mechcot.probe.metrics import calibration_curve, compare_auroc, metrics_of, platt, within_strata
from mechcot.probe.ranks import average_precision, average_precision_interval, recall_interval
from mechcot.stats import fold_auroc, resampled_counts

rows = st.lists(
    st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=60
).filter(lambda x: 0 < sum(label for _, label in x) < len(x))  # fmt: skip


def rows_of(y, fold):
    return Rows(y, np.arange(len(y)), fold)


def recall(scores, y, fold, at, draws=10):
    return recall_interval(scores, rows_of(y, fold), at=at, draws=draws, seed=0)


@given(rows, st.sampled_from([0.01, 0.05, 0.3, 0.5]))
@settings(max_examples=150, deadline=None)
def test_on_one_fold_they_are_scikit_learns(pairs, at):
    scores, y = (np.array(column) for column in zip(*pairs, strict=True))
    y, fold = y.astype(int), np.zeros(len(y), dtype=int)
    assert average_precision(scores, rows_of(y, fold)) == pytest.approx(average_precision_score(y, scores))
    passed, found, _ = roc_curve(y, scores, drop_intermediate=False)
    best = np.flatnonzero(passed <= at + 1e-12)[-1]
    ours = recall(scores, y, fold, at)
    assert ours.recall.estimate == pytest.approx(found[best])
    assert ours.passed == pytest.approx(passed[best])


@given(rows, st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_folds_are_pooled_by_their_erroneous_steps_and_never_compared(pairs, seed):
    scores, y = (np.array(column) for column in zip(*pairs, strict=True))
    rng = np.random.default_rng(seed)
    y, fold = y.astype(int), rng.integers(0, 3, len(y))
    shifted = scores + np.array([0.0, 100.0, -7.0])[fold]
    parts = [(y[fold == k], scores[fold == k]) for k in range(3) if y[fold == k].any()]
    expected = sum(part.sum() * average_precision_score(part, s) for part, s in parts) / y.sum()
    assert average_precision(scores, rows_of(y, fold)) == pytest.approx(expected)
    assert average_precision(shifted, rows_of(y, fold)) == average_precision(scores, rows_of(y, fold))
    both = [(part, s) for part, s in parts if not part.all()]
    if both:
        found = []
        for part, s in both:
            passed, hits, _ = roc_curve(part, s, drop_intermediate=False)
            found.append(part.sum() * hits[passed <= 0.2 + 1e-12][-1])
        expected = sum(found) / sum(part.sum() for part, _ in both)
        assert recall(shifted, y, fold, 0.2).recall.estimate == pytest.approx(expected)
    else:
        assert recall(shifted, y, fold, 0.2).recall.estimate is None


def test_the_interval_of_average_precision_leaves_out_question_by_question():
    rng = np.random.default_rng(0)
    qid, y = np.repeat(np.arange(12), 6), rng.integers(0, 2, 72)
    scores, fold = rng.integers(0, 5, 72).astype(float), np.repeat([0, 1], 36)
    interval = average_precision_interval(scores, Rows(y, qid, fold))
    left = np.array(
        [average_precision(scores[qid != q], rows_of(y[qid != q], fold[qid != q])) for q in range(12)]
    )
    whole = average_precision(scores, rows_of(y, fold))
    error = np.sqrt(11 / 12 * ((left - left.mean()) ** 2).sum())
    reach = t.ppf(0.975, 11) * error / (whole * (1 - whole))
    ends = expit(logit(whole) + np.array([-reach, reach]))
    np.testing.assert_allclose([interval.estimate, interval.low, interval.high], [whole, *ends])


def test_a_recall_s_replicate_is_the_recall_of_the_questions_it_drew():
    rng = np.random.default_rng(0)
    qid, y = np.repeat(np.arange(12), 6), rng.integers(0, 2, 72)
    scores, fold = rng.integers(0, 5, 72).astype(float), np.repeat([0, 1], 36)
    found = recall_interval(scores, Rows(y, qid, fold), at=0.3, draws=200, seed=3).recall
    slow = []
    for counts in np.concatenate(list(resampled_counts(12, 200, 3))):
        picked = np.repeat(np.arange(72), counts[qid])
        slow.append(recall(scores[picked], y[picked], fold[picked], 0.3).recall.estimate)
    np.testing.assert_allclose([found.low, found.high], np.quantile(slow, [0.025, 0.975]))


def fitted(seed=0, *, n_questions=80, per=10, strength=2.0, draws=50):
    rng = np.random.default_rng(seed)
    qid = np.repeat([f"q{i}" for i in range(n_questions)], per)
    X = rng.normal(size=(len(qid), 12))
    y = (rng.random(len(qid)) < 1 / (1 + np.exp(1.0 - strength * X[:, 0]))).astype(int)
    plan = design(Data(X, y, qid), FitSettings(draws=draws, seed=seed))
    return cross_fit(dense(X, y), plan, (0.1, 1.0)), y, plan


def test_probabilities_are_platts_inside_training_rows():
    probe, y, plan = fitted()
    found = platt(probe, plan)
    for k, train in enumerate(plan.train):
        n1, n0 = y[train].sum(), (1 - y[train]).sum()
        target = np.where(y[train] == 1, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))
        # scikit-learn takes no soft targets: each row once as either class, weighted
        scores = probe.evidence[k, train][:, None]
        model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
        model.fit(
            np.vstack([scores, scores]),
            np.repeat([1, 0], len(scores)),
            sample_weight=np.concatenate([target, 1 - target]),
        )
        test = plan.fold == k
        expected = model.predict_proba(probe.evidence[k, test][:, None])[:, 1]
        np.testing.assert_allclose(found[test], expected, atol=1e-5)


def test_a_good_score_is_calibrated_and_beats_the_prevalence():
    probe, y, plan = fitted(draws=300)
    found = metrics_of(probe, plan)
    probability = platt(probe, plan)
    assert found.brier.estimate == pytest.approx(brier_score_loss(y, probability))
    assert found.brier.high < found.brier_prevalence
    assert found.prevalence.estimate == y.mean()
    assert found.average_precision.low > found.chance_precision
    assert found.chance_precision == pytest.approx(y.mean(), abs=0.03)
    assert [row.at for row in found.recalls] == [0.01, 0.05]
    assert all(row.passed <= row.at for row in found.recalls)
    assert found.recalls[0].recall.estimate < found.recalls[1].recall.estimate
    assert sum(row.n_steps for row in found.calibration) == len(y)
    assert [row.predicted for row in found.calibration] == sorted(row.predicted for row in found.calibration)
    near = [abs(row.predicted - row.observed.estimate) < 0.15 for row in found.calibration]
    assert np.mean(near) >= 0.9
    json.dumps(found.to_json(), allow_nan=False)


def test_a_constant_score_says_the_prevalence():
    probe, _, plan = fitted(1)
    flat = CrossFitted(np.zeros_like(probe.evidence), probe.prior, probe.C, probe.inner_loss)
    found = metrics_of(flat, plan)
    assert found.average_precision.estimate == found.chance_precision
    assert found.brier.estimate == pytest.approx(found.brier_prevalence, abs=1e-3)
    assert [row.recall.estimate for row in found.recalls] == [0.0, 0.0]


def test_scores_that_separate_still_give_probabilities():
    probe, y, plan = fitted(2)
    sure = CrossFitted(
        np.where(y == 1, 40.0, -40.0) + 0 * probe.evidence, probe.prior, probe.C, probe.inner_loss
    )
    found = metrics_of(sure, plan)
    assert found.brier.estimate < 1e-3
    assert found.average_precision.estimate == 1.0
    assert [row.recall.estimate for row in found.recalls] == [1.0, 1.0]


def test_equal_predictions_share_a_bin():
    y = np.array([0, 1] * 20)
    curve = calibration_curve(np.repeat([0.2, 0.7], 20), rows_of(y, np.zeros(40)))
    assert [(row.predicted, row.observed.estimate, row.n_steps) for row in curve] == [
        (pytest.approx(0.2), 0.5, 20),
        (pytest.approx(0.7), 0.5, 20),
    ]


def test_a_difference_is_paired_and_says_what_could_be_found():
    probe, y, plan = fitted(3)
    scores = probe.scores(plan)
    rng = np.random.default_rng(0)
    worse = scores + rng.normal(size=len(y))
    found = compare_auroc(scores, worse, plan)
    own, other = fold_auroc(scores, y, plan.fold), fold_auroc(worse, y, plan.fold)
    assert found.gain.estimate == pytest.approx(own - other)
    assert found.gain.low > 0
    assert found.detectable == pytest.approx(2.8016 * found.se, rel=1e-4)
    # about a normal interval's half-width: 1.96 standard errors
    assert found.gain.high - found.gain.low == pytest.approx(2 * 1.96 * found.se, rel=0.15)
    same = compare_auroc(scores, scores, plan)
    assert (same.gain.estimate, same.se, same.detectable) == (0.0, None, None)
    json.dumps(same.to_json(), allow_nan=False)


def test_power_at_the_detectable_difference_is_four_in_five():
    """Studies whose true difference equals what one of them calls detectable find it in 80 % of cases."""
    differences, errors = [], []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        y, qid = rng.integers(0, 2, 400), np.repeat(np.arange(80), 5)
        good, bad = y + 1.1 * rng.normal(size=400), y + 1.6 * rng.normal(size=400)
        found = compare_auroc(good, bad, Rows(y, qid, np.zeros(400, dtype=int)))
        differences.append(found.gain.estimate)
        errors.append((found.se, found.detectable))
    se, detectable = np.median(errors, axis=0)
    spread = np.array(differences) - np.mean(differences)
    assert 0.7 < np.mean(spread + detectable > 1.96 * se) < 0.9


def test_within_a_stratum_that_explains_all_nothing_is_left():
    rng = np.random.default_rng(0)
    sid, qid = np.tile(np.arange(5), 80), np.repeat(np.arange(40), 10)
    y = (rng.random(400) < np.where(sid > 2, 0.9, 0.1)).astype(int)
    fold = qid % 4
    found = within_strata(sid.astype(float), Rows(y, qid, fold), {"position": sid, "question": qid})
    assert found["position"].auroc.estimate == 0.5
    assert found["question"].auroc.estimate > 0.8
    assert all(0 < row.share < 0.2 for row in found.values())
    json.dumps({name: row.to_json() for name, row in found.items()}, allow_nan=False)


def test_bad_scores_are_named():
    y = np.array([0, 1, 0])
    with pytest.raises(AnalysisError, match="row 1: the score nan"):
        average_precision([0.0, np.nan, 1.0], rows_of(y, y))
    with pytest.raises(AnalysisError, match="one score, label and fold"):
        average_precision([0.0, 1.0], rows_of(y, y))
    assert average_precision([0.0, 1.0], rows_of(np.zeros(2, dtype=int), np.zeros(2, dtype=int))) is None


def test_what_the_intervals_cover_stands_on_the_page():
    script = runpy.run_path(str(Path(__file__).parent.parent / "scripts" / "coverage_ranks.py"))
    rows = json.loads(script["OUT"].read_text())
    assert script["table"](rows) in script["PAGE"].read_text()
    assert all(row["runs"] == 2000 for row in rows)
    for row in rows:
        assert all(row[name] >= 0.93 for name in ("precision", "area", "difference", "recall")), row
    small = script["measured"](12, 5, seed=1)
    assert all(0 <= small[name] <= 1 for name in script["LABEL"])
