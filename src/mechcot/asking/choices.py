"""What a server's body says where several samples come in one answer: all choices, as they were written."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mechcot.asking.bodies import REASONING, Trouble, counted, name, opened, text_of
from mechcot.asking.redaction import writable
from mechcot.asking.replies import Reply


@dataclass(frozen=True)
class Choice:
    """One sample of an answer.

    Attributes:
        text: of the content.
        reasoning: of a field of its own; None: there is none.
        finish_reason: as the server says it.
        sum_logprob: of all tokens that the server lists, nats; None: it lists none.
        logprobs: of each of them; of an answer's first choice only, the others' are not kept.
    """

    text: str
    reasoning: str | None
    finish_reason: str
    sum_logprob: float | None = None
    logprobs: tuple[float, ...] = ()


def read_choices(body: str) -> Reply | Trouble:
    """All choices in the body of a completion, chat or plain, or what stands there in their place.

    Returns:
        A reply whose text is the choices as JSON (`choices_of`), ordered by their index.
    """
    found = opened(body)
    if isinstance(found, Trouble):
        return found
    ordered = sorted(found["choices"], key=_index)
    told = [_choice(choice, first=number == 0) for number, choice in enumerate(ordered)]
    if any(choice is None for choice in told):
        return Trouble("the server's answer was no completion")
    text = json.dumps([asdict(choice) for choice in told if choice], ensure_ascii=False)
    return Reply(text, "stop", name(found.get("model")), *counted(found.get("usage")))


def choices_of(reply: Reply) -> list[Choice]:
    """The choices of a reply that `read_choices` made."""
    return [Choice(**{**one, "logprobs": tuple(one["logprobs"])}) for one in json.loads(reply.text)]


def _index(choice: Any) -> int:
    index = choice.get("index") if isinstance(choice, Mapping) else None
    return index if isinstance(index, int) else 0


def _choice(choice: Any, *, first: bool) -> Choice | None:
    if not isinstance(choice, Mapping):
        return None
    message = choice.get("message", {"content": choice.get("text")})
    if not isinstance(message, Mapping):
        return None
    text = text_of(message.get("content"))
    # An empty one is what servers give a model that does not reason.
    fields = (message.get(key) for key in REASONING)
    reasoning = next((field for field in fields if isinstance(field, str) and field), None)
    if text is None and reasoning is None and not message.get("refusal"):
        return None
    refused = isinstance(message.get("refusal"), str) and bool(message["refusal"])
    values = _logprobs(choice.get("logprobs"))
    return Choice(
        writable(text or ""),
        None if reasoning is None else writable(reasoning),
        "refusal" if refused else name(choice.get("finish_reason")),
        None if values is None else math.fsum(values),
        tuple(round(value, 5) for value in values or () if first),
    )


def _logprobs(told: Any) -> list[float] | None:
    """The log-probability of each token: a chat's (`content`) or a plain completion's (`token_logprobs`)."""
    if not isinstance(told, Mapping):
        return None
    found: Any = told.get("token_logprobs")
    if isinstance(told.get("content"), Sequence):
        found = [one.get("logprob") if isinstance(one, Mapping) else None for one in told["content"]]
    if not isinstance(found, list) or not found:
        return None
    known = [v for v in found if isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v)]
    return [float(value) for value in known] if len(known) == len(found) else None
