from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mechcot.analyses.answers.analysis import analyse
from mechcot.core.errors import AnalysisError
from mechcot.core.records import QUESTIONS, TRACES, read_table, write_table
from mechcot.stats import ece
from mechcot.stats.calibration import squared_calibration_error


def make_questions(golds, sizes=None):
    sizes = sizes or [4] * len(golds)
    rows = [
        {
            "qid": f"q{i}",
            "domain": "clinical",
            "stem": f"case {i}",
            "options": [f"option{j}" for j in range(size)],
            "gold": gold,
            "group": f"g{i}",
            "stratum": "",
        }
        for i, (gold, size) in enumerate(zip(golds, sizes, strict=True))
    ]
    return pd.DataFrame(rows)


def make_traces(arm, answers, truncated=()):
    rows = [
        {
            "qid": f"q{q}",
            "arm": arm,
            "cid": c,
            "text": "x",
            "prompt_ids": [1, 2],
            "token_ids": [3],
            "token_start": [0],
            "token_end": [1],
            "finish_reason": "length" if (q, c) in truncated else "stop",
            "sum_logprob": -1.0,
            "reasoning_end": 1,
            "answer": answer,
            "answer_rule": "truncated" if (q, c) in truncated else "strict" if answer >= 0 else "no_answer",
            "answer_start": -1,
            "answer_end": -1,
        }
        for q, row in enumerate(answers)
        for c, answer in enumerate(row)
    ]
    return pd.DataFrame(rows)


GOLDS = [0, 1, 2, 3]
BEFORE = [[0, 0, 1, 2], [1, 2, 2, -1], [-1, -1, -1, 2], [3, 3, 0, 0]]
AFTER = [[0, 0, 0, 0], [1, 1, 1, 2], [2, 2, -1, 2], [0, 0, 0, 3]]


def small():
    before = make_traces("base", BEFORE, truncated={(1, 3), (2, 0), (2, 1)})
    return analyse(make_questions(GOLDS), before, make_traces("distilled", AFTER))


def test_a_trace_that_answered_and_ran_on_into_another_question_is_not_cut():
    before = make_traces("base", BEFORE, truncated={(2, 0), (2, 1)})
    before.loc[(before.qid == "q0") & (before.cid == 0), "finish_reason"] = "length"  # read up to there
    result = analyse(make_questions(GOLDS), before, make_traces("distilled", AFTER))
    assert result.before.share_truncated == 2 / 16


def test_every_number_of_a_study_small_enough_to_count_by_hand():
    result = small()
    before, after = result.before, result.after
    assert (before.arm, after.arm) == ("base", "distilled")
    assert before.accuracy == 6 / 16
    assert after.accuracy == 11 / 16
    assert (before.k, before.n_questions, before.n_traces) == (4, 4, 16)
    assert before.share_no_answer == 4 / 16
    assert before.share_truncated == 3 / 16
    # q0 right, q1 wrong, q2 no answer wins, q3 a tie of two
    assert before.votes.sc == (1 + 0 + 0 + 0.5) / 4
    assert after.votes.sc == 3 / 4
    assert result.delta_sc.estimate == pytest.approx(1.5 / 4)
    assert result.delta_accuracy.estimate == pytest.approx(5 / 16)
    shares, score = [0.5, 0.5, 0.75, 0.5], [1, 0, 0, 0.5]
    assert before.votes.ece == pytest.approx(ece(shares, score)) == pytest.approx(0.75 / 4)
    assert before.votes.ece_squared == pytest.approx(squared_calibration_error(shares, score))
    assert before.votes.gap == pytest.approx((-0.5 + 0.5 + 0.75 + 0) / 4)
    assert before.votes.slope == pytest.approx(np.polyfit(shares, score, 1)[0])
    assert result.delta_ece == after.votes.ece - before.votes.ece
    assert result.delta_gap.estimate == pytest.approx(after.votes.gap - before.votes.gap)
    assert before.votes.brier == pytest.approx((0.25 + 0.25 + 0.5625 + 0.25) / 4)
    mc = result.mcnemar
    # the tie of q3 is not right: no loss there
    assert (mc.both, mc.gained, mc.lost, mc.neither) == (1, 2, 0, 1)
    assert mc.p_value == 0.5


def test_every_smaller_vote_stands_beside_the_full_one():
    result = small()
    for arm in (result.before, result.after):
        assert len(arm.sc_at_k) == arm.k == 4
        assert arm.sc_at_k[0] == pytest.approx(arm.accuracy)
        assert arm.sc_at_k[1] == pytest.approx(arm.accuracy)
        assert arm.sc_at_k[3] == pytest.approx(arm.votes.sc)
    # three of four: q0 has gold in 2 of 4 with two singles (3 of 3-subsets: 2 win, 2 tie by thirds),
    # q1 loses but for the tie of three (2 of 4), q2 is silent, q3 wins half
    assert result.before.sc_at_k[2] == pytest.approx(((2 + 2 / 3) / 4 + (2 / 3) / 4 + 0 + 0.5) / 4)
    assert result.to_json()["before"]["sc_at_k"] == list(result.before.sc_at_k)


def test_parsed_answers_alone_stand_beside():
    answered = small().before.answered_only
    assert answered.n_questions == 4
    assert answered.sc == (1 + 0 + 1 + 0.5) / 4
    silent = make_traces("base", [[-1, -1, -1, -1], *BEFORE[1:]])
    result = analyse(make_questions(GOLDS), silent, make_traces("d", AFTER))
    assert result.before.answered_only.n_questions == 3
    mute = make_traces("base", [[-1] * 4] * 4)
    result = analyse(make_questions(GOLDS), mute, make_traces("d", AFTER))
    assert result.before.answered_only is None
    assert result.before.votes.sc == result.before.accuracy == 0
    assert result.to_json()["before"]["answered_only"]["value"] is None


def test_result_is_json_and_a_frame_and_one_line():
    result = small()
    value = json.loads(json.dumps(result.to_json(), allow_nan=False))
    for arm in ("before", "after"):
        assert {"accuracy", "sc", "sc_at_k", "ece", "k", "n_questions"} <= value[arm].keys()
    assert {"estimate", "low", "high"} <= value["delta_sc"].keys()
    frame = result.to_frame().set_index("measure")
    assert frame.loc["sc", "before"] == result.before.votes.sc
    assert frame.loc["accuracy", "after"] == result.after.accuracy
    assert np.allclose(frame["after"] - frame["before"], frame["difference"])
    assert "base -> distilled" in repr(result)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000))
def test_differences_agree_with_the_arms_and_are_determined(seed):
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(2, 12)), int(rng.integers(1, 6))
    questions = make_questions(list(rng.integers(0, 3, n)), [3] * n)
    before, after = (make_traces(arm, rng.integers(-1, 3, (n, k)).tolist()) for arm in "ab")
    result = analyse(questions, before, after)
    mixed = analyse(
        questions.sample(frac=1, random_state=seed),
        before.sample(frac=1, random_state=seed),
        after,
    )
    for row in result.to_frame().itertuples():
        assert row.difference == pytest.approx(row.after - row.before, abs=1e-12, nan_ok=True)
    assert result == analyse(questions, before, after)
    assert mixed.before.votes.sc == pytest.approx(result.before.votes.sc)
    assert mixed.mcnemar == result.mcnemar
    same = analyse(questions, before, before)
    assert (same.delta_sc.estimate, same.delta_sc.low) == (0, None)
    assert same.mcnemar.gained == same.mcnemar.lost == 0


def test_interval_of_a_planted_gain_covers_it():
    rng = np.random.default_rng(4)
    questions = make_questions([0] * 120)
    skill = rng.beta(2, 2, (120, 1))
    hits = 0
    for _ in range(60):
        better = [np.where(rng.random((120, 5)) < p, 0, 1).tolist() for p in (skill * 0.8, skill * 0.8 + 0.2)]
        result = analyse(questions, make_traces("a", better[0]), make_traces("b", better[1]))
        hits += result.delta_accuracy.low <= 0.2 <= result.delta_accuracy.high
    # the questions stay the same here, so the interval (which allows for new ones) covers at least .95
    assert hits >= 54


def test_tables_read_from_files_work_the_same(tmp_path):
    questions, before, after = make_questions(GOLDS), make_traces("base", BEFORE), make_traces("d", AFTER)
    write_table(tmp_path / "questions.parquet", questions, QUESTIONS)
    write_table(tmp_path / "before.parquet", before, TRACES)
    write_table(tmp_path / "after.parquet", after, TRACES)
    read = [
        read_table(tmp_path / f"{name}.parquet", schema)
        for name, schema in (("questions", QUESTIONS), ("before", TRACES), ("after", TRACES))
    ]
    assert analyse(*read) == analyse(questions, before, after)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda q, b, a: (q, b.iloc[1:], a), "question q0 has 3 traces before, most have 4"),
        (
            lambda q, b, a: (q, b, a[(a["cid"] < 3) | (a["qid"] != "q2")]),
            "question q2 has 3 traces after, most",
        ),
        (lambda q, b, a: (q, b, a[a["qid"] != "q2"]), "traces after: question q2 has no traces"),
        (lambda q, b, a: (q.iloc[1:], b, a), "traces before: question q0 is not in the question table"),
        (lambda q, b, a: (q, pd.concat([b, b.iloc[:1]]), a), "question q0, arm base, trace 0 occurs more"),
        (lambda q, b, a: (q, b.assign(answer=4), a), "question q0, trace 0: answer 4 is not one of"),
        (lambda q, b, a: (q, b.drop(columns="answer"), a), r"traces before: the columns \['answer'\]"),
        (lambda q, b, a: (q, b, a.drop(columns="finish_reason")), "traces after: the columns"),
        (lambda q, b, a: (q, pd.concat([b, a]), a), "exactly one arm"),
        (lambda q, b, a: (q, b.iloc[:0], a), "no rows"),
        (lambda q, b, a: (q.assign(gold=4), b, a), "question q0: gold 4 is not one of its 4 options"),
        (lambda q, b, a: (pd.concat([q, q]), b, a), "question q0 occurs more than once"),
        (lambda q, b, a: (q.iloc[:0], b, a), "the table is empty"),
        (lambda q, b, a: (q, b.assign(answer=b["answer"].where(b.index != 5)), a), "q1, trace 1 has a null"),
    ],
)
def test_bad_tables_name_the_question(change, words):
    tables = change(make_questions(GOLDS), make_traces("base", BEFORE), make_traces("d", AFTER))
    with pytest.raises(AnalysisError, match=words):
        analyse(*tables)


def test_an_answer_beyond_a_shorter_questions_options_is_an_error():
    questions = make_questions([0, 0], [2, 4])
    good, bad = make_traces("a", [[1], [3]]), make_traces("b", [[2], [3]])
    with pytest.raises(AnalysisError, match="question q0, trace 0: answer 2 is not one of the question's 2"):
        analyse(questions, good, bad)


def test_where_no_answer_was_read_no_vote_is_sure_of_anything():
    silent, named = [[-1] * 4] * 8, [[0, 0, 1, 0]] * 8
    result = analyse(make_questions([0] * 8), make_traces("base", silent), make_traces("distilled", named))
    found = result.to_json()
    assert (result.before.votes.sc, result.after.votes.sc) == (0.0, 1.0)  # none of them is right
    for name in ("ece", "ece_equal_mass", "ece_squared", "gap", "brier"):
        assert found["before"][name]["value"] is None
        assert found[f"delta_{name}"].get("reason") or found[f"delta_{name}"]["estimate"]["reason"]
        assert isinstance(found["after"][name], float)
    assert "no answer of an arm could be read" in found["before"]["ece"]["reason"]
    assert "no answer of an arm could be read" in found["delta_gap"]["estimate"]["reason"]


def test_the_first_five_whole_traces_without_an_answer_are_shown_by_the_end_of_their_text():
    questions, after = make_questions([0]), make_traces("new", [[0] * 9])
    before = make_traces("base", [[-1] * 8 + [0]], truncated=[(0, 1)])
    before["text"] = [f"{'so ' * 80}\n the end {cid}" for cid in range(9)]
    found = analyse(questions, before, after).before.unread
    assert [(own.qid, own.cid, own.why) for own in found] == [
        ("q0", cid, "no_answer") for cid in (0, 2, 3, 4, 5)
    ]
    assert all(len(own.end) == 160 and own.end.endswith(f"so the end {own.cid}") for own in found)
