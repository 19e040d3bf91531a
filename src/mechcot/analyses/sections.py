"""report.html: one self-contained page out of a study's results, no network, every text escaped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mechcot.analyses import measured
from mechcot.analyses.audit import certainty_page as certainty
from mechcot.analyses.audit import page as outcome
from mechcot.analyses.commitment import page as inside
from mechcot.analyses.gains import page as gains
from mechcot.analyses.judge_controls import part as controlled
from mechcot.analyses.panel import page as judges
from mechcot.core.words import direction, percent, points
from mechcot.report import figures as style
from mechcot.report import traces
from mechcot.report.frame import drawn, template
from mechcot.report.parts import Findings

if TYPE_CHECKING:
    from mechcot.study.folder import Study

VERDICTS = {
    "correct": ("✓", "judged correct"),
    "erroneous": ("✗", "judged wrong"),
    "abstain": ("?", "the judge abstains"),
    "not_checkable": ("·", "claims nothing checkable"),
    "api_failure": ("!", "judging failed"),
    "parse_failure": ("!", "judging failed"),
    "": ("–", "no verdict"),
}
"""Mark and meaning of a verdict: never its colour alone."""


@dataclass(frozen=True)
class Card:
    """One of the two numbers at the top: its name, both values, the difference and where it points."""

    name: str
    before: str
    after: str
    difference: str
    direction: str


def render(study: Study, summary: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """The page of a finished study.

    Args:
        study: with results, tables and the arms' own readings.
        summary: what `summarise` made of it.
        versions: package to version.

    Returns:
        HTML with plotly.js inlined once; the same study gives the same text.
    """
    found = Findings.of(study)
    sections = (
        outcome.changed(found),
        outcome.origin(found),
        gains.gained(found),
        outcome.controls(found),
        certainty.sure(found, judges.People.of(study), controlled.results_of(study)),
        inside.commitment(found),
        inside.doubt(found),
        inside.probes(found),
    )
    return template("page.html").render(
        found=found,
        summary=summary,
        sections=sections,
        cards=_cards(found),
        pairs=traces.pairs(study, study.settings.analysis.traces_shown),
        tables=measured.tables(study, found, summary, versions),
        verdicts=VERDICTS,
        colours={"before": style.BEFORE, "after": style.AFTER},
        **drawn(sections),
    )


def _cards(found: Findings) -> tuple[Card, Card]:
    answers, audit = found.results["answers"], found.results["audit"]
    rows = (
        ("Right answers", answers, "sc", answers["delta_sc"]),
        ("Wrong steps", audit, "error_rate", audit["delta"]),
    )
    first, second = (
        Card(name, percent(part["before"][key]), percent(part["after"][key]), points(delta), direction(delta))
        for name, part, key, delta in rows
    )
    return first, second
