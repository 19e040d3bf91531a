"""Long work in pieces that survive a kill: a function over tasks, each result kept under its task's key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

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


def content_key(*parts: Any) -> str:
    """A name for JSON values, by their contents."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def done_of(tasks: Iterable[WorkUnit], journal: Journal) -> int:
    """How much of some tasks the journal holds already."""
    return sum(task.size for task in tasks if task.key in journal.results)


def map_tasks(
    function: Callable[[Resources, WorkUnit], Made | None],
    tasks: Iterable[WorkUnit],
    resources: Resources,
    *,
    journal: Journal,
    save: Callable[[Resources, WorkUnit, Made], Any] | None = None,
    bar: Progress | None = None,
) -> None:
    """Do the tasks whose key the journal does not hold, in order; `journal.results` holds all afterwards.

    A task depends on its arguments and the resources alone, so a run that was killed leaves what one in a
    single go does. The tasks may be made as they are asked for, with a view to what came before.

    Args:
        function: does a task. None: the task is put off, and `tasks` will give it another shape.
        tasks: what there is to do.
        resources: what all of them need and nobody would write down: models, open files.
        journal: where results are kept, as JSON values.
        save: writes to disk what the function made, while the next task is done, and says what the journal
            keeps of it; None: the journal keeps what the function made.
        bar: counts the sizes of tasks that are done here; it begins with `done_of`.

    Raises:
        Exception: what the function raises; what was made before is saved.
    """
    behind: tuple[str, Future[Any]] | None = None

    def settle() -> None:
        if behind is not None:
            journal.keep(behind[0], behind[1].result())

    with ThreadPoolExecutor(1) as pool:
        try:
            for task in tasks:
                if task.key not in journal.results:
                    made = function(resources, task)
                    if made is None:
                        continue
                    if save is None:
                        journal.keep(task.key, made)
                    else:
                        settle()
                        behind = task.key, pool.submit(save, resources, task, made)
                    made = None  # it may be large, and is gone once it is saved
                    if bar is not None:
                        bar.update(task.size)
        finally:
            # Whatever came between: a task that was done is not lost.
            settle()
