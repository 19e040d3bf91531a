"""A test leaves no process, no open port and no file outside its own folder."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

HELPERS = ("multiprocessing.forkserver", "multiprocessing.resource_tracker")
"""What Python itself keeps for a worker, and ends with it."""

CACHES = re.compile(r"torchinductor_|sklearn_testing_|pymp-|.*wandb-(media|artifacts)$")
"""What libraries make for themselves in the temporary folder, to the end of the process."""


def _children() -> dict[int, psutil.Process]:
    return {child.pid: child for child in psutil.Process().children(recursive=True)}


def _ports() -> set[int]:
    return {
        connection.laddr.port
        for connection in psutil.Process().net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


def _words(process: psutil.Process) -> str:
    """Its command line; "" for one that is gone."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return ""
        return " ".join(process.cmdline()) or process.name()  # no words yet: it has just begun
    except psutil.NoSuchProcess:
        return ""


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            for child in [process, *process.children(recursive=True)]:  # one may have begun since
                child.kill()
    psutil.wait_procs(processes, timeout=10)


@contextmanager
def none_left(*folders: Path) -> Iterator[None]:
    """End what the block leaves running, and say what it left.

    Args:
        folders: in which nothing new may lie afterwards; the temporary folder too.
    """
    watched = {Path(tempfile.gettempdir()), *folders}
    processes, ports, files = set(_children()), _ports(), _entries(watched)
    try:
        yield
    finally:
        running = {child: _words(child) for pid, child in _children().items() if pid not in processes}
        left = {
            child: words
            for child, words in running.items()
            if words and not any(name in words for name in HELPERS)
        }
        _end(list(left))
    problems = [f"the process {words!r}" for words in left.values()]
    problems += [f"the open port {port}" for port in _ports() - ports]
    problems += [str(path) for path in _entries(watched) - files if not CACHES.match(path.name)]
    assert not problems, f"the test left {', '.join(sorted(problems))} behind"


def _entries(folders: set[Path]) -> set[Path]:
    return {path for folder in folders for path in folder.iterdir()}
