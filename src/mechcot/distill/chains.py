"""Chains of a teacher: whether they are right, how alike two are, and which are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from mechcot.core import records
from mechcot.core.errors import DataError
from mechcot.core.teacher_records import OUTCOMES
from mechcot.core.text import said
from mechcot.tasks import PromptFormat, Question, ReadAnswer, question_of, read_answer
from mechcot.tasks.answers import same_items, same_value
from mechcot.tasks.tokens import TURN_MARK, without_end

_GRAM = 3  # characters, as in the published recipe
_REFUSED = ("refusal", "content_filter")

_FIXES = {
    "wrong": "name another teacher, raise teacher.attempts, or lower teacher.hint_after",
    "no_answer": "no rule of the study reads their answers off: look at the texts and prompt.answer_pattern, "
    "or leave teacher.prompt out",
    "cut": "they were cut at the token limit: raise max_tokens in the teacher file",
    "refused": "the model or its server refuses: name another one, or change teacher.prompt",
    "empty": "they hold no text: look at max_tokens and at what the server gives back",
}


@dataclass(frozen=True)
class Exercise:
    """A question that a teacher is given.

    Attributes:
        question: itself.
        accepted: of an open one every text that is right; empty otherwise.
    """

    question: Question
    accepted: tuple[str, ...] = ()


def exercises_of(table: pd.DataFrame) -> dict[str, Exercise]:
    """Questions (`records.QUESTIONS` or `OPEN_QUESTIONS`) as exercises, by id."""
    return {
        row.qid: Exercise(question_of(row), tuple(getattr(row, "accepted", ())))
        for row in records.rows(table)
    }


def plain(form: PromptFormat) -> PromptFormat:
    """The study's format for texts that need not end their reasoning with the student's mark."""
    return replace(form, reasoning_end="")


def answers_right(text: str, exercise: Exercise, form: PromptFormat) -> tuple[bool, ReadAnswer]:
    """Whether a completion that ended by itself gives the right answer, and what is read off."""
    read = read_answer(text, exercise.question, form, "stop")
    right = read.option == exercise.question.gold
    if read.text and not right:
        equal = same_items if form.items else same_value
        right = any(equal(read.text, one) for one in exercise.accepted)
    return right, read


def graded(text: str, exercise: Exercise, form: PromptFormat, finish_reason: str) -> dict[str, Any]:
    """Columns outcome, answer and answer_rule of a chain (`teacher_records.CHAINS`).

    Args:
        text: of the chain.
        exercise: that it answers.
        form: of the study; `plain` for a text that need not end its reasoning with the student's mark.
        finish_reason: as a server says it; what is no refusal and no limit has ended by itself.
    """
    ends = {**dict.fromkeys(_REFUSED, "refused"), "length": "cut"}
    outcome = ends.get(finish_reason) or ("" if text.strip() else "empty")
    if outcome:
        return {"outcome": outcome, "answer": -1, "answer_rule": outcome}
    own = without_end(text, TURN_MARK)  # a mark inside is for those who know the student's tokenizer
    right, read = answers_right(text if own is None else own, exercise, form)
    outcome = "right" if right else "wrong" if read.option >= 0 or read.text else "no_answer"
    return {"outcome": outcome, "answer": read.option, "answer_rule": read.rule}


def likeness(one: str, other: str) -> float:
    """Share of the runs of 3 characters that stand in both texts among those in either.

    Case, marks and blanks beyond one count for nothing (Jaccard index; 1: the same).
    """
    a, b = _grams(one), _grams(other)
    return len(a & b) / len(a | b) if a | b else 1.0


def _grams(text: str) -> set[str]:
    plain_text = said(text)
    return {plain_text[i : i + _GRAM] for i in range(max(1, len(plain_text) - _GRAM + 1))}


def judged(row: Mapping[str, Any], before: Sequence[Mapping[str, Any]], chains: int, distinct: float) -> Any:
    """Columns alike and kept of a chain, given those of its question before it.

    Args:
        row: text and outcome.
        before: text, outcome and kept of each.
        chains: how many are kept.
        distinct: the largest likeness to one that is kept.
    """
    kept = [other["text"] for other in before if other["kept"]]
    alike = max((likeness(row["text"], text) for text in kept), default=0.0)
    fits = distinct >= 1 or alike <= distinct
    return {"alike": alike, "kept": row["outcome"] == "right" and fits and len(kept) < chains}


def counted(outcomes: Iterable[str]) -> dict[str, int]:
    """How many chains came out how, every outcome named."""
    found = Counter(outcomes)
    return {name: found[name] for name in OUTCOMES}


def refuse_useless(outcomes: Sequence[str], wanted: Sequence[str], source: str, what: str) -> None:
    """Refuse chains of which none came out as wanted.

    Args:
        outcomes: of all chains.
        wanted: of which one at least must be among them.
        source: who or what they are from, for messages.
        what: is missing.

    Raises:
        DataError: with the counts, and what to do about the commonest.
    """
    if any(outcome in wanted for outcome in outcomes):
        return
    if not outcomes:
        raise DataError(f"{source}: there is no chain at all for the teacher's questions")
    counts = counted(outcomes)
    commonest = max(_FIXES, key=lambda name: counts[name])
    told = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
    raise DataError(f"{source}: of {len(outcomes)} chains none {what} ({told}); {_FIXES[commonest]}")
