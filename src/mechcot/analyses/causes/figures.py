"""Figures of what changing steps did."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import plotly.graph_objects as go

from mechcot.analyses.causes import design
from mechcot.analyses.causes.result import (
    ALL,
    ANY,
    BLIND,
    CHANGED,
    CORE,
    DIRECT,
    HELD,
    HIDDEN,
    MOVED,
    RATIONALE,
    RIGHT,
    SURPRISAL,
    TOTAL,
    WRONGNESS,
)
from mechcot.analyses.causes.wording import effect
from mechcot.core.words import counted, direction, number, percent, points, signed
from mechcot.report.charts import POINTS, Axis, Mark, Row, row_chart
from mechcot.report.curves import Line, line_chart
from mechcot.report.figures import AFTER, BEFORE, NULL, Json

_APART = 0.16
WAYS = {
    (DIRECT, MOVED, HIDDEN): "hidden from the lead-in",
    (BLIND, MOVED, HIDDEN): "hidden, later steps too",
    (HELD, MOVED, ANY): "swapped, prefix held",
    (TOTAL, CHANGED, ANY): "swapped, written anew",
    (TOTAL, CHANGED, design.WITHOUT): "left out, written anew",
}
"""Columns of the second figure: each is an estimand of its own."""


def _kinds(result: Json, *ways: tuple[str, str, str]) -> list[str]:
    """Groups of steps, then roles, that some of these rows are of."""
    rows = result["effects"]
    there = {row["kind"] for row in rows if (row["estimand"], row["measure"], row["what"]) in ways}
    groups = [kind for kind in (RATIONALE, CORE, ALL) if kind in there]
    return [*groups, *sorted(there - set(groups))]


def causes(result: Json, *, title: str | None = None) -> go.Figure:
    """Whether it matters that a step is wrong, by kind; without swaps, how far steps move answers.

    Args:
        result: `CausesResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    way = (TOTAL, RIGHT, WRONGNESS)
    kinds = _kinds(result, way)
    if not kinds:
        return moves(result, title=title)
    rows = []
    for kind in kinds:
        row = effect(result, *way, kind)
        assert row is not None
        marks = [
            Mark(
                row[role],
                colour,
                f"{result[role]}, {kind}: {points(row[role])}, {row['n_steps'][role]:,} steps",
                result[role],
            )
            for role, colour in (("before", BEFORE), ("after", AFTER))
        ]
        rows.append(Row(kind, marks=marks))
    caption = (
        "Wrong steps with their claim repaired, less with another wrong value in its place, each written "
        f"on from {result['draws']} times: change of the share of right answers.{_balance(result)} A mark "
        "without whiskers has fewer than six questions, or no spread. 95 % intervals over questions."
    )
    axis = replace(POINTS, title="right answers, percentage points")
    return row_chart(title or short(result), caption, rows, axis, apart=_APART)


def _balance(result: Json) -> str:
    """How alike repaired and swapped values are to the reader of the arm after."""
    told = []
    for kind in (RATIONALE, CORE, ALL):
        row = effect(result, HELD, SURPRISAL, WRONGNESS, kind)
        if row is not None and number(row["after"]) is not None:
            told.append(f"{kind} {signed(number(row['after']) or 0.0, 1)} nats")
    if not told:
        return ""
    return (
        f" Surprisal of the repaired value less that of the other one, {result['after']}: {', '.join(told)}."
    )


def short(result: Json) -> str:
    """The figure's title: of the arm after, behind which steps answers become right more or less often."""
    ways: dict[str, list[str]] = {"up": [], "down": []}
    for kind in (RATIONALE, CORE, ALL):
        row = effect(result, TOTAL, RIGHT, WRONGNESS, kind)
        if row is not None and (way := direction(row["after"])) in ways:
            ways[way].append(kind)
    told = {"up": "more often", "down": "less often"}
    found = [f"{told[way]} ({', '.join(kinds)})" for way, kinds in ways.items() if kinds]
    after = result["after"]
    if not found:
        return f"With wrong steps repaired, no clear change of how often {after} is right"
    return f"With wrong steps repaired, {after} is right {' and '.join(found)}"


def statement(result: Json) -> str:
    """What the intervals allow to say of the arm after, with its numbers."""
    told = []
    for kind in (RATIONALE, CORE, ALL):
        row = effect(result, TOTAL, RIGHT, WRONGNESS, kind)
        if row is None or number(row["after"]) is None:
            continue
        way = {"up": "more", "down": "fewer"}.get(direction(row["after"]), "no clear change of")
        told.append(f"{way} right answers behind {kind} ({points(row['after'])})")
    if not told:
        return "How far steps move the answer"
    return f"{result['after']}, a wrong step repaired: {', '.join(told)}"


def moves(result: Json, *, title: str | None = None) -> go.Figure:
    """How far steps move the trace's own answer, in each way of asking.

    Args:
        result: `CausesResult.to_json()`.
        title: a statement in place of the plain one.
    """
    ways = {way: name for way, name in WAYS.items() if _kinds(result, way)}
    rows = []
    seen = Counter(kind for way in ways for kind in _kinds(result, way))
    for kind in _kinds(result, *ways):
        if seen[kind] < min(2, len(ways)):
            continue  # a role of steps that claim nothing: in the table
        for role, colour in (("before", BEFORE), ("after", AFTER)):
            marks = []
            for way, name in ways.items():
                row = effect(result, *way, kind)
                leaf = None if row is None else row[role]
                said = "no such step" if row is None else f"{points(leaf)}, {row['n_steps'][role]:,} steps"
                marks.append(Mark(leaf, colour, f"{result[role]}, {kind}, {name}: {said}"))
            rows.append(Row(f"{kind}\n{result[role]}", marks=marks))
    caption = (
        "Percentage points. Hidden and swapped with the prefix held: mean change of the probability of "
        "the trace's own answer, whatever its sign. Written anew: how much oftener the answer is another "
        "one than behind the unchanged text. The columns are different quantities. 95 % intervals over "
        "questions."
    )
    plain = "How far a step moves the trace's own answer, by kind and way of asking"
    axis = replace(POINTS, title="")
    return row_chart(title or plain, caption, rows, axis, columns=list(ways.values()))


def flips(result: Json, *, title: str | None = None) -> go.Figure:
    """How often another answer comes, by how settled it was: the arm after, else the arm before.

    Args:
        result: `CausesResult.to_json()`.
        title: a statement in place of the plain one.
    """
    arms = (result["after"], result["before"])
    arm = next((name for name in arms if _flips(result, name)), arms[0])
    own = _flips(result, arm)
    series = (
        ("swapped", AFTER, "right and wrong swapped, prefix held", "solid"),
        ("lateral", NULL, "its null: one wrong value for another", "solid"),
        ("changed", AFTER, "right and wrong swapped, written anew", "dot"),
        ("unchanged", NULL, "its null: unchanged text written anew twice", "dot"),
    )
    lines = [
        Line(
            [row["decile"] for row in own],
            [row[name] for row in own],
            colour,
            said,
            [
                f"{said}, margin {row['low']:.1f} to {row['high']:.1f} nats: {percent(row[name])}"
                for row in own
            ],
            dash=dash,
            whiskers=True,
        )
        for name, colour, said, dash in series
    ]
    n = counted(sum(row["n_steps"] for row in own), "step")
    caption = (
        f"{arm}: {n} with a swapped claim, in tenths by how far the first option was ahead of the second "
        "before the step. 95 % intervals over questions."
    )
    plain = f"Another answer, by how settled it was before the step ({arm})"
    x = Axis("decile of the margin before the step", "d")
    y = Axis("share with another answer", ".0%", zero=True)
    return line_chart(title or plain, caption, lines, x, y)


def _flips(result: Json, arm: str) -> list[Json]:
    return [row for row in result["flips"] if row["arm"] == arm]


def controls(result: Json, *, title: str | None = None) -> go.Figure:
    """The probability of the trace's own answer, forced behind something else than its steps.

    Args:
        result: `CausesResult.to_json()`.
        title: a statement in place of the plain one.
    """
    rows = []
    for control in design.CONTROLS:
        own = {row["arm"]: row for row in result["controls"] if row["control"] == control}
        if len(own) == 2:
            marks = [
                Mark(own[result[role]]["p"], colour, _said(own[result[role]]), result[role])
                for role, colour in (("before", BEFORE), ("after", AFTER))
            ]
            rows.append(Row(control, marks=marks))
    caption = (
        "Mean probability of the trace's own answer among the options, forced at the last place before "
        "the trace states it, with something else in the place of its steps. 95 % intervals over "
        "questions."
    )
    plain = "The answer forced behind other prefixes"
    return row_chart(title or plain, caption, rows, Axis("P(own answer)", ".0%", zero=True), apart=_APART)


def _said(row: Json) -> str:
    mass = signed(100 * row["raw_mass"], 0).lstrip("+")
    return (
        f"{row['arm']}, {row['control']}: {percent(row['p'])}, {counted(row['n_traces'], 'trace')}; "
        f"options hold {mass} % of the distribution"
    )
