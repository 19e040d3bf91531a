"""Characters that mean nothing to a reader, and the form in which two texts are compared."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable, Sequence
from typing import Any

LINE_END = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
"""Every way in which a line may end."""

INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff"
)
"""Inside of a regular expression's brackets: soft hyphen, zero width, directions, variants, tags."""

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]"
)
_INVISIBLE = re.compile(f"[{INVISIBLE}]")
_TYPED = str.maketrans("‘’‚‛′“”„‟″«»‐‑‒–—―−", "'" * 5 + '"' * 7 + "-" * 7, "*`")
_UNDERLINED = re.compile("__+")


def comparable(text: str) -> str:
    """One form for all ways to type the same words.

    NFKC without invisible characters, case folded; curly quotes, dashes and minus signs as typewriters
    have them; marks of emphasis and code off. Blanks stay.

    Example:
        >>> comparable("So\u0308ren ca\u00adf\u00e9 \uff49\uff53 **so**") == "s\u00f6ren caf\u00e9 is so"
        True
    """
    text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))
    folded = unicodedata.normalize("NFKC", text.casefold())  # folding a letter can take it apart
    return _UNDERLINED.sub("", _INVISIBLE.sub("", folded).translate(_TYPED))


def said(text: str) -> str:
    """A text as it is compared with others: `comparable`, with single blanks."""
    return " ".join(comparable(text).split())


def same_text(ids: Sequence[Hashable], texts: Sequence[Hashable]) -> dict[Any, Any]:
    """Each id's first one with the same text; of an id with several texts, the first counts.

    Args:
        ids: [rows], of any number of rows each.
        texts: [rows].
    """
    first: dict[Any, Any] = {}
    found: dict[Any, Any] = {}
    for own, text in zip(ids, texts, strict=True):
        if own not in found:
            found[own] = first.setdefault(text, own)
    return found


def escaped(text: str) -> str:
    r"""What steers a terminal or a line's direction, or hides a text, as escapes that are seen.

    Line ends and tabs stay.

    Example:
        >>> print(escaped("\x1b[2Jfine"))
        \x1b[2Jfine
    """
    return _UNSEEN.sub(lambda sign: sign[0].encode("unicode_escape").decode(), text)
