"""The local server's life: its port, its threads, what waits to be decoded, and its end."""

from __future__ import annotations

import asyncio
import json
import logging
import queue
import threading
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import cast

import h11
import uvicorn
from starlette.exceptions import HTTPException
from uvicorn.protocols.http.h11_impl import H11Protocol

from mechcot.core.errors import ModelError
from mechcot.core.keys import key_in
from mechcot.core.loopback import listening, wait_for_end
from mechcot.core.settings import ArmSettings
from mechcot.models.checkpoint import load, local_folder
from mechcot.serving.app import Chat, Limits, described
from mechcot.serving.decode import Completion, Decoder, Prepared
from mechcot.serving.request import MOST_CHOICES

log = logging.getLogger("mechcot")

_GRACE = 5.0
"""Seconds that a batch may go on when the server stops."""
_PATIENCE = 15
"""Seconds after which connections are ended then, whatever is under way."""


class LocalServer:
    """Serves on the loopback while the block runs. What waits is decoded together, 16 rows at a time.

    Args:
        decoder: of the model.
        model: the name that requests must use.
        port: of the loopback; 0: any free one.
        key: that requests must carry as a bearer token; None: none.
        limits: of what clients may take.

    Attributes:
        model: as above.
        url: what a judge file names as base_url.

    Raises:
        UsageError: the port cannot be used.
    """

    def __init__(
        self,
        decoder: Decoder,
        model: str,
        *,
        port: int = 0,
        key: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.model = model
        self._decoder = decoder
        self._waiting: queue.Queue[Prepared | None] = queue.Queue()
        self._batch: list[Prepared] = []
        self._socket, address = listening(port)
        self.url = f"{address}/v1"
        chat = Chat(decoder, model, key=key, limits=limits or Limits(), put=self._put)
        self._server = uvicorn.Server(
            uvicorn.Config(
                chat,
                http=_Connection,
                ws="none",
                loop="asyncio",
                lifespan="off",
                interface="asgi3",
                proxy_headers=False,
                server_header=False,
                access_log=False,  # requests are not logged: they hold traces
                log_config=None,
                log_level="error",
                timeout_graceful_shutdown=_PATIENCE,
            )
        )
        self._threads = [
            threading.Thread(target=self._server.run, args=([self._socket],), daemon=True),
            threading.Thread(target=self._work, daemon=True),
        ]

    @classmethod
    def load(
        cls, model: str, *, port: int = 0, device: str = "auto", api_key_env: str | None = None
    ) -> LocalServer:
        """A server of a checkpoint.

        Args:
            model: its folder, or OWNER/NAME on the Hub.
            port: of the loopback; 0: any free one.
            device: `cpu`, `cuda`, ... or `auto`.
            api_key_env: the environment variable that holds the key requests must carry; None: no key.

        Raises:
            ConfigError: that variable holds no key.
            ModelError: the checkpoint cannot be loaded.
            MissingDependency: torch, transformers or llguidance is not installed.
            UsageError: the port cannot be used.
        """
        instead = "Set it to the key that requests shall carry, or leave it out to take all requests"
        key = None if api_key_env is None else key_in(api_key_env, "--api-key-env", instead)
        checkpoint = load(ArmSettings(model=model), local_folder(model), device)
        name = Path(model).name if Path(model).is_dir() else model
        return cls(Decoder(checkpoint), name, port=port, key=key)

    def __enter__(self) -> LocalServer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        http, work = self._threads
        self._server.should_exit = True
        self._waiting.put(None)
        work.join(_GRACE)
        for prepared in self._batch:
            prepared.dropped = True
        work.join()
        for prepared in self._left():
            prepared.tell(_stopping())
        http.join()
        self._socket.close()

    def wait(self) -> None:
        """Serve until Ctrl-C (SIGINT) or SIGTERM."""
        wait_for_end(self._threads[0])

    def _put(self, prepared: Prepared) -> None:
        if self._server.should_exit:
            prepared.tell(_stopping())
        else:
            self._waiting.put(prepared)

    def _left(self) -> Iterator[Prepared]:
        """What waits now and is still waited for."""
        while not self._waiting.empty():
            prepared = self._waiting.get()
            if prepared is not None and not prepared.dropped:
                yield prepared

    def _work(self) -> None:
        while not self._server.should_exit:
            first = self._waiting.get()  # None: the server stops
            if first is None or first.dropped:
                continue
            self._batch = [first]
            waiting = self._left()
            while sum(prepared.request.n for prepared in self._batch) < MOST_CHOICES:
                if (more := next(waiting, None)) is None:
                    break
                self._batch.append(more)
            for prepared, news in zip(self._batch, self._decoded(self._batch), strict=True):
                prepared.tell(_stopping() if prepared.dropped and self._server.should_exit else news)

    def _decoded(self, batch: Sequence[Prepared]) -> Sequence[Completion | ModelError]:
        try:
            return self._decoder.complete(batch)
        except Exception as error:  # whoever waits for an answer must get one
            log.exception("the local server could not decode a batch of %d requests", len(batch))
            return [ModelError(f"{type(error).__name__}: {error}")] * len(batch)


def _stopping() -> HTTPException:
    return HTTPException(503, "the server is stopping")


class _Connection(H11Protocol):
    """uvicorn's connection, ended when a request's head does not come; refuses in OpenAI's form."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._limits: Limits = cast(Chat, self.config.app).limits
        if len(self.connections) > self._limits.connections:
            self._refuse(503, f"{self._limits.connections} connections are open: try again later")
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(self._limits.head_seconds, self._look)

    def _look(self) -> None:
        """End the connection if no request is under way, or if what was written to it is not taken."""
        if self.transport.is_closing() or self.cycle is None or self.cycle.response_complete:
            self.transport.abort()
        else:
            self._watch()

    def send_400_response(self, msg: str) -> None:  # uvicorn's answer to what is no HTTP
        self._refuse(400, "this is no HTTP request, or its head is too large")

    def _refuse(self, status: int, message: str) -> None:
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # a reply is under way
            self.transport.abort()
            return
        body = json.dumps(described(status, message)).encode()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        head = h11.Response(
            status_code=status, headers=list(headers.items()), reason=HTTPStatus(status).phrase
        )
        for event in (head, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
