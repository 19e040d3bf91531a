from pathlib import Path

import pandas as pd
import pytest

from conftest import word_tokenizer
from mechcot.core.presets import PRESETS
from mechcot.core.prompt_settings import PromptSettings
from mechcot.steps import step_rows
from mechcot.steps.table import states_answer, token_at, token_span
from mechcot.tasks import Question
from mechcot.tasks.multiple_choice import multiple_choice

QUESTION = Question("q", "d", "s", ("w1", "w2"), 0, "g")
TASK = multiple_choice(PromptSettings(**PRESETS["organism"]["prompt"]), "sentences")


def _trace(text: str, spans: list[tuple[int, int]], **more: object) -> pd.DataFrame:
    row = {
        "qid": "q",
        "arm": "a",
        "cid": 0,
        "text": text,
        "token_start": [a for a, _ in spans],
        "token_end": [b for _, b in spans],
        "finish_reason": "stop",
        "reasoning_end": len(text),
        "answer": 1,
    }
    return pd.DataFrame([row | more])


def test_steps_know_their_characters_and_tokens(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(tmp_path)
    text = "w3 w4 . w3 w4 . choose w2 ."
    spans = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    rows = step_rows(_trace(text, spans), {"q": QUESTION}, TASK)
    assert [r["text"] for r in rows] == ["w3 w4 .", "w3 w4 .", "choose w2 ."]
    assert [(r["tok_start"], r["tok_end"]) for r in rows] == [(0, 3), (3, 6), (6, 9)]
    assert [r["states_answer"] for r in rows] == [False, False, True]
    assert not any(r["straddles"] for r in rows)


def test_a_token_that_holds_two_steps_belongs_to_both_and_is_flagged() -> None:
    # ".B" is one token: the end of the first step and the start of the second.
    text = "A. B."
    assert token_span(text, [0, 1, 4], [1, 4, 5], 0, 2) == (0, 2, True)
    assert token_span(text, [0, 1, 4], [1, 4, 5], 3, 5) == (1, 3, True)
    # ".\n\n" is one token: it does not end where the step does. A blank before a word is a part of it.
    assert token_span("A.\n\nB", [0, 1, 4], [1, 4, 5], 0, 2) == (0, 2, True)
    assert token_span("A.\n\nB", [0, 1, 2, 4], [1, 2, 4, 5], 0, 2) == (0, 2, False)
    assert token_span("A. B", [0, 1, 2], [1, 2, 4], 3, 4) == (2, 3, False)
    assert token_at([0, 1, 4], [1, 4, 5], 3) == 1


def test_a_step_that_the_limit_cut_is_kept_and_marked() -> None:
    spans = [(0, 2), (3, 4), (5, 7)]
    rows = step_rows(_trace("w3 . w4", spans, finish_reason="length"), {"q": QUESTION}, TASK)
    assert [r["complete"] for r in rows] == [True, False]


def test_a_trace_without_reasoning_has_no_steps() -> None:
    assert step_rows(_trace("", [], reasoning_end=0), {"q": QUESTION}, TASK) == []


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("choose w2 .", True),
        ("choose w1 .", False),  # another option
        ("choose w22 .", False),  # a longer word
        ("w3 treats w2 .", False),  # named, not chosen
        ("Therefore the answer is W2.", True),
    ],
)
def test_a_step_states_the_answer_when_it_concludes_and_names_it(text: str, stated: bool) -> None:
    assert states_answer(QUESTION, text, 1, TASK) is stated
    assert states_answer(QUESTION, text, -1, TASK) is False


def test_letters_count_only_where_answers_are_letters() -> None:
    letters = multiple_choice(PromptSettings(), "sentences")
    assert states_answer(QUESTION, "So the answer is (B).", 1, letters)
    assert not states_answer(QUESTION, "So the answer is (A).", 1, letters)
    assert not states_answer(QUESTION, "So the answer is (B).", 1, TASK)
