"""Teacher, judge and rewriter of a miniature, behind real HTTP on the loopback.

They are programs and no models: they know what is true of the questions (`lore`). What is asked of them,
kept, counted and refused goes the way of any server.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from typing import Any

from mechcot.core.errors import UsageError
from mechcot.pipeline.miniature.lore import HEDGE, Case, holds, swapped, teacher_chain
from mechcot.tasks import Question
from mechcot.tasks.kinds import kind_of

_FENCE = re.compile(r"^\[\[(\w+) (\w+)\]\]\n(.*?)\n\[\[END \1 \2\]\]$", re.M | re.S)
_ENDING = re.compile(r"of exactly this form, and write nothing behind it:\n(.*?)\nX stands for", re.S)
_OPTION = re.compile(r"^\((\w)\) (.*)$", re.M)
_LARGEST = 2**22


class Servers(ThreadingHTTPServer):
    """Serves while the block runs, at `url`; `asked` counts what of.

    Args:
        cases: the questions that are known, by their text.
        port: of the loopback; 0: any free one.

    Raises:
        UsageError: the port cannot be used.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, cases: Mapping[str, Case], port: int) -> None:
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise UsageError(
                f"port {port}, at which this miniature's teacher and judge were asked before, cannot be "
                f"used: {error.strerror}. End what listens there, or name a new folder"
            ) from error
        self.cases = dict(cases)
        self.asked: dict[str, int] = {}
        self.lock = threading.Lock()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        """What a judge file names as base_url."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Servers:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """A client that went away is no news."""

    def reply(self, body: Mapping[str, Any]) -> tuple[str, str]:
        """What is asked, and the reply.

        Raises:
            LookupError, ValueError: it is nothing that is known here.
        """
        messages = body["messages"]
        system, user = messages[0]["content"], messages[-1]["content"]
        fences: dict[str, list[str]] = {}
        for name, _, text in _FENCE.findall(user):
            fences.setdefault(name, []).append(text)
        if not fences:  # the start-up call: the schema allows one word
            schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
            words = schema["properties"]["word"]["enum"] if schema else ["free"]
            return "start-up", json.dumps({"word": words[0]})
        if _ENDING.search(system):
            return "chain", self._chain(fences, system, int(body.get("seed") or 0))
        if '"same_topic"' in system:
            return "swap check", _checked(fences["FIRST"][0], fences["SECOND"][0])
        if '"texts"' in system:
            right = user.rstrip().endswith("claim is right.")
            return "swap", json.dumps({"texts": list(islice(swapped(fences["STEP"][0], right), 2))})
        if '"kind"' in system:
            question = Question("", "", fences["QUESTION"][0], tuple(fences.get("OPTIONS", ())), 0, "")
            return "kind", json.dumps({"kind": kind_of(question, fences["STEP"][0])})
        if "FIRST" in fences:
            return "comparison", _said("both were read", label="preserved")
        if "WRITER_A" in fences:
            return "guess", _guess(fences)
        if "SAMPLE" in fences:
            return "rewriting", json.dumps({"text": _rewritten(fences["STEP"][0], fences["SAMPLE"])})
        if "TEXT" in fences:
            return "answer", _answer(fences)
        return "verdict", _verdict(fences["STEP"][0], str(body["model"]), system)

    def _chain(self, fences: Mapping[str, list[str]], system: str, attempt: int) -> str:
        """A chain; right three times of four, and of an eighth of the questions once the answer is shown."""
        case = self.cases[fences["QUESTION"][0]]
        hard = _share(case.stem) < 1 / 8
        right = "ANSWER" in fences or (not hard and _share(case.stem, attempt) < 3 / 4)
        chain = teacher_chain(case, random.Random(f"{case.stem} {attempt}"), right)
        ending = _ENDING.findall(system)[0]
        letters = {text: letter for letter, text in _OPTION.findall("\n".join(fences.get("OPTIONS", [])))}
        written = letters[chain.answer] if re.search(r"X stands for [^.]*letter", system) else chain.answer
        before, _, after = ending.rpartition("X")
        return f"{chain.reasoning}\n\n{before}{written}{after}"


def _verdict(step: str, model: str, system: str) -> str:
    """What the lore says of a step; of a twentieth each judge says otherwise, each of its own."""
    found = holds(step)
    if found is None:
        label = "not_checkable"
    else:
        label = "correct" if found != (_share(step, model) < 1 / 20) else "erroneous"
    allowed = system.rpartition("The label is one of ")[2].rstrip(".").split(", ")
    return _said("looked up", label=label if label in allowed else "correct")


def _guess(fences: Mapping[str, list[str]]) -> str:
    hedged = [
        sum(bool(HEDGE.search(text)) for text in fences[name]) / len(fences[name])
        for name in ("WRITER_A", "WRITER_B")
    ]
    own = bool(HEDGE.search(fences["STEP"][0]))
    certain = 50 + round(40 * (hedged[1] - hedged[0]) * (1 if own else -1))
    return _said("by its hedges", probability=min(max(certain, 0), 100))


def _rewritten(step: str, samples: list[str]) -> str:
    """The step with a hedge before it where the samples have some, without any where they have none."""
    plain = HEDGE.sub("", step)
    if 2 * sum(bool(HEDGE.search(text)) for text in samples) <= len(samples):
        return plain[:1].upper() + plain[1:]
    return f"Perhaps {plain[:1].lower()}{plain[1:]}"


def _checked(first: str, second: str) -> str:
    """What the lore says of two versions of a step."""
    told = {True: "right", False: "wrong", None: "undecided"}
    more = {"same_topic": True, "one_change": True, "same_claim": first == second}
    return _said("looked up", **more, first=told[holds(first)], second=told[holds(second)])


def _answer(fences: Mapping[str, list[str]]) -> str:
    last = fences["TEXT"][0].strip().splitlines()[-1]
    found = re.findall(r"\(([A-Z])\)|(\w+)\W*$", last)
    answer = next((part for part in found[-1] if part), "") if found else ""
    if "OPTIONS" not in fences:
        return _said("its last line", outcome="answer" if answer else "none", answer=answer)
    letters = dict(_OPTION.findall(fences["OPTIONS"][0]))
    letter = (
        answer
        if answer in letters
        else next((one for one, text in letters.items() if text == answer), "none")
    )
    return _said("its last line", answer=letter)


def _said(reason: str, **more: Any) -> str:
    return json.dumps({"reason": reason, **more})


def _share(*parts: Any) -> float:
    """A number in [0, 1) that is the same for the same parts."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4]) / 2**32


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16  # head and body leave together
    server: Servers

    def do_POST(self) -> None:
        """Answer a request for a chat completion."""
        length = int(self.headers.get("Content-Length", 0))
        if self.path != "/v1/chat/completions" or not 0 < length <= _LARGEST:
            self._send(
                404, {"error": {"message": "POST /v1/chat/completions with a body is what is answered"}}
            )
            return
        raw = self.rfile.read(length)
        try:
            body = json.loads(raw)
            kind, text = self.server.reply(body)
        except (LookupError, TypeError, ValueError) as error:
            self._send(400, {"error": {"message": f"nothing that a miniature is asked: {error!r}"}})
            return
        with self.server.lock:
            self.server.asked[kind] = self.server.asked.get(kind, 0) + 1
        message = {"role": "assistant", "content": text}
        used = {"prompt_tokens": length // 4, "completion_tokens": max(1, len(text) // 4)}
        self._send(
            200,
            {
                "id": "miniature",
                "object": "chat.completion",
                "created": 0,
                "model": body["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": used | {"total_tokens": sum(used.values())},
            },
        )

    def _send(self, status: int, answer: Mapping[str, Any]) -> None:
        payload = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        """Requests are not logged: they hold traces."""
