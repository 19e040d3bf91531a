"""What work will take, told before it begins: one shape for a run, a reading, a judge, a probe.

A function that foretells returns a `Plan`; `mechcot plan` and every `--dry-run` print it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from mechcot.core.results import Result, because
from mechcot.core.words import aligned

State = Literal["to do", "if changed", "cached"]

AMOUNTS = {
    "calls": "calls",
    "answered": "answered already",
    "tokens_in": "tokens in",
    "tokens_out": "tokens out at most",
    "seconds": "seconds",
    "disk": "disk",
    "memory": "memory",
    "money": "money at most",
}
"""What work takes, by the head of its column; all but memory, which is free again afterwards, add up."""

_SELDOM_KNOWN = ("seconds", "disk", "memory")
"""A column of these is shown only where some row knows them; of the others, wherever one is not zero."""


@dataclass(frozen=True)
class Expense(Result):
    """What one piece of work takes. None: it is unknown, for the `reason` given; it is never told as 0.

    Attributes:
        what: the work, in few words.
        n: how many things it is done to.
        unit: what those are, in the plural.
        state: `cached`: done already; `if changed`: only if what comes before it turns out another way.
        calls: to a judge's server.
        answered: calls whose replies are kept, so that they are not sent.
        tokens_in: that a model reads.
        tokens_out: that a model writes, at most.
        seconds: within a factor of about two, unless a note says else; of what is cached, what it took.
        disk: bytes that are kept.
        memory: bytes held at once.
        money: at most, in the money of the judge file's prices.
        reason: why an amount is unknown.
        note: what the numbers rest on.
    """

    what: str
    n: int | None = field(metadata=because(""))
    unit: str
    state: State = "to do"
    calls: int | None = field(default=0, metadata=because(""))
    answered: int = 0
    tokens_in: int | None = field(default=0, metadata=because(""))
    tokens_out: int | None = field(default=0, metadata=because(""))
    seconds: float | None = field(default=None, metadata=because(""))
    disk: int | None = field(default=None, metadata=because(""))
    memory: int | None = field(default=None, metadata=because(""))
    money: float | None = field(default=0.0, metadata=because(""))
    reason: str = "known when it has run"
    note: str = ""

    def done(self, took: float = 0.0) -> Expense:
        """The same work, which is there already and takes nothing; `took`: the seconds of making it."""
        return Expense(self.what, self.n, self.unit, "cached", seconds=took, disk=0, memory=0)


@dataclass(frozen=True)
class Plan(Result):
    """What some work will take; nothing was run.

    Attributes:
        rows: piece by piece, in the order in which they are done.
        notes: what else there is to know before it begins.
    """

    rows: tuple[Expense, ...]
    notes: tuple[str, ...] = ()

    derived: ClassVar[tuple[str, ...]] = ("total",)
    table: ClassVar[str] = "rows"

    @property
    def total(self) -> Expense:
        """All that is to do; an amount that some row does not know is unknown."""
        rows = [row for row in self.rows if row.state != "cached"]
        found = {name: _sum((getattr(row, name) for row in rows), name) for name in AMOUNTS}
        alike = len({row.unit for row in rows}) == 1
        n = _sum((row.n for row in rows), "n") if alike else len(rows)
        unknown = [row.what for row in rows if None in (row.n, *(getattr(row, name) for name in AMOUNTS))]
        reason = f"not all is known of: {', '.join(dict.fromkeys(unknown))}" if unknown else ""
        whole = Expense("all that is to do", n, rows[0].unit if alike else "pieces of work", reason=reason)  # type: ignore[arg-type]
        return replace(whole, **found)  # type: ignore[arg-type]

    def text(self) -> str:
        """The rows and their total as a table; below it why something is unknown, and the notes."""
        if not self.rows:
            return "nothing to do"
        shown = [name for name in AMOUNTS if _told(name, [getattr(row, name) for row in self.rows])]
        several = len({row.state for row in self.rows}) > 1 or any(row.state != "to do" for row in self.rows)
        head = ("", *(["state"] if several else []), "how many", *(AMOUNTS[name] for name in shown))
        lines = [head]
        for row in (*self.rows, self.total) if len(self.rows) > 1 else self.rows:
            total = len(lines) > len(self.rows)
            state = ["" if total else row.state] if several else []
            many = f"{_count(row.n)} {row.unit}"
            cells = [_amount(name, getattr(row, name)) for name in shown]
            if total and "seconds" in shown and row.seconds is None:
                cells[shown.index("seconds")] = self._at_least()
            lines.append((row.what, *state, many, *cells))
        return "\n".join([*aligned(lines), *self._remarks()])

    def _at_least(self) -> str:
        """The seconds that are known, where not all are."""
        known = sum(row.seconds for row in self.rows if row.seconds and row.state != "cached")
        return f"{_amount('seconds', known)} and more" if known else "unknown"

    def _remarks(self) -> list[str]:
        """Why amounts are unknown, reason by reason, and the notes."""
        told = [name for name in AMOUNTS if name not in _SELDOM_KNOWN]
        reasons: dict[str, list[str]] = {}
        notes: dict[str, list[str]] = {}
        for row in self.rows:
            if None in (row.n, *(getattr(row, name) for name in told)):
                reasons.setdefault(row.reason, []).append(row.what)
            if row.note:
                notes.setdefault(row.note, []).append(row.what)
        said = [f"unknown of {', '.join(whats)}: {reason}" for reason, whats in reasons.items()]
        said += [f"{', '.join(whats)}: {note}" for note, whats in notes.items()]
        untimed: dict[str, list[str]] = {}
        for row in self.rows:
            if row.state != "cached" and row.seconds is None:
                untimed.setdefault(_why_untimed(row), []).append(row.what)
        said += [f"time is not foretold of {_few(whats)}: {why}" for why, whats in untimed.items()]
        if any(row.state == "cached" and row.seconds for row in self.rows):
            said.append("Seconds of what is cached are those that it took: it is there, and takes nothing.")
        return ["", *said, *self.notes] if said or self.notes else []


def _few(whats: list[str]) -> str:
    """Names, the first ones of many."""
    return ", ".join(whats) if len(whats) <= 5 else f"{', '.join(whats[:3])} and {len(whats) - 3} more"


def _why_untimed(row: Expense) -> str:
    """Why a row has no seconds."""
    if row.calls != 0:
        return "a server answers at a pace of its own"
    if row.tokens_in == row.tokens_out == 0:
        return "no model is run and nothing is asked: seconds, or a few minutes where there are many steps"
    return "nothing like it has run in this study yet (mechcot plan STUDY: by the cost model)"


def _sum(amounts: Iterable[float | None], name: str) -> float | None:
    found = list(amounts)
    known = [amount for amount in found if amount is not None]
    if len(known) < len(found):
        return None
    return max(known, default=0) if name == "memory" else sum(known)


def _told(name: str, amounts: list[float | None]) -> bool:
    known = [amount for amount in amounts if amount]
    return bool(known) or (name not in _SELDOM_KNOWN and None in amounts)


def _count(n: int | None) -> str:
    return "unknown" if n is None else f"{n:,}"


def _amount(name: str, amount: float | None) -> str:
    if amount is None:
        return "unknown"
    if name in ("disk", "memory"):
        return f"{amount / 1e6:,.{0 if amount >= 1e7 else 1}f} MB" if amount else "0"
    if name == "money":
        return f"{amount:,.2f}"
    return f"{amount:.1f}" if name == "seconds" and 0 < amount < 10 else f"{amount:,.0f}"
