"""Answers of open questions as texts, and whether two are the same by value."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from mechcot.tasks.answers.fold import folded

_NUMBER = re.compile(
    r"(?<![\w.])-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|(?<![\w.])-?(?:\d+(?:\.\d+)?|\.\d+)(?:\s*/\s*\d+)?"
)


_AND = r"(?i:and|und|et|y|e|и|و|और|和|与|及|と|및|&)"
_EXPRESSION = re.compile(r"\\[a-z]|[\^=]|\w\s*[+*/]\s*\w|\([^()]*,[^()]*\)")
_SECONDS = 30


def normal(text: str) -> str:
    """A text as answers are compared: folded, without case, a final point, or blanks beyond one."""
    return folded(text).casefold().strip().rstrip(".").strip()


def same_value(one: str, other: str) -> bool:
    """Whether two answers say the same: the same text, equal numbers, or equal expressions.

    A unit that only one of them names is no difference ("18" and "18 dollars"), two units are.
    Expressions are compared where math-verify is installed (`pip install mechcot[maths]`).
    """
    a, b = normal(one), normal(other)
    if a == b:
        return True
    x, y = _number(a), _number(b)
    if x is None or y is None:
        return bool(_EXPRESSION.search(a) or _EXPRESSION.search(b)) and _same_expression(*sorted((a, b)))
    return x[0] == y[0] and (not x[1] or not y[1] or x[1] == y[1])


SEPARATOR = "; "
"""Stands between texts that an answer has to name all; no blank and comma, which a text may hold."""

_BETWEEN = re.compile(rf"\s*(?:\n\s*(?:[-*•]|\d+[.)])?|[;,](?:\s+{_AND})?|(?<=\s){_AND})(?:\s+|$)")
_MOST_ITEMS = 12


def same_items(one: str, other: str) -> bool:
    """Whether two answers name the same texts, each by value (`same_value`), in any order and no other.

    Where `SEPARATOR` stands in one, it alone parts its texts; elsewhere commas, line ends and words such as
    "and" may part them or belong to one ("nausea and vomiting").
    """
    mark = SEPARATOR.strip()
    if mark not in one:
        one, other = other, one
    wanted = one.split(mark) if mark in one else [_bare(piece) for piece in _split(one)]
    pieces = other.split(mark) if mark in other else _split(other)
    return _fits(pieces, [text.strip() for text in wanted])


def _bare(piece: str) -> str:
    """A piece without what parts it from the one before."""
    between = _BETWEEN.match(piece)
    return piece[between.end() :] if between else piece


def in_one_line(text: str) -> str:
    """An answer in one line; the lines of a list become texts with `SEPARATOR` between them."""
    return " ".join(re.sub(r"\s*\n\s*(?:[-*•]|\d+[.)])\s+", SEPARATOR, text).split())


def _split(text: str) -> list[str]:
    """A text cut wherever a list's items may part; what stood between them stays before the next."""
    cuts = [0, *(match.start() for match in _BETWEEN.finditer(text)), len(text)]
    return [text[a:b] for a, b in pairwise(cuts)]


def _fits(pieces: list[str], wanted: list[str]) -> bool:
    """Whether pieces, neighbours put together or not, are the texts wanted, each once."""
    if not pieces or not wanted:
        return not pieces and not wanted
    if len(wanted) > len(pieces) or len(pieces) > _MOST_ITEMS:
        return False
    for n in range(1, len(pieces) - len(wanted) + 2):
        said = _bare("".join(pieces[:n]))
        for i, text in enumerate(wanted):
            if same_value(said, text) and _fits(pieces[n:], wanted[:i] + wanted[i + 1 :]):
                return True
    return False


def _number(text: str) -> tuple[Fraction, str] | None:
    """The one number of a text, and what stands beside it."""
    found = list(_NUMBER.finditer(text))
    if len(found) != 1 or re.search(r"[+*/^=\\]", text[: found[0].start()] + text[found[0].end() :]):
        return None
    said = re.sub(r"[,\s]", "", found[0].group())
    if said.endswith("/0") or re.search(r"/0+$", said):
        return None
    top, _, bottom = said.partition("/")
    value = Fraction(top) / Fraction(bottom) if bottom else Fraction(top)
    rest = (text[: found[0].start()] + text[found[0].end() :]).strip(" .$€£")
    return value, rest


@lru_cache(maxsize=4096)
def _same_expression(one: str, other: str) -> bool:
    """Whether two expressions are equal by math-verify; False where it is not there or does not finish."""
    if importlib.util.find_spec("math_verify") is None:
        return False
    program = [sys.executable, str(Path(__file__).with_name("maths.py"))]
    try:
        done = subprocess.run(
            program,
            input=json.dumps([one, other]),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and done.stdout == "true"
