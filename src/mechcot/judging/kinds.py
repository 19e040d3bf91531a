"""Kinds of steps, named by a server: one call a step, the same words for every arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from mechcot.asking.forms import Failed, Form, Message, conversation, fenced, frame, of_text, read_json
from mechcot.asking.session import Session, ask, price, refuse_failures, step_place
from mechcot.asking.spending import Plan
from mechcot.core import records
from mechcot.core.errors import DataError
from mechcot.core.kind_records import UNREAD
from mechcot.judging.judge_file import Judge
from mechcot.judging.prompt import options_text
from mechcot.tasks import Question

_OPENING = """\
You sort single steps of a written line of reasoning by what they do. For the step you are given, name the \
first of these kinds that it does.

Kinds
- elimination: it turns down an option or an explanation for this case, whether or not it says why.
- conclusion: it says what holds or fits for this case: takes an option up, infers something from what is \
found, or leads to the answer.
- finding: it repeats or reads what the question says: symptoms, values, what happened.
- mechanism: it says something that is so beyond this case: what a thing is, causes, does or is used for.
- other: it announces, heads, asks, repeats an option without a claim, or says that something is missing.

Rules
- Sort by what the step does, never by whether it is right.
- A value that is only called high, low or normal is a finding; what it is taken to mean is a conclusion."""
_REPLY = (
    'Reply with one JSON object and nothing else: {"kind": "..."}. The kind is one of elimination, '
    "conclusion, finding, mechanism, other."
)
_CLOSING = "Sort the text between [[STEP {tag}]] and [[END STEP {tag}]], and nothing else."
_REASK = "An earlier reply to this could not be read. Reply with exactly the JSON object asked for."
_NAMES = ("QUESTION", "OPTIONS", "STEP")


class Sorted(BaseModel):
    """The reply that is wanted."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["finding", "mechanism", "elimination", "conclusion", "other"] = Field(
        description="what the step does"
    )


@dataclass(frozen=True)
class NamedKinds:
    """What a server said.

    Attributes:
        kinds: of the steps in their order, UNREAD where it gave none.
        about: what was asked of whom, what the calls took, and what went wrong on the way.
    """

    kinds: list[str]
    about: dict[str, Any]


def kinds_by_llm(
    steps: pd.DataFrame, questions: Mapping[str, Question], session: Session[Judge]
) -> NamedKinds:
    """Have a server name the kind of every step.

    It sees the question, its options (never which is right) and the step alone. Steps that read the same are
    one call, whichever arm they come from. A step without text is `other` without a call.

    Args:
        steps: of one or several arms (qid, arm, cid, sid, text).
        questions: by their id.
        session: whom to ask: the judge's `prompt` stands in place of mechcot's instructions; labels, rules,
            examples and fields mean nothing here.

    Raises:
        ConfigError: as for `asking.session.ask`.
        DataError: a step belongs to no question.
        JudgeError: more steps failed than the file allows, or as for `asking.session.ask`.
        MissingDependency: httpx2 is not installed.
    """
    form = _form(session.server, session.seed)
    asked = ask(form, _items(steps, questions), session)
    refuse_failures(asked.answers, lambda i: step_place(steps.iloc[i]), session.server, form.name)
    kinds = [
        "other" if one is None else UNREAD if isinstance(one, Failed) else one.kind for one in asked.answers
    ]
    return NamedKinds(kinds, asked.about)


def plan_kinds(
    steps: pd.DataFrame, questions: Mapping[str, Question], judge: Judge, work: Path | None, *, seed: int
) -> Plan:
    """What `kinds_by_llm` would send; `work` None: as if no reply were kept.

    Raises:
        DataError: a step belongs to no question.
    """
    return price(_form(judge, seed), _items(steps, questions), judge, work)


Item = tuple[Question, str]


def _items(steps: pd.DataFrame, questions: Mapping[str, Question]) -> list[Item | None]:
    found: list[Item | None] = []
    for step in records.rows(steps):
        if step.qid not in questions:
            raise DataError(f"{step_place(step)}: there is no such question")
        found.append((questions[step.qid], step.text) if step.text.strip() else None)
    return found


def _form(judge: Judge, seed: int) -> Form[Item, Sorted]:
    system = "\n\n".join(((judge.prompt or _OPENING).strip(), frame("material to be sorted"), _REPLY))

    def messages(item: Item, again: bool) -> list[Message]:
        question, text = item
        parts = [("QUESTION", question.stem)]
        parts += [] if question.open else [("OPTIONS", options_text(question))]
        parts.append(("STEP", text))
        closing = f"{_CLOSING}\n\n{_REASK}" if again else _CLOSING
        return conversation(system, fenced(parts, _NAMES, seed, closing))

    words = {"system": system, "closing": _CLOSING, "reask": _REASK}
    schema = Sorted.model_json_schema()
    read = of_text(lambda _, text: read_json(text, Sorted))
    return Form("kind", "sorting steps", words, schema, {}, messages, read)
