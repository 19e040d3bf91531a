"""What of a text is no language: code and mathematics, lines of marks, and marks around words."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator

from mechcot.core.text import INVISIBLE, LINE_END

Span = tuple[int, int]

# All of them end at the next opening or after so many characters: a lone opening costs no more.
DISPLAY = re.compile(
    r"\\\[(?:(?!\\\[)[\s\S]){0,2000}?\\\]"
    r"|\$\$(?:(?!\$\$|\n[ \t\r]*\n)[\s\S]){0,2000}\$\$"
    r"|\\begin\{(?P<name>\w+\*?)\}(?:(?!\\begin\{(?P=name)\})[\s\S]){0,2000}?\\end\{(?P=name)\}"
)
"""Mathematics on lines of its own."""

FENCE = re.compile(
    r"^[ \t]*(?P<mark>`{3,}|~{3,})[ \t]*(?P<language>[\w+#.-]*)[^`\n]*\n"
    r"(?:(?![ \t]*(?P=mark)).*\n)*[ \t]*(?P=mark)[`~]*[ \t\r]*$",
    re.MULTILINE,
)
"""Code between fences, the closing one included."""

_TEXT = re.compile(
    r"(?:te?xt|plain\w*|markdown|md)?", re.IGNORECASE
)  # such a fence often holds plain sentences
_INLINE = re.compile(
    r"`[^`\n]+`|\\\((?:(?!\\[()])[^\n])*\\\)|(?<!\\)\$(?=\S)[^$\n]*(?<=\S)\$(?!\d)|https?://\S*[^\s.,;:!?)\]}>\"'*_]"
)

_NOTHING_SAID = re.compile(
    r"^\s*(?:`{3,}|~{3,})[ \t]*[\w+#.-]*\s*$"  # the line that opens a fence
    r"|\\(?:begin|end)\{\w+\*?\}\s*$"
    r"|</?[A-Za-z][\w-]*(?:\s[^<>]*)?/?>"
    r"|^\W*(?:(?:\d{1,3}[.)]|[A-Za-z]\))\W*)+$",  # the mark of a list's item, or several
)

DROPPED = re.compile(
    rf"[*~`{INVISIBLE}]+|<sup>[^<>\n]{{1,20}}</sup>|(?<![^\W_])_+|_+(?![^\W_])|</?[A-Za-z]\w{{0,9}}>"
    r"|(?<=[.!?…。！？”\"’')])(?:\[\^?\d[\d,;–\s-]{0,20}\]|【\d[\d,;–\s-]{0,20}】|[⁽¹²³⁰⁴-⁹⁾]+|\^\d+"
    r"|[\u2600-\u27bf\u2b50\u2b55\U0001f000-\U0001faff\u200d\ufe0f]+)"
)
"""Marks in a line that are no part of its sentence: emphasis, tags, invisible characters, notes."""


def says_something(piece: str, *, opens_line: bool = True) -> bool:
    """Whether a piece holds a word, a number or a sign of a script; marks and list numbers say nothing.

    Only what opens a line can open a fence: "```py" says nothing there, and "py" behind other words.
    """
    read = piece if opens_line else f".{piece}"
    return any(char.isalnum() for char in _NOTHING_SAID.sub("", read))


def wholes(text: str) -> list[Span]:
    """Spans that no sentence ends in, in order: code in its language, mathematics, addresses.

    A fence that names no language often holds plain sentences: it is read line by line.
    """
    found: list[Span] = []
    if not re.search(r"[`~$\\]|://", text):
        return found
    for pattern in (FENCE, DISPLAY, _INLINE):
        taken = list(found)
        for match in pattern.finditer(text):
            plain = pattern is FENCE and _TEXT.fullmatch(match["language"])
            if not plain and not _overlaps(match.span(), taken):
                found.append(match.span())
        found.sort()
    return found


def _overlaps(span: Span, taken: list[Span]) -> bool:
    at = bisect_left(taken, span)
    return (at < len(taken) and taken[at][0] < span[1]) or (at > 0 and taken[at - 1][1] > span[0])


def lines(text: str, whole: list[Span]) -> Iterator[Span]:
    """Spans of a text's lines without their ends; a line end inside of a whole is none."""
    start, at = 0, 0
    for match in LINE_END.finditer(text):
        while at < len(whole) and whole[at][1] <= match.start():
            at += 1
        if at < len(whole) and whole[at][0] <= match.start():
            continue
        yield start, match.start()
        start = match.end()
    yield start, len(text)
