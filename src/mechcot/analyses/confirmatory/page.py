"""What was planned before the outcomes were known, on the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from mechcot.analyses.confirmatory.analysis import ConfirmatoryResult
from mechcot.core.words import (
    DIFFERENCE,
    NBSP,
    bracket,
    change,
    counted,
    listed,
    number,
    p_value,
    plain_signs,
    points,
    signed,
    why,
)
from mechcot.report.parts import Findings, Part, Section, Table


def planned(found: Findings) -> Section:
    """Whether the plan stood beforehand, and the family of its findings."""
    result = found.results["confirmatory"]
    part = Part("planned", sentence(result), tables=(_family(result),) if result["findings"] else ())
    reading = Markup(
        "Who looks at many numbers finds some that stand out by chance. So a few findings were chosen for a "
        "test, each with the smallest effect that matters, and written down in the study’s settings. Where "
        "that was done before the outcome was known they are <dfn>confirmatory</dfn>, and corrected for how "
        "many they are (Holm). All else on this page is <dfn>exploratory</dfn>: to be tested on other "
        "questions."
    )
    limits = Markup(
        "What anybody knew beside this folder: it shows in which order mechcot wrote the plan and the "
        "outcomes down. Traces or verdicts that came as files may have been read before. And “open” is no "
        "finding that nothing changed."
    )
    return Section("planned", "What was settled beforehand, and does it hold?", (part,), reading, limits)


def terminal_text(result: ConfirmatoryResult) -> str:
    """What was planned and how it stands, for a terminal."""
    told = result.to_json()
    tables = (_family(told).text(),) if result.findings else ()
    return "\n\n".join((plain_signs(sentence(told)), *tables))


_KNOWN = {"answers": "answers were there", "verdicts": "verdicts were read"}


def sentence(result: Mapping[str, Any]) -> str:
    """What was registered when, and which findings hold."""
    registered, findings = result["registered"], list(result["findings"].values())
    if not findings:
        return "No finding was chosen beforehand: everything is exploratory."
    late = [_late(name, one) for name, one in registered.items() if not one["before"]]
    if not registered["verdicts"]["before"]:
        return f"{_late('verdicts', registered['verdicts'])}: everything is exploratory."
    tested = [one for one in findings if one["confirmatory"]]
    held = [f"{one['says']} ({one['reads']})" for one in tested if _holds(one)]
    told = f" These are {listed(held)}." if held else ""
    before = f" {late[0]}: findings on answers are exploratory." if late else ""
    return (
        f"Of {counted(len(tested), 'finding')} registered before any outcome was known, "
        f"{len(held)} {'says' if len(held) == 1 else 'say'} something after correction.{told}{before}"
    )


def _holds(finding: Mapping[str, Any]) -> bool:
    return str(finding["reads"]).startswith(("up", "down", "no change"))


def _late(outcome: str, one: Mapping[str, Any]) -> str:
    if one["changed"]:
        return f"The plan was changed after {_KNOWN[outcome]} ({'; '.join(one['changed'])})"
    return f"No plan was registered before {_KNOWN[outcome]}"


def _family(result: Mapping[str, Any]) -> Table:
    head = (
        "finding",
        DIFFERENCE,
        "family’s interval",
        "p, and by Holm",
        "matters from / found from",
        "reads",
    )
    rows = tuple(
        (
            one["says"] if one["confirmatory"] else f"{one['says']} (exploratory)",
            _size(one),
            _bracket(one),
            f"{_p(one['p'])}; {_p(one['p_family'])}",
            f"{_effect(one, 'smallest')} / {_effect(one, 'detectable')} {_UNITS[one['unit']]}",
            one["reads"],
        )
        for one in result["findings"].values()
    )
    plan = next(iter(result["registered"].values()))["sha256"]
    note = (
        "Family’s interval: covers together with those of the other findings (Bonferroni). p: Student’s t "
        "with the interval’s standard error and degrees of freedom; behind it corrected for all findings. "
        "Matters from: the smallest effect that does, as planned. Found from: the smallest that this test "
        f"alone finds at {result['alpha']:g} in 80 of 100 studies like this one. “Open”: neither a change is "
        f"shown nor that none matters. SHA-256 of the plan: {plan}."
    )
    return Table("Plan and confirmatory family", head, rows, note)


_UNITS = {"points": "points", "bits": "bits", "AUROC": "of pairs"}
"""In words that the page has by then: pairs of a wrong and a right step that a score puts in order."""


def _p(leaf: Any) -> str:
    value = number(leaf)
    return "–" if value is None else p_value(value).removeprefix("p ").removeprefix("= ").replace(" ", NBSP)


def _size(one: Mapping[str, Any]) -> str:
    if number(one["estimate"]) is None:
        return f"not known: {why(one['estimate'])}"
    return points(one) if one["unit"] == "points" else change(one, 3)


def _bracket(one: Mapping[str, Any]) -> str:
    digits, factor = (1, 100) if one["unit"] == "points" else (3, 1)
    ends = {"low": one["family_low"], "high": one["family_high"]}
    return (
        bracket(ends, lambda end: signed(factor * end, digits)).strip()
        if number(ends["low"]) is not None
        else "–"
    )


def _effect(one: Mapping[str, Any], key: str) -> str:
    value = number(one[key])
    if value is None:
        return "–"
    return f"{100 * value:.1f}" if one["unit"] == "points" else f"{value:.3f}"


def marked(found: Findings, section: Section) -> Section:
    """The section, each statement that holds a finding of the family marked as what it is."""
    findings = found.results["confirmatory"]["findings"].values()
    marks = {
        part.name: [_mark(one) for one in findings if one["part"] == part.name] for part in section.parts
    }
    return replace(
        section, parts=tuple(replace(part, mark="; ".join(marks[part.name])) for part in section.parts)
    )


def _mark(one: Mapping[str, Any]) -> str:
    if not one["confirmatory"]:
        return f"exploratory: {one['says']}"
    p = number(one["p_family"])
    told = "not tested" if p is None else f"{p_value(p)} after correction, {one['reads']}"
    return f"confirmatory: {one['says']}, {told}"
