"""What a server answers, and the one JSON object in it, whatever a server or a model wraps round it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from mechcot.core.files import python_value, unique_keys

_BLANK = " \t\r\n\ufeff\u200b\u200c\u200d\u2060\u00a0"
_TURN_END = re.compile(r"(?:<[|\uff5c][^\s<>|\uff5c]{1,40}[|\uff5c]>|</s>|<eos>|<end_of_turn>|<turn\|>)\Z")
_TURN_START = re.compile(  # no mark of a thought: an object in one is no reply
    r"\A(?:<[|\uff5c](?:im_start|start|start_header_id|assistant|start_response|begin_of_solution|begin_of_text|"
    r"begin_of_box|startoftext|begin\u2581of\u2581sentence)[|\uff5c]>|<start_of_turn>|<s>|<bos>)"
    r"(?:\s*(?:assistant|model)(?!\w)(?:<\|(?:end_header_id|message)\|>)?)?",
    re.IGNORECASE,
)
_FENCE = re.compile(
    r"(?P<fence>`{3,}|~{3,})[ \t]*[\w+-]*[ \t]*\n?(?P<inside>.*?)(?:(?P=fence)`*)?\Z", re.DOTALL
)
_CLOSED = re.compile(r"(?P<inside>.*?)\n?(?:(?<!`)`{3,}|(?<!~)~{3,})\Z", re.DOTALL)  # a run is tried once
_THOUGHTS_END = re.compile(
    r"</(?:\w+:)?(?:think|thinking|thought|thoughts|reasoning|reflection)>|\[/THINK\]|<\|end_of_thought\|>"
    r"|<\|END_THINKING\|>|\u25c1/think\u25b7|<channel\|>",
    re.IGNORECASE,
)
_FINAL = re.compile(r"<\|channel\|>\s*final\b[^{}<]*(?:<\|constrain\|>[^{}<]*)?<\|message\|>")
_FINAL_BARE = re.compile(r"\Aanalysis.*?assistant(?:<\|channel\|>)?final(?:json)?(?=\s*\{)", re.DOTALL)
_TAG = re.compile(
    r"<(?P<tag>json|answer|output|response|result)>(?P<inside>.*)</(?P=tag)>", re.DOTALL | re.IGNORECASE
)


@dataclass(frozen=True)
class Reply:
    """What a server answered.

    Attributes:
        text: of the reply, or of the refusal.
        finish_reason: why it ended, as the server says; "refusal" for a refusal.
        returned_model: which model the server says it was.
        prompt_tokens: as the server counts, 0 when it does not say.
        completion_tokens: likewise.
        counted: whether it says.
        endpoint: which of the server's addresses answered.
    """

    text: str
    finish_reason: str
    returned_model: str
    prompt_tokens: int
    completion_tokens: int
    endpoint: str = field(default="", compare=False)

    @property
    def counted(self) -> bool:
        """Whether the server counted; no prompt has no token."""
        return self.prompt_tokens > 0


def _turn_end(text: str) -> str | None:
    """Without the mark of a turn's end: `<|im_end|>`."""
    found = _TURN_END.search(text)
    return text[: found.start()] if found else None


def _turn_start(text: str) -> str | None:
    """Behind the mark of a turn's start: `<|im_start|>assistant`."""
    found = _TURN_START.match(text)
    return text[found.end() :] if found else None


def _fence(text: str) -> str | None:
    """Inside a fence of backticks or tildes that may lack its end or its beginning."""
    found = _FENCE.match(text) or _CLOSED.match(text)
    return found["inside"] if found else None


def _ticks(text: str) -> str | None:
    """Inside single backticks."""
    return text[1:-1] if len(text) > 2 and text[0] == text[-1] == "`" and text[1] != "`" else None


def _language(text: str) -> str | None:
    """Behind the word that a fence names its language by, or a turn its speaker, where its marks are gone."""
    found = re.match(r"(?:json|assistant:?)\s*(?=\{)", text, re.IGNORECASE)
    return text[found.end() :] if found else None


def _tag(text: str) -> str | None:
    """Inside one tag round all: `<json>...</json>`."""
    found = _TAG.fullmatch(text)
    return found["inside"] if found else None


def _thoughts(text: str) -> str | None:
    """Behind thoughts that end once. A second end could be one that the material dictated."""
    ends = list(_THOUGHTS_END.finditer(text))
    return text[ends[0].end() :] if len(ends) == 1 else None


def _channel(text: str) -> str | None:
    """What stands in the final channel, where there is one of it (harmony)."""
    found = list(_FINAL.finditer(text)) or list(_FINAL_BARE.finditer(text))
    return text[found[0].end() :] if len(found) == 1 else None


WRAPPERS: tuple[Callable[[str], str | None], ...] = (
    _turn_start, _turn_end, _fence, _ticks, _language, _tag, _channel, _thoughts,
)  # fmt: skip
"""What may stand round a reply's object: each gives what is inside it, None where it is not there."""


def read_object(reply: str) -> dict[str, Any] | None:
    """The one object that a reply is; None where it is none.

    `WRAPPERS` are taken off, in any order. Line ends inside a text, a comma behind the last value and
    Python's quotes are read; a key that stands there twice is not, and neither is an object with other text
    beside it: a second object could be one that the material dictated.
    """
    for text in _inside(reply):
        found = _parsed(text)
        if isinstance(found, dict):
            return found
    return None


def _inside(reply: str) -> Iterator[str]:
    """The reply, and what is left of it without its wrappers."""
    waiting, seen = [reply.strip(_BLANK)], set()
    while waiting:
        text = waiting.pop(0)
        if text in seen:
            continue
        seen.add(text)
        yield text
        waiting += [inside.strip(_BLANK) for wrapper in WRAPPERS if (inside := wrapper(text)) is not None]


def _parsed(text: str) -> Any:
    """A JSON value, or what Python writes for one; None where it is neither."""
    try:
        return json.loads(text, strict=False, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        if "stands there twice" in str(error):
            return None
    if not text.startswith("{"):
        return None
    try:
        return json.loads(re.sub(r",\s*\}\Z", "}", text), strict=False, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError):
        pass
    try:
        return python_value(text)
    except ValueError:
        return None
