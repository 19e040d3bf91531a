"""Figures that set contrasts or groups of questions beside each other."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from mechcot.report.figures import (
    AFTER,
    NULL,
    Json,
    blank,
    esc,
    n_questions,
    points,
    rows_axis,
    rows_margin,
    triple,
    whisker,
)


def controls(rows: Sequence[Json], *, title: str | None = None) -> go.Figure:
    """The change of answers and of steps in the headline's contrast and in its controls.

    Args:
        rows: one `{"name", "answers", "audit"}` a contrast, the headline first; `answers` is
            `AnswersResult.to_json()`, `audit` is `AuditResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    names = [str(row["name"]) for row in rows]
    labels = [
        f"{esc(name)}<br>{n_questions(row['answers']['before']['n_questions'])}"
        for name, row in zip(names, rows, strict=True)
    ]
    statement = title or "Change of the step error: " + ", ".join(
        f"{points(row['audit']['delta'])} ({name})" for name, row in zip(names, rows, strict=True)
    )
    caption = (
        "After minus before, in percentage points, with 95 % intervals over questions. Judged steps: "
        + "; ".join(
            f"{name} {row['audit']['before']['n_judged']} → {row['audit']['after']['n_judged']}"
            for name, row in zip(names, rows, strict=True)
        )
        + "."
    )
    figure = blank(statement, caption, height=62 * len(rows) + 20, left=rows_margin(labels))
    columns = (("answers", "delta_sc", "x"), ("audit", "delta", "x2"))
    for part, key, axis in columns:
        leaves = [triple(row[part][key]) for row in rows]
        mids, lows, highs = zip(
            *[tuple(None if v is None else 100 * v for v in leaf) for leaf in leaves], strict=True
        )
        figure.add_scatter(
            x=mids,
            y=list(range(len(rows))),
            xaxis=axis,
            error_x=whisker(mids, lows, highs, NULL),
            mode="markers",
            marker={"size": 10, "color": [AFTER] + [NULL] * (len(rows) - 1)},
            customdata=[
                f"{esc(name)}: {points(row[part][key])}" for name, row in zip(names, rows, strict=True)
            ],
            hovertemplate="%{customdata}<extra></extra>",
            showlegend=False,
        )
    style = figure.layout.xaxis.to_plotly_json()
    figure.update_layout(
        xaxis={**style, "domain": [0, 0.46], "title": {"text": "right answers", "standoff": 8}},
        xaxis2={**style, "domain": [0.54, 1], "anchor": "y", "title": {"text": "wrong steps", "standoff": 8}},
    )
    zero = {"color": NULL, "width": 1, "dash": "dot"}
    for axis in ("x", "x2"):
        figure.add_shape(type="line", xref=axis, yref="paper", x0=0, x1=0, y0=0, y1=1, line=zero)
    rows_axis(figure, labels)
    return figure.update_xaxes(tickformat="+", nticks=4, tickangle=0, rangemode="tozero")
