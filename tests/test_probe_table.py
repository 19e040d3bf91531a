import numpy as np
import pandas as pd
import pytest

from mechcot.errors import AnalysisError
from mechcot.probe import fit_table, step_table
from mechcot.probe.fit import design, nested, out_of_fold, scaled


def frames():
    keys = [("q1", "base", 0, 0), ("q1", "base", 0, 1), ("q1", "base", 0, 2), ("q2", "base", 0, 0)]
    steps = pd.DataFrame(keys, columns=["qid", "arm", "cid", "sid"]).assign(
        role=["find", "drug", "other", "find"],
        text=["a", "b", "c", "a"],
        tok_start=[0, 3, 5, 0],
        tok_end=[3, 5, 6, 2],
    )
    verdicts = steps[["qid", "arm", "cid", "sid"]].assign(
        label=["erroneous", "correct", "not_checkable", "abstain"]
    )
    questions = pd.DataFrame({"qid": ["q1", "q2"], "group": ["g1", "g2"]})
    signals = pd.DataFrame(
        {
            "qid": ["q1"],
            "arm": ["base"],
            "cid": [0],
            "entropy": [np.arange(6.0)],
            "surprisal": [np.array([0.0, 1.0, 5.0, 2.0, 4.0, 9.0])],
        }
    )
    claims = pd.DataFrame({"qid": ["q1"], "arm": ["base"], "cid": [0], "sid": [0], "tok_object": [1]})
    return steps, verdicts, questions, signals, claims


def test_rows_and_signals_by_hand():
    steps, verdicts, questions, signals, claims = frames()
    table = step_table(steps, verdicts, questions, signals=signals, claims=claims)
    assert table["sid"].tolist() == [0, 1]
    assert table["y"].tolist() == [1, 0]
    assert table["n_steps"].tolist() == [3, 3]
    assert table["group"].tolist() == ["g1", "g1"]
    assert table["entropy_end"].tolist() == [3.0, 5.0]  # before the first token after the step
    assert table["surprisal_mean"].tolist() == [2.0, 3.0]
    assert table["surprisal_max"].tolist() == [5.0, 4.0]
    assert table["entropy_object"].iloc[0] == 1.0
    assert np.isnan(table["entropy_object"].iloc[1])


def test_the_end_of_a_trace_uses_the_last_entropy():
    steps, verdicts, questions, signals, claims = frames()
    verdicts["label"] = "correct"
    table = step_table(steps, verdicts, questions, signals=signals, claims=claims)
    assert table.loc[table["sid"] == 2, "entropy_end"].iloc[0] == 5.0
    assert np.isnan(table.loc[table["qid"] == "q2", "entropy_end"].iloc[0])


def test_two_verdicts_or_an_unknown_question_are_refused():
    steps, verdicts, questions, _, _ = frames()
    with pytest.raises(AnalysisError, match="question q1, arm base, trace 0, step 0"):
        step_table(steps, pd.concat([verdicts, verdicts]), questions)
    with pytest.raises(AnalysisError, match="question q1 has steps"):
        step_table(steps, verdicts, questions[questions["qid"] == "q2"])


def test_a_table_goes_straight_into_a_report():
    rng = np.random.default_rng(0)
    n = 240
    table = pd.DataFrame(
        {
            "qid": np.repeat([f"q{i}" for i in range(30)], 8),
            "group": np.repeat([f"q{i}" for i in range(30)], 8),
            "text": [f"t{i}" for i in range(n)],
            "role": ["a", "b"] * 120,
            "sid": np.tile(np.arange(8), 30),
            "n_steps": 8,
            "y": rng.integers(0, 2, n),
            "entropy_end": rng.normal(size=n),
        }
    )
    report = fit_table({0: rng.normal(size=(n, 6))}, table, draws=50, null_draws=5)
    assert "entropy_end" in report.baselines
    assert "surprisal_max" not in report.baselines


def test_scaling_uses_the_training_rows_alone_and_silences_constants():
    inside, outside = np.array([[1.0, 7.0], [3.0, 7.0]]), np.array([[5.0, 9.0]])
    a, b = scaled(inside, outside)
    assert a.tolist() == [[-1.0, 0.0], [1.0, 0.0]]
    assert b.tolist() == [[3.0, 0.0]]


def test_nested_scores_equal_sklearn_when_there_is_nothing_to_choose():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(300, 5)), rng.integers(0, 2, 300)
    y[X[:, 0] > 0.7] = 1
    qid = np.repeat(np.arange(30), 10)
    plan = design(y, qid=qid, group=qid, text=[str(i) for i in range(300)], n_folds=5, seed=0)
    found = nested({4: X}, y, plan, grid=[0.1], n_inner=3, seed=0)
    expected = np.zeros(300)
    for fold in range(5):
        test = plan.fold == fold
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1)).fit(X[~test], y[~test])
        expected[test] = model.decision_function(X[test])
    assert found.scores == pytest.approx(expected, abs=1e-3)
    assert (found.scores == found.layer_scores[4]).all()
    assert {row["layer"] for row in found.chosen} == {4}
    assert found.n_fits == 5 * 3 + 5
    assert out_of_fold(X, y, plan, C=0.1) == pytest.approx(expected, abs=1e-3)
