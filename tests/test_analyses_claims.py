"""Counts before rates, and the vote where both arms name an option, against sums by hand."""

import numpy as np
import pandas as pd
import pytest

from mechcot.analyses.answers.analysis import analyse
from mechcot.analyses.arms import Arms
from mechcot.analyses.audit import analysis as audit
from test_analyses_audit import make_arm, make_questions

QUESTIONS = pd.DataFrame({"qid": ["a", "b", "c"], "options": [["x", "y"]] * 3, "gold": [0, 0, 0]})


def traces(arm, answers):
    rows = [
        {"qid": qid, "arm": arm, "cid": cid, "answer": answer, "finish_reason": "stop"}
        for qid, own in zip("abc", answers, strict=True)
        for cid, answer in enumerate(own)
    ]
    return pd.DataFrame(rows)


def judged(arm, labels):
    """Tables of steps and verdicts: one list of labels a trace, (qid, cid) to labels."""
    rows = [
        {"qid": qid, "arm": arm, "cid": cid, "sid": sid, "role": "fact", "n_words": 3, "label": label}
        for (qid, cid), own in labels.items()
        for sid, label in enumerate(own)
    ]
    steps = pd.DataFrame(rows)
    return steps.drop(columns="label"), steps[["qid", "arm", "cid", "sid", "label"]].assign(instrument="i")


def test_claims_are_counted_over_traces_with_a_verdict():
    before = judged("base", {("a", 0): ["correct", "erroneous"], ("b", 0): ["not_checkable"]})
    after = judged("new", {("a", 0): ["erroneous"] * 3, ("b", 0): ["correct"], ("b", 1): ["erroneous"]})
    arms = Arms(QUESTIONS, traces("base", [[0, 0]] * 3), *before, traces("new", [[0, 0]] * 3), *after)
    found = audit.analyse(arms).claims
    assert found.n_traces == (2, 3)
    assert (found.right.before.estimate, found.wrong.before.estimate) == (0.5, 0.5)
    assert found.any_wrong.before.estimate == 0.5
    assert found.wrong.after.estimate == pytest.approx(4 / 3)
    assert found.any_wrong.after.estimate == pytest.approx(2 / 3)
    assert found.wrong.difference.estimate == pytest.approx(4 / 3 - 0.5)


def test_a_gain_that_is_only_naming_an_option_is_called_that():
    questions = pd.DataFrame(
        {"qid": [f"q{i}" for i in range(40)], "options": [["x", "y"]] * 40, "gold": [0] * 40}
    )

    def arm(name, answer):
        return pd.DataFrame(
            [
                {"qid": qid, "arm": name, "cid": cid, "answer": answer(i, cid), "finish_reason": "stop"}
                for i, qid in enumerate(questions.qid)
                for cid in range(3)
            ]
        )

    silent = analyse(
        questions,
        arm("base", lambda i, cid: 0 if cid == 0 or i % 2 else -1),
        arm("new", lambda i, cid: 0),
    )
    assert silent.delta_sc.estimate == pytest.approx(0.5)
    assert silent.named.n_questions == 40
    assert silent.named.delta_sc.estimate == 0.0
    assert silent.named.naming.estimate == 1.0
    better = analyse(questions, arm("base", lambda i, cid: i % 2), arm("new", lambda i, cid: 0))
    assert better.named.naming.estimate == pytest.approx(0.0)
    assert better.named.delta_sc.estimate == better.delta_sc.estimate
    none = analyse(questions, arm("base", lambda i, cid: 0), arm("new", lambda i, cid: 0))
    assert none.named.naming.estimate is None
    assert "not clearly above 0" in none.named.naming.reason


def test_questions_that_an_arm_never_names_an_option_on_are_left_out_of_both_sides():
    found = analyse(
        QUESTIONS,
        traces("base", [[-1, -1], [0, -1], [1, 1]]),
        traces("new", [[0, 0], [0, 0], [0, 1]]),
    ).named
    assert found.n_questions == 2
    assert found.sc == (0.5, 0.75)
    assert np.isclose(found.delta_sc.estimate, 0.25)


def test_where_both_arms_name_the_right_option_silent_traces_do_not_vote():
    """Before, silence has most votes and the right option is named more often than the others."""
    before = {(0, c): (answer, ["e find"]) for c, answer in enumerate([-1, -1, -1, 0, 0, 2])}
    before |= {(1, c): (answer, ["c find"]) for c, answer in enumerate([2, 2, 0])}  # the last option wins
    after = {(q, c): (0, ["c find", "e find", "c find"]) for q in range(2) for c in range(3)}
    result = audit.analyse(Arms(make_questions([0, 0]), *make_arm("base", before), *make_arm("new", after)))
    assert result.both_correct.n_questions == 0
    named = result.both_correct_named
    assert (named.n_questions, named.n_judged_before, named.n_judged_after) == (1, 6, 9)
    assert named.delta.estimate == pytest.approx(1 / 3 - 1)
