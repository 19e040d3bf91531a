"""Figures of how sure the audit is: ways to take the difference, judges side by side, gains by margin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from mechcot.report.figures import (
    AFTER,
    BEFORE,
    INK,
    NULL,
    TEACHER,
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
    wrap,
)


def difference_forest(inference: Json, people: Json | None = None, *, title: str | None = None) -> go.Figure:
    """The change of the step error, taken in several ways: weights, abstentions, people, naive steps.

    Args:
        inference: `InferenceResult.to_json()`.
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
    _points(figure, [leaf for _, leaf, _ in rows], [colour for _, _, colour in rows], labels)
    if bounded:
        _bounds(figure, inference["abstention"]["difference"], len(rows))
    _zero(figure)
    rows_axis(figure, labels)
    return figure.update_xaxes(tickformat="+", title_text="change, percentage points", rangemode="tozero")


def _independent(inference: Json) -> Any:
    """The interval that steps taken as independent would give."""
    mid, se = finite(inference["step_weighted"]["estimate"]), finite(inference["independent_se"])
    if mid is None or se is None:
        return None
    return {"estimate": mid, "low": mid - 1.96 * se, "high": mid + 1.96 * se}


def _points(figure: go.Figure, leaves: Sequence[Any], colours: Sequence[str], labels: Sequence[str]) -> None:
    for row, (leaf, colour) in enumerate(zip(leaves, colours, strict=True)):
        mid, low, high = (None if value is None else 100 * value for value in triple(leaf))
        figure.add_scatter(
            x=[mid],
            y=[row],
            error_x=whisker([mid], [low], [high], colour),
            mode="markers",
            marker={"size": 10, "color": colour},
            customdata=[f"{labels[row].replace('<br>', ' ')}: {points(leaf)}"],
            hovertemplate="%{customdata}<extra></extra>",
            showlegend=False,
        )


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


def _zero(figure: go.Figure) -> None:
    line = {"color": NULL, "width": 1, "dash": "dot"}
    figure.add_shape(type="line", x0=0, x1=0, yref="paper", y0=0, y1=1, line=line)


def judges(panel: Json, *, title: str | None = None) -> go.Figure:
    """The change of the step error as each judge of a panel sees it.

    Args:
        panel: `PanelResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    found = panel["judges"]
    labels = [wrap(name, 20) for name in found]
    caption = (
        "After minus before, with 95 % intervals over questions. Judged steps: "
        + "; ".join(
            f"{name} {_judged(one, 'before'):,} → {_judged(one, 'after'):,}" for name, one in found.items()
        )
        + "."
    )
    statement = title or "The change of the step error, judge by judge"
    figure = blank(statement, caption, height=46 * len(labels) + 20, left=rows_margin(labels), legend=False)
    leaves = [one["delta"] for one in found.values()]
    _points(figure, leaves, [AFTER, *[INK] * (len(leaves) - 1)], labels)
    _zero(figure)
    rows_axis(figure, labels)
    return figure.update_xaxes(tickformat="+", title_text="change, percentage points", rangemode="tozero")


def _judged(judge: Json, when: str) -> int:
    return int(judge["counts"][when]["correct"] + judge["counts"][when]["erroneous"])


def gains(margins: Json, *, title: str | None = None) -> go.Figure:
    """Questions gained and lost by how far the right answer led before, beside what luck alone does.

    Args:
        margins: `MarginsResult.to_json()`.
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
        margins: `MarginsResult.to_json()`.
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
