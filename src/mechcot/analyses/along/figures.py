"""What changes when along a training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from mechcot.analyses.along.counts import MEASURES
from mechcot.analyses.along.wording import halves
from mechcot.core.words import number, percent
from mechcot.report.charts import Axis
from mechcot.report.curves import Line, line_chart
from mechcot.report.figures import AFTER, BEFORE, NULL, TEACHER

Json = Mapping[str, Any]
_LOOK = {
    "answers": (AFTER, "solid"),
    "step_error": (BEFORE, "dash"),
    "at_prompt": (TEACHER, "dashdot"),
    "locked": (TEACHER, "solid"),
    "hedged": (NULL, "longdash"),
}


def along(result: Json, *, title: str | None = None) -> go.Figure:
    """Each measure's share of its own total change over the share of the training.

    Args:
        result: `AlongResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    lines, unclear = [], []
    for place, name in enumerate(MEASURES):
        runs = [run for run in result["runs"] if number(run["halves"][place]["time"]) is not None]
        lines += [_line(run, name, run is runs[0]) for run in runs]
        unclear += [] if runs else [MEASURES[name]]
    first = result["runs"][0]
    caption = (
        f"{result['n_questions']} questions. Whiskers: 95 % intervals over questions, of the training of "
        f"{first['student']}"
        + ("; dotted: trainings of other seeds" if len(result["runs"]) > 1 else "")
        + (f". Not drawn, as they did not clearly change: {', '.join(unclear)}" if unclear else "")
        + "."
    )
    x = Axis("share of the training’s steps", ".0%", ends=(-0.02, 1.03))
    y = Axis("share of the total change", ".0%", null=0.5)
    return line_chart(title or halves(result), caption, lines, x, y)


def _line(run: Json, name: str, first: bool) -> Line:
    """A measure along one training; whiskers, as bands would hide the lines of the others."""
    points, (colour, dash) = run["points"], _LOOK[name]
    done = [point["done"][name] for point in points]
    return Line(
        [point["share"] for point in points],
        done if first else [number(one) for one in done],
        colour,
        MEASURES[name] if first else "",
        [f"{point['arm']}: {MEASURES[name]} {percent(point['rates'][name])}" for point in points],
        "lines+markers" if first else "lines",
        dash if first else "dot",
        whiskers=first,
    )
