"""Figures of what changed outside: answers, steps, calibration."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from mechcot.analyses.form import STRATA
from mechcot.core.naming import ARM_COLOURS
from mechcot.core.words import direction, number, parts_in_points, percent, points
from mechcot.report.charts import ERRORS, Axis, Bar, Mark, Row, row_chart
from mechcot.report.figures import AFTER, FEW, Json, greyed, n_questions, tint, with_interval
from mechcot.report.palette import of_roles

ROLES = ("before", "after")
_APART = 0.14


def headline(answers: Json, audit: Json, *, title: str | None = None) -> go.Figure:
    """Answers and reasoning side by side, each before and after.

    Args:
        answers: `AnswersResult.to_json()`.
        audit: `AuditResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    deltas = (answers["delta_sc"], audit["delta"])
    gain, rise = (_moved(delta) for delta in deltas)
    names = {when: answers[when]["arm"] for when in ROLES}
    hues = of_roles(answers, names)
    statement = (
        title or f"From {names['before']} to {names['after']}: right answers {gain}, erroneous steps {rise}"
    )
    judged = ", ".join(f"{audit[when]['n_judged']} {audit[when]['arm']}" for when in ("before", "after"))
    caption = (
        f"{answers['before']['n_questions']} questions, {answers['before']['k']} traces of each. "
        f"Judged steps: {judged}. 95 % intervals over questions; above each row the difference."
    )
    parts = (("answers\nright (vote)", answers, "sc"), ("steps\nerroneous", audit, "error_rate"))
    rows = []
    for (label, part, key), delta in zip(parts, deltas, strict=True):
        marks = [
            Mark(
                with_interval(part[when], key),
                colour,
                f"{names[when]}: {percent(part[when][key])}",
                names[when],
            )
            for when, colour in hues.items()
        ]
        rows.append(Row(label, marks, note=points(delta)))
    return row_chart(statement, caption, rows, Axis("share", ".0%", ends=(0, 1)), apart=_APART)


def control_headline(found: Json) -> go.Figure:
    """Answers and reasoning of a `ControlResult.to_json()`."""
    return headline(found["answers"] | {ARM_COLOURS: found.get(ARM_COLOURS, {})}, found["audit"])


def _moved(delta: Any) -> str:
    change = number(delta)
    if change is None:
        return "not comparable"
    if direction(delta) == "unclear":
        return f"not clearly changed ({100 * change:+.0f} points)"
    return f"{'up' if change > 0 else 'down'} {abs(100 * change):.0f} points"


def error_by_kind(audit: Json, *, title: str | None = None) -> go.Figure:
    """Error rate of each kind of step in both arms, with how many claims of it a trace makes.

    Args:
        audit: `AuditResult.to_json()`; its `roles` are the kinds.
        title: a statement in place of the one read off the numbers.
    """
    judged = [kind for kind in audit["roles"] if kind["n_judged_before"] or kind["n_judged_after"]]
    kinds = sorted(judged, key=lambda kind: -(number(kind["rate_after"]) or 0.0))
    names = {when: audit[when]["arm"] for when in ROLES}
    hues = of_roles(audit, names)
    worst = next((kind for kind in kinds if number(kind["rate_after"]) is not None), None)
    statement = title or (
        "No kind of step was judged in both arms"
        if worst is None
        else f"Errors gather in some kinds of step: {percent(worst['rate_after'], 0)} of "
        f'"{worst["role"]}" are wrong in {names["after"]}'
    )
    caption = (
        f"Under each kind: claims per trace, {names['before']} → {names['after']}. Judged steps: "
        f"{audit['before']['n_judged']} → {audit['after']['n_judged']}. "
        "An arm without a dot has no judged claim of that kind; kinds that claim nothing are not shown. "
        f"95 % intervals over questions.{greyed(map(few, kinds))}"
    )
    rows = []
    for kind in kinds:
        often = " → ".join(_count(kind[f"claims_per_trace_{when}"]) for when in ROLES)
        marks = [
            Mark(
                with_interval(kind, f"rate_{when}"),
                colour,
                f"{kind['role']}, {names[when]}: {percent(kind[f'rate_{when}'])} of "
                f"{kind[f'n_judged_{when}']} steps\nafter minus before: {points(kind)}",
                names[when],
                faint=few(kind),
            )
            for when, colour in hues.items()
        ]
        rows.append(Row(f"{kind['role']}\n{often}", marks))
    return row_chart(statement, caption, rows, ERRORS, apart=_APART)


def _count(value: Any) -> str:
    per_trace = number(value)
    return "–" if per_trace is None else f"{per_trace:.2f}"


_TERMS = {
    "composition": "mix of the\nshared cells",
    "within": "error inside\nshared cells",
    "unshared": "cells only one\narm writes",
}


def split(audit: Json, *, title: str | None = None) -> go.Figure:
    """The change of the step error in its three terms at the headline's resolution, as a waterfall.

    Args:
        audit: `AuditResult.to_json()`; its `resolutions` are the splits.
        title: a statement in place of the one read off the numbers.
    """
    sizes = audit["resolutions"]
    cells = audit["cells"]
    result = sizes[cells]
    leaves = [result[key] for key in (*_TERMS, "total")]
    values = [number(leaf) or 0.0 for leaf in leaves]
    largest = max(range(3), key=lambda index: abs(values[index]))
    statement = title or (
        f"Of the {100 * values[3]:+.1f} points of step error, {100 * values[largest]:+.1f} come from: "
        + list(_TERMS.values())[largest].replace("\n", " ")
    )
    caption = (
        f"{result['total']['n']} questions. The three terms add up to the whole change. A cell is a "
        f"{cells.replace(' x ', ' × ')} of steps. Whiskers: 95 % intervals over questions."
    )
    starts = [sum(values[:place]) for place in range(3)]
    told = parts_in_points(leaves[:3])
    rows = [
        Row(name, bars=[Bar(leaf, tint(AFTER, 0.55), text, start=start)])
        for name, leaf, text, start in zip(_TERMS.values(), leaves, told, starts, strict=False)
    ]
    rows.append(Row("whole\nchange", bars=[Bar(result["total"], AFTER, points(result["total"]), start=0.0)]))
    return row_chart(statement, caption, rows, Axis("change, percentage points", "+.0%"))


def error_by_answers(audit: Json, *, title: str | None = None) -> go.Figure:
    """Step error before and after on questions sorted by which arm's vote is right.

    Args:
        audit: `AuditResult.to_json()`; its `strata` are the groups.
        title: a statement in place of the one read off the numbers.
    """
    names = {when: audit[when]["arm"] for when in ROLES}
    hues = of_roles(audit, names)
    cells = [audit["strata"][key] for key in STRATA]
    statement = title or f"On questions that both get right, the step error changes by {points(cells[0])}"
    caption = (
        f"{sum(cell['n_questions'] for cell in cells)} questions, by whose vote is right (a tie is not). "
        f"Judged steps: {audit['before']['n_judged']} → {audit['after']['n_judged']}. "
        f"95 % intervals over questions.{greyed(map(few, cells))}"
    )
    rows = []
    for label, cell in zip(STRATA.values(), cells, strict=True):
        marks = [
            Mark(
                with_interval(cell, f"rate_{when}"),
                colour,
                f"{names[when]}: {percent(cell[f'rate_{when}'])} of {cell[f'n_judged_{when}']} steps wrong\n"
                f"after minus before: {points(cell)}",
                names[when],
                faint=few(cell),
            )
            for when, colour in hues.items()
        ]
        rows.append(Row(f"{label.format(**names)}\n{n_questions(cell['n_questions'])}", marks))
    return row_chart(statement, caption, rows, ERRORS, apart=_APART)


def few(part: Json) -> bool:
    """Whether so few questions stand behind a part that it is drawn in grey."""
    return bool(part["n_questions"] < FEW)
