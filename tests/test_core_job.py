"""Tasks that workers share: tried again where they fail, and named where they fail for good."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import pytest

from mechcot.core import cluster, remade
from mechcot.core.engine_settings import EngineSettings
from mechcot.core.errors import MechcotError, MissingDependency, ReadingError, UsageError
from mechcot.core.job import Job, WorkError
from mechcot.core.work import PutOff, WorkUnit, content_key, done_by, gather


def units(n: int) -> list[WorkUnit]:
    return [WorkUnit(content_key(i), (i,), 1) for i in range(n)]


def job(n: int) -> tuple[Job, dict[int, Any]]:
    kept: dict[int, Any] = {}

    def keep(task: WorkUnit, result: Any) -> None:
        assert task.arguments[0] not in kept, "recorded twice"
        kept[task.arguments[0]] = result

    return Job(units(n), keep), kept


def taken(some: Job, *, alone: bool = False) -> WorkUnit:
    task = some.next(alone=alone)
    assert task is not None
    return task


def test_a_task_that_fails_is_tried_again_behind_the_others_by_a_worker_without_another_task() -> None:
    some, kept = job(3)
    first = taken(some)
    some.failed(first, "its worker was lost")
    assert [taken(some).arguments[0] for _ in range(2)] == [1, 2]
    assert some.next(alone=False) is None
    assert some.waiting
    again = taken(some, alone=True)
    assert again is first
    for task in units(3):
        some.came("made", task.arguments[0] * 10, task)
    assert kept == {0: 0, 1: 10, 2: 20}
    assert not some.waiting
    assert some.end() is None


def test_a_task_that_fails_three_times_is_named_and_the_others_are_done() -> None:
    some, kept = job(3)
    for _ in range(2):
        some.came("made", 1, taken(some))
    for _ in range(3):
        some.came("failed", "ValueError: no", taken(some, alone=True))
    assert not some.waiting
    with pytest.raises(
        WorkError, match=r"1 of 3 tasks failed 3 times, first task 3 \(\(2,\)\): ValueError: no"
    ):
        some.end()
    assert kept == {0: 1, 1: 1}


def test_of_what_ends_the_work_the_first_task_counts_and_nothing_else_is_begun() -> None:
    some, kept = job(4)
    zero, one, two = (taken(some) for _ in range(3))
    some.came("put off", "short for two", two)
    assert some.next(alone=True) is None
    some.came("put off", "short for one", one)
    some.came("made", "done", zero)
    assert some.end() == PutOff("short for one")
    assert kept == {0: "done"}
    some, _ = job(2)
    some.came("refused", ReadingError("not finite"), taken(some))
    with pytest.raises(ReadingError, match="not finite"):
        some.end()


@pytest.mark.parametrize("error", [UsageError("no"), MissingDependency("ray", "cluster")])
def test_errors_come_back_from_a_worker_as_they_were(error: MechcotError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(again), str(again), again.exit_code) == (type(error), str(error), error.exit_code)


def test_what_is_gathered_comes_in_order_whoever_does_it_first() -> None:
    class Backwards:
        def do(self, function: Any, tasks: Any, resources: Any, save: Any, keep: Any) -> None:
            for task in reversed(tasks):
                keep(task, function(resources, task))

        def rest(self) -> None:
            pass

    calls: list[int] = []
    with done_by(Backwards()):
        found = gather(lambda k, task: k * task.arguments[0], units(4), 2, after_each=lambda: calls.append(1))
    assert found == [0, 2, 4, 6]
    assert len(calls) == 4


def test_workers_that_have_to_be_started_are_counted() -> None:
    with pytest.raises(ValueError, match="say how many workers"):
        EngineSettings()
    assert EngineSettings(address="auto").workers is None


def test_without_ray_the_pip_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"pip install 'mechcot\[cluster\]'"):
        cluster.refuse_without_ray()


class Made:
    """A thing that is made, with a part of its own."""

    count = 0

    def __init__(self, name: str) -> None:
        type(self).count += 1
        self.name, self.part = name, Part(name)

    def __reduce__(self) -> Any:
        raise AssertionError("it is never sent")


class Part:
    def __init__(self, name: str) -> None:
        self.name = name

    __reduce__ = Made.__reduce__


@contextmanager
def counted() -> Iterator[list[int]]:
    before, seen = Made.count, [0]
    yield seen
    seen[0] = Made.count - before


def known(name: str) -> Made:
    thing = Made(name)
    remade.known(thing, remade.Recipe(Made, (name,)), [(("part",), thing.part)])
    return thing


def test_what_is_known_is_made_again_once_and_its_parts_are_of_one_thing() -> None:
    pytest.importorskip("ray", reason="pip install 'mechcot[cluster]'")
    thing = known("model")

    @cache
    def named(n: int) -> str:
        return f"{thing.name}{n}"

    data = remade.packed({"thing": thing, "part": thing.part, "say": partial(named, 3)})
    assert len(data) < 2000
    remade.forget()
    with counted() as made:
        again = remade.unpacked(data)
        assert again["thing"] is not thing
        assert again["part"] is again["thing"].part
        assert again["say"]() == "model3"
        more = remade.unpacked(remade.packed(thing.part))
        assert more is again["part"]
    assert made == [1]
    with counted() as made:
        remade.unpacked(remade.packed(known("other")))
        remade.unpacked(data)
    assert made == [3], "the other one, and the first anew: what is not in use goes"
    remade.forget()


def test_what_is_altered_is_not_sent_as_it_was_made() -> None:
    pytest.importorskip("ray", reason="pip install 'mechcot[cluster]'")
    thing = known("edited")
    with remade.altered(thing.part), pytest.raises(RuntimeError, match="edited here"):
        remade.packed([thing])
    assert remade.packed([thing])


def test_what_is_gone_is_forgotten() -> None:
    before = len(remade._KNOWN)
    thing = known("short")
    assert len(remade._KNOWN) == before + 2
    del thing
    gc.collect()
    assert len(remade._KNOWN) == before
