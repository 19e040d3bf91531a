"""Traces out of a checkpoint, or as somebody gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mechcot.core.offers import at

if TYPE_CHECKING:
    from mechcot.sampling.given import completions_of, failed_in, given_rows, load_given
    from mechcot.sampling.room import Prompt
    from mechcot.sampling.sampler import Completion, Stream, complete, sample
    from mechcot.sampling.stops import stop_of
    from mechcot.sampling.traces import token_offsets, trace_rows
    from mechcot.sampling.untokenized import word_rows

_FILES = {
    "given": ("completions_of", "failed_in", "given_rows", "load_given"),
    "room": ("Prompt",),
    "sampler": ("Completion", "Stream", "complete", "sample"),
    "stops": ("stop_of",),
    "traces": ("token_offsets", "trace_rows"),
    "untokenized": ("word_rows",),
}
_PLACES = {name: f"mechcot.sampling.{file}:{name}" for file, names in _FILES.items() for name in names}
"""What is imported when it is asked for: given traces need no torch."""

__all__ = [
    "Completion",
    "Prompt",
    "Stream",
    "complete",
    "completions_of",
    "failed_in",
    "given_rows",
    "load_given",
    "sample",
    "stop_of",
    "token_offsets",
    "trace_rows",
    "word_rows",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'mechcot.sampling' has no attribute '{name}'")
    return at(_PLACES[name])
