"""Traces out of a checkpoint, or as somebody gives them."""

from mechcot.sampling.given import completions_of, load_given
from mechcot.sampling.room import Prompt
from mechcot.sampling.sampler import Completion, Stream, complete, sample
from mechcot.sampling.stops import stop_of
from mechcot.sampling.traces import token_offsets, trace_rows

__all__ = [
    "Completion",
    "Prompt",
    "Stream",
    "complete",
    "completions_of",
    "load_given",
    "sample",
    "stop_of",
    "token_offsets",
    "trace_rows",
]
