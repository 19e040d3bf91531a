"""Figures of hedges as words."""

from __future__ import annotations

import plotly.graph_objects as go

from mechcot.core.words import percent
from mechcot.report.charts import Axis, Mark, Row, row_chart
from mechcot.report.figures import AFTER, BEFORE, Json

LABELS = {"hedge": "a hedge", "certain": "a mark of certainty", "first_person": "the first person"}


def hedge_words(result: Json, *, title: str | None = None) -> go.Figure:
    """Share of steps that hold a hedge, a mark of certainty, the first person, in both arms.

    Args:
        result: `HedgeWordsResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    rows = []
    for kind, label in LABELS.items():
        own = result["words"][kind]["steps"]
        marks = [
            Mark(own[role], colour, f"{result[role]}, {label}: {percent(own[role])}", result[role])
            for role, colour in (("before", BEFORE), ("after", AFTER))
        ]
        rows.append(Row(label, marks))
    hedged = result["words"]["hedge"]["steps"]
    statement = "Steps that hedge: " + ", ".join(
        f"{percent(hedged[role])} ({result[role]})" for role in ("before", "after")
    )
    caption = (
        f"Share of steps that hold one, with 95 % intervals over {result['n_questions']} questions; "
        + " and ".join(f"{result['n_steps'][role]:,} steps of {result[role]}" for role in ("before", "after"))
        + "."
    )
    return row_chart(title or statement, caption, rows, Axis(ticks=".0%", zero=True), apart=0.25)
