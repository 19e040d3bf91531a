"""What every kind of log is read as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mechcot.core.errors import DataError

STATED = ("temperature", "top_p", "top_k", "max_new_tokens")
"""How a sample was drawn, by the names of `sampling`, where a log tells."""


@dataclass(frozen=True)
class Sample:
    """One answer of a model to one question.

    Attributes:
        where: file and row, as messages name it.
        qid: the question's id in the log.
        cid: which of its samples, from 0.
        text: what the model wrote, reasoning first.
        finish_reason: "stop", or "length" where a limit cut it.
        problem: why it is no trace, else "".
        stem: the question's words; None: the log has none apart from the prompt.
        options: as the log has them; None: it has none.
        gold: what it says of the right answer; None: nothing.
        prompt: the last words that the model was sent; None: not told.
        stated: of `STATED` those that are told.
        source: the log's own row, for columns that a user names.
    """

    where: str
    qid: str
    cid: int
    text: str
    finish_reason: str = "stop"
    problem: str = ""
    stem: str | None = None
    options: Any = None
    gold: Any = None
    prompt: str | None = None
    stated: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Log:
    """A log, read.

    Attributes:
        path: the file.
        tool: who wrote it.
        model: whose answers they are, as the log names it; "": it does not.
        samples: in the order of the file.
    """

    path: str
    tool: str
    model: str
    samples: tuple[Sample, ...]


def joined(reasoning: str | None, text: str) -> str:
    """Reasoning that stands in a field of its own, put before what follows it, between the usual marks."""
    if not reasoning:
        return text
    head = f"<think>\n{reasoning.strip()}"
    return f"{head}\n</think>\n\n{text.lstrip()}" if text.strip() else head


def ended(reason: Any) -> tuple[str, str]:
    """How a sample ended, by the word of the tool: a finish reason, and why it is no trace (else "").

    Nothing told is taken as an end of its own.
    """
    word = "" if reason is None else str(reason)
    if word in ("length", "max_tokens", "model_length"):
        return "length", ""
    if word in ("", "stop", "eos", "unknown", "stop_sequence", "end_turn", "None"):
        return "stop", ""
    return "stop", f"it ended by '{word[:60]}', as no trace ends"


def words_of(content: Any) -> str:
    """The text of a message's content: a text, or a list of parts of which those of text count."""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        return ""
    parts = (part for part in content if isinstance(part, Mapping) and part.get("type") == "text")
    return "".join(str(part.get("text") or "") for part in parts)


def last_user(messages: Any) -> str | None:
    """The words of the last message that a user wrote; None: there is none."""
    told = messages if isinstance(messages, list) else []
    own = [one for one in told if isinstance(one, Mapping) and one.get("role") == "user"]
    return words_of(own[-1].get("content")) if own else None


def numbers(told: Mapping[str, Any]) -> dict[str, Any]:
    """Of settings those that are numbers."""
    return {name: v for name, v in told.items() if isinstance(v, int | float) and not isinstance(v, bool)}


def an_object(value: Any, where: str, what: str) -> Mapping[str, Any]:
    """A part of a row that must be an object.

    Raises:
        DataError: it is something else.
    """
    if not isinstance(value, Mapping):
        raise DataError(f"{where}: expected an object in {what}, found {_kind(value)}: {str(value)[:80]!r}")
    return value


def a_list(value: Any, where: str, what: str) -> list[Any]:
    """A part of a row that must be a list with something in it.

    Raises:
        DataError: it is something else, or empty.
    """
    if not isinstance(value, list) or not value:
        raise DataError(f"{where}: expected a list in {what}, found {_kind(value)}: {str(value)[:80]!r}")
    return value


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    return "an empty list" if value == [] else f"a {type(value).__name__}"
