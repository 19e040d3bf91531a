"""What changing steps did, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

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
    NATS,
    OWN,
    RATIONALE,
    REWRITTEN,
    RIGHT,
    STEPS,
    TOTAL,
    WRONGNESS,
)
from mechcot.core.words import change, counted, listed, number, percent, points

Json = Mapping[str, Any]
GROUPS = {RATIONALE: "rationale steps", CORE: "core claims", ALL: "steps"}
_ROLES = ("before", "after")


def effect(result: Json, estimand: str, measure: str, what: str, kind: str) -> Json | None:
    """One row of the effects of a result; None: there is none.

    Args:
        result: `CausesResult.to_json()`.
        estimand: see `result.Effect`, like all that follow.
        measure: see there.
        what: see there.
        kind: see there.
    """
    keys = {"estimand": estimand, "measure": measure, "what": what, "kind": kind}
    return next(
        (row for row in result["effects"] if all(row[key] == value for key, value in keys.items())), None
    )


def amount(row: Json, leaf: Any) -> str:
    """A mean change in its unit, with its interval."""
    if (row["estimand"], row["measure"]) in NATS:
        value, space, rest = change(leaf, 2).partition(" ")
        return f"{value} nats{space}{rest}" if number(leaf) is not None else change(leaf, 2)
    return points(leaf)


def by_arm(result: Json, row: Json) -> str:
    """A mean in both arms with the steps behind it; an arm without such a step is named as that."""
    told = []
    for role in _ROLES:
        n, arm = row["n_steps"][role], result[role]
        told.append(f"{amount(row, row[role])} in {arm} ({counted(n, 'step')})" if n else f"no step in {arm}")
    return listed(told)


def _by_group(result: Json, way: tuple[str, str, str]) -> str:
    """The same for every group of steps that there is."""
    rows = {name: effect(result, *way, kind) for kind, name in GROUPS.items()}
    return "; ".join(f"{name} {by_arm(result, row)}" for name, row in rows.items() if row is not None)


def wrongness(result: Json) -> str:
    """Whether it matters to the right answer that a step is wrong: everything behind it written anew."""
    told = _by_group(result, (TOTAL, RIGHT, WRONGNESS))
    if not told:
        why = result["no_swaps"] or "nothing was written anew behind a swap"
        return f"Whether it matters that a step is wrong is not known: {why}."
    how = "its claim is repaired, rather than swapped for another wrong one,"
    if result["swapped"] == REWRITTEN:
        how = "its claim is repaired by a server, rather than swapped for another wrong one by it,"
    if result["swapped"] == STEPS:
        how = "a right step of another trace stands in its place, rather than another wrong one,"
    return f"Where {how} and all behind it is written anew, the share of right answers changes: {told}."


def held(result: Json) -> str:
    """The same with the rest of the prefix held."""
    told = _by_group(result, (HELD, OWN, WRONGNESS))
    if not told:
        return ""
    return f"With every other word held, the log-odds of the trace’s own answer change: {told}."


def moves(result: Json) -> str:
    """Whether steps move the answer at all, way by way."""
    ways = {
        (DIRECT, MOVED, HIDDEN): "Hidden from the words that force the answer (direct attention)",
        (BLIND, MOVED, HIDDEN): "Hidden from these words and from later steps",
        (HELD, MOVED, ANY): "One of them swapped, every other word held",
        (TOTAL, CHANGED, ANY): "One of them swapped, all behind it written anew (total effect)",
    }
    if result["no_swaps"]:
        ways[TOTAL, CHANGED, design.WITHOUT] = "Left out, all behind written anew"
    told = [f"{words}: {said}" for way, words in ways.items() if (said := _by_group(result, way))]
    if not told:
        return "No step was hidden, swapped or left out."
    return (
        "How far a step moves the answer (probability of the trace’s own, without its sign; written "
        f"anew, how much oftener it is another one). {'. '.join(told)}."
    )


def _sentences(told: Sequence[str]) -> str:
    """What is said of each arm; the first ends a sentence that was begun, each other one is its own."""
    first, *others = told
    return " ".join([f"{first}.", *(f"{re.sub('^in ', 'In ', one)}." for one in others)])


def flips(result: Json) -> str:
    """Flips where the answer is open, and where it is settled."""
    told = []
    for role in _ROLES:
        own = [row for row in result["flips"] if row["arm"] == result[role]]
        if own:
            ends = " and ".join(
                f"{percent(row['swapped'])} (swaps among wrong values: {percent(row['lateral'])}) in "
                f"decile {row['decile']}"
                for row in (own[0], own[-1])
            )
            told.append(f"in {result[role]} {ends}")
    if not told:
        return "There are too few swapped steps to sort them by how settled the answer was."
    return (
        "Steps sorted by the margin of the forced answer before them: a swap between right and wrong, "
        f"the rest held, puts another option first {_sentences(told)}"
    )


def first(result: Json) -> str:
    """Whether traces end in the answer put first."""
    told = []
    for row in result["first"]:
        if row["stated"] == design.WRONG:
            told.append(
                f"{row['arm']} ends in it in {percent(row['with_it'])} of continuations, without it in "
                f"{percent(row['without'])} ({points(row['difference'])}; "
                f"{counted(row['n_traces'], 'trace')}; no option in {percent(row['unanswered_with'])} and "
                f"{percent(row['unanswered_without'])})"
            )
    if not told:
        return "No answer could be put first: no trace states its answer in its written form."
    return f"With a wrong answer stated before the first step, {_sentences(told)}"


def controls(result: Json) -> str:
    """The answer forced behind something else than the trace's own steps."""
    told = []
    for role in _ROLES:
        own = {row["control"]: row for row in result["controls"] if row["arm"] == result[role]}
        if own:
            parts = [f"{percent(row['p'], 0)} ({name})" for name, row in own.items()]
            told.append(f"in {result[role]} {listed(parts)}")
    if not told:
        return "No prefix was replaced."
    return f"The forced answer is the trace’s own with a mean probability of, {_sentences(told)}"


def free(result: Json) -> str:
    """Forced against free answers."""
    told = []
    for role in _ROLES:
        own = [row for row in result["free"] if row["arm"] == result[role]]
        if own:
            parts = [f"{change(row['distance'], 2)} ({row['place']})" for row in own]
            told.append(f"in {result[role]} {listed(parts)}")
    if not told:
        return "Nothing was written on from freely."
    return (
        "Squared distance of forced answers and those of free continuations from the same place, 0 where "
        f"they are equal: {_sentences(told)}"
    )
