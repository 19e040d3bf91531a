"""What the models knew, on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mechcot.analyses.form import left_out
from mechcot.analyses.knowledge import figures
from mechcot.core.words import counted, listed, number, p_value, percent, points
from mechcot.report.parts import Findings, Part, Table

Json = Mapping[str, Any]
_CLASSES = {
    "knew": "both know",
    "forgot": "forgot",
    "learned": "learned",
    "never_knew": "neither knows",
    "undecided": "not decidable",
}


def knowledge(found: Findings) -> tuple[Part, ...]:
    """What every arm knows of the fixed list, what it does not reach; then the wrong claims."""
    result = found.results["knowledge"]
    facts, selected = (result.get(name, result) for name in ("facts", "selected_on_error"))
    last = _selected(found, selected)
    if "arms" not in facts:
        return Part("known", "What the models know was not asked.", reason=facts["reason"]), last
    return _known(found, facts), _reached(found, facts), last


def _arms(found: Findings, facts: Json) -> list[str]:
    """The contrast's arms first, then the others."""
    return list(dict.fromkeys((found.before, found.after, *facts["arms"])))


def _known(found: Findings, facts: Json) -> Part:
    told = [f"{found.before} knows {percent(_all(facts, found.before)['bare']['known'])}"]
    told += [
        f"{arm} {percent(cell['bare']['known'])} ({points(cell['bare']['change'])})"
        for arm in _arms(found, facts)[1:]
        for cell in [_all(facts, arm)]
    ]
    asked = f"Of {counted(facts['n_facts'], 'fact')} that neither model wrote, asked alone"
    sentence = f"{asked}, {listed(told)}{_covers(facts)}."
    figure = figures.facts_known(found.coloured(facts))
    tables = (_shares(found, facts), _sorted(found, facts, "bare"), *_overlap(found, facts))
    return Part("known", sentence, figure, tables=tables)


def _covers(facts: Json) -> str:
    """How much of the list was asked, where that is not all of it."""
    if facts["n_facts"] == facts["n_listed"]:
        return ""
    return f"; {percent(facts['coverage'])} of the {facts['n_listed']:,} listed have a checked correction"


def _reached(found: Findings, facts: Json) -> Part:
    place = f"in a {facts['placed_in']}"
    told = [
        f"{percent(_all(facts, found.before)['not_reached'])} in {found.before}",
        *(
            f"{percent(cell['not_reached'])} in {arm} ({points(cell['change_not_reached'])})"
            for arm in _arms(found, facts)[1:]
            for cell in [_all(facts, arm)]
        ),
    ]
    sentence = f"Known but not reached: of the facts known alone, not first {place} are {listed(told)}."
    return Part("reached", sentence, tables=(_sorted(found, facts, "placed"),))


def _all(facts: Json, arm: str) -> Json:
    cell: Json = facts["arms"][arm]["cells"]["all"]
    return cell


def _shares(found: Findings, facts: Json) -> Table:
    """Every arm by cell: known alone, known in place, the gap, known but not reached."""
    arms = _arms(found, facts)
    head = ("", "facts", *(f"{arm}: alone / in place / not reached" for arm in arms))
    rows = []
    for cell, first in facts["arms"][found.before]["cells"].items():
        own = [facts["arms"][arm]["cells"][cell] for arm in arms]
        told = (
            " / ".join(
                percent(leaf) for leaf in (one["bare"]["known"], one["placed"]["known"], one["not_reached"])
            )
            for one in own
        )
        rows.append((cell, f"{first['n_facts']:,}", *told))
    undecided = "; ".join(f"{reason}: {n:,}" for reason, n in facts["undecided"].items()) or "none"
    note = (
        f"The list: {facts['source']}. In place: in a {facts['placed_in']}. Not reached: of what is known "
        f"alone. {_method(facts)}. Not decidable, over arms: {undecided}."
    )
    return Table("Known of a fixed list", head, tuple(rows), note)


def _method(facts: Json) -> str:
    """How intervals are made, in the words of the first of them, and what they leave out."""
    cell: Json = next(iter(facts["arms"].values()))["cells"]["all"]
    met = "; what is met together, as a disease and its drug, is one subject"
    return f"Intervals: {cell['bare']['known']['method']}{met if facts['placed_in'] == 'trace' else ''}"


def _sorted(found: Findings, facts: Json, form: str) -> Table:
    """The classes of all facts, by arm and cell."""
    rows = []
    for arm in _arms(found, facts)[1:]:
        for cell, own in facts["arms"][arm]["cells"].items():
            shares = own[form].get("classes", {})
            rows.append((f"{arm}, {cell}", f"{own['n_facts']:,}", *(percent(shares.get(n)) for n in _CLASSES),
                         points(own[form]["change"])))  # fmt: skip
    where = "alone" if form == "bare" else f"in a {facts['placed_in']}"
    head = ("", "facts", *_CLASSES.values(), "change of what is known")
    note = (
        f"Against {facts['before']}: both know it, only {facts['before']} does, only the arm does, neither."
    )
    return Table(f"Facts asked {where}, by who knows them", head, tuple(rows), note)


def _overlap(found: Findings, facts: Json) -> tuple[Table, ...]:
    rows = [
        (
            f"{arm} and {other}",
            f"{own['n_facts']:,}",
            percent(own["shared"]),
            percent(own["shuffled"]),
            p_value(p) if (p := number(own["p"])) is not None else "–",
        )
        for arm in _arms(found, facts)
        for other, own in facts["arms"][arm]["overlap"].items()
    ]
    if not rows:
        return ()
    head = ("", "facts wrong in both", "the same wrong object", "shuffled", "p")
    note = (
        "Facts asked alone; an arm that is given as traces has wrong objects where its traces claim them. "
        "Shuffled: subjects of the other arm change places, among those with the same relations and stratum."
    )
    return (Table("Whether wrong objects are shared", head, tuple(rows), note),)


def _selected(found: Findings, result: Json) -> Part:
    """Whether wrong claims were known: selected on error."""
    if "errors" not in result:
        return Part("knowledge", "What the models knew cannot be told here.", reason=result["reason"])
    errors = result["errors"]
    if not errors["n_claims"]:
        return Part(
            "knowledge",
            f"{found.after} asserts nothing wrong.",
            reason="there is no wrong claim to ask about",
        )
    share = {name: percent(leaf) for name, leaf in errors["shares"].items()}
    sentence = (
        f"Selected on error: of {counted(errors['n_claims'], 'wrong claim')} that {found.after} asserts, the "
        f"truth was neither model’s first choice at that place in {share['never_knew']}. In "
        f"{share['learned']} it is {found.after}’s own first choice by now, and something else was written; "
        f"{share['forgot']} were known to {found.before} and forgotten, and {share['knew']} both models know."
    )
    return Part("knowledge", sentence, figures.knowledge_bars(result))


def used(found: Findings) -> list[tuple[str, ...]]:
    """For the table of what was left out: the claims."""
    result = found.results["knowledge"].get("selected_on_error", {})
    if "errors" not in result:
        return []
    claims = result["claims"]
    kept = f"{claims['n_claims']:,} claims of {claims['n_questions']:,} questions"
    return [("knowledge", kept, left_out(result["excluded"]))]
