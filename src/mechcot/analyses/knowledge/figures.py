"""Figures of what was known."""

from __future__ import annotations

import plotly.graph_objects as go

from mechcot.report.figures import (
    NULL,
    TEACHER,
    Json,
    blank,
    percent,
    rows_axis,
    rows_margin,
    triple,
    wrap,
)

_KNOWLEDGE = {"knew": "#a069b4", "forgot": "#c2940e", "learned": TEACHER, "never_knew": NULL}


def knowledge_bars(result: Json, *, title: str | None = None) -> go.Figure:
    """What both models knew where the distilled model wrote an error.

    Args:
        result: `KnowledgeResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    rows = [
        ("all errors", result["errors"]),
        *result["errors_by_relation"].items(),
        ("all claims", result["claims"]),
    ]
    labels = [f"{wrap(name, 19)}<br>{row['n_claims']}" for name, row in rows]
    errors = result["errors"]
    knew, forgot, never = (
        percent(triple(errors["shares"][name])[0]) for name in ("knew", "forgot", "never_knew")
    )
    statement = title or (
        f"Of the errors that {result['author']} asserts, {result['before']} never knew the truth of {never}; "
        f"{forgot} were forgotten; {knew} both still know"
    )
    caption = (
        f"{errors['n_claims']} erroneous asserted claims of {errors['n_questions']} questions. "
        "Known: a true object is the model's first choice at that place. Under each name: claims."
    )
    figure = blank(statement, caption, height=42 * len(rows) + 20, left=rows_margin(labels))
    for name, colour in _KNOWLEDGE.items():
        x = [triple(row["shares"].get(name))[0] for _, row in rows]
        if any(value is not None for value in x):
            figure.add_bar(
                x=x,
                y=list(range(len(rows))),
                orientation="h",
                name=name.replace("_", " "),
                marker_color=colour,
                hovertemplate=f"{name.replace('_', ' ')}: %{{x:.1%}}<extra></extra>",
            )
    figure.update_layout(barmode="stack", legend_traceorder="normal")
    rows_axis(figure, labels)
    return figure.update_xaxes(range=[0, 1], tickformat=".0%", title_text="share of claims")
