"""Figures of how sure the audit is: ways to take the difference, judges side by side, gains by margin."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from mechcot.report.figures import (
    AFTER,
    NULL,
    TEACHER,
    Json,
    blank,
    estimates,
    finite,
    percent,
    points,
    rows_axis,
    rows_margin,
    tint,
    zero_line,
)


def difference_forest(inference: Json, people: Json | None = None, *, title: str | None = None) -> go.Figure:
    """The change of the step error, taken in several ways: weights, abstentions, people, naive steps.

    Args:
        inference: `CertaintyResult.to_json()`.
        people: one judge of `SheetResult.to_json()["judges"]` with the sheet's own `people`, as
            `{"design": Corrected, "people": {"difference": ...}}`; None: no sheet.
        title: a statement in place of the one read off the numbers.
    """
    step, question = inference["step_weighted"], inference["question_weighted"]
    rows: list[tuple[str, Any, str]] = [
        ("every step<br>weighs the same", step, AFTER),
        ("every question<br>weighs the same", question, AFTER),
    ]
    if people is not None:
        rows.append(("corrected by<br>people", people["design"]["difference"], TEACHER))
        rows.append(("people alone", people["people"]["difference"], TEACHER))
    rows.append(("if steps were<br>independent", _independent(inference), NULL))
    shares = [finite(inference["abstention"]["share_abstained"][when]) for when in ("before", "after")]
    bounded = any(shares)
    labels = [label for label, _, _ in rows] + (["undecided steps,<br>all ways"] if bounded else [])
    detectable = finite(step["detectable"])
    caption = f"{step['n']} questions. Bars: 95 % intervals; the grey one takes steps for independent"
    caption += " and is too narrow." if (finite(inference["deff"]) or 0.0) > 1 else "."
    if detectable is not None:
        missed = percent(1 - float(inference["power"]))
        caption += f" Grey band: true changes that such a study misses in {missed} of cases or more."
    if bounded:
        caption += " Thick bar: every value that the steps left undecided allow; thin: with chance added."
    statement = title or f"Change of the step error: {points(step)}"
    figure = blank(statement, caption, height=46 * len(labels) + 20, left=rows_margin(labels), legend=False)
    if detectable is not None:
        band = {"line": {"width": 0}, "fillcolor": tint(NULL, 0.18), "layer": "below"}
        figure.add_shape(
            type="rect", x0=-100 * detectable, x1=100 * detectable, yref="paper", y0=0, y1=1, **band
        )
    estimates(figure, [leaf for _, leaf, _ in rows], [colour for _, _, colour in rows], labels)
    if bounded:
        _bounds(figure, inference["abstention"]["difference"], len(rows))
    zero_line(figure)
    rows_axis(figure, labels)
    return figure.update_xaxes(tickformat="+", title_text="change, percentage points", rangemode="tozero")


def _independent(inference: Json) -> Any:
    """The interval that steps taken as independent would give."""
    mid, se = finite(inference["step_weighted"]["estimate"]), finite(inference["independent_se"])
    if mid is None or se is None:
        return None
    return {"estimate": mid, "low": mid - 1.96 * se, "high": mid + 1.96 * se}


def _bounds(figure: go.Figure, bounds: Json, row: int) -> None:
    """What the abstained steps allow as a thick bar, with its interval as a thin one."""
    ends = [finite(bounds[name]) for name in ("interval_low", "low", "high", "interval_high")]
    said = f"{points({'estimate': ends[1]})} to {points({'estimate': ends[2]})}"
    for pair, width in (((ends[0], ends[3]), 1.5), ((ends[1], ends[2]), 9)):
        figure.add_scatter(
            x=[None if end is None else 100 * end for end in pair],
            y=[row, row],
            mode="lines+markers",
            marker={"opacity": 0},  # markers get room at the ends of the axis
            line={"color": tint(AFTER, 0.55), "width": width},
            hovertemplate=f"whatever the abstained steps are: {said}<extra></extra>",
            showlegend=False,
        )
