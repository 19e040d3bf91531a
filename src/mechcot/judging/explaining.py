"""Traces that a server writes: a reasoning in short, or an explanation of an answer given beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from mechcot.asking.forms import Failed, Form, Message, conversation, fenced, frame, of_text, read_json
from mechcot.asking.session import Session, ask, refuse_failures
from mechcot.judging.judge_file import Judge
from mechcot.judging.prompt import options_text
from mechcot.tasks import Question

LONGEST = 4000
"""Characters that such a trace may have."""
KINDS = {
    "summary": (
        "You shorten lines of reasoning. Say in at most four sentences how it comes to its answer: each "
        "claim that the answer hangs on, and none that it does not hold. Correct nothing, add nothing.",
        "Shorten the text between [[REASONING {tag}]] and [[END REASONING {tag}]].",
    ),
    "post-hoc": (
        "You explain answers to people. Say in at most four sentences why this answer follows from what the "
        "question says. You were not there when it was found: explain the answer, not how somebody came to "
        "it.",
        "Explain the answer between [[ANSWER {tag}]] and [[END ANSWER {tag}]].",
    ),
}
"""Instructions and closing words by type of trace."""

_REPLY = 'Reply with one JSON object and nothing else: {"text": "..."}.'
_REASK = (
    f'An earlier reply could not be used: one JSON object with the key "text", at most {LONGEST} characters.'
)
_NAMES = ("QUESTION", "OPTIONS", "ANSWER", "REASONING")


class Explanation(BaseModel):
    """The reply that is wanted."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str = Field(description="the trace")


@dataclass(frozen=True)
class Told:
    """What a trace is written from."""

    question: Question
    answer: str
    reasoning: str
    """Not shown for an explanation."""


@dataclass(frozen=True)
class Explained:
    """Traces by a server: in the order of the items, None where it gave none; and what that took."""

    texts: list[str | None]
    about: dict[str, Any]


def explain(kind: str, items: Sequence[Told], session: Session[Judge]) -> Explained:
    """Have a server write a trace of a kind (`KINDS`) for each item.

    Raises:
        ConfigError: as for `asking.session.ask`.
        JudgeError: more failed than the file allows, or as for `asking.session.ask`.
        MissingDependency: httpx2 is not installed.
    """
    form = _form(kind, session.server, session.seed)
    asked = ask(form, list(items), session)
    refuse_failures(
        asked.answers, lambda i: f"question '{items[i].question.qid}'", session.server, kind, things="traces"
    )
    return Explained([None if isinstance(one, Failed) else one for one in asked.answers], asked.about)


def _form(kind: str, judge: Judge, seed: int) -> Form[Told, str]:
    instructions, closing = KINDS[kind]
    own = (judge.prompt or instructions).strip()
    system = "\n\n".join((own, frame("material to write from"), _REPLY))

    def messages(item: Told, again: bool) -> list[Message]:
        parts = [("QUESTION", item.question.stem)]
        parts += [] if item.question.open else [("OPTIONS", options_text(item.question))]
        parts.append(("ANSWER", item.answer))
        parts += [("REASONING", item.reasoning)] if kind == "summary" else []
        return conversation(
            system, fenced(parts, _NAMES, seed, f"{closing}\n\n{_REASK}" if again else closing)
        )

    def read(_: Told, reply: str) -> str | None:
        found = read_json(reply, Explanation)
        text = found.text.strip() if found else ""
        return text if 0 < len(text) <= LONGEST else None

    words: Mapping[str, str] = {"system": system, "closing": closing, "reask": _REASK}
    return Form(kind, "writing traces", words, Explanation.model_json_schema(), {}, messages, of_text(read))
