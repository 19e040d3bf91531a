"""The page of the judge controls, and the folder in which it lies with its result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mechcot.analyses.judge_controls import figures
from mechcot.analyses.judge_controls.parts import FLAT_NOTE
from mechcot.analyses.judge_controls.tables import holds_flat, tables
from mechcot.core import files
from mechcot.core.words import counted, direction, number, percent, points, score, signed, why
from mechcot.report import figures as style
from mechcot.report.frame import drawn, template
from mechcot.report.parts import Part, Section

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from mechcot.analyses.judge_controls.result import JudgeControlsResult

_ROLES = ("before", "after")
ALPHA = 0.05
"""Below it a control is said to be apart from the judge as it is."""


def write_judge_controls(
    result: JudgeControlsResult, folder: Path, about: Mapping[str, Any] | None = None
) -> None:
    """Write `result.json` and `report.html` into a folder that is called as the judge is.

    Each file appears whole or not at all. The same result gives the same bytes.

    Args:
        result: of `judge_controls.analyse`.
        folder: made when it is not there.
        about: how it was made (instruments, counts, what was left out and why), for the page's end.
    """
    found = result.to_json()
    files.write_json(folder / "result.json", found)
    files.write_text(folder / "report.html", render_judge_controls(found, folder.name, about))


def render_judge_controls(found: Mapping[str, Any], name: str, about: Mapping[str, Any] | None = None) -> str:
    """One self-contained page, every text escaped.

    Args:
        found: `JudgeControlsResult.to_json()`.
        name: of the judge.
        about: how it was made; nested keys become rows of a table.
    """
    arms = found["arms"]
    sections = [_hold(found), *_waver(found), *_manner(found), *_alike(found), _answers(found)]
    return template("result.html").render(
        tab=f"Judge controls {name}",
        kicker=f"mechcot judge controls · {name} · {arms['before']} → {arms['after']}",
        title="Does the change hold when the judge or the text changes?",
        verdict=verdict(found),
        cards=_cards(found),
        sections=sections,
        tables=tables(found, about or {}),
        colours={"before": style.BEFORE, "after": style.AFTER},
        **drawn(sections),
    )


def verdict(found: Mapping[str, Any]) -> str:
    """What the controls say of the difference, as far as the intervals allow."""
    primary, beside = found["controls"][0]["error"]["difference"], others(found)
    if number(primary) is None:
        return f"The judge as it is finds no difference to compare: {why(primary)}."
    rates = " to ".join(percent(found["controls"][0]["error"][role]) for role in _ROLES)
    said = f"The judge as it is finds the share of wrong steps changed from {rates} ({points(primary)})."
    if not beside:
        return f"{said} No control gives a difference to set beside it."
    way = direction(primary)
    same = sum(direction(row["error"]["difference"]) == way for row in beside)
    in_which = "In the one control" if len(beside) == 1 else f"In {same} of {len(beside)} controls"
    if same == len(beside) > 1:
        in_which = f"In all {same} controls"
    match way:
        case "up" | "down":
            against = sum(direction(row["error"]["difference"]) == _OPPOSITE[way] for row in beside)
            verb = "lies" if same else "does not lie"
            said += f" {in_which} the whole interval {verb} on the same side of zero"
            said += f", in {against} on the other." if against else "."
        case _:
            said += f" Its interval holds zero; {in_which[0].lower()}{in_which[1:]} it does so as well."
    moved = apart(found)
    if not moved:
        return f"{said} None of them can be told apart from the judge as it is."
    most = max(moved, key=lambda row: abs(number(row["minus_primary"]) or 0.0))
    return (
        f"{said} {len(moved)} of them can be told apart from the judge as it is (p < {ALPHA} in the family "
        f"of all), most of all “{most['name']}” ({points(most['minus_primary'])})."
    )


_OPPOSITE = {"up": "down", "down": "up"}


def others(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The controls beside the primary that have a difference."""
    return [row for row in found["controls"][1:] if number(row["error"]["difference"]) is not None]


def apart(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Those of them that can be told apart from the judge as it is, in the family of all."""
    return [row for row in others(found) if (number(row["p_family"]) or 1.0) < ALPHA]


def _cards(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    primary = found["controls"][0]["error"]
    value, beside = number(primary["difference"]), others(found)
    rates = " → ".join(percent(primary[role]) for role in _ROLES)
    cards = [] if value is None else [("Wrong steps, the judge as it is", signed(100 * value), rates)]
    if beside:
        moves = [abs(number(row["minus_primary"]) or 0.0) for row in beside]
        ends = [number(row["error"]["difference"]) or 0.0 for row in beside]
        span = f"differences {signed(100 * min(ends))} to {signed(100 * max(ends))} points"
        cards.append(("Most that a control moves it", f"{100 * max(moves):.1f}", span))
    return cards


def _flat(found: Any) -> Markup:
    """What an interval without width says, where a part of the result has one."""
    return Markup(" ") + FLAT_NOTE if holds_flat(found) else Markup("")


def _drawn(name: str, figure: go.Figure) -> Part:
    return Part(name, f"{figure.layout.meta['statement']}.", figure)


def _hold(found: Mapping[str, Any]) -> Section:
    reading = Markup(
        "A <dfn>control</dfn> changes one thing in how the steps are judged, or in the text that is judged, "
        "and the difference of the two arms is estimated anew. The <dfn>primary</dfn> is the judge as it "
        "is, on the same steps: what a control cannot treat is left out of both. <dfn>Switched</dfn>: shown "
        "to the judge where it was hidden, hidden or left unsaid where it was there."
    )
    limits = Markup(
        "That the judge is right: all controls may share its error. A control that moves the difference "
        "says that the instrument matters there, not which of the two is nearer the truth."
    )
    primary = found["controls"][0]["error"]["difference"]
    part = Part("forest", "There is no difference to look at.", reason=why(primary))
    if number(primary) is not None or others(found):
        part = _drawn("forest", figures.judge_forest(found))
    return Section("hold", "Does the difference hold?", (part,), reading, limits + _flat(found["controls"]))


def _waver(found: Mapping[str, Any]) -> Iterator[Section]:
    if not found["flips"]:
        return
    part = _drawn("flips", figures.judge_flips(found))
    reading = Markup(
        "How often a step that is judged a second time gets another label. <dfn>Judged again</dfn> changes "
        "nothing but the call: it is the noise that every other control has as well."
    )
    limits = Markup(
        "Which of two labels is right. Labels may change often and the difference of the arms stay, or "
        "seldom and all in one direction."
    )
    limits += _flat(found["flips"])
    yield Section("waver", "How much does the judge waver?", (part,), reading, limits)


def _manner(found: Mapping[str, Any]) -> Iterator[Section]:
    swap, hedge, parts = found["tone_swap"], found["hedge_flip"], []
    if "cells" in swap:
        if any(number(cell) is not None for cell in swap["cells"]):
            parts.append(_drawn("manner", figures.judge_manner(found)))
        else:
            parts.append(Part("manner", "No rewritten step kept its claim in both manners and was judged."))
    if "flips" in hedge:
        parts.append(_hedge(hedge, found["arms"]))
    if not parts:
        return
    reading = Markup(
        "Is it what is claimed, or how it sounds? Another model rewrites each step in the <dfn>manner</dfn> "
        "of the other arm and, to price the rewriting itself, in the manner of its own; only rewritings "
        "that keep the claim count. A <dfn>hedge</dfn> (“may be”) is put in or taken out by rule, the claim "
        "left alone."
    )
    limits = Markup(
        "Manner that the rewriter did not catch, and what it changed without notice: who checks that a "
        "claim was kept is a model as well."
    )
    limits += _flat([swap, hedge])
    yield Section("manner", "Is it the claims or their manner?", tuple(parts), reading, limits)


def _hedge(hedge: Mapping[str, Any], arms: Mapping[str, str]) -> Part:
    if number(hedge["flips"]["before"]) is None and number(hedge["flips"]["after"]) is None:
        return Part("hedge", "No pair of a claim with a hedge and without was judged.")
    flips = " and ".join(f"{percent(hedge['flips'][role])} of {arms[role]}’s claims" for role in _ROLES)
    shifts = ", ".join(f"{arms[role]} {points(hedge['shift'][role])}" for role in _ROLES)
    pairs = " and ".join(f"{hedge['n_pairs'][role]:,}" for role in _ROLES)
    detail = (
        f"{pairs} claims with a hedge and without; the difference is {points(hedge['flips']['difference'])}. "
        f"Called erroneous with it minus without: {shifts}; the difference of the two, "
        f"{points(hedge['shift']['difference'])}, is what hedging everything would add to that of the arms."
    )
    return Part("hedge", f"A hedge alone changes the verdict on {flips}.", reason=detail)


def _alike(found: Mapping[str, Any]) -> Iterator[Section]:
    decoys, guess, parts = found["decoys"], found["guess_arm"], []
    if "sensitivity" in decoys:
        rates = [decoys[kind][role] for kind in ("sensitivity", "specificity") for role in _ROLES]
        if any(number(rate) is not None for rate in rates):
            parts.append(_drawn("decoys", figures.judge_decoys(found)))
        else:
            parts.append(Part("decoys", "No decoy was called correct or erroneous."))
    if "auroc" in guess:
        parts.append(Part("guess", _guess(guess)))
    if not parts:
        return
    reading = Markup(
        "<dfn>Decoys</dfn> are planted statements that are known to be true or false, in each arm’s own "
        "words. A judge that treats the arms alike is as often right about the one’s as about the other’s. "
        "And it is asked outright which arm wrote a step."
    )
    limits = Markup(
        "The judge’s error on the steps themselves: decoys are not drawn from them, so no error rate is "
        "corrected with them. For that, people judge a drawn sheet. A judge that can tell the arms apart "
        "need not treat them differently."
    )
    limits += _flat([decoys, guess])
    yield Section("alike", "Does the judge treat the arms alike?", tuple(parts), reading, limits)


def _guess(guess: Mapping[str, Any]) -> str:
    n = sum(guess["n_steps"].values())
    failed = f", {guess['n_failed']:,} without a guess" if guess["n_failed"] else ""
    if number(guess["auroc"]) is None:
        return f"Whether the judge can tell the arms apart is not known: {why(guess['auroc'])}."
    return (
        "Asked who wrote a step, the judge puts the arm after higher with an AUROC of "
        f"{score(guess['auroc'])} ({counted(n, 'step')}{failed}): 0.5 would mean that it is blinded, 1 that "
        "it always knows."
    )


def _answers(found: Mapping[str, Any]) -> Section:
    part = Part("strata", "No group of questions has a difference.")
    if any(number(leaf) is not None for leaf in found["strata_weighted"].values()):
        part = _drawn("strata", figures.judge_strata(found))
    reading = Markup(
        "If wrong steps were only those of wrong answers, they would be gone where both arms answer "
        "rightly. Votes are noisy, so a question is also counted in each group by the share of its traces "
        "that answer so."
    )
    limits = Markup(
        "What distillation does to a fixed set of questions: who answers rightly is known only afterwards. "
        "A judged trace votes as well, which draws its steps a little into the groups of right answers."
    )
    return Section("answers", "Is it only where answers change?", (part,), reading, limits)
