"""What the search for a place in the weights says, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mechcot.core.words import change, listed, number, percent, points, signed


class Words(NamedTuple):
    """An outcome in few words and in full, and whether it is a fraction, else in nats."""

    short: str
    full: str
    fraction: bool = True


OUTCOMES = {
    "answer": Words("answer", "log-odds of the right answer, forced before the answer is stated", False),
    "agreement": Words("at prompt", "probability of the trace’s own answer, forced at the bare prompt"),
    "claims": Words("claim error", "probability of something else than a true object at claims"),
    "first_choice": Words("first choice", "share of claims at which no true object is the first choice"),
    "steps": Words(
        "right steps", "log-probability of a token of steps judged right less of wrong ones", False
    ),
    "hedge": Words("hedging", "probability of the hedge where a claim may be hedged"),
}
SWAPPED = {"before": "put into {before}", "after": "taken out of {after}"}
_IS = {
    "before": "sufficient for {share} of it in {before}",
    "after": "necessary for {share} of it in {after}",
}


def amount(outcome: str, leaf: Any) -> str:
    """A difference of an outcome in its unit, with its interval."""
    return points(leaf) if OUTCOMES[outcome].fraction else change(leaf, 2).replace(" [", " nats [", 1)


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
        return "No unit is ahead of all others both put in and taken out"
    units: dict[str, list[str]] = {}
    for (outcome, author), unit in both.items():
        units.setdefault(unit, []).append(f"{OUTCOMES[outcome].short} ({author}’s text)")
    told = [f"{unit} is ahead, put in and taken out, in {listed(what)}" for unit, what in units.items()]
    return "; ".join(told)


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
    moved, told = [], []
    for one in result["changes"]:
        if one["outcome"] != outcome:
            continue
        key = (outcome, one["author"])
        own = [place for place in result["places"] if (place["outcome"], place["author"]) == key]
        moved.append(f"at {one['author']}’s text by {amount(outcome, one['change'])}")
        if any(place["leader"] for place in own):
            told.append(f"At {one['author']}’s text {', and '.join(_part(result, place) for place in own)}.")
        else:
            told.append(f"At {one['author']}’s text it is not apart from 0: nothing to place.")
    name = OUTCOMES[outcome].full
    return " ".join([f"{name[:1].upper()}{name[1:]} changes {listed(moved)}.", *told])


def _part(result: Mapping[str, Any], place: Mapping[str, Any]) -> str:
    names = {"before": result["before"], "after": result["after"]}
    if not place["unit"]:
        return f"{SWAPPED[place['background']].format(**names)}, no unit is its place ({place['why']})"
    key = ("unit", "outcome", "author", "background")
    own = next(one for one in result["effects"] if all(one[name] == place[name] for name in key))
    told = _IS[place["background"]].format(share=percent(own["share"], 0), **names)
    ahead = amount(place["outcome"], place["ahead"]).lstrip("+")
    return f"{place['unit']} is {told}, beyond random changes of its size and ahead of the next by {ahead}"


def same_place(result: Mapping[str, Any]) -> str:
    """Whether the changes that have a place share it; only places count that are one in both backgrounds."""
    both = pairs(result)
    if len(both) < 2:
        return "Fewer than two changes have a place in both backgrounds, so none can be shared."
    units: Sequence[str] = tuple(dict.fromkeys(both.values()))
    if len(units) == 1:
        return f"All {len(both)} changes that have a place have the same one: {units[0]}."
    return f"The {len(both)} changes that have a place do not share it: {listed(units)}."
