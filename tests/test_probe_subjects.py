import json

import numpy as np
import pandas as pd
import pytest

from mechcot.core.errors import AnalysisError
from mechcot.probe import Data, FitSettings, fit_data
from mechcot.probe.folds import design, purged_training_rows
from mechcot.probe.subjects import _thinned, held_out_subjects, subject_codes

FAST = FitSettings(draws=100, null_draws=5, grid=(0.01, 0.1))
N_QUESTIONS, N_STEPS = 60, 8


def steps(seed):
    """Steps about 24 subjects; one column tells which of them are wrong."""
    rng = np.random.default_rng(seed)
    n = N_QUESTIONS * N_STEPS
    y, X = rng.integers(0, 2, n), rng.normal(size=(n, 40))
    X[:, 0] += 2 * y
    qid = np.repeat(np.arange(N_QUESTIONS), N_STEPS)
    return X, y, qid, [f"subject {s}" for s in rng.integers(0, 24, n)]


def told(X, y, qid, subject):
    return fit_data(Data(X, y, qid.tolist(), subject=subject), FAST, progress=False)


def test_a_probe_that_knows_a_direction_keeps_it_without_the_subjects():
    X, y, qid, subject = steps(1)
    found = told(X, y, qid, [f"{name} in {q % 4}" for name, q in zip(subject, qid, strict=True)]).subjects
    assert found.seen_share > 0.9
    assert 0.3 < found.purged_share < 0.95
    assert found.auroc.low > 0.7
    assert abs(found.difference.estimate) < 0.06


def test_held_out_subjects_fall_to_chance_where_memory_is_all():
    rng = np.random.default_rng(2)
    n = 80 * 6
    qid = np.repeat(np.arange(80), 6)
    subject = rng.permutation(120)[(qid * 7 + rng.integers(0, 3, n)) % 120]
    wrong, vectors = rng.integers(0, 2, 120), rng.normal(size=(120, 200))
    y = np.where(rng.random(n) < 0.95, wrong[subject], rng.integers(0, 2, n))
    X = 3 * vectors[subject] + rng.normal(size=(n, 200))
    report = told(X, y, qid, [f"s{i}" for i in subject])
    found = report.subjects
    assert report.auroc.low > 0.6
    assert found.auroc.estimate < 0.62
    assert found.difference.high < 0
    assert found.thinned.estimate > found.auroc.estimate + 0.05
    assert found.n_subjects == len(set(subject))
    assert found.n_steps == n
    told_json = json.loads(json.dumps(report.to_json(), allow_nan=False))["subjects"]
    assert told_json["auroc"]["estimate"] == found.auroc.estimate
    assert "subjects of the test steps held out" in report.text()
    assert "Part of it is knowing the subjects" in report.verdict
    assert "... subjects minus random" in set(report.to_frame().measure)


def test_no_training_row_speaks_of_a_subject_of_the_test_fold_and_folds_stay():
    rng = np.random.default_rng(3)
    qid = np.repeat(np.arange(50), 6)
    y = rng.integers(0, 2, 300)
    subject = subject_codes([f"s{i}" if i % 5 else "" for i in rng.integers(0, 200, 300)])
    plan = design(Data(np.zeros((300, 1)), y, qid), FitSettings())
    for k, train in enumerate(plan.train):
        test = plan.fold == k
        left = purged_training_rows(train, test & (subject >= 0), subject)
        assert not set(subject[left]) & set(subject[test]) - {-1}
        assert (left <= train).all()
        assert left[train & (subject == -1)].all()  # a step without a subject is never purged
        random = _thinned(train, left, y, rng)
        assert (random <= train).all()
        assert [(y[random] == c).sum() for c in (0, 1)] == [(y[left] == c).sum() for c in (0, 1)]


def test_missing_subjects_are_none_and_one_subject_everywhere_is_refused():
    assert subject_codes(["a", "", None, "b", "a", float("nan")]).tolist() == [0, -1, -1, 1, 0, -1]
    X, y, qid, _ = steps(4)
    plan = design(Data(X, y, qid), FitSettings())
    chosen = [{"layer": 0, "C": 0.01}] * 5
    with pytest.raises(
        AnalysisError, match="outer fold 0: without the subjects of its test steps 0 training"
    ):
        held_out_subjects({0: X}, plan, chosen, np.zeros(len(y), dtype=int))
    report = told(X, y, qid, ["the same"] * len(y))
    assert report.subjects is None
    assert any("no estimate with subjects held out: outer fold 0" in note for note in report.notes)
    bare = told(X, y, qid, [""] * len(y))
    assert bare.subjects is None
    assert not any("subjects" in note for note in bare.notes)


def test_a_column_of_subjects_reaches_the_report_and_is_no_confound():
    X, y, qid, subject = steps(5)
    table = pd.DataFrame({"qid": qid, "arm": "a", "cid": 0, "sid": np.tile(np.arange(N_STEPS), N_QUESTIONS)})
    table = table.assign(y=y, subject=[f"{s} {q}" for s, q in zip(subject, qid, strict=True)])
    report = fit_data(Data.from_table({0: X}, table), FAST, progress=False)
    assert report.subjects.n_subjects == table.subject.nunique()
    assert report.subjects.seen_share == 0.0
    assert report.subjects.purged_share == 0.0
    assert "confounds_only" not in report.baselines
