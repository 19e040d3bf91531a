"""Tasks of one piece of work that workers share: which comes next, and what has become of each."""

from __future__ import annotations

import reprlib
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

from mechcot.core.errors import MechcotError
from mechcot.core.work import Keep, PutOff, WorkUnit

TRIES = 3
"""So often a task is tried before it is given up."""
AGAIN = "What was done is kept: run again, and it goes on there"


class WorkError(MechcotError):
    """Workers that cannot be had, or tasks that could not be done."""


class Job:
    """Tasks of one piece of work, and what has become of them."""

    def __init__(self, tasks: Sequence[WorkUnit], keep: Keep) -> None:
        self.order = {task.key: number for number, task in enumerate(tasks)}
        self.fresh, self.again = deque(tasks), deque[WorkUnit]()
        self.tries = Counter[str]()
        self._keep, self._total = keep, len(tasks)
        self._lost: dict[int, str] = {}
        self._ends: dict[int, tuple[str, Any]] = {}

    def next(self, *, alone: bool) -> WorkUnit | None:
        """A task to do now; one that failed before only for a worker that has no other."""
        if self._ends:
            return None
        if alone and self.again:
            return self.again.popleft()
        return self.fresh.popleft() if self.fresh else None

    @property
    def waiting(self) -> bool:
        """Whether there is a task that nobody does."""
        return not self._ends and bool(self.fresh or self.again)

    def came(self, kind: str, value: Any, task: WorkUnit) -> None:
        """Note what came of a task."""
        if kind == "made":
            self._keep(task, value)
        elif kind == "failed":
            self.failed(task, value)
        else:
            self._ends[self.order[task.key]] = kind, value

    def failed(self, task: WorkUnit, why: str) -> None:
        """Note a try that failed."""
        self.tries[task.key] += 1
        if self.tries[task.key] < TRIES:
            self.again.append(task)
        else:
            name = f"task {self.order[task.key] + 1} ({reprlib.repr(task.arguments)})"
            self._lost[self.order[task.key]] = f"{name}: {why}"

    def end(self) -> PutOff | None:
        """What the first task says that ends the work before its time."""
        if self._ends:
            kind, value = self._ends[min(self._ends)]
            if kind == "refused":
                raise value
            return PutOff(value)
        if self._lost:
            raise WorkError(
                f"{len(self._lost)} of {self._total} tasks failed {TRIES} times, first "
                f"{self._lost[min(self._lost)]}. The others are done. {AGAIN}"
            )
        return None
