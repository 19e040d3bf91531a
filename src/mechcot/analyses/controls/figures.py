"""Figures that set contrasts or groups of questions beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import plotly.graph_objects as go

from mechcot.core.words import points
from mechcot.report.charts import POINTS, Mark, Row, row_chart
from mechcot.report.figures import AFTER, NULL, Json, n_questions


def controls_alone(found: Json) -> go.Figure:
    """The changes of a `ControlsResult.to_json()`, without the headline."""
    return _drawn([{"name": name, **own} for name, own in found.items() if "audit" in own], NULL)


def controls(rows: Sequence[Json], *, title: str | None = None) -> go.Figure:
    """The change of answers and of steps in the headline's contrast and in its controls.

    Args:
        rows: one `{"name", "answers", "audit"}` a contrast, the headline first; `answers` is
            `AnswersResult.to_json()`, `audit` is `AuditResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    return _drawn(rows, AFTER, title)


def _drawn(rows: Sequence[Json], first: str, title: str | None = None) -> go.Figure:
    """Rows of two columns, the first in a colour of its own."""
    changes = ", ".join(f"{points(row['audit']['delta'])} ({row['name']})" for row in rows)
    judged = "; ".join(
        f"{row['name']} {row['audit']['before']['n_judged']} → {row['audit']['after']['n_judged']}"
        for row in rows
    )
    drawn = []
    for place, row in enumerate(rows):
        leaves = (row["answers"]["delta_sc"], row["audit"]["delta"])
        marks = [Mark(leaf, NULL if place else first, f"{row['name']}: {points(leaf)}") for leaf in leaves]
        drawn.append(Row(f"{row['name']}\n{n_questions(row['answers']['before']['n_questions'])}", marks))
    return row_chart(
        title or f"Change of the step error: {changes}",
        "After minus before, in percentage points, with 95 % intervals over questions. "
        f"Judged steps: {judged}.",
        drawn,
        replace(POINTS, title=""),
        columns=("right answers", "wrong steps"),
    )
