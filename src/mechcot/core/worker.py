"""A worker of `core.cluster`: it gets function and resources of a piece of work once, and does its tasks."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mechcot.core import files, remade
from mechcot.core.errors import MechcotError, said
from mechcot.core.stages import versions
from mechcot.core.work import Function, PutOff, Save, WorkUnit

log = logging.getLogger("mechcot")


class Worker:
    """A process of its own.

    Args:
        prepare: what it does first, `packed`.
    """

    def __init__(self, prepare: bytes) -> None:
        remade.unpacked(prepare)()
        self._one, self._number = threading.Lock(), 0
        self._work: tuple[Function, Save | None, Any] | None = None

    def about(self, mark: str, needs: Sequence[str] = ()) -> dict[str, Any]:
        """What this worker is, what it sees in a file ("" without one), and which folders it does not see."""
        seen = Path(mark).read_text() if Path(mark).is_file() else ""
        lacks = [folder for folder in needs if not Path(folder).is_dir()]
        return {"host": socket.gethostname(), "versions": versions(), "sees": seen, "lacks": lacks}

    def rest(self) -> None:
        """Let go of the work before, and of its models."""
        with self._one:
            self._work = None
            remade.forget()

    def do(self, number: int, box: list[Any], task: WorkUnit) -> tuple[str, Any, list[tuple[int, str]]]:
        """Do a task of a piece of work: made, put off, refused, or failed; with what it logs."""
        with _noted() as notes:
            try:
                return (*self._done(number, box[0], task), notes)
            except MechcotError as error:
                return "refused", error, notes
            except Exception as error:
                if files.disk_problem(error):
                    return "refused", error, notes
                return "failed", f"{type(error).__name__}: {said(error)}", notes

    def _done(self, number: int, box: Any, task: WorkUnit) -> tuple[str, Any]:
        import ray

        with self._one:
            if self._number != number or self._work is None:
                self._work = None
                try:
                    self._work = remade.unpacked(ray.get(box))
                except MechcotError as error:
                    error.args = (f"on {socket.gethostname()}: {error}",)
                    raise
                self._number = number
            function, save, resources = self._work
            made = function(resources, task)
        if isinstance(made, PutOff):
            return "put off", made.why
        return "made", made if save is None else save(resources, task, made)


class _Notes(logging.Handler):
    """Keeps what one thread logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.notes: list[tuple[int, str]] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        if record.thread == self._thread:
            self.notes.append((record.levelno, record.getMessage()))


@contextmanager
def _noted() -> Iterator[list[tuple[int, str]]]:
    """What is logged in the block, for the driver to say."""
    handler = _Notes()
    log.addHandler(handler)
    try:
        yield handler.notes
    finally:
        log.removeHandler(handler)
