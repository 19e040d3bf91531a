"""Where in the weights, as a map of units and outcomes, and the straight line between the checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from mechcot.analyses.weights.wording import OUTCOMES, placed, said
from mechcot.core.words import number, signed
from mechcot.report.areas import Cell, heat_map
from mechcot.report.charts import Axis
from mechcot.report.curves import Line, line_chart
from mechcot.report.figures import AFTER, BEFORE, Json, triple

_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
"""Of outcomes, in their order."""


def weights_map(result: Json, *, title: str | None = None) -> go.Figure:
    """Unit by outcome: the share of the change that one unit brings alone, and takes away alone.

    Args:
        result: `WeightsResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    effects = {(e["unit"], e["outcome"], e["author"], e["background"]): e for e in result["effects"]}
    columns = [(one["outcome"], one["author"]) for one in result["changes"]]
    cells = [
        [
            _cell(unit, effects[(unit, *column, "before")], effects[(unit, *column, "after")])
            for column in columns
        ]
        for unit in result["units"]
    ]
    caption = (
        "In a cell: % of the whole change that the unit’s change brings when it alone is put into "
        f"{result['before']} (upper number, shaded), and takes away when it alone is taken out of "
        f"{result['after']} (lower). Shares need not add up to 100. Framed: both lie outside what random "
        f"changes of the unit’s size do ({result['draws']} draws, .05 over all units). A dash: the whole "
        f"change is not apart from 0. {result['n_questions']} questions, a trace of each author."
    )
    names = [f"{OUTCOMES[outcome].short} {author}" for outcome, author in columns]
    return heat_map(
        title or placed(result),
        caption,
        result["units"],
        names,
        cells,
        AFTER,
        across="outcome, whose text",
        ends=(0, 1),
    )


def _cell(unit: str, put_in: Mapping[str, Any], taken_out: Mapping[str, Any]) -> Cell:
    shares = [number(one["share"]) for one in (put_in, taken_out)]
    told = "\n".join("–" if share is None else signed(100 * share, 0) for share in shares)
    hover = f"{unit}: put in {said(put_in)}; taken out {said(taken_out)}"
    return Cell(shares[0], told if told != "–\n–" else "–", hover, put_in["outside"] and taken_out["outside"])


def weights_line(result: Json, *, title: str | None = None) -> go.Figure:
    """Each outcome on the straight line between the checkpoints, as a share of its whole change.

    Args:
        result: `WeightsResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    colours = {result["before"]: BEFORE, result["after"]: AFTER}
    lines = []
    for change in result["changes"]:
        if not _moved(change):
            continue
        own = [
            point
            for point in result["line"]
            if (point["outcome"], point["author"]) == (change["outcome"], change["author"])
        ]
        name = f"{OUTCOMES[change['outcome']].short}, {change['author']}’s text"
        start, whole = number(own[0]["value"]) or 0.0, number(change["change"]) or 1.0
        lines.append(
            Line(
                [point["share"] for point in own],
                [_moved_by(point["value"], start, whole) for point in own],
                colours[change["author"]],
                name,
                f"{name}: %{{y:.0%}} at %{{x:.0%}}",
                dash=_DASHES[list(OUTCOMES).index(change["outcome"]) % len(_DASHES)],
                whiskers=True,
            )
        )
    caption = (
        "Weights on the straight line between both checkpoints, five points. Each outcome starts at 0 and "
        f"ends at 1 where it changed. {result['n_questions']} questions; changes apart from 0 alone. "
        "Whiskers: 95 % intervals of the outcome itself, both ends of the scale held; shapes: whose text."
    )
    statement = (
        title or f"Halfway between {result['before']} and {result['after']}, outcomes have moved this far"
    )
    return line_chart(
        statement, caption, lines, Axis("share of the way", ".0%"), Axis("share of the change", ".0%")
    )


def _moved_by(value: Any, start: float, whole: float) -> dict[str, float | None]:
    """An outcome with its interval, on the scale from its start to its end."""
    mid, *ends = (None if end is None else (end - start) / whole for end in triple(value))
    low, high = ends[:: -1 if whole < 0 else 1]
    return {"estimate": mid, "low": low, "high": high}


def _moved(change: Mapping[str, Any]) -> bool:
    low, high = (number(change["change"].get(end)) for end in ("low", "high"))
    return low is not None and high is not None and (low > 0 or high < 0)
