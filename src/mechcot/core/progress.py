"""How far long work has come: a bar on a terminal, a line in the log elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

log = logging.getLogger("mechcot")
Item = TypeVar("Item")

SELDOM = 60.0
"""Seconds between two lines of one piece of work in a log."""


def on_terminal() -> bool:
    """Whether somebody watches: bars may be drawn over one another."""
    return sys.stderr.isatty()


class Progress:
    """Counted work under way, as a context manager.

    On a terminal a bar with rate and time left. Elsewhere, as in a log file, never a carriage return: a line
    when another tenth is done, at most one in `every` seconds, and one after ten times as long in any case.

    Attributes:
        n: how much is done.
        total: how much there is.
    """

    def __init__(
        self,
        name: str,
        total: int,
        unit: str,
        *,
        shown: bool = True,
        done: int = 0,
        every: float | None = None,
    ) -> None:
        """Begin.

        Args:
            name: what is being done.
            total: how much there is to do.
            unit: what is counted, in the singular.
            shown: False for nothing at all.
            done: how much was done before.
            every: seconds between two lines in a log, 0 for a line at each tenth; None: `SELDOM`.
        """
        self.name, self.total, self.unit, self.n = name, total, unit, done
        self._every = SELDOM if every is None else every
        self._log = shown and not on_terminal()
        self._tenth, self._told = self._tenths(), time.monotonic()
        self._bar = tqdm(
            total=total,
            initial=done,
            desc=name,
            unit=unit,
            unit_scale=total >= 100_000,
            disable=not shown or self._log,
        )

    def __enter__(self) -> Progress:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the bar."""
        self._bar.close()

    def update(self, more: int = 1, **values: float) -> None:
        """Note that more is done, with values that are worth seeing, such as a loss."""
        self.n += more
        if values:
            self._bar.set_postfix({name: f"{value:.3f}" for name, value in values.items()}, refresh=False)
        self._bar.update(more)
        waited = time.monotonic() - self._told
        due = waited >= self._every if self._tenths() > self._tenth else 0 < 10 * self._every <= waited
        if self._log and due:
            self._tenth, self._told = self._tenths(), time.monotonic()
            said = "".join(f", {name} {value:.3f}" for name, value in values.items())
            log.info("%s: %d %% (%d of %d %ss)%s", *self._done(), said)

    def over(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, each counted when the next is asked for."""
        for item in items:
            yield item
            self.update()

    def back_to(self, n: int, total: int) -> None:
        """Work that has to be done again, perhaps in other pieces."""
        self.n, self.total = n, total
        self._bar.n, self._bar.total = n, total

    def _tenths(self) -> int:
        return 10 * self.n // self.total if self.total else 10

    def _done(self) -> tuple[Any, ...]:
        return self.name, 100 * self.n // max(self.total, 1), self.n, self.total, self.unit
