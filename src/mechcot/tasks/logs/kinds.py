"""The kinds of log that are read, and how a file is known to be one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mechcot.core import files
from mechcot.core.errors import DataError
from mechcot.tasks.logs import harness, inspect_logs, replies
from mechcot.tasks.logs.form import Log

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Kind:
    """A kind of JSON Lines file.

    Attributes:
        name: what it is.
        keys: that its first line has.
        read: a path and its rows to a log.
    """

    name: str
    keys: frozenset[str]
    read: Callable[[Path, Rows], Log]


KINDS = (
    Kind("samples of lm-evaluation-harness", frozenset({"doc_id", "doc", "resps"}), harness.read),
    Kind("output of an OpenAI batch", frozenset({"custom_id", "response"}), replies.read_batch),
    Kind("input of an OpenAI batch", frozenset({"custom_id", "body"}), replies.read_requests),
    Kind("outputs of vLLM", frozenset({"outputs"}), replies.read_outputs),
)
"""JSON Lines that are logs, told by their first line's keys; beside them Inspect's `.eval` and `.json`."""


def is_log(path: Path) -> bool:
    """Whether a file is a log of another tool, by its suffix and its first line."""
    suffix = path.suffix.lower()
    if suffix not in (".eval", ".json", ".jsonl", ".ndjson") or not path.is_file():
        return False
    if suffix == ".eval":
        return True
    return inspect_logs.is_json_log(path) if suffix == ".json" else _kind_of(path) is not None


def read_log(path: Path) -> Log | None:
    """Read a file if it is a log of another tool; None: it is none.

    Raises:
        DataError: it is one, and cannot be used: with file, row, value and what to do.
    """
    if path.suffix.lower() == ".eval":
        files.check_file(path)
    if not is_log(path):
        return None
    told = path.stat()
    return _read(path, told.st_mtime_ns, told.st_size)


@lru_cache(maxsize=4)
def _read(path: Path, time: int, size: int) -> Log:
    """The log as it is at that time and size: a run asks for the same files several times."""
    if path.suffix.lower() == ".eval":
        return _whole(inspect_logs.read_zip(path))
    if path.suffix.lower() == ".json":
        return _whole(inspect_logs.read_json(path))
    kind, rows = _kind_of(path), files.read_json_lines(path)
    assert kind is not None  # it is a log
    for number, row in enumerate(rows, start=1):
        if not kind.keys <= row.keys():
            raise DataError(
                f"{path}, row {number}: lacks {sorted(kind.keys - row.keys())}, which the rows before have "
                f"({kind.name}). Take the row out, or name a file of one kind"
            )
    return _whole(kind.read(path, rows))


def _kind_of(path: Path) -> Kind | None:
    """What a JSON Lines file is, by the keys of its first line."""
    with open(path, encoding="utf-8-sig", errors="replace") as source:
        line = next((line for line in source if line.strip()), "")
    try:
        first = json.loads(line)
    except (ValueError, RecursionError):
        return None
    keys = first.keys() if isinstance(first, dict) else set()
    return next((kind for kind in KINDS if kind.keys <= keys), None)


def _whole(log: Log) -> Log:
    """A log in which no sample stands twice.

    Raises:
        DataError: one does.
    """
    seen: dict[tuple[str, int], str] = {}
    for sample in log.samples:
        first = seen.setdefault((sample.qid, sample.cid), sample.where)
        if first is not sample.where:
            raise DataError(
                f"{sample.where}: sample {sample.cid} of question '{sample.qid}' stands in "
                f"{first.removeprefix(f'{log.path}, ')} already. Take one of them out"
            )
    return log
