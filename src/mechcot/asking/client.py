"""Calls to a server: bounded, retried, every fault counted, the key kept out of sight."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from mechcot.asking.addresses import Address, Addresses
from mechcot.asking.dialects import DIALECTS, WALK
from mechcot.asking.exchange import Exchange, Failure
from mechcot.asking.forms import Form, ItemT, Message, Read
from mechcot.asking.identity import Check
from mechcot.asking.replies import Reply, read_object
from mechcot.asking.server_file import Server
from mechcot.asking.spending import Ledger, dearest, paid
from mechcot.core.errors import JudgeError

log = logging.getLogger("mechcot")

_LONGEST_WAIT = 600.0
_GRACE = 60.0
"""Seconds that further addresses have for their start-up call once one has answered."""

# The start-up calls: the words ask for one thing, the schema allows another only.
_CHECK_WORDS = 'Reply with the JSON object {"word": "free"} and nothing else.'
_CHECK_SCHEMA = {
    "type": "object",
    "properties": {"word": {"type": "string", "enum": ["forced"]}},
    "required": ["word"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Told:
    """What a call says beside its item: which sample it is, and the dialect of its schema."""

    sample: int
    dialect: str


Count = Callable[[str], None]

_LOST = ("server_error", "timeout", "connection")  # of several addresses, one that does so is set aside
_TRANSIENT = ("rate_limited", *_LOST)
_SAYS_NOTHING = ("rate_limited", "timeout", "connection", "http_403")  # of a dialect


@dataclass
class _Call:
    """A request on its way; `failed`: addresses that did not answer it."""

    request: dict[str, Any]
    sent: Sequence[Message]
    read: Read
    sending: Callable[[], None] = lambda: None
    only: Address | None = None
    """The one address that it is for; None: whichever is least busy."""
    failed: set[Address] = field(default_factory=set)


class Client:
    """A server. Use it as an async context; `ask` may run many times at once.

    Args:
        server: whom to ask, and how.
        key: of the server; None: it takes none.
        ledger: where money is set aside and booked.
        count: told the kind of every fault.

    Attributes:
        ending: set when the run has failed: calls under way are paid for and heard to their end, and nothing
            further is sent.
    """

    def __init__(self, server: Server, key: str | None, ledger: Ledger, count: Count) -> None:
        self._server = server
        self._ledger = ledger
        self._count = count
        self._exchange = Exchange(server, key)
        self._addresses = Addresses(server.addresses, server.endpoints)
        self._check: Check | None = None
        self._trying: set[asyncio.Task[None]] = set()
        self.ending = asyncio.Event()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await _cancelled(self._trying)
        await self._exchange.close()

    async def ask(
        self,
        form: Form[ItemT, Any],
        item: ItemT,
        again: bool,
        told: Told,
        sending: Callable[[], None],
    ) -> Reply | Failure:
        """One call, asked again where the server is busy, failing, slow or out of reach.

        Args:
            form: of the call.
            item: that it is about.
            again: whether it is asked for once more, after a reply that could not be read.
            told: which sample, and in which dialect the server is told the schema of a reply.
            sending: called right before anything goes out.

        Raises:
            JudgeError: it does not fit the budget.
        """
        parameters = {**self._server.parameters(told.sample), **form.more(item)}
        request = self._server.request(form.messages(item, again), parameters)
        request |= DIALECTS[told.dialect](form.name, form.schema)
        call = _Call(request, form.messages(item, again), form.body, sending)
        return await self._ask(call, dict.fromkeys(_TRANSIENT, self._server.max_retries))

    def distrust(self, reply: Reply) -> None:
        """Set aside the address that gave a reply by another model, where there are others."""
        self._lose(self._addresses.at(reply.endpoint), f"it answers as '{reply.returned_model}'")

    # --- the start-up calls -----------------------------------------------------------------

    async def check(self, known: str | None = None) -> Check | Failure:
        """The start-up calls: which model answers, and in which dialect the server enforces a schema.

        A file that asks for `json_schema` has the dialects walked until one is enforced, whatever
        the server says to the others. Where none is, the schema is sent as the file has it if the server
        takes that, and else not at all. All addresses are asked at once and must be found alike; those that
        do not answer are set aside.

        Args:
            known: a dialect that was settled on before: it is tried first, and kept if it is accepted.

        Raises:
            JudgeError: it does not fit the budget.
        """
        asked = {asyncio.create_task(self._walk(one, known)): one for one in self._addresses}
        found: dict[Address, Check | Failure] = {}
        pending = set(asked)
        try:
            while pending:
                one_is_there = any(isinstance(one, Check) for one in found.values())
                done, pending = await asyncio.wait(
                    pending, timeout=_GRACE if one_is_there else None, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    break
                found |= {asked[task]: task.result() for task in done}
        finally:
            await _cancelled(pending)
        return self._compared(found)

    def _compared(self, found: Mapping[Address, Check | Failure]) -> Check | Failure:
        """What the addresses were found to be, if they are alike."""
        first = self._addresses.pick()
        for address in self._addresses:
            late = Failure("timeout", f"{address.endpoint}: no answer to the start-up call in {_GRACE:g} s")
            one = found.get(address, late)
            if isinstance(one, Failure):
                if len(self._addresses) == 1 or one.kind not in _TRANSIENT:
                    return one
                self._lose(address, one.reason)
            elif self._check is None:
                self._check, first, address.known = one, address, True
            elif one == self._check:
                address.known = True
            else:
                unlike = f"{first.endpoint} {_told(self._check)}, {address.endpoint} {_told(one)}"
                return Failure("unlike", f"{unlike}: all addresses must serve one and the same", final=True)
        return self._check or Failure("connection", self._addresses.reasons())

    async def _walk(self, address: Address, known: str | None) -> Check | Failure:
        walk = WALK if self._server.response_format == "json_schema" else (self._server.response_format,)
        names = [name for name in walk if name == known] + [name for name in walk if name != known]
        accepted: list[Check] = []
        for name in names:
            last = name == names[-1]
            # A server error may be all that a server says to a dialect that it does not know, and
            # nobody waits for a server that is not there.
            once = min(1, self._server.max_retries)
            most = dict.fromkeys(_TRANSIENT, self._server.max_retries) | {"connection": once}
            reply = await self._ask(
                self._probe(address, name), most if last else most | {"server_error": once}
            )
            if isinstance(reply, Failure):
                if reply.final or reply.kind in _SAYS_NOTHING or (last and not accepted):
                    return reply
                continue
            found = self._as_check(reply, name)
            if found.enforces_schema or name == known or self._server.response_format != "json_schema":
                return found
            accepted.append(found)
        own = [check for check in accepted if check.dialect == self._server.response_format]
        return own[0] if own else accepted[-1]

    def _probe(self, address: Address, dialect: str) -> _Call:
        sent = [{"role": "user", "content": _CHECK_WORDS}]
        request = self._server.request(sent, self._server.check_parameters())
        request |= DIALECTS[dialect]("check", _CHECK_SCHEMA)
        return _Call(request, sent, self._server.read_check, only=address)

    def _as_check(self, reply: Reply, dialect: str) -> Check:
        if self._server.response_format != "json_schema":
            return Check(reply.returned_model, None, dialect)
        return Check(reply.returned_model, read_object(reply.text) == {"word": "forced"}, dialect)

    # --- several addresses ------------------------------------------------------------------

    def _lose(self, address: Address, why: str) -> None:
        """Set an address aside, where there are others."""
        if len(self._addresses) == 1 or address.why is not None:
            return
        self._addresses.set_aside(address, why)
        left = sum(one.why is None for one in self._addresses)
        log.warning(
            "%s %s: %s is set aside and tried again later (%s); %d of %d addresses are left",
            *(self._server.role, self._server.model, address.endpoint, why, left, len(self._addresses)),
        )

    def _take_back(self, address: Address) -> None:
        if self._addresses.take_back(address):
            log.info("%s %s: %s answers again", self._server.role, self._server.model, address.endpoint)

    def _try_again(self) -> None:
        """Ask the addresses that were set aside long enough, beside the calls under way."""
        for address in self._addresses.due():
            task = asyncio.create_task(self._tried(address))
            self._trying.add(task)
            task.add_done_callback(self._trying.discard)

    async def _tried(self, address: Address) -> None:
        """Take an address back if it answers, and as the others do."""
        assert self._check is not None
        assert self._check.dialect is not None
        try:
            reply = await self._attempt(self._probe(address, self._check.dialect))
        except JudgeError as error:  # no money is left for it
            reply = Failure("not_sent", str(error))
        if isinstance(reply, Failure):
            self._addresses.set_aside(address, reply.reason)
            return
        found = self._as_check(reply, self._check.dialect)
        if found == self._check:
            address.known = True
            self._take_back(address)
            return
        self._addresses.set_aside(address, f"it {_told(found)}", for_good=True)
        log.warning(
            "%s %s: %s is asked no more: it %s, the others %s",
            *(self._server.role, self._server.model, address.endpoint, _told(found), _told(self._check)),
        )

    def _note(self, call: _Call, address: Address, found: Reply | Failure) -> None:
        """What an attempt says of its address."""
        if isinstance(found, Reply):
            if call.only is None and self._check and found.returned_model == self._check.returned_model:
                address.losses = 0
                self._take_back(address)
            return
        wait = found.wait or 0.0
        if found.kind == "rate_limited" and wait <= _LONGEST_WAIT:
            until = asyncio.get_running_loop().time() + wait
            address.silent_until = max(address.silent_until, until)
        if found.kind in _TRANSIENT:
            call.failed.add(address)
            if call.only is None and (found.kind in _LOST or wait > _LONGEST_WAIT):
                self._lose(address, found.reason)

    def _has_another(self, call: _Call, found: Failure) -> bool:
        """Whether an address answers that this call has not met."""
        left = [one for one in self._addresses if one.known and one.why is None and one not in call.failed]
        return call.only is None and found.kind in _TRANSIENT and bool(left)

    def _last(self, call: _Call, found: Failure) -> Failure:
        """How a call failed; where no address answers, why none does."""
        every = call.only is None and len(self._addresses) > 1 and self._addresses.none_answers
        return Failure(found.kind, self._addresses.reasons()) if every and found.kind in _LOST else found

    # --- a call -----------------------------------------------------------------------------

    async def _ask(self, call: _Call, most: Mapping[str, int]) -> Reply | Failure:
        """Send a call, and again where that may help.

        Args:
            call: what is sent.
            most: retries, by the kind of failure.
        """
        retries, broken = 0, 0
        while True:
            found = await self._attempt(call)
            if isinstance(found, Reply):
                return found
            if found.kind == "not_sent":
                return found
            self._count(found.kind)
            if found.kind == "no_completion" and not broken:
                broken = 1  # the server may have been paid for it: once more, not time and again
            elif self._has_another(call, found):
                continue
            elif retries < most.get(found.kind, 0):
                if not await self._wait(found, retries):
                    return self._last(call, found)
                retries += 1
            else:
                return self._last(call, found)

    async def _attempt(self, call: _Call) -> Reply | Failure:
        """Send a request once, its money set aside before and booked after."""
        self._try_again()
        loop = asyncio.get_running_loop()
        while (left := self._to(call).silent_until - loop.time()) > 0 and not self.ending.is_set():
            await self._pause(left)
        if self.ending.is_set():
            return Failure("not_sent", "the run had failed before the call was sent")
        choices = int(call.request.get("n", 1))
        most = dearest(self._server, call.sent, choices)
        await self._ledger.admit(most)
        charged = most  # for what ends without a word on what it took, cancelled calls included
        address = self._to(call)
        address.busy += 1
        address.sent += 1
        try:
            call.sending()
            found = await self._exchange.send(address, call.request, call.read)
            if isinstance(found, Reply):
                charged = paid(self._server, call.sent, found, choices)
                self._ledger.uncounted += not found.counted
            elif found.kind not in ("timeout", "connection", "no_completion"):
                charged = 0.0
        finally:
            address.busy -= 1
            self._ledger.book(most, charged)
        self._note(call, address, found)
        return found

    def _to(self, call: _Call) -> Address:
        return call.only or self._addresses.pick(call.failed)

    async def _wait(self, failure: Failure, retries: int) -> bool:
        """Wait before a call is sent again; whether it shall be."""
        if failure.wait is None:
            await self._pause(min(0.5 * 2.0**retries, 8.0) * random.uniform(0.75, 1.0))
            return True
        if failure.wait > _LONGEST_WAIT:
            return False
        await self._pause(failure.wait)
        return True

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.ending.wait()


def _told(check: Check) -> str:
    """What an address was found to be."""
    holds = {None: "", True: f", held to a schema as {check.dialect}", False: ", held to no schema"}
    return f"answers as '{check.returned_model}'{holds[check.enforces_schema]}"


async def _cancelled(tasks: set[asyncio.Task[Any]]) -> None:
    """End tasks."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)
