"""The addresses of one server: a call goes to the least busy; one that fails is set aside for a while."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from math import inf

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds until an address that was set aside is tried again, doubled each time until it gives a reply."""


@dataclass(eq=False)
class Address:
    """An address, and how it fares."""

    url: str
    """As the file has it."""
    endpoint: str
    """Host, port and path."""
    busy: int = 0
    """Calls under way."""
    sent: int = 0
    """Calls so far."""
    why: str | None = None
    """Why it is set aside; None: it is not."""
    known: bool = False
    """Whether a start-up call found that it serves the model that the others serve."""
    losses: int = 0
    """How often it was set aside since its last reply."""
    again: float = inf
    """When it is tried again, by `time.monotonic`."""
    silent_until: float = 0.0
    """It asks for no call before, by `time.monotonic`."""


class Addresses:
    """All addresses of a server, which serve one model.

    Args:
        urls: as the file has them.
        endpoints: of each, in the same order.
    """

    def __init__(self, urls: Sequence[str], endpoints: Sequence[str]) -> None:
        self._all = [Address(url, endpoint) for url, endpoint in zip(urls, endpoints, strict=True)]

    def __iter__(self) -> Iterator[Address]:
        return iter(self._all)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._all)

    def pick(self, failed: Collection[Address] = ()) -> Address:
        """The least busy of those that answer; where none does, of all that did.

        Args:
            failed: addresses at which the call failed already: others go before them.
        """
        now = time.monotonic()

        def order(one: Address) -> tuple[object, ...]:
            return one.why is not None, one.silent_until > now, one in failed, one.busy, one.sent

        return min([one for one in self._all if one.known] or self._all, key=order)

    def at(self, endpoint: str) -> Address:
        """The address of an endpoint."""
        return next(one for one in self._all if one.endpoint == endpoint)

    def set_aside(self, address: Address, why: str, *, for_good: bool = False) -> None:
        """No call goes to an address for a while, longer each time; or never again."""
        pause = min(FIRST_PAUSE * 2.0**address.losses, LONGEST_PAUSE)
        address.losses = min(address.losses + 1, 16)
        address.why, address.again = why, inf if for_good else time.monotonic() + pause

    def take_back(self, address: Address) -> bool:
        """An address answers; whether it was set aside until now."""
        was = address.why is not None
        address.why, address.again = None, inf
        return was

    def due(self) -> list[Address]:
        """Those that are to be tried again now; each is named once."""
        now = time.monotonic()
        found = [one for one in self._all if one.again <= now]
        for one in found:
            one.again = inf
        return found

    @property
    def none_answers(self) -> bool:
        """Whether all are set aside."""
        return all(one.why is not None for one in self._all)

    def reasons(self) -> str:
        """Why no address answers, each with its own reason."""
        whys = [(one.endpoint, one.why or "") for one in self._all]
        told = "; ".join(why if endpoint in why else f"{endpoint}: {why}" for endpoint, why in whys)
        return f"none of {len(self)} addresses answers ({told})"
