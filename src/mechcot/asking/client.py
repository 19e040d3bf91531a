"""Calls to a server: bounded, retried, every fault counted, the key kept out of sight."""

from __future__ import annotations

import asyncio
import logging
import random
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from mechcot.asking.bodies import Trouble
from mechcot.asking.dialects import DIALECTS, WALK
from mechcot.asking.forms import Form, ItemT, Message, Read
from mechcot.asking.identity import Check
from mechcot.asking.redaction import redactor, writable
from mechcot.asking.replies import Reply, read_object
from mechcot.asking.server_file import Server
from mechcot.asking.spending import Ledger, dearest, paid
from mechcot.core.errors import MissingDependency
from mechcot.core.text import escaped

_REFUSALS = {
    401: "did not accept the key",
    403: "refused access",
    404: "does not know the address or the model",
}
_FINAL = (401, 404)  # a 403 may concern the content of one step only
_LONGEST_WAIT = 600.0
_LONGEST_NAME = 200

# The start-up calls: the words ask for one thing, the schema allows another only.
_CHECK_WORDS = 'Reply with the JSON object {"word": "free"} and nothing else.'
_CHECK_SCHEMA = {
    "type": "object",
    "properties": {"word": {"type": "string", "enum": ["forced"]}},
    "required": ["word"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Failure:
    """A call that got no reply.

    Attributes:
        kind: what happened, in a word, for counting.
        reason: what happened, without the key.
        final: every other call would fare the same.
        wait: seconds that the server asks to wait; None: it does not say.
    """

    kind: str
    reason: str
    final: bool = False
    wait: float | None = None


@dataclass(frozen=True)
class Told:
    """What a call says beside its item: which sample it is, and the dialect of its schema."""

    sample: int
    dialect: str


Count = Callable[[str], None]

_TRANSIENT = ("rate_limited", "server_error", "timeout", "connection")
_SAYS_NOTHING = ("rate_limited", "timeout", "connection", "http_403")  # of a dialect


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
        try:
            import httpx2
        except ImportError as error:
            raise MissingDependency("httpx2", "judge") from error
        self._server = server
        self._ledger = ledger
        self._count = count
        self._redact = redactor(key)
        self._silent_until = 0.0
        self.ending = asyncio.Event()
        headers = {"Accept": "application/json", "Accept-Encoding": "gzip"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        for library in ("httpx2", "httpcore2"):  # they log what a server says, and the key where it says it
            logging.getLogger(library).setLevel(logging.WARNING)
        # A redirect would carry question, answer and step to a host that the file does not name. The
        # deadline of a call is kept here: a timeout of the library is one of each read.
        self._http = httpx2.AsyncClient(
            headers=headers,
            follow_redirects=False,
            timeout=None,
            limits=httpx2.Limits(max_connections=None),
        )

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

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
        return await self._ask(request, form.messages(item, again), form.body, sending)

    async def check(self, known: str | None = None) -> Check | Failure:
        """The start-up calls: which model answers, and in which dialect the server enforces a schema.

        A file that asks for `json_schema` has the dialects walked until one is enforced, whatever
        the server says to the others. Where none is, the schema is sent as the file has it if the server
        takes that, and else not at all.

        Args:
            known: a dialect that was settled on before: it is tried first, and kept if it is accepted.

        Raises:
            JudgeError: it does not fit the budget.
        """
        walk = WALK if self._server.response_format == "json_schema" else (self._server.response_format,)
        names = [name for name in walk if name == known] + [name for name in walk if name != known]
        accepted: list[Check] = []
        for name in names:
            found = await self._probe(name, last=name == names[-1])
            if isinstance(found, Failure):
                if found.final or found.kind in _SAYS_NOTHING or (name == names[-1] and not accepted):
                    return found
            elif found.enforces_schema or name == known:
                return found
            else:
                accepted.append(found)
        own = [check for check in accepted if check.dialect == self._server.response_format]
        return own[0] if own else accepted[-1]

    async def _probe(self, dialect: str, *, last: bool) -> Check | Failure:
        sent = [{"role": "user", "content": _CHECK_WORDS}]
        request = self._server.request(sent, self._server.check_parameters())
        request |= DIALECTS[dialect]("check", _CHECK_SCHEMA)
        # A server error may be all that a server says to a dialect that it does not know.
        retries = self._server.max_retries if last else min(1, self._server.max_retries)
        read = self._server.read_check
        reply = await self._ask(request, sent, read, lambda: None, server_errors=retries)
        if isinstance(reply, Failure):
            return reply
        if self._server.response_format != "json_schema":
            return Check(reply.returned_model, None, dialect)
        return Check(reply.returned_model, read_object(reply.text) == {"word": "forced"}, dialect)

    async def _ask(
        self,
        request: dict[str, Any],
        sent: Sequence[Message],
        read: Read,
        sending: Callable[[], None],
        *,
        server_errors: int | None = None,
    ) -> Reply | Failure:
        most = dict.fromkeys(_TRANSIENT, self._server.max_retries)
        if server_errors is not None:  # a start-up call
            most["server_error"] = server_errors
            # Nobody waits for a server that is not there.
            most["connection"] = min(1, self._server.max_retries)
        retries, broken = 0, 0
        while True:
            found = await self._attempt(request, sent, read, sending)
            if isinstance(found, Reply):
                return found
            if found.kind == "not_sent":
                return found
            self._count(found.kind)
            if found.kind == "no_completion" and not broken:
                broken = 1  # the server may have been paid for it: once more, not time and again
            elif retries < most.get(found.kind, 0):
                if not await self._wait(found, retries):
                    return found
                retries += 1
            else:
                return found

    async def _attempt(
        self, request: dict[str, Any], sent: Sequence[Message], read: Read, sending: Callable[[], None]
    ) -> Reply | Failure:
        """Send a request once, its money set aside before and booked after."""
        loop = asyncio.get_running_loop()
        while (left := self._silent_until - loop.time()) > 0 and not self.ending.is_set():
            await self._pause(left)
        if self.ending.is_set():
            return Failure("not_sent", "the run had failed before the call was sent")
        choices = int(request.get("n", 1))
        most = dearest(self._server, sent, choices)
        await self._ledger.admit(most)
        charged = most  # for what ends without a word on what it took, cancelled calls included
        try:
            sending()
            found = await self._send(request, read)
            if isinstance(found, Reply):
                charged = paid(self._server, sent, found, choices)
                self._ledger.uncounted += not found.counted
            elif found.kind not in ("timeout", "connection", "no_completion"):
                charged = 0.0
        finally:
            self._ledger.book(most, charged)
        return found

    async def _send(self, request: dict[str, Any], read: Read) -> Reply | Failure:
        import httpx2

        try:
            async with asyncio.timeout(self._server.timeout):
                status, headers, body = await self._exchange(request)
        except (TimeoutError, httpx2.TimeoutException):
            return Failure("timeout", f"no whole answer within {self._server.timeout:g} s")
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            return Failure("connection", f"the connection failed ({type(error).__name__})")
        except _UnreadableBody as error:
            return Failure("no_completion", self._shown(str(error)))
        found = read(body)
        if status >= 300:
            if isinstance(found, Trouble) and found.status is not None:
                body = found.message
            return self._failure(status, body, headers)
        if isinstance(found, Trouble):
            if found.status is None:
                return Failure("no_completion", self._shown(found.message))
            return self._failure(found.status, f"an error in a body of 200: {found.message}", headers)
        return replace(
            found,
            text=self._redact(writable(found.text)),
            finish_reason=self._shown(found.finish_reason, _LONGEST_NAME),
            returned_model=self._shown(found.returned_model, _LONGEST_NAME),
        )

    async def _exchange(self, request: dict[str, Any]) -> tuple[int, Mapping[str, str], str]:
        """Status, headers and body of an answer, whose size and encoding are the server's choice."""
        address = f"{self._server.base_url}/{self._server.path}"
        async with self._http.stream("POST", address, json=request) as response:
            raw, encoding = bytearray(), response.headers.get("content-encoding", "identity")
            try:
                async for chunk in response.aiter_raw():
                    raw += chunk
                    if len(raw) > self._server.largest_body:
                        raise _UnreadableBody(f"the answer is larger than {self._server.largest_body} bytes")
                body = _decoded(bytes(raw), encoding, self._server.largest_body)
            except _UnreadableBody:
                if response.status_code < 300:
                    raise
                body = b""  # the status says enough
            return response.status_code, response.headers, body.decode("utf-8-sig", "replace")

    def _shown(self, text: str, most: int = 300) -> str:
        """What a server says, for a message: without the key, on one line, nothing in it unseen."""
        return escaped(self._redact(" ".join(text.split())))[:most]

    def _failure(self, status: int, body: str, headers: Mapping[str, str]) -> Failure:
        """What a server means that answers with a status, or with an error that has one."""
        if 300 <= status < 400:
            host = _host(self._redact(headers.get("location", "")))
            redirect = f"{self._server.endpoint} redirects to {self._shown(host)} (HTTP {status})"
            return Failure("redirected", f"{redirect}; redirects are not followed", final=True)
        if status in _REFUSALS:
            # These bodies like to repeat the key, whole or in part; the status says enough.
            refusal = f"{self._server.endpoint} {_REFUSALS[status]} (HTTP {status})"
            return Failure(f"http_{status}", refusal, status in _FINAL)
        reason = f"HTTP {status}: {self._shown(body)}"
        if status == 429:
            return Failure("rate_limited", reason, wait=_seconds(headers.get("retry-after")))
        if status in (408, 409) or status >= 500:
            return Failure("server_error", reason, wait=_seconds(headers.get("retry-after")))
        return Failure(f"http_{status}", reason)

    async def _wait(self, failure: Failure, retries: int) -> bool:
        """Wait before a call is sent again; whether it shall be."""
        if failure.wait is None:
            await self._pause(min(0.5 * 2.0**retries, 8.0) * random.uniform(0.75, 1.0))
            return True
        if failure.wait > _LONGEST_WAIT:
            return False
        if failure.kind == "rate_limited":  # it holds for all calls
            until = asyncio.get_running_loop().time() + failure.wait
            self._silent_until = max(self._silent_until, until)
        await self._pause(failure.wait)
        return True

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.ending.wait()


class _UnreadableBody(Exception):
    """An answer's body is too large, or encoded in a way that was not asked for."""


def _decoded(raw: bytes, encoding: str, most: int) -> bytes:
    """A body without its compression, which may blow it up a thousand times.

    Raises:
        _UnreadableBody: it cannot be unpacked, or not into so little.
    """
    if encoding.lower() in ("", "identity"):
        return raw
    if encoding.lower() not in ("gzip", "x-gzip"):
        raise _UnreadableBody(f"the answer's encoding is '{encoding}', which was not asked for")
    try:
        body = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(raw, most + 1)
    except zlib.error as error:
        raise _UnreadableBody(f"the answer is no gzip: {error}") from None
    if len(body) > most:
        raise _UnreadableBody(f"the answer unpacks to more than {most} bytes")
    return body


def _host(location: str) -> str:
    """The host that a redirect names."""
    try:
        return urlsplit(location).hostname or "another address of its own"
    except ValueError:
        return "an address that cannot be read"


def _seconds(retry_after: str | None) -> float | None:
    """A `Retry-After` header in seconds: a number, or a date."""
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            date = parsedate_to_datetime(retry_after)
            date = date if date.tzinfo else date.replace(tzinfo=UTC)
            seconds = (date - datetime.now(UTC)).total_seconds()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if seconds == seconds else None
