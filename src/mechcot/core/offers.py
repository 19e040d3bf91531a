"""What higher floors offer to lower ones: named by place, loaded when it is first asked for.

A study lists its analyses and a result draws its figure, yet neither imports what stands above it: the
package's door (`mechcot/__init__.py`) says where they are.
"""

from __future__ import annotations

import importlib
from typing import Any

from mechcot.core.errors import UsageError

_PLACES: dict[str, str] = {}


def offer(**places: str) -> None:
    """Say where something is to be had.

    Args:
        places: what, to `module:attribute`.
    """
    _PLACES.update(places)


def offered(what: str) -> Any:
    """What is offered under a name.

    Raises:
        KeyError: nothing is.
    """
    return at(_PLACES[what])


def figure_of(result: Any, told: Any) -> Any:
    """The figure of a result, by its class.

    Args:
        result: whose figure.
        told: what it is drawn from: the result's JSON, kinds of steps by readable names.

    Raises:
        UsageError: none is offered for it.
    """
    places, name = offered("figures"), type(result).__name__
    if name not in places:
        part = "it is a part of a larger result, whose .figure() or .to_frame() holds it; .text() shows it"
        raise UsageError(f"{name} has no figure: {offered('no_figure').get(name, part)}")
    return at(places[name])(told)


def text_of(result: Any) -> str:
    """A result as tables for a terminal, by its class.

    Raises:
        KeyError: none is offered for it.
    """
    text: str = _for(result, "texts")(result)
    return text


def _for(result: Any, what: str) -> Any:
    return at(offered(what)[type(result).__name__])


def at(place: str) -> Any:
    """What stands at `module:attribute`; the module itself at `module:`."""
    name, _, attribute = place.partition(":")
    module = importlib.import_module(name)
    return getattr(module, attribute) if attribute else module
