"""Markdown out of texts that others wrote: escaped, so that none of them is markup, a link or HTML."""

from __future__ import annotations

import re
from html import escape

from mechcot.core.words import Table, plain_signs

_MARKS = re.compile(r"([\\`*_{}\[\]()#+!|~@-]|:(?=//))")


def escaped(text: object) -> str:
    """A text in one line in which nothing is Markdown or HTML."""
    line = " ".join(str(text).split())
    return _MARKS.sub(r"\\\1", escape(plain_signs(line), quote=False))


def fenced(text: str) -> str:
    """A text of several lines as it stands, inside a fence that it does not hold."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def table(shown: Table) -> str:
    """A table, its cells escaped."""
    rows = [shown.head, ("---",) * len(shown.head), *shown.rows]
    lines = (
        "| " + " | ".join(cell if row[0] == "---" else _cell(cell) for cell in row) + " |" for row in rows
    )
    return "\n".join(lines)


def _cell(text: str) -> str:
    """As `escaped`, but signs that are markup only where a line begins stay: cells are full of numbers."""
    line = " ".join(str(text).split())
    return re.sub(r"([\\`*_{}\[\]|~@]|:(?=//))", r"\\\1", escape(line, quote=False))
