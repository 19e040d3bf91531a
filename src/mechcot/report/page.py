"""report.html: one self-contained page out of a study's results, no network, every text escaped."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from mechcot import plots
from mechcot.report import inside, measured, outcome, traces
from mechcot.report.parts import Findings, Part
from mechcot.report.words import NBSP, direction, percent, points

if TYPE_CHECKING:
    from mechcot.study import Study

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
        outcome.controls(found),
        inside.commitment(found),
        inside.doubt(found),
        inside.probes(found),
    )
    parts = [part for section in sections for part in section.parts if part.figure is not None]
    figures = {part.name: _json(part) for part in parts}
    scripts = {"plotly": get_plotlyjs(), "page": _asset("page.js")}
    return _template().render(
        found=found,
        summary=summary,
        sections=sections,
        cards=_cards(found),
        pairs=traces.pairs(study, study.settings.analysis.traces_shown),
        tables=measured.tables(study, found, summary, versions),
        verdicts=VERDICTS,
        captions={part.name: _caption(part) for part in parts},
        heights={name: figure["layout"]["height"] for name, figure in figures.items()},
        figures=Markup(embedded(figures)),
        style=Markup(_asset("page.css")),
        scripts={name: Markup(text) for name, text in scripts.items()},
        hashes=[_hash(text) for text in scripts.values()],
        colours={"before": plots.BEFORE, "after": plots.AFTER},
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


def _caption(part: Part) -> str:
    assert part.figure is not None
    return str(part.figure.layout.meta["caption"]).replace(" %", f"{NBSP}%")


def _json(part: Part) -> Any:
    assert part.figure is not None
    figure = plots.bare(part.figure)
    # touch must scroll the page, not pan the axes
    figure.update_layout(dragmode=False, meta=None)
    figure.update_xaxes(fixedrange=True)
    figure.update_yaxes(fixedrange=True)
    return json.loads(figure.to_json())


def embedded(value: Any) -> str:
    """JSON for the inside of a script element: no character that could end it or open a comment."""
    text = json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _hash(script: str) -> str:
    """What the page's content security policy knows one of its own scripts by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


@cache
def _asset(name: str) -> str:
    return resources.files("mechcot.report").joinpath(name).read_text(encoding="utf-8")


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["decimal"] = lambda value, digits: "–" if value is None else f"{value:.{digits}f}"
    return environment.from_string(_asset("page.html"))
