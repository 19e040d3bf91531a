"""Named points in the plane of two numbers, each with an outline of where it may lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from mechcot.report.charts import Axis
from mechcot.report.figures import NULL, blank, entry, esc, look, marker, tint

_LINE = {"color": NULL, "width": 1}
_WIDTH, _HEIGHT = 290, 420
"""Of the plot in pixels, on a phone."""


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
        kind: its entry in the legend; points of one kind have one colour and one shape.
    """

    name: str
    x: float
    y: float
    outline: np.ndarray
    colour: str
    hover: str
    kind: str = ""


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
    kinds = list(dict.fromkeys(spot.kind for spot in spots if spot.kind))
    figure = blank(title, caption, height=_HEIGHT, legend=len(kinds))
    known: set[str] = set()
    for spot in spots:
        across, up = x.scale * spot.outline[0], y.scale * spot.outline[1]
        figure.add_scatter(
            x=across, y=up, mode="lines", line={"color": spot.colour, "width": 1}, fill="toself",
            fillcolor=tint(spot.colour, 0.12), hoverinfo="skip", showlegend=False,
        )  # fmt: skip
        figure.add_scatter(
            x=[x.scale * spot.x], y=[y.scale * spot.y], mode="markers",
            marker=marker([spot.colour], [look(spot.colour).symbol], 9),
            hovertemplate=f"{esc(spot.hover)}<extra></extra>",
            **entry("" if spot.kind in known else spot.kind),
        )  # fmt: skip
        known.add(spot.kind)
    ends = [_ends(spots, axis, row, levels if row else ()) for row, axis in enumerate((x, y))]
    for spot, (right, down) in zip(spots, _beside(spots, (x.scale, y.scale), ends), strict=True):
        figure.add_annotation(
            x=x.scale * spot.x, y=y.scale * spot.y, ax=right, ay=down, text=esc(spot.name), font={"size": 11},
            arrowhead=0, arrowwidth=0.8, arrowcolor=NULL, standoff=5, showarrow=True,
        )  # fmt: skip
    if y.null is not None:
        figure.add_hline(y=y.scale * y.null, line=_LINE)
    if x.null is not None:
        figure.add_vline(x=x.scale * x.null, line=_LINE)
    for level in levels:
        figure.add_hline(y=y.scale * level, line={**_LINE, "dash": "dot"})
    figure.update_xaxes(**(x.layout() | {"range": ends[0]}))
    figure.update_yaxes(**(y.layout() | {"range": ends[1]}))
    return figure


def _ends(spots: Sequence[Spot], axis: Axis, row: int, levels: Sequence[float]) -> tuple[float, float]:
    """The range of an axis: its own, else what holds all outlines, the null and the levels."""
    if axis.ends is not None:
        return axis.ends
    extra = [*levels, *([] if axis.null is None else [axis.null])]
    values = axis.scale * np.concatenate([*(spot.outline[row] for spot in spots), extra])
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    room = 0.06 * (high - low or 1.0)
    return low - room, high + room


def _beside(
    spots: Sequence[Spot], scale: tuple[float, float], ends: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Where each name stands, in pixels from its point: the nearest place that nothing else takes.

    A plot of a phone's width is reckoned with; on a wider one points lie farther apart.
    """
    pixels = [
        (
            _WIDTH * (scale[0] * spot.x - ends[0][0]) / (ends[0][1] - ends[0][0]),
            _HEIGHT * (ends[1][1] - scale[1] * spot.y) / (ends[1][1] - ends[1][0]),
        )
        for spot in spots
    ]
    taken = [(px - 6, py - 6, px + 6, py + 6) for px, py in pixels]
    found = []
    for spot, (px, py) in zip(spots, pixels, strict=True):
        half = 3.2 * len(spot.name) + 2
        tried = []
        for right, down in _offsets(half):
            box = (px + right - half, py + down - 7, px + right + half, py + down + 7)
            out = max(0.0, -box[0], box[2] - _WIDTH) + max(0.0, -box[1], box[3] - _HEIGHT)
            tried.append((sum(_common(box, other) for other in taken) + 20 * out, right, down, box))
        _, right, down, box = min(tried, key=lambda one: one[0])
        taken.append(box)
        found.append((right, down))
    return found


def _offsets(half: float) -> Iterator[tuple[float, float]]:
    """Places around a point, the nearest first, for a name of twice this width."""
    for reach in range(16, 90, 15):
        yield from ((0, -reach), (0, reach), (half + reach - 4, 0), (-half - reach + 4, 0))
        yield from ((side * half, way * reach) for side in (1, -1) for way in (-1, 1))


def _common(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """The area that two boxes share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)
