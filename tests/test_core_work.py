"""Tasks of long work: done once, kept by their contents, in the same order after a kill at any write."""

from __future__ import annotations

import os
import signal
import threading
import time
import weakref
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mechcot.core.journal import Journal
from mechcot.core.progress import Progress
from mechcot.core.work import PutOff, WorkUnit, content_key, done_of, map_tasks


def units(names: list[str]) -> list[WorkUnit]:
    return [WorkUnit(content_key(name), (name,), len(name)) for name in names]


def count(calls: list[str], task: WorkUnit) -> dict[str, int]:
    calls.append(task.arguments[0])
    return {"length": len(task.arguments[0])}


@given(st.lists(st.text(max_size=5), unique=True, max_size=6), st.integers(0, 6))
@settings(deadline=None)
def test_what_the_journal_holds_is_not_done_again(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], first: int
) -> None:
    path = tmp_path_factory.mktemp("work") / "j.jsonl"
    calls: list[str] = []
    for some in (names[:first], names):
        journal = Journal(path)
        map_tasks(count, units(some), calls, journal=journal)
        journal.close()
    assert calls == names
    assert journal.results == {content_key(name): {"length": len(name)} for name in names}
    assert Journal(path).results == journal.results


def test_a_key_is_of_the_contents_alone() -> None:
    assert content_key({"a": 1, "b": [2]}) == content_key({"b": [2], "a": 1})
    assert content_key("a", "b") != content_key("ab")


def test_what_was_made_is_saved_while_the_next_is_done_and_when_one_fails(tmp_path: Path) -> None:
    saved: list[str] = []

    def make(resources: None, task: WorkUnit) -> str:
        if task.arguments[0] == "c":
            raise ValueError("c cannot be done")
        return str(task.arguments[0])

    def save(resources: None, task: WorkUnit, made: str) -> str:
        saved.append(made)
        return made.upper()

    journal = Journal(tmp_path / "j.jsonl")
    with pytest.raises(ValueError, match="c cannot be done"):
        map_tasks(make, units(["a", "b", "c", "d"]), None, journal=journal, save=save)
    assert saved == ["a", "b"]
    assert list(Journal(tmp_path / "j.jsonl").results.values()) == ["A", "B"]


def test_a_save_that_fails_stops_the_work_and_keeps_what_came_before(tmp_path: Path) -> None:
    def save(resources: None, task: WorkUnit, made: str) -> str:
        if made == "b":
            raise OSError("full")
        return made

    journal = Journal(tmp_path / "j.jsonl")
    with pytest.raises(OSError, match="full"):
        map_tasks(
            lambda _, task: task.arguments[0], units(["a", "b", "c", "d"]), None, journal=journal, save=save
        )
    assert list(journal.results.values()) == ["a"]


def test_what_is_saved_is_not_held_while_the_next_is_done(tmp_path: Path) -> None:
    class Large:
        pass

    made: list[weakref.ref[Large]] = []
    saved = threading.Event()

    def make(resources: None, task: WorkUnit) -> Large:
        if made:
            assert saved.wait(10)
            for _ in range(100):  # the pool lets go of it a moment after
                if made[-1]() is None:
                    break
                time.sleep(0.01)
            assert made[-1]() is None
        found = Large()
        made.append(weakref.ref(found))
        saved.clear()
        return found

    def save(resources: None, task: WorkUnit, large: Large) -> str:
        saved.set()
        return "saved"

    journal = Journal(tmp_path / "j.jsonl")
    map_tasks(make, units(["a", "b", "c"]), None, journal=journal, save=save)
    assert len(journal.results) == 3


def test_a_task_that_is_put_off_comes_again_in_another_shape(tmp_path: Path) -> None:
    def fitting(largest: int, task: WorkUnit) -> int | PutOff:
        first, size = task.arguments
        return PutOff(size // 2) if size > (8 if first < 8 else largest) else int(size)

    def pieces(size: int) -> list[WorkUnit]:
        shapes = [(0, 8), *((first, size) for first in range(8, 16, size))]
        return [WorkUnit(content_key(*shape), shape, shape[1]) for shape in shapes]

    journal, size, put_off = Journal(tmp_path / "j.jsonl"), 8, []
    with Progress("work", 16, "letter", shown=False) as bar:
        while short := map_tasks(fitting, pieces(size), 2, journal=journal, bar=bar):
            put_off.append(short.why)
            size = short.why
        assert bar.n == 16
    assert put_off == [4, 2]
    assert list(journal.results.values()) == [8, 2, 2, 2, 2]


def test_the_bar_begins_with_what_was_done_before(tmp_path: Path) -> None:
    for some, before in ((["aa"], 0), (["aa", "bbb"], 2)):
        journal = Journal(tmp_path / "j.jsonl")
        tasks = units(some)
        assert done_of(tasks, journal) == before
        with Progress("work", 5, "letter", shown=False, done=before) as bar:
            map_tasks(count, tasks, [], journal=journal, bar=bar)
        journal.close()
        assert bar.n == sum(map(len, some))


def test_killed_at_any_write_it_ends_with_the_same_journal(tmp_path: Path) -> None:
    names = ["a", "bb", "ccc", "dddd"]

    def run(path: Path) -> bytes:
        journal = Journal(path)
        map_tasks(count, units(names), [], journal=journal)
        journal.close()
        return path.read_bytes()

    whole = run(tmp_path / "whole.jsonl")
    for instant in range(1, 5):
        path = tmp_path / f"{instant}.jsonl"
        child = os.fork()
        if child == 0:
            left, real = [instant], os.fsync

            def counted(file: int, left: list[int] = left, real: object = real) -> None:
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
                real(file)  # type: ignore[operator]

            os.fsync = counted
            run(path)
            os._exit(0)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
        assert run(path) == whole
