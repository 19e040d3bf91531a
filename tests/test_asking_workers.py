"""Many calls at once: what the first error ends, and which error is told."""

import asyncio
import threading

import pytest

from mechcot.asking.workers import work_off


def test_after_an_error_no_job_is_begun_and_the_first_error_is_raised():
    """Jobs that end at once, as calls do after the run has failed, must not run through the queue."""
    begun: list[int] = []
    failed = asyncio.Event()

    async def work(job: int) -> None:
        begun.append(job)
        if job == 1:
            await asyncio.sleep(0.01)
            failed.set()
            raise ValueError("the cause")
        if not failed.is_set():
            await failed.wait()
        raise ValueError("what follows from it")

    with pytest.raises(ValueError, match="the cause"):
        asyncio.run(work_off(range(100), work, 4, threading.Event()))
    assert begun == [0, 1, 2, 3]


def test_what_is_in_flight_when_another_fails_is_heard_to_its_end():
    heard: list[int] = []

    async def work(job: int) -> None:
        if job == 2:
            raise ValueError("the cause")
        await asyncio.sleep(0.02)
        heard.append(job)

    with pytest.raises(ValueError, match="the cause"):
        asyncio.run(work_off(range(100), work, 3, threading.Event()))
    assert heard == [0, 1]


def test_no_job_is_begun_once_it_is_told_to_stop():
    stop = threading.Event()
    begun: list[int] = []

    async def work(job: int) -> None:
        begun.append(job)
        stop.set()
        await asyncio.sleep(0)

    asyncio.run(work_off(range(100), work, 2, stop))
    assert begun == [0]
