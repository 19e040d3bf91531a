"""Numbers of the judge controls in words, alike in the terminal, on the page and in figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mechcot.core import words
from mechcot.core.words import number, percent
from mechcot.report.parts import Part

if TYPE_CHECKING:
    import plotly.graph_objects as go

ROLES = ("before", "after")
ALPHA = 0.05
"""Below it a control is said to be apart from the judge as it is."""
FLAT_NOTE = (
    "No interval: no question differs from the others there. It says that none was seen, not "
    "that there is none; with n questions, up to about 3/n of all such questions may differ (95 %)."
)


def points(leaf: Any) -> str:
    """A difference in percentage points with its interval, starred where no question differs."""
    return f"{words.points(leaf['estimate'])}*" if _is_flat(leaf) else words.points(leaf)


def share(count: int, n: int, leaf: Any) -> str:
    """A rate with what it is made of: 29/158 18.4 %."""
    return f"{count:,}/{n:,} {percent(leaf)}" if n else "–"


def holds_flat(found: Any) -> bool:
    """Whether an estimate without spread stands somewhere in JSON values.

    Args:
        found: of a result, or of a part of it.
    """
    if isinstance(found, Mapping):
        return _is_flat(found) or any(holds_flat(inner) for inner in found.values())
    return isinstance(found, list | tuple) and any(holds_flat(inner) for inner in found)


def _is_flat(leaf: Any) -> bool:
    """Whether there is no interval because no question differs from the others."""
    return isinstance(leaf, Mapping) and "estimate" in leaf and words.is_flat(leaf)


def is_apart(row: Mapping[str, Any]) -> bool:
    """Whether a control is told apart from the judge as it is, in the family of all."""
    p = number(row["p_family"])
    return p is not None and p < ALPHA


def drawn(name: str, figure: go.Figure) -> Part:
    """A figure whose statement is the sentence."""
    return Part(name, f"{figure.layout.meta['statement']}.", figure)
