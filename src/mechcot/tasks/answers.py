"""Reading the answer off a completion: last match of the format's pattern, or none and why."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mechcot.tasks.base import LETTERS, PromptFormat, Question


@dataclass(frozen=True)
class ReadAnswer:
    """An answer as read off.

    Attributes:
        option: index into the options, -1: none.
        rule: `text` or `letter` when read off, else why not: `truncated`, `no_end_of_reasoning`,
            `no_answer`, `not_an_option`, `ambiguous`.
        start: first character of the answer, -1: none.
        end: one past its last character, -1: none.
    """

    option: int
    rule: str
    start: int = -1
    end: int = -1


def reasoning_end(text: str, form: PromptFormat) -> int:
    """Character where the reasoning ends: at the mark, else at the answer, else at the end."""
    if form.reasoning_end:
        at = text.find(form.reasoning_end)
        return len(text) if at < 0 else at
    matches = list(re.finditer(form.answer_pattern, text))
    return matches[-1].start() if matches else len(text)


def read_answer(text: str, question: Question, form: PromptFormat, finish_reason: str) -> ReadAnswer:
    """Read the answer off a completion.

    A completion cut by the token limit has no answer, whatever it holds: a trace that did not end
    did not answer. Nothing is guessed: text that is no option is none.
    """
    if finish_reason != "stop":
        return ReadAnswer(-1, "truncated")
    start = 0
    if form.reasoning_end:
        at = text.find(form.reasoning_end)
        if at < 0:
            return ReadAnswer(-1, "no_end_of_reasoning")
        start = at + len(form.reasoning_end)
    matches = list(re.finditer(form.answer_pattern, text[start:]))
    if not matches:
        return ReadAnswer(-1, "no_answer")
    match = matches[-1]
    said = match.group("answer")
    span = (start + match.start("answer"), start + match.end("answer"))
    if form.answer_form == "letter":
        index = LETTERS.find(said.strip().upper()) if len(said.strip()) == 1 else -1
        if not 0 <= index < len(question.options):
            return ReadAnswer(-1, "not_an_option", *span)
        return ReadAnswer(index, "letter", *span)
    wanted = _normal(said)
    hits = [i for i, option in enumerate(question.options) if _normal(option) == wanted]
    if len(hits) != 1:
        return ReadAnswer(-1, "ambiguous" if hits else "not_an_option", *span)
    return ReadAnswer(hits[0], "text", *span)


def _normal(text: str) -> str:
    return " ".join(text.split()).casefold().rstrip(".")
