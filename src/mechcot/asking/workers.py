"""Many calls at once: an event loop of their own, a queue, and an end that leaves none of them behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

T = TypeVar("T")
ClientT = TypeVar("ClientT")


def converse(
    connect: Callable[[], AbstractAsyncContextManager[ClientT]],
    talk: Callable[[ClientT, threading.Event], Coroutine[Any, Any, None]],
) -> None:
    """Run `talk` with one client, told by an event when no further call shall start.

    Where an event loop runs already (in a notebook) the calls get a thread of their own.
    """
    stop = threading.Event()

    async def everything() -> None:
        async with connect() as client:
            await talk(client, stop)

    if not _inside_a_loop():
        asyncio.run(everything())
        return
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(asyncio.run, everything())
        try:
            running.result()
        except KeyboardInterrupt:
            stop.set()  # calls in flight end, no further one starts
            raise


def _inside_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def work_off(
    jobs: Iterable[T], work: Callable[[T], Coroutine[Any, Any, None]], at_once: int, stop: threading.Event
) -> None:
    """Run `work` over all jobs, so many at a time, in no promised order.

    After the first error no further job is begun; what is in flight may have been paid for, and ends first.
    That error is raised: later ones follow from it.
    """
    queue = iter(jobs)
    errors: list[Exception] = []

    async def worker() -> None:
        for job in queue:
            if stop.is_set():
                return
            try:
                await work(job)
            except Exception as error:
                stop.set()  # before a worker whose job ends at once takes the next, and the next
                errors.append(error)
                return

    workers = [asyncio.create_task(worker()) for _ in range(at_once)]
    try:
        await asyncio.gather(*workers)
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    if errors:
        raise errors[0]
