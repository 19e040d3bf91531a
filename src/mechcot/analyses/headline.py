"""The headline as a small table, for a terminal and for a notebook, out of summary.json alone."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from mechcot.analyses.hedge.origin import ORIGINS
from mechcot.analyses.hedge.result import beyond_frequency
from mechcot.analyses.localisation.analysis import in_a_line as lost_at
from mechcot.analyses.steering.analysis import in_a_line
from mechcot.core.no_weights import NO_WEIGHTS
from mechcot.core.words import (
    bracket,
    change,
    contrasted,
    counted,
    number,
    percent,
    plain_signs,
    points,
    score,
    signed,
    why,
)


class Row(NamedTuple):
    """One row of the table: what, before, after, difference."""

    what: str
    before: str
    after: str
    difference: str


def _row(what: str, arms: Iterable[str], difference: str = "") -> Row:
    before, after = arms
    return Row(what, before, after, difference)


def headline_text(summary: Mapping[str, Any]) -> str:
    """The headline as plain text: the table and one line for each analysis of the inside.

    Args:
        summary: what summary.json holds.
    """
    contrast = summary["contrast"]
    head = Row(_asked(summary), contrast["before"], contrast["after"], "difference [95 % interval]")
    return "\n".join([contrasted([head, *rows(summary)]), "", *_lines(summary)])


def headline_html(summary: Mapping[str, Any]) -> str:
    """The same for a notebook: every text escaped, no style but the notebook's own.

    Args:
        summary: what summary.json holds.
    """
    contrast = summary["contrast"]
    head = Row(_asked(summary), contrast["before"], contrast["after"], "difference [95 % interval]")
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows(summary)
    )
    lines = "".join(f"<li>{html.escape(line)}</li>" for line in _lines(summary))
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table><ul>{lines}</ul>"


def _asked(summary: Mapping[str, Any]) -> str:
    contrast = summary["contrast"]
    answers = summary["answers"][contrast["before"]]
    one = f"{contrast['domain']} question" if contrast["domain"] else "question"
    return f"{counted(answers['n_questions'], one)}, {counted(answers['k'], 'trace')} each"


def rows(summary: Mapping[str, Any]) -> list[Row]:
    """The rows of the headline table: answers, steps, controls.

    Args:
        summary: what summary.json holds.
    """
    names = (summary["contrast"]["before"], summary["contrast"]["after"])
    answers, audit = ([summary[part][name] for name in names] for part in ("answers", "audit"))
    deltas = summary["answers"]["delta_sc"], summary["audit"]["delta"]
    both, both_named = (summary["audit"][name] for name in ("both_correct", "both_correct_named"))
    claims, named = summary["audit"]["claims"], summary["answers"]["both_named"]
    found = [
        _counts("right claims a trace", claims["right"], names),
        _counts("wrong claims a trace", claims["wrong"], names),
        _rates(
            "traces with a wrong claim",
            [{"share": claims["any_wrong"][name]} for name in names],
            "share",
            claims["any_wrong"]["difference"],
        ),
        _rates("right answers, by vote", answers, "sc", deltas[0]),
        _row(
            f"  where both name an option ({counted(named['n_questions'], 'question')})",
            (percent(named[name]) for name in names),
            points(named["delta_sc"]),
        ),
        _rates("right answers, single traces", answers, "accuracy"),
        _row("calibration error (ECE)", (_plain(arm["ece"]) for arm in answers), _gap(answers, "ece")),
        _rates("wrong steps", audit, "error_rate", deltas[1]),
        Row(f"  where both are right ({counted(both['n_questions'], 'question')})", "", "", points(both)),
        Row(
            f"  the same among named options ({counted(both_named['n_questions'], 'question')})",
            "",
            "",
            points(both_named),
        ),
    ]
    for name, control in summary["controls"].items():
        arms = [control[arm] for arm in names]
        found.append(_rates(f"control {name}: right answers", arms, "sc"))
        found.append(_rates(f"control {name}: wrong steps", arms, "error_rate", control["delta_error"]))
    found = _with_greedy(found, summary.get("greedy", {}), names)
    return [Row._make(plain_signs(cell) for cell in row) for row in found]


_GREEDY = {
    "right claims a trace": "right claims a trace",
    "wrong claims a trace": "wrong claims a trace",
    "traces with a wrong claim": "traces with a wrong claim",
    "right answers, single traces": "right answers",
    "wrong steps": "wrong steps",
    "  where both are right": "wrong steps where both are right",
}
"""Rows of the headline, by how they begin, and the number of greedy traces that stands under each."""


def _with_greedy(found: Sequence[Row], greedy: Mapping[str, Any], names: Sequence[str]) -> list[Row]:
    """Each row with the same number by greedy traces under it, where the study has them."""
    rows = []
    for row in found:
        rows.append(row)
        contrast, _, what = row.what.removeprefix("control ").rpartition(": ")
        key = next((key for key in _GREEDY if what == key or what.startswith(f"{key} (")), "")
        own = greedy.get(contrast or "headline", {}).get(_GREEDY.get(key) if not contrast else what)
        if own is None:
            continue
        told = "  the same without sampling"
        if what.endswith("claims a trace"):
            rows.append(_counts(told, own | {"difference": own["delta"]}, names))
        else:
            rows.append(_row(told, (percent(own[name]) for name in names), points(own["delta"])))
    return rows


def _rates(what: str, arms: Sequence[Mapping[str, Any]], key: str, delta: Any = None) -> Row:
    before, after = (percent(arm[key]) for arm in arms)
    if delta is not None:
        return Row(what, before, after, points(delta))
    values = [number(arm[key]) for arm in arms]
    known = [value for value in values if value is not None]
    return Row(what, before, after, points(known[1] - known[0]) if len(known) == 2 else "not known")


def _counts(what: str, counts: Mapping[str, Any], names: Sequence[str]) -> Row:
    """Counts of both arms, two digits, and their difference."""
    values = [number(counts[name]) for name in names]
    cells = ("–" if value is None else f"{value:.2f}" for value in values)
    return _row(what, cells, change(counts["difference"], 2))


def _plain(leaf: Any) -> str:
    value = number(leaf)
    return "–" if value is None else f"{value:.3f}"


def _gap(arms: Sequence[Mapping[str, Any]], key: str) -> str:
    values = [number(arm[key]) for arm in arms]
    return "not known" if None in values else signed((values[1] or 0.0) - (values[0] or 0.0), 3)


def _lines(summary: Mapping[str, Any]) -> list[str]:
    """The plan, commitment, hedge, probe and knowledge, each beside what it has to beat."""
    before, after = summary["contrast"]["before"], summary["contrast"]["after"]
    lines = [
        f"plan: {_plan(summary['confirmatory'])}",
        *_of_arms("commitment", summary["commitment"], (before, after), _commitment),
        *_hedge(summary["hedge"], before, after),
        *_of_arms("probe", summary["probe"], (before, after), _probe),
        *_facts(summary["knowledge"]["facts"], before, after),
        f"knowledge, selected on error: {_knowledge(summary['knowledge'], before, after)}",
        *([f"next step: {_handover(summary['handover'], before, after)}"] if "handover" in summary else []),
        *([f"hedge lost: {lost_at(summary['localisation'])}"] if "localisation" in summary else []),
        *([f"hedging put back: {in_a_line(summary['steering'], after)}"] if "steering" in summary else []),
    ]
    return [plain_signs(line) for line in _once(lines)]


def _once(lines: Sequence[str]) -> list[str]:
    """The lines; of those that want weights which the study has not, one, in place of the first."""
    ends = f": not known ({NO_WEIGHTS})"
    names = [line.removesuffix(ends) for line in lines if line.endswith(ends)]
    told = f"not known: {', '.join(names)} ({NO_WEIGHTS})"
    return list(dict.fromkeys(told if line.endswith(ends) else line for line in lines))


def _plan(found: Mapping[str, Any]) -> str:
    """Which findings were registered before their outcomes, and what their corrected tests say."""
    findings = {name: one for name, one in found["findings"].items() if one["confirmatory"]}
    if not findings:
        return "nothing was registered before the verdicts: all is exploratory"
    told = []
    for way in ("up", "down", "no change", "open"):
        names = [name for name, one in findings.items() if _way(one["reads"]) == way]
        told += [f"{way}: {', '.join(names)}"] if names else []
    return f"by Holm, {'; '.join(told)}"


def _way(reads: str) -> str:
    """The first word or two of what a finding reads; whatever says nothing is open."""
    return next((way for way in ("up", "down", "no change") if reads.startswith(way)), "open")


def _of_arms(
    what: str, arms: Mapping[str, Any], names: Sequence[str], say: Callable[[Mapping[str, Any]], str]
) -> list[str]:
    """A line an arm, or one where neither has anything to say and both for one reason."""
    said = {name: say(arms[name]) for name in names}
    if len(set(said.values())) == 1:
        return [f"{what}: {said[names[0]]}"]
    return [f"{what}, {name}: {words}" for name, words in said.items()]


def _commitment(arm: Mapping[str, Any]) -> str:
    if number(arm["agrees_at_prompt"]) is None:
        return f"not known ({why(arm['agrees_at_prompt'])})"
    ends = arm["intervals"]
    return (
        f"own answer at the prompt {_share(ends['agrees_at_prompt'])}, chance "
        f"{percent(arm['chance_at_prompt'], 0)}; locked over as many prefixes, spread "
        f"{_share(ends['locked_by_count'])}, first {_share(ends['locked_by_horizon'])} "
        f"({counted(arm['n_traces'], 'trace')} of {counted(arm['n_questions'], 'question')})"
    )


def _share(leaf: Any) -> str:
    """A fraction in whole percent, its interval behind it."""
    return percent(leaf, 0) + bracket(leaf, lambda end: f"{100 * end:.0f}")


def _hedge(hedge: Mapping[str, Any], before: str, after: str) -> list[str]:
    best = {
        f"{before}'s hedges": hedge[before]["best"],
        f"{after}'s asserted errors": hedge[f"{before}_direction_in_{after}"]["best"],
    }
    if all("auroc" not in row for row in best.values()):
        return [f"hedge: not known ({why(next(iter(best.values())))})"]
    lines = [line for what, row in best.items() for line in _direction(what, row)]
    return [*lines, *([_follows(hedge["follows"], before)] if "follows" in hedge else [])]


def _follows(found: Mapping[str, Any], before: str) -> str:
    """What hedges follow, with the interval that decides."""
    decides = found["decided_by"]
    return (
        f"hedge, what {before}'s hedges follow: {found['answer']} ({ORIGINS[decides]}: AUROC "
        f"{score(found[decides])}; {counted(found['n_claims'], 'claim')} of "
        f"{counted(found['n_subjects'], 'subject')})"
    )


def _direction(what: str, row: Mapping[str, Any]) -> list[str]:
    """The direction's best layer, and under it what how seldom subjects were met says by itself."""
    if "auroc" not in row:
        return [f"hedge, {what}: not known ({why(row)})"]
    beside = row["frequency"]
    head = (
        f"hedge, {what}: AUROC {score(row['auroc'])} at its best layer {row['layer']}, random directions to "
        f"{row['random_high']:.2f} ({counted(row['n_claims'], 'claim')} of "
        f"{counted(row['n_questions'], 'question')})"
    )
    if "alone" not in beside:
        return [head, f"hedge, {what}, beside frequency: not known ({why(beside)})"]
    shown = "more than frequency" if beyond_frequency(beside) else "no more than frequency shown"
    return [
        head,
        f"hedge, {what}, beside frequency alone {score(beside['alone'])}: {change(beside['minus'], 2)}; "
        f"subjects met as often: {change(beside['minus_inside'], 2)}: {shown}",
    ]


def _probe(arm: Mapping[str, Any]) -> str:
    if number(arm["auroc"]) is None:
        return f"not known ({why(arm['auroc'])})"
    ends = arm["intervals"]
    gain = why(ends["stack_gain"].get("low")) or f"the probe adds {change(ends['stack_gain'], 3)}"
    return (
        f"AUROC {score(ends['auroc'])}; all simpler things together {score(ends['stack'])}, {gain} "
        f"({counted(arm['n_steps'], 'step')} of {counted(arm['n_questions'], 'question')})"
    )


def _facts(found: Mapping[str, Any], before: str, after: str) -> list[str]:
    """A line a form: what each arm knows of the fixed list; then what it knows and does not reach."""
    if "arms" not in found:
        return [f"knowledge: not known ({why(found)})"]
    asked = f"{counted(found['n_facts'], 'fact')} of {counted(found['n_groups'], 'subject')}"
    names = list(dict.fromkeys((before, after, *found["arms"])))
    lines = []
    for form, where in (("bare", "asked alone"), ("placed", f"in a {found['placed_in']}")):
        own = [(name, found["arms"][name]) for name in names]
        told = [
            f"{name} {percent(arm[form], 0)}"
            + (f" ({points(arm[f'{form}_change'])})" if f"{form}_change" in arm else "")
            for name, arm in own
        ]
        lines.append(f"knowledge, {where}: {', '.join(told)}; {asked}")
    missed = (f"{name} {_share(found['arms'][name]['not_reached'])}" for name in names)
    return [*lines, f"known but not reached in a {found['placed_in']}: {', '.join(missed)}"]


def _knowledge(shares: Mapping[str, Any], before: str, after: str) -> str:
    if number(shares["knew"]) is None:
        return f"not known ({why(shares['knew'])})"
    return (
        f"where {after} asserts an error, neither knew {percent(shares['never_knew'], 0)}, {after} alone "
        f"{percent(shares['learned'], 0)}, {before} alone {percent(shares['forgot'], 0)}, both "
        f"{percent(shares['knew'], 0)}"
    )


def _handover(found: Mapping[str, Any], before: str, after: str) -> str:
    if number(found["change"]) is None:
        return f"not known ({why(found['change'])})"
    terms = ", ".join(
        f"{name} {points(found[name])}"
        for name in ("knowledge", "decoding", "choice")
        if number(found[name]) is not None
    )
    split = f"; of the weights' {terms}" if terms else ""
    return (
        f"wrong {points(found['change'])} from {before} to {after}: text {points(found['text'])}, weights "
        f"{points(found['weights'])}{split}"
    )
