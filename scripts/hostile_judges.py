"""Ask judges that misbehave in every known way, and write what came of it into docs/judges.md.

    python scripts/hostile_judges.py

Each server judges 12 steps. Of the steps that it is hostile about it answers the first call, or all calls, in
one hostile way, and everything else as a judge does. The key that it is sent is looked for in every byte that
mechcot wrote, raised or logged, in plain and in what servers make of it.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import logging
import os
import re
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from mechcot.asking.session import Session
from mechcot.core.errors import MechcotError
from mechcot.judging.judge_file import Judge
from mechcot.judging.llm import judge_by_llm
from mechcot.tasks import Question

PAGE = Path(__file__).parent.parent / "docs" / "judges.md"
BEGIN, END = "<!-- hostile_judges.py -->\n", "<!-- /hostile_judges.py -->\n"
KEY = "sk-hostile-7d1f" + "0123456789abcdef" * 2
STEPS, HOSTILE, TIMEOUT = 12, 3, 1.0
MB = 2**20

Chunks = AsyncIterator[bytes]

_BEARER = base64.b64encode(f"Bearer {KEY}".encode())
KEY_FORMS = (KEY.encode(), KEY.encode().hex().encode(), quote(KEY, safe="").encode(), _BEARER[12:-4])
"""As which a key can be found again; the middle of it in base64."""


@dataclass(frozen=True)
class Way:
    """A way to misbehave.

    Attributes:
        what: it is, for the table.
        answer: the bytes of its answer to a call, by the completion that a judge would give.
        always: to every call about a hostile step; else to the first one only.
        check: to the start-up call as well.
    """

    what: str
    answer: Callable[[dict[str, Any]], Chunks]
    always: bool = False
    check: bool = False


def _response(body: bytes, *lines: str, status: str = "200 OK", kind: str = "application/json") -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


def _once(make: Callable[[dict[str, Any]], bytes]) -> Callable[[dict[str, Any]], Chunks]:
    async def answer(completion: dict[str, Any]) -> Chunks:
        yield make(completion)

    return answer


async def _trickle(completion: dict[str, Any]) -> Chunks:
    """A blank every tenth of a second: no read ever waits long."""
    yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    while True:
        yield b" "
        await asyncio.sleep(0.1)


async def _slow_head(completion: dict[str, Any]) -> Chunks:
    for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Wait: 1\r\n" * 10_000:
        yield bytes([byte])
        await asyncio.sleep(0.02)


async def _nothing(completion: dict[str, Any]) -> Chunks:
    await asyncio.sleep(60)
    yield b""


async def _large(completion: dict[str, Any]) -> Chunks:
    yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    block = b" " * MB
    for _ in range(100):
        yield b"%x\r\n%s\r\n" % (len(block), block)
    yield b"0\r\n\r\n"


@cache
def _bomb() -> bytes:
    return _response(gzip.compress(bytes(100 * MB), 9), "Content-Encoding: gzip")


def _said(text: str, **more: Any) -> Callable[[dict[str, Any]], Chunks]:
    """A completion with another content."""

    def make(completion: dict[str, Any]) -> bytes:
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return _response(json.dumps({**completion, "choices": [choice], **more}).encode())

    return _once(make)


def _redirect(status: str) -> Callable[[dict[str, Any]], Chunks]:
    lines = ("Location: http://collector.invalid/v1/chat/completions",)
    return _once(lambda _: _response(b"", *lines, status=status))


def _escaped(text: str) -> str:
    """A text as JSON may write it, every character an escape."""
    return "".join(f"\\u{ord(letter):04X}" for letter in text)


def _echo(status: str) -> Callable[[dict[str, Any]], Chunks]:
    """The key in every field of a body, in plain and as servers code it."""
    coded = _BEARER.decode()
    body = json.dumps(
        {
            "error": {"message": f"Bearer {KEY} {coded} {KEY.encode().hex()}", "type": KEY, "code": KEY},
            "choices": [{"message": {"content": f"{KEY} {coded}"}, "finish_reason": KEY}],
            "model": KEY,
        }
    ).encode()
    return _once(lambda _: _response(body, f"X-Key: {KEY}", status=f"{status} {KEY}"))


_SAID = f"{KEY} {_BEARER.decode()} {KEY.encode().hex()}"
_CONTROL = {"reason": "\x1b[2J\x07fine\u202e", "label": "correct"}
WAYS = {
    "trickle": Way("a blank every 0.1 s, for ever", _trickle),
    "trickle, always": Way("the same, to every call", _trickle, always=True),
    "slow head": Way("headers byte by byte, for ever", _slow_head),
    "silence": Way("nothing", _nothing),
    "100 MB": Way("a body of 100 MB", _large),
    "gzip bomb": Way("100 MB of zeros in 100 KB of gzip", _once(lambda _: _bomb())),
    "gzip bomb, always": Way("the same, to every call", _once(lambda _: _bomb()), always=True),
    "unknown encoding": Way(
        "`Content-Encoding: br`", _once(lambda _: _response(b"\x0b\x02\x80{}\x03", "Content-Encoding: br"))
    ),
    "broken gzip": Way("no gzip", _once(lambda _: _response(b"{}", "Content-Encoding: gzip"))),
    "redirect": Way("307 to another host", _redirect("307 Temporary Redirect"), always=True),
    "redirect at the start": Way("302, the start-up call too", _redirect("302 Found"), check=True),
    "HTML": Way("200 with a page", _once(lambda _: _response(b"<html>busy</html>", kind="text/html"))),
    "HTML, always": Way(
        "the same, to every call",
        _once(lambda _: _response(b"<html>busy</html>", kind="text/html")),
        always=True,
    ),
    "gateway": Way(
        "502 with a page",
        _once(lambda _: _response(b"<html>", status="502 Bad Gateway", kind="text/html")),
    ),
    "cut": Way(
        "a body shorter than its length",
        _once(lambda _: b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\nConnection: close\r\n\r\n{"cho'),
    ),
    "no HTTP": Way("bytes that are no HTTP", _once(lambda _: b"\x16\x03\x01\x00\x00hello")),
    "deep JSON": Way("100,000 brackets", _once(lambda _: _response(b"[" * 100_000))),
    "half a character": Way("`\\ud800` as the reply", _said("\ud800")),
    "long fence": Way("a reply of 4 MB of backticks", _said("`" * 4 * MB + "x")),
    "control characters": Way(
        "escapes of a terminal in the reason", _said(json.dumps(_CONTROL)), always=True
    ),
    "model change": Way("a reply by another model", _said(json.dumps(_CONTROL), model="other")),
    "model change, always": Way(
        "the same, to every call", _said(json.dumps(_CONTROL), model="other"), always=True
    ),
    "long wait": Way(
        "429, `Retry-After: 1e9`",
        _once(lambda _: _response(b"{}", "Retry-After: 1e9", status="429 Too Many Requests")),
        always=True,
    ),
    "key echo, 200": Way("the key in every field", _echo("200 OK")),
    "key echo, verdict": Way(
        "the key in the reason of a verdict",
        _said(json.dumps({"reason": _SAID, "label": "correct"}), model="judge", system_fingerprint=KEY),
        always=True,
    ),
    "key echo, escaped": Way(
        "the same, every letter as `\\u0073`",
        _said(f'{{"reason": "{_escaped(_SAID)}", "label": "correct"}}'),
        always=True,
    ),
    "key echo, redirect": Way(
        "307 to a host named by the key",
        _once(
            lambda _: _response(
                b"", f"Location: http://{KEY}.invalid/{KEY}", status="307 Temporary Redirect"
            )
        ),
        always=True,
    ),
    "key echo, 400": Way("the same with a 400", _echo("400 Bad Request"), always=True),
    "key echo, 500": Way("the same with a 500", _echo("500 Internal Server Error")),
    "key echo, 401": Way("the same with a 401", _echo("401 Unauthorized"), check=True),
}  # fmt: skip


class Hostile:
    """A server on the loopback that misbehaves in one way while the block runs.

    Attributes:
        url: for a judge file.
        way: how it misbehaves; None: not any more.
        calls: how many it got about each step.
        given: steps whose verdict it gave.
    """

    def __init__(self, way: Way) -> None:
        self.way: Way | None = way
        self.calls: Counter[int] = Counter()
        self.given: set[int] = set()
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._talk, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Hostile:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        async def end() -> None:
            self._server.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
                said = json.loads(await reader.readexactly(length))["messages"][-1]["content"]
                async for chunk in self._answer(said):
                    writer.write(chunk)
                    await writer.drain()
                    if b"Connection: close" in chunk:
                        writer.close()

    def _answer(self, said: str) -> Chunks:
        if said.startswith("Reply with the JSON object"):
            good, hostile = _completion('{"word": "forced"}'), self.way is not None and self.way.check
        else:
            step = next(number for number in range(STEPS) if f"claim {number}." in said)
            good = _completion(json.dumps({"reason": f"of claim {step}", "label": "correct"}))
            self.calls[step] += 1
            hostile = step < HOSTILE and self.way is not None and (self.way.always or self.calls[step] == 1)
            if not hostile:
                self.given.add(step)
        if hostile and self.way is not None:
            return self.way.answer(good)
        return _once(lambda completion: _response(json.dumps(completion).encode()))(good)


def _completion(content: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    return {
        "model": "judge",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10},
    }


@dataclass(frozen=True)
class Outcome:
    """What came of a hostile judge.

    Attributes:
        verdicts: of `STEPS` steps.
        counted: what was met on the way, by kind.
        said: why steps have no verdict, or the error that ended the run.
        reasons: of the verdicts.
        seconds: that the run took.
        lost: steps whose verdict was given, and that are asked about again when the server has mended.
        after: verdicts then.
        leaks: places that hold the key.
    """

    verdicts: int
    counted: dict[str, int]
    said: list[str]
    reasons: list[str]
    seconds: float
    lost: list[int]
    after: int
    leaks: list[str]


def outcome(way: Way, folder: Path) -> Outcome:
    """Have a hostile server judge into an empty folder, then again when it has mended."""
    _bomb()  # packed before any call waits for it
    lines: list[str] = []
    heard = logging.Handler()
    heard.emit = lambda record: lines.append(f"{record.getMessage()} {vars(record)}")  # type: ignore[method-assign]
    log = logging.getLogger()
    level, before = log.level, os.environ.get("HOSTILE_KEY")
    log.addHandler(heard)
    log.setLevel(logging.DEBUG)
    os.environ["HOSTILE_KEY"] = KEY
    try:
        with Hostile(way) as server:
            began = time.monotonic()
            rows, counted, error = _judged(server.url, folder)
            seconds = time.monotonic() - began
            given, sent, server.way = set(server.given), server.calls.copy(), None
            again, _, _ = _judged(server.url, folder)
            lost = sorted(step for step in given if server.calls[step] > sent[step])
    finally:
        log.removeHandler(heard)
        log.setLevel(level)
        os.environ.pop("HOSTILE_KEY") if before is None else os.environ.update(HOSTILE_KEY=before)
    said = [error] if error else sorted({row["reason"] for row in rows if row["label"] != "correct"})
    reasons = [row["reason"] for row in rows if row["label"] == "correct"]
    places = {str(path.name): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    places |= {"log": "".join(lines).encode(), "verdicts": repr((rows, again, counted, error)).encode()}
    leaks = [place for place, held in places.items() if any(form in held for form in KEY_FORMS)]
    after = sum(row["label"] == "correct" for row in again)
    return Outcome(len(reasons), counted, said, reasons, seconds, lost, after, leaks)


def _judged(url: str, folder: Path) -> tuple[list[dict[str, Any]], dict[str, int], str]:
    """Rows of verdicts, what was met on the way, and the error that ended it."""
    judge = Judge(
        base_url=url,
        model="judge",
        api_key_env="HOSTILE_KEY",
        timeout=TIMEOUT,
        max_retries=2,
        max_failure_share=1.0,
    )
    steps = pd.DataFrame(
        {"qid": "q", "arm": "base", "cid": 0, "sid": sid, "text": f"claim {sid}.", "complete": True}
        for sid in range(STEPS)
    )
    known = {"q": Question("q", "all", "Which organ makes bile?", ("liver", "pancreas"), 0, "q")}
    try:
        done = judge_by_llm(steps, known, Session(judge, folder, 0, progress=False), name="hostile")
    except MechcotError as error:
        return [], {}, f"{error}"
    return done.rows, done.about["faults"], ""


def table(found: dict[str, Outcome]) -> str:
    """The outcomes in Markdown."""
    lines = [
        f"| server | does, to {HOSTILE} of {STEPS} steps | verdicts | counted | said | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in found.items():
        counted = ", ".join(f"{number} {kind}" for kind, number in one.counted.items())
        said = "; ".join(one.said).splitlines()[0] if one.said else ""
        said = re.sub(r"127\.0\.0\.1:\d+", "HOST", said).replace("|", "\\|")
        cells = [name, WAYS[name].what, str(one.verdicts), counted, said, f"{one.seconds:.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    lost, leaks = sum(len(one.lost) for one in found.values()), sum(len(one.leaks) for one in found.values())
    after = {one.after for one in found.values()}
    given = ", ".join(map(str, sorted(after)))
    lines += [
        "",
        f"Verdicts that were given and had to be asked for again: {lost}. Verdicts after the server had "
        f"mended, of {STEPS} each time: {given}. Files, log lines, messages and rows with the key, in plain, "
        f"base64, hex or percent signs: {leaks}. Each call may take {TIMEOUT:g} s; two retries.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Meet them all, and write the block."""
    found = {}
    for name, way in WAYS.items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = outcome(way, Path(folder))
            print(name, found[name])
    page = PAGE.read_text(encoding="utf-8")
    head, tail = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(head + BEGIN + table(found) + END + tail, encoding="utf-8")


if __name__ == "__main__":
    main()
