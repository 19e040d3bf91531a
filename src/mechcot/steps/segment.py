"""Segmenters: character spans of steps in the original text.

Whatever the segmenter, spans do not overlap, are in order, and what lies between them is blank: the
spans and the gaps give the text back. No word of the text is outside a step.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from mechcot.core.errors import UsageError
from mechcot.steps.structure import blocks

WINDOW = 90
"""Words of a window of the segmenter `words`, unless told."""
RULES = ("heading", "numbered", "bullet", "table", "code", "paragraph", "sentence", "line", "window")
"""What can have made a step."""

Piece = tuple[int, int, str]

_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:e\.g|i\.e|vs|etc|cf|al|approx|Dr|Mr|Mrs|Ms|Prof|St|Fig|No|[A-Z])\.$"
)
_LIST_MARK = re.compile(r"(?:^|\n)\s*(?:\d{1,3}|[A-Za-z])\.$")
_END = re.compile(r"[.!?]+[\"')\]*_]*(?=\s|$)|\n+")


def segment(text: str, segmenter: str, window: int = WINDOW) -> list[tuple[int, int]]:
    """Cut a text into steps.

    Args:
        text: the reasoning.
        segmenter: a name in `SEGMENTERS`.
        window: words of a step, for the segmenter `words`.

    Returns:
        Character spans, end exclusive, without the blanks around.

    Raises:
        UsageError: there is no such segmenter, or a window of no words.
    """
    return [(start, end) for start, end, _ in pieces(text, segmenter, window)]


def pieces(text: str, segmenter: str, window: int = WINDOW) -> list[Piece]:
    """The spans of `segment`, each with the rule that made it, one of `RULES`.

    Raises:
        UsageError: there is no such segmenter, or a window of no words.
    """
    if segmenter not in SEGMENTERS:
        raise UsageError(f"there is no segmenter '{segmenter}'; there are {', '.join(SEGMENTERS)}")
    if window < 1:
        raise UsageError(f"a window must hold at least 1 word, not {window}")
    found = []
    for start, end, rule in SEGMENTERS[segmenter](text, window):
        piece = text[start:end]
        if piece.strip():
            first, last = start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
            found.append((first, last, rule))
    return found


def _sentences(text: str, window: int) -> Iterator[Piece]:
    """Cut after . ! ? before a blank, and at line ends; not in decimals, abbreviations, list marks."""
    start = 0
    for match in _END.finditer(text):
        before = text[start : match.end()]
        if match.group().startswith(".") and (
            _ABBREVIATION.search(before) or (_LIST_MARK.search(before) and before.strip() != ".")
        ):
            continue
        yield start, match.end(), "sentence"
        start = match.end()
    if start < len(text):
        yield start, len(text), "sentence"


def _lines(text: str, window: int) -> Iterator[Piece]:
    """One step a line."""
    return ((*match.span(), "line") for match in re.finditer(r"[^\n]+", text))


def _structural(text: str, window: int) -> Iterator[Piece]:
    """The blocks of `structure.blocks`; a text that is one paragraph, by sentences."""
    found = blocks(text)
    if len(found) == 1 and found[0][2] == "paragraph":
        return _sentences(text, window)
    return iter(found)


def _words(text: str, window: int) -> Iterator[Piece]:
    """So many words a step, whatever they say; the last step holds what is left."""
    spans = [match.span() for match in re.finditer(r"\S+", text)]
    return (
        (spans[i][0], spans[min(i + window, len(spans)) - 1][1], "window")
        for i in range(0, len(spans), window)
    )


SEGMENTERS: dict[str, Callable[[str, int], Iterator[Piece]]] = {
    "sentences": _sentences,
    "lines": _lines,
    "structural": _structural,
    "words": _words,
}
"""Segmenters by name."""
