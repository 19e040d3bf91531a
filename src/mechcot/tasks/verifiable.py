"""Traces that rules write and check: sub-steps of known value, written right or wrong, and read back.

A task that can be taken apart in this way says how (`Verifiable`); how a trace is made right, wrong in one
place or another, or of another question is the same for all of them (`VARIANTS`), and so is the verdict.
After Bhambri, Biswas and Kambhampati (2026), with verdicts by question id and every sub-step by itself.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mechcot.core.errors import AnalysisError, DataError
from mechcot.tasks.answers.values import SEPARATOR, normal, same_items
from mechcot.tasks.base import Question, SubStep, Value, Values, Verifiable

CORRECT, WRONG, MISSING = "correct", "wrong", "missing"
VERDICTS = (CORRECT, WRONG, MISSING)
"""Of a sub-step; `missing`: it says nothing that could be read."""


@dataclass(frozen=True)
class Checked:
    """The verdict on one trace."""

    verdicts: dict[str, str]
    """One of `VERDICTS`, by sub-step."""
    said: Values
    implied: Value | None
    """The answer that it leads to."""
    holds_answer: bool
    """Every part of the right answer stands in it."""

    @property
    def correct(self) -> bool:
        """Every sub-step is right."""
        return set(self.verdicts.values()) == {CORRECT}

    @property
    def evaluable(self) -> bool:
        """Some sub-step could be read."""
        return set(self.verdicts.values()) != {MISSING}


def check_trace(task: Verifiable, question: Question, reasoning: str) -> Checked:
    """Each sub-step of a reasoning against its right value.

    Raises:
        DataError: the question cannot be taken apart.
    """
    parts = task.decompose(question)
    said = task.parse(question, reasoning)
    text = normal(reasoning)
    return Checked(
        {part.name: _verdict(part, said.get(part.name, ())) for part in parts},
        said,
        task.implied(question, said),
        all(_stands_in(normal(item), text) for item in gold_items(question)),
    )


def _verdict(part: SubStep, said: Value) -> str:
    """Whether texts are the right ones: all of them and no other."""
    named = set(said) - (set(part.allowed) - set(part.gold))
    return MISSING if not named else CORRECT if named == set(part.gold) else WRONG


def gold_items(question: Question) -> Value:
    """The parts of a right answer."""
    text = question.options[question.gold]
    return tuple(text.split(SEPARATOR)) if question.open else (text,)


def leads_to(implied: Value | None, answer: str) -> bool:
    """Whether an answer is the one that a trace leads to."""
    return bool(implied) and same_items(answer, SEPARATOR.join(implied or ()))


def _stands_in(item: str, text: str) -> bool:
    return bool(item) and re.search(rf"(?<!\w){re.escape(item)}(?!\w)", text) is not None


def readable(task: Verifiable, questions: Mapping[str, Question]) -> tuple[dict[str, Question], int]:
    """Questions that can be taken apart, and how many cannot.

    Raises:
        AnalysisError: none can.
    """
    found, why = {}, ""
    for qid, question in questions.items():
        try:
            task.decompose(question)
        except DataError as error:
            why = why or f"question '{qid}': {error}"
            continue
        found[qid] = question
    if not found:
        raise AnalysisError(f"no question can be taken apart; first {why}")
    return found, len(questions) - len(found)


# --- what is written ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Written:
    """Reasoning of one question, and what its rule made of which."""

    reasoning: str
    whose: str
    """The question whose values it says; "" for none."""


@dataclass(frozen=True)
class Material:
    """What a variant is made of."""

    task: Verifiable
    question: Question
    donor: Question | None
    """Another question about another entity; None: there is none."""
    seed: int

    def random(self) -> random.Random:
        """Draws that depend on the question alone, so that variants of one question differ by rule only."""
        return random.Random(f"trace {self.seed} {self.question.qid}")

    def gold(self, question: Question | None = None) -> dict[str, Value]:
        """The right values."""
        return {part.name: part.gold for part in self.task.decompose(question or self.question)}

    def right(self) -> str:
        """The right reasoning."""
        return self.task.render(self.question, self.gold())


def _correct(made: Material) -> str:
    return made.right()


def _altered(which: slice, *, matched: bool = False, kept: bool = False) -> Callable[[Material], str]:
    def write(made: Material) -> str:
        names = frozenset(list(made.gold())[which])
        values = made.task.wrong(made.question, names, made.random(), matched=matched, kept=kept)
        return made.task.render(made.question, values)

    return write


def _some(which: slice) -> Callable[[Material], str]:
    def write(made: Material) -> str:
        gold = made.gold()
        return made.task.render(made.question, {name: gold[name] for name in list(gold)[which]})

    return write


def _shuffled(made: Material) -> str:
    if made.donor is None:
        raise DataError("there is no question about another entity whose trace it could have")
    return made.task.render(made.donor, made.gold(made.donor))


def _filler(made: Material) -> str:
    return made.task.filler(len(made.right().split()))


def _nothing(made: Material) -> str:
    return ""


@dataclass(frozen=True)
class Variant:
    """A type of trace that a rule writes."""

    name: str
    about: str
    write: Callable[[Material], str]
    stays: slice | None
    """Sub-steps that are right in it, by design; None: none is."""


_ALL, _FIRST, _REST, _BUT_LAST, _LAST = slice(None), slice(1), slice(1, None), slice(-1), slice(-1, None)
VARIANTS: dict[str, Variant] = {
    one.name: one
    for one in (
        Variant("correct", "every sub-step right", _correct, _ALL),
        Variant("incorrect", "every sub-step wrong, one text in each", _altered(_ALL), None),
        Variant("partial", "right, but without the last sub-step", _some(_BUT_LAST), _BUT_LAST),
        Variant("answer-only", "no reasoning", _nothing, None),
        Variant("shuffled", "the correct trace of another question", _shuffled, None),
        Variant("class-only", "the first sub-step wrong", _altered(_FIRST), _REST),
        Variant("facts-only", "all but the first sub-step wrong", _altered(_REST), _FIRST),
        Variant(
            "length-matched", "every sub-step wrong, as long as right", _altered(_ALL, matched=True), None
        ),
        Variant(
            "answer-kept",
            "every sub-step wrong, and the answer stands in it",
            _altered(_ALL, kept=True),
            None,
        ),
        Variant("filler", "as many words that say nothing", _filler, None),
        Variant("brief", "a summary by rule: the last sub-step alone", _some(_LAST), _LAST),
    )
}
"""Types of traces; `stays` says which sub-steps a right evaluator finds right in them."""


def write_variants(
    task: Verifiable, questions: Sequence[Question], names: Sequence[str], seed: int
) -> tuple[dict[str, dict[str, Written]], dict[str, str]]:
    """Reasoning of each variant for the same questions.

    Args:
        task: how reasoning is written.
        questions: each with an id of its own.
        names: of `VARIANTS`.
        seed: of all draws; those of a question do not depend on the other questions, but for whose trace it
            has when shuffled.

    Returns:
        By variant and question id; and why a question is left out of every variant.
    """
    donors = donors_of(task, questions, seed) if "shuffled" in names else {}
    made: dict[str, dict[str, Written]] = {name: {} for name in names}
    left: dict[str, str] = {}
    for question in questions:
        donor = donors.get(question.qid)
        material = Material(task, question, donor, seed)
        try:
            own = {name: VARIANTS[name].write(material) for name in names}
        except DataError as error:
            left[question.qid] = str(error)
            continue
        for name, text in own.items():
            shuffled = donor.qid if name == "shuffled" and donor else question.qid
            made[name][question.qid] = Written(text, shuffled if text else "")
    return made, left


def donors_of(task: Verifiable, questions: Sequence[Question], seed: int) -> dict[str, Question]:
    """For each question another one, about another entity and of another answer; hardly any lends twice.

    Questions of a domain lend to one another where they can, so that a trace is of its question's form.
    """
    order = sorted(questions, key=lambda one: one.qid)
    random.Random(f"donors {seed}").shuffle(order)
    entities = {one.qid: task.entity(one) for one in order}
    blocks = {domain: [q for q in order if q.domain == domain] for domain in {q.domain for q in order}}

    def apart(one: Question, other: Question) -> bool:
        same = normal(one.options[one.gold]) == normal(other.options[other.gold])
        return not same and entities[one.qid] != entities[other.qid]

    found: dict[str, Question] = {}
    for block in blocks.values():
        for i, question in enumerate(block):
            behind = itertools.chain(block[i + 1 :], block[:i], order)
            donor = next((other for other in behind if apart(question, other)), None)
            if donor is not None:
                found[question.qid] = donor
    return found
