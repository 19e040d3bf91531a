"""One request to one address and what comes back, in words that hold no key."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from mechcot.asking.addresses import Address
from mechcot.asking.bodies import Trouble
from mechcot.asking.forms import Read
from mechcot.asking.redaction import redactor, writable
from mechcot.asking.replies import Reply
from mechcot.asking.server_file import Server
from mechcot.core.errors import MissingDependency
from mechcot.core.text import escaped

_REFUSALS = {
    401: "did not accept the key",
    403: "refused access",
    404: "does not know the address or the model",
}
_FINAL = (401, 404)  # a 403 may concern the content of one step only
_LONGEST_NAME = 200


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


class Exchange:
    """The way to a server: connections, time limits, sizes, and its key, which no message repeats.

    Args:
        server: whom to ask.
        key: of the server, for all its addresses; None: it takes none.
    """

    def __init__(self, server: Server, key: str | None) -> None:
        try:
            import httpx2
        except ImportError as error:
            raise MissingDependency("httpx2", "judge") from error
        self._server = server
        self._redact = redactor(key)
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

    async def close(self) -> None:
        """End the connections."""
        await self._http.aclose()

    async def send(self, address: Address, request: dict[str, Any], read: Read) -> Reply | Failure:
        """Send a request once. Of several addresses, a failure names its own.

        Args:
            address: where to.
            request: the body.
            read: what makes a reply of the answer's body.
        """
        found = await self._sent(address, request, read)
        if isinstance(found, Reply):
            return replace(found, endpoint=address.endpoint)
        if len(self._server.addresses) > 1 and address.endpoint not in found.reason:
            return replace(found, reason=f"{address.endpoint}: {found.reason}")
        return found

    async def _sent(self, address: Address, request: dict[str, Any], read: Read) -> Reply | Failure:
        import httpx2

        try:
            async with asyncio.timeout(self._server.timeout):
                status, headers, body = await self._exchange(address, request)
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
            return self._failure(address, status, body, headers)
        if isinstance(found, Trouble):
            if found.status is None:
                return Failure("no_completion", self._shown(found.message))
            return self._failure(
                address, found.status, f"an error in a body of 200: {found.message}", headers
            )
        return replace(
            found,
            text=self._redact(writable(found.text)),
            finish_reason=self._shown(found.finish_reason, _LONGEST_NAME),
            returned_model=self._shown(found.returned_model, _LONGEST_NAME),
        )

    async def _exchange(
        self, address: Address, request: dict[str, Any]
    ) -> tuple[int, Mapping[str, str], str]:
        """Status, headers and body of an answer, whose size and encoding are the server's choice."""
        async with self._http.stream("POST", f"{address.url}/{self._server.path}", json=request) as response:
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

    def _failure(self, address: Address, status: int, body: str, headers: Mapping[str, str]) -> Failure:
        """What a server means that answers with a status, or with an error that has one."""
        if 300 <= status < 400:
            host = _host(self._redact(headers.get("location", "")))
            redirect = f"{address.endpoint} redirects to {self._shown(host)} (HTTP {status})"
            return Failure("redirected", f"{redirect}; redirects are not followed", final=True)
        if status in _REFUSALS:
            # These bodies like to repeat the key, whole or in part; the status says enough.
            refusal = f"{address.endpoint} {_REFUSALS[status]} (HTTP {status})"
            return Failure(f"http_{status}", refusal, status in _FINAL)
        reason = f"HTTP {status}: {self._shown(body)}"
        if status == 429:
            return Failure("rate_limited", reason, wait=_seconds(headers.get("retry-after")))
        if status in (408, 409) or status >= 500:
            return Failure("server_error", reason, wait=_seconds(headers.get("retry-after")))
        return Failure(f"http_{status}", reason)


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
