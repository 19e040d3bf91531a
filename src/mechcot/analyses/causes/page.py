"""Which steps matter, on the page and in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from mechcot.analyses.causes import figures, wording
from mechcot.analyses.causes.result import (
    ANY,
    BLIND,
    CHANGED,
    DIRECT,
    HELD,
    HIDDEN,
    MOVED,
    OWN,
    REWRITTEN,
    RIGHT,
    STEPS,
    TOTAL,
    WRONGNESS,
    CausesResult,
)
from mechcot.core.words import Table, change, percent, points, score, starred, wrapped
from mechcot.report.parts import Findings, Part, Section, nothing

Json = Mapping[str, Any]
TITLE = "Does any step matter to the answer?"
READING = (
    "Three ways of asking, and none stands for another. <dfn>Direct attention</dfn>: a step is hidden "
    "from the words that force the answer alone; later steps have read it already. <dfn>Swap, prefix "
    "held</dfn>: one claim’s object is another one, every other word stays, and the answer is forced "
    "before the trace states it. <dfn>Regeneration</dfn>: what stands behind the changed step is written "
    "anew, which is the total effect. A wrong claim is <dfn>repaired</dfn> by a true object, and swapped "
    "<dfn>laterally</dfn> for another wrong one that the reader finds as likely as the true one: what "
    "repair does beyond that is what it matters that the step is <dfn>wrong</dfn>. <dfn>Core</dfn> "
    "claims are those that an answer follows from, and show what the methods find where something is to "
    "be found; all other claims are <dfn>rationale</dfn>."
)
LIMITS = (
    "That a step without an effect was not read: it may do what another step does too. A forced answer "
    "stands where the model would not answer by itself; how far it is from free answers is said below. "
    "Where right and wrong values are as likely to the reader, they may still differ in other things "
    "than truth. Traces without an answer among the options are left out."
)

OF_STEPS = (
    " The task reads no claims, so whole steps are swapped for steps of the same kind of other traces of "
    "the question, by their verdicts: these differ in more than truth."
)

OF_SERVER = (
    " The task reads no claims, so a server wrote steps anew with one claim swapped, and a checker that was "
    "not told what was wanted kept those that changed the claim alone: what both overlook is in the numbers. "
    "Rewritings that are not used are counted by reason."
)


def section(found: Findings) -> Section:
    """Whether it matters that steps are wrong, whether they move answers at all, and the controls."""
    result = found.results["causes"]
    if "effects" not in result:
        return nothing("causes", TITLE, "No step was changed.", result["reason"])
    said = f"{_matters(result)} {wording.held(result)}".strip()
    parts = [Part("causes", said, figures.causes(result), tables=(effects_table(result),))]
    if result["effects"]:
        parts.append(Part("causes-moves", wording.moves(result), figures.moves(result)))
    if result["flips"]:
        parts.append(
            Part("causes-flips", wording.flips(result), figures.flips(result), tables=(flips_table(result),))
        )
    if result["traces"]["before"] + result["traces"]["after"]:
        parts += [
            Part("causes-first", wording.first(result), tables=(first_table(result),)),
            Part(
                "causes-prefixes",
                wording.controls(result),
                figures.controls(result),
                tables=(controls_table(result),),
            ),
            Part("causes-free", wording.free(result), tables=(free_table(result),)),
        ]
    limits = LIMITS + {STEPS: OF_STEPS, REWRITTEN: OF_SERVER}.get(result["swapped"], "")
    return Section("causes", TITLE, tuple(parts), Markup(READING), Markup(limits))


def headline(found: Findings) -> tuple[Part, ...]:
    """The sentence of the first screen; none where no claim was swapped."""
    result = found.results["causes"]
    if "effects" not in result or not any(row["what"] == WRONGNESS for row in result["effects"]):
        return ()
    return (Part("wrong-steps", _matters(result)),)


def _matters(result: Json) -> str:
    """Whether it matters that a step is wrong: for the arm after in a sentence, then for both arms."""
    lead = (
        f"In {figures.statement(result)}. "
        if any(row["what"] == WRONGNESS for row in result["effects"])
        else ""
    )
    return f"Does it matter that a step is wrong? {lead}{wording.wrongness(result)}"


def effects_table(result: Json) -> Table:
    """All effects."""
    rows = tuple(
        (
            one["kind"],
            one["estimand"],
            one["what"],
            one["measure"],
            *(
                wording.amount(one, one[role]) if one["n_steps"][role] else "–"
                for role in ("before", "after")
            ),
            wording.amount(one, one["difference"]) if all(one["n_steps"].values()) else "–",
            f"{one['n_steps']['before']:,} / {one['n_steps']['after']:,}",
        )
        for one in result["effects"]
    )
    head = (
        "steps",
        "estimand",
        "change",
        "of the answer",
        result["before"],
        result["after"],
        "difference",
        "steps",
    )
    alone = "; ".join(f"{kind}: {n:,} of {of:,}" for kind, (n, of) in result["no_other_right"].items())
    note = "Means over steps, each arm’s traces by its own weights. "
    if alone:
        note += f"Right claims with no other right value in their place, by kind: {alone}."
    return Table("What changes of a step do", head, rows, note.strip())


def flips_table(result: Json) -> Table:
    """Flips by decile."""
    rows = tuple(
        (
            f"{row['arm']}, {row['decile']}",
            f"{row['low']:.1f} to {row['high']:.1f}",
            *(score(row[name]) for name in ("swapped", "lateral", "changed", "unchanged")),
            f"{row['n_steps']:,}",
        )
        for row in result["flips"]
    )
    head = ("decile", "margin, nats", "swapped", "null", "written anew", "null", "steps")
    return Table("Another answer, by the margin before the step", head, rows)


def first_table(result: Json) -> Table:
    """An answer before the reasoning."""
    rows = tuple(
        (
            f"{row['arm']}, {row['stated']}",
            score(row["without"]),
            score(row["with_it"]),
            points(row["difference"]),
            f"{percent(row['unanswered_without'])} / {percent(row['unanswered_with'])}",
            f"{row['n_tokens']:.0f}",
            f"{row['n_traces']:,}",
        )
        for row in result["first"]
    )
    head = (
        "stated first",
        "ends in it without",
        "with",
        "difference",
        "no option",
        "tokens written",
        "traces",
    )
    return Table("An answer before the first step", head, rows)


def controls_table(result: Json) -> Table:
    """Other prefixes."""
    rows = tuple(
        (
            f"{row['arm']}, {row['control']}",
            score(row["p"]),
            change(row["change"], 2),
            percent(row["raw_mass"], 0),
            f"{row['n_traces']:,}",
        )
        for row in result["controls"]
    )
    left = "; ".join(
        f"{result[role]}: " + ", ".join(f"{n:,} {why}" for why, n in result["left_out"][role].items())
        for role in ("before", "after")
        if result["left_out"][role]
    )
    head = ("prefix", "P(own answer)", "log-odds less as written, nats", "mass of options", "traces")
    return Table("Other prefixes", head, rows, f"Left out: {left or 'nothing'}.")


def free_table(result: Json) -> Table:
    """Forced against free answers."""
    rows = tuple(
        (
            f"{row['arm']}, {row['place']}",
            change(row["distance"], 3),
            change(row["hit"], 3),
            percent(row["unanswered"]),
            f"{row['n_traces']:,}",
        )
        for row in result["free"]
    )
    head = ("place", "squared distance", "forced P(free answers) less its null", "no option", "traces")
    return Table("Forced against free answers", head, rows)


_SHOWN = {
    (TOTAL, RIGHT, WRONGNESS): "wrong, anew",
    (HELD, OWN, WRONGNESS): "wrong, held",
    (HELD, MOVED, ANY): "swapped, held",
    (TOTAL, CHANGED, ANY): "swapped, anew",
    (DIRECT, MOVED, HIDDEN): "hidden",
    (BLIND, MOVED, HIDDEN): "hidden, later too",
}


def terminal_text(result: CausesResult) -> str:
    """What fits a terminal: what it matters that steps are wrong, and whether they move answers at all."""
    found = result.to_json()
    tables = []
    for kind, name in wording.GROUPS.items():
        known = [(wording.effect(found, *way, kind), label) for way, label in _SHOWN.items()]
        rows = tuple(
            (label, *(starred(wording.amount(row, row[role])) for role in ("before", "after")))
            for row, label in known
            if row is not None
        )
        if rows:
            tables.append(Table("", (name, found["before"], found["after"]), rows).text())
    if not tables:
        return wrapped(wording.wrongness(found))
    told = (
        "Wrong: a wrong claim repaired less swapped for another wrong one; written anew, the share of "
        "right answers, held, the log-odds of the own one. Swapped and hidden: the probability of the "
        "own answer, without its sign; written anew, how much oftener it is another one. The rest stands "
        "in the report. *: no interval."
    )
    if found["no_swaps"]:
        told = f"No swaps: {found['no_swaps']}. {told}"
    return "\n\n".join([*tables, wrapped(told)])
