"""A real HTTP server on the loopback that speaks /v1/chat/completions and answers by a script."""

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Call:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float

    @property
    def is_check(self) -> bool:
        """Whether it is the client's start-up call."""
        return self.user.startswith("Reply with the JSON object")

    @property
    def user(self) -> str:
        if "messages" in self.body:
            return self.body["messages"][-1]["content"]
        return str(self.body["prompt"])  # of a plain completion

    @property
    def step(self) -> str:
        """The text inside the step's fence."""
        return self.parts("STEP")[0]

    @property
    def form(self) -> str:
        """Which form it asks for, by the name of the schema sent along; "" without one."""
        return self.body.get("response_format", {}).get("json_schema", {}).get("name", "")

    def parts(self, name: str) -> list[str]:
        """The texts inside the fences of a name, in order."""
        tag = self.user.split("\n", 1)[0].removeprefix("Tag: ")
        fence = rf"^\[\[{name} {tag}\]\]\n(.*?)\n\[\[END {name} {tag}\]\]$"
        return re.findall(fence, self.user, re.M | re.S)


@dataclass
class Answer:
    """What the server does with a request."""

    content: str | None = None
    status: int = 200
    body: bytes | None = None  # instead of a chat completion
    headers: dict[str, str] = field(default_factory=dict)
    finish_reason: str = "stop"
    refusal: str | None = None
    model: str = "fixture-1"
    delay: float = 0.0
    reset: bool = False

    def payload(self) -> bytes:
        if self.body is not None:
            return self.body
        message = {"role": "assistant", "content": self.content, "refusal": self.refusal}
        return json.dumps(
            {
                "id": "c",
                "object": "chat.completion",
                "created": 0,
                "model": self.model,
                "choices": [{"index": 0, "message": message, "finish_reason": self.finish_reason}],
                "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
            }
        ).encode()


def verdict(label: str, reason: str = "because", **more: Any) -> Answer:
    return Answer(json.dumps({"reason": reason, "label": label}), **more)


class Loopback(ThreadingHTTPServer):
    """Serves while the block runs; `calls` holds every request, but for the start-up calls in `checks`."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(
        self, script: Callable[[Call], Answer], check: Callable[[Call], Answer] | None = None
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = script
        self.check = check or (lambda call: Answer('{"word": "forced"}'))
        self.calls: list[Call] = []
        self.checks: list[Call] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def __enter__(self) -> "Loopback":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """A client that was killed is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16  # head and body leave together

    def do_POST(self) -> None:
        server: Loopback = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        call = Call(self.path, {k.lower(): v for k, v in self.headers.items()}, body, time.monotonic())
        with server.lock:
            (server.checks if call.is_check else server.calls).append(call)
            server.in_flight += 1
            server.most_in_flight = max(server.most_in_flight, server.in_flight)
        answer = server.check(call) if call.is_check else server.script(call)
        time.sleep(answer.delay)
        with server.lock:
            server.in_flight -= 1
        if answer.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        payload = answer.payload()
        self.send_response(answer.status)
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        pass
