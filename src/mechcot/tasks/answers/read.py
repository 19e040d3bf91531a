"""Reading the answer off a completion: which option it commits to, by which rule, and where."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice

from mechcot.tasks.answers.choices import Menu, menu_of
from mechcot.tasks.answers.fold import Folded, fold
from mechcot.tasks.answers.rules import RULES, statements_of
from mechcot.tasks.answers.statements import Statement, doubted, taken_back
from mechcot.tasks.answers.turns import blocks, turn_marks
from mechcot.tasks.answers.values import normal, same_items, same_value
from mechcot.tasks.base import LETTERS, PromptFormat, Question

_CLOSING = 2
"""How many last paragraphs hold a conclusion that earlier ones do not outweigh."""
_TURNS = 8
"""How many marks of another question are looked at; one that restates its question so often answers none."""
_RANK = {rule.name: number for number, rule in enumerate(RULES)}


@dataclass(frozen=True)
class ReadAnswer:
    """An answer as read off.

    Attributes:
        option: index into the options, -1: none. Of an open question: into the answers known so far, -1
            where `text` is none of them.
        rule: name of the rule that read it off, else why there is none: `truncated`,
            `empty` (it says nothing), `no_end_of_reasoning`, `no_answer`, `not_an_option`, `ambiguous`
            (one statement that fits several options), `two_answers` (statements of different ones, none
            taken back; or one taken back, and none instead).
        start: first character of the answer, -1: none.
        end: one past its last character, -1: none.
        text: the normalised text of an open question's answer; "" otherwise.
    """

    option: int
    rule: str
    start: int = -1
    end: int = -1
    text: str = ""


@dataclass(frozen=True)
class Reading:
    """The statements of a text that count, in order, and the answer that follows from them.

    Attributes:
        folded: the part of the text that was read, folded.
        offset: where that part begins in the text.
        statements: of the answer, the last one first said included.
        answer: what they amount to, spans in the text.
        end: where the text that answers this question ends; what follows is another's.
    """

    folded: Folded
    offset: int
    statements: tuple[Statement, ...]
    answer: ReadAnswer
    end: int


def read_answer(text: str, question: Question, form: PromptFormat, finish_reason: str) -> ReadAnswer:
    """Read the answer off a completion.

    A completion cut by the token limit has no answer, unless it had given one and gone on to another
    question. Nothing is guessed: what no rule reads is none, and two different answers are none, unless
    words between them take the first back.

    Args:
        text: the completion, end of text excluded.
        question: whose options are looked for.
        form: how answers are asked for.
        finish_reason: `stop` or `length`.
    """
    if finish_reason == "stop" and not text.strip():
        return ReadAnswer(-1, "empty")
    reading = reading_of(text, question, form)
    if finish_reason != "stop" and reading.end == len(text):
        return ReadAnswer(-1, "truncated")
    return reading.answer


@lru_cache(maxsize=64)
def reading_of(text: str, question: Question | None, form: PromptFormat) -> Reading:
    """Which statements of a text count, and what they amount to.

    Without a question any letter may be an option's, and no text is.
    """
    if form.exact:
        return _read_exactly(text, question, form)
    menu = menu_of(question, form)
    for end in islice(turn_marks(text), _TURNS):
        head = _read(text[:end], question, form, menu)
        if head.statements:
            return head
    return _read(text, question, form, menu)


def finished_at(text: str, question: Question, form: PromptFormat) -> int | None:
    """Where a completion that is still being written has ended: what it would write next is not asked for.

    It has where another question begins after an answer, or behind the line that gives the answer by
    the prompt's own pattern, if there is reasoning before it: one that answers first may explain itself.

    Returns:
        A character of the text, or None: it goes on.
    """
    if form.exact:
        return None
    # All else of a text without such a place is its own; it is looked at at every line.
    if next(turn_marks(text), None) is not None:
        end = reading_of(text, question, form).end
        if end < len(text):
            return end
    line = text.rfind("\n")
    if line < 0 or not re.search(form.answer_pattern, text[:line]):
        return None
    answer = reading_of(text[:line], question, form).answer
    if answer.rule != "strict" or len(re.findall(r"\w+", text[: answer.start])) < _REASONED:
        return None
    behind = text.find("\n", answer.end)
    return behind if behind >= 0 else None


def stated(text: str, question: Question, form: PromptFormat) -> list[tuple[int, int, tuple[int, ...]]]:
    """Where a piece of a completion states an answer, by itself: spans, and the options named there.

    An option alone on a line states nothing here: torn out of its text it may be a heading.
    """
    folded = fold(text)
    return [
        (*folded.original(s.choice.start, s.choice.end), s.choice.options)
        for s in statements_of(text, folded, menu_of(question, form), form)
        if s.rule != "line"
    ]


_REASONED = 12
"""Words before an answer from which on it is not given first."""


def _read(text: str, question: Question | None, form: PromptFormat, menu: Menu) -> Reading:
    """The reading of a text that is one completion, behind its reasoning where that has an end of its own."""
    block = blocks(text, form.reasoning_end)
    if form.reasoning_end and not block.closed:
        return Reading(fold(""), 0, (), ReadAnswer(-1, "no_end_of_reasoning"), len(text))
    reading = _read_from(text, block.behind, question, form, menu)
    if not reading.statements and block.behind and not form.reasoning_end:
        return _read_from(text, 0, question, form, menu)
    return reading


def _read_from(text: str, offset: int, question: Question | None, form: PromptFormat, menu: Menu) -> Reading:
    original = text[offset:]
    folded = fold(original)
    ordered = statements_of(original, folded, menu, form)
    real = [s for s in ordered if s.choice.options != (-1,)]
    counted = [s for s in real if s.firm] or _closing(folded.text, real)
    if counted:
        later = [s for s in real if s.choice.start > counted[-1].choice.end]
        answer = _answer_of(folded, counted, later, question, form.items)
    else:
        answer = ReadAnswer(-1, "no_answer")
        outside = next((s for s in reversed(ordered) if s.firm), None)
        if outside is not None:
            answer = ReadAnswer(
                -1, "not_an_option", *folded.original(outside.choice.start, outside.choice.end)
            )
    if answer.start >= 0:
        answer = replace(answer, start=answer.start + offset, end=answer.end + offset)
    return Reading(folded, offset, tuple(counted), answer, len(text))


def _answer_of(
    folded: Folded,
    statements: list[Statement],
    later: list[Statement],
    question: Question | None,
    items: bool,
) -> ReadAnswer:
    """What statements amount to; `later` are soft ones behind them, which can confirm what was doubted."""
    last = statements[-1]
    span = folded.original(last.choice.start, last.choice.end)
    if not last.choice.said and len(last.choice.options) != 1:
        return ReadAnswer(-1, "two_answers" if last.choice.labelled else "ambiguous", *span)
    same = [s for s in statements if _same(s, last, items)]
    for other in statements:
        if other not in same and not taken_back(folded.text, other.choice.end, last.choice.start):
            return ReadAnswer(-1, "two_answers", *span)
    if doubted(folded.text, last.choice.end) and not any(_same(s, last, items) for s in later):
        return ReadAnswer(-1, "two_answers", *span)
    rule = min((s.rule for s in same), key=_RANK.__getitem__)
    if last.choice.said:
        said = normal(last.choice.said)
        known = enumerate(question.options if question else ())
        equal = same_items if items else same_value
        return ReadAnswer(next((i for i, o in known if equal(said, o)), -1), rule, *span, said)
    return ReadAnswer(last.choice.options[0], rule, *span)


def _same(one: Statement, other: Statement, items: bool) -> bool:
    if one.choice.said:
        return (same_items if items else same_value)(one.choice.said, other.choice.said)
    return one.choice.options == other.choice.options


def _closing(text: str, statements: list[Statement]) -> list[Statement]:
    """Of soft statements that differ, those of the last paragraphs, where they agree."""
    if len({s.choice.options for s in statements}) <= 1:
        return statements[-1:] if statements and statements[-1].choice.said else statements
    breaks = [match.end() for match in re.finditer(r"\n\s*\n", text.rstrip())]
    begin = breaks[-_CLOSING] if len(breaks) >= _CLOSING else 0
    late = [s for s in statements if s.choice.start >= begin]
    return late if len({s.choice.options for s in late}) == 1 else statements


def _read_exactly(text: str, question: Question | None, form: PromptFormat) -> Reading:
    """By the pattern alone, its last match: an invented language has no other words for it."""

    def none(rule: str, start: int = -1, end: int = -1) -> Reading:
        return Reading(fold(""), 0, (), ReadAnswer(-1, rule, start, end), len(text))

    start = 0
    if form.reasoning_end:
        at = text.find(form.reasoning_end)
        if at < 0:
            return none("no_end_of_reasoning")
        start = at + len(form.reasoning_end)
    matches = list(re.finditer(form.answer_pattern, text[start:]))
    if not matches:
        return none("no_answer")
    said = matches[-1].group("answer")
    span = (start + matches[-1].start("answer"), start + matches[-1].end("answer"))
    names = list(question.options if question else ())
    if form.answer_form == "letter":
        names = list(LETTERS[: len(names)])
    hits = [i for i, name in enumerate(names) if normal(name) == normal(said)]
    if len(hits) != 1:
        return none("ambiguous" if hits else "not_an_option", *span)
    return Reading(fold(""), 0, (), ReadAnswer(hits[0], "strict", *span), len(text))
