import numpy as np
import pandas as pd
import pytest

from mechcot.core.errors import AnalysisError
from mechcot.probe.judged_steps import ORACLE, SIGNALS, SIGNALS_AT, Dropped, dropped, step_table

KEY = ["qid", "arm", "cid", "sid"]


def frames():
    keys = [("q1", "base", 0, 0), ("q1", "base", 0, 1), ("q1", "base", 0, 2), ("q2", "base", 0, 0)]
    steps = pd.DataFrame(keys, columns=KEY).assign(
        role=["find", "drug", "other", "find"],
        text=["a", "b", "c", "a"],
        tok_start=[0, 3, 5, 0],
        tok_end=[3, 5, 6, 2],
        n_words=[2, 1, 1, 2],
    )
    verdicts = steps[KEY].assign(label=["erroneous", "correct", "not_checkable", "abstain"])
    questions = pd.DataFrame(
        {
            "qid": ["q1", "q2"],
            "group": ["g1", "g2"],
            "stem": ["Which?", "What?"],
            "options": [["one", "two"], []],
            "gold": [1, 0],
        }
    )
    signals = pd.DataFrame(
        {
            "qid": ["q1"],
            "arm": ["base"],
            "cid": [0],
            "entropy": [np.arange(6.0) ** 2],
            "surprisal": [np.array([0.0, 1.0, 5.0, 2.0, 4.0, 9.0])],
        }
    )
    claims = pd.DataFrame(
        {"qid": ["q1"], "arm": ["base"], "cid": [0], "sid": [0], "subject": ["zinc"]}
        | {"tok_decision": [0], "tok_object": [1]}
    )
    return steps, verdicts, questions, signals, claims


def test_rows_by_hand():
    steps, verdicts, questions, _, _ = frames()
    table = step_table(steps, verdicts, questions)
    assert table["sid"].tolist() == [0, 1]
    assert table["y"].tolist() == [1, 0]
    assert table["n_steps"].tolist() == [3, 3]
    assert table["relative"].tolist() == [0.0, 0.5]
    assert table["n_words"].tolist() == [2, 1]
    assert table["n_tokens"].tolist() == [3, 2]
    assert table["tok_start"].tolist() == [0, 3]
    assert table["group"].tolist() == ["g1", "g1"]
    assert table["question"].tolist() == ["Which?\none\ntwo"] * 2
    assert table["answer_right"].tolist() == [-1, -1]
    assert table[list(SIGNALS)].isna().all(axis=None)
    assert table["subject"].tolist() == ["", ""]


def test_signals_are_read_at_the_site_of_the_probe():
    steps, verdicts, questions, signals, claims = frames()
    table = step_table(steps, verdicts, questions, signals=signals, claims=claims)
    # tokens 0-2 and 3-4; entropy is squares of the place, before which token it stands
    expected = {
        "entropy_end": [9, 25],
        "entropy_mean": [(1 + 4 + 9) / 3, (16 + 25) / 2],
        "entropy_max": [9, 25],
        "surprisal_end": [5, 4],
        "surprisal_mean": [2, 3],
        "surprisal_max": [5, 4],
        "entropy_start": [1, 16],
        "surprisal_start": [0, 2],
        "entropy_before": [0, 9],
        "surprisal_before": [np.nan, 5],  # before the first step stands the prompt
        "entropy_decision": [1, 9],
        "surprisal_decision": [0, 5],
        ORACLE: [1, np.nan],
    }
    assert {name for names in SIGNALS_AT.values() for name in names} | {ORACLE} == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(table[name], values, err_msg=name)
    assert table["subject"].tolist() == ["zinc", ""]
    own = claims.assign(subject="this")  # the question's own case is no entity
    assert step_table(steps, verdicts, questions, claims=own)["subject"].tolist() == ["", ""]


def test_what_a_cut_trace_never_computed_is_missing():
    steps, verdicts, questions, signals, claims = frames()
    verdicts["label"] = "correct"
    table = step_table(steps, verdicts, questions, signals=signals, claims=claims).set_index(["qid", "sid"])
    last = table.loc[("q1", 2)]
    assert np.isnan(last["entropy_end"])
    assert np.isnan(last["entropy_mean"])
    assert last["surprisal_end"] == 9.0
    assert last["entropy_before"] == 25.0
    assert table.loc[("q2", 0), list(SIGNALS)].isna().all()  # a trace that was not read


def test_the_final_answer_is_right_wrong_or_none():
    steps, verdicts, questions, _, _ = frames()
    verdicts["label"] = "correct"
    traces = pd.DataFrame({"qid": ["q1", "q2"], "arm": "base", "cid": 0, "answer": [1, 1]})
    right = step_table(steps, verdicts, questions, traces=traces)["answer_right"]
    assert right.tolist() == [1, 1, 1, 0]
    traces["answer"] = [-1, 0]
    right = step_table(steps, verdicts, questions, traces=traces)["answer_right"]
    assert right.tolist() == [-1, -1, -1, 1]
    with pytest.raises(AnalysisError, match="question q2, arm base, trace 0 has steps but is not"):
        step_table(steps, verdicts, questions, traces=traces[traces.qid == "q1"])


def test_everything_left_out_is_counted_once():
    steps, verdicts, _, _, _ = frames()
    elsewhere = pd.DataFrame([("q9", "base", 0, 0, "correct")], columns=[*KEY, "label"])
    found = dropped(steps, pd.concat([verdicts, elsewhere]))
    assert found == Dropped(
        steps=4, not_stored=0, unjudged=0, abstain=1, not_checkable=1, api_failure=0, parse_failure=0, kept=2,
        without_step=1,
    )  # fmt: skip
    stored = steps.iloc[[1, 2, 3]][KEY]
    few = verdicts.iloc[:3].assign(label=["erroneous", "api_failure", "parse_failure"])
    found = dropped(steps, few, stored)
    assert found == Dropped(
        steps=4, not_stored=1, unjudged=1, abstain=0, not_checkable=0, api_failure=1, parse_failure=1, kept=0,
        without_step=0,
    )  # fmt: skip
    counts = found.to_json()
    assert counts.pop("without_step") == 0
    assert counts.pop("steps") == sum(counts.values())


def test_a_step_that_is_not_stored_still_counts_for_the_length_of_its_trace():
    steps, verdicts, questions, _, _ = frames()
    table = step_table(steps, verdicts, questions, stored=steps.iloc[[1]][KEY])
    assert table["sid"].tolist() == [1]
    assert table["n_steps"].tolist() == [3]
    assert table["relative"].tolist() == [0.5]


def test_twos_and_strangers_are_refused():
    steps, verdicts, questions, _, _ = frames()
    first = "question q1, arm base, trace 0, step 0"
    abstained = verdicts.iloc[:1].assign(label="abstain")
    with pytest.raises(AnalysisError, match=f"{first} has more than one verdict"):
        step_table(steps, pd.concat([verdicts, abstained]), questions)
    with pytest.raises(AnalysisError, match=f"{first} is in the table of steps more than once"):
        step_table(pd.concat([steps, steps]), verdicts, questions)
    with pytest.raises(AnalysisError, match=f"{first} has more than one row of activations"):
        dropped(steps, verdicts, pd.concat([steps, steps])[KEY])
    with pytest.raises(AnalysisError, match="question q1 has steps"):
        step_table(steps, verdicts, questions[questions["qid"] == "q2"])
