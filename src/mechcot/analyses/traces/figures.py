"""Figures of traces and answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from mechcot.core.words import number, percent
from mechcot.report.charts import Axis, Mark, Row, row_chart
from mechcot.report.figures import AFTER, BEFORE, Json

_SHARES = Axis(ticks=".0%", ends=(0, 1.02))
_KINDS = (("right_if_not", "trace not right", BEFORE), ("right_if_correct", "trace right", AFTER))


def own_domain(result: Json) -> Json:
    """The contrast's domain."""
    domain: Json = result["domains"][result["domain"]]
    return domain


def traces(result: Json, *, title: str | None = None) -> go.Figure:
    """Right answers of traces that are right and of traces that are not, in every arm.

    Args:
        result: `TracesResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    rows, counted = [], []
    for name, arm in own_domain(result)["arms"].items():
        marks = [
            Mark(arm[key], colour, f"{name}, {label}: {percent(arm[key])}", label)
            for key, label, colour in _KINDS
        ]
        if any(number(mark.value) is not None for mark in marks):
            n = arm["counts"]
            rows.append(Row(name, marks))
            counted.append(f"{name} {n['answer_only'] + n['neither']:,} and {n['both'] + n['trace_only']:,}")
    statement = "Right answers where the trace is right, and where it is not"
    caption = (
        "Share of right answers, with 95 % intervals over entities. Traces that are not right and that are: "
        f"{'; '.join(counted)}."
    )
    return row_chart(title or statement, caption, rows, _SHARES)


def sub_steps(result: Json) -> go.Figure:
    """How often each sub-step is right, in every arm."""
    arms = own_domain(result)["arms"]
    rows = []
    for name, arm in arms.items():
        for step, own in arm["sub_steps"].items():
            colour = AFTER if step == list(arm["sub_steps"])[-1] else BEFORE
            rows.append(
                Row(f"{name}\n{step}", [Mark(own["correct"], colour, f"{name}, {step}: {_said(own)}")])
            )
    caption = "Share of traces in which the sub-step is right, of those that could be read; 95 % intervals."
    return row_chart("Which sub-steps are right", caption, rows, _SHARES)


def _said(own: Mapping[str, Any]) -> str:
    shares = (f"{what} {percent(own[what])}" for what in ("correct", "wrong", "missing"))
    return ", ".join(shares)


def forced(result: Json) -> go.Figure:
    """Answers behind a wrong trace: those that follow it, and those that stay right."""
    rows = []
    for one in result["forced"]:
        if one["trace"] != "incorrect":
            continue
        marks = [
            Mark(one["right"], BEFORE, f"{one['arm']}: right in {percent(one['right'])}", "right"),
            Mark(
                one["follows"],
                AFTER,
                f"{one['arm']}: follows in {percent(one['follows'])}",
                "follows the trace",
            ),
        ]
        rows.append(Row(one["arm"], marks))
    n = max((one["n"] for one in result["forced"]), default=0)
    caption = f"Answers behind a trace with every sub-step wrong, {n:,} questions an arm; 95 % intervals."
    return row_chart("Behind a wrong trace", caption, rows, _SHARES)
