"""The hand-over on the page and in a terminal."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mechcot.analyses.handover import figures
from mechcot.analyses.handover.result import SAMPLED, SLOT, row_of
from mechcot.core.handover_tables import FORCED, FREE, OWN
from mechcot.core.words import (
    NBSP,
    Table,
    change,
    listed,
    number,
    parts_in_points,
    percent,
    points,
    score,
    starred,
    why,
    wrapped,
)
from mechcot.report.parts import Findings, Part, Section, nothing

if TYPE_CHECKING:
    from mechcot.analyses.handover.result import HandoverResult
    from mechcot.report.figures import Json

TITLE = "Is it the text so far, or the weights that go on from it?"
_FORMS = {FREE: "free", FORCED: "claim forced", SLOT: "1 − p(truth) at the forced claim"}


def section(found: Findings) -> Section:
    """What each model writes next behind the other's text."""
    result = found.results["handover"]
    if "effects" not in result:
        return nothing("handover", TITLE, "Nothing was handed over.", result["reason"])
    parts = [Part("handover", _whose(result), figures.cells(result), tables=tuple(_tables(result)))]
    mean = row_of(result["terms"], prefix="mean")
    if number(mean["knowledge"]) is None:
        parts.append(Part("handover-terms", _decoding(result), reason=why(mean["knowledge"])))
    else:
        parts.append(Part("handover-terms", _terms(result, mean), figures.terms(result)))
        parts.append(Part("handover-drift", _drift(result), tables=(_measures(result),)))
    reading = Markup(
        "Traces are cut off before one of their steps and <dfn>handed over</dfn>: both models write the next "
        "step behind the same text, and a judge says whether it is wrong. <dfn>Free</dfn>: the "
        "model writes what it likes. <dfn>Forced</dfn>: the claim that the author made next is given too, up "
        "to its object, so that both models are asked the same. What the two kinds of numbers differ by is "
        "which claim is made."
    )
    limits = Markup(
        "That a whole trace would come out so: one step is written, then the trace is given up. A model "
        "behind the other’s text stands where it would not have come to by itself. Text and weights do not "
        "add up to the change when their interaction is not 0, so both orders are given."
    )
    return Section("handover", TITLE, tuple(parts), reading, limits)


def _rate(result: Json, prefix: str, writer: str, form: str = FREE, how: str = SAMPLED) -> str:
    row = row_of(result["cells"], prefix=prefix, source=OWN, writer=writer, form=form, decoding=how)
    return f"{percent(row['error'])} of {row['n_judged']:,}"


def _whose(result: Json) -> str:
    b, a = result["before"], result["after"]
    free = row_of(result["effects"], form=FREE, decoding=SAMPLED)
    return (
        f"Behind {b}’s text the next step is wrong in {_rate(result, b, b)} when {b} writes it and in "
        f"{_rate(result, b, a)} when {a} does. Behind {a}’s text it is in {_rate(result, a, b)} and "
        f"{_rate(result, a, a)}. From {b}’s own to {a}’s own this is {points(free['change'])}: text first "
        f"{points(free['text_first'])}, then weights {points(free['weights_then'])}; weights first "
        f"{points(free['weights_first'])}, then text {points(free['text_then'])} (interaction "
        f"{points(free['interaction'])})."
    )


def _terms(result: Json, mean: Json) -> str:
    b, a = result["before"], result["after"]
    knowledge, decoding, choice = parts_in_points(
        [mean[name] for name in ("knowledge", "decoding", "choice")]
    )
    return (
        f"With {a}’s weights in place of {b}’s, behind the same text and on average over both models’ text, "
        f"wrong next steps change by {points(mean['weights'])}. Of that, {knowledge} is the first choice at "
        f"the author’s claims, {decoding} what sampling adds to it, and {choice} which claim is made."
    )


def _decoding(result: Json) -> str:
    told = []
    for arm in (result["before"], result["after"]):
        row = row_of(result["measures"], measure="decoding", prefix=arm, writer=arm, form=FREE)
        told.append(f"{points(row['value'])} ({arm})")
    return (
        "Sampling in place of the likeliest words changes wrong next steps behind a model’s own text by "
        f"{listed(told)}."
    )


def _drift(result: Json) -> str:
    said = []
    for arm in (result["before"], result["after"]):
        own = {"prefix": arm, "writer": arm, "form": SLOT, "decoding": SAMPLED}
        drift = row_of(result["measures"], measure="drift", **own)["value"]
        said.append(
            f"{arm}’s own text in place of true statements about others changes the mean probability of an "
            f"error at {arm}’s next claims by {points(drift)}"
        )
    b, a = result["before"], result["after"]
    chosen = [
        f"{writer} behind {prefix}’s text {_gap(result, prefix, writer)}"
        for prefix, writer in ((a, b), (b, a))
    ]
    return (
        f"{'. '.join(said)}. At the claims that a model makes itself, its probability of the truth is above "
        f"that at the author’s next claims of the same kind by: {listed(chosen)}."
    )


def _gap(result: Json, prefix: str, writer: str) -> str:
    row = row_of(result["measures"], measure="selectivity", prefix=prefix, writer=writer)
    return change(row["value"], 2)


# --- tables -------------------------------------------------------------------------------------------


def _tables(result: Json) -> Iterator[Table]:
    yield _cells(result)
    yield _effects(result)
    yield _outcomes(result)


def _cells(result: Json) -> Table:
    arms = (result["before"], result["after"])
    rows = []
    for row in result["cells"]:
        source = f"text of {row['prefix']}" if row["source"] == OWN else f"neutral for {row['prefix']}"
        name = f"{source}, {_FORMS[row['form']]}, {row['decoding']}"
        if row["writer"] == arms[0]:
            other = row_of(
                result["cells"],
                **{key: row[key] for key in ("prefix", "source", "form", "decoding")},
                writer=arms[1],
            )
            rows.append((name, *(f"{score(one['error'])} of {one['n_judged']:,}" for one in (row, other))))
    note = f"Judged by: {result['instrument']}. Neutral: true statements of the task in place of the steps."
    return Table("Wrong next steps", ("", *(f"written by {arm}" for arm in arms)), tuple(rows), note)


_EFFECTS = {
    "change": "own to own",
    "text_first": "text first",
    "weights_then": "then weights",
    "weights_first": "weights first",
    "text_then": "then text",
    "effect_text": "text, mean of writers",
    "effect_weights": "weights, mean of texts",
    "interaction": "interaction",
}


def _effects(result: Json) -> Table:
    known = [row for row in result["effects"] if number(row["change"]) is not None]
    head = ("", *(f"{_FORMS[row['form']]}, {row['decoding']}" for row in known))
    rows = tuple((said, *(points(row[name]) for row in known)) for name, said in _EFFECTS.items())
    return Table(f"From {result['before']} to {result['after']}", head, rows)


def _measures(result: Json) -> Table:
    arms = (result["before"], result["after"])
    pairs = list(itertools.product(arms, arms))
    names = dict.fromkeys((row["measure"], row["form"], row["decoding"]) for row in result["measures"])
    rows = []
    for measure, form, how in names:
        values = [
            row_of(result["measures"], measure=measure, form=form, decoding=how, prefix=p, writer=w)["value"]
            for p, w in pairs
        ]
        if any(number(value) is not None for value in values):
            label = f"{measure}: {_FORMS[form]}" + ("" if measure == "decoding" else f", {how}")
            rows.append((label, *(change(value, 3) for value in values)))
    note = (
        "choice: free less forced; decoding: sampled less greedy; drift: own less neutral text at the same "
        "claims; selectivity: p(truth) at claims written less those of the author, kind by kind. Choice and "
        "selectivity are 0 in expectation behind a model’s own text."
    )
    head = ("", *(f"text of {p}, by {w}" for p, w in pairs))
    return Table("Choice, decoding, drift, selectivity", head, tuple(rows), note)


_OUTCOMES = {
    "step": "whole steps",
    "empty": "nothing written",
    "answer": "the answer came next",
    "cut": "cut by the limit",
    "runs_on": "no step began there",
    "correct": "correct",
    "erroneous": "erroneous",
    "abstain": "judge abstains",
    "not_checkable": "not checkable",
    "api_failure": "no reply",
    "parse_failure": "unreadable reply",
}


def _outcomes(result: Json) -> Table:
    head = ("prefix, writer, form", "written", *_OUTCOMES.values())
    rows = tuple(
        (
            f"{row['prefix']}{'' if row['source'] == OWN else ', neutral'}, {row['writer']}, "
            f"{_FORMS[row['form']]}, {row['decoding']}",
            f"{row['n']:,}",
            *(f"{row[name]:,}" for name in _OUTCOMES),
        )
        for row in result["outcomes"]
    )
    return Table("What was written next", head, rows)


def used(found: Findings) -> list[tuple[str, ...]]:
    """For the table of what was left out: prefixes and slots."""
    result = found.results.get("handover", {})
    if "effects" not in result:
        return []
    told: dict[str, Any] = {}
    for row in result["left_out"]:
        if row["source"] == OWN:
            name = f"{row['n']:,} {'slots' if row['what'] == 'slot' else 'prefixes'} of {row['prefix']}"
            told[f"{name}: {row['reason']} ({row['writer']})"] = None
    kept = f"{sum(result['n_prefixes'].values()):,} prefixes of {result['n_questions']:,} questions"
    return [("hand-over", kept, "; ".join(told) or "nothing")]


# --- in a terminal ------------------------------------------------------------------------------------


def terminal_text(result: HandoverResult) -> str:
    """What fits a terminal: the table of texts and writers, both orders, and what the weights change."""
    found = result.to_json()
    tables = [_square(found), _orders(found)]
    if number(row_of(found["terms"], prefix="mean")["knowledge"]) is not None:
        tables.append(_told_apart(found))
    count = sum(row["n"] for row in found["outcomes"])
    steps = sum(row["step"] for row in found["outcomes"])
    rest = (
        f"The last table: what {found['after']}'s weights change in place of {found['before']}'s. Judged by "
        f"{found['instrument']}: {steps:,} whole steps of {count:,} that were written. Drift, selectivity, "
        "greedy steps, and what was not judged stand in the report. *: no interval."
    )
    if len(tables) < 3:
        rest = rest.partition(". ")[2]
    return "\n\n".join([*(table.text() for table in tables), wrapped(rest)])


def _square(result: Json) -> Table:
    """Error by text and writer: free, and at forced claims where there are some."""
    arms = (result["before"], result["after"])

    def rate(prefix: str, writer: str, form: str) -> Any:
        own = {"source": OWN, "form": form, "decoding": SAMPLED}
        return row_of(result["cells"], prefix=prefix, writer=writer, **own)["error"]

    forms = [form for form in (FREE, FORCED) if number(rate(*arms, form)) is not None]
    rows = tuple(
        (f"{prefix}, {_FORMS[form]}", *(starred(score(rate(prefix, writer, form))) for writer in arms))
        for form in forms
        for prefix in arms
    )
    head = ("next step wrong, text of", *(f"written by {arm}" for arm in arms))
    return Table("", head, rows)


def _orders(result: Json) -> Table:
    known = [
        row
        for row in result["effects"]
        if number(row["change"]) is not None and row["decoding"] == SAMPLED and row["form"] in (FREE, FORCED)
    ]
    head = ("change, points", *(_FORMS[row["form"]] for row in known))
    rows = tuple((said, *(_in_points(row[name]) for row in known)) for name, said in _EFFECTS.items())
    return Table("", head, rows)


def _told_apart(result: Json) -> Table:
    """What after's weights change, by whose text."""
    head = ("text of", *(row["prefix"] for row in result["terms"]))
    rows = tuple(
        (name, *(_in_points(row[name]) for row in result["terms"]))
        for name in ("weights", "knowledge", "decoding", "choice")
    )
    return Table("", head, rows)


def _in_points(leaf: Any) -> str:
    return starred(points(leaf).replace(f"{NBSP}points", ""))
