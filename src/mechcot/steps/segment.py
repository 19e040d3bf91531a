"""Segmenters: character spans of steps in the original text.

Whatever the segmenter, spans do not overlap and are in order, and what lies between them says nothing:
blanks, and marks such as `---`, a fence's line or the number of an item cut off. The spans and the gaps
give the text back. No word of the text is outside a step.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from mechcot.core.errors import UsageError
from mechcot.core.text import LINE_END
from mechcot.steps.markup import lines, says_something
from mechcot.steps.sentences import sentences
from mechcot.steps.structure import blocks

WINDOW = 90
"""Words of a window of the segmenter `words`, unless told."""
RULES = ("heading", "numbered", "bullet", "table", "code", "paragraph", "sentence", "line", "window")
"""What can have made a step."""

_NEAR = 100  # characters around a lone full stop that tell whether it stands among words
Piece = tuple[int, int, str]


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
    """Sentences, and lines; a line of marks says nothing."""
    for start, end in sentences(text):
        opens = not start or LINE_END.match(text, start - 1) is not None
        if says_something(text[start:end], opens_line=opens) or _is_empty_sentence(text, start, end):
            yield start, end, "sentence"


def _is_empty_sentence(text: str, start: int, end: int) -> bool:
    """Whether a full stop stands alone in a line of tokens ("a b . . c d ."): its writer meant a sentence."""
    if text[start:end].strip() != ".":
        return False
    before, after = text[max(0, start - _NEAR) : start], text[end : end + _NEAR]
    return any(char.isalnum() for char in before.rpartition("\n")[2] + after.partition("\n")[0])


def _lines(text: str, window: int) -> Iterator[Piece]:
    """One step a line."""
    return ((start, end, "line") for start, end in lines(text, []) if says_something(text[start:end]))


def _structural(text: str, window: int) -> Iterator[Piece]:
    """The blocks of `structure.blocks`; a text that is one block, by sentences."""
    found = [block for block in blocks(text) if says_something(text[block[0] : block[1]])]
    if len(found) == 1 and found[0][2] not in ("code", "table"):
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
