"""What is read off questions and completions before traces are checked."""

from __future__ import annotations

import re

from mechcot.tasks import PromptFormat, Question, read_answer, reasoning_end


def answer_of(text: str, question: Question, form: PromptFormat) -> str:
    """The final answer of a completion as a text, one of the options or not; "": none."""
    read = read_answer(text, question, form, "stop")
    if read.option >= 0:
        return question.options[read.option]
    if read.text:
        return read.text
    said = [match["answer"] for match in re.finditer(form.answer_pattern, text)]
    return said[-1].strip() if said and read.rule == "not_an_option" else ""


def cut(text: str, question: Question, form: PromptFormat) -> tuple[str, str | None]:
    """A completion as its reasoning and its final answer; None: it has none."""
    end = reasoning_end(text, form, question)
    return text[:end], answer_of(text, question, form) or None
