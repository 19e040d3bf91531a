"""Values that compete for a question's sub-steps, and the places at which a model is read; needs no torch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from mechcot.core.errors import DataError
from mechcot.tasks.answers.values import SEPARATOR
from mechcot.tasks.base import Question, Values, Verifiable
from mechcot.tasks.verifiable import leads_to

PROMPT, SLOT, ANSWER, WRONG = "prompt", "slot", "answer", "wrong"
PLACES = {
    PROMPT: "at the prompt's end",
    SLOT: "where the sub-step would be written",
    ANSWER: "before an answer without a trace",
    WRONG: "before an answer behind a wrong trace",
}
"""Last tokens of texts that are the same for every arm: none of them says the right value."""
OWN, UNTRAINED, WORDS = "own", "untrained", "words"
BEYOND, BEYOND_WORDS, BY_ANSWER = "beyond", "beyond words", "by answer"
SOURCES = (OWN, UNTRAINED, WORDS, BEYOND, BEYOND_WORDS, BY_ANSWER)
"""What values are read from: an arm's states, those of fresh weights of its kind, the text's words. Beyond:
states and words again, a value's code without what the code of the answer that it leads to tells of it; by
answer: such a code from the right answer's, which has no place."""
FEWEST, MOST = 2, 3
"""Wrong values of a question: one of them is what the wrong trace says, the others stand in no text."""
DEPTH = 8
"""Blocks that are read, at most."""
_TRIES = 24

_str, _i32, _f64 = pa.string(), pa.int32(), pa.float64()
DECODED = pa.schema(
    [
        ("arm", _str),
        ("sub_step", _str),
        ("place", _str),  # one of PLACES, or ""
        ("source", _str),  # one of SOURCES
        ("draw", _i32),  # of the folds
        ("qid", _str),
        ("layer", _i32),  # that the question's outer fold chose; 0 for words
        (
            "beats",
            _f64,
        ),  # share of the wrong values that no text says which score below the right one; a tie ½
        ("beats_said", _f64),  # 1 where the value that the wrong trace says scores below it; NaN elsewhere
    ]
)
SWAPS = pa.schema(
    [
        ("arm", _str),
        ("sub_step", _str),
        ("qid", _str),
        # log-odds of another value's answer against the right one, nats, behind a trace that ends with
        ("right", _f64),  # the right value
        ("other", _f64),  # that other value
        ("third", _f64),  # a value of another question
        ("follows", _f64),  # 1 where the answer is the other value's behind that one
        ("follows_third", _f64),  # 1 where it is behind the third
    ]
)


@dataclass(frozen=True)
class Choice:
    """One way to fill a question's sub-steps in.

    Attributes:
        values: of every sub-step.
        answer: index of the option that they lead to.
    """

    values: Values
    answer: int


@dataclass(frozen=True)
class Case:
    """A question with values that compete.

    Attributes:
        question: an open one has the answers of its choices as options.
        entity: whom it is about.
        choices: the right one, the one that the wrong trace says, and others that no text says.
    """

    question: Question
    entity: str
    choices: tuple[Choice, ...]


def cases_of(
    task: Verifiable, questions: Sequence[Question], wanted: int, seed: int
) -> tuple[list[Case], int]:
    """As many questions as wanted, drawn, with the values that compete in each.

    Args:
        task: how questions are taken apart.
        questions: that can be.
        wanted: how many.
        seed: of the draws; those of a question do not depend on the others.

    Returns:
        The cases by question id, and how many of the questions lack `FEWEST` wrong ways to an answer.
    """
    found = {}
    for question in questions:
        case = _case(task, question, random.Random(f"sub-steps {seed} {question.qid}"))
        if case is not None:
            found[question.qid] = case
    chosen = random.Random(f"sub-steps {seed}").sample(sorted(found), min(wanted, len(found)))
    return [found[qid] for qid in sorted(chosen)], len(questions) - len(found)


def _case(task: Verifiable, question: Question, rng: random.Random) -> Case | None:
    gold = {part.name: part.gold for part in task.decompose(question)}
    ways: list[tuple[Values, str]] = [(gold, question.options[question.gold])]
    for _ in range(_TRIES):
        try:
            values = task.wrong(question, frozenset(gold), rng, matched=False, kept=False)
        except DataError:
            return None
        said = task.implied(question, values) or ()
        fresh = all(set(values[name]) != set(one[name]) for one, _ in ways for name in gold)
        if fresh and said and not any(leads_to(said, answer) for _, answer in ways):
            answer = SEPARATOR.join(said) if question.open else _option(question, said)
            ways += [(values, answer)] if answer else []
        if len(ways) > MOST:
            break
    if len(ways) <= FEWEST:
        return None
    options = tuple(answer for _, answer in ways) if question.open else question.options
    own = replace(question, options=options, gold=0 if question.open else question.gold)
    choices = tuple(Choice(values, options.index(answer)) for values, answer in ways)
    return Case(own, task.entity(question), choices)


def _option(question: Question, said: Sequence[str]) -> str:
    """The option that texts name; "": none."""
    return next((option for option in question.options if leads_to(tuple(said), option)), "")


def right_before(case: Case, name: str) -> Values:
    """The right values of the sub-steps before one."""
    values = case.choices[0].values
    return {key: values[key] for key in list(values)[: list(values).index(name)]}


def names_of(case: Case) -> list[str]:
    """The sub-steps in order."""
    return list(case.choices[0].values)
