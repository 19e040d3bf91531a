"""Figures of a panel of judges."""

from __future__ import annotations

import plotly.graph_objects as go

from mechcot.core.words import points
from mechcot.report.charts import POINTS, Mark, Row, row_chart
from mechcot.report.figures import AFTER, INK, Json


def judges(panel: Json, *, title: str | None = None) -> go.Figure:
    """The change of the step error as each judge of a panel sees it.

    Args:
        panel: `PanelResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    found = panel["judges"]
    caption = (
        "After minus before, with 95 % intervals over questions. Judged steps: "
        + "; ".join(
            f"{name} {_judged(one, 'before'):,} → {_judged(one, 'after'):,}" for name, one in found.items()
        )
        + "."
    )
    rows = [
        Row(name, [Mark(one["delta"], INK if place else AFTER, f"{name}: {points(one['delta'])}")])
        for place, (name, one) in enumerate(found.items())
    ]
    statement = title or "The change of the step error, judge by judge"
    return row_chart(statement, caption, rows, POINTS)


def _judged(judge: Json, when: str) -> int:
    return int(judge["counts"][when]["correct"] + judge["counts"][when]["erroneous"])
