"""The chart that most figures are asked for in: marks and bars on named rows.

Texts are plain; they are escaped and wrapped here. A value is what `triple` reads: a number, an interval, or
nothing. In a hover that is the same for a whole series, `%{x}` stands for a bar's own number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import plotly.graph_objects as go

from mechcot.report.figures import (
    FAINT,
    INK,
    NULL,
    blank,
    entry,
    esc,
    esc_lines,
    look,
    marker,
    no_interval,
    numbers,
    pattern,
    rows_axis,
    rows_margin,
    tint,
    triple,
    whisker,
    wrap,
)

_ROW_WIDTH, _SIDE_WIDTH = 20, 34
"""Characters in a line of a row's name and of the title of the y axis."""
_GAP = 0.14
"""Between two columns, as a share of the width; of more columns a part of it."""
_LAST = 2000
"""Place in the legend of what is greyed."""
DOTTED = {"color": NULL, "width": 1, "dash": "dot"}
END = "<extra></extra>"


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


def auroc(leaves: Sequence[Any], title: str = "AUROC") -> Axis:
    """An axis of AUROCs from chance on; it begins lower where a value or an end of an interval does.

    Args:
        leaves: all that is drawn.
        title: what they are.
    """
    ends = [end for leaf in leaves for end in triple(leaf) if end is not None]
    low, high = min([0.5, *ends]), max([0.6, *ends])
    room = 0.03 * (high - low)
    return Axis(title, ".2f", ends=(low - room if low < 0.5 else 0.5, high + room), null=0.5)


class Mark(NamedTuple):
    """A dot with its interval; those of one name are one entry of the legend.

    A dot has the shape of its colour. What is `faint` is grey and keeps its shape: few questions stand
    behind it.
    """

    value: Any
    colour: str
    hover: str
    name: str = ""
    symbol: str | None = None
    faint: bool = False


class Bar(NamedTuple):
    """A bar with its interval; those of one name are one entry of the legend and have one pattern."""

    value: Any
    colour: str
    hover: str
    name: str = ""
    start: float | None = None
    pattern: str | None = None


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


def _height(rows: Sequence[Row], apart: float) -> int:
    """Of a row in pixels: words below a mark take most, two marks beside each other more than one."""
    return 96 if any(row.note for row in rows) else 60 if apart else 46


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
    bars = _series([row.bars for row in rows])
    names = {bar.name for row in rows for bar in row.bars} | {mark.name for row in rows for mark in row.marks}
    faint = any(mark.faint for row in rows for mark in row.marks)
    named = len(names - {""}) + faint
    figure = blank(title, caption, height=int(high * len(rows) + 20), left=rows_margin(labels), legend=named)
    if x.region is not None:
        low, up, colour = x.region
        style = {"fillcolor": colour, "line": {"width": 0}, "layer": "below"}
        _upright(figure, "rect", low * x.scale, up * x.scale, **style)
    for place, row in enumerate(rows):
        for span in row.spans:
            _span(figure, place, span, x.scale)
        if row.note:
            at = {"x": 0, "xref": "paper", "xanchor": "left", "y": place, "yshift": 33}
            figure.add_annotation(text=esc(row.note), showarrow=False, **at)
    for same in bars:
        _bars(figure, same, None if stacked else 0.5)
    grey = NULL if bars or columns else None
    _marks(figure, rows, x.scale, apart, grey, bool(columns))
    if named and bars:
        figure.update_layout(barmode="stack" if stacked else "overlay")
    if stacked:
        figure.update_layout(legend_traceorder="normal")
    _columns(figure, columns)
    if x.null is not None:
        for axis in map(_axis, range(len(columns))) if columns else [None]:
            _upright(figure, "line", x.null, x.null, xref=axis, line=DOTTED)
    rows_axis(figure, labels)
    return figure.update_xaxes(**x.layout())


def _series(rows: Sequence[Sequence[Bar]]) -> list[list[tuple[int, Bar]]]:
    """The bars that are one trace, with their rows: all of a name together, what has no name alone."""
    if any(one.name for row in rows for one in row):
        return [list(enumerate(column)) for column in zip(*rows, strict=True)]
    return [[(place, one)] for place, row in enumerate(rows) for one in row]


_Key = tuple[int, str, bool, bool, str]


def _groups(rows: Sequence[Row], columns: bool) -> dict[_Key, list[tuple[int, Mark]]]:
    """The marks that are one trace, with their rows.

    By place in the row, name, whether they are faint and whether they have whiskers. What has neither a name
    nor a column stands alone, as whiskers of one trace have one colour.
    """
    found: dict[_Key, list[tuple[int, Mark]]] = {}
    for place, row in enumerate(rows):
        for number, mark in enumerate(row.marks):
            alone = "" if mark.name or columns or mark.faint else f"{place} {number}"
            key = (number, mark.name, mark.faint, bool(no_interval(mark.value)), alone)
            found.setdefault(key, []).append((place, mark))
    return found


def _marks(
    figure: go.Figure, rows: Sequence[Row], scale: float, apart: float, whiskers: str | None, columns: bool
) -> None:
    """All marks; each name is once in the legend, those too whose marks are all faint."""
    known: set[str] = set()
    over_bars = {"marker_line": {"width": 1.5, "color": "white"}} if any(row.bars for row in rows) else {}
    for (number, name, faint, _, _), series in _groups(rows, columns).items():
        called = FAINT if faint else name
        more = entry("" if called in known else called) | ({"xaxis": _axis(number)} if columns else {})
        more |= over_bars | ({"legendrank": _LAST} if faint else {})
        _dots(figure, series, scale, (2 * number - 1) * apart, whiskers, **more)
        known.add(called)
    for mark in (mark for row in rows for mark in row.marks):
        if mark.name and mark.name not in known:
            unseen = mark._replace(value=None, faint=False)
            _dots(figure, [(0, unseen)], scale, 0, whiskers, **entry(mark.name), hoverinfo="skip")
            known.add(mark.name)


def _axis(number: int) -> str:
    return f"x{number + 1}" if number else "x"


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
    mids, lows, highs = numbers([mark.value for mark in marks], scale)
    colours = [tint(NULL, 0.7) if mark.faint else mark.colour for mark in marks]
    size = 8 if "xaxis" in more else 10  # of a column, where whiskers are short
    hovers = [
        "\n".join(filter(None, [mark.hover, FAINT if mark.faint else "", _unsaid(mark)])) for mark in marks
    ]
    figure.add_scatter(
        x=mids,
        y=[place + shift for place in places],
        error_x=None if no_interval(marks[0].value) else whisker(mids, lows, highs, whiskers or colours[0]),
        mode="markers",
        marker=marker(colours, [mark.symbol or look(mark.colour).symbol for mark in marks], size),
        cliponaxis=False,
        customdata=list(map(esc_lines, hovers)),
        **({"hovertemplate": "%{customdata}" + END} | more),
    )


def _unsaid(mark: Mark) -> str:
    """Why a dot has no whisker, unless what is said of it says so."""
    return "" if "no interval" in mark.hover else no_interval(mark.value)


def _bars(figure: go.Figure, series: Sequence[tuple[int, Bar]], width: float | None) -> None:
    """One trace of bars; none where no value is known."""
    places, bars = zip(*series, strict=True)
    mids, lows, highs = numbers([bar.value for bar in bars])
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
        marker_opacity=1 if bars[0].start is None and bars[0].name else 0.75,  # whiskers are seen on them
        marker_pattern=pattern(look(bars[0].colour).pattern if bars[0].pattern is None else bars[0].pattern),
        customdata=hovers if many else None,
        hovertemplate=("%{customdata}" if many else hovers[0]) + END,
        **entry(bars[0].name),
    )


def _span(figure: go.Figure, place: int, span: Span, scale: float) -> None:
    """A thick line; one that says something has markers, unseen, for room at the ends of the axis."""
    said: dict[str, Any] = {"mode": "lines", "hoverinfo": "skip"}
    if span.hover:
        hover = esc_lines(span.hover) + END
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
    gap = 2 * _GAP / max(2, len(columns))
    style, wide = figure.layout.xaxis.to_plotly_json(), (1 + gap) / max(1, len(columns))
    for number, column in enumerate(columns):
        ends = [number * wide, (number + 1) * wide - gap]
        own = {**style, "domain": ends, "anchor": "y" if number else None, "nticks": 4, "tickangle": 0}
        own["title"] = style["title"] | {"text": esc(column)}
        figure.update_layout({_axis(number).replace("x", "xaxis"): own})
