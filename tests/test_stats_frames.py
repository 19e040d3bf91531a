"""Tables checked and counted by question: votes, cut traces, equal texts, and what is refused by name."""

import numpy as np
import pandas as pd
import pytest

from mechcot.core.errors import AnalysisError
from mechcot.stats.frames import (
    check_questions,
    cut_off,
    describe,
    joined_groups,
    one_arm,
    one_of_each,
    question_codes,
    require_columns,
    trace_votes,
)

QUESTIONS = pd.DataFrame({"qid": ["b", "a"], "options": [["x", "y", "z"], ["x", "y"]], "gold": [2, 0]})


def traces(answers, arm="base"):
    """(question, trace) to answer."""
    rows = [{"qid": qid, "arm": arm, "cid": cid, "answer": own} for (qid, cid), own in answers.items()]
    return pd.DataFrame(rows)


def test_votes_stand_in_the_order_of_the_questions_and_silence_in_the_last_column():
    own = traces({("a", 0): 1, ("b", 0): 2, ("a", 1): -1, ("b", 1): 0, ("b", 2): 2, ("a", 2): -1})
    assert trace_votes(QUESTIONS, own, "traces").tolist() == [[1, 0, 2, 0], [0, 1, 0, 2]]
    index, gold = check_questions(QUESTIONS)
    assert (index.tolist(), gold.tolist()) == (["b", "a"], [2, 0])
    assert question_codes(own, index, "traces").tolist() == [1, 0, 1, 0, 0, 1]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (
            {("a", 0): 1, ("b", 0): 2, ("a", 1): 2},
            r"traces: question a, trace 1: answer 2 is not one of the question's 2 options \(-1 is no answer",
        ),
        (
            {("b", 0): -2, ("a", 0): 0},
            "question b, trace 0: answer -2 is not one of the question's 3 options",
        ),
        ({("b", 0): 1, ("a", 4): None}, "question a, trace 4 has a null answer; no answer is -1"),
        ({("b", 0): 1}, "question a has no traces; both arms need the same questions"),
        ({("b", 0): 1, ("a", 0): 0, ("q", 0): 0}, "question q is not in the question table"),
    ],
)
def test_traces_that_cannot_vote_are_named(answers, words):
    with pytest.raises(AnalysisError, match=words):
        trace_votes(QUESTIONS, traces(answers), "traces")


def test_a_gold_that_is_no_option_names_the_question():
    with pytest.raises(AnalysisError, match="question a: gold 2 is not one of its 2 options"):
        check_questions(QUESTIONS.assign(gold=[2, 2]))


def test_rows_are_refused_by_what_they_lack_or_have_twice():
    own = traces({("a", 0): 1, ("b", 0): 2})
    with pytest.raises(AnalysisError, match="question b, arm base, trace 0 occurs more than once"):
        trace_votes(QUESTIONS, pd.concat([own, own.iloc[1:]]), "traces")
    with pytest.raises(AnalysisError, match=r"steps: the columns \['sid'\] are missing"):
        require_columns(own, ["qid", "sid"], "steps")
    assert one_arm(own, "traces") == "base"
    for rows in (own.iloc[:0], pd.concat([own, own.assign(arm="new")])):
        with pytest.raises(AnalysisError, match="traces"):
            one_arm(rows, "traces")
    assert describe(own, ["qid", "arm", "cid"]) == "question a, arm base, trace 0"


def test_a_trace_is_cut_when_the_limit_came_before_its_answer():
    own = pd.DataFrame({"finish_reason": ["length", "stop", "length"]})
    assert cut_off(own).tolist() == [True, False, True]
    ruled = own.assign(answer_rule=["truncated", "truncated", "strict"])
    assert cut_off(ruled).tolist() == [True, False, False]
    assert cut_off(own).dtype == np.bool_


def test_groups_that_a_repeated_text_links_are_one():
    table = pd.DataFrame(
        {
            "qid": ["a", "b", "c", "d", "e"],
            "stem": ["Which?", "which? ", "Who?", "Who?", "Why?"],
            "options": [["x", "y"], ["Y", "x"], ["x", "y"], ["x", "z"], ["x", "y"]],
            "group": ["g1", "g2", "g2", "g3", "g4"],
        }
    )
    assert one_of_each(table) == {"a": "a", "b": "a", "c": "c", "d": "d", "e": "e"}
    assert joined_groups(table) == {"a": "g1", "b": "g1", "c": "g1", "d": "g3", "e": "g4"}
    assert one_of_each(table[["qid"]]) == {own: own for own in "abcde"}
    silent = table.assign(stem="", options=[[]] * 5)
    assert len(set(one_of_each(silent).values())) == 5
