"""Figures of the judge controls: every control beside the primary, and what they say of the judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import plotly.graph_objects as go

from mechcot.analyses.form import STRATA
from mechcot.analyses.judge_controls.tables import WEIGHTS
from mechcot.analyses.judge_controls.wording import ALPHA, ROLES, is_apart, points
from mechcot.core.words import percent
from mechcot.report.charts import POINTS, Axis, Mark, Row, row_chart
from mechcot.report.figures import AFTER, COLOURS, FEW, INK, NULL, Json, greyed, tint, triple


def judge_forest(found: Json, *, title: str | None = None) -> go.Figure:
    """Each control's difference of step error, the primary's on top, and each minus the primary.

    Args:
        found: `JudgeControlsResult.to_json()`; controls without a difference are named in the caption.
        title: a statement in place of the one read off the numbers.
    """
    rows = [row for row in found["controls"] if triple(row["error"]["difference"])[0] is not None]
    primary = found["controls"][0]
    _, low, high = triple(primary["error"]["difference"])
    region = None if low is None or high is None else (low, high, tint(AFTER, 0.14))
    return row_chart(
        title or _forest_statement(primary, rows),
        _forest_caption(found, primary, rows),
        [_forest_row(row) for row in rows],
        replace(POINTS, title="", region=region),
        columns=("after minus before", "minus primary"),
    )


def _forest_row(row: Json) -> Row:
    apart, hover = is_apart(row), _forest_hover(row)
    colour = AFTER if row["control"] == "primary" else INK if apart else NULL
    symbol = "diamond" if apart else "circle"
    leaves = (row["error"]["difference"], row["minus_primary"])
    return Row(row["name"], [Mark(leaf, colour, hover, symbol=symbol) for leaf in leaves])


def _forest_hover(row: Json) -> str:
    error, n, counts = row["error"], row["n_judged"], row["counts"]
    lines = [
        f"{row['name']}: {points(error['difference'])}",
        " → ".join(f"{counts[role]['erroneous']} of {n[role]} ({percent(error[role])})" for role in ROLES),
    ]
    p, family = triple(row["p"])[0], triple(row["p_family"])[0]
    if p is not None and family is not None:
        lines.append(f"minus primary: {points(row['minus_primary'])}")
        lines.append(f"p {p:.2g}, in the family {family:.2g}")
    return "\n".join(lines)


def _forest_statement(primary: Json, rows: Sequence[Json]) -> str:
    others = [triple(row["error"]["difference"])[0] or 0.0 for row in rows if row["control"] != "primary"]
    own = primary["error"]["difference"]
    statement = "The judge as it is gives no difference of step error"
    if triple(own)[0] is not None:
        statement = f"The judge as it is finds the step error changed by {points(own)}"
    if not others:
        return statement
    if len(others) == 1:
        return f"{statement}; under the one control by {100 * others[0]:+.1f} points"
    ends = f"{100 * min(others):+.1f} to {100 * max(others):+.1f}"
    return f"{statement}; under {len(others)} controls by {ends} points"


def _forest_caption(found: Json, primary: Json, rows: Sequence[Json]) -> str:
    n, others = primary["n_judged"], [row for row in rows if row["control"] != "primary"]
    caption = (
        f"{found['arms']['after']} minus {found['arms']['before']}, percentage points, 95 % intervals over "
        f"{found['n_questions']} questions; judged steps of the primary: {n['before']} → {n['after']}. "
        "Band: the primary’s interval. On the right each control minus the primary on the same steps. "
        f"Diamonds, {sum(map(is_apart, others))} of {len(others)}: apart from the primary, p < {ALPHA} in "
        "the family of all controls."
    )
    missing = [row["name"] for row in found["controls"] if triple(row["error"]["difference"])[0] is None]
    return caption + (f" Without a difference: {', '.join(missing)}." if missing else "")


def judge_flips(found: Json, *, labels: str = "four", title: str | None = None) -> go.Figure:
    """How often each control gives a step another label than the primary does, by arm.

    Args:
        found: `JudgeControlsResult.to_json()`.
        labels: "four" for all verdicts, "two" for correct and erroneous alone.
        title: a statement in place of the one read off the numbers.
    """
    rows = [row for row in found["flips"] if row["labels"] == labels]
    again = next((row for row in rows if row["control"] == "again"), None)
    statement = title or "How often a step gets another label when one thing changes"
    if again is not None and title is None:
        rates = " and ".join(f"{percent(again[role])} of {found['arms'][role]}’s" for role in ROLES)
        statement = f"Merely asked again, the judge gives another label to {rates} steps"
    n = {role: max((row["n_steps"][role] for row in rows), default=0) for role in ROLES}
    what = "any of the four verdicts" if labels == "four" else "steps called correct or erroneous both times"
    caption = (
        f"Share of the primary’s own steps whose label differs, {what}, with 95 % intervals over questions. "
        f"Steps: up to {n['before']} {found['arms']['before']}, {n['after']} {found['arms']['after']}."
    )
    drawn = [Row(row["name"], [_flip_mark(row, role, found["arms"][role]) for role in ROLES]) for row in rows]
    return row_chart(statement, caption, drawn, Axis("labels that differ", ".0%", zero=True), apart=0.13)


def _flip_mark(row: Json, role: str, arm: str) -> Mark:
    hover = (
        f"{row['name']}, {arm}: {row['n_flipped'][role]} of {row['n_steps'][role]} "
        f"({percent(row[role])})\nafter minus before: {points(row['difference'])}"
    )
    return Mark(row[role], COLOURS[role], hover, arm)


def judge_strata(found: Json, *, title: str | None = None) -> go.Figure:
    """The primary's difference on questions by whose answer is right, by vote and by shares of votes.

    Args:
        found: `JudgeControlsResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    labels = [label.format(**found["arms"]) for label in STRATA.values()]
    sizes = [
        f"{found['strata_weighted'][key]['weight']:.0f} or {found['strata'][key]['n_questions']} questions"
        for key in STRATA
    ]
    both = found["strata_weighted"]["both"]
    weights = [one["weight"] for kind in WEIGHTS for one in found[kind].values()]
    statement = title or (
        "The change of the step error by whose answer is right"
        if triple(both)[0] is None
        else f"Where both arms answer rightly, the step error changes by {points(both)}"
    )
    caption = (
        "Weighted by shares of votes, every question is in all four groups by the chance that each arm "
        "answers it rightly; by the vote it is in one. Questions: what each group amounts to, weighted or "
        "by the vote. "
        f"95 % intervals over questions.{greyed(weight < FEW for weight in weights)}"
    )
    rows = []
    for key, label, size in zip(STRATA, labels, sizes, strict=True):
        leaves = [found[kind][key] for kind in WEIGHTS]
        marks = [
            Mark(
                leaf,
                colour,
                f"{label}, {name}: {points(leaf)}\njudged steps {leaf['n_judged_before']} → "
                f"{leaf['n_judged_after']}",
                name,
                faint=leaf["weight"] < FEW,
            )
            for leaf, name, colour in zip(leaves, WEIGHTS.values(), (AFTER, NULL), strict=True)
        ]
        rows.append(Row(f"{label}\n{size}", marks))
    axis = Axis("change of the step error", "+.0%", null=0)
    return row_chart(statement, caption, rows, axis, apart=0.13)
