"""The change of answers and steps with students of several training seeds."""

from __future__ import annotations

from dataclasses import replace

import plotly.graph_objects as go

from mechcot.core.words import points
from mechcot.report.charts import POINTS, Mark, Row, row_chart
from mechcot.report.figures import AFTER, NULL, Json


def seeds(result: Json, *, title: str | None = None) -> go.Figure:
    """The mean over training seeds, and every student.

    Args:
        result: `SeedsResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    students = result["students"]
    means = [result[name]["mean"] for name in ("answers", "steps")]
    marks = [Mark(leaf, AFTER, f"mean: {points(leaf)}") for leaf in means]
    drawn = [Row(f"mean\n{len(students)} students", marks)]
    for row in students:
        own = [Mark(row[name], NULL, f"{row['arm']}: {points(row[name])}") for name in ("answers", "steps")]
        seed = f"\nseed {row['seed']}" if isinstance(row["seed"], int) else ""
        drawn.append(Row(f"{row['arm']}{seed}", own))
    return row_chart(
        title or f"Over {len(students)} training seeds step error changes by {points(means[1])}",
        f"After minus before, in percentage points; {result['answers']['mean']['n']} questions. 95 % "
        "intervals: of the mean over questions and seeds, of a student over questions.",
        drawn,
        replace(POINTS, title=""),
        columns=("right answers", "wrong steps"),
    )
