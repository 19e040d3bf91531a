"""Figures of how sure the audit is: ways to take the difference, judges side by side, gains by margin."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import plotly.graph_objects as go

from mechcot.core.words import number, percent, points
from mechcot.report.charts import POINTS, Mark, Row, Span, row_chart
from mechcot.report.figures import AFTER, NULL, TEACHER, Json, tint


def difference_forest(inference: Json, people: Json | None = None, *, title: str | None = None) -> go.Figure:
    """The change of the step error, taken in several ways: weights, abstentions, people, naive steps.

    Args:
        inference: `CertaintyResult.to_json()`.
        people: one judge of `SheetResult.to_json()["judges"]` with the sheet's own `people`, as
            `{"design": Corrected, "people": {"difference": ...}}`; None: no sheet.
        title: a statement in place of the one read off the numbers.
    """
    step, bounds = inference["step_weighted"], inference["abstention"]
    leaves = [
        ("every step\nweighs the same", step, AFTER),
        ("every question\nweighs the same", inference["question_weighted"], AFTER),
    ]
    if people is not None:
        leaves.append(("corrected by\npeople", people["design"]["difference"], TEACHER))
        leaves.append(("people alone", people["people"]["difference"], TEACHER))
    leaves.append(("if steps were\nindependent", _independent(inference), NULL))
    rows = [
        Row(name, [Mark(leaf, colour, f"{name}: {points(leaf)}".replace("\n", " "))])
        for name, leaf, colour in leaves
    ]
    caption = f"{step['n']} questions. Bars: 95 % intervals; the grey one takes steps for independent"
    caption += " and is too narrow." if (number(inference["deff"]) or 0.0) > 1 else "."
    detectable, x = number(step["detectable"]), POINTS
    if detectable is not None:
        missed = percent(1 - float(inference["power"]), 0)
        caption += f" Grey band: true changes that such a study misses in {missed} of cases or more."
        x = replace(POINTS, region=(-detectable, detectable, tint(NULL, 0.18)))
    if any(number(bounds["share_abstained"][when]) for when in ("before", "after")):
        caption += " Thick bar: every value that the steps left undecided allow; thin: with chance added."
        rows.append(Row("undecided steps,\nall ways", spans=_bounds(bounds["difference"])))
    return row_chart(title or f"Change of the step error: {points(step)}", caption, rows, x)


def _independent(inference: Json) -> Any:
    """The interval that steps taken as independent would give."""
    mid, se = number(inference["step_weighted"]["estimate"]), number(inference["independent_se"])
    if mid is None or se is None:
        return None
    return {"estimate": mid, "low": mid - 1.96 * se, "high": mid + 1.96 * se}


def _bounds(bounds: Json) -> list[Span]:
    """What the abstained steps allow as a thick bar, with its interval as a thin one."""
    outer, low, high, upper = (
        number(bounds[name]) for name in ("interval_low", "low", "high", "interval_high")
    )
    colour, said = tint(AFTER, 0.55), " to ".join(points({"estimate": end}) for end in (low, high))
    hover = f"whatever the abstained steps are: {said}"
    return [Span(outer, upper, colour, 1.5, hover), Span(low, high, colour, 9, hover)]
