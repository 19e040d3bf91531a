"""A text as the rules read it: one way to write each letter, no markup, and where each character came from.

Compatibility forms, marks, quotes, dashes, blanks and digits of every script are written one way;
characters without width, Markdown's emphasis, LaTeX's wrappers and HTML's inline tags are left out.
Case and line ends stay: they tell a letter from a word, and a line from a sentence.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

BOX = "\ue000"
"""Stands for `\\boxed{` and `<answer>`; what they hold ends at the next `}`."""

_MARKUP = re.compile(
    r"(?P<box>\\(?:boxed|fbox)\s*\{|(?i:<(?:final_?)?answer>))"
    r"|(?P<end>(?i:</(?:final_?)?answer>))"
    r"|(?P<line>\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]|(?i:<br\s*/?>))"
    r"|(?P<blank>\\[,;:! ]|&nbsp;)"
    r"|\\(?:text(?:bf|it|rm|sf|tt)?|math(?:bf|rm|it|sf)|mbox|operatorname)\s*\{"
    r"|\\[()\[\]]|\*+|`+|~~|\$+|(?<!\w)_+(?=\S)|(?<=\S)_+(?!\w)"
    r"|(?i:</?(?:b|i|u|em|strong|p|span|div|center|font|mark|small|code|h[1-6])\b[^<>\n]{0,200}>)"
)
_WRITTEN = {"box": BOX, "end": "}", "line": "\n", "blank": " "}
_SAME = {
    **dict.fromkeys("‘’‚‛′ʼ`´", "'"),
    **dict.fromkeys("“”„‟″«»", '"'),
    **dict.fromkeys("‐‑‒–—―−﹘﹣－", "-"),
    **dict.fromkeys("\u3002\uff61\u0964\u0965", ". "),  # no blank follows them
    **dict.fromkeys("\uff0e\u06d4", "."),
    "\uff01": "! ",
    "\uff1f": "? ",
    **dict.fromkeys("、،", ","),
    **dict.fromkeys("【〔", "["),
    **dict.fromkeys("】〕", "]"),
    **dict.fromkeys("「『《〈", '"'),
    **dict.fromkeys("」』》〉", '"'),
    "؟": "?",
    "\t": " ",
}


@dataclass(frozen=True)
class Folded:
    """A folded text.

    Attributes:
        text: as the rules read it.
        start: where each of its characters begins in the original, `[len(text)]`.
        end: one past where each ends there, `[len(text)]`.
    """

    text: str
    start: tuple[int, ...]
    end: tuple[int, ...]

    def original(self, start: int, end: int) -> tuple[int, int]:
        """A span of the folded text as a span of the original."""
        return self.start[start], self.end[end - 1]


def fold(text: str) -> Folded:
    """Fold a text; every character of the result knows where it came from."""
    letters: list[str] = []
    start: list[int] = []
    end: list[int] = []
    at = 0
    for match in [*_MARKUP.finditer(text), None]:
        stop = len(text) if match is None else match.start()
        for i in range(at, stop):
            new = _folded(text[i])
            if not new and end and end[-1] == i and unicodedata.category(text[i])[0] == "M":
                end[-1] = i + 1  # a mark belongs to its letter
            letters += new
            start += [i] * len(new)
            end += [i + 1] * len(new)
        if match is None:
            break
        written = _WRITTEN.get(match.lastgroup or "", "")
        letters += written
        start += [match.start()] * len(written)
        end += [match.end()] * len(written)
        at = match.end()
    return Folded("".join(letters), tuple(start), tuple(end))


def folded(text: str) -> str:
    """A short text folded, blanks as one: an option, or a phrase of the rules."""
    return " ".join(fold(text).text.split())


@lru_cache(maxsize=4096)
def _folded(char: str) -> str:
    if char.isascii():
        return _SAME.get(char, char)
    if "\uac00" <= char <= "\ud7a3" or "\u3041" <= char <= "\u30ff":  # a syllable stays whole
        return _SAME.get(char, char)
    if unicodedata.category(char) == "Nd":
        return str(unicodedata.decimal(char))
    new = "".join(_SAME.get(c, c) for c in unicodedata.normalize("NFKD", _SAME.get(char, char)))
    kept = "".join(c for c in new if not _dropped(c))
    lower = kept.casefold()
    return lower if len(lower) > len(kept) else kept


def _dropped(char: str) -> bool:
    """Whether a character is no letter of its own: no width, or a mark that writers leave out."""
    code = ord(char)
    return (
        unicodedata.category(char) == "Cf"
        or 0x300 <= code <= 0x36F
        or 0x64B <= code <= 0x65F
        or 0xFE00 <= code <= 0xFE0F
        or code == 0x640
    )
