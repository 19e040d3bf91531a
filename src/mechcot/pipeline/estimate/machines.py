"""How fast machines are: those of a table whose rows are measured or assumed, and this one."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from mechcot.core.errors import DataError
from mechcot.core.results import Result

TABLE = Path(__file__).with_name("machines.json")
"""Machines, and what was fitted on a finished study (`scripts/cost_model.py`)."""


@dataclass(frozen=True)
class Machine(Result):
    """One core of a processor, or one GPU.

    Attributes:
        name: its maker's.
        kind: `processor` or `gpu`.
        status: `measured` or `assumed`.
        source: who measured, or where the numbers stand.
        flops: operations a second of a dense product.
        bandwidth: bytes a second of its memory.
        call: seconds that one layer takes however little it is given.
        memory: bytes of a GPU; 0: the host's.
        reached: share of what these three allow that sampling, reading and training come to.
    """

    name: str
    kind: str
    status: str
    source: str
    flops: float
    bandwidth: float
    call: float
    memory: float
    reached: Mapping[str, float]

    def cores(self, n: int) -> Machine:
        """So many cores of it; they share the memory."""
        return replace(self, flops=self.flops * n) if self.kind == "processor" else self


@cache
def table() -> dict[str, Any]:
    """What was measured and what is assumed."""
    found: dict[str, Any] = json.loads(TABLE.read_text())
    return found


def machines(kind: str) -> tuple[Machine, ...]:
    """The rows of the table of one kind."""
    return tuple(Machine(**row) for row in table()["machines"] if row["kind"] == kind)


def gpu_named(name: str) -> Machine | None:
    """A GPU's row, by the name that its driver gives."""
    found = [row for row in machines("gpu") if row.name.split()[0].lower() in name.lower()]
    return max(found, key=lambda row: len(row.name), default=None)


def machine_here(*, gpu: bool = True) -> Machine:
    """This machine: its row or, of one that has none, what is measured now.

    Args:
        gpu: whether a GPU counts, where there is one; else a core of the processor does.
    """
    if gpu and _has_gpu():
        import torch

        name = torch.cuda.get_device_name(0)
        own = gpu_named(name) or replace(machines("gpu")[0], name=name)
        rate = measured()
        return replace(
            own, flops=rate["flops"], bandwidth=rate["bandwidth"], status="measured", source="measured here"
        )
    name = processor()
    known = next((row for row in machines("processor") if row.name == name), None)
    if known is not None:
        return known
    like, rate = machines("processor")[0], measured()
    source = f"measured here; the rest as of {like.name}"
    return replace(like, name=name, flops=rate["flops"], bandwidth=rate["bandwidth"], source=source)


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def processor() -> str:
    """The processor's name."""
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in told.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def measured() -> dict[str, float]:
    """Operations a second of a product and bytes a second of a copy here, on one core or the GPU; a second.

    Raises:
        DataError: the clock does not move.
    """
    import torch

    on_gpu = torch.cuda.is_available()
    where, dtype = ("cuda", torch.bfloat16) if on_gpu else ("cpu", torch.float32)
    n, numbers = (8192, 2**28) if on_gpu else (768, 2**23)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        one, other = (torch.ones((n, n), dtype=dtype, device=where) for _ in range(2))
        long, copy = (torch.ones(numbers, dtype=dtype, device=where) for _ in range(2))
        product = least(lambda: one @ other, on_gpu=on_gpu)
        copied = least(lambda: copy.copy_(long), on_gpu=on_gpu)
    finally:
        torch.set_num_threads(threads)
    if not product or not copied:
        raise DataError("the processor's clock does not move: nothing can be measured")
    return {"flops": 2 * n**3 / product, "bandwidth": 2 * numbers * long.element_size() / copied}


def least(operation: Callable[[], Any], *, on_gpu: bool = False, within: float = 0.4) -> float:
    """The fewest seconds of an operation: the processor's, which other programs disturb least, or the GPU's.

    Args:
        operation: done again and again; the first time does not count.
        on_gpu: whether to wait for the GPU.
        within: seconds that may be spent, on at least three times.
    """
    import torch

    clock = time.perf_counter if on_gpu else time.thread_time
    times: list[float] = []
    operation()
    until = time.perf_counter() + within
    while time.perf_counter() < until or len(times) < 3:
        if on_gpu:
            torch.cuda.synchronize()
        started = clock()
        operation()
        if on_gpu:
            torch.cuda.synchronize()
        times.append(clock() - started)
    return min(times)
