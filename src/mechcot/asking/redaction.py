"""Keys kept out of what servers say, and texts that a file can take."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from urllib.parse import quote


def writable(text: str) -> str:
    """The text with half characters as JSON writes them: no file takes one."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def redactor(key: str | None) -> Callable[[str], str]:
    """A function that takes a key out of a text, in the forms in which servers repeat it.

    A key of under 8 characters ("none", "EMPTY") is no secret and is left alone.
    """
    if key is None or len(key) < 8:
        return lambda text: text
    # In base64 a key looks in one of three ways, by what stands before it ("Bearer ", "user:"); the letters
    # at its ends depend on its neighbours.
    coded = [base64.b64encode(b"\0" * before + key.encode()).decode() for before in range(3)]
    inner = [form.rstrip("=")[-(-4 * before // 3) : -1] for before, form in enumerate(coded)]
    plain = [key, quote(key, safe=""), json.dumps(key)[1:-1], key.encode().hex(), coded[0].rstrip("=")]
    forms = sorted({*plain, *inner}, key=len, reverse=True)

    def redact(text: str) -> str:
        for form in forms:
            text = text.replace(form, "[key]")
        # A reply is JSON and is read as such later: what its escapes spell counts too.
        spelled = _spelled(text)
        return redact(spelled) if any(form in spelled for form in forms) else text

    return redact


_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(/))")


def _spelled(text: str) -> str:
    """A text without the escapes of JSON that may stand for letters of a key."""
    return writable(_ESCAPE.sub(lambda found: found[2] or chr(int(found[1], 16)), text))
