from dataclasses import replace

import pytest

from mechcot.core.presets import PRESETS
from mechcot.core.settings import PromptSettings
from mechcot.tasks import Question, read_answer, reasoning_end
from mechcot.tasks.multiple_choice import prompt_format

LETTER = prompt_format(PromptSettings())
TEXT = replace(prompt_format(PromptSettings(**PRESETS["organism"]["prompt"])), exact=True)
QUESTION = Question("q", "d", "s", ("xine", "yine", "xinea"), 0, "g")


@pytest.mark.parametrize(
    ("text", "option", "rule"),
    [
        ("So the answer is (B).", 1, "strict"),
        ("The answer is (A). No: The answer is (C)", 2, "strict"),  # the first is taken back
        ("The answer is (D)", -1, "not_an_option"),
        ("It may be A.", -1, "no_answer"),
        ("", -1, "no_answer"),
    ],
)
def test_letters(text: str, option: int, rule: str) -> None:
    answer = read_answer(text, QUESTION, LETTER, "stop")
    assert (answer.option, answer.rule) == (option, rule)


@pytest.mark.parametrize(
    ("text", "option", "rule"),
    [
        ("a . </think> answer yine", 1, "strict"),
        ("a . </think> answer xinea", 2, "strict"),  # no option is found inside another
        ("answer yine </think> nothing", -1, "no_answer"),  # said before the end of reasoning
        ("a . answer yine", -1, "no_end_of_reasoning"),
        ("a . </think> answer zine", -1, "not_an_option"),
    ],
)
def test_texts(text: str, option: int, rule: str) -> None:
    answer = read_answer(text, QUESTION, TEXT, "stop")
    assert (answer.option, answer.rule) == (option, rule)
    if option >= 0:
        assert text[answer.start : answer.end] == QUESTION.options[option]


def test_a_trace_that_was_cut_has_no_answer_whatever_it_holds() -> None:
    assert read_answer("a . </think> answer yine", QUESTION, TEXT, "length").rule == "truncated"


def test_the_reasoning_ends_at_the_mark_or_at_the_answer() -> None:
    assert reasoning_end("abc </think> answer yine", TEXT) == 4
    assert reasoning_end("abc", TEXT) == 3
    assert reasoning_end("abc. The answer is (A)", LETTER) == 5
