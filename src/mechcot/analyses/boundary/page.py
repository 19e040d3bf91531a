"""Contrasts of several studies, for a terminal and as a page of their own."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from mechcot.analyses.boundary.analysis import BoundaryResult
from mechcot.core.words import Table, change, plain_signs, points

Json = Mapping[str, Any]


def table(result: Json) -> Table:
    """A line a contrast."""
    apart = result["interactions"]
    rows = tuple(
        (
            name,
            points(one["answers"]),
            points(one["steps"]),
            points(apart[name]["steps"]) if name in apart else "",
            change(one["coupling"], 2),
            one["reads"],
        )
        for name, one in result["points"].items()
    )
    head = (
        "contrast",
        "right answers",
        "wrong steps",
        "steps, minus the first’s",
        "coupling before",
        "reads",
    )
    note = (
        "Changes after minus before. No split: answers rise and wrong steps rise by less than "
        f"{100 * result['margin']:g} points, both by their 95 % intervals. Coupling: correlation of right "
        "answers and traces without a wrong claim, in the arm before."
    )
    return Table("Where the split appears", head, rows, note)


def terminal_text(result: BoundaryResult) -> str:
    """Contrast by contrast, for a terminal."""
    told = result.to_json()
    lines = []
    for name, one in told["points"].items():
        lines += [
            f"{name} ({one['before']} → {one['after']}, {one['n_questions']} questions): {one['reads']}"
        ]
        lines.append(f"  right answers  {points(one['answers'])}")
        lines.append(f"  wrong steps    {points(one['steps'])}")
        if name in told["interactions"]:
            other = told["interactions"][name]
            lines.append(
                f"  minus the first's: {points(other['steps'])} ({other['n_shared']} questions shared)"
            )
        lines += [f"  coupling before (phi)  {change(one['coupling'], 2)}", ""]
    return "\n".join(plain_signs(line) for line in (*lines, *textwrap.wrap(table(told).note, 98)))
