"""report.html: one self-contained page, no network, every text escaped. It is handed what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mechcot.report import figures as style
from mechcot.report import traces
from mechcot.report.frame import drawn, template
from mechcot.report.parts import UNASKED, Findings, Section, Table, finished, said_once

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
    """One of the numbers at the top: its name, both values, the difference and where it points.

    Attributes:
        more: what the difference has to be read with, a line each.
    """

    name: str
    before: str
    after: str
    difference: str
    direction: str
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Top:
    """How the page begins, and what it calls things.

    Attributes:
        heading: what is compared, before the arms' names.
        asked: the questions, the models and the judge in one line.
        follows: one sentence of consequence, and what it has to be read with.
        cards: the numbers at the top.
        viewer: the folder beside the page that holds the viewer's pages; None: there is none.
        kinds: readable names of the kinds of step.
    """

    heading: str
    asked: str
    follows: str
    cards: Sequence[Card]
    viewer: str | None = None
    kinds: Mapping[str, str] = field(default_factory=dict)


def render(
    study: Study,
    found: Findings,
    summary: Mapping[str, Any],
    *,
    sections: Sequence[Section],
    top: Top,
    tables: Sequence[Table],
) -> str:
    """The page of a finished study.

    Args:
        study: with tables and the arms' own readings.
        found: its results and the names of its arms.
        summary: the numbers of summary.json.
        sections: the argument, in order.
        top: what stands before the argument.
        tables: how it was measured.

    Returns:
        HTML with plotly.js inlined once; the same study gives the same text.
    """
    done, unasked, undone = finished(sections)
    return template("page.html").render(
        found=found,
        summary=summary,
        sections=done,
        unasked=unasked,
        undone=undone,
        top=top,
        cards=top.cards,
        pairs=traces.pairs(study, study.settings.analysis.traces_shown),
        tables=said_once(tables, unasked),
        UNASKED=UNASKED,
        verdicts=VERDICTS,
        colours={"before": style.BEFORE, "after": style.AFTER},
        **drawn(done),
    )
