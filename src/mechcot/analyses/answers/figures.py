"""Figures of the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from mechcot.core.words import percent
from mechcot.report.charts import Axis
from mechcot.report.curves import Line, line_chart
from mechcot.report.figures import AFTER, BEFORE, Json, with_interval
from mechcot.report.palette import of_roles


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
    gaps = ", ".join(f"{name} {percent(ece.get(name))}" for name in bins)
    caption = "; ".join(
        f"{name}: {sum(int(row['n']) for row in rows)} questions" for name, rows in bins.items()
    )
    lines = []
    for (name, rows), colour in zip(bins.items(), colours, strict=False):
        kept = [row for row in rows if row["n"]]
        x, y, n = ([row[key] for row in kept] for key in ("confidence", "accuracy", "n"))
        hover = f"{name}: vote %{{x:.0%}}, right %{{y:.0%}} (%{{customdata}} questions)"
        lines.append(Line(x, y, colour, name, hover, counts=n))
    return line_chart(
        title or f"Vote share and accuracy differ on average by: {gaps}",
        caption + ". On the grey line, the vote share is the accuracy. Larger dots hold more questions.",
        lines,
        Axis("share of the winning vote", ".0%", ends=(0, 1.03)),
        Axis("questions answered right", ".0%", ends=(0, 1.03)),
        diagonal=True,
    )


def vote_curves(answers: Json, *, title: str | None = None) -> go.Figure:
    """Right answers by how many traces vote: what more sampling would do for each arm.

    Args:
        answers: `AnswersResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    arms = [answers[when] for when in ("before", "after")]
    hues = of_roles(answers, {when: answers[when]["arm"] for when in ("before", "after")})
    ends = "; ".join(f"{arm['arm']} {percent(arm['sc_at_k'][-1])}" for arm in arms)
    lines = [
        Line(
            range(1, len(arm["sc_at_k"]) + 1),
            with_interval(arm, "sc_at_k"),
            colour,
            arm["arm"],
            f"{arm['arm']}: %{{y:.1%}} right with %{{x}} votes",
        )
        for arm, colour in zip(arms, hues.values(), strict=True)
    ]
    return line_chart(
        title or f"Right answers by vote of {arms[0]['k']} traces: {ends}",
        f"{arms[0]['n_questions']} questions. At k the mean over all choices of k of a question's traces. "
        "Bands: 95 % intervals over questions.",
        lines,
        Axis("traces that vote", step=max(1, arms[0]["k"] // 8)),
        Axis("questions answered right", ".0%", ends=(0, 1.02)),
    )
