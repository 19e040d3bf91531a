"""Curves over one axis, with their bands or whiskers.

Texts are plain; they are escaped and wrapped here. A value is what `triple` reads: a number, an interval, or
nothing. In a hover that is the same for a whole line, `%{x}` and `%{y}` stand for a point's own numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from mechcot.report.charts import DOTTED, END, Axis
from mechcot.report.figures import (
    NULL,
    band,
    blank,
    entry,
    esc,
    esc_lines,
    look,
    marker,
    no_interval,
    numbers,
    whisker,
)

_SHOWN = 7
"""Marks on a line that has none of its own."""


@dataclass(frozen=True)
class Line:
    """A curve, with a band or with whiskers where its values have intervals.

    Attributes:
        x: numbers, or names.
        values: one a point.
        colour: of the line and of its band.
        name: its entry in the legend.
        hover: what is said of each point: one text for all, or one a point.
        mode: "lines", "lines+markers", or "none" for the band alone. Named lines with intervals have some
            marks of their colour's shape in any case.
        dash: "solid", "dash" or "dot"; "": that of its colour.
        whiskers: whether intervals are whiskers.
        band: whether they are a band.
        level: a dashed line of its colour at this height, None for none.
        counts: units behind each point, `%{customdata}` in the hover; larger dots hold more.
    """

    x: Sequence[float | str]
    values: Sequence[Any]
    colour: str
    name: str = ""
    hover: str | Sequence[str] = ""
    mode: str = "lines+markers"
    dash: str = ""
    whiskers: bool = False
    band: bool = True
    level: float | None = None
    counts: Sequence[int] = ()


def line_chart(
    title: str,
    caption: str,
    lines: Sequence[Line],
    x: Axis,
    y: Axis,
    *,
    height: int = 320,
    diagonal: bool = False,
) -> go.Figure:
    """Curves over one axis.

    Args:
        title: the statement.
        caption: denominators and method.
        lines: what is drawn, the lowest first.
        x: what it is drawn over.
        y: what is drawn.
        height: of the plotting area in pixels.
        diagonal: whether a line marks where both axes say the same.
    """
    figure = blank(title, caption, height=height, legend=sum(bool(line.name) for line in lines))
    if diagonal:
        style = {"line": {"color": NULL, "dash": "dot"}, "hoverinfo": "skip", "showlegend": False}
        figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", **style)
    for one in lines:
        _curve(figure, one)
    if y.null is not None:
        figure.add_hline(y=y.null, line=DOTTED)
    figure.update_yaxes(**y.layout())
    return figure.update_xaxes(**({"range": _whole(lines)} | x.layout()))


def _whole(lines: Sequence[Line]) -> tuple[float, float] | None:
    """The ends of lines without dots of their own: what tells them apart adds no room; None: as it fits."""
    places = [x for line in lines for x in line.x if not isinstance(x, str)]
    dotted = any("markers" in line.mode for line in lines)
    return None if dotted or not places or min(places) == max(places) else (min(places), max(places))


def _curve(figure: go.Figure, line: Line) -> None:
    """A line with its band under it."""
    mids, lows, highs = numbers(line.values)
    x = [esc(value) if isinstance(value, str) else value for value in line.x]
    if line.band and not line.whiskers:
        band(figure, x, lows, highs, line.colour, line.name if line.mode == "none" else "")
    if line.mode != "none":
        figure.add_scatter(
            x=x,
            y=mids,
            error_y=whisker(mids, lows, highs, line.colour) if line.whiskers else None,
            line={"color": line.colour, "width": 2.5} | _dashed(line),
            cliponaxis=False,
            **_points(line),
            **entry(line.name),
        )
    if line.level is not None:
        style = {"color": line.colour, "width": 1.4, "dash": "dash"}
        told = {"annotation_text": esc(line.name), "annotation_position": "top left"} if line.name else {}
        figure.add_hline(y=line.level, line=style, **told)


def _dashed(line: Line) -> dict[str, Any]:
    dash = line.dash or look(line.colour).dash
    return {} if dash == "solid" else {"dash": dash}


def _points(line: Line) -> dict[str, Any]:
    """The marks of a line and what is said of them; a line without marks has a few, to tell its colour by."""
    reasons = [no_interval(value) for value in line.values]
    dots = "markers" in line.mode
    few = not dots and bool(line.name) and not all(reasons)
    look_of = marker([line.colour], [look(line.colour).symbol], 9 if line.whiskers else 7)
    if line.counts:
        most = max(line.counts)
        look_of |= {"size": [6 + 14 * math.sqrt(count / most) for count in line.counts]}
    texts = [line.hover] * len(reasons) if isinstance(line.hover, str) else list(line.hover)
    hovers = [
        "\n".join(filter(None, [text, reason if dots else ""]))
        for text, reason in zip(texts, reasons, strict=True)
    ]
    hovers = list(map(esc_lines, hovers))
    same = isinstance(line.hover, str) and len(set(hovers)) < 2
    told: dict[str, Any] = {"hovertemplate": (hovers or [""])[0] + END, "customdata": line.counts or None}
    if not same:
        told = {"hovertemplate": "%{customdata}" + END, "customdata": hovers}
    if isinstance(line.hover, str) and not same:
        told = {"hovertemplate": [hover + END for hover in hovers], "customdata": line.counts or None}
    shown = {"marker": look_of | ({"maxdisplayed": _SHOWN} if few else {})} if dots or few else {}
    return {"mode": "lines+markers" if few else line.mode, **shown, **told}
