"""Figures of what putting hedging back does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from mechcot.analyses.steering.design import ADD
from mechcot.report.charts import Axis
from mechcot.report.curves import Line, line_chart
from mechcot.report.figures import AFTER, BEFORE, NULL

Json = Mapping[str, Any]
_SHOWN = {"hedged": ("claims hedged", BEFORE), "wrong": ("steps wrong", AFTER), "silent": ("no answer", NULL)}


def steering_doses(result: Json, *, arm: str | None = None, title: str | None = None) -> go.Figure:
    """Shares of what one arm writes over the strength of the direction.

    Args:
        result: `SteeringResult.to_json()`.
        arm: whose; None: the arm after.
        title: a statement in place of the one read off the numbers.
    """
    name = arm or result["after"]
    own = result["arms"][name]
    rows = [one for one in own["doses"] if one["form"] == ADD]
    lines = [
        Line(
            [one["scale"] for one in rows],
            [one["shares"][key]["value"] for one in rows],
            colour,
            label,
            f"strength %{{x}}: {label} %{{y:.1%}}",
        )
        for key, (label, colour) in _SHOWN.items()
    ]
    caption = (
        f"{result['n_questions']} questions that chose nothing, {rows[0]['n_traces']:,} traces at each "
        f"strength; {own['direction']} direction at layer {own['layer']}, at every token. Bands: "
        "95 % intervals over questions."
    )
    most = "none" if own["safe"] is None or isinstance(own["safe"], Mapping) else f"{own['safe']:g}"
    statement = title or (
        f"{name} under {result['before']}’s hedge direction (greatest strength without damage: {most})"
    )
    x = Axis("strength, in distances between the means")
    return line_chart(statement, caption, lines, x, Axis("share", ".0%", ends=(-0.02, 1.02)))
