"""Long work in pieces that survive a kill: a function over tasks, each result kept under its task's key.

An engine does the tasks: this process, one after the other, or workers (`core.cluster`). What comes out
depends on neither.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from mechcot.core.journal import Journal
from mechcot.core.progress import Progress

Resources = TypeVar("Resources")
Made = TypeVar("Made")


@dataclass(frozen=True)
class WorkUnit:
    """One task.

    Attributes:
        key: of its contents (`content_key`): equal keys, equal results.
        arguments: what it is done to, small and serialisable; what is large, such as a model, is a resource.
        size: how much of the whole it is, in the unit of the progress bar.
    """

    key: str
    arguments: tuple[Any, ...]
    size: int = 0


@dataclass(frozen=True)
class PutOff:
    """What a function gives in place of a result where a task cannot be done in its shape.

    Attributes:
        why: what the caller needs to know to make the tasks anew.
    """

    why: Any


Function = Callable[[Any, WorkUnit], Any]
"""Does a task with the resources; gives what it made, or a `PutOff`."""
Save = Callable[[Any, WorkUnit, Any], Any]
"""Writes to disk what a function made, and says what the journal keeps of it."""
Keep = Callable[[WorkUnit, Any], None]
"""Notes the result of a task."""


class Engine(Protocol):
    """Who does tasks."""

    def do(
        self, function: Function, tasks: Sequence[WorkUnit], resources: Any, save: Save | None, keep: Keep
    ) -> PutOff | None:
        """Do tasks whose keys differ, in any order, and `keep` each result once."""

    def rest(self) -> None:
        """Let go of all that was kept from one call of `do` to the next."""


def content_key(*parts: Any) -> str:
    """A name for JSON values, by their contents."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def done_of(tasks: Iterable[WorkUnit], journal: Journal) -> int:
    """How much of some tasks the journal holds already."""
    return sum(task.size for task in tasks if task.key in journal.results)


def map_tasks(
    function: Callable[[Resources, WorkUnit], Made | PutOff],
    tasks: Iterable[WorkUnit],
    resources: Resources,
    *,
    journal: Journal,
    save: Callable[[Resources, WorkUnit, Made], Any] | None = None,
    bar: Progress | None = None,
) -> PutOff | None:
    """Do the tasks whose key the journal does not hold; `journal.results` holds all afterwards.

    A task depends on its arguments and the resources alone, so a run that was killed, or shared among
    workers, leaves what one in a single go does. Workers get function and resources once: what is known
    to `core.remade`, such as a model, is made again there, and all else is sent. What a task changes in
    the resources stays where it is done.

    Args:
        function: does a task. What it gives as a `PutOff` ends the work.
        tasks: what there is to do.
        resources: what all of them need and nobody would write down: models, tables.
        journal: where results are kept, as JSON values.
        save: writes to disk what the function made, while the next task is done, and says what the journal
            keeps of it; None: the journal keeps what the function made.
        bar: counts the sizes of tasks that are done here; it begins with `done_of`.

    Returns:
        What put off the first of the tasks that could not be done in their shape; what is done by then is
        kept, and the tasks have to be made anew. None: all are done.

    Raises:
        Exception: what the function raises; what was made before is saved.
    """
    left = {task.key: task for task in tasks if task.key not in journal.results}

    def keep(task: WorkUnit, result: Any) -> None:
        journal.keep(task.key, result)
        if bar is not None:
            bar.update(task.size)

    return _engine().do(function, list(left.values()), resources, save, keep) if left else None


def gather(
    function: Callable[[Resources, WorkUnit], Made],
    tasks: Sequence[WorkUnit],
    resources: Resources,
    *,
    after_each: Callable[[], Any] = lambda: None,
) -> list[Made]:
    """Do tasks and give what was made of them, in their order; nothing is kept on disk.

    For work whose pieces are few, and small when they are done. A single task is done here.

    Args:
        function: does a task.
        tasks: what there is to do; their keys differ.
        resources: see `map_tasks`.
        after_each: called after every task.
    """
    found: dict[str, Made] = {}

    def keep(task: WorkUnit, made: Made) -> None:
        found[task.key] = made
        after_each()

    (_engine() if len(tasks) > 1 else InProcess()).do(function, tasks, resources, None, keep)
    return [found[task.key] for task in tasks]


class InProcess:
    """This process, one task after the other."""

    def do(
        self, function: Function, tasks: Sequence[WorkUnit], resources: Any, save: Save | None, keep: Keep
    ) -> PutOff | None:
        """See `Engine`."""
        behind: tuple[WorkUnit, Future[Any]] | None = None

        def settle() -> None:
            if behind is not None:
                keep(behind[0], behind[1].result())

        with ThreadPoolExecutor(1) as pool:
            try:
                for task in tasks:
                    made = function(resources, task)
                    if isinstance(made, PutOff):
                        return made
                    if save is None:
                        keep(task, made)
                    else:
                        settle()
                        behind = task, pool.submit(save, resources, task, made)
                    made = None  # it may be large, and is gone once it is saved
            finally:
                # Whatever came between: a task that was done is not lost.
                settle()
        return None

    def rest(self) -> None:
        """Nothing is kept."""


_ENGINE: ContextVar[Engine | None] = ContextVar("engine", default=None)


def _engine() -> Engine:
    return _ENGINE.get() or InProcess()


@contextmanager
def done_by(engine: Engine) -> Iterator[None]:
    """While the block lasts, an engine does the tasks."""
    token = _ENGINE.set(engine)
    try:
        yield
    finally:
        _ENGINE.reset(token)


def rest() -> None:
    """Between two stages: what workers keep of one, its models, stands in the way of the next."""
    _engine().rest()
