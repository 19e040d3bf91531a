"""What the search for a place in the weights says, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mechcot.core.words import bracket, change, listed, number, signed


class Words(NamedTuple):
    """An outcome in few words, and in full."""

    short: str
    full: str


OUTCOMES = {
    "answer": Words("answer", "the log-odds of the right answer, forced before the answer is stated"),
    "agreement": Words("at prompt", "the probability of the trace’s own answer, forced at the bare prompt"),
    "claims": Words("claim error", "the probability of something else than a true object at claims"),
    "first_choice": Words(
        "first choice", "the share of claims at which a true object is not the first choice"
    ),
    "steps": Words(
        "right steps", "the log-probability of a token of steps judged right, less of steps judged wrong"
    ),
    "hedge": Words("hedging", "the probability of the hedge where a claim may be hedged"),
}
BACKGROUND = {"before": "sufficient in {before}", "after": "necessary in {after}"}


def said(effect: Mapping[str, Any]) -> str:
    """An effect with its interval and its null."""
    low, high = number(effect["null_low"]), number(effect["null_high"])
    null = "no null" if low is None or high is None else f"random [{signed(low, 3)}, {signed(high, 3)}]"
    return f"{change(effect['effect'], 3)}, {null}"


def placed(result: Mapping[str, Any]) -> str:
    """Where changes sit, as a title: units that are a place in both backgrounds first."""
    both = pairs(result)
    if not both:
        alone = [place for place in result["places"] if place["unit"]]
        if not alone:
            return "No change has a place in the weights"
        return "No unit is both sufficient and necessary for a change"
    units: dict[str, list[str]] = {}
    for (outcome, author), unit in both.items():
        units.setdefault(unit, []).append(f"{OUTCOMES[outcome].short} ({author}’s text)")
    return "; ".join(f"{unit} is sufficient and necessary for {listed(what)}" for unit, what in units.items())


def pairs(result: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """(outcome, author) to the unit that is its place in both backgrounds."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for place in result["places"]:
        found.setdefault((place["outcome"], place["author"]), {})[place["background"]] = place["unit"]
    return {
        key: units["before"]
        for key, units in found.items()
        if units.get("before") and units.get("before") == units.get("after")
    }


def sentence(result: Mapping[str, Any], outcome: str) -> str:
    """Where an outcome's change sits, author by author and background by background."""
    names = {"before": result["before"], "after": result["after"]}
    told = []
    for one in result["changes"]:
        if one["outcome"] != outcome:
            continue
        own = [
            place
            for place in result["places"]
            if (place["outcome"], place["author"]) == (outcome, one["author"])
        ]
        whole = f"at {one['author']}’s text {change(one['change'], 2)}"
        if all(not place["leader"] for place in own):
            told.append(f"{whole}, so there is nothing to place")
            continue
        parts = [_part(place, names) for place in own]
        told.append(f"{whole}: {'; '.join(parts)}")
    head = OUTCOMES[outcome].full
    return f"{head[:1].upper()}{head[1:]} changes, {'. '.join(told)}."


def _part(place: Mapping[str, Any], names: Mapping[str, str]) -> str:
    background = BACKGROUND[place["background"]].format(**names)
    if not place["unit"]:
        return f"no unit is {background} ({place['why']})"
    ahead = f"ahead of the next by {_number(place['ahead'])}"
    return f"{place['unit']} is {background}, beyond random changes of its size and {ahead}"


def _number(leaf: Mapping[str, Any]) -> str:
    value = number(leaf) or 0.0
    return f"{abs(value):.2f}" + bracket(leaf, lambda end: signed(end, 2))


def same_place(result: Mapping[str, Any]) -> str:
    """Whether the changes that have a place share it; only places count that are one in both backgrounds."""
    both = pairs(result)
    if len(both) < 2:
        return "Fewer than two changes have a place in both backgrounds, so none can be shared."
    units: Sequence[str] = tuple(dict.fromkeys(both.values()))
    if len(units) == 1:
        return f"All {len(both)} changes that have a place have the same one: {units[0]}."
    return f"The {len(both)} changes that have a place do not share it: {listed(units)}."
