"""Kinds of step and their mistakes, on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from mechcot.analyses.kinds.analysis import AS_FOUND
from mechcot.core.kind_records import RULES
from mechcot.core.words import DIFFERENCE, Table, direction, number, percent, points, score, signed, why
from mechcot.report.charts import POINTS, Mark, Row, row_chart
from mechcot.report.figures import AFTER, NULL
from mechcot.report.parts import Findings, Part

Json = Mapping[str, Any]
_WAY = {"up": "rises", "down": "falls", "unclear": "shows no clear change", "unknown": "is not known"}
BY = {RULES: "by rules for English", "server": "by a server"}


def mistaken(found: Findings) -> Part:
    """Whether mistaken kinds could make the split of the audit."""
    result = found.results["kinds"]
    if "corrected" not in result:
        return Part("kinds-mistaken", "Mistakes of kinds cannot be weighed.", reason=result["reason"])
    tables = (corrected_table(result), mix_table(result), *confusion_tables(result))
    return Part("kinds-mistaken", sentence(result), figure(result), tables=tables)


def sentence(result: Json) -> str:
    """What undoing the mistakes makes of the error inside kinds."""
    plain, *undone = result["corrected"]
    told = [f"Kinds of step are named {BY[result['by']]}."]
    if result["mistaken"]:
        rates = " and ".join(f"{percent(one['agree'], 0)} of {one['writer']}’s" for one in result["mistaken"])
        n = sum(sum(map(sum, one["counts"])) for one in result["mistaken"])
        told.append(f"Of {n:,} steps that were labelled by hand they name {rates} as the labels do.")
    told.append(f"As they are named, the error inside kinds changes by {points(plain['within'])}")
    known = [row["within"] for row in undone if number(row["within"]) is not None]
    if not known:
        reason = result["reason"] or (why(undone[0]["within"]) if undone else "")
        return " ".join(told) + f"; mistakes cannot be undone ({reason})."
    ways = {direction(one) for one in known}
    way = _WAY[ways.pop()] if len(ways) == 1 else "moves one way or another, as the arms are mistaken"
    told[-1] += f"; with the mistakes undone by {_ends(undone)} points: it {way}."
    return " ".join(told)


def figure(result: Json, *, title: str | None = None) -> go.Figure:
    """The change of step error inside kinds, as found and with mistakes undone.

    Args:
        result: `KindsResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    rows = [
        Row(
            row["mistakes"],
            [Mark(row["within"], AFTER if row["mistakes"] == AS_FOUND else NULL, points(row["within"]))],
        )
        for row in result["corrected"]
    ]
    caption = (
        f"Change of the error inside kinds of step from {result['before']} to {result['after']}, by the mean "
        "of both arms’ shares, with 95 % intervals over questions and, where mistakes are undone, over the "
        "labelled steps."
    )
    return row_chart(title or _statement(result), caption, rows, POINTS)


def _statement(result: Json) -> str:
    plain, *undone = result["corrected"]
    told = (
        f"The error inside kinds of step changes by {signed(100 * (number(plain['within']) or 0.0))} points"
    )
    ends = _ends(undone)
    return f"{told}; with mistaken kinds undone by {ends} points" if ends else told


def _ends(undone: Sequence[Json]) -> str:
    """The changes with mistakes undone, the smallest to the largest; "" where there are none."""
    known = sorted(100 * value for row in undone if (value := number(row["within"])) is not None)
    return " to ".join(dict.fromkeys(signed(value) for value in (*known[:1], *known[-1:])))


def corrected_table(result: Json) -> Table:
    """The change inside kinds, case by case."""
    rows = tuple((row["mistakes"], points(row["within"])) for row in result["corrected"])
    note = (
        "Undone on the assumption that a step’s kind is mistaken as often whether or not the step is wrong "
        "(docs/kinds.md)."
    )
    return Table("The error inside kinds with mistaken kinds undone", ("mistakes", DIFFERENCE), rows, note)


def mix_table(result: Json) -> Table:
    """Shares of kinds."""
    rows = tuple(
        (
            row["kind"],
            *(score(row["share"][role]) for role in ("before", "after")),
            points(row["share"]["difference"]),
        )
        for row in result["mix"]
    )
    left = result["unread"]["before"] + result["unread"]["after"]
    note = f"Left out: {left:,} steps whose kind the server did not name." if left else ""
    head = ("kind", result["before"], result["after"], DIFFERENCE)
    return Table("Kinds among judged steps", head, rows, note)


def confusion_tables(result: Json) -> tuple[Table, ...]:
    """Labelled steps by writer."""
    return tuple(
        Table(
            f"Labelled steps of {one['writer']}",
            ("labelled", *(f"named {kind}" for kind in result["kinds"])),
            tuple((kind, *map(str, row)) for kind, row in zip(result["kinds"], one["counts"], strict=True)),
        )
        for one in result["mistaken"]
    )
