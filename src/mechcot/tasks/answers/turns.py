"""Where a text leaves its question: blocks of thought, and marks behind which another question begins."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mechcot.tasks.answers.choices import either
from mechcot.tasks.answers.phrases import phrases

_OPEN = (
    r"<(?:think|thinking|thought|reasoning)>|\[THINK\]|◁think▷|<\|begin_of_thought\|>"
    r"|<\|channel\|>analysis<\|message\|>"
)
_CLOSE = (
    r"</(?:think|thinking|thought|reasoning)>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>(?:\s*<\|begin_of_solution\|>)?"
    r"|(?:<\|end\|>)?(?:<\|start\|>assistant)?<\|channel\|>final<\|message\|>"
)
_BETWEEN = (  # the same turn goes on, in another channel (harmony)
    r"(?:<\|end\|>|<\|call\|>)?<\|start\|>assistant<\|channel\|>(?:analysis|commentary)[^<>\n]{0,80}<\|message\|>"
)
_TAG = re.compile(rf"(?P<between>{_BETWEEN})|(?P<open>{_OPEN})|(?P<close>{_CLOSE})")
_SPECIAL = (
    r"(?!(?:<\|end\|>)?<\|start\|>assistant<\|channel\|>)"  # harmony: the same turn goes on
    r"<\|(?!begin_of_thought|end_of_thought|channel\||message\|)[a-z_]{2,30}\|>|</s>|<(?:end|start)_of_turn>|\[/?INST\]"
    r"|<｜[^｜\n]{2,40}｜>"
)
_ASKED = either(phrases("ask"))
_TURN = re.compile(
    rf"(?P<special>{_SPECIAL})"
    rf"|(?m:^)[#>*_= \t-]{{0,12}}{_ASKED}"
    r"(?:[ \t]*#?\d+(?:[ \t]*(?:of|/)[ \t]*\d+)?)?[ \t]*[*_]*[ \t]*(?:[:：.)]|\d)"
    r"|(?<=[\s.!?)\]*。])(?:Question|Problem|Exercise|Frage|Pregunta|Pergunta|Domanda)[ \t]+\d+"
    r"(?:[ \t]*(?:of|/|von|de|di)[ \t]*\d+|[ \t]*:)"
    r"|(?m:^)[ \t]*第[ \t]*\d+[ \t]*题"
)


@dataclass(frozen=True)
class Blocks:
    """A text's blocks of thought.

    Attributes:
        tags: spans of the marks that open and close them.
        closed: whether the mark that ends the reasoning was written.
        behind: where what follows the last block begins; 0: there is none, or it holds nothing.
        end: where the last block's closing mark begins; the text's length where `behind` is 0.
    """

    tags: tuple[tuple[int, int], ...]
    closed: bool
    behind: int
    end: int


def blocks(text: str, reasoning_end: str) -> Blocks:
    """Find the blocks of thought.

    A block goes from its opening mark to the last closing one before the next block: a closing mark
    that stands inside it is what the text says. An opening mark may stand in the prompt.

    Args:
        text: the completion.
        reasoning_end: the mark that ends the reasoning by the settings, "" for none.
    """
    tags, closes = _tags(text)
    if reasoning_end and not re.fullmatch(_CLOSE, reasoning_end.strip()):
        at = text.rfind(reasoning_end)
        closes = [(at, at + len(reasoning_end))] if at >= 0 else []
        tags = sorted([*tags, *closes])
    behind, end = 0, len(text)
    if closes and re.search(r"\w", _without(text[: closes[-1][0]], tags)):
        end, behind = closes[-1]
    return Blocks(tuple(tags), bool(closes), behind, end)


def _tags(text: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Marks that open or close a block, and those that close one."""
    marks = list(_TAG.finditer(text))
    found = [match for match in marks if not match["between"]]
    tags, closes = [match.span() for match in marks if match["between"]], []
    for number, match in enumerate(found):
        if match["open"]:
            inside = any(not earlier["open"] for earlier in found[:number]) or number == 0
            before = found[number - 1] if number else None
            if inside and (before is None or not before["open"]):
                tags.append(match.span())
            continue
        following = found[number + 1] if number + 1 < len(found) else None
        if following is None or following["open"]:
            tags.append(match.span())
            closes.append(match.span())
    return sorted(tags), closes


def _without(text: str, tags: list[tuple[int, int]]) -> str:
    for start, end in reversed(tags):
        if end <= len(text):
            text = text[:start] + text[end:]
    return text


def turn_marks(text: str) -> Iterator[int]:
    """Where another question, or another speaker, may begin; and where a line is said over and over."""
    for match in _TURN.finditer(text):
        if match.start() > 0 and text[: match.start()].strip():
            yield len(text[: match.start()].rstrip())
    yield from _loop(text)


def _loop(text: str) -> Iterator[int]:
    """Where a text begins to say its last line again: two equal lines, and nothing else behind them."""
    lines = [(m.start(), m.end(), m.group().strip()) for m in re.finditer(r"[^\n]*\S[^\n]*", text)]
    if len(lines) < 3:
        return
    repeated = lines[-2][2]
    if len(repeated) < 4 or not repeated.startswith(lines[-1][2]):
        return
    first = len(lines) - 2
    while first > 0 and lines[first - 1][2] == repeated:
        first -= 1
    if first < len(lines) - 2:
        yield lines[first][1]
