"""Kinds of steps by readable names, where people read: the report and the figures of results.

A result holds the codes that its task gives (`rev`); a page and a figure say what these mean ("review of the
options"). Both have the names from the task and put them in here
(`core/results.py`: `for_figure`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

KIND_KEYS = ("role", "kind")
"""Keys of results under which a kind of step stands."""


ARM_COLOURS = "arm_colours"
"""Under which what a figure is drawn from holds the colours of its study's arms."""


class Names(NamedTuple):
    """What a study calls kinds of steps, and the colours of its arms, by their codes and names."""

    kinds: Mapping[str, str]
    colours: Mapping[str, str]


def worded(value: Any, names: Mapping[str, str]) -> Any:
    """A result with the kinds of its steps by their readable names.

    Args:
        value: JSON values; a kind stands under `KIND_KEYS`, alone or before " / ", or all keys are kinds.
        names: `Task.role_names`.
    """
    if isinstance(value, list):
        return [worded(one, names) for one in value]
    if not isinstance(value, dict) or not names:
        return value
    own = bool(value) and value.keys() <= names.keys()
    return {
        names[key] if own else key: _named(inner, names) if key in KIND_KEYS else worded(inner, names)
        for key, inner in value.items()
    }


def _named(kind: Any, names: Mapping[str, str]) -> Any:
    if not isinstance(kind, str):
        return worded(kind, names)
    head, *rest = kind.split(" / ")
    return " / ".join([names.get(head, head), *rest])
