"""Figures of the judge controls: every control beside the primary, and what they say of the judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from mechcot.analyses.judge_controls.tables import STRATA, WEIGHTS
from mechcot.analyses.judge_controls.wording import ALPHA, ROLES, is_apart
from mechcot.report.figures import (
    AFTER,
    BEFORE,
    INK,
    NULL,
    Json,
    blank,
    dots,
    esc,
    percent,
    points,
    rows_axis,
    rows_margin,
    tint,
    triple,
    whisker,
    wrap,
)

_ZERO = {"color": NULL, "width": 1, "dash": "dot"}


def judge_forest(found: Json, *, title: str | None = None) -> go.Figure:
    """Each control's difference of step error, the primary's on top, and each minus the primary.

    Args:
        found: `JudgeControlsResult.to_json()`; controls without a difference are named in the caption.
        title: a statement in place of the one read off the numbers.
    """
    rows = [row for row in found["controls"] if triple(row["error"]["difference"])[0] is not None]
    primary = found["controls"][0]
    labels = [wrap(row["name"], 21) for row in rows]
    lines = sum(max(label.count("<br>") + 1, 1.6) for label in labels)
    figure = blank(
        title or _forest_statement(primary, rows),
        _forest_caption(found, primary, rows),
        height=int(19 * lines + 12 * len(rows) + 20),
        left=rows_margin(labels),
        legend=False,
    )
    for axis, leaves in (
        ("x", [row["error"]["difference"] for row in rows]),
        ("x2", [row["minus_primary"] for row in rows]),
    ):
        _forest_dots(figure, axis, rows, leaves)
    _, low, high = triple(primary["error"]["difference"])
    if low is not None and high is not None:
        box = {"x0": 100 * low, "x1": 100 * high, "y0": 0, "y1": 1, "fillcolor": tint(AFTER, 0.14)}
        figure.add_shape(type="rect", xref="x", yref="paper", layer="below", line={"width": 0}, **box)
    style = figure.layout.xaxis.to_plotly_json()
    figure.update_layout(
        xaxis={**style, "domain": [0, 0.47], "title": {"text": "after minus before", "standoff": 8}},
        xaxis2={
            **style,
            "domain": [0.53, 1],
            "anchor": "y",
            "title": {"text": "minus primary", "standoff": 8},
        },
    )
    for axis in ("x", "x2"):
        figure.add_shape(type="line", xref=axis, yref="paper", x0=0, x1=0, y0=0, y1=1, line=_ZERO)
    rows_axis(figure, labels)
    return figure.update_xaxes(tickformat="+", nticks=4, tickangle=0, rangemode="tozero")


def _forest_dots(figure: go.Figure, axis: str, rows: Sequence[Json], leaves: Sequence[Any]) -> None:
    mids, lows, highs = (
        [None if value is None else 100 * value for value in column]
        for column in (zip(*(triple(leaf) for leaf in leaves), strict=True) if rows else ((), (), ()))
    )
    moved = [is_apart(row) for row in rows]
    figure.add_scatter(
        x=mids,
        y=list(range(len(rows))),
        xaxis=axis,
        error_x=whisker(mids, lows, highs, NULL),
        mode="markers",
        marker={
            "size": 10,
            "color": [AFTER if row["control"] == "primary" else INK if own else NULL
                      for own, row in zip(moved, rows, strict=True)],
            "symbol": ["diamond" if own else "circle" for own in moved],
        },
        customdata=[_forest_hover(row) for row in rows],
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=False,
    )  # fmt: skip


def _forest_hover(row: Json) -> str:
    error, n, counts = row["error"], row["n_judged"], row["counts"]
    lines = [
        f"{esc(row['name'])}: {points(error['difference'])}",
        " → ".join(
            f"{counts[role]['erroneous']} of {n[role]} ({percent(triple(error[role])[0], 1)})"
            for role in ROLES
        ),
    ]
    p, family = triple(row["p"])[0], triple(row["p_family"])[0]
    if p is not None and family is not None:
        lines.append(f"minus primary: {points(row['minus_primary'])}")
        lines.append(f"p {p:.2g}, in the family {family:.2g}")
    return "<br>".join(lines)


def _forest_statement(primary: Json, rows: Sequence[Json]) -> str:
    others = [triple(row["error"]["difference"])[0] or 0.0 for row in rows if row["control"] != "primary"]
    own = primary["error"]["difference"]
    statement = "The judge as it is gives no difference of step error"
    if triple(own)[0] is not None:
        statement = f"The judge as it is finds the step error changed by {points(own)}"
    if not others:
        return statement
    if len(others) == 1:
        return f"{statement}; under the one control by {100 * others[0]:+.1f} points"
    ends = f"{100 * min(others):+.1f} to {100 * max(others):+.1f}"
    return f"{statement}; under {len(others)} controls by {ends} points"


def _forest_caption(found: Json, primary: Json, rows: Sequence[Json]) -> str:
    n, others = primary["n_judged"], [row for row in rows if row["control"] != "primary"]
    caption = (
        f"{found['arms']['after']} minus {found['arms']['before']}, percentage points, 95 % intervals over "
        f"{found['n_questions']} questions; judged steps of the primary: {n['before']} → {n['after']}. "
        "Band: the primary’s interval. On the right each control minus the primary on the same steps. "
        f"Diamonds, {sum(map(is_apart, others))} of {len(others)}: apart from the primary, p < {ALPHA} in "
        "the family of all controls."
    )
    missing = [row["name"] for row in found["controls"] if triple(row["error"]["difference"])[0] is None]
    return caption + (f" Without a difference: {', '.join(missing)}." if missing else "")


def judge_flips(found: Json, *, labels: str = "four", title: str | None = None) -> go.Figure:
    """How often each control gives a step another label than the primary does, by arm.

    Args:
        found: `JudgeControlsResult.to_json()`.
        labels: "four" for all verdicts, "two" for correct and erroneous alone.
        title: a statement in place of the one read off the numbers.
    """
    rows = [row for row in found["flips"] if row["labels"] == labels]
    names = [wrap(row["name"], 21) for row in rows]
    again = next((row for row in rows if row["control"] == "again"), None)
    statement = title or "How often a step gets another label when one thing changes"
    if again is not None and title is None:
        rates = " and ".join(
            f"{percent(triple(again[role])[0], 1)} of {found['arms'][role]}’s" for role in ROLES
        )
        statement = f"Merely asked again, the judge gives another label to {rates} steps"
    n = {role: max((row["n_steps"][role] for row in rows), default=0) for role in ROLES}
    what = "any of the four verdicts" if labels == "four" else "steps called correct or erroneous both times"
    caption = (
        f"Share of the primary’s own steps whose label differs, {what}, with 95 % intervals over questions. "
        f"Steps: up to {n['before']} {found['arms']['before']}, {n['after']} {found['arms']['after']}."
    )
    figure = blank(statement, caption, height=46 * len(rows) + 20, left=rows_margin(names))
    for role, colour, shift in zip(ROLES, (BEFORE, AFTER), (-0.13, 0.13), strict=True):
        hover = [
            f"{esc(row['name'])}, {esc(found['arms'][role])}: {row['n_flipped'][role]} of "
            f"{row['n_steps'][role]} ({percent(triple(row[role])[0], 1)})"
            f"<br>after minus before: {points(row['difference'])}"
            for row in rows
        ]
        leaves = [row[role] for row in rows]
        dots(figure, found["arms"][role], leaves, names, hover, colour=colour, shift=shift)
    rows_axis(figure, names)
    figure.update_yaxes(ticklabelstandoff=6)  # a dot at 0 would touch its row's name
    return figure.update_xaxes(rangemode="tozero", tickformat=".0%", title_text="labels that differ")


def judge_strata(found: Json, *, title: str | None = None) -> go.Figure:
    """The primary's difference on questions by whose answer is right, by vote and by shares of votes.

    Args:
        found: `JudgeControlsResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    labels = [label.format(**found["arms"]) for label in STRATA.values()]
    sizes = [
        f"{found['strata_weighted'][key]['weight']:.0f} or {found['strata'][key]['n_questions']} questions"
        for key in STRATA
    ]
    names = [f"{wrap(label, 21)}<br>{size}" for label, size in zip(labels, sizes, strict=True)]
    both = found["strata_weighted"]["both"]
    statement = title or (
        "The change of the step error by whose answer is right"
        if triple(both)[0] is None
        else f"Where both arms answer rightly, the step error changes by {points(both)}"
    )
    caption = (
        "Weighted by shares of votes, every question is in all four groups by the chance that each arm "
        "answers it rightly; by the vote it is in one. Questions: what each group amounts to, weighted or "
        "by the vote. "
        "95 % intervals over questions."
    )
    figure = blank(statement, caption, height=62 * len(names) + 20, left=rows_margin(names))
    for (kind, name), colour, shift in zip(WEIGHTS.items(), (AFTER, NULL), (-0.13, 0.13), strict=True):
        leaves = [found[kind][key] for key in STRATA]
        hover = [
            f"{esc(label)}, {name}: {points(leaf)}<br>judged steps {leaf['n_judged_before']} → "
            f"{leaf['n_judged_after']}"
            for label, leaf in zip(labels, leaves, strict=True)
        ]
        dots(figure, name, leaves, names, hover, colour=colour, shift=shift)
    figure.add_vline(x=0, line=_ZERO)
    rows_axis(figure, names)
    return figure.update_xaxes(tickformat="+.0%", title_text="change of the step error")
