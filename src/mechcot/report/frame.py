"""What every page is made in: one self-contained file, figures drawn by its own scripts, all text escaped."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from mechcot.core.files import source_of
from mechcot.core.words import NBSP, first_sentence
from mechcot.report import figures as style
from mechcot.report.parts import Part, Section

PLOTLY = "plotly-cartesian.min.js"
"""Plotly's own bundle of the charts with two axes: a third of the whole, and all that figures here need."""


def drawn(sections: Iterable[Section]) -> dict[str, Any]:
    """What a template needs to draw the sections' figures.

    Returns:
        `captions` and `heights` by figure, `figures` (JSON), `style`, `scripts` and their `hashes`.
    """
    parts = [part for section in sections for part in section.parts if part.figure is not None]
    figures = {part.name: _bare(part) for part in parts}
    scripts = {"plotly": asset(PLOTLY), "page": asset("page.js")}
    return {
        "captions": {part.name: _caption(part) for part in parts},
        "heights": {name: figure["layout"]["height"] for name, figure in figures.items()},
        "figures": Markup(embedded(figures)),
        "style": Markup(asset("page.css")),
        "scripts": {name: Markup(text) for name, text in scripts.items()},
        "hashes": [source_of(text) for text in scripts.values()],
    }


def template(name: str) -> jinja2.Template:
    """A template of this package; what is put into it is escaped."""
    environment = jinja2.Environment(
        autoescape=True,
        loader=jinja2.FunctionLoader(asset),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["decimal"] = lambda value, digits: "–" if value is None else f"{value:.{digits}f}"
    environment.filters["sentences"] = first_sentence
    return environment.get_template(name)


def embedded(value: Any) -> str:
    """JSON for the inside of a script element: no character that could end it or open a comment."""
    text = json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _caption(part: Part) -> str:
    assert part.figure is not None
    return str(part.figure.layout.meta["caption"]).replace(" %", f"{NBSP}%")


def _bare(part: Part) -> Any:
    assert part.figure is not None
    figure = style.bare(part.figure)
    # touch must scroll the page, not pan the axes
    figure.update_layout(dragmode=False, meta=None)
    figure.update_xaxes(fixedrange=True)
    figure.update_yaxes(fixedrange=True)
    return json.loads(figure.to_json())


@cache
def asset(name: str) -> str:
    """A text file of this package."""
    return resources.files("mechcot.report").joinpath(name).read_text(encoding="utf-8")
