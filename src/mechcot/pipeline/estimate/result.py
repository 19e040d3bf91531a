"""An estimate: rows, the constants that they rest on, and what the study could see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from mechcot.core.results import Result, because
from mechcot.core.words import aligned


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
        gpu_hours: of a GPU as assumed.
        disk: bytes that are kept.
        money: by the prices of the server's file.
        reason: why an amount is unknown.
    """

    stage: str
    n: float
    unit: str
    calls: float = 0.0
    tokens_in: float = 0.0
    tokens_out: float = 0.0
    gpu_hours: float | None = field(default=0.0, metadata=because(""))
    disk: float = 0.0
    money: float | None = field(default=0.0, metadata=because(""))
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
class Estimate(Result):
    """What a study is expected to take, and to see.

    Attributes:
        rows: stages that are not done and that a model, a GPU or a server does.
        left_out: other stages that are not done; they take minutes, or are not foretold.
        constants: that the numbers rest on.
        detectable: what differences so large a study can find.
        hours_here: of all that weights do here on this machine, by its measured rate; None: not known.
    """

    rows: tuple[Work, ...]
    left_out: tuple[str, ...]
    constants: tuple[Constant, ...]
    detectable: tuple[Detectable, ...]
    hours_here: float | None = field(metadata=because("not all is known of the weights"))

    table: ClassVar[str] = "rows"

    def text(self) -> str:
        """Tables: the rows and their sum, what can be found, and what it rests on."""
        lines = ["Expected, by a model of throughput:"]
        head = ("", "how many", "calls", "tokens in", "tokens out", "GPU-hours", "disk", "money")
        lines += aligned([head, *map(_row, self.rows), _sum(self.rows)])
        reasons = dict.fromkeys(f"unknown of {row.stage}: {row.reason}" for row in self.rows if row.reason)
        lines += ["", *reasons] if reasons else []
        if self.hours_here is not None and self.hours_here > 0:
            lines.append(f"On this machine the weights' part would take {_hours(self.hours_here)} hours.")
        if any(row.calls for row in self.rows):
            lines.append("A server of your own takes hours too, which are not counted.")
        if self.left_out:
            lines.append(f"Not foretold: {', '.join(self.left_out)}.")
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
    hours, money = [row.gpu_hours for row in rows], [row.money for row in rows]
    return Work(
        "all of it",
        len(rows),
        "stages",
        calls=sum(row.calls for row in rows),
        tokens_in=sum(row.tokens_in for row in rows),
        tokens_out=sum(row.tokens_out for row in rows),
        gpu_hours=None if None in hours else sum(one for one in hours if one is not None),
        disk=sum(row.disk for row in rows),
        money=None if None in money else sum(one for one in money if one is not None),
    )


def _row(row: Work) -> tuple[str, ...]:
    return (
        row.stage,
        f"{row.n:,.0f} {row.unit}",
        f"{row.calls:,.0f}" if row.calls else "",
        _tokens(row.tokens_in),
        _tokens(row.tokens_out),
        "unknown" if row.gpu_hours is None else _hours(row.gpu_hours) if row.gpu_hours else "",
        f"{row.disk / 1e9:,.1f} GB" if row.disk else "",
        "unknown" if row.money is None else f"{row.money:,.2f}" if row.money else "",
    )


def _sum(rows: Sequence[Work]) -> tuple[str, ...]:
    """The last row; what is known of the money stands there where not all is."""
    *cells, money = _row(total(rows))
    known = sum(row.money for row in rows if row.money is not None)
    return (*cells, f"{known:,.2f} and more" if money == "unknown" and known else money)


def _tokens(n: float) -> str:
    return "" if not n else f"{n / 1e6:,.1f} M" if n >= 1e5 else f"{n / 1e3:,.1f} k"


def _hours(hours: float) -> str:
    return f"{hours:,.1f}" if hours >= 0.1 else f"{hours:.2g}"
