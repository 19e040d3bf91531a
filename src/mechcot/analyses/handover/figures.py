"""Figures of the hand-over: the four cells, and what weights change in terms."""

from __future__ import annotations

import itertools
from dataclasses import replace

import plotly.graph_objects as go

from mechcot.analyses.handover.result import GREEDY, SAMPLED, SLOT, row_of
from mechcot.core.handover_tables import FORCED, FREE, OWN
from mechcot.core.words import direction, number, percent, points
from mechcot.report.charts import ERRORS, POINTS, Mark, Row, row_chart
from mechcot.report.figures import AFTER, BEFORE, INK, Json

COLUMNS = {
    (FREE, SAMPLED): "free",
    (FORCED, SAMPLED): "forced",
    (FORCED, GREEDY): "and greedy",
    (SLOT, SAMPLED): "1 − p(truth)",
}
"""What the columns of the figure show."""


def cells(result: Json, *, title: str | None = None) -> go.Figure:
    """Error of the next step: whose text and whose weights, free and with the claim forced.

    Args:
        result: `HandoverResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    arms = (result["before"], result["after"])
    shown = [column for column in COLUMNS if number(_error(result, *arms, *column)) is not None]
    shown = shown or [(FREE, SAMPLED)]
    rows = []
    for prefix, writer in itertools.product(arms, arms):
        colour = BEFORE if writer == arms[0] else AFTER
        marks = []
        for form, how in shown:
            row = row_of(result["cells"], prefix=prefix, source=OWN, writer=writer, form=form, decoding=how)
            said = f"{percent(row['error'])} of {row['n_judged']:,}"
            marks.append(Mark(row["error"], colour, f"{COLUMNS[form, how]}: {said}"))
        rows.append(Row(f"text of {prefix}\nwritten by {writer}", marks=marks))
    caption = (
        f"{sum(result['n_prefixes'].values()):,} prefixes of {result['n_questions']:,} questions, "
        f"{result['samples']} next steps each at temperature {result['temperature']:g}. Share of wrong ones "
        "among those judged; forced: the author's next claim is given up to its object, and greedy: its "
        "first choice. 95 % intervals over questions."
    )
    columns = [COLUMNS[column] for column in shown]
    return row_chart(title or statement(result), caption, rows, replace(ERRORS, title=""), columns=columns)


def _error(result: Json, prefix: str, writer: str, form: str, how: str) -> Json:
    row = row_of(result["cells"], prefix=prefix, source=OWN, writer=writer, form=form, decoding=how)
    error: Json = row["error"]
    return error


def statement(result: Json) -> str:
    """Which of text and weights the next step's errors go with, as far as the intervals allow."""
    free = row_of(result["effects"], form=FREE, decoding=SAMPLED)
    parts = {"the text": free["effect_text"], "the weights": free["effect_weights"]}
    clear = {name: leaf for name, leaf in parts.items() if direction(leaf) in ("up", "down")}
    if not clear:
        return "Wrong next steps: neither the text nor the weights clearly change them"
    name = max(clear, key=lambda key: abs(number(clear[key]) or 0.0))
    more = "both change them, most of all" if len(clear) == 2 else "what changes them is"
    return f"Wrong next steps: {more} {name}, {points(clear[name])}"


TERMS = {
    "weights": "after's weights: all",
    "knowledge": "first choice at forced claims",
    "decoding": "what sampling adds",
    "choice": "which claim is made",
}
"""How the terms read."""


def terms(result: Json, *, title: str | None = None) -> go.Figure:
    """What the weights of the arm after change on each arm's text, in terms that add up.

    Args:
        result: `HandoverResult.to_json()`.
        title: a statement in place of the plain one.
    """
    arms = (result["before"], result["after"])
    rows = []
    for term, said in TERMS.items():
        name = said.replace("after's", f"{result['after']}'s")
        marks = [
            Mark(
                row_of(result["terms"], prefix=prefix)[term],
                colour,
                f"{name}, on text of {prefix}: {points(row_of(result['terms'], prefix=prefix)[term])}",
                f"on text of {prefix}",
            )
            for prefix, colour in zip((*arms, "mean"), (BEFORE, AFTER, INK), strict=True)
        ][:2]
        rows.append(Row(name, marks=marks))
    caption = (
        "Wrong next steps written by "
        f"{result['after']} less those written by {result['before']} behind the same text; the last three "
        "rows add up to the first. 95 % intervals over questions."
    )
    plain = f"What {result['after']}'s weights change in the next step"
    return row_chart(title or plain, caption, rows, POINTS, apart=0.16)
