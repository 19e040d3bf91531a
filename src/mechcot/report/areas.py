"""Two charts of areas: how draws are spread (a histogram), and shaded cells (a heat map).

Texts are plain; they are escaped and wrapped here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go

from mechcot.report.charts import Axis
from mechcot.report.figures import (
    DARK,
    INK,
    PALE,
    blank,
    esc,
    esc_lines,
    look,
    pattern,
    rows_axis,
    rows_margin,
    triple,
    wrap,
)

_ROW_WIDTH, _COLUMN_WIDTH = 19, 10
"""Characters in a line of a row's and of a column's name."""
_WRITTEN = 12
"""So many columns leave room for a value in each cell; beyond, a scale says what shades mean."""
_END = "<extra></extra>"


class Draws(NamedTuple):
    """Values of one kind whose spread is shown."""

    values: Sequence[float]
    colour: str
    name: str


_CELL, _LEAST = 58, 16
"""Height of a row of a heat map in pixels: of few, and of many."""


class Cell(NamedTuple):
    """A shaded cell: its value, what is written in it and said of it (lines), whether it is framed."""

    value: Any
    text: str
    hover: str
    framed: bool = False


def histogram(
    title: str, caption: str, groups: Sequence[Draws], x: Axis, observed: float | None, colour: str
) -> go.Figure:
    """How draws are spread, and where the value on the true labels stands among them.

    Args:
        title: the statement.
        caption: denominators and method.
        groups: what is drawn, over each other.
        x: what is drawn.
        observed: where an upright line stands, if anywhere.
        colour: of that line.
    """
    figure = blank(title, caption, height=240, legend=len(groups))
    for one in groups:
        hover = f"{esc(one.name)}: %{{y}} draws at %{{x}}{_END}"
        style = {"marker_color": one.colour, "opacity": 0.6, "nbinsx": 40, "showlegend": True}
        style["marker_pattern"] = pattern(look(one.colour).pattern)
        figure.add_histogram(x=one.values, name=esc(one.name), hovertemplate=hover, **style)
    if observed is not None:
        figure.add_vline(x=observed, line={"color": colour, "width": 2.5})
        at = {"x": observed, "y": 1, "yref": "paper", "xanchor": "right", "xshift": -5}
        said = f"true labels {observed:.3f}"
        figure.add_annotation(text=said, showarrow=False, font={"color": colour}, **at)
    figure.update_layout(barmode="overlay")
    figure.update_yaxes(title_text="draws")
    return figure.update_xaxes(nticks=6, **x.layout())


def _height(rows: int) -> int:
    """Of the cells in pixels; those of a deep model's layers are lower, so that one page holds them."""
    return _CELL * rows if rows <= _WRITTEN else max(_CELL * _WRITTEN, _LEAST * rows)


def heat_map(
    title: str,
    caption: str,
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Sequence[Sequence[Cell]],
    colour: str,
    *,
    across: str = "",
    ends: tuple[float, float] | None = None,
) -> go.Figure:
    """Values as cells that are shaded.

    Args:
        title: the statement.
        caption: denominators and method.
        rows: names from top to bottom.
        columns: names from left to right.
        cells: by row, then by column.
        colour: of the highest value.
        across: title of the columns.
        ends: values of the palest and of the full colour; None: of AUROCs, from 0.5 to the largest.
    """
    names = [wrap(row, _ROW_WIDTH) for row in rows]
    figure = blank(title, caption, height=_height(len(rows)) + 10, left=rows_margin(names), legend=0)
    values = [[triple(cell.value)[0] for cell in row] for row in cells]
    written = len(columns) <= _WRITTEN
    figure.add_heatmap(
        z=values,
        x=list(range(len(columns))),
        y=list(range(len(rows))),
        zmin=ends[0] if ends else 0.5,
        zmax=ends[1] if ends else max([0.6, *(v for row in values for v in row if v is not None)]),
        colorscale=[[0, PALE], [1, colour]],
        showscale=not written,
        colorbar={"thickness": 10, "tickformat": ".2f", "outlinewidth": 0},
        textfont={"color": DARK},
        xgap=2,
        ygap=2,
        customdata=[[esc_lines(cell.hover) for cell in row] for row in cells],
        hovertemplate="%{customdata}" + _END,
        text=[[esc_lines(cell.text) for cell in row] for row in cells] if written else None,
        texttemplate="%{text}" if written else None,
    )
    for y, x in [(y, x) for y, row in enumerate(cells) for x, cell in enumerate(row) if cell.framed]:
        frame = {"x0": x - 0.5, "x1": x + 0.5, "y0": y - 0.5, "y1": y + 0.5}
        figure.add_shape(type="rect", line={"color": INK, "width": 2.5}, **frame)
    rows_axis(figure, names)
    figure.update_yaxes(range=[len(rows) - 0.5, -0.5])
    named = range(0, len(columns), -(-len(columns) // _WRITTEN))
    return figure.update_xaxes(
        title_text=esc(across),
        tickvals=list(named),
        ticktext=[wrap(columns[place], _COLUMN_WIDTH) for place in named],
        tickangle=0,
        showgrid=False,
        zeroline=False,
    )
