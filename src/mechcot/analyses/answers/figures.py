"""Figures of the answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from mechcot.report.figures import (
    AFTER,
    BEFORE,
    NULL,
    Json,
    blank,
    esc,
    percent,
    triple,
)


def reliability(
    bins: Mapping[str, Sequence[Json]],
    ece: Mapping[str, Any],
    *,
    colours: Sequence[str] = (BEFORE, AFTER),
    title: str | None = None,
) -> go.Figure:
    """Vote share against accuracy: does the vote know how sure it may be?

    Args:
        bins: arm name to rows `{"confidence", "accuracy", "n"}`, fractions and counts of questions.
        ece: arm name to expected calibration error.
        colours: one an arm.
        title: a statement in place of the one read off the numbers.
    """
    gaps = ", ".join(f"{name} {percent(triple(ece.get(name))[0], 1)}" for name in bins)
    caption = "; ".join(
        f"{name}: {sum(int(row['n']) for row in rows)} questions" for name, rows in bins.items()
    )
    figure = blank(
        title or f"Vote share and accuracy differ on average by: {gaps}",
        caption + ". On the grey line, the vote share is the accuracy. Larger dots hold more questions.",
    )
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": NULL, "dash": "dot"},
        hoverinfo="skip",
        showlegend=False,
    )
    for (name, rows), colour in zip(bins.items(), colours, strict=False):
        rows = [row for row in rows if row["n"]]
        most = max((int(row["n"]) for row in rows), default=1)
        figure.add_scatter(
            x=[row["confidence"] for row in rows],
            y=[row["accuracy"] for row in rows],
            mode="lines+markers",
            marker={"size": [6 + 14 * math.sqrt(int(row["n"]) / most) for row in rows]},
            line={"color": colour, "width": 2},
            name=esc(name),
            customdata=[int(row["n"]) for row in rows],
            hovertemplate=f"{esc(name)}: vote %{{x:.0%}}, right %{{y:.0%}} "
            "(%{customdata} questions)<extra></extra>",
        )
    figure.update_yaxes(range=[0, 1.03], tickformat=".0%", title_text="questions answered right")
    return figure.update_xaxes(range=[0, 1.03], tickformat=".0%", title_text="share of the winning vote")


def vote_curves(answers: Json, *, title: str | None = None) -> go.Figure:
    """Right answers by how many traces vote: what more sampling would do for each arm.

    Args:
        answers: `AnswersResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    arms = [answers[when] for when in ("before", "after")]
    ends = "; ".join(f"{arm['arm']} {percent(arm['sc_at_k'][-1], 1)}" for arm in arms)
    figure = blank(
        title or f"Right answers by vote of {arms[0]['k']} traces: {ends}",
        f"{arms[0]['n_questions']} questions. At k the mean over all choices of k of a question's traces.",
    )
    for arm, colour in zip(arms, (BEFORE, AFTER), strict=True):
        figure.add_scatter(
            x=list(range(1, len(arm["sc_at_k"]) + 1)),
            y=arm["sc_at_k"],
            mode="lines+markers",
            line={"color": colour, "width": 2.5},
            name=esc(arm["arm"]),
            hovertemplate=f"{esc(arm['arm'])}: %{{y:.1%}} right with %{{x}} votes<extra></extra>",
        )
    figure.update_yaxes(range=[0, 1.02], tickformat=".0%", title_text="questions answered right")
    return figure.update_xaxes(title_text="traces that vote")
