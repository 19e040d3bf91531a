"""What a judge is asked: the same words for every arm, the judged text fenced off as data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from mechcot.asking.forms import Form, Message, conversation, fenced, frame, of_text, read_json
from mechcot.judging.judge_file import RULES, Fields, Judge, Label, Rule
from mechcot.tasks.base import Judged, Question

_OPENING = """\
You check single steps of a written line of reasoning. For the step you are given, decide whether what it \
claims holds."""

_MEANINGS: dict[Label, str] = {
    "correct": "everything the step claims is true and fits what the question says.",
    "erroneous": "at least one claim of the step is false, misreports the question, or does not follow from "
    "what it is drawn from.",
    "abstain": "the step claims something, but neither the material you are given nor established knowledge "
    "decides it.",
    "not_checkable": "the step claims nothing: it announces what comes next, asks, or fills.",
}

_RULES: dict[Rule, str] = {
    "tone": 'Judge the content, never the tone. "X is so", "X may well be so" and "X, I think" make the same '
    "claim and get the same label. Confidence, politeness, brevity and layout count for nothing.",
    "alternatives": "A step that takes up an option in order to weigh it does not thereby endorse it. Judge "
    "what it says about the option.",
    "answer": "Where the right answer is given, use it as a fact. A step is not wrong merely because it does "
    "not mention that answer, and not right merely because it does.",
    "previous": "Where earlier steps are given, use them to understand the step. Their mistakes are not the "
    "step's own, unless the step repeats them.",
    "partial": "A step that stops short is judged by what it says as far as it goes.",
}

# Each claim once assertively and once hedged, so that no tone goes with a label.
_EXAMPLES: dict[Label, tuple[str, str]] = {
    "correct": ('"Bile is made in the liver."', '"I would guess that bile is made in the liver."'),
    "erroneous": ('"Bile is made in the pancreas."', '"I would guess that bile is made in the pancreas."'),
    "abstain": (
        '"The blood test from last year was normal." (the question mentions no such test)',
        '"Perhaps the blood test from last year was normal." (the question mentions no such test)',
    ),
    "not_checkable": (
        '"Now go through the options one by one."',
        '"It might help to go through the options one by one."',
    ),
}

_FRAME = frame("material to be judged or to judge by")

_REPLY = """\
Reply with one JSON object and nothing else: {"reason": "...", "label": "..."}. The reason comes first: at \
most two sentences that name the claim and what decides it. The label is one of """

_CLOSING = "Judge the text between [[STEP {tag}]] and [[END STEP {tag}]], and nothing else."

_REASK = (
    "An earlier reply to this could not be read. Reply with exactly one JSON object that has the two keys "
    '"reason" (text) and "label" (one of LABELS), and nothing around it.'
)

_NAMES = ("QUESTION", "OPTIONS", "ANSWER", "PREVIOUS", "STEP")


class Verdict(BaseModel):
    """The reply that a judge must give."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str = Field(description="at most two sentences")
    label: Label


@dataclass(frozen=True)
class Item:
    """What a call is about.

    Attributes:
        question: that the trace answers.
        text: of the step.
        previous: texts of the trace's steps before it, in order; empty when the judge is not shown them.
    """

    question: Question
    text: str
    previous: tuple[str, ...] = ()


def verdict_form(judge: Judge, seed: int) -> Form[Item, Judged]:
    """How a judge is asked for verdicts.

    Args:
        judge: what it is told, and what it is shown beside the step.
        seed: of the study.
    """
    return Form(
        "verdict",
        "judging",
        {"system": system(judge), "closing": _CLOSING, "reask": _REASK},
        schema(judge.labels),
        {"fields": judge.fields.model_dump()},
        lambda item, again: messages(item, judge, seed, again=again),
        of_text(lambda _, text: read_reply(text, judge.labels)),
    )


def system(judge: Judge) -> str:
    """The judge's instructions: mechcot's, or the judge file's own, and always what the marks mean."""
    return _system(judge.prompt, judge.labels, judge.rules, judge.examples)


@cache
def _system(own: str | None, labels: tuple[Label, ...], rules: tuple[Rule, ...], examples: bool) -> str:
    if own is None:
        parts = [_OPENING, _listed("Labels", [f"{label}: {_MEANINGS[label]}" for label in labels])]
        if rules:
            parts.append(_listed("Rules", [_RULES[rule] for rule in RULES if rule in rules]))
        if examples:
            shown = [f"{text} => {label}" for label in labels for text in _EXAMPLES[label]]
            parts.append(_listed("Examples (step => label)", shown))
        own = "\n\n".join(parts)
    return f"{own.strip()}\n\n{_FRAME}\n\n{_REPLY}{', '.join(labels)}."


def _listed(title: str, lines: list[str]) -> str:
    return "\n".join((title, *(f"- {line}" for line in lines)))


def messages(item: Item, judge: Judge, seed: int, *, again: bool = False) -> list[Message]:
    """The messages of a call.

    Args:
        item: what is judged.
        judge: what it is told, and what it is shown beside the step.
        seed: of the study.
        again: with a closing reminder of the form, after a reply that could not be read.
    """
    closing = _CLOSING
    if again:
        closing += "\n\n" + _REASK.replace("LABELS", ", ".join(judge.labels))
    return conversation(system(judge), fenced(_parts(item, judge.fields), _NAMES, seed, closing))


@cache
def schema(labels: tuple[Label, ...]) -> dict[str, Any]:
    """JSON schema of `Verdict` with these labels, reason before label."""
    form = Verdict.model_json_schema()
    form["properties"]["label"]["enum"] = list(labels)
    return form


def read_reply(text: str, labels: tuple[Label, ...]) -> Judged | None:
    """The verdict in a reply; None when it does not fit the schema with these labels."""
    verdict = read_json(text, Verdict)
    if verdict is None or verdict.label not in labels:
        return None
    return Judged(verdict.label, " ".join(verdict.reason.split()))


def options_text(question: Question) -> str:
    """A question's options with their letters, a line each."""
    return "\n".join(question.named(i) for i in range(len(question.options)))


def _parts(item: Item, fields: Fields) -> list[tuple[str, str]]:
    question = item.question
    parts = []
    if fields.question:
        parts.append(("QUESTION", question.stem))
    if fields.options and not question.open:
        parts.append(("OPTIONS", options_text(question)))
    if fields.gold:
        parts.append(("ANSWER", question.named(question.gold)))
    if fields.previous and item.previous:
        parts.append(("PREVIOUS", "\n".join(item.previous)))
    parts.append(("STEP", item.text))
    return parts
