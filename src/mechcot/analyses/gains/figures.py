"""Figures of the questions that a gain came from."""

from __future__ import annotations

import plotly.graph_objects as go

from mechcot.core.words import percent, points
from mechcot.report.charts import ERRORS, Axis, Bar, Mark, Row, row_chart
from mechcot.report.figures import AFTER, BEFORE, FEW, NULL, Json, greyed, tint, with_interval
from mechcot.report.palette import of_roles


def gains(margins: Json, *, title: str | None = None) -> go.Figure:
    """Questions gained and lost by how far the right answer led before, beside what luck alone does.

    Args:
        margins: `GainsResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    bins = margins["bins"]
    caption = (
        f"{margins['n_questions']} questions; votes of {margins['half']} of {margins['k']} traces. Rows: how "
        "far the right answer led the strongest other one before (share of votes), read off the other half "
        "of the traces. Grey whiskers: 95 % of draws in which both models answer alike."
    )
    gained, lost = (sum(one[key] for one in bins) for key in ("gained", "lost"))
    statement = title or f"{gained:.1f} questions gained, {lost:.1f} lost"
    rows = []
    for one in bins:
        drawn = [
            Bar(sign * one[key], tint(colour, 0.75), f"{key}: {one[key]:.1f} questions", key)
            for key, sign, colour in (("gained", 1, AFTER), ("lost", -1, BEFORE))
        ]
        nulls = [_null(one, key, sign) for key, sign in (("gained", 1), ("lost", -1))]
        label = f"{_signed(one['low'])} to {_signed(one['high'])}\n{one['n']:.1f} questions"
        rows.append(Row(label, nulls, drawn))
    return row_chart(statement, caption, rows, Axis("lost ← questions → gained", "d"))


def _null(one: Json, key: str, sign: int) -> Mark:
    """What luck alone does in a bin; nothing where no question can be."""
    low, high = sorted(sign * value for value in one[f"null_{key}_range"])
    leaf = None if low == high else {"estimate": sign * one[f"null_{key}"], "low": low, "high": high}
    hover = f"{key} if both were alike: {one[f'null_{key}']:.1f}"
    return Mark(leaf, NULL, hover, "if both were alike", "line-ns-open")


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
    statement = title or (
        f"Gained minus kept questions: the step error changes by {points(margins['gained_minus_kept'])}"
    )
    caption = (
        f"{margins['n_questions']} questions, sorted by votes of {margins['half']} traces; the steps are "
        "those of the other traces. A tie counts in part, so questions are no whole numbers. 95 % intervals "
        f"over questions.{greyed(cell['n'] < FEW for cell in margins['transitions'].values())}"
    )
    rows = []
    for key, label in _TRANSITIONS.items():
        cell = margins["transitions"][key]
        marks = [
            Mark(
                with_interval(cell, f"error_{when}"),
                colour,
                f"{margins['arms'][when]}: {percent(cell[f'error_{when}'])} of judged steps wrong\n"
                f"after minus before: {points(cell['change'])}",
                margins["arms"][when],
                faint=cell["n"] < FEW,
            )
            for when, colour in of_roles(margins, margins["arms"]).items()
        ]
        rows.append(Row(f"{label}\n{cell['n']:.1f} questions", marks))
    return row_chart(statement, caption, rows, ERRORS, apart=0.14)
