"""A task: how its questions are put, how answers are read off, and what it can check exactly."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Question:
    """A multiple-choice item, or an open one.

    Attributes:
        qid: its id.
        domain: which contrast it belongs to.
        stem: the question's text.
        options: the options' texts; of an open question the answers known so far, gold among them,
            which its prompt does not show.
        gold: index of the right option.
        group: the gold entity or template; folds never split a group.
        stratum: what an analysis may standardise by, "" for nothing.
        open: whether the prompt shows no options: the answer is a text, compared by value.
    """

    qid: str
    domain: str
    stem: str
    options: tuple[str, ...]
    gold: int
    group: str
    stratum: str = ""
    open: bool = False

    def named(self, option: int) -> str:
        """An option as people and judges are shown it: with its letter, where the question has options."""
        return self.options[option] if self.open else f"({LETTERS[option]}) {self.options[option]}"


@dataclass(frozen=True)
class PromptFormat:
    """How a question is put and how an answer is written.

    Attributes:
        question: text with the slots `{stem}` and `{options}`, filled in one pass.
        option: one option, with the slots `{letter}` and `{text}`.
        separator: what stands between options.
        chat: whether the tokenizer's chat template wraps the question as a user turn.
        thinking: passed to the template as `enable_thinking`; None: the template's default.
        reasoning_end: text that ends the reasoning ("</think>"); "" when the answer pattern does.
        answer_pattern: regular expression whose group `answer` holds the answer that the prompt asks for.
        answer_form: what is written there: the option's `text` or its `letter`.
        lead_in: texts put after a prefix to make the model answer now.
        terminator: what follows an answer; None: the tokenizer's end of text.
        items: whether an open question's answer names several texts, in any order.
        system: a system message before the chat; None: there is none.
        shots: worked questions before every question, each its text and its solution.
        template: a chat template (Jinja) in place of the tokenizer's own; None: that one.
        exact: whether the pattern alone reads an answer off, by its last match: the organism's language
            has no other words for it.
    """

    question: str
    option: str
    separator: str
    chat: bool
    thinking: bool | None
    reasoning_end: str
    answer_pattern: str
    answer_form: Literal["text", "letter"]
    lead_in: tuple[str, ...]
    terminator: str | None = None
    exact: bool = False
    items: bool = False
    system: str | None = None
    shots: tuple[tuple[str, str], ...] = ()
    template: str | None = None

    def written(self, question: Question, option: int) -> str:
        """How the answer `option` is written in this format."""
        return question.options[option] if self.answer_form == "text" else LETTERS[option]

    def render(self, question: Question) -> str:
        """The question as the user's text, every slot filled in one pass.

        A stem that holds "{options}" stays as it is: filled text is never filled again.
        """
        shown = () if question.open else question.options
        options = self.separator.join(
            _fill(self.option, letter=LETTERS[i], text=text) for i, text in enumerate(shown)
        )
        return _fill(self.question, stem=question.stem, options=options)


def _fill(template: str, **slots: str) -> str:
    parts = [template]
    for name, value in slots.items():
        mark = "{" + name + "}"
        split: list[str] = []
        for i, part in enumerate(parts):
            if i % 2:  # a value already filled in
                split.append(part)
                continue
            pieces = part.split(mark)
            for j, piece in enumerate(pieces):
                if j:
                    split.append(value)
                split.append(piece)
        parts = split
    return "".join(parts)


@dataclass(frozen=True)
class Claim:
    """What a step claims, as a task with an exact checker reads it.

    Attributes:
        relation: the kind of claim.
        subject: whom it is about.
        object: what it says of them.
        hedged: whether it is hedged.
        truth: every object that would make it true.
        stratum: what an analysis may standardise by (on the organism the exposure tercile).
        decision_char: in the step's text, one past the last character before a hedge's place.
        object_char: in the step's text, the first character of the object.
    """

    relation: str
    subject: str
    object: str
    hedged: bool
    truth: tuple[str, ...]
    stratum: str
    decision_char: int
    object_char: int


@dataclass(frozen=True)
class Fact:
    """A true statement that no arm wrote, open at its object: what a model is asked to go on with.

    Attributes:
        fid: its id.
        kind: the role of a step that states it.
        relation: what is stated.
        subject: of whom.
        group: what it shares its chances of being known with: facts of one group are resampled together.
        stratum: how often its subject was met, in classes ("" for nothing).
        truth: every object that makes it true.
        facts: every fact that its questions are about, always the same list. Without one, what the models
            know is asked by pairs in a file, if by anything.
        objects: everything that could stand there, the true ones included.
        bare: the text before the object where the statement stands alone, as in training.
        question: in whose trace it stands otherwise.
        reasoning: that trace's text before the object.
    """

    fid: str
    kind: str
    relation: str
    subject: str
    group: str
    stratum: str
    truth: tuple[str, ...]
    objects: tuple[str, ...]
    bare: str
    question: Question
    reasoning: str


@dataclass(frozen=True)
class Exposure:
    """How often the training text states a fact and names its subject.

    Attributes:
        fact: how often it is stated, on any scale that rises with it.
        subject: how often its subject is named, likewise.
        taught: whether the training text itself hedges or asserts claims about this subject where questions
            are answered; of the others a model has to get it from something else.
    """

    fact: float
    subject: float
    taught: bool


@dataclass(frozen=True)
class Judged:
    """A verdict on one step: `correct`, `erroneous`, `abstain` or `not_checkable`, and why."""

    label: str
    reason: str


Value = tuple[str, ...]
"""What a sub-step says: texts in any order."""
Values = Mapping[str, Value]
"""By the name of the sub-step; one that is missing says nothing."""


@dataclass(frozen=True)
class SubStep:
    """A part of a derivation whose right value is known."""

    name: str
    gold: Value
    allowed: Value = ()
    """Texts that may stand there too and change nothing."""


class Wrong(Protocol):
    """Values with some sub-steps wrong."""

    def __call__(
        self, question: Question, names: frozenset[str], rng: random.Random, *, matched: bool, kept: bool
    ) -> Values:
        """Values in which the sub-steps named are wrong and all others right.

        Args:
            question: of the trace.
            names: which sub-steps.
            rng: draws what stands there instead.
            matched: as many texts as the right value has, of about as many words; else one.
            kept: a text that bears the right answer still stands in the last sub-step, which is wrong.

        Raises:
            DataError: the question leaves nothing to put in their place.
        """


@dataclass(frozen=True)
class Verifiable:
    """How the reasoning of a task is taken apart, written and read."""

    decompose: Callable[[Question], tuple[SubStep, ...]]
    """Its sub-steps in order; the first says of what kind the question is, the last bears the answer."""
    render: Callable[[Question, Values], str]
    """Reasoning that says these values."""
    parse: Callable[[Question, str], Values]
    """What a reasoning says, whoever wrote it; raises nothing."""
    wrong: Wrong
    implied: Callable[[Question, Values], Value | None]
    """The answer that values lead to; None: they lead to none."""
    entity: Callable[[Question], str]
    """Whom a question is about: questions of one entity are resampled together."""
    category: Callable[[Question], str]
    """Among which questions it is compared; what is easy differs between them."""
    filler: Callable[[int], str]
    """About so many words that say nothing."""
    own_context: bool
    """Whether a question holds all that its trace may name: one that names other things is another's."""


@dataclass(frozen=True)
class Task:
    """What mechcot must know of a task.

    Attributes:
        name: of the task.
        format: how its questions are put.
        segmenter: name of the segmenter that cuts its reasoning into steps.
        role: the role of a step, from the question and the step's text.
        check: the exact checker, where the task has one.
        claim: reads the claim in a step, where the task has an exact checker; None: no claim.
        frequency: how often the training text names whom the claim in a step is about, on any scale that
            rises with it. Without one, how probable the subject's words alone are to the arm before.
        exposure: how often the training text states what the claim in a step states, and names its subject;
            None there: it makes no such claim. Only where the two are not one.
        hedge_pair: a step's claim as (hedged, plain) in the task's own language; None there: it makes no
            claim. Without one, the rules of `steps.hedging`.
        decoys: a step of the same words as a given one, as (true, false), one of each by the random
            numbers given; None there: it makes no claim. Without one, the rules of `steps.alter`.
        neutral: as many true statements as the steps given, in their place: of the same relations about
            others than the question and the steps name.
        objects: everything that could stand where a step's claim names its object, what it says and what
            would make it true included; empty: it makes no claim. Without it no claim is swapped.
        core: roles of claims that an answer follows from; claims of other roles are rationale.
        verifiable: how its reasoning is taken apart, where rules can write and check it.
        kinds: every role, where steps are sorted by their wording: then a server may name them instead, and
            their mistakes count (`analyses.kinds`). Empty: the task's own language tells them.
        role_names: what pages call a role; a role that is not there is called what it is.
    """

    name: str
    format: PromptFormat
    segmenter: str
    role: Callable[[Question, str], str]
    check: Callable[[Question, str], Judged] | None = None
    claim: Callable[[Question, str], Claim | None] | None = None
    frequency: Callable[[Question, str], float] | None = None
    exposure: Callable[[Question, str], Exposure | None] | None = None
    hedge_pair: Callable[[Question, str], tuple[str, str] | None] | None = None
    decoys: Callable[[Question, str, random.Random], tuple[str, str] | None] | None = None
    neutral: Callable[[Question, Sequence[str], random.Random], tuple[str, ...]] | None = None
    facts: Callable[[], Sequence[Fact]] | None = None
    objects: Callable[[Question, str], Sequence[str]] | None = None
    core: frozenset[str] = frozenset()
    verifiable: Verifiable | None = None
    kinds: tuple[str, ...] = ()
    role_names: Mapping[str, str] = field(default_factory=dict)


def question_of(row: Any) -> Question:
    """A `Question` from a row of the questions table (as `itertuples` gives it)."""
    return Question(
        qid=row.qid,
        domain=row.domain,
        stem=row.stem,
        options=tuple(row.options),
        gold=int(row.gold),
        group=row.group,
        stratum=row.stratum,
        open=bool(getattr(row, "open", False)),  # studies of multiple choice have no such column
    )
