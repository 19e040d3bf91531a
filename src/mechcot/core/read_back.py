"""A result from its JSON: the other way round of `Result.to_json`."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import pandas as pd

from mechcot.core.errors import DataError

R = TypeVar("R")


def read_back(cls: type[R], found: Mapping[str, Any], **unstored: Any) -> R:
    """A result as it was before `to_json`; its own `to_json` gives the same values again.

    Args:
        cls: the result's class, or another frozen dataclass.
        found: its JSON values.
        unstored: fields that its JSON does not hold. One that is neither given nor has a default is left
            out: what asks for it fails.

    Raises:
        DataError: a field is missing, as in a file of another version.
    """
    hints = get_type_hints(cls, localns={"pd": pd, "np": np})
    made = object.__new__(cls)  # with fields left out; nothing is computed when a result is made
    for one in dataclasses.fields(cls):  # type: ignore[arg-type]
        if one.name in unstored:
            value = unstored[one.name]
        elif one.metadata.get("unstored"):
            value = _reason(cls, found) if one.name == "reason" else _default(one)
        elif one.metadata.get("spread"):
            value = read_back(hints[one.name], found)
        elif one.name in found:
            value = _value(_rows(found[one.name], one.metadata.get("by")), hints[one.name])
        else:
            value = None if one.metadata.get("optional") else _default(one)
            if value is dataclasses.MISSING:
                raise DataError(f"{cls.__name__}: '{one.name}' is missing")
        if value is not dataclasses.MISSING:
            object.__setattr__(made, one.name, value)
    return made


def _default(one: dataclasses.Field[Any]) -> Any:
    made = one.default_factory
    return one.default if made is dataclasses.MISSING else made()


def _rows(value: Any, by: str | None) -> Any:
    """Rows that stood under one of their fields, with that field in them."""
    return value if by is None else [{**row, by: name} for name, row in value.items()]


def _reason(cls: Any, found: Mapping[str, Any]) -> str:
    """Why a number of a result is missing, where its field does not say so itself."""
    own = [one.name for one in dataclasses.fields(cls) if not one.metadata.get("reason")]
    missing = [found[name] for name in own if name in found and _is_missing(found[name])]
    return str(missing[0]["reason"]) if missing else ""


def _is_missing(value: Any) -> bool:
    return isinstance(value, Mapping) and {*value} == {"value", "reason"} and value["value"] is None


def _value(value: Any, hint: Any) -> Any:
    """A JSON value as what its field holds."""
    if value is None or _is_missing(value):
        return None
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        hint = next(one for one in inner if one is not type(None))
        return _value(value, hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return read_back(hint, value)
    if hasattr(origin, "_fields"):
        return origin(**{name: _value(part, inner[0]) for name, part in value.items()})
    if isinstance(value, Mapping) and len(inner) == 2:
        return {name: _value(part, inner[1]) for name, part in value.items()}
    if origin is tuple:
        kinds = inner[:1] * len(value) if inner[1:] == (Ellipsis,) else inner
        return tuple(_value(part, kind) for part, kind in zip(value, kinds, strict=True))
    return value
