"""What `report_seeds.py` keeps of each seed's study, and the page that is made from that.

docs/organism-seeds.json holds the numbers, a study each; every table and sentence of docs/organism-seeds.md
is made from them. Sentences count seeds and give ranges; none is written by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

import seeds_commitment
from mechcot import Study
from mechcot.analyses.arms import pair_of
from mechcot.analyses.form import INTERVAL, pick
from mechcot.analyses.handover.analysis import analyse
from mechcot.analyses.handover.result import SAMPLED, row_of
from mechcot.analyses.weights.wording import OUTCOMES, pairs
from mechcot.core import handover_tables as tables
from mechcot.core import records
from mechcot.core.files import write_json, write_text
from mechcot.core.handover_tables import FORCED, FREE, OWN
from mechcot.core.words import direction, listed, number, percent, plain_signs, points, signed
from mechcot.stats.jackknife import ratio_interval

DOCS = Path(__file__).parent.parent / "docs"
PAGE, NUMBERS = DOCS / "organism-seeds.md", DOCS / "organism-seeds.json"
Row = Mapping[str, Any]
Told = tuple[Sequence[str], Sequence[Sequence[str]], Sequence[str]]
"""Head, rows and sentences of a section."""

ORDERS = ("change", "text_first", "weights_then", "weights_first", "text_then", "interaction")
ASKED = {"answer": "answer gain", "claims": "error rise", "agreement": "agreement at the prompt"}
"""Outcomes of the search in the weights to what they stand for here."""


# --- what is kept of a study --------------------------------------------------------------------------


def kept(study: Study) -> dict[str, Any]:
    """The numbers of one study that the page needs; parts that it has not are absent."""
    summary = study.summary()
    votes, greedy = study.result("answers"), summary.get("greedy", {}).get("headline", {})
    own = {name: summary[name] for name in ("seed", "answers", "audit", "controls")}
    own["options named"] = [votes[when]["answered_only"]["sc"] for when in ("before", "after")]
    own["knowledge"] = _known(summary["knowledge"]["facts"], study.result("knowledge")["facts"])
    if study.settings.handover is not None:
        own["handover"] = _handed(study)
    if study.settings.weights is not None:
        found = study.result("weights")
        own["weights"] = {name: found[name] for name in ("before", "after", "places", "changes", "n_models")}
    own["commitment"] = seeds_commitment.kept(study)
    if greedy:
        own["greedy"] = {name: one["delta"] for name, one in greedy.items()}
        own["sampled"] = {"wrong steps": summary["audit"]["delta"]}
    return json.loads(json.dumps(own))  # type: ignore[no-any-return]


def _known(summary: Row, facts: Row) -> dict[str, Any]:
    found: dict[str, Any] = {"arms": summary["arms"], "before": facts["before"]}
    kinds = {arm: own["cells"]["kind: disease fact"]["bare"] for arm, own in facts["arms"].items()}
    found["disease facts"] = {
        arm: {name: pick(own[name], INTERVAL) for name in ("known", "change") if name in own}
        for arm, own in kinds.items()
    }
    return found


def _handed(study: Study) -> dict[str, Any]:
    """The hand-over's table and orders; choice behind own text with and without steps that claim nothing."""
    found, arms = study.result("handover"), pair_of(study)
    free = row_of(found["effects"], form=FREE, decoding=SAMPLED)
    where = {"source": OWN, "form": FREE, "decoding": SAMPLED}
    cells = [
        [pick(row_of(found["cells"], prefix=text, writer=by, **where)["error"], INTERVAL) for by in arms]
        for text in arms
    ]
    without = _without_claimless(study, arms)
    choice = {
        arm: [
            pick(
                row_of(told["measures"], measure="choice", prefix=arm, writer=arm, decoding=SAMPLED)["value"],
                INTERVAL,
            )
            for told in (found, without)
        ]
        for arm in arms
    }
    return {
        "arms": list(arms),
        "n_prefixes": found["n_prefixes"],
        "cells": cells,
        **{name: pick(free[name], INTERVAL) for name in ORDERS},
        "terms": {
            name: pick(row_of(found["terms"], prefix="mean")[name], INTERVAL)
            for name in ("knowledge", "decoding", "choice")
        },
        "choice behind own text": choice,
        "at the same claims": {arm: _same_claims(study, arm) for arm in arms},
    }


def _same_claims(study: Study, arm: str) -> dict[str, Any]:
    """1 - p(truth) at claims written less that at the author's claim of the same place and kind, own text."""
    folder, key = study.path / "handover" / arm, ["qid", "cid", "k"]
    steps = records.read_table(folder / "steps.parquet", tables.NEXT_STEPS)
    places = records.read_table(folder / "places.parquet", tables.PLACES)
    steps = steps[(steps.arm == arm) & (steps.source == OWN) & (steps.form == FREE) & steps.p_truth.notna()]
    places = places[(places.arm == arm) & (places.source == OWN) & places.p_truth.notna()]
    both = steps.merge(places[[*key, "kind", "p_truth"]], on=key, suffixes=("", "_offered"))
    both = both[both.role == both.kind]
    gaps = (both.p_truth_offered - both.p_truth).groupby(both.qid).agg(["sum", "size"])
    return pick(ratio_interval(gaps["sum"], gaps["size"]).to_json(), INTERVAL)


def _without_claimless(study: Study, arms: Any) -> dict[str, Any]:
    """The hand-over as if steps that are judged, but claim nothing that could be forced, were not judged."""

    def both(name: str, schema: Any) -> pd.DataFrame:
        parts = [
            records.read_table(study.path / "handover" / arm / f"{name}.parquet", schema) for arm in arms
        ]
        return pd.concat(
            [part.assign(writer=arm) for arm, part in zip(arms, parts, strict=True)], ignore_index=True
        )

    steps, verdicts = both("steps", tables.NEXT_STEPS), both("verdicts", tables.NEXT_VERDICTS)
    key = [*tables.NEXT_KEY, "writer"]
    role = verdicts[key].merge(steps[[*key, "role"]], on=key, how="left").role
    claimless = (role == "malformed").to_numpy() & (verdicts.form != FORCED).to_numpy()
    verdicts.loc[claimless, "label"] = "not_checkable"
    return analyse(
        study.questions(study.settings.contrast.domain),
        arms,
        both("places", tables.PLACES),
        steps,
        verdicts,
        temperature=study.settings.sampling.temperature,
    ).to_json()


# --- sections -----------------------------------------------------------------------------------------


def span(leaves: Sequence[Any]) -> str:
    """From the smallest to the largest of differences, in points, and where their intervals lie."""
    values = sorted(100 * (number(leaf) or 0.0) for leaf in leaves)
    ways = [direction(leaf) for leaf in leaves]
    sides = {"up": "above 0", "down": "below 0", "unclear": "covering 0"}
    told = [f"{said} on {ways.count(way)}" for way, said in sides.items() if way in ways]  # type: ignore[arg-type]
    ends = " to ".join(dict.fromkeys(signed(value) for value in (values[0], values[-1])))
    return f"{ends} points (interval {', '.join(told)} of {len(leaves)})"


def handed(rows: Sequence[Row]) -> Told:
    """Whose text, whose weights."""
    own = [(row["seed"], row["handover"]) for row in rows if "handover" in row]
    if not own:
        return (), (), ()
    b, a = own[0][1]["arms"]
    head = (
        "seed",
        f"{b}'s text: {b} / {a} writes",
        f"{a}'s text: {b} / {a} writes",
        "text first",
        "then weights",
        "weights first",
        "then text",
        "interaction",
    )
    lines = [
        (
            str(seed),
            *(" / ".join(map(percent, pair)) for pair in one["cells"]),
            *(points(one[n]) for n in ORDERS[1:]),
        )
        for seed, one in own
    ]
    part = {name: span([one[name] for _, one in own]) for name in ORDERS}
    return (
        head,
        lines,
        [
            f"From {b} to {a} the next step's error changes by {part['change']}: with the text changed first "
            f"the text brings {part['text_first']} and the weights then {part['weights_then']}; with the "
            f"weights first they bring {part['weights_first']} and the text then {part['text_then']}. The "
            f"interaction is {part['interaction']}."
        ],
    )


def chosen(rows: Sequence[Row]) -> Told:
    """Choice behind a model's own text."""
    own = [(row["seed"], row["handover"]) for row in rows if "handover" in row]
    if not own:
        return (), (), ()
    arms = own[0][1]["arms"]
    names = ("choice", "without steps that claim nothing", "1 - p(truth) at the same claims")

    def leaves(one: Row, arm: str) -> list[Any]:
        return [*one["choice behind own text"][arm], one["at the same claims"][arm]]

    head = ("seed", *(f"{arm}: {what}" for arm in arms for what in names))
    lines = [(str(seed), *(points(leaf) for arm in arms for leaf in leaves(one, arm))) for seed, one in own]
    told = []
    for arm in arms:
        whole, without, same = (span([leaves(one, arm)[i] for _, one in own]) for i in range(3))
        told.append(
            f"{arm}: {whole}; without these {without}; at the author's claims of the same kind {same}"
        )
    return (
        head,
        lines,
        [
            "Behind a model's own text free and forced steps err alike in expectation, but for steps that "
            "are wrong without a claim to force. What else there is comes from which claims the author "
            "happened to make: where the writer makes the same kind of claim at the same place, written "
            f"less offered 1 - p(truth) says so without that. {'. '.join(told)}."
        ],
    )


def known(rows: Sequence[Row]) -> Told:
    """What each student knows when it is asked alone, the amnesia of the control included."""
    own = [(row["seed"], row["knowledge"], row["controls"]) for row in rows if "knowledge" in row]
    if not own:
        return (), (), ()
    before = own[0][1]["before"]
    later = [arm for arm in own[0][1]["arms"] if arm != before]
    head = ("seed", f"{before}: known alone", f"{before}: not reached in a trace")
    head += tuple(f"{arm}: {what}" for arm in later for what in ("change", "of disease facts"))
    lines = [
        (
            str(seed),
            *(percent(one["arms"][before][name]) for name in ("bare", "not_reached")),
            *(
                points(leaf)
                for arm in later
                for leaf in (one["arms"][arm]["bare_change"], one["disease facts"][arm]["change"])
            ),
        )
        for seed, one, _ in own
    ]
    told = [f"{arm}: {span([one['arms'][arm]['bare_change'] for _, one, _ in own])}" for arm in later]
    sentence = f"Facts known when asked alone change against {before} by: {'; '.join(told)}."
    if "terse" in later:
        traces = [controls["terse"]["delta_error"] for *_, controls in own]
        facts = [one["disease facts"]["terse"]["change"] for _, one, _ in own]
        sentence += (
            f" The terse control's traces change in step error by {span(traces)}, what it knows of disease "
            f"facts by {span(facts)}"
        )
        forgot = all(direction(leaf) == "down" for leaf in facts)
        sentence += ": no audit of its traces can see what it forgot." if forgot else "."
    return head, lines, [sentence]


def placed(rows: Sequence[Row]) -> Told:
    """Where gain, error rise and lock shift sit in the weights, and whether in one place."""
    own = [(row["seed"], row["weights"]) for row in rows if "weights" in row]
    if not own:
        return (), (), ()
    authors = [own[0][1]["before"], own[0][1]["after"]]
    head = ("seed", *(f"{what}, {author}'s text" for what in ASKED.values() for author in authors))
    lines = [
        (str(seed), *(_places(one, outcome, author) for outcome in ASKED for author in authors))
        for seed, one in own
    ]
    both = [pairs(one) for _, one in own]
    found = {
        name: [(outcome, author) in one for one in both for author in authors].count(True)
        for outcome, name in ASKED.items()
    }
    n = len(own) * len(authors)
    shared = [
        len({one[outcome, author] for outcome in ASKED}) == 1
        for one in both
        for author in authors
        if all((outcome, author) in one for outcome in ASKED)
    ]
    units = sorted({unit for one in both for (outcome, _), unit in one.items() if outcome in ASKED})
    same = (
        f"in {sum(shared)} of {len(shared)} cases where all three have one it is the same unit"
        if shared
        else ("in no case do all three have one, so none can be the same for all")
    )
    counts = listed([f"{name} in {count} of {n}" for name, count in found.items()])
    return (
        head,
        lines,
        [
            f"One unit is the place both put in and taken out: {counts} (seeds and texts)"
            + (f", at {listed(units)}" if units else "")
            + f"; {same}. A cell gives the unit put into {authors[0]} / taken out of {authors[1]}."
        ],
    )


def _places(one: Row, outcome: str, author: str) -> str:
    own = {p["background"]: p for p in one["places"] if (p["outcome"], p["author"]) == (outcome, author)}
    change = next(c["change"] for c in one["changes"] if (c["outcome"], c["author"]) == (outcome, author))
    if direction(change) == "unclear":
        return "no change"
    assert outcome in OUTCOMES
    return " / ".join(own[background]["unit"] or "none" for background in ("before", "after"))


def greedy(rows: Sequence[Row]) -> Told:
    """The change of step error without sampling noise."""
    own = [row for row in rows if "greedy" in row]
    if not own:
        return (), (), ()
    head = ("seed", "wrong steps, sampled", "wrong steps, greedy")
    lines = [
        (str(row["seed"]), *(points(row[how]["wrong steps"]) for how in ("sampled", "greedy"))) for row in own
    ]
    told = [span([row[how]["wrong steps"] for row in own]) for how in ("sampled", "greedy")]
    return head, lines, [f"Step error changes by {told[0]} in samples and by {told[1]} in greedy traces."]


SECTIONS: dict[str, Callable[[Sequence[Row]], Told]] = {
    "hand-over": handed,
    "choice": chosen,
    "knowledge": known,
    "weights": placed,
    "locks": seeds_commitment.locked,
    "moves": seeds_commitment.moved,
    "greedy": greedy,
}
"""Block of the page to what writes it."""


def block(name: str, rows: Sequence[Row]) -> str:
    """A section's sentences and table in Markdown; that no study has it, where none has."""
    head, lines, sentences = SECTIONS[name](rows)
    if not lines:
        return f"None of the {len(rows)} studies has it."
    table = ["| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *lines)]
    return plain_signs_of("\n".join([*sentences, "", *table]))


def plain_signs_of(text: str) -> str:
    """Plain signs line by line."""
    return "\n".join(map(plain_signs, text.split("\n")))


def replaced(page: str, name: str, text: str) -> str:
    """The page with another text between the marks of a block."""
    marks = rf"(?s)(<!-- {name} -->\n).*?(\n<!-- /{name} -->)"
    return re.sub(marks, lambda found: f"{found[1]}{text}{found[2]}", page)


def write(rows: Sequence[Row], headline: str) -> None:
    """Put the numbers and all blocks into docs/.

    The headline's table stays where the page has seeds that are not among the rows.
    """
    write_json(NUMBERS, list(rows))
    page = PAGE.read_text(encoding="utf-8")
    there = set(re.findall(r"(?m)^\| (\d+) \|", page.partition("<!-- /headline -->")[0]))
    if there <= {str(row["seed"]) for row in rows}:
        page = replaced(page, "headline", headline)
    else:
        print(f"the headline's table has seeds {', '.join(sorted(there))}, not all of them here: it stays")
    for name in SECTIONS:
        page = replaced(page, name, block(name, rows))
    write_text(PAGE, page)
