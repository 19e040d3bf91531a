"""What is left of doubt, on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from mechcot.analyses.claimed import CLAIMS, STEPS
from mechcot.analyses.hedge import figures
from mechcot.analyses.hedge.origin import ORIGINS
from mechcot.analyses.hedge.result import beyond_frequency
from mechcot.core.words import change, number, percent, score, why
from mechcot.report.parts import Findings, Part, Section, nothing


def doubt(found: Findings) -> Section:
    """What is left of the doubt that the arm before used to say."""
    result = found.results["hedge"]
    title = f"What is left of {found.before}’s doubt?"
    if "before" not in result:
        return nothing("doubt", title, "Hedges cannot be told here.", result["reason"])
    unit = _unit(result["before"])
    reading = Markup(
        "A {one} without a hedge is <dfn>asserted</dfn>. {read}At each <dfn>layer</dfn> (one stage of the "
        "model’s computation; layer 0 has seen the word alone) the <dfn>hedge direction</dfn> is the average "
        "difference of {before}’s inner state just before hedged and just before asserted {unit} of the same "
        "kind. The grey band is what random directions reach. A base hedges what it has seldom met: the "
        "dotted line is what that says by itself, and the pale curve is the direction among {unit} whose "
        "subjects were met about as often, where it says little."
    ).format(before=found.before, unit=unit, one=unit.removesuffix("s"), read=_AS_STEPS[unit])
    limits = Markup(
        "That the direction is what makes a model hedge, or that {after} feels doubt. How often a name was "
        "met is known only roughly, and equal only roughly within a third of the {unit}. The best layer is "
        "picked after looking, which flatters it; the curve is what counts."
    ).format(after=found.after, unit=unit)
    parts = (_own(found, result), _moved(found, result), *_follows(found, result))
    return Section("doubt", title, parts, reading, limits)


_AS_STEPS = {
    CLAIMS: "",
    STEPS: "No rule reads single claims in these texts, so a whole step counts as hedged where a lexicon "
    "finds a hedge in it, and its subject is the word in it that is least probable. ",
}


def _unit(part: Mapping[str, Any]) -> str:
    """What is hedged or asserted: claims or steps."""
    return str(part.get("unit", CLAIMS))


def _follows(found: Findings, result: dict[str, Any]) -> tuple[Part, ...]:
    """What hedges follow, where the task tells how often facts were met apart from their subjects."""
    told = result.get("origin")
    if told is None:
        return ()
    whose = (
        "subjects whose hedges its training text does not teach" if told["untaught"] else "all its subjects"
    )
    of = f"{told['n_claims']:,} claims about {told['n_subjects']:,} {whose}"
    decides = told["decided_by"]
    by = f"AUROC of {ORIGINS[decides]} {score(told[decides])}"
    said = {
        "doubt": f"{found.before}’s hedges follow how seldom a fact was met, more than its subject: doubt",
        "frequency": f"{found.before}’s hedges follow how seldom a subject was met, more than the fact: "
        "frequency",
        "memorised": f"{found.before}’s hedges follow neither fact nor subject and come again: memorised",
        "cannot tell": f"Whether {found.before}’s hedges follow doubt, frequency or what was learnt by heart "
        "cannot be told",
    }[told["answer"]]
    return (Part("follows", f"{said} ({by}; {of}).", figures.origin(told)),)


def _own(found: Findings, result: dict[str, Any]) -> Part:
    own = result["before"]
    rates = (
        f"{found.before} hedges {percent(own['rate'])} of its {_unit(own)} and {found.after} "
        f"{percent(result['after']['rate'])}"
    )
    if own["reason"]:
        return Part("hedge", f"{rates}; no hedge direction can be found.", reason=own["reason"])
    return Part(
        "hedge",
        f"Inside {found.before}, what will be hedged can be told from what will be asserted "
        f"{_best(own['by_layer'])}. {rates}.{_beside(own)}",
        figures.hedge_by_layer(own),
    )


def _moved(found: Findings, result: dict[str, Any]) -> Part:
    moved = result["after"]
    if moved["reason"]:
        sentence = f"What the direction says of {found.after}’s {_unit(moved)} cannot be told."
        return Part("projection", sentence, reason=moved["reason"])
    return Part(
        "projection",
        f"Along the same direction, wrong {_unit(moved)} that {found.after} asserts can be told from "
        f"right ones {_best(moved['by_layer'])}.{_beside(moved)}",
        figures.hedge_by_layer(moved),
    )


def _best(rows: Sequence[dict[str, Any]]) -> str:
    """Where a direction does best, and whether random ones do as well there."""
    known = [row for row in rows if number(row["auroc"]) is not None]
    if not known:
        return f"at no layer ({why(rows[0]['auroc'])})"
    best = max(known, key=lambda row: number(row["auroc"]) or 0.0)
    value, chance = number(best["auroc"]) or 0.0, best["random"]
    low = number(best["auroc"].get("low"))
    text = f"an AUROC of {score(best['auroc'])} at layer {best['layer']}, its best"
    if low is None or low <= 0.5:
        worst = min(known, key=lambda row: number(row["auroc"]) or 0.0)
        if (number(worst["auroc"].get("high")) or 1.0) < 0.5:
            turned = f"an AUROC of {score(worst['auroc'])} at layer {worst['layer']}"
            return f"only the other way round ({turned})"
        return f"no better than by chance ({text})"
    if chance is not None and value <= chance["high"]:
        return f"no better than random directions can ({text})"
    reach = "" if chance is None else f", where random directions reach {chance['high']:.2f}"
    return f"with {text}{reach}"


def _beside(part: Mapping[str, Any]) -> str:
    """What how seldom a subject was met says by itself, and whether the best layer holds more."""
    known = [row for row in part["by_layer"] if number(row["auroc"]) is not None]
    if not known:
        return ""
    best = max(known, key=lambda row: number(row["auroc"]) or 0.0)
    found = best.get("frequency")
    if found is None:
        return f" How often the subjects were met is not known ({part['frequency_is']})."
    numbers = (
        f" How seldom a subject was met, and nothing else ({part['frequency_is']}), gives "
        f"{score(found['alone'])}: the direction at layer {best['layer']} scores {change(found['minus'], 2)} "
        "against it. Among "
        f"{_unit(part)} whose subjects were met about as often ({found['n_pairs']:,} pairs) it scores "
        f"{score(found['inside'])} against {score(found['alone_inside'])}, {change(found['minus_inside'], 2)}"
    )
    match beyond_frequency(found):
        case True:
            return f"{numbers}: it marks more than how seldom a subject was met."
        case False:
            return f"{numbers}: that it marks more than how seldom a subject was met is not shown."
        case _:
            return f"{numbers}: whether it marks more than that cannot be said."


def used(found: Findings) -> list[tuple[str, ...]]:
    """For the table of what was left out: the kinds of claims."""
    relations = found.results["hedge"].get("before", {}).get("relations", {})
    return [("hedge direction", _kinds(relations, True), _kinds(relations, False))] if relations else []


def _kinds(relations: Mapping[str, Any], used: bool) -> str:
    kinds = [
        f"“{name}” ({cell['hedged']:,} hedged, {cell['asserted']:,} asserted)"
        for name, cell in relations.items()
        if bool(cell["used"]) is used
    ]
    tail = "" if used or not kinds else "; too few of both in one half of the questions"
    return (", ".join(kinds) or "nothing") + tail
