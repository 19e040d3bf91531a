"""Answers of open questions as texts, and whether two are the same by value."""

from __future__ import annotations

import re
from fractions import Fraction

from mechcot.tasks.answers.fold import folded

_NUMBER = re.compile(
    r"(?<![\w.])-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|(?<![\w.])-?(?:\d+(?:\.\d+)?|\.\d+)(?:\s*/\s*\d+)?"
)


def normal(text: str) -> str:
    """A text as answers are compared: folded, without case, a final point, or blanks beyond one."""
    return folded(text).casefold().strip().rstrip(".").strip()


def same_value(one: str, other: str) -> bool:
    """Whether two answers say the same: the same text, or each one number and the numbers are equal.

    A unit that only one of them names is no difference ("18" and "18 dollars"), two units are.
    """
    a, b = normal(one), normal(other)
    if a == b:
        return True
    x, y = _number(a), _number(b)
    if x is None or y is None or x[0] != y[0]:
        return False
    return not x[1] or not y[1] or x[1] == y[1]


def _number(text: str) -> tuple[Fraction, str] | None:
    """The one number of a text, and what stands beside it."""
    found = list(_NUMBER.finditer(text))
    if len(found) != 1:
        return None
    said = re.sub(r"[,\s]", "", found[0].group())
    if said.endswith("/0") or re.search(r"/0+$", said):
        return None
    top, _, bottom = said.partition("/")
    value = Fraction(top) / Fraction(bottom) if bottom else Fraction(top)
    rest = (text[: found[0].start()] + text[found[0].end() :]).strip(" .$€£")
    return value, rest
