"""The page's first sections: what changed outside, where it comes from, and the controls."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from mechcot.analyses.audit import figures
from mechcot.core.words import clause, counted, direction, number, percent, signed, why
from mechcot.report.parts import Findings, Part, Section


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
        "tie share the point). Traces that give none of the options vote for no answer ({silent}{among}). A "
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
        among=_among_answers(before, after),
        judge=found.judge,
    )
    limits = Markup(
        "Whether the answers are right because of the steps or in spite of them: this counts sentences, it "
        "does not follow what a model computes. The intervals cover the choice of questions; one training "
        "run with one seed stands behind each model."
    )
    return Section(
        "changed",
        "What changed?",
        (
            Part(
                "headline",
                f"From {found.before} to {found.after}, {first}{link}{second}.",
                figures.headline(answers, audit),
            ),
        ),
        reading,
        limits,
    )


def _among_answers(before: dict[str, Any], after: dict[str, Any]) -> str:
    """The vote without those traces: a model can get better by naming an option at all."""
    alone = [arm["answered_only"].get("sc") for arm in (before, after)]
    if None in alone or not (before["share_no_answer"] or after["share_no_answer"]):
        return ""
    return f"; without them the vote is right on {percent(alone[0])} and {percent(alone[1])}"


def both_right(part: dict[str, Any]) -> str:
    """The change where both models are right."""
    where = f"On the {counted(part['n_questions'], 'question')} that both models answer right"
    if part["n_questions"] == 0:
        return "No question is answered right by both models, so right answers cannot be held fixed."
    if number(part) is None:
        return f"{where}, the steps cannot be compared ({why(part)})."
    return f"{where}, {clause('wrong steps', part['rate_before'], part['rate_after'], part)}."


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


def split(found: Findings, split: dict[str, Any]) -> Part:
    """The change taken apart by kinds of step."""
    values = {key: number(split[key]) for key in ("total", "common_composition", "common_within", "unshared")}
    if any(value is None for value in values.values()):
        return Part("split", "The change cannot be taken apart.", reason=why(split["total"]) or "not known")
    total, mix, within, unshared = (signed(100 * (value or 0.0)) for value in values.values())
    sentence = (
        f"Of the change of {total} points, {mix} come from kinds of step that both models write becoming "
        f"more or less frequent, {within} from such steps being wrong more or less often, and {unshared} "
        "from kinds that only one of the two writes."
    )
    return Part("split", sentence, figures.split(split))


def origin(found: Findings) -> tuple[Part, ...]:
    """Where the change of the step error comes from: questions, kinds of step, the split."""
    result = found.results["audit"]
    by_answers = Part("by_answers", both_right(result["both_correct"]), figures.error_by_answers(result))
    return by_answers, kinds(found, result), split(found, result["split"])


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
