"""Figures of changes with and without sampling."""

from __future__ import annotations

from dataclasses import replace

import plotly.graph_objects as go

from mechcot.core.words import points
from mechcot.report.charts import POINTS, Mark, Row, row_chart
from mechcot.report.figures import AFTER, NULL, Json, n_questions

_DRAWN = ("right answers", "traces with a wrong claim", "wrong steps", "wrong steps where both are right")


def greedy(result: Json, *, title: str | None = None) -> go.Figure:
    """The changes of the headline by samples and by greedy traces.

    Args:
        result: `GreedyResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    own = result["contrasts"]["headline"]
    wrong = own["numbers"]["wrong steps"]
    rows = []
    for name in _DRAWN:
        leaves = {way: own["numbers"][name][way]["difference"] for way in ("sampled", "greedy")}
        colours = {"sampled": NULL, "greedy": AFTER}
        marks = [
            Mark(leaf, colours[way], f"{name}, {way}: {points(leaf)}", way) for way, leaf in leaves.items()
        ]
        rows.append(Row(name, marks))
    statement = (
        f"Wrong steps: {points(wrong['greedy']['difference'])} without sampling, "
        f"{points(wrong['sampled']['difference'])} with it"
    )
    caption = (
        f"{own['arms']['after']} minus {own['arms']['before']}, {n_questions(own['n_questions'])}. Sampled: "
        f"{result['samples']} traces a question at temperature {result['temperature']:g}; greedy: one at "
        "temperature 0. 95 % intervals over questions."
    )
    x = replace(POINTS, title="change, percentage points")
    return row_chart(title or statement, caption, rows, x, apart=0.16)
