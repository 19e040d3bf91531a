"""What changes first along a training, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mechcot.analyses.along.counts import MEASURES
from mechcot.core.words import bracket, listed, number, percent
from mechcot.stats.seeds import SEEDS

Json = Mapping[str, Any]
PAIRS = len(MEASURES) * (len(MEASURES) - 1) // 2


def share(leaf: Any) -> str:
    """A share of a training with its interval."""
    return f"{percent(leaf, 0)}{bracket(leaf, lambda end: f'{100 * end:.0f}')}"


def statement(result: Json) -> str:
    """The same, what went beyond its ends on the way, and what that says of an order."""
    return " ".join(filter(None, (halves(result), _beyond(result), _order(result))))


def halves(result: Json) -> str:
    """When half of each change lies behind."""
    runs = result["runs"]
    rows = result["halves"] or runs[0]["halves"]
    known = [row for row in rows if number(row["time"]) is not None]
    over = (
        f"over {len(runs)} training seeds" if result["halves"] else f"in the training of {runs[0]['student']}"
    )
    if not known:
        return f"No measure is told to have changed {over}."
    first = runs[0]["points"][1]["share"]
    early = [MEASURES[row["measure"]] for row in known if row["between"][1] <= first]
    told = [
        f"after {share(row['time'])} of the steps for {MEASURES[row['measure']]}"
        for row in known
        if row["between"][1] > first
    ]
    if early:  # where in that stretch, a straight line alone would say
        told.append(f"before the first checkpoint, at {percent(first, 0)}, for {listed(early)}")
    return f"Half of the change was behind {listed(told)}, {over}."


def _beyond(result: Json) -> str:
    """Measures that were behind their start or past their end on the way, by intervals that exclude both."""
    told = []
    for name, title in MEASURES.items():
        inner = [point for run in result["runs"] for point in run["points"][1:-1]]
        for where, sign in (("behind their start", -1), ("past their end", 1)):
            out = [point for point in inner if _outside(point["done"][name]) == sign]
            if out:
                far = max(out, key=lambda point: sign * (number(point["done"][name]) or 0.0))
                farthest = f"{percent(far['rates'][name])} at {far['arm']}"
                told.append(
                    f"{title} {where} at {len(out)} of {len(inner)} checkpoints (farthest {farthest})"
                )
    return f"On the way stood {listed(told)}." if told else ""


def _outside(done: Any) -> int:
    """-1 where an interval of the share of a change lies below its start, 1 above its end, else 0."""
    low, high = number(done.get("low")), number(done.get("high"))
    if low is None or high is None:
        return 0
    return -1 if high < 0 else 1 if low > 1 else 0


def _order(result: Json) -> str:
    n = len(result["runs"])
    if n < SEEDS:
        return f"{'One training run' if n == 1 else f'{n} training runs'} cannot tell what comes first."
    told = []
    for row in result["apart"]:
        if row["holds"]:
            behind = (number(row["difference"]) or 0.0) > 0
            early, late = (row["first"], row["second"]) if behind else (row["second"], row["first"])
            told.append(f"{MEASURES[early]} before {MEASURES[late]}")
    if not told:
        return f"Of no pair of measures, {PAIRS} looked at together, is it told which comes first."
    return f"Of {PAIRS} pairs looked at together, these are told apart: {listed(told)}."
