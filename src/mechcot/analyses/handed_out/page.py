"""A page that stands alone: style and script inside, no network, every text escaped."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from mechcot.core.files import source_of


def standing_alone(package: str, name: str, **texts: Any) -> str:
    """The page of `NAME.html`, `NAME.css` and `NAME.js` of a package; the same texts give the same bytes.

    Args:
        package: where they lie.
        name: of the three.
        texts: what the template is given; they are escaped.
    """
    template, script = _template(package, name)
    return template.render(
        style=Markup(_asset(__package__, "handed_out.css") + _asset(package, f"{name}.css")),
        script=Markup(script),
        script_hash=source_of(script),
        **texts,
    )


@cache
def _template(package: str, name: str) -> tuple[jinja2.Template, str]:
    """The template, which a hundred forms share, and its script."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_asset(package, f"{name}.html")), _asset(package, f"{name}.js")


@cache
def _asset(package: str, name: str) -> str:
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")
