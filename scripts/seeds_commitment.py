"""Sections of docs/organism-seeds.md on commitment: where traces lock, whether a step moves the answer.

`seeds_page.py` puts them into the page; they need `mechcot commitment STUDY --steps swaps`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mechcot import Study
from mechcot.analyses.arms import pair_of
from mechcot.analyses.causes.result import ANY, CHANGED, CORE, RATIONALE, RIGHT, TOTAL, WRONGNESS
from mechcot.analyses.causes.wording import effect
from mechcot.analyses.form import INTERVAL, pick
from mechcot.core.words import direction, number, percent, points, signed

Row = Mapping[str, Any]
Told = tuple[Sequence[str], Sequence[Sequence[str]], Sequence[str]]

LOCKS = {
    "agrees_at_prompt": "own answer at the prompt",
    "locked_by_count": "locked at the prompt, over 3 prefixes",
    "claim_by_count": "locked at the first claim, over 3 prefixes",
}
"""Measures that need no match of lengths, or have it."""

MOVES = {
    "rationale": (RATIONALE, WRONGNESS, RIGHT),
    "core claims": (CORE, WRONGNESS, RIGHT),
    "any swap of a rationale step": (RATIONALE, ANY, CHANGED),
    "any swap of a core claim": (CORE, ANY, CHANGED),
}


def kept(study: Study) -> dict[str, Any]:
    """The numbers of one study's commitment and, where steps were swapped, of their effects."""
    found, arms = study.result("commitment"), pair_of(study)
    own: dict[str, Any] = {
        "arms": list(arms),
        "differences": {name: pick(found["difference"]["differences"][name], INTERVAL) for name in LOCKS},
        "dip": {
            arm: [
                pick(study.commitment(arm, lead_in=number).to_json()["dip"], INTERVAL)
                for number in range(1 + len(study.settings.reading.lead_ins))
            ]
            for arm in arms
        },
    }
    if study.settings.causes is not None:
        causes = study.result("causes")
        rows = {
            name: effect(causes, TOTAL, measure, what, kind) for name, (kind, what, measure) in MOVES.items()
        }
        own["moves"] = {
            name: {role: pick(row[role], INTERVAL) for role in ("before", "after")}
            for name, row in rows.items()
            if row is not None
        }
        own["free"] = {
            arm: {
                row["place"]: pick(row["distance"], INTERVAL) for row in causes["free"] if row["arm"] == arm
            }
            for arm in arms
        }
    return own


def span(leaves: Sequence[Any]) -> str:
    """From the smallest to the largest of differences, in points, and where their intervals lie."""
    values = sorted(100 * value for leaf in leaves if (value := number(leaf)) is not None)
    ways = [direction(leaf) for leaf in leaves]
    without = sum(number(leaf) is None or number(leaf.get("low")) is None for leaf in leaves)
    told = [
        f"{said} on {count}"
        for said, count in (
            ("above 0", ways.count("up")),
            ("below 0", ways.count("down")),
            ("covering 0", ways.count("unclear") - without),
            ("too few questions for one", without),
        )
        if count > 0
    ]
    ends = " to ".join(dict.fromkeys(signed(value) for value in (values[0], values[-1])))
    return f"{ends} points (interval {', '.join(told)} of {len(leaves)})"


def locked(rows: Sequence[Row]) -> Told:
    """Where base and distilled settle, at matched prefixes, and the dip by lead-in."""
    own = [(row["seed"], row["commitment"]) for row in rows if "commitment" in row]
    if not own:
        return (), (), ()
    arms = own[0][1]["arms"]
    head = (
        "seed",
        *(f"{name}: change" for name in LOCKS.values()),
        *(f"{arm}: dip by lead-in" for arm in arms),
    )
    lines = [
        (
            str(seed),
            *(points(one["differences"][name]) for name in LOCKS),
            *(" / ".join(percent(leaf["estimate"]) for leaf in one["dip"][arm]) for arm in arms),
        )
        for seed, one in own
    ]
    told = "; ".join(
        f"{said}: {span([one['differences'][name] for _, one in own])}" for name, said in LOCKS.items()
    )
    apart = max(
        max(values) - min(values)
        for _, one in own
        for arm in arms
        for values in [[leaf["estimate"] for leaf in one["dip"][arm]]]
    )
    return (
        head,
        lines,
        [
            f"From {arms[0]} to {arms[1]} change {told}. The dip is how far the probability of a trace's own "
            "answer falls inside it under both of its ends; the lead-ins give dips that differ by at most "
            f"{100 * apart:.1f} points on any seed and arm."
        ],
    )


def moved(rows: Sequence[Row]) -> Told:
    """Whether a wrong step matters, and whether steps move the answer at all."""
    own = [(row["seed"], row["commitment"]) for row in rows if "moves" in row.get("commitment", {})]
    if not own:
        return (), (), ()
    arms = dict(zip(("before", "after"), own[0][1]["arms"], strict=True))
    names = [name for name in MOVES if all(name in one["moves"] for _, one in own)]
    head = ("seed", *(f"{arm}: {name}" for name in names for arm in arms.values()))
    lines = [
        (str(seed), *(points(one["moves"][name][role]) for name in names for role in arms))
        for seed, one in own
    ]

    def told(name: str) -> str:
        return "; ".join(
            f"{arm} {span([one['moves'][name][role] for _, one in own])}" for role, arm in arms.items()
        )

    sentences = {
        "rationale": "Where the claim of a wrong rationale step is repaired, rather than swapped for another "
        "wrong one, and all behind it is written anew, the share of right answers changes by",
        "core claims": "Where a core claim is,",
        "any swap of a rationale step": "After any swap of a rationale step the answer is oftener another "
        "one, beyond what writing an unchanged prefix on twice gives, by",
        "any swap of a core claim": "After any swap of a core claim",
    }
    return (
        head,
        lines,
        [" ".join(f"{said} {told(name)}." for name, said in sentences.items() if name in names)],
    )
