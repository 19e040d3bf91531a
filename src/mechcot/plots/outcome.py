"""Figures of what changed outside: answers, steps, calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from mechcot.plots.style import (
    AFTER,
    BEFORE,
    NULL,
    RULE,
    Json,
    blank,
    dots,
    esc,
    finite,
    percent,
    points,
    rows_axis,
    rows_margin,
    tint,
    triple,
    whisker,
)


def headline(
    answers: Json, audit: Json, *, before: str = "base", after: str = "distilled", title: str | None = None
) -> go.Figure:
    """Answers and reasoning side by side, each before and after.

    Args:
        answers: `{before: {"sc", "n_questions", ...}, after: {...}, "delta_sc"}`.
        audit: `{before: {"error_rate", "n_steps", ...}, after: {...}, "delta"}`.
        before: name of the arm before distillation.
        after: name of the arm after it.
        title: a statement in place of the one read off the numbers.
    """
    rows = ["answers<br>right (vote)", "steps<br>erroneous"]
    gain, rise = triple(answers["delta_sc"])[0], triple(audit["delta"])[0]
    statement = title or (f"Answers {_moved(gain)}, erroneous steps {_moved(rise)} after distillation")
    caption = (
        f"{answers[before]['n_questions']} questions; judged steps: {audit[before]['n_steps']} {before}, "
        f"{audit[after]['n_steps']} {after}. Whiskers: 95 % intervals over questions."
    )
    figure = blank(statement, caption, height=190, left=rows_margin(rows))
    pairs = [(answers[arm]["sc"], audit[arm]["error_rate"]) for arm in (before, after)]
    for row in range(2):
        ends = [triple(pairs[arm][row])[0] for arm in range(2)]
        figure.add_scatter(
            x=ends,
            y=[row, row],
            mode="lines",
            line={"color": RULE, "width": 5},
            hoverinfo="skip",
            showlegend=False,
        )
        label = points((answers["delta_sc"], audit["delta"])[row])
        figure.add_annotation(
            x=0, xref="paper", xanchor="left", y=row, yshift=26, text=label, showarrow=False
        )
    for name, leaves, colour in ((before, pairs[0], BEFORE), (after, pairs[1], AFTER)):
        hover = [f"{esc(name)}: {percent(triple(leaf)[0], 1)}" for leaf in leaves]
        dots(figure, name, leaves, rows, hover, colour=colour, shift=0.0)
    rows_axis(figure, rows)
    return figure.update_xaxes(range=[0, 1], tickformat=".0%", title_text="share")


def _moved(change: float | None) -> str:
    if change is None:
        return "not comparable"
    return f"{'up' if change >= 0 else 'down'} {abs(100 * change):.0f} points"


def error_by_kind(
    rows: Sequence[Json], *, before: str = "base", after: str = "distilled", title: str | None = None
) -> go.Figure:
    """Error rate of each kind of step in both arms, with how many a trace holds.

    Args:
        rows: one `{"kind", "arm", "error_rate", "n_steps", "per_trace"}` per kind and arm; a kind that
            an arm does not write may be missing or hold null.
        before: name of the arm before distillation.
        after: name of the arm after it.
        title: a statement in place of the default one.
    """
    cells = {(row["kind"], row["arm"]): row for row in rows}
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    kinds.sort(key=lambda kind: -(triple(cells.get((kind, after), {}).get("error_rate"))[0] or 0.0))
    labels = [
        f"{esc(kind)}<br>{_per_trace(cells, kind, before)} → {_per_trace(cells, kind, after)}"
        for kind in kinds
    ]
    totals = [
        sum(int(row.get("n_steps") or 0) for row in rows if row["arm"] == arm) for arm in (before, after)
    ]
    statement = title or "Where the errors are: the rate of each kind of step, and how many a trace holds"
    caption = (
        f"Under each kind: judged claims per trace, {before} → {after}. {totals[0]} and {totals[1]} judged steps. "
        "Whiskers: 95 % intervals over questions."
    )
    figure = blank(statement, caption, height=56 * len(kinds) + 20, left=rows_margin(labels))
    for arm, colour, shift in ((before, BEFORE, -0.12), (after, AFTER, 0.12)):
        found = [cells.get((kind, arm), {}) for kind in kinds]
        hover = [
            f"{esc(kind)}, {esc(arm)}: {percent(triple(cell.get('error_rate'))[0], 1)} of {cell.get('n_steps', 0)} steps"
            for kind, cell in zip(kinds, found, strict=True)
        ]
        dots(
            figure, arm, [cell.get("error_rate") for cell in found], labels, hover, colour=colour, shift=shift
        )
    rows_axis(figure, labels)
    return figure.update_xaxes(
        rangemode="tozero", tickformat=".0%", title_text="erroneous among judged claims"
    )


def _per_trace(cells: Mapping[tuple[str, str], Json], kind: str, arm: str) -> str:
    count = finite(cells.get((kind, arm), {}).get("per_trace"))
    return "–" if count is None else f"{count:.2f}"


_TERMS = {
    "common_composition": "mix of the<br>shared kinds",
    "common_within": "within the<br>shared kinds",
    "unshared": "kinds only one<br>arm writes",
}


def split(
    terms: Json, *, total: Any = None, n_questions: int | None = None, title: str | None = None
) -> go.Figure:
    """The change of the step error in its three terms, as a waterfall.

    Args:
        terms: `{"common_composition", "common_within", "unshared"}`, fractions.
        total: the change they add up to; their sum when left out.
        n_questions: for the caption.
        title: a statement in place of the one read off the numbers.
    """
    values = {key: triple(terms[key])[0] or 0.0 for key in _TERMS}
    whole = triple(total)[0] if total is not None else sum(values.values())
    largest = max(values, key=lambda key: abs(values[key]))
    statement = title or (
        f"Of the {100 * (whole or 0.0):+.1f} points of step error, {100 * values[largest]:+.1f} come from: "
        + _TERMS[largest].replace("<br>", " ")
    )
    counted = "" if n_questions is None else f"{n_questions} questions. "
    caption = counted + "The three terms add up to the whole change. Whiskers: 95 % intervals over questions."
    labels = [*_TERMS.values(), "whole change"]
    figure = blank(statement, caption, height=230, left=rows_margin(labels))
    start = 0.0
    for row, (leaf, base) in enumerate(
        [(terms[key], None) for key in _TERMS] + [(total if total is not None else whole, 0.0)]
    ):
        mid, low, high = triple(leaf)
        origin = start if base is None else base
        figure.add_bar(
            x=[mid or 0.0],
            base=[origin],
            y=[row],
            orientation="h",
            width=0.5,
            marker_color=AFTER if row == 3 else tint(AFTER, 0.55),
            error_x=whisker([mid], [low], [high]),
            hovertemplate=f"{points(leaf)}<extra></extra>",
            showlegend=False,
        )
        start += mid or 0.0
    rows_axis(figure, labels)
    return figure.update_xaxes(tickformat="+.0%", title_text="change of the step error")


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
            hovertemplate=f"{esc(name)}: vote %{{x:.0%}}, right %{{y:.0%}} (%{{customdata}} questions)<extra></extra>",
        )
    figure.update_yaxes(range=[0, 1.03], tickformat=".0%", title_text="questions answered right")
    return figure.update_xaxes(range=[0, 1.03], tickformat=".0%", title_text="share of the winning vote")
