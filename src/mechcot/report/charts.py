"""The two charts that most figures are asked for in: marks and bars on named rows, and curves.

Texts are plain; they are escaped and wrapped here. A value is what `triple` reads: a number, an interval, or
nothing. In a hover that is the same for a whole series, `%{x}` and `%{y}` stand for a point's own numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import plotly.graph_objects as go

from mechcot.report.figures import (
    INK,
    NULL,
    band,
    blank,
    esc,
    esc_lines,
    rows_axis,
    rows_margin,
    triple,
    whisker,
    wrap,
)

_ROW_WIDTH, _SIDE_WIDTH = 20, 34
"""Characters in a line of a row's name and of the title of the y axis."""
_GAP = 0.08
"""Between two columns, as a share of the width."""
_DOTTED = {"color": NULL, "width": 1, "dash": "dot"}
_END = "<extra></extra>"


@dataclass(frozen=True)
class Axis:
    """An axis of numbers.

    Attributes:
        title: what they are, with their unit.
        ticks: how numbers are written, as d3 does: ".0%", "+", "d".
        ends: its range; None: that of the data.
        zero: whether 0 is on it.
        step: between ticks; None: as they fit.
        scale: what values are multiplied by: 100 for percentage points.
        null: where a line stands for chance or no change.
        region: values marked behind all others, and their colour.
    """

    title: str = ""
    ticks: str = ""
    ends: tuple[float, float] | None = None
    zero: bool = False
    step: float | None = None
    scale: float = 1
    null: float | None = None
    region: tuple[float, float, str] | None = None

    def layout(self) -> dict[str, Any]:
        """Its settings, as far as there are some."""
        mode = "tozero" if self.zero else ""
        pairs = {"tickformat": self.ticks, "range": self.ends, "rangemode": mode, "dtick": self.step}
        titled = {"title_text": wrap(self.title, _SIDE_WIDTH)} if self.title else {}
        return titled | {key: value for key, value in pairs.items() if value}


POINTS = Axis("change, percentage points", "+", zero=True, scale=100, null=0)
"""Of a difference of rates."""
ERRORS = Axis("erroneous among judged claims", ".0%", zero=True)
"""Of a rate of errors."""


class Mark(NamedTuple):
    """A dot with its interval; those of one name are one entry of the legend."""

    value: Any
    colour: str
    hover: str
    name: str = ""
    symbol: str | None = None


class Bar(NamedTuple):
    """A bar with its interval; those of one name are one entry of the legend."""

    value: Any
    colour: str
    hover: str
    name: str = ""
    start: float | None = None


class Span(NamedTuple):
    """All values between two ends."""

    low: float | None
    high: float | None
    colour: str
    width: float
    hover: str = ""


@dataclass(frozen=True)
class Row:
    """A named row: spans, bars over them, marks over both; a note stands above."""

    name: str
    marks: Sequence[Mark] = ()
    bars: Sequence[Bar] = ()
    spans: Sequence[Span] = ()
    note: str = ""


@dataclass(frozen=True)
class Line:
    """A curve, with a band or with whiskers where its values have intervals.

    Attributes:
        x: numbers, or names.
        values: one a point.
        colour: of the line and of its band.
        name: its entry in the legend.
        hover: what is said of each point: one text for all, or one a point.
        mode: "lines", "lines+markers", or "none" for the band alone.
        dash: "solid", "dash" or "dot".
        whiskers: whether intervals are whiskers.
        level: a dashed line of its colour at this height, None for none.
        counts: units behind each point, `%{customdata}` in the hover; larger dots hold more.
    """

    x: Sequence[float | str]
    values: Sequence[Any]
    colour: str
    name: str = ""
    hover: str | Sequence[str] = ""
    mode: str = "lines+markers"
    dash: str = "solid"
    whiskers: bool = False
    level: float | None = None
    counts: Sequence[int] = ()


def _height(rows: Sequence[Row], apart: float) -> int:
    """Of a row in pixels: words below a mark take most, two marks beside each other more than one."""
    return 85 if any(row.note for row in rows) else 60 if apart else 46


def row_chart(
    title: str,
    caption: str,
    rows: Sequence[Row],
    x: Axis,
    *,
    apart: float = 0,
    columns: Sequence[str] = (),
    stacked: bool = False,
) -> go.Figure:
    """Named rows from top to bottom, with dots, bars and their intervals on them.

    Args:
        title: the statement.
        caption: denominators and method.
        rows: with as many marks and as many bars each, where these have names or stand in columns.
        x: what is drawn.
        apart: how far the two marks of a row stand from its middle, in rows.
        columns: names of columns, one for each mark of a row.
        stacked: whether the bars of a row follow each other.
    """
    labels = ["<br>".join(wrap(line, _ROW_WIDTH) for line in row.name.split("\n")) for row in rows]
    high = max([_height(rows, apart), *(15 * label.count("<br>") + 21 for label in labels)])
    bars, marks = _series([row.bars for row in rows]), _series([row.marks for row in rows], bool(columns))
    names = {bar.name for row in rows for bar in row.bars} | {mark.name for row in rows for mark in row.marks}
    named = len(names - {""})
    figure = blank(title, caption, height=int(high * len(rows) + 20), left=rows_margin(labels), legend=named)
    if x.region is not None:
        low, up, colour = x.region
        style = {"fillcolor": colour, "line": {"width": 0}, "layer": "below"}
        _upright(figure, "rect", low * x.scale, up * x.scale, **style)
    for place, row in enumerate(rows):
        for span in row.spans:
            _span(figure, place, span, x.scale)
        if row.note:
            at = {"x": 0, "xref": "paper", "xanchor": "left", "y": place, "yshift": 26}
            figure.add_annotation(text=esc(row.note), showarrow=False, **at)
    for same in bars:
        _bars(figure, same, None if stacked else 0.5)
    for number, series in enumerate(marks):
        more: dict[str, Any] = {"showlegend": number == 0} if bars else {}
        if columns:
            more["xaxis"] = _axis(number)
        grey = NULL if bars or columns else None
        _dots(figure, series, x.scale, (2 * number - 1) * apart, grey, **more)
    if named and bars:
        figure.update_layout(barmode="stack" if stacked else "overlay")
    if stacked:
        figure.update_layout(legend_traceorder="normal")
    _columns(figure, columns)
    if x.null is not None:
        for axis in map(_axis, range(len(columns))) if columns else [None]:
            _upright(figure, "line", x.null, x.null, xref=axis, line=_DOTTED)
    rows_axis(figure, labels)
    return figure.update_xaxes(**x.layout())


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
        figure.add_hline(y=y.null, line=_DOTTED)
    figure.update_yaxes(**y.layout())
    return figure.update_xaxes(**x.layout())


T = TypeVar("T")
_Drawn = TypeVar("_Drawn", Mark, Bar)


def _series(rows: Sequence[Sequence[_Drawn]], whole: bool = False) -> list[list[tuple[int, _Drawn]]]:
    """What is one trace, with its rows: all of a name or of a column together, what has no name alone."""
    if whole or any(one.name for row in rows for one in row):
        return [list(enumerate(column)) for column in zip(*rows, strict=True)]
    return [[(place, one)] for place, row in enumerate(rows) for one in row]


def _numbers(values: Sequence[Any], scale: float = 1) -> tuple[list[float | None], ...]:
    """Estimates, lower ends and upper ends."""
    leaves = [[None if end is None else scale * end for end in triple(value)] for value in values]
    return tuple([leaf[i] for leaf in leaves] for i in range(3))


def _axis(number: int) -> str:
    return f"x{number + 1}" if number else "x"


def _entry(name: str) -> dict[str, Any]:
    return {"name": esc(name)} if name else {"showlegend": False}


def _dots(
    figure: go.Figure,
    series: Sequence[tuple[int, Mark]],
    scale: float,
    shift: float,
    whiskers: str | None,
    **more: Any,
) -> None:
    """One trace of marks; their whiskers are in the marks' colour where they have none of their own."""
    places, marks = zip(*series, strict=True)
    mids, lows, highs = _numbers([mark.value for mark in marks], scale)
    name, colours, symbols = marks[0].name, [mark.colour for mark in marks], [mark.symbol for mark in marks]
    figure.add_scatter(
        x=mids,
        y=[place + shift for place in places],
        error_x=whisker(mids, lows, highs, whiskers or (None if name else colours[0])),
        mode="markers",
        marker={"size": 12 if any(symbols) else 10, "color": _one(colours), "symbol": _one(symbols)},
        cliponaxis=False if name and not whiskers else None,
        customdata=[esc_lines(mark.hover) for mark in marks],
        hovertemplate="%{customdata}" + _END,
        **(_entry(name) | more),
    )


def _one(values: Sequence[T]) -> T | Sequence[T]:
    """The value where all are the same."""
    return values[0] if len(set(values)) == 1 else values


def _bars(figure: go.Figure, series: Sequence[tuple[int, Bar]], width: float | None) -> None:
    """One trace of bars; none where no value is known."""
    places, bars = zip(*series, strict=True)
    mids, lows, highs = _numbers([bar.value for bar in bars])
    if all(mid is None for mid in mids):
        return
    hovers = [esc_lines(bar.hover) for bar in bars]
    many = len(set(hovers)) > 1
    figure.add_bar(
        x=mids,
        y=places,
        base=None if bars[0].start is None else [bar.start for bar in bars],
        error_x=whisker(mids, lows, highs, INK) if any(end is not None for end in lows) else None,
        orientation="h",
        width=width,
        marker_color=bars[0].colour,
        customdata=hovers if many else None,
        hovertemplate=("%{customdata}" if many else hovers[0]) + _END,
        **_entry(bars[0].name),
    )


def _span(figure: go.Figure, place: int, span: Span, scale: float) -> None:
    """A thick line; one that says something has markers, unseen, for room at the ends of the axis."""
    said: dict[str, Any] = {"mode": "lines", "hoverinfo": "skip"}
    if span.hover:
        hover = esc_lines(span.hover) + _END
        said = {"mode": "lines+markers", "marker": {"opacity": 0}, "hovertemplate": hover}
    figure.add_scatter(
        x=[None if end is None else scale * end for end in (span.low, span.high)],
        y=[place, place],
        line={"color": span.colour, "width": span.width},
        showlegend=False,
        **said,
    )


def _upright(figure: go.Figure, kind: str, low: float, high: float, **style: Any) -> None:
    """A line or a rectangle over all rows."""
    figure.add_shape(type=kind, x0=low, x1=high, yref="paper", y0=0, y1=1, **style)


def _columns(figure: go.Figure, columns: Sequence[str]) -> None:
    """Part the width among columns, each with an axis and a name."""
    style, wide = figure.layout.xaxis.to_plotly_json(), (1 + _GAP) / max(1, len(columns))
    for number, column in enumerate(columns):
        ends = [number * wide, (number + 1) * wide - _GAP]
        own = {**style, "domain": ends, "anchor": "y" if number else None, "nticks": 4, "tickangle": 0}
        own["title"] = style["title"] | {"text": esc(column)}
        figure.update_layout({_axis(number).replace("x", "xaxis"): own})


def _curve(figure: go.Figure, line: Line) -> None:
    """A line with its band under it."""
    mids, lows, highs = _numbers(line.values)
    x = [esc(value) if isinstance(value, str) else value for value in line.x]
    if not line.whiskers:
        band(figure, x, lows, highs, line.colour)
    if line.mode != "none":
        most = max(line.counts, default=1)
        sizes = [6 + 14 * math.sqrt(count / most) for count in line.counts]
        one = isinstance(line.hover, str)
        hovers = [esc_lines(text) for text in ([line.hover] if isinstance(line.hover, str) else line.hover)]
        figure.add_scatter(
            x=x,
            y=mids,
            error_y=whisker(mids, lows, highs) if line.whiskers else None,
            mode=line.mode,
            line={"color": line.colour, "width": 2.5} | ({} if line.dash == "solid" else {"dash": line.dash}),
            marker_size=sizes or (9 if line.whiskers else None),
            customdata=(line.counts or None) if one else hovers,
            hovertemplate=(hovers[0] if one else "%{customdata}") + _END,
            **_entry(line.name),
        )
    if line.level is not None:
        figure.add_hline(y=line.level, line={"color": line.colour, "width": 1.4, "dash": "dash"})
