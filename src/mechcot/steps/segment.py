"""Segmenters: character spans of steps in the original text.

Whatever the segmenter, spans do not overlap, are in order, and what lies between them is blank: the
spans and the gaps give the text back.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from mechcot.errors import UsageError

_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:e\.g|i\.e|vs|etc|cf|al|approx|Dr|Mr|Mrs|Ms|Prof|St|Fig|No|[A-Z])\.$"
)
_LIST_MARK = re.compile(r"(?:^|\n)\s*(?:\d{1,3}|[A-Za-z])\.$")
_END = re.compile(r"[.!?]+[\"')\]*_]*(?=\s|$)|\n+")


def segment(text: str, segmenter: str) -> list[tuple[int, int]]:
    """Cut a text into steps.

    Args:
        text: the reasoning.
        segmenter: a name in `SEGMENTERS`.

    Returns:
        Character spans, end exclusive, without the blanks around.

    Raises:
        UsageError: there is no such segmenter.
    """
    if segmenter not in SEGMENTERS:
        raise UsageError(f"there is no segmenter '{segmenter}'; there are {', '.join(SEGMENTERS)}")
    spans = []
    for start, end in SEGMENTERS[segmenter](text):
        piece = text[start:end]
        if piece.strip():
            spans.append((start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())))
    return spans


def _sentences(text: str) -> list[tuple[int, int]]:
    """Cut after . ! ? before a blank, and at line ends; not in decimals, abbreviations, list marks."""
    spans, start = [], 0
    for match in _END.finditer(text):
        before = text[start : match.end()]
        if match.group().startswith(".") and (
            _ABBREVIATION.search(before) or (_LIST_MARK.search(before) and before.strip() != ".")
        ):
            continue
        spans.append((start, match.end()))
        start = match.end()
    if start < len(text):
        spans.append((start, len(text)))
    return spans


def _lines(text: str) -> list[tuple[int, int]]:
    """One step a line."""
    return [match.span() for match in re.finditer(r"[^\n]+", text)]


SEGMENTERS: dict[str, Callable[[str], list[tuple[int, int]]]] = {"sentences": _sentences, "lines": _lines}
"""Segmenters by name."""
