"""Seconds of a row: by the cost model or, where the study has done the like, at its own pace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mechcot.pipeline.estimate.load import Load, item_bytes
from mechcot.pipeline.estimate.machines import machines
from mechcot.pipeline.estimate.result import Work
from mechcot.pipeline.estimate.sizes import Sizes

SERVER = "its server"
_NO_NAME = "how large the weights are stands neither in files here nor in their name"


def no_weights(row: Work) -> Work:
    """A row whose weights are not known."""
    return replace(row, seconds=None, gpu_hours=None, memory=None, reason=_NO_NAME)


def timed(sizes: Sizes, row: Work, of: Callable[[int], Load], *, tasks: float = 1, disk: float = 0.0) -> Work:
    """A row with what its load takes on this machine and on the table's first GPU.

    Args:
        sizes: of the study.
        row: without its time.
        of: the load, by the bytes of a number.
        tasks: so many workers can share it.
        disk: bytes that are kept.
    """
    here, gpu = sizes.machine, machines("gpu")[0]
    own, far = of(item_bytes(here)), of(item_bytes(gpu))
    for machine in (here, gpu):
        sizes.tell_machine(machine, own.kind)
    recorded = sizes.pace.seconds(own.kind, row.tokens_in, row.tokens_out)
    return replace(
        row,
        seconds=own.seconds(here) if recorded is None else recorded,
        gpu_hours=far.seconds(gpu) / 3600,
        memory=own.held + sizes.process(),
        bound=own.bound(here),
        tasks=max(tasks, 1.0),
        disk=disk,
        load=of,
    )


def served(sizes: Sizes, row: Work, concurrency: int) -> Work:
    """A row of calls to a server: it answers so many at a time, at an assumed pace."""
    first = sizes.tell("seconds until a server begins to answer", 0.5, "s", "assumed")
    rate = sizes.tell("tokens a second of one answer", 50, "tokens/s", "assumed")
    seconds = (row.calls * first + row.tokens_out / rate) / concurrency
    return replace(row, seconds=seconds, bound=SERVER, memory=sizes.process())
