"""The HTTP side of the local server: /v1/chat/completions, /v1/models, /health, on the loopback."""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from mechcot.core.errors import MechcotError, ModelError, UsageError
from mechcot.core.settings import ArmSettings
from mechcot.models.checkpoint import load, local_folder
from mechcot.serving.decode import Completion, Decoder, Prepared
from mechcot.serving.request import MOST_CHOICES, read_request

log = logging.getLogger("mechcot")

_LARGEST_BODY = 16 * 2**20

Job = tuple[Prepared, "Future[Completion]"]


class LocalServer:
    """Serves while the block runs. Requests that wait are decoded together, 16 rows at a time.

    Attributes:
        model: the name that requests must use.
    """

    def __init__(self, decoder: Decoder, model: str, *, port: int = 0) -> None:
        self.model = model
        self._decoder = decoder
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self._number = 0
        self._lock = threading.Lock()
        try:
            self._http = _Http(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise UsageError(
                f"port {port} cannot be used: {error.strerror}. Name another with --port, or 0 for any"
            ) from error
        self._http.owner = self
        self._threads = [
            threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True),
            threading.Thread(target=self._work, daemon=True),
        ]

    @classmethod
    def load(cls, model: str, *, port: int = 0, device: str = "auto") -> LocalServer:
        """A server of a checkpoint.

        Args:
            model: its folder, or OWNER/NAME on the Hub.
            port: of the loopback; 0: any free one.
            device: `cpu`, `cuda`, ... or `auto`.

        Raises:
            ModelError: the checkpoint cannot be loaded.
            MissingDependency: torch, transformers or llguidance is not installed.
            UsageError: the port cannot be used.
        """
        checkpoint = load(ArmSettings(model=model), local_folder(model), device)
        return cls(Decoder(checkpoint), Path(model).name if Path(model).is_dir() else model, port=port)

    @property
    def url(self) -> str:
        """What a judge file names as base_url."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> LocalServer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._jobs.put(None)
        self._threads[1].join()

    def wait(self) -> None:
        """Serve until Ctrl-C."""
        with suppress(KeyboardInterrupt):
            self._threads[0].join()

    def answer(self, body: bytes) -> dict[str, Any]:
        """The chat completion that a request's body asks for.

        Raises:
            UsageError: the request cannot be answered as it is.
            ModelError: the model cannot answer it.
        """
        request = read_request(body)
        if request.model != self.model:
            raise UsageError(f"model: this server serves '{self.model}', not '{request.model}'")
        prepared = self._decoder.prepare(request)
        future: Future[Completion] = Future()
        self._jobs.put((prepared, future))
        done = future.result()
        with self._lock:
            self._number += 1
            number = self._number
        usage = {"prompt_tokens": len(prepared.prompt_ids), "completion_tokens": done.completion_tokens}
        return {
            "id": f"chatcmpl-{number}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self.model,
            "choices": [
                {"index": i, "message": {"role": "assistant", "content": text}, "finish_reason": reason}
                for i, (text, reason) in enumerate(zip(done.texts, done.finish_reasons, strict=True))
            ],
            "usage": usage | {"total_tokens": sum(usage.values())},
        }

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            batch = [job]
            rows = job[0].request.n
            while rows < MOST_CHOICES:
                try:
                    more = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    self._jobs.put(None)
                    break
                batch.append(more)
                rows += more[0].request.n
            self._decode(batch)

    def _decode(self, batch: list[Job]) -> None:
        try:
            found = self._decoder.complete([prepared for prepared, _ in batch])
        except Exception as error:  # whoever waits for an answer must get one
            if not isinstance(error, MechcotError):
                log.exception("the local server could not decode a batch of %d requests", len(batch))
            for _, future in batch:
                future.set_exception(ModelError(f"{type(error).__name__}: {error}"))
            return
        for (_, future), completion in zip(batch, found, strict=True):
            future.set_result(completion)


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    owner: LocalServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16  # head and body leave together
    server: _Http

    def do_GET(self) -> None:
        """Say that the server lives, or which model it serves."""
        if self.path == "/health":
            self._send(200, {"status": "ok"})
        elif self.path == "/v1/models":
            model = {"id": self.server.owner.model, "object": "model", "owned_by": "local"}
            self._send(200, {"object": "list", "data": [model]})
        else:
            self._refuse(404, f"there is no {self.path}; there are /health, /v1/models, /v1/chat/completions")

    def do_POST(self) -> None:
        """Answer a chat request."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > _LARGEST_BODY:
            self.close_connection = True
            self._refuse(413, f"a body of a stated length of at most {_LARGEST_BODY} bytes is needed")
            return
        body = self.rfile.read(int(length))
        if self.path != "/v1/chat/completions":
            self._refuse(404, f"there is no {self.path}; there is /v1/chat/completions")
            return
        try:
            self._send(200, self.server.owner.answer(body))
        except UsageError as error:
            self._refuse(400, str(error))
        except MechcotError as error:
            self._refuse(500, str(error))

    def _refuse(self, status: int, message: str) -> None:
        kind = "invalid_request_error" if status < 500 else "server_error"
        self._send(status, {"error": {"message": message, "type": kind}})

    def _send(self, status: int, value: dict[str, Any]) -> None:
        payload = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: they hold traces."""
