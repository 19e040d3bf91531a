"""What a server's body says: a reply, or an error that came with a status of 200."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mechcot.asking.replies import Reply

_TEXT_PARTS = ("text", "output_text")
REASONING = ("reasoning_content", "reasoning", "thinking")
"""Fields into which servers put what a model wrote before its answer."""

_STATUS_OF = {
    "rate_limit": 429,
    "too_many_requests": 429,
    "insufficient_quota": 429,
    "authentication": 401,
    "invalid_api_key": 401,
    "permission": 403,
    "not_found": 404,
    "invalid_request": 400,
    "badrequest": 400,
    "bad_request": 400,
    "unprocessable": 422,
}
"""HTTP statuses by words in an error's type or code, for errors that name no number."""

_LONGEST_COUNT = 100  # characters; Python refuses to read numbers of thousands of digits
_UNSAID = 503  # an error that says nothing of its kind: worth another try, as a busy server is


@dataclass(frozen=True)
class Trouble:
    """A body that holds no reply.

    Attributes:
        message: what it says.
        status: the HTTP status that it should have come with; None: it says no error either.
    """

    message: str
    status: int | None = None


def read_body(body: str) -> Reply | Trouble:
    """The reply in the body of a chat completion, or what stands there in its place.

    Content may be a text, a list of parts (thoughts are left out), or missing where a server put the reply
    beside its reasoning; `finish_reason` a text or an object; usage counted, as text, or not at all.
    """
    found = opened(body)
    if isinstance(found, Trouble):
        return found
    choice = found["choices"][0]
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        return Trouble("the server's answer was no chat completion")
    refusal, text = _refusal(message), _text(message)
    if text is None and refusal is None:
        return Trouble("the server's answer was no chat completion")
    prompt_tokens, completion_tokens = counted(found.get("usage"))
    return Reply(
        text=refusal or text or "",
        finish_reason="refusal" if refusal else name(choice.get("finish_reason")),
        returned_model=name(found.get("model")),
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
    )


def opened(body: str) -> dict[str, Any] | Trouble:
    """A body with at least one choice."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return Trouble("the server's answer was no chat completion")
    if not isinstance(found, dict):
        return Trouble("the server's answer was no chat completion")
    choices = found.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    error = found.get("error") or (choice.get("error") if isinstance(choice, dict) else None)
    if error or (choice is None and _says_error(found)):
        return _trouble(error or found)
    if choice is None:
        return Trouble("the server's answer held no choice")
    return found


def _says_error(found: Mapping[str, Any]) -> bool:
    return found.get("object") == "error" or any(
        found.get(key) for key in ("message", "detail", "msg", "errors")
    )


def _trouble(error: Any) -> Trouble:
    """An error's message, and the status that fits it."""
    if not isinstance(error, Mapping):
        return Trouble(str(error), _status(str(error)))
    said = next((error[key] for key in ("message", "detail", "msg", "errors") if error.get(key)), error)
    message = said if isinstance(said, str) else json.dumps(said)
    kinds = [error.get(key) for key in ("code", "status", "status_code", "type")]
    for kind in kinds:
        number = int(kind) if isinstance(kind, str) and kind.isdecimal() and len(kind) == 3 else kind
        if isinstance(number, int) and not isinstance(number, bool) and 400 <= number < 600:
            return Trouble(message, number)
    return Trouble(message, _status(" ".join(str(kind) for kind in kinds if kind)))


def _status(words: str) -> int:
    said = words.casefold().replace(" ", "_").replace("-", "_")
    return next((status for word, status in _STATUS_OF.items() if word in said), _UNSAID)


def _text(message: Mapping[str, Any]) -> str | None:
    """The reply's text; None: there is no field that could hold one."""
    content = text_of(message.get("content"))
    if isinstance(content, str) and content.strip():
        return content
    beside = next((message[key] for key in REASONING if isinstance(message.get(key), str)), None)
    if beside is not None:
        return str(beside)
    return content or "" if message.get("content") is None or content is not None else None


def text_of(content: Any) -> str | None:
    """A content as text: of its parts those that are no thoughts; None: it is none."""
    if isinstance(content, Mapping):
        content = json.dumps(content)  # a server that reads the JSON itself
    if isinstance(content, list):
        content = "".join(_part(part) for part in content)
    return content if isinstance(content, str) else None


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if (
        isinstance(part, Mapping)
        and part.get("type", "text") in _TEXT_PARTS
        and isinstance(part.get("text"), str)
    ):
        return str(part["text"])
    return ""


def _refusal(message: Mapping[str, Any]) -> str | None:
    parts = message["content"] if isinstance(message.get("content"), list) else []
    said = [message.get("refusal"), *(part.get("refusal") for part in parts if isinstance(part, Mapping))]
    return next((text for text in said if isinstance(text, str) and text), None)


def name(value: Any) -> str:
    """A name that may stand in an object."""
    if isinstance(value, Mapping):
        value = next((value[key] for key in ("type", "reason", "name", "id") if value.get(key)), "")
    return "" if value is None else str(value)


def counted(usage: Any) -> tuple[int, int]:
    """Tokens of prompt and reply as the server counts them; (0, 0) where it does not count both."""
    if not isinstance(usage, Mapping):
        return 0, 0
    prompt = _tokens(usage.get("prompt_tokens", usage.get("input_tokens")))
    completion = _tokens(usage.get("completion_tokens", usage.get("output_tokens")))
    return (prompt, completion) if prompt and completion is not None else (0, 0)


def _tokens(value: Any) -> int | None:
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < _LONGEST_COUNT:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None
