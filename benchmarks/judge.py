"""Judging: verdicts a second against a local server that answers at once, beside the bare SDK.

    python benchmarks/judge.py [--json]

The server runs in a process of its own and answers every request with the same verdict, so what is timed is
the client: prompts, calls, checks, and every reply on disk before the next step. Each round begins with an
empty cache. The other side sends the same messages with the openai SDK alone, as many at a time, and keeps
nothing. The sides alternate; medians.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy reads it

import argparse
import asyncio
import json
import multiprocessing
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pandas as pd

from mechcot.asking.session import Session
from mechcot.judging.judge_file import Judge
from mechcot.judging.llm import judge_by_llm
from mechcot.judging.prompt import Item, messages
from mechcot.tasks import Question

QUESTION = Question("q0", "all", "Which organ makes bile? " * 10, ("liver", "pancreas"), 0, "q0")


def main() -> None:
    """Time both sides and print verdicts a second."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=8, help="a judge file's default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    options = parser.parse_args()
    os.environ["NO_PROXY"] = "127.0.0.1"
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ours.recv()}/v1"
    judge = Judge(base_url=url, model="instant", api_key_env=None, concurrency=options.concurrency)
    texts = [
        f"Step {i} says that bile is made in the liver, {'and ' * (i % 20)}so on."
        for i in range(options.steps)
    ]
    sides: dict[str, Callable[[], int]] = {
        "mechcot": lambda: _judge(judge, texts),
        "openai SDK alone": lambda: asyncio.run(_alone(judge, texts)),
    }
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(options.rounds + 1):
        for name, run in sides.items():
            started = time.perf_counter()
            answered = run()
            taken = time.perf_counter() - started
            assert answered == options.steps
            if number:  # the first round warms up
                rates[name].append(options.steps / taken)
    server.terminate()
    median = {name: statistics.median(found) for name, found in rates.items()}
    for name, rate in median.items():
        print(f"{name:20s} {rate:8.0f} a second   (rounds {', '.join(f'{r:.0f}' for r in rates[name])})")
    if options.json:
        print(
            json.dumps(
                {
                    "name": "judge",
                    "sizes": {name: getattr(options, name) for name in ("steps", "concurrency", "rounds")},
                    "seconds": {name: options.steps / rate for name, rate in median.items()},
                    "ratios": {
                        "verdicts_per_second": median["mechcot"],
                        "share_of_bare_sdk": median["mechcot"] / median["openai SDK alone"],
                    },
                    "machine": f"{platform.machine()}, {os.cpu_count()} cores, 1 thread",
                }
            )
        )


def _judge(judge: Judge, texts: list[str]) -> int:
    rows = [
        {"qid": "q0", "arm": "base", "cid": 0, "sid": sid, "text": text, "complete": True}
        for sid, text in enumerate(texts)
    ]
    with tempfile.TemporaryDirectory() as folder:
        known = {"q0": QUESTION}
        session = Session(judge, Path(folder), 0, progress=False)
        done = judge_by_llm(pd.DataFrame(rows), known, session, name="instant")
    return sum(row["label"] == "correct" for row in done.rows)


async def _alone(judge: Judge, texts: list[str]) -> int:
    import openai

    client: Any = openai.AsyncOpenAI(api_key="none", base_url=judge.base_url)
    queue = iter([messages(Item(QUESTION, text), judge, 0) for text in texts])
    answered = 0

    async def worker() -> None:
        nonlocal answered
        for sent in queue:
            reply = await client.chat.completions.create(
                model=judge.model, messages=sent, max_tokens=400, temperature=0
            )
            answered += bool(reply.choices[0].message.content)

    async with client:
        await asyncio.gather(*(worker() for _ in range(judge.concurrency)))
    return answered


def _serve(pipe: Connection) -> None:
    """A server that answers at once; the port goes through the pipe."""
    verdict = _response(json.dumps({"reason": "It is the liver.", "label": "correct"}))
    check = _response('{"word": "forced"}')

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                body = await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
                writer.write(check if b"Reply with the JSON object {" in body else verdict)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        async with server:
            await server.serve_forever()

    asyncio.run(serve())


def _response(content: str) -> bytes:
    message = {"role": "assistant", "content": content}
    completion = {
        "id": "c",
        "object": "chat.completion",
        "created": 0,
        "model": "instant",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 900, "completion_tokens": 20, "total_tokens": 920},
    }
    payload = json.dumps(completion).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
    return head.encode() + payload


if __name__ == "__main__":
    main()
