"""Numbers and directions in words: what is said must be true whichever way the numbers fall."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Direction = Literal["up", "down", "unclear", "unknown"]
NBSP = "\u00a0"
MINUS = "\u2212"
_PLAIN = str.maketrans({NBSP: " ", MINUS: "-", "–": "-", "“": '"', "”": '"', "’": "'", "→": "->"})
FLAT = "are alike: no spread to judge by"
"""What the reason says where all questions have the same value, and an interval would have no width."""
DIFFERENCE = "difference [95 % interval]"
"""Head of a column that holds a difference with its interval."""


def number(leaf: Any) -> float | None:
    """The number of a leaf: a plain one, an interval's estimate, or None for what has only a reason."""
    if isinstance(leaf, Mapping):
        return number(leaf.get("estimate", leaf.get("value")))
    if isinstance(leaf, bool) or not isinstance(leaf, int | float):
        return None
    return float(leaf) if math.isfinite(leaf) else None


def why(leaf: Any) -> str:
    """The reason why a leaf holds no number, "" where it holds one."""
    if number(leaf) is not None or not isinstance(leaf, Mapping):
        return ""
    inner = leaf.get("estimate")
    return str(leaf.get("reason") or (why(inner) if isinstance(inner, Mapping) else "")) or "not known"


def direction(interval: Any) -> Direction:
    """Where a difference points; "unclear" when its interval holds zero or there is none."""
    if number(interval) is None:
        return "unknown"
    low, high = (number(interval.get(end)) for end in ("low", "high"))
    if low is not None and low > 0:
        return "up"
    if high is not None and high < 0:
        return "down"
    return "unclear"


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign, a true minus, and no sign at zero."""
    text = f"{value:+.{digits}f}".replace("-", MINUS)
    return text[1:] if float(f"{value:.{digits}f}") == 0 else text


def minus_signs(text: str) -> str:
    """A text for a page: numbers below 0 have a true minus, hyphens stay."""
    return re.sub(r"(?<![\w-])-(?=\d)", MINUS, text)


def percent(leaf: Any, digits: int = 1) -> str:
    """A fraction as a percentage, a missing one as a dash."""
    value = number(leaf)
    return "–" if value is None else f"{100 * value:.{digits}f}{NBSP}%"


def points(leaf: Any) -> str:
    """A difference of fractions in percentage points, with its interval in brackets."""
    value = number(leaf)
    if value is None:
        return f"not known: {why(leaf)}"
    return f"{signed(100 * value)}{NBSP}points" + bracket(leaf, lambda end: signed(100 * end))


def change(leaf: Any, digits: int) -> str:
    """A difference that is no rate, with its interval in brackets."""
    value = number(leaf)
    if value is None:
        return f"not known: {why(leaf)}"
    return signed(value, digits) + bracket(leaf, lambda end: signed(end, digits))


def rounded_to_sum(terms: Sequence[float]) -> list[float]:
    """Fractions as points with one digit that add to their rounded sum (largest remainders)."""
    tenths = [1000 * term for term in terms]
    down = [math.floor(term) for term in tenths]
    left = round(sum(tenths)) - sum(down)
    order = sorted(range(len(terms)), key=lambda i: (down[i] - tenths[i], i))
    return [(down[i] + (i in order[:left])) / 10 for i in range(len(terms))]


def parts_in_points(leaves: Sequence[Any]) -> list[str]:
    """The parts of a change, as `points` says them, rounded so that they add up to the whole."""
    known = [number(leaf) for leaf in leaves]
    if None in known:
        return [points(leaf) for leaf in leaves]
    rounded = rounded_to_sum([value or 0.0 for value in known])
    return [
        f"{signed(value)}{NBSP}points" + bracket(leaf, lambda end: signed(100 * end))
        for value, leaf in zip(rounded, leaves, strict=True)
    ]


def score(leaf: Any) -> str:
    """A number between 0 and 1 with two digits, with its interval in brackets."""
    value = number(leaf)
    return "–" if value is None else f"{value:.2f}" + bracket(leaf, lambda end: f"{end:.2f}")


def bracket(leaf: Any, write: Any) -> str:
    """An interval's ends in brackets, or why there are none."""
    if not isinstance(leaf, Mapping):
        return ""
    low, high = number(leaf.get("low")), number(leaf.get("high"))
    if low is not None and high is not None:
        return f" [{write(low)},{NBSP}{write(high)}]"
    reason = why(leaf.get("low"))
    return f" (no interval: {reason})" if reason else ""


def is_flat(interval: Mapping[str, Any]) -> bool:
    """Whether an interval is missing because all questions are alike."""
    return number(interval) is not None and FLAT in why(interval.get("low"))


def clause(what: str, before: Any, after: Any, delta: Any) -> str:
    """Say how a rate (plural: "right answers") changed, as far as its interval allows."""
    a, b = percent(before), percent(after)
    match direction(delta):
        case "up":
            return f"{what} rise from {a} to {b} ({points(delta)})"
        case "down":
            return f"{what} fall from {a} to {b} ({points(delta)})"
        case "unclear":
            return f"{what} show no clear change ({a} before, {b} after; {points(delta)})"
        case _:
            return f"{what} cannot be compared ({why(delta)})"


def counted(n: int, one: str, many: str | None = None) -> str:
    """A count with its noun: 1 question, 2 questions."""
    return f"{n:,}{NBSP}{one if n == 1 else many or one + 's'}"


def first_sentence(text: str) -> tuple[str, str]:
    """The first sentence of a text and the rest of it, "" where it is alone; a question goes with its answer.

    Example:
        >>> first_sentence("Of 3 facts (e.g. a), 1 holds. Two do not.")
        ('Of 3 facts (e.g. a), 1 holds.', 'Two do not.')
    """
    for end in re.finditer(r"\. +(?=\S)", text):
        if not _NO_END.search(text[: end.start()]):
            return text[: end.start() + 1], text[end.end() :]
    return text, ""


_NO_END = re.compile(r"(?:^|[\s(“])(?:[a-z]|[a-z]\.[a-z]|vs|cf|etc|approx|no|al|Dr|St)$", re.IGNORECASE)
"""A text whose next full stop ends a word and no sentence."""


def listed(parts: Sequence[str]) -> str:
    """Parts in a row: a, b and c."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows as lines: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
        for row in rows
    ]


def contrasted(rows: Sequence[tuple[str, str, str, str]]) -> str:
    """Rows of what, before, after and difference in columns: the first and the last to the left."""
    cells = [[plain_signs(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    lines = (
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]}".rstrip()
        for row in cells
    )
    return "\n".join(lines)


@dataclass(frozen=True)
class Table:
    """A table of texts; a note stands under it."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def text(self) -> str:
        """The table for a terminal; its title heads the first column where that has no head of its own."""
        head = (self.head[0] or self.title, *self.head[1:])
        lines = aligned([tuple(map(plain_signs, row)) for row in (head, *self.rows)])
        return "\n".join([*lines, *([plain_signs(self.note)] if self.note else [])])


def plain_signs(text: str) -> str:
    """A text in signs that every terminal has, without control characters of a model's."""
    return "".join(character if character.isprintable() else "?" for character in text.translate(_PLAIN))


def starred(text: str) -> str:
    """A number as `points` and its kin write it, for a narrow column: a star where it has no interval.

    Example:
        >>> starred("+1.0 (no interval: one question)"), starred("not known: nothing was judged")
        ('+1.0*', '-')
    """
    return (
        "-"
        if text.startswith("not known")
        else text.partition(" (no interval")[0] + "*" * (" (no interval" in text)
    )


WIDTH = 80
"""Columns of a terminal that a printed text keeps to."""


def wrapped(text: str) -> str:
    """A text for a terminal, in lines of at most `WIDTH` columns."""
    return "\n".join(textwrap.wrap(plain_signs(text), WIDTH))


def short(value: Any) -> str:
    """An estimate with its interval in brackets, two digits; starred where all are alike."""
    if value.estimate is None:
        return "-"
    if value.low is None or value.high is None:
        return f"{value.estimate:.2f}" + ("*" if FLAT in value.reason else "")
    return f"{value.estimate:.2f} [{value.low:.2f}, {value.high:.2f}]"


def p_value(p: float) -> str:
    """A p-value to three digits, or that it is below them."""
    return f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"
