"""Figures of what was known."""

from __future__ import annotations

import plotly.graph_objects as go

from mechcot.core.words import number, percent
from mechcot.report.charts import Axis, Bar, Row, row_chart
from mechcot.report.figures import NULL, TEACHER, Json

_KNOWLEDGE = {"knew": "#a069b4", "forgot": "#c2940e", "learned": TEACHER, "never_knew": NULL}


def knowledge_bars(result: Json, *, title: str | None = None) -> go.Figure:
    """What both models knew where the distilled model wrote an error.

    Args:
        result: `KnowledgeResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    errors = result["errors"]
    parts = {"all errors": errors} | result["errors_by_relation"] | {"all claims": result["claims"]}
    share = {name: percent(errors["shares"][name], 0) for name in _KNOWLEDGE}
    statement = title or (
        f"Of the errors that {result['author']} asserts, neither model knew the truth of "
        f"{share['never_knew']}; {share['learned']} were learned, {share['forgot']} forgotten; "
        f"{share['knew']} both know"
    )
    caption = (
        f"{errors['n_claims']} erroneous asserted claims of {errors['n_questions']} questions. "
        "Known: a true object is the model's first choice at that place. Under each name: claims."
    )
    rows = []
    for name, part in parts.items():
        drawn = [
            Bar(number(part["shares"].get(key)), colour, f"{said}: %{{x:.1%}}", said)
            for key, colour in _KNOWLEDGE.items()
            for said in [key.replace("_", " ")]
        ]
        rows.append(Row(f"{name}\n{part['n_claims']}", bars=drawn))
    x = Axis("share of claims", ".0%", ends=(0, 1))
    return row_chart(statement, caption, rows, x, stacked=True)
