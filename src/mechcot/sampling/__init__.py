"""Traces out of a checkpoint."""

from mechcot.sampling.sampler import Completion, Prompt, sample
from mechcot.sampling.traces import token_offsets, trace_rows

__all__ = ["Completion", "Prompt", "sample", "token_offsets", "trace_rows"]
