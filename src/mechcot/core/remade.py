"""Things that another process makes again rather than gets sent: models, tokenizers, and parts of them.

Whoever makes one says how (`known`). `packed` then writes any value with its functions, and in the place of
such a thing how it is made; `unpacked` makes it, once a process. So a closure over a model takes a few bytes.
"""

from __future__ import annotations

import functools
import gc
import io
import pickle
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

Path = tuple[str, ...]
"""Attribute after attribute, from the thing that is made to a part of it."""


@dataclass(frozen=True)
class Recipe:
    """How a thing is made.

    Attributes:
        make: a function of a module.
        arguments: hashable, and small.
    """

    make: Callable[..., Any]
    arguments: tuple[Any, ...]


_KNOWN: dict[int, tuple[weakref.ref[Any], Recipe, Path]] = {}
_ALTERED: list[Recipe] = []


def known(thing: Any, recipe: Recipe, parts: Iterable[tuple[Path, Any]] = ()) -> None:
    """Say how a thing is made, as long as it is there.

    Args:
        thing: what the recipe makes.
        recipe: how.
        parts: of the thing, with the attributes that lead to them.
    """
    for path, part in (((), thing), *parts):
        key = id(part)
        _KNOWN[key] = (weakref.ref(part, functools.partial(_forget, key)), recipe, path)


def _forget(key: int, _: Any) -> None:
    _KNOWN.pop(key, None)


def _found(thing: Any) -> tuple[Recipe, Path] | None:
    found = _KNOWN.get(id(thing))
    return found[1:] if found is not None and found[0]() is thing else None


@contextmanager
def altered(thing: Any) -> Iterator[None]:
    """While the block lasts, a thing is not as its recipe makes it."""
    found = _found(thing)
    if found is None:
        yield
        return
    _ALTERED.append(found[0])
    try:
        yield
    finally:
        _ALTERED.remove(found[0])


def packed(value: Any) -> bytes:
    """A value as bytes for `unpacked` in a process that has the same packages and folders.

    Raises:
        RuntimeError: a thing in it is `altered`.
    """
    from ray import cloudpickle

    class Pickler(cloudpickle.CloudPickler):
        def reducer_override(self, thing: Any) -> Any:
            found = _found(thing)
            if found is not None:
                if found[0] in _ALTERED:
                    raise RuntimeError("a model that is edited here would be sent as it was loaded")
                return _made, found
            if isinstance(thing, functools._lru_cache_wrapper) and "<locals>" in thing.__qualname__:
                return _cached, (thing.__wrapped__, thing.cache_parameters()["maxsize"])
            return super().reducer_override(thing)

    sink = io.BytesIO()
    Pickler(sink).dump(value)
    return sink.getvalue()


def unpacked(data: bytes) -> Any:
    """The value again; what was made for the one before and is not part of this one goes first."""
    _KEPT.turn()
    return pickle.loads(data)  # noqa: S301 - from a mechcot of this run, over Ray's own pickles


def forget() -> None:
    """Let go of all that was made."""
    _KEPT.turn()
    _KEPT.clear()


class _Kept:
    """What this process has made, of the value in use and of the one before."""

    def __init__(self) -> None:
        self._now: dict[Recipe, Any] = {}
        self._before: dict[Recipe, Any] = {}

    def turn(self) -> None:
        self._before |= self._now
        self._now = {}

    def clear(self) -> None:
        self._before = {}
        gc.collect()

    def of(self, recipe: Recipe) -> Any:
        if recipe in self._before:
            self._now[recipe] = self._before.pop(recipe)
        if recipe not in self._now:
            self.clear()  # two models may be more than a device holds
            self._now[recipe] = recipe.make(*recipe.arguments)
        return self._now[recipe]


_KEPT = _Kept()


def _made(recipe: Recipe, path: Path) -> Any:
    return functools.reduce(getattr, path, _KEPT.of(recipe))


def _cached(function: Callable[..., Any], maxsize: int | None) -> Any:
    return functools.lru_cache(maxsize)(function)
