"""Named points in the plane of two numbers, each with an outline of where it may lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from mechcot.report.charts import Axis
from mechcot.report.figures import NULL, blank, esc, tint

_LINE = {"color": NULL, "width": 1}


@dataclass(frozen=True, eq=False)
class Spot:
    """A point.

    Attributes:
        name: written beside it.
        x: its place across.
        y: its place up.
        outline: around it, [2, points].
        colour: of all of it.
        hover: what is said of it.
    """

    name: str
    x: float
    y: float
    outline: np.ndarray
    colour: str
    hover: str


def plane_chart(
    title: str, caption: str, spots: Sequence[Spot], x: Axis, y: Axis, *, levels: Sequence[float] = ()
) -> go.Figure:
    """Points with their outlines, and lines where either number is at its null.

    Args:
        title: the statement, plain text.
        caption: denominators and method, plain text.
        spots: the points.
        x: the axis across; its scale and null count.
        y: the axis up.
        levels: further heights that are dotted lines.
    """
    figure = blank(title, caption, height=420, legend=0)
    for spot in spots:
        across, up = x.scale * spot.outline[0], y.scale * spot.outline[1]
        figure.add_scatter(
            x=across, y=up, mode="lines", line={"color": spot.colour, "width": 1}, fill="toself",
            fillcolor=tint(spot.colour, 0.12), hoverinfo="skip", showlegend=False,
        )  # fmt: skip
        figure.add_scatter(
            x=[x.scale * spot.x], y=[y.scale * spot.y], mode="markers+text", text=[esc(spot.name)],
            textposition="top center", marker={"color": spot.colour, "size": 9}, showlegend=False,
            hovertemplate=f"{esc(spot.hover)}<extra></extra>",
        )  # fmt: skip
    if y.null is not None:
        figure.add_hline(y=y.scale * y.null, line=_LINE)
    if x.null is not None:
        figure.add_vline(x=x.scale * x.null, line=_LINE)
    for level in levels:
        figure.add_hline(y=y.scale * level, line={**_LINE, "dash": "dot"})
    figure.update_xaxes(**x.layout())
    figure.update_yaxes(**y.layout())
    return figure
