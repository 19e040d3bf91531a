"""The page's first sections: what changed outside, where it comes from, and the controls."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from mechcot.analyses.audit import figures
from mechcot.analyses.audit.resolution import SUPPORT
from mechcot.core.words import (
    clause,
    counted,
    direction,
    minus_signs,
    number,
    parts_in_points,
    percent,
    points,
    rounded_to_sum,
    signed,
    why,
)
from mechcot.report.parts import Findings, Part, Section, Table


def changed(found: Findings) -> Section:
    """The headline pair."""
    answers, audit = found.results["answers"], found.results["audit"]
    before, after = answers["before"], answers["after"]
    first = clause("right answers", before["sc"], after["sc"], answers["delta_sc"])
    second = clause(
        "wrong steps", audit["before"]["error_rate"], audit["after"]["error_rate"], audit["delta"]
    )
    ways = (direction(answers["delta_sc"]), direction(audit["delta"]))
    link = ", while " if ways in (("up", "up"), ("down", "down")) else " and "
    reading = Markup(
        "A <dfn>trace</dfn> is one text that a model writes for a question: its reasoning, then its "
        "answer. Each model wrote {k} for each of {n} {asked}. A question counts as <dfn>answered "
        "right</dfn> when more of its traces give the right answer than any other (a vote; winners of a "
        "tie share the point). Traces that give none of the options vote for no answer ({silent}). A "
        "<dfn>step</dfn> is one sentence of the reasoning; it counts as <dfn>wrong</dfn> when {judge}. "
        "Steps that claim nothing, and claims left undecided, are not counted. Square brackets hold "
        "<dfn>95&nbsp;% intervals</dfn>: how far the number may move had other questions of the same sort "
        "been asked."
    ).format(
        k=counted(before["k"], "trace"),
        n=before["n_questions"],
        asked=found.asked,
        silent=f"{percent(before['share_no_answer'])} of {found.before}’s traces, "
        f"{percent(after['share_no_answer'])} of {found.after}’s",
        judge=found.judge,
    )
    limits = Markup(
        "Whether the answers are right because of the steps or in spite of them: this counts sentences, it "
        "does not follow what a model computes. The intervals cover the choice of questions; "
    ) + (_UNTRAINED if found.settings.given else _ONE_RUN)
    return Section(
        "changed",
        "What changed?",
        (
            Part("claims", _claims(found, audit["claims"])),
            Part(
                "headline",
                f"From {found.before} to {found.after}, {first}{link}{second}.",
                figures.headline(answers, audit),
            ),
            *_named(found, answers),
        ),
        reading,
        limits,
    )


def _claims(found: Findings, claims: dict[str, Any]) -> str:
    """How many right and wrong claims a trace makes, before any rate."""
    often = [
        " and ".join(f"{per_trace(claims[name][when])} {name}" for name in ("right", "wrong"))
        for when in ("before", "after")
    ]
    share = claims["any_wrong"]
    return (
        f"A trace of {found.before} makes {often[0]} claims, one of {found.after} {often[1]}; "
        f"{clause('traces with a wrong claim', share['before'], share['after'], share['difference'])}."
    )


def per_trace(leaf: Any) -> str:
    """A count a trace, two digits."""
    value = number(leaf)
    return "–" if value is None else f"{value:.2f}"


def _named(found: Findings, answers: dict[str, Any]) -> tuple[Part, ...]:
    """The vote where both models name an option: a model can get better by naming one at all."""
    named, arms = answers["named"], [answers[when] for when in ("before", "after")]
    if not any(arm["share_no_answer"] for arm in arms):
        return ()
    n, where = arms[0]["n_questions"], "where both models name an option"
    if number(named["delta_sc"]) is None:
        sentence = f"On no question do both models name an option, so the gain of {n} cannot be told apart."
        return (Part("named", sentence, reason=why(named["delta_sc"])),)
    errors = " → ".join(f"{number(named['ece'][when]):.3f}" for when in ("before", "after"))
    everywhere = " → ".join(f"{arm['ece']:.3f}" for arm in arms)
    sides = (named["sc"]["before"], named["sc"]["after"], named["delta_sc"])
    sentence = (
        f"On the {named['n_questions']} of {counted(n, 'question')} {where}, by the traces that do, "
        f"{clause('right answers', *sides)}. {_naming(named['naming'])} The calibration error goes {errors} "
        f"there (on all questions, by all traces, {everywhere})."
    )
    return (Part("named", sentence),)


def _naming(share: Any) -> str:
    ends = [number(share.get(end)) for end in ("low", "high")]
    if number(share) is None or ends[0] is None or ends[1] is None:
        return f"What share of the gain is naming an option at all is not asked: {why(share)}."
    told = f"{percent(share, 0)} [{100 * ends[0]:.0f}, {100 * ends[1]:.0f}]"
    if ends[0] <= 0:
        return f"Whether naming an option at all is part of the gain cannot be told ({minus_signs(told)})."
    return f"About {told} of the gain is naming an option at all."


def both_right(audit: dict[str, Any]) -> str:
    """The change where both models are right, by all traces and by those that name an option."""
    part, named = audit["both_correct"], audit["both_correct_named"]
    where = f"On the {counted(part['n_questions'], 'question')} that both models answer right"
    if part["n_questions"] == 0:
        return "No question is answered right by both models, so right answers cannot be held fixed."
    if number(part) is None:
        return f"{where}, the steps cannot be compared ({why(part)})."
    told = f"{where}, {clause('wrong steps', part['rate_before'], part['rate_after'], part)}"
    if named["n_questions"] == part["n_questions"] or number(named) is None:
        return f"{told}."
    return (
        f"{told}. On the {named['n_questions']} where both are right by the traces that name an option, "
        f"they change by {points(named)}."
    )


def bounded(bounds: dict[str, Any]) -> str:
    """What is left of the change among right answers when nothing is assumed of which traces those are."""
    own = bounds["any"]
    if number(own["low"]) is None:
        return f"Bounds for traces right in both cannot be given: {why(own['low'])}."
    ends = [number(own[f"interval_{end}"]) for end in ("low", "high")]
    between = "" if None in ends else f" [{', '.join(signed(100 * (end or 0.0)) for end in ends)}]"
    return (
        "Which answers are right differs, too: whichever traces would be right in both, the change "
        f"of a trace’s share of wrong steps lies between {signed(100 * (number(own['low']) or 0.0))} and "
        f"{signed(100 * (number(own['high']) or 0.0))} points{between}."
    )


def kinds(found: Findings, audit: dict[str, Any]) -> Part:
    """Which kinds of step are wrong."""
    errors = {
        role["role"]: (number(role["rate_after"]) or 0.0) * role["n_judged_after"] for role in audit["roles"]
    }
    total = round(sum(errors.values()))
    if not total:
        sentence = f"No judged step of {found.after} is wrong, so no kind of step stands out."
        return Part("kinds", sentence, figures.error_by_kind(audit))
    role = max(audit["roles"], key=lambda one: errors[one["role"]])
    often = [number(role[f"claims_per_trace_{when}"]) for when in ("before", "after")]
    a, b = ("–" if value is None else f"{value:.2f}" for value in often)
    sentence = (
        f"Of {found.after}’s {counted(total, 'wrong step')}, {percent(errors[role['role']] / total, 0)} are "
        f"of the kind “{role['role']}”, of which {found.before} makes {a} claims a trace and "
        f"{found.after} {b}."
    )
    return Part("kinds", sentence, figures.error_by_kind(audit))


def split(found: Findings, audit: dict[str, Any]) -> Part:
    """The change taken apart at the headline's resolution, the other ones beside it."""
    sizes = audit["resolutions"]
    name = audit["cells"]
    own = sizes[name]
    if number(own["total"]) is None or number(own["within"]) is None:
        reason = why(own["total"]) or why(own["within"])
        return Part("split", "The change cannot be taken apart.", reason=reason, tables=(_sizes(sizes),))
    mix, within, unshared = rounded_to_sum([number(own[key]) or 0.0 for key in _TERMS])
    weights = " and ".join(
        f"{signed(100 * (number(own[f'within_{when}']) or 0.0))} by the shares of {arm}"
        for when, arm in (("before", found.before), ("after", found.after))
    )
    reads = audit["within_reads"]
    told = {
        "up": "the error inside cells rises",
        "down": "the error inside cells falls",
        "unclear": "the error inside cells shows no clear change",
    }.get(reads, f"what happened inside cells is {reads}")
    sentence = (
        f"Counted by {name.replace(' x ', ' × ')}, the change of {signed(mix + within + unshared)} points "
        f"is {signed(mix)} from the mix of cells that both models write, {signed(within)} from the error "
        f"inside them and {signed(unshared)} from cells that only one of the two writes. This is accounting, "
        f"not mechanism: {told} ({weights})."
    )
    return Part("split", sentence, figures.split(audit), tables=(_sizes(sizes),))


_ONE_RUN = "one training run with one seed stands behind each model."
_UNTRAINED = "nothing was trained here, and what other runs would give is not known."
_TERMS = ("composition", "within", "unshared")


def _in_cells(one: dict[str, Any]) -> tuple[str, ...]:
    """Mix, the error inside by whose shares, and cells of one model alone; those by mean shares add up."""
    mix, within, unshared = parts_in_points([one[key] for key in _TERMS])
    return mix, points(one["within_before"]), within, points(one["within_after"]), unshared


def _sizes(sizes: dict[str, Any]) -> Table:
    """The split at every resolution: support, and the within term by whose shares."""
    rows = tuple(
        (
            name.replace(" x ", " × "),
            f"{one['n_shared']:,} of {one['n_cells']:,}",
            " / ".join(percent(one["support"][when], 0) for when in ("before", "after")),
            *_in_cells(one),
            one["within_reads"],
        )
        for name, one in sizes.items()
    )
    head = (
        "cells", "shared", "steps in them, before / after", "mix", "inside, shares before",
        "inside, mean shares", "inside, shares after", "cells of one model alone", "inside reads",
    )  # fmt: skip
    note = (
        "Cells are fixed once on the data. “Inside” reads up or down where its interval with mean shares "
        f"excludes 0, both models have {SUPPORT:.0%} of their steps in shared cells, and no other shares "
        "turn its sign. The resolution of the sentence is that of the plan (confirmatory.cells)."
    )
    return Table("The split at other resolutions and weights", head, rows, note)


def origin(found: Findings) -> tuple[Part, ...]:
    """Where the change of the step error comes from: questions, kinds of step, the split."""
    result = found.results["audit"]
    told = f"{both_right(result)} {bounded(result['both_right_bounds'])}"
    by_answers = Part("by_answers", told, figures.error_by_answers(result))
    return by_answers, kinds(found, result), split(found, result)


_COUNTS = {
    "n_traces": "traces",
    "n_traces_without_steps": "traces without a step",
    "n_steps": "steps",
    "n_behind_answer": "steps behind the stated answer",
    "n_correct": "steps judged correct",
    "n_erroneous": "steps judged erroneous",
    "n_abstain": "steps on which the judge abstains",
    "n_not_checkable": "steps that claim nothing checkable",
    "n_api_failure": "steps whose judging failed (no reply)",
    "n_parse_failure": "steps whose judging failed (unreadable reply)",
    "n_without_verdict": "steps without a verdict",
}


def counts(found: Findings) -> list[tuple[str, ...]]:
    """For the table of counts: traces, steps and verdicts, and the step error before the stated answer."""
    audit = found.results["audit"]
    arms = ("before", "after")
    rows = [(label, *(f"{audit[arm][key]:,}" for arm in arms)) for key, label in _COUNTS.items()]
    if any(audit[arm]["n_behind_answer"] for arm in arms):
        rates = (percent(audit["before_answer"][f"rate_{arm}"]) for arm in arms)
        rows.append(("step error, steps before the answer alone", *rates))
    return rows
