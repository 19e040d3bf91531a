"""An estimate: rows, the constants that they rest on, and what the study could see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from mechcot.core.results import UNSTORED, Result, because
from mechcot.core.words import aligned

if TYPE_CHECKING:
    from mechcot.pipeline.estimate.load import Load


@dataclass(frozen=True)
class Constant(Result):
    """A number that an estimate rests on.

    Attributes:
        what: it is.
        value: the number.
        unit: of it.
        source: where it comes from: `assumed`, `measured here`, `counted`, or by whom it is told.
    """

    what: str
    value: float
    unit: str
    source: str


@dataclass(frozen=True)
class Work(Result):
    """What a stage that is not done is expected to take; None: unknown, for the `reason` given.

    Attributes:
        stage: its name.
        n: how many things it is done to.
        unit: what those are.
        calls: to servers.
        tokens_in: that a model here or a server reads.
        tokens_out: that it writes.
        seconds: on this machine, by one process that nothing disturbs.
        wall: the same by the workers asked for.
        gpu_hours: of the first GPU of the table.
        memory: bytes at once, of one process.
        disk: bytes that are kept.
        money: by the prices of the server's file.
        bound: what most of the time is waited for.
        tasks: so many workers can share it; 1: none.
        load: what it asks of a machine, by the bytes of a number.
        reason: why an amount is unknown.
    """

    stage: str
    n: float
    unit: str
    calls: float = 0.0
    tokens_in: float = 0.0
    tokens_out: float = 0.0
    seconds: float | None = field(default=0.0, metadata=because(""))
    wall: float | None = field(default=None, metadata=because("not shared yet"))
    gpu_hours: float | None = field(default=0.0, metadata=because(""))
    memory: float | None = field(default=0.0, metadata=because(""))
    disk: float = 0.0
    money: float | None = field(default=0.0, metadata=because(""))
    bound: str = ""
    tasks: float = 1.0
    load: Callable[[int], Load] | None = field(default=None, metadata=UNSTORED)
    reason: str = ""


@dataclass(frozen=True)
class Detectable(Result):
    """The smallest true difference that is found with a chance of 80 % at the 5 % level.

    Attributes:
        what: is compared.
        n: on how many things.
        unit: what those are.
        difference: as a fraction; .05 is 5 points.
    """

    what: str
    n: float
    unit: str
    difference: float


@dataclass(frozen=True)
class OnGpu(Result):
    """The whole of it with workers that have a GPU each.

    Attributes:
        machine: the GPU.
        status: `measured` or `assumed`.
        hours: on the wall; what no model does is done on this machine's processor.
        fits: whether the greediest stage fits its memory.
    """

    machine: str
    status: str
    hours: float
    fits: bool


@dataclass(frozen=True)
class Estimate(Result):
    """What a study is expected to take, and to see.

    Attributes:
        rows: stages that are not done, one by one.
        left_out: those of them of which nothing is known.
        workers: that share what can be shared.
        machine: this one.
        bottleneck: the stage that takes longest, and what it waits for.
        gpus: the same on GPUs.
        constants: that the numbers rest on.
        detectable: what differences so large a study can find.
    """

    rows: tuple[Work, ...]
    left_out: tuple[str, ...]
    workers: int
    machine: str
    bottleneck: str
    gpus: tuple[OnGpu, ...]
    constants: tuple[Constant, ...]
    detectable: tuple[Detectable, ...]

    table: ClassVar[str] = "rows"

    def text(self) -> str:
        """Tables: the rows and their sum, what can be found, and what it rests on."""
        by = "one process" if self.workers == 1 else f"{self.workers} workers"
        lines = [f"Expected, by the cost model, of {by} on this machine ({self.machine}):"]
        head = (
            "",
            "how many",
            "calls",
            "tokens in",
            "tokens out",
            "time",
            "memory",
            "disk",
            "money",
            "waits for",
        )
        lines += aligned([head, *map(_row, self.rows), _sum(self.rows)])
        reasons: dict[str, list[str]] = {}
        for row in self.rows:
            if row.reason:
                reasons.setdefault(row.reason, []).append(row.stage)
        told = [f"unknown of {', '.join(stages)}: {reason}" for reason, stages in reasons.items()]
        lines += ["", *told] if told else []
        lines += [self.bottleneck] if self.bottleneck else []
        if self.left_out:
            lines.append(f"Not foretold: {', '.join(self.left_out)}.")
        if self.gpus:
            lines += ["", f"With {self.workers} GPU{'s' if self.workers > 1 else ''} instead:"]
            lines += aligned(
                [
                    (
                        f"  {one.machine}",
                        f"{_hours(one.hours)} hours",
                        one.status,
                        "" if one.fits else "too small",
                    )
                    for one in self.gpus
                ]
            )
        lines += ["", "Smallest difference that is found (chance 80 %, level 5 %):"]
        lines += aligned(
            [
                (f"  {one.what}", f"{one.n:,.0f} {one.unit}", f"{100 * one.difference:.1f} points")
                for one in self.detectable
            ]
        )
        lines += ["", "What this rests on:"]
        lines += aligned(
            [(f"  {one.what}", f"{one.value:,.4g} {one.unit}", one.source) for one in self.constants]
        )
        return "\n".join(lines)


def total(rows: Sequence[Work]) -> Work:
    """All rows together; what one does not know is unknown."""

    def summed(name: str) -> float | None:
        found = [getattr(row, name) for row in rows]
        return None if None in found else sum(found)

    memory = [row.memory for row in rows if row.memory is not None]
    return Work(
        "all of it",
        len(rows),
        "stages",
        calls=sum(row.calls for row in rows),
        tokens_in=sum(row.tokens_in for row in rows),
        tokens_out=sum(row.tokens_out for row in rows),
        seconds=summed("seconds"),
        wall=summed("wall"),
        gpu_hours=summed("gpu_hours"),
        memory=max(memory, default=0.0),
        disk=sum(row.disk for row in rows),
        money=summed("money"),
    )


def _row(row: Work) -> tuple[str, ...]:
    return (
        row.stage,
        f"{row.n:,.0f} {row.unit}",
        f"{row.calls:,.0f}" if row.calls else "",
        _tokens(row.tokens_in),
        _tokens(row.tokens_out),
        "unknown" if row.wall is None else time_words(row.wall),
        "unknown" if row.memory is None else _bytes(row.memory),
        _bytes(row.disk),
        "unknown" if row.money is None else f"{row.money:,.2f}" if row.money else "",
        row.bound,
    )


def _sum(rows: Sequence[Work]) -> tuple[str, ...]:
    """The last row; what is known of time and money stands there where not all is."""
    cells = list(_row(total(rows)))
    for place, name, words in ((5, "wall", time_words), (8, "money", "{:,.2f}".format)):
        known = sum(getattr(row, name) or 0.0 for row in rows)
        if cells[place] == "unknown" and known:
            cells[place] = f"{words(known)} and more"
    return tuple(cells)


def _tokens(n: float) -> str:
    return "" if not n else f"{n / 1e6:,.1f} M" if n >= 1e5 else f"{n / 1e3:,.1f} k"


def _bytes(n: float) -> str:
    return "" if not n else f"{n / 1e9:,.1f} GB"


def time_words(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:,.0f} s" if seconds >= 1 else "< 1 s"
    return f"{seconds / 60:,.0f} min" if seconds < 6000 else f"{seconds / 3600:,.1f} h"


def _hours(hours: float) -> str:
    return f"{hours:,.1f}" if hours >= 0.1 else f"{hours:.2g}"
