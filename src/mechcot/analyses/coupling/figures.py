"""Figures of how wrong steps and wrong answers go together."""

from __future__ import annotations

import plotly.graph_objects as go

from mechcot.core.words import percent, points
from mechcot.report.charts import Axis, Mark, Row, row_chart
from mechcot.report.figures import Json
from mechcot.report.palette import of_roles

_RIGHT = Axis(ticks=".0%", ends=(0, 1.02))
_KINDS = (("right_if_flawed", "a wrong claim"), ("right_if_clean", "no wrong claim"))


def in_order(result: Json) -> list[tuple[str, Json]]:
    """The contrasts by name, the headline first."""
    return sorted(result["contrasts"].items(), key=lambda item: item[0] != "headline")


def coupling(result: Json, *, title: str | None = None) -> go.Figure:
    """Right answers of traces with and without a wrong claim, in every contrast and arm.

    Args:
        result: `CouplingResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    rows, counted = [], []
    for name, own in in_order(result):
        for role, colour in of_roles(
            result, {role: own[role]["arm"] for role in ("before", "after")}
        ).items():
            arm = own[role]
            marks = [
                Mark(arm[kind], colour, f"{arm['arm']}, traces with {label}: {percent(arm[kind])}")
                for kind, label in _KINDS
            ]
            rows.append(Row(arm["arm"] if name == "headline" else f"{name}: {arm['arm']}", marks))
            n = arm["counts"]
            flawed, clean = (n[f"right_{kind}"] + n[f"wrong_{kind}"] for kind in ("flawed", "clean"))
            counted.append(f"{rows[-1].name} {flawed} and {clean}")
    head = result["contrasts"]["headline"]
    statement = "Right answers of clean minus flawed traces: " + ", ".join(
        f"{points(head[role]['gap'])} ({head[role]['arm']})" for role in ("before", "after")
    )
    caption = (
        "Share of traces whose answer is right, with 95 % intervals over questions. Traces with and "
        f"without a wrong claim: {'; '.join(counted)}."
    )
    return row_chart(title or statement, caption, rows, _RIGHT, columns=[label for _, label in _KINDS])
