"""The page of the judge controls, and the folder in which it lies with its result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mechcot.analyses.judge_controls import figures, registry
from mechcot.analyses.judge_controls.control import Json
from mechcot.analyses.judge_controls.result import JudgeControlsResult
from mechcot.analyses.judge_controls.tables import page_tables
from mechcot.analyses.judge_controls.wording import (
    ALPHA,
    FLAT_NOTE,
    ROLES,
    drawn,
    holds_flat,
    is_apart,
    points,
)
from mechcot.core import files
from mechcot.core.words import direction, number, percent, signed, why
from mechcot.report import figures as style
from mechcot.report import frame
from mechcot.report.parts import Part, Section


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


def render_judge_controls(found: Json, name: str, about: Mapping[str, Any] | None = None) -> str:
    """One self-contained page, every text escaped.

    Args:
        found: `JudgeControlsResult.to_json()`.
        name: of the judge.
        about: how it was made; nested keys become rows of a table.
    """
    arms = found["arms"]
    sections = [_hold(found), *_waver(found), *_findings(found), _answers(found)]
    return frame.template("result.html").render(
        tab=f"Judge controls {name}",
        kicker=f"mechcot judge controls · {name} · {arms['before']} → {arms['after']}",
        title="Does the change hold when the judge or the text changes?",
        verdict=verdict(found),
        cards=_cards(found),
        sections=sections,
        tables=page_tables(found, about or {}),
        colours={"before": style.BEFORE, "after": style.AFTER},
        **frame.drawn(sections),
    )


def verdict(found: Json) -> str:
    """What the controls say of the difference, as far as the intervals allow."""
    primary, beside = found["controls"][0]["error"]["difference"], others(found)
    if number(primary) is None:
        return f"The judge as it is finds no difference to compare: {why(primary)}."
    rates = " to ".join(percent(found["controls"][0]["error"][role]) for role in ROLES)
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


def others(found: Json) -> list[Json]:
    """The controls beside the primary that have a difference."""
    return [row for row in found["controls"][1:] if number(row["error"]["difference"]) is not None]


def apart(found: Json) -> list[Json]:
    """Those of them that can be told apart from the judge as it is, in the family of all."""
    return [row for row in others(found) if is_apart(row)]


def _cards(found: Json) -> list[tuple[str, str, str]]:
    primary = found["controls"][0]["error"]
    value, beside = number(primary["difference"]), others(found)
    rates = " → ".join(percent(primary[role]) for role in ROLES)
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


def _hold(found: Json) -> Section:
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
        part = drawn("forest", figures.judge_forest(found))
    return Section("hold", "Does the difference hold?", (part,), reading, limits + _flat(found["controls"]))


def _waver(found: Json) -> Iterator[Section]:
    if not found["flips"]:
        return
    part = drawn("flips", figures.judge_flips(found))
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


def _findings(found: Json) -> Iterator[Section]:
    """What controls find beside the difference, findings of one section together."""
    there = [finding for _, finding in registry.findings() if "value" not in found[finding.name]]
    for section in dict.fromkeys(finding.section for finding in there):
        own = [finding for finding in there if finding.section == section]
        parts = tuple(finding.part(found) for finding in own)
        limits = section.limits + _flat([found[finding.name] for finding in own])
        yield replace(section, parts=parts, limits=limits)


def _answers(found: Json) -> Section:
    part = Part("strata", "No group of questions has a difference.")
    if any(number(leaf) is not None for leaf in found["strata_weighted"].values()):
        part = drawn("strata", figures.judge_strata(found))
    reading = Markup(
        "If wrong steps were only those of wrong answers, they would be gone where both arms answer "
        "rightly. Votes are noisy, so a question is also counted in each group by the share of its traces "
        "that answer so."
    )
    limits = Markup(
        "What happens to a fixed set of questions: who answers rightly is known only afterwards. "
        "A judged trace votes as well, which draws its steps a little into the groups of right answers."
    )
    return Section("answers", "Is it only where answers change?", (part,), reading, limits)
