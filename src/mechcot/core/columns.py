"""A frame for a terminal: readable heads and codes, shares in percent, differences in points."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mechcot.core.naming import worded
from mechcot.core.words import aligned, percent, plain_signs, points, signed

if TYPE_CHECKING:
    import pandas as pd

Unit = Literal["share", "points", "number", "row", "row's change"]


class Head(NamedTuple):
    """What a column or a row is called, and what its numbers are.

    Attributes:
        name: in words.
        unit: `share` and `points` are fractions; `row` and `row's change` are as the row's own code says.
    """

    name: str
    unit: Unit = "number"


_WIDE = 9
"""A table of more columns than this, and fewer rows, stands on end."""


def told(frame: pd.DataFrame, heads: Mapping[str, Head], names: Mapping[str, str]) -> str:
    """A frame for a terminal: an interval is one column; counts stand once where they are equal.

    Args:
        frame: rows of a result.
        heads: of its columns and its codes.
        names: kinds of steps by readable names.
    """
    if not len(frame):
        return "nothing"
    columns = {str(name): list(frame[name]) for name in frame.columns}
    within = [name for name in columns if {f"{_inner(name)}low", f"{_inner(name)}high"} <= columns.keys()]
    ends = {f"{_inner(name)}{end}" for name in within for end in ("low", "high")}
    counts = [f"{_inner(name)}n" for name in within if f"{_inner(name)}n" in columns]
    units = [_unit_of(row, heads) for row in frame.to_dict("records")]
    found: dict[str, list[str]] = {}
    for name, values in columns.items():
        if name in ends or name in counts:
            continue
        head = heads.get(name, Head(_human(name)))
        found[head.name if head.name not in found else f"{head.name} ({_human(name)})"] = [
            _cell(columns, name, row, head.unit, units[row], (heads, names), name in within)
            for row in range(len(values))
        ]
    found |= _questions(columns, counts)
    rows = [tuple(found), *zip(*found.values(), strict=True)]
    if len(found) > _WIDE and len(frame) < _WIDE:
        rows = list(zip(*rows, strict=True))
    return "\n".join(aligned([tuple(map(plain_signs, row)) for row in rows]))


def _inner(name: str) -> str:
    """How the ends of an interval's column begin."""
    return "" if name == "estimate" else f"{name}_"


def _human(name: str) -> str:
    return name.removeprefix("n_").replace("_", " ")


def _unit_of(row: Mapping[Any, Any], heads: Mapping[str, Head]) -> Unit:
    """What the numbers of a row are, by the code that stands in it."""
    codes = [heads[value] for value in row.values() if isinstance(value, str) and value in heads]
    units = [head.unit for head in codes if head.unit != "number"]
    return units[0] if units else "number" if codes else heads.get("", Head("")).unit


def _cell(
    columns: Mapping[str, Sequence[Any]],
    name: str,
    row: int,
    unit: Unit,
    own: Unit,
    named: tuple[Mapping[str, Head], Mapping[str, str]],
    interval: bool,
) -> str:
    value = columns[name][row]
    if isinstance(value, str):
        return _named(value, *named)
    ends = [columns[f"{_inner(name)}{end}"][row] for end in ("low", "high")] if interval else []
    kept = unit if unit in ("share", "points", "number") else own
    if unit == "row's change" and kept == "share":
        kept = "points"
    return written(value, ends, kept)


def written(value: Any, ends: Sequence[Any], unit: Unit) -> str:
    """A number with the ends of its interval, as its unit is written; a dash where there is none."""
    if _missing(value):
        return "-"
    if isinstance(value, int) or getattr(value, "dtype", None) == "int64":
        return f"{value:,}"
    known = [float(end) for end in ends if not _missing(end)]
    shown: dict[str, Callable[[float], str]] = {
        "share": lambda end: f"{100 * end:.1f}",
        "points": lambda end: signed(100 * end),
    }
    write = shown.get(unit, "{:.3g}".format)
    head = {"share": percent, "points": points}.get(unit)
    told = head(value) if head else f"{value:.4g}" if isinstance(value, float) and not ends else write(value)
    return told + (f" [{', '.join(map(write, known))}]" if len(known) == 2 else "")


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _named(value: str, heads: Mapping[str, Head], names: Mapping[str, str]) -> str:
    """A code in words: of the table's own, or a kind of step, alone or behind `kind: `."""
    if value in heads:
        return heads[value].name
    prefix, _, kind = value.rpartition("kind: ")
    return f"{prefix}{worded({'kind': kind}, names)['kind']}" if names else value.removeprefix("kind: ")


def _questions(columns: Mapping[str, Sequence[Any]], counts: Sequence[str]) -> dict[str, list[str]]:
    """How many questions stand behind intervals: one column where they are equal, else the least and most."""
    if not counts:
        return {}
    rows = []
    for row in zip(*(columns[name] for name in counts), strict=True):
        known = sorted(int(n) for n in row if not _missing(n))
        ends = dict.fromkeys([known[0], known[-1]] if known else [])
        rows.append(" to ".join(map(str, ends)) or "-")
    return {} if "n" in columns else {"n": rows}
