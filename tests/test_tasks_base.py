from dataclasses import replace

from mechcot.core.prompt_settings import PromptSettings
from mechcot.tasks import Question
from mechcot.tasks.multiple_choice import prompt_format

QUESTION = Question("q1", "d", "What {options} is {stem}?", ("one {letter}", "two"), 0, "g")


def test_every_slot_is_filled_in_one_pass() -> None:
    form = prompt_format(PromptSettings(question="Q: {stem}\n{options}", chat=False))
    assert form.render(QUESTION) == "Q: What {options} is {stem}?\n(A) one {letter}\n(B) two"


def test_an_answer_is_written_as_text_or_letter() -> None:
    form = prompt_format(PromptSettings())
    assert form.written(QUESTION, 1) == "B"
    assert replace(form, answer_form="text").written(QUESTION, 1) == "two"
