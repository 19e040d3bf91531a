"""Figures of the questions that a gain came from."""

from __future__ import annotations

import plotly.graph_objects as go

from mechcot.report.figures import (
    AFTER,
    BEFORE,
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
)


def gains(margins: Json, *, title: str | None = None) -> go.Figure:
    """Questions gained and lost by how far the right answer led before, beside what luck alone does.

    Args:
        margins: `GainsResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    bins = margins["bins"]
    labels = [f"{_signed(one['low'])} to {_signed(one['high'])}<br>{one['n']:.1f} questions" for one in bins]
    caption = (
        f"{margins['n_questions']} questions; votes of {margins['half']} of {margins['k']} traces. Rows: how "
        "far the right answer led the strongest other one before (share of votes), read off the other half "
        "of the traces. Grey whiskers: 95 % of draws in which both models answer alike."
    )
    gained, lost = (sum(one[key] for one in bins) for key in ("gained", "lost"))
    statement = title or f"{gained:.1f} questions gained, {lost:.1f} lost"
    figure = blank(statement, caption, height=44 * len(bins) + 20, left=rows_margin(labels))
    places = list(range(len(bins)))
    sides = (("gained", 1, AFTER), ("lost", -1, BEFORE))
    for key, sign, colour in sides:
        figure.add_bar(
            x=[sign * one[key] for one in bins],
            y=places,
            orientation="h",
            width=0.5,
            marker_color=tint(colour, 0.75),
            name=key,
            customdata=[f"{key}: {one[key]:.1f} questions" for one in bins],
            hovertemplate="%{customdata}<extra></extra>",
        )
    for key, sign, _ in sides:
        ends = [sorted(sign * value for value in one[f"null_{key}_range"]) for one in bins]
        means = [sign * one[f"null_{key}"] for one in bins]
        figure.add_scatter(
            x=means,
            y=places,
            error_x=whisker(means, [low for low, _ in ends], [high for _, high in ends], NULL),
            mode="markers",
            marker={"symbol": "line-ns-open", "size": 12, "color": NULL},
            name="if both were alike",
            showlegend=sign == 1,
            customdata=[f"{key} if both were alike: {one[f'null_{key}']:.1f}" for one in bins],
            hovertemplate="%{customdata}<extra></extra>",
        )
    rows_axis(figure, labels)
    figure.update_layout(barmode="overlay")
    return figure.update_xaxes(title_text="questions: lost to the left, gained to the right", tickformat="d")


def _signed(value: float) -> str:
    return f"{value:+g}".replace("-", "−")


_TRANSITIONS = {
    "gained": "gained",
    "kept_right": "right in both",
    "kept_wrong": "wrong in both",
    "lost": "lost",
}


def error_by_transition(margins: Json, *, title: str | None = None) -> go.Figure:
    """Step error before and after on the questions gained, kept and lost.

    Args:
        margins: `GainsResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    cells = {key: margins["transitions"][key] for key in _TRANSITIONS}
    labels = [f"{label}<br>{cells[key]['n']:.1f} questions" for key, label in _TRANSITIONS.items()]
    statement = title or (
        f"Gained minus kept questions: the step error changes by {points(margins['gained_minus_kept'])}"
    )
    caption = (
        f"{margins['n_questions']} questions, sorted by votes of {margins['half']} traces; the steps are "
        "those of the other traces. A tie counts in part, so questions are no whole numbers."
    )
    figure = blank(statement, caption, height=56 * len(cells) + 20, left=rows_margin(labels))
    for when, colour in (("before", BEFORE), ("after", AFTER)):
        name = margins["arms"][when]
        leaves = [cell[f"error_{when}"] for cell in cells.values()]
        hover = [
            f"{esc(name)}: {percent(triple(leaf)[0], 1)} of judged steps wrong<br>after minus before: "
            f"{points(cell['change'])}"
            for leaf, cell in zip(leaves, cells.values(), strict=True)
        ]
        dots(figure, name, leaves, labels, hover, colour=colour, shift=0.0)
    rows_axis(figure, labels)
    return figure.update_xaxes(
        rangemode="tozero", tickformat=".0%", title_text="erroneous among judged claims"
    )
