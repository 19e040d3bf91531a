"""Answers read by a server: a second instrument beside the rules of `tasks.answers`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from mechcot.asking.forms import Failed, Form, Message, conversation, fenced, frame, of_text, read_json
from mechcot.asking.session import Session, ask, price, refuse_failures
from mechcot.asking.spending import Plan
from mechcot.core import records
from mechcot.core.errors import DataError
from mechcot.judging.judge_file import Judge
from mechcot.judging.prompt import options_text
from mechcot.tasks import Question
from mechcot.tasks.answers import same_value
from mechcot.tasks.base import LETTERS

UNASKED = ("truncated", "empty")
"""Rules (`answer_rule`) of completions without an answer by what they are, not by what they say."""

_OPENING = """\
A writer was asked a question and wrote the text that you are given. Say which answer the text gives. Report \
what the writer answers, right or wrong, and never answer the question yourself."""

_RULES = """\
Rules
- What counts is what the text commits to in the end. What it weighs, denies, asks, makes a condition or \
says that others might think is no answer.
- An answer that the text takes back is none; the one that it puts in its place counts.
- The text may begin with the answer, and may go on to another question behind it: the answer to the first \
question counts."""

_OPTIONS = """\
Answers
- a letter: the text gives that option, by its letter or by its words, in whatever language.
- none: the text gives no option: it breaks off, refuses, only weighs, or gives what is none of the options.
- ambiguous: the text gives several options, or a letter together with another option's words."""

_OPEN = """\
Outcomes
- answer: the text gives one answer. Copy it as it stands there, without the words around it.
- none: the text gives no answer: it breaks off, refuses or only weighs. The answer is then empty.
- ambiguous: the text gives several answers that differ. The answer is then empty."""

_REPLY_OPTIONS = """\
Reply with one JSON object and nothing else: {"reason": "...", "answer": "..."}. The reason comes first: one \
sentence that quotes the words which give the answer. The answer is one of LABELS."""

_REPLY_OPEN = """\
Reply with one JSON object and nothing else: {"reason": "...", "outcome": "...", "answer": "..."}. The \
reason comes first: one sentence that quotes the words which give the answer. The outcome is answer, none or \
ambiguous."""

_CLOSING = "Which answer does the text between [[TEXT {tag}]] and [[END TEXT {tag}]] give?"

_REASK = (
    "An earlier reply to this could not be read. Reply with exactly the JSON object asked for, and nothing "
    "around it."
)

_NAMES = ("OPTIONS", "TEXT")


class OptionReply(BaseModel):
    """The reply about a question with options."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str = Field(description="one sentence")
    answer: str


class OpenReply(BaseModel):
    """The reply about an open question."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str = Field(description="one sentence")
    outcome: Literal["answer", "none", "ambiguous"]
    answer: str


@dataclass(frozen=True)
class Found:
    """An answer as a server reads it.

    Attributes:
        outcome: one of `records.OUTCOMES`.
        option: index into the options, -1: none.
        text: of an open question's answer, "" otherwise.
        reason: the server's.
    """

    outcome: str
    option: int
    text: str
    reason: str


@dataclass(frozen=True)
class Item:
    """What a call is about.

    Attributes:
        question: that the completion answers; of an open one the server is shown nothing.
        known: every text of each of its options.
        text: the completion.
    """

    question: Question
    known: tuple[tuple[str, ...], ...]
    text: str


@dataclass(frozen=True)
class AnswersRead:
    """Answers read by a server.

    Attributes:
        instrument: its name.
        rows: in the order of the traces (`records.ANSWERS`).
        about: what was asked of whom, what the calls took, and what went wrong on the way.
    """

    instrument: str
    rows: list[dict[str, Any]]
    about: dict[str, Any]


def answers_by_llm(
    traces: pd.DataFrame,
    questions: Mapping[str, Question],
    session: Session[Judge],
    *,
    accepted: Mapping[str, Sequence[str]] | None = None,
) -> AnswersRead:
    """Have a server say which answer each completion gives.

    It is shown the options and the completion, fenced: neither the question nor which option is right, so
    that it has little to answer for itself. Completions that are empty, or that the token limit cut, have
    no answer by what they are (`UNASKED`) and are not asked about. Equal completions of a question are one
    call, whichever arm they come from.

    Args:
        traces: of one or several arms (`records.TRACES`).
        questions: by their id, with the options that the arms' answers point into.
        session: whom to ask; the judge's prompt, labels, rules, examples and fields mean nothing here.
        accepted: of open questions every text that is right, by id; the gold is option 0.

    Raises:
        ConfigError: as for `asking.session.ask`.
        DataError: a trace belongs to no question.
        JudgeError: more completions failed than the file allows, or as for `asking.session.ask`.
        MissingDependency: httpx2 is not installed.
    """
    form, items = _form(questions, session.seed), _items(traces, questions, accepted or {})
    asked = ask(form, items, session)
    refuse_failures(
        asked.answers,
        lambda i: _place(traces.iloc[i]),
        session.server,
        "answer read off",
        things="completions",
    )
    name = f"answers-{asked.about['digest'][:8]}"
    rows = [
        _row(trace, answer, name) for trace, answer in zip(records.rows(traces), asked.answers, strict=True)
    ]
    return AnswersRead(name, rows, asked.about | {"instrument": name})


def plan_answers(
    traces: pd.DataFrame,
    questions: Mapping[str, Question],
    judge: Judge,
    work: Path | None,
    *,
    seed: int,
) -> Plan:
    """What `answers_by_llm` would send; `work` None: as if no reply were kept.

    Raises:
        DataError: a trace belongs to no question.
    """
    return price(_form(questions, seed), _items(traces, questions, {}), judge, work)


def _place(trace: Any) -> str:
    return f"question '{trace.qid}', arm {trace.arm}, trace {trace.cid}"


def _items(
    traces: pd.DataFrame, questions: Mapping[str, Question], accepted: Mapping[str, Sequence[str]]
) -> list[Item | None]:
    items: list[Item | None] = []
    for trace in records.rows(traces):
        question = questions.get(trace.qid)
        if question is None:
            raise DataError(f"arm {trace.arm}, trace {trace.cid}: there is no question '{trace.qid}'")
        if trace.answer_rule in UNASKED or not trace.text.strip():
            items.append(None)
            continue
        right = tuple(accepted.get(trace.qid, question.options[:1]))
        known = (right, *((option,) for option in question.options[1:]))
        items.append(Item(question, known, trace.text))
    return items


def _row(trace: Any, answer: Found | Failed | None, instrument: str) -> dict[str, Any]:
    if answer is None:
        answer = Found("not_asked", -1, "", "cut by the token limit, or empty")
    elif isinstance(answer, Failed):
        answer = Found(answer.label, -1, "", answer.reason)
    return {
        "qid": trace.qid,
        "arm": trace.arm,
        "cid": int(trace.cid),
        "instrument": instrument,
        "outcome": answer.outcome,
        "answer": answer.option,
        "text": answer.text,
        "reason": answer.reason,
    }


# --- the form -------------------------------------------------------------------------------------


def _form(questions: Mapping[str, Question], seed: int) -> Form[Item, Found]:
    """One form for all questions of a study: its letters are those of the question with most options."""
    is_open = any(question.open for question in questions.values())
    most = max((len(question.options) for question in questions.values()), default=0)
    labels = (*LETTERS[:most], "none", "ambiguous")
    use = frame("material from which an answer is read off")
    meanings, reply = (_OPEN, _REPLY_OPEN) if is_open else (_OPTIONS, _REPLY_OPTIONS)
    system = "\n\n".join((_OPENING, meanings, _RULES, use, reply.replace("LABELS", ", ".join(labels))))
    schema = OpenReply.model_json_schema() if is_open else OptionReply.model_json_schema()
    if not is_open:
        schema["properties"]["answer"]["enum"] = list(labels)
    words = {"system": system, "closing": _CLOSING, "reask": _REASK}
    read = _read_open if is_open else _read_option
    return Form(
        "answer", "reading answers", words, schema, {}, partial(_messages, system, seed), of_text(read)
    )


def _messages(system: str, seed: int, item: Item, again: bool) -> list[Message]:
    options = [] if item.question.open else [("OPTIONS", options_text(item.question))]
    closing = f"{_CLOSING}\n\n{_REASK}" if again else _CLOSING
    return conversation(system, fenced([*options, ("TEXT", item.text)], _NAMES, seed, closing))


def _read_option(item: Item, text: str) -> Found | None:
    reply = read_json(text, OptionReply)
    if reply is None:
        return None
    reason = " ".join(reply.reason.split())
    if reply.answer in ("none", "ambiguous"):
        return Found(reply.answer, -1, "", reason)
    own = LETTERS[: len(item.question.options)]
    if len(reply.answer) != 1 or reply.answer not in own:
        return None
    return Found("option", own.index(reply.answer), "", reason)


def _read_open(item: Item, text: str) -> Found | None:
    reply = read_json(text, OpenReply)
    if reply is None or (reply.outcome == "answer") != bool(reply.answer.strip()):
        return None
    reason = " ".join(reply.reason.split())
    if reply.outcome != "answer":
        return Found(reply.outcome, -1, "", reason)
    said = " ".join(reply.answer.split())
    known = (i for i, texts in enumerate(item.known) if any(same_value(said, one) for one in texts))
    option = next(known, -1)
    return Found("option" if option >= 0 else "other", option, said, reason)
