"""The words of a step by which it is told how seldom a model meets what the step is about."""

from __future__ import annotations

import re
import unicodedata

LETTERS = 4
"""Of a word that counts: shorter ones are mostly the language's own."""

_WORD = re.compile(rf"[^\W\d_]{{{LETTERS},}}")


def content_words(text: str) -> tuple[str, ...]:
    """A text's words of at least `LETTERS` letters, in lower case, each once, as they come."""
    found = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return tuple(dict.fromkeys(found))
