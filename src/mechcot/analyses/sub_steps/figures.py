"""Figures of what stands inside."""

from __future__ import annotations

import plotly.graph_objects as go

from mechcot.analyses.sub_steps.design import ANSWER, PLACES, PROMPT, SLOT, WRONG
from mechcot.core.words import percent
from mechcot.report.charts import Axis, Mark, Row, auroc, row_chart
from mechcot.report.figures import AFTER, BEFORE, NULL, Json

SHORT = {
    PROMPT: "prompt’s end",
    SLOT: "where it is written",
    ANSWER: "answer, no trace",
    WRONG: "answer, wrong trace",
}
"""Places as heads of columns."""


def decoded(result: Json, *, title: str | None = None) -> go.Figure:
    """How far right values are read, by arm and sub-step, at each place.

    Args:
        result: `SubStepsResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    known = {(one["arm"], one["sub_step"], one["place"]): one for one in result["decoded"]}
    places = [place for place in PLACES if any(key[2] == place for key in known)]
    rows = []
    for arm, name in dict.fromkeys(key[:2] for key in known):
        colour = BEFORE if arm == result["before"] else AFTER
        marks = []
        for place in places:
            one = known[arm, name, place]
            leaf = one.get("beyond", one["beats"])
            said = f"{percent(leaf)} of pairs; with its answer {percent(one['beats'])}"
            marks.append(Mark(leaf, colour, f"{arm}, {name}, {PLACES[place]}: {said}"))
        rows.append(Row(f"{arm}\n{name}", marks))
    axis = auroc([one.get("beyond", one["beats"]) for one in result["decoded"]], "right above wrong")
    statement = "How far the right sub-step is read from inside, by trace type"
    caption = (
        "Share of pairs in which the right value scores above a wrong one that no text says, "
        f"{result['n_questions']:,} questions about {result['n_entities']:,} entities; maps fitted on other "
        "entities, 95 % intervals; of a sub-step before the last, without what the code of its answer tells "
        "of it. 0.5: chance."
    )
    return row_chart(title or statement, caption, rows, axis, columns=[SHORT[place] for place in places])


def swapped(result: Json, *, title: str | None = None) -> go.Figure:
    """How often answers follow a sub-step that was swapped, beside a third value."""
    kinds = (("follows_third", "behind a third value", NULL), ("follows", "behind what leads to it", AFTER))
    rows = []
    for one in result["swapped"]:
        called = f"{one['arm']}, {one['sub_step']}"
        marks = [
            Mark(one[key], colour, f"{called}, {label}: {percent(one[key])}", label)
            for key, label, colour in kinds
        ]
        rows.append(Row(f"{one['arm']}\n{one['sub_step']}", marks))
    caption = (
        "Share of answers that are the one a wrong value leads to, behind a trace that ends with it and "
        f"behind one that ends with a value of another question; {result['n_questions']:,} questions, 95 % "
        "intervals."
    )
    statement = "Whether the answer follows a sub-step that is said"
    return row_chart(title or statement, caption, rows, Axis(ticks=".0%", ends=(0, 1.02)), apart=0.15)
