"""CoTempQA (Su et al. 2024) by rule: which class of relation in time, which facts, which answer.

A question stands under its facts, one a line: `SUBJECT VERB OBJECT from DATE to DATE.` or `... in DATE.`.
Its class is the question's domain where that is one, else what the dates say: of the event that the question
names and each event that answers it, the two may cover the same time (equal), one lie inside the other
(during) or neither (overlap); different relations are a mix. A date without a day or month covers all of it.
"""

from __future__ import annotations

import calendar
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from mechcot.core.errors import DataError
from mechcot.core.prompt_settings import PromptSettings
from mechcot.tasks.answers.values import normal
from mechcot.tasks.base import Question, SubStep, Task, Value, Values, Verifiable
from mechcot.tasks.multiple_choice import multiple_choice
from mechcot.tasks.verifiable import gold_items

CLASSES = ("equal", "during", "overlap", "mix")
RELATION, FACTS = "relation", "facts"
VERBS = (
    "holds the position of", "is a member of the", "is a member of", "works for", "worked for", "attended",
    "is owned by", "plays for", "played for", "is the chair of", "is the head coach of",
)  # fmt: skip
"""Between subject and object of a fact."""

_MONTHS = {name: number for number, name in enumerate(calendar.month_name) if name}
_DATE = rf"(?:(?:{'|'.join(_MONTHS)})(?: \d{{1,2}})?, )?\d{{1,4}}"
_WHEN = re.compile(rf" (?:from (?P<start>{_DATE}) to (?P<end>{_DATE})|in (?P<at>{_DATE}))\.$")
_DATED = re.compile(rf"[^\n\[\]\"]*? (?:from {_DATE} to {_DATE}|in {_DATE})\.")
_VERB = re.compile(rf" (?:{'|'.join(map(re.escape, VERBS))}) ")
_ASKED = re.compile(r", (?=(?:who|whom|which|what|where)\b)")
_SAID = re.compile(r"\b(equal|during|overlap|mix)(?:s|ping|ed)?\b")
_FILLER = "Let us look at this step by step and take care with every detail of it."
_HEAD, _LIST = "Relation of the events in time: ", "Facts needed:"


@dataclass(frozen=True)
class Event:
    """A fact taken apart; `first` and `last` are (year, month, day)."""

    text: str
    subject: str
    object: str
    first: tuple[int, int, int]
    last: tuple[int, int, int]


@dataclass(frozen=True)
class Asked:
    """A question taken apart."""

    relation: str
    named: tuple[Event, ...]
    """The event in the question."""
    needed: tuple[Event, ...]
    """Those that bear the answer."""
    others: tuple[Event, ...]
    """All else in the context."""
    subjects: bool
    """Whether answers are subjects of facts, else objects."""

    @property
    def every(self) -> tuple[Event, ...]:
        """All facts of the context."""
        return (*self.named, *self.needed, *self.others)


def event(text: str) -> Event:
    """Take a fact apart.

    Raises:
        DataError: it has no dates at its end, they are out of order, or no known verb.
    """
    when = _WHEN.search(text)
    if when is None:
        raise DataError(f"the fact {text!r} does not end with 'from DATE to DATE.' or 'in DATE.'")
    said = text[: when.start()]
    verb = _VERB.search(said)
    if verb is None:
        raise DataError(f"the fact {text!r} has none of the verbs known: {', '.join(VERBS)}")
    start, end = (when["start"] or when["at"], when["end"] or when["at"])
    first, last = _day(start, first=True), _day(end, first=False)
    if first > last:
        raise DataError(f"the fact {text!r} ends before it begins. Put its dates in order, or leave it out")
    return Event(text, said[: verb.start()], said[verb.end() :], first, last)


def _day(date: str, *, first: bool) -> tuple[int, int, int]:
    head, _, year = date.rpartition(", ")
    month, _, day = head.partition(" ")
    if not month:
        return int(year), 1 if first else 12, 1 if first else 31
    return int(year), _MONTHS[month], int(day) if day else 1 if first else 31


@lru_cache(maxsize=8192)
def asked(question: Question) -> Asked:
    """Take a question apart.

    Raises:
        DataError: it has no facts, a fact twice, one that cannot be read, or its answer is in none of them;
            or its class is not told and its dates do not tell it.
    """
    context, _, words = question.stem.rpartition("\n\n")
    lines = [line for line in context.split("\n") if line.strip()]
    if not lines:
        raise DataError("the context is empty: there is no fact above the question")
    if twice := [line for i, line in enumerate(lines) if line in lines[:i]]:
        raise DataError(f"the fact {twice[0]!r} stands twice in the context. Leave it out once")
    events = [event(line) for line in lines]
    items = {normal(item): item for item in gold_items(question)}
    subjects = not any(normal(one.object) in items for one in events)
    bears = [one for one in events if normal(one.subject if subjects else one.object) in items]
    found = {normal(one.subject if subjects else one.object) for one in bears}
    if lost := [item for name, item in items.items() if name not in found]:
        raise DataError(f"the answer {lost[0]!r} is in none of its facts. Fix the answer or the context")
    named = _named(_ASKED.split(words)[0], events)
    told = question.domain if question.domain in CLASSES else _by_dates(named, bears)
    if told is None:
        raise DataError(
            "its class is not told, and the dates of its facts do not tell it. Name a column that holds "
            f"{', '.join(CLASSES)} as the domain, or the file after the class"
        )
    needed = _at_the_time(named, bears, len(items), subjects)
    others = [one for one in events if one not in needed and one not in named]
    return Asked(told, tuple(one for one in named if one not in needed), needed, tuple(others), subjects)


def _named(clause: str, events: Sequence[Event]) -> list[Event]:
    """The events that a question's clause speaks of: of those whose both names stand in it, the longest."""
    text = normal(clause)
    both = [one for one in events if normal(one.subject) in text and normal(one.object) in text]
    longest = max((len(one.subject) + len(one.object) for one in both), default=0)
    return [one for one in both if len(one.subject) + len(one.object) == longest]


def _relation(one: Event, other: Event) -> str | None:
    if (one.first, one.last) == (other.first, other.last):
        return "equal"
    if one.last < other.first or other.last < one.first:
        return None
    inside = one.first <= other.first and other.last <= one.last
    around = other.first <= one.first and one.last <= other.last
    return "during" if inside or around else "overlap"


def _by_dates(named: Sequence[Event], bears: Sequence[Event]) -> str | None:
    found = {_relation(a, b) for a in named for b in bears} - {None}
    return "mix" if len(found) > 1 else next(iter(found), None)


def _at_the_time(
    named: Sequence[Event], bears: Sequence[Event], items: int, subjects: bool
) -> tuple[Event, ...]:
    """Of facts that bear the answer those of the question's time, where each part of it has one."""
    then = [one for one in bears if any(_relation(other, one) for other in named)]
    whole = len({one.subject if subjects else one.object for one in then}) == items
    return tuple(then if whole else bears)


def decompose(question: Question) -> tuple[SubStep, ...]:
    """The class of relation; and the facts that bear the answer, where the question's own may stand too."""
    own = asked(question)
    return (
        SubStep(RELATION, (own.relation,)),
        SubStep(FACTS, _texts(own.needed), _texts(own.named)),
    )


def render(question: Question, values: Values) -> str:
    """A line with the relation, and the facts, a line each."""
    lines = [f"{_HEAD}{', '.join(values[RELATION])}."] if RELATION in values else []
    if FACTS in values:
        lines += [_LIST, *(f"- {text}" for text in values[FACTS])]
    return "\n".join(lines)


def parse(question: Question, reasoning: str) -> Values:
    """What any reasoning says: a class on a line about a relation, facts word for word.

    Dated statements that stand in it and in no line of the question's context count as facts it names.
    """
    said: dict[str, Value] = {}
    for line in reasoning.split("\n"):
        _, marked, rest = line.casefold().partition("relation")
        if marked and (found := _SAID.findall(rest)):
            said[RELATION] = tuple(dict.fromkeys((*said.get(RELATION, ()), *found)))
    facts, left = [], reasoning
    for text in sorted(question.stem.rpartition("\n\n")[0].split("\n"), key=len, reverse=True):
        if text.strip() and text in left:
            facts.append(text)
            left = left.replace(text, "\n")
    facts += [one.strip(" -'") for one in _DATED.findall(left)]
    if facts:
        said[FACTS] = tuple(dict.fromkeys(facts))
    return said


def wrong(
    question: Question, names: frozenset[str], rng: random.Random, *, matched: bool, kept: bool
) -> Values:
    """Another class; facts of the context that bear no part of the answer, beside those that do if `kept`.

    Raises:
        DataError: the context has no such fact.
    """
    own = asked(question)
    told = rng.choice([one for one in CLASSES if one != own.relation])
    others = list(own.others)
    rng.shuffle(others)
    if FACTS in names and not others:
        raise DataError("its context has no fact but those of the question and of its answer")
    instead = _alike(own.needed, others) if matched else others[:1]
    facts = (*_texts(own.needed), *_texts(instead)) if kept else _texts(instead)
    return {
        RELATION: (told if RELATION in names else own.relation,),
        FACTS: facts if FACTS in names else _texts(own.needed),
    }


def _alike(needed: Sequence[Event], others: Sequence[Event]) -> list[Event]:
    """For each fact that is needed one that is not, of about as many words."""
    free, chosen = list(others), []
    for one in needed[: len(others)]:
        length = len(one.text.split())
        chosen.append(min(free, key=lambda other: abs(len(other.text.split()) - length)))
        free.remove(chosen[-1])
    return chosen


def implied(question: Question, values: Values) -> Value | None:
    """Whom the facts name in the answer's place, the question's own event left out."""
    own = asked(question)
    named = [one for one in own.every if one.text in values.get(FACTS, ()) and one not in own.named]
    found = tuple(dict.fromkeys(one.subject if own.subjects else one.object for one in named))
    return found or None


def entity(question: Question) -> str:
    """Who or what the event in the question has that its answers share."""
    if question.group != question.qid:
        return question.group
    own = asked(question)
    first = (*own.named, *own.needed)[0]
    return first.object if own.subjects else first.subject


def filler(words: int) -> str:
    """Sentences about nothing."""
    said = _FILLER.split()
    return " ".join(said[i % len(said)] for i in range(words))


def _texts(events: Sequence[Event]) -> Value:
    return tuple(one.text for one in events)


def category(question: Question) -> str:
    """The class of relation."""
    return asked(question).relation


VERIFIABLE = Verifiable(decompose, render, parse, wrong, implied, entity, category, filler, own_context=True)


def cotemp(settings: PromptSettings, segmenter: str) -> Task:
    """The task of CoTempQA's questions, whose traces rules can write and check."""
    return replace(multiple_choice(settings, segmenter), name="cotemp", verifiable=VERIFIABLE)
