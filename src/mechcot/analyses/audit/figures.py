"""Figures of what changed outside: answers, steps, calibration."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from mechcot.report.figures import (
    AFTER,
    BEFORE,
    INK,
    RULE,
    Json,
    blank,
    covers_zero,
    dots,
    esc,
    finite,
    n_questions,
    percent,
    points,
    rows_axis,
    rows_margin,
    tint,
    triple,
    whisker,
    wrap,
)


def headline(answers: Json, audit: Json, *, title: str | None = None) -> go.Figure:
    """Answers and reasoning side by side, each before and after.

    Args:
        answers: `AnswersResult.to_json()`.
        audit: `AuditResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    rows = ["answers<br>right (vote)", "steps<br>erroneous"]
    deltas = (answers["delta_sc"], audit["delta"])
    gain, rise = (_moved(delta) for delta in deltas)
    statement = title or f"After distillation: right answers {gain}, erroneous steps {rise}"
    judged = ", ".join(f"{audit[when]['n_judged']} {audit[when]['arm']}" for when in ("before", "after"))
    caption = (
        f"{answers['before']['n_questions']} questions, {answers['before']['k']} traces of each. "
        f"Judged steps: {judged}. Differences with 95 % intervals over questions."
    )
    figure = blank(statement, caption, height=190, left=rows_margin(rows))
    values = {when: (answers[when]["sc"], _error_rate(audit[when])) for when in ("before", "after")}
    for row, delta in enumerate(deltas):
        ends = [triple(values[when][row])[0] for when in ("before", "after")]
        line = {"color": RULE, "width": 5}
        figure.add_scatter(x=ends, y=[row, row], mode="lines", line=line, hoverinfo="skip", showlegend=False)
        figure.add_annotation(
            x=0, xref="paper", xanchor="left", y=row, yshift=26, text=points(delta), showarrow=False
        )
    for when, colour in (("before", BEFORE), ("after", AFTER)):
        name = answers[when]["arm"]
        hover = [f"{esc(name)}: {percent(triple(value)[0], 1)}" for value in values[when]]
        dots(figure, name, values[when], rows, hover, colour=colour, shift=0.0)
    rows_axis(figure, rows)
    return figure.update_xaxes(range=[0, 1], tickformat=".0%", title_text="share")


def _error_rate(arm: Json) -> Any:
    return arm["error_rate"]


def _moved(delta: Any) -> str:
    change = triple(delta)[0]
    if change is None:
        return "not comparable"
    if covers_zero(delta):
        return f"not clearly changed ({100 * change:+.0f} points)"
    return f"{'up' if change > 0 else 'down'} {abs(100 * change):.0f} points"


def error_by_kind(audit: Json, *, title: str | None = None) -> go.Figure:
    """Error rate of each kind of step in both arms, with how many claims of it a trace makes.

    Args:
        audit: `AuditResult.to_json()`; its `roles` are the kinds.
        title: a statement in place of the one read off the numbers.
    """
    judged = [kind for kind in audit["roles"] if kind["n_judged_before"] or kind["n_judged_after"]]
    kinds = sorted(judged, key=lambda kind: -(triple(kind["rate_after"])[0] or 0.0))
    often = [[_count(kind[f"claims_per_trace_{when}"]) for when in ("before", "after")] for kind in kinds]
    labels = [
        f"{wrap(kind['role'], 19)}<br>{first} → {then}"
        for kind, (first, then) in zip(kinds, often, strict=True)
    ]
    names = {when: audit[when]["arm"] for when in ("before", "after")}
    worst = next((kind for kind in kinds if triple(kind["rate_after"])[0] is not None), None)
    statement = title or (
        "No kind of step was judged in both arms"
        if worst is None
        else f"Errors gather in some kinds of step: {percent(triple(worst['rate_after'])[0])} of "
        f'"{worst["role"]}" are wrong after distillation'
    )
    caption = (
        f"Under each kind: claims per trace, {names['before']} → {names['after']}. Judged steps: "
        f"{audit['before']['n_judged']} → {audit['after']['n_judged']}. "
        "An arm without a dot has no judged claim of that kind; kinds that claim nothing are not shown."
    )
    figure = blank(statement, caption, height=56 * len(kinds) + 20, left=rows_margin(labels))
    for when, colour, shift in (("before", BEFORE, -0.12), ("after", AFTER, 0.12)):
        leaves = [kind[f"rate_{when}"] for kind in kinds]
        hover = [
            f"{esc(kind['role'])}, {esc(names[when])}: {percent(triple(kind[f'rate_{when}'])[0], 1)} of "
            f"{kind[f'n_judged_{when}']} steps<br>after minus before: {points(kind)}"
            for kind in kinds
        ]
        dots(figure, names[when], leaves, labels, hover, colour=colour, shift=shift)
    rows_axis(figure, labels)
    return figure.update_xaxes(
        rangemode="tozero", tickformat=".0%", title_text="erroneous among judged claims"
    )


def _count(value: Any) -> str:
    number = finite(value)
    return "–" if number is None else f"{number:.2f}"


_TERMS = {
    "common_composition": "mix of the<br>shared kinds",
    "common_within": "within the<br>shared kinds",
    "unshared": "kinds only one<br>arm writes",
}


def split(result: Json, *, title: str | None = None) -> go.Figure:
    """The change of the step error in its three terms, as a waterfall.

    Args:
        result: `Split.to_json()`, that is, `AuditResult.to_json()["split"]`.
        title: a statement in place of the one read off the numbers.
    """
    leaves = [result[key] for key in (*_TERMS, "total")]
    values = [triple(leaf)[0] or 0.0 for leaf in leaves]
    largest = max(range(3), key=lambda index: abs(values[index]))
    statement = title or (
        f"Of the {100 * values[3]:+.1f} points of step error, {100 * values[largest]:+.1f} come from: "
        + list(_TERMS.values())[largest].replace("<br>", " ")
    )
    caption = (
        f"{result['n_questions']} questions. The three terms add up to the whole change. "
        "Whiskers: 95 % intervals over questions."
    )
    labels = [*_TERMS.values(), "whole<br>change"]
    figure = blank(statement, caption, height=230, left=rows_margin(labels), legend=False)
    start = 0.0
    for row, (leaf, value) in enumerate(zip(leaves, values, strict=True)):
        _, low, high = triple(leaf)
        figure.add_bar(
            x=[value],
            base=[0.0 if row == 3 else start],
            y=[row],
            orientation="h",
            width=0.5,
            marker_color=AFTER if row == 3 else tint(AFTER, 0.55),
            error_x=whisker([value], [low], [high], INK),
            hovertemplate=f"{points(leaf)}<extra></extra>",
            showlegend=False,
        )
        start += value
    rows_axis(figure, labels)
    return figure.update_xaxes(tickformat="+.0%", title_text="change, percentage points")


_STRATA = {
    "both": "both right",
    "only_after": "only {after} right",
    "only_before": "only {before} right",
    "neither": "neither right",
}


def error_by_answers(audit: Json, *, title: str | None = None) -> go.Figure:
    """Step error before and after on questions sorted by which arm's vote is right.

    Args:
        audit: `AuditResult.to_json()`; its `strata` are the groups.
        title: a statement in place of the one read off the numbers.
    """
    names = {when: audit[when]["arm"] for when in ("before", "after")}
    groups = {key: label.format(**names) for key, label in _STRATA.items()}
    cells = [audit["strata"][key] for key in groups]
    labels = [
        f"{esc(label)}<br>{n_questions(cell['n_questions'])}"
        for label, cell in zip(groups.values(), cells, strict=True)
    ]
    statement = title or f"On questions that both get right, the step error changes by {points(cells[0])}"
    caption = (
        f"{sum(cell['n_questions'] for cell in cells)} questions, by whose vote is right (a tie is not). "
        f"Judged steps: {audit['before']['n_judged']} → {audit['after']['n_judged']}."
    )
    figure = blank(statement, caption, height=56 * len(cells) + 20, left=rows_margin(labels))
    for when, colour in (("before", BEFORE), ("after", AFTER)):
        leaves = [cell[f"rate_{when}"] for cell in cells]
        hover = [
            f"{esc(names[when])}: {percent(triple(leaf)[0], 1)} of {cell[f'n_judged_{when}']} steps wrong"
            f"<br>after minus before: {points(cell)}"
            for leaf, cell in zip(leaves, cells, strict=True)
        ]
        dots(figure, names[when], leaves, labels, hover, colour=colour, shift=0.0)
    rows_axis(figure, labels)
    return figure.update_xaxes(
        rangemode="tozero", tickformat=".0%", title_text="erroneous among judged claims"
    )
