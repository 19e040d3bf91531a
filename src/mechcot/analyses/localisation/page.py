"""Where a hedge is lost, on the page and in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from mechcot.analyses.localisation import figures
from mechcot.analyses.localisation.design import ATTENTION, HEAD, MLP
from mechcot.analyses.localisation.figures import stretch
from mechcot.analyses.localisation.result import LocalisationResult
from mechcot.core.localisation_settings import THOROUGH
from mechcot.core.words import Table, bracket, number, p_value, percent, signed, wrapped
from mechcot.report.parts import Findings, Part, Section, nothing

ENOUGH = 100
"""Fewer sets of other tokens than this are a smoke null."""
_TITLE = "At which layer is the hedge lost?"
Json = Mapping[str, Any]


def section(found: Findings) -> Section:
    """States of one checkpoint put into the other, and what the direction says by itself."""
    result = found.results["localisation"]
    if "restored" not in result:
        return nothing("localisation", _TITLE, "Where hedges are lost was not looked for.", result["reason"])
    parts = (
        Part("localisation", most(result), figures.localisation(result), tables=(_increments(result),)),
        Part("localisation-map", parts_of(result), figures.patch_map(result), tables=(_cells(result),)),
        _heads(result),
        *((Part("localisation-reads", reads(result), tables=(_reads(result),)),) if result["reads"] else ()),
    )
    reading = Markup(
        "Both models read the same text up to a place where a hedge could stand. One state "
        "of {before} is put "
        "into {after} there (<dfn>patched</dfn>), or the other way round, and the log-odds "
        "of a hedge are read. "
        "Behind the last layer the whole stream is the other model’s, so what is recovered rises along the "
        "layers for any words whatever: each layer’s own addition counts, beside that of "
        "sets of other tokens that "
        "are as likely there."
    ).format(before=found.before, after=found.after)
    limits = Markup(
        "That a layer alone loses the hedge: additions hang on all layers before. A layer "
        "whose addition lies "
        "among those of the matched sets is no place of hedging in particular. What heads add "
        "one by one need not "
        "add up. Texts are {before}’s own; what {after} would write is asked elsewhere."
    ).format(before=found.before, after=found.after)
    return Section("localisation", _TITLE, parts, reading, limits)


def _heads(result: Json) -> Part:
    if result["no_heads"]:
        return Part(
            "localisation-heads", "Single attention heads were not patched.", reason=result["no_heads"]
        )
    return Part("localisation-heads", heads(result), figures.head_map(result))


def nats(leaf: Json) -> str:
    """A difference of log-odds with its interval."""
    value = number(leaf)
    if value is None:
        return "–"
    return f"{signed(value, 2)} nats{bracket(leaf, lambda one: signed(one, 2))}"


def most(result: Json) -> str:
    """How large the gap is, where most of it is, and whether other tokens peak as high."""
    way = result["restored"]
    peak = max(way["increments"], key=lambda row: number(row["share"]) or 0.0)
    gap = (
        f"In front of {result['n_slots']} places of hedges ({result['source']}) the log-odds of a hedge are "
        f"{nats(way['gap'])} higher in {result['before']} than in {result['after']}"
        f"{_beside(way['gap_null'])}."
    )
    if number(way["late"]) is None:
        return f"{gap} That is too little to place."
    where = (
        f"The largest part, {percent(peak['share'], 0)}, comes with {_named(peak)}{_as_high(way['peak_p'])}; "
        f"the last third of the depth adds {percent(way['late'], 0)}{_as_late(way['late_p'])}."
    )
    return f"{gap} {where}"


def _named(row: Json) -> str:
    layer = number(row["layer"])
    return "the final norm and the unembedding" if layer is None else stretch(row)


def _beside(null: Json | None) -> str:
    if null is None:
        return ""
    ends = f"{signed(null['low'], 2)} to {signed(null['high'], 2)}"
    return f" (sets of other tokens: {ends}, {p_value(null['p'])})"


def _as_high(p: Any) -> str:
    """Whether other tokens gain as much at any one place."""
    value = number(p)
    if value is None:
        return " (there is no other set of tokens to compare)"
    if value > 0.05:
        return f", and sets of other tokens gain as much somewhere ({p_value(value)}): no place of its own"
    return f", more than sets of other tokens gain anywhere ({p_value(value)})"


def _as_late(p: Any) -> str:
    """Whether the way along the layers is that of any tokens."""
    value = number(p)
    if value is None:
        return " (no other set of tokens has a gap to compare)"
    if value > 0.05:
        return f", as for sets of other tokens ({p_value(value)}): coming late is nothing of its own"
    return f", more than for sets of other tokens ({p_value(value)})"


def parts_of(result: Json) -> str:
    """The strongest attention and MLP patches, and whether earlier tokens carry anything."""
    way = result["restored"]
    whole = number(way["gap"]) or 1.0

    def best(rows: list[Json]) -> Json:
        return max(rows, key=lambda row: (number(row["nats"]) or 0.0) / whole)

    told = []
    for site, name in ((ATTENTION, "attention"), (MLP, "MLP")):
        own = best([row for row in way["cells"] if row["site"] == site])
        told.append(f"of {name} at layer {own['layer']} ({percent((number(own['nats']) or 0.0) / whole, 0)})")
    back = [row for row in way["cells"] if row["back"] > 0]
    tail = ""
    if back:
        own = best(back)
        share = percent((number(own["nats"]) or 0.0) / whole, 0)
        tail = f"; at the tokens before, no state brings more than {share}"
    return f"Of single parts at the last token, most comes back with the output {' and '.join(told)}{tail}."


def heads(result: Json) -> str:
    """The strongest single attention head, and whether any head does as much for other tokens."""
    way = result["restored"]
    whole = number(way["gap"]) or 1.0
    if number(way["late"]) is None:
        return "The gap is too little to place in single attention heads."
    own = [row for row in way["cells"] if row["site"] == HEAD]
    best = max(own, key=lambda row: (number(row["nats"]) or 0.0) / whole)
    share = percent((number(best["nats"]) or 0.0) / whole, 0)
    told = (
        f"Of {len(own)} single attention heads, head {best['head']} of layer {best['layer']} brings most "
        f"back: {nats(best['nats'])}, {share} of the gap."
    )
    p = number(way.get("heads_p"))
    if p is None:
        return f"{told} There is no other set of tokens to compare."
    if p > 0.05:
        return f"{told} Some head gains as much for sets of other tokens ({p_value(p)}): no head of its own."
    return f"{told} That is more than any head gains for sets of other tokens ({p_value(p)})."


def reads(result: Json) -> str:
    """Where the direction lies along the hedge's own unembedding."""
    rows = result["reads"]
    along = [row for row in rows if row["cosine"] > row["high"]]
    if not along:
        return (
            f"{result['before']}’s hedge direction lies along the unembedding of the hedge at no layer "
            "beyond random directions."
        )
    where = ", ".join(f"{row['layer']} (cosine {row['cosine']:.2f})" for row in along)
    return (
        f"{result['before']}’s hedge direction lies along the unembedding of the hedge beyond random "
        f"directions at layer{'s' if len(along) > 1 else ''} {where}: there it is the word that is "
        "about to be said."
    )


def _increments(result: Json) -> Table:
    rows = tuple(
        (
            f"{way['donor']} into {way['host']}",
            stretch(row),
            nats(row["nats"]),
            percent(row["share"], 0),
            _range(row["null"]),
            "–" if row["null"] is None else p_value(row["null"]["p"]),
        )
        for way in (result["restored"], result["removed"])
        for row in way["increments"]
    )
    logp, spread = result["match"]
    words = ", ".join(f"‘{word.strip()}’" for word in result["hedge"])
    note = (
        f"A hedge is read by its first token: {words}. {result['n_sets']} sets of other tokens, each as many "
        f"tokens in effect as the hedge; on average they differ from it by {logp:.2f} nats in the mean of "
        f"the log-probability, which log-odds do not hang on, and by {spread:.2f} in its spread over places. "
        f"p is at least {1 / (1 + result['n_sets']):.3f}.{_smoke(result)}"
    )
    head = ("states of", "", "log-odds added", "share of the gap", "95 % of other tokens, nats", "p")
    return Table("What each layer adds", head, rows, note)


def _smoke(result: Json) -> str:
    """What so few sets of other tokens are."""
    if result["n_sets"] >= ENOUGH:
        return ""
    return f" So few are a smoke null; `mechcot hedge STUDY --thorough` asks for {THOROUGH['sets']}."


def _range(null: Json | None) -> str:
    return "–" if null is None else f"{signed(null['low'], 2)} to {signed(null['high'], 2)}"


def _cells(result: Json) -> Table:
    rows = tuple(
        (
            f"{way['donor']} into {way['host']}",
            f"head {row['head']}" if "head" in row else row["site"],
            f"{row['layer']}",
            f"−{row['back']}" if row["back"] else "last",
            nats(row["nats"]),
            "–"
            if row["null"] is None
            else f"{signed(row['null']['low'], 2)} to {signed(row['null']['high'], 2)}",
        )
        for way in (result["restored"], result["removed"])
        for row in way["cells"]
    )
    head = ("states of", "site", "layer", "token", "log-odds of a hedge", "95 % of other tokens")
    return Table("Every patch", head, rows)


def _reads(result: Json) -> Table:
    rows = tuple(
        (
            f"{row['layer']}",
            f"{row['cosine']:.2f}",
            f"{row['low']:.2f} to {row['high']:.2f}",
            " ".join(row["tokens"]),
        )
        for row in result["reads"]
    )
    head = ("layer", "cosine with the hedge’s unembedding", "95 % of random directions", "stands for")
    return Table("What the direction says by itself", head, rows)


def terminal_text(result: LocalisationResult) -> str:
    """The increments of both ways, and what is said of them."""
    found = result.to_json()
    both = zip(found["restored"]["increments"], found["removed"]["increments"], strict=True)
    rows = tuple(
        (
            stretch(one),
            percent(one["share"], 0),
            signed(number(one["nats"]) or 0.0, 2),
            _range(one["null"]),
            percent(other["share"], 0),
        )
        for one, other in both
    )
    into = f"{found['before']} into {found['after']}"
    table = Table(
        "", ("adds", into, "nats", "other tokens, nats", f"{found['after']} into {found['before']}"), rows
    )
    single = f"Single heads were not patched: {found['no_heads']}." if found["no_heads"] else heads(found)
    told = f"{most(found)} {parts_of(found)} {single}" + (f" {reads(found)}" if found["reads"] else "")
    told += f" {found['n_sets']} sets of other tokens.{_smoke(found)}"
    return f"{table.text()}\n\n{wrapped(told)}"
