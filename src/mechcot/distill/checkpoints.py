"""Checkpoints of a running training: only whole ones, and only of the same run, are gone on from."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mechcot.core import files
from mechcot.core.errors import DataError, UsageError

log = logging.getLogger("mechcot")

RUN = "run.json"
COMPLETE = "COMPLETE"


def fingerprint(parts: dict[str, Any]) -> str:
    """SHA-256 of everything that decides a run's weights, given as JSON values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def open_work(work: Path, run: str) -> Path | None:
    """Ready a work folder for the run with this fingerprint.

    Checkpoints of another run are discarded, and so are half-written and damaged ones, with a log line each.

    Returns:
        The newest complete checkpoint to go on from, None to start afresh.

    Raises:
        UsageError: the folder holds checkpoints of something else.
    """
    work.mkdir(parents=True, exist_ok=True)
    if _checkpoints(work) and not (work / RUN).exists():
        raise UsageError(
            f"{work} holds checkpoints that mechcot did not write; they are not touched. Name another folder"
        )
    if _checkpoints(work) and _recorded(work) != run:
        log.info("%s: holds checkpoints of other data, settings or versions: discarded", work)
        clear(work, keep_folder=True)
    files.write_json(work / RUN, {"fingerprint": run})
    whole = []
    for folder in _checkpoints(work):
        if not (folder / COMPLETE).is_file():
            log.info("%s: was not written to its end: discarded", folder)
            files.remove(folder)
        elif not _sound(folder):
            log.warning("%s: is damaged: discarded", folder)
            files.remove(folder)
        else:
            whole.append(folder)
    for folder in whole[:-1]:
        files.remove(folder)
    return whole[-1] if whole else None


def complete(folder: Path, state: dict[str, Any]) -> None:
    """Mark a checkpoint as whole once all of it is on the disk, then drop its predecessors.

    The mark holds a digest of it all, the state too.

    Args:
        folder: the checkpoint.
        state: what must survive beside the trainer's own state; kept in the mark.
    """
    sync(folder)
    files.write_json(folder / COMPLETE, {"state": state, "sha256": _digest(folder, state)})
    for other in _checkpoints(folder.parent):
        if other != folder:
            files.remove(other)


def read_state(folder: Path) -> dict[str, Any]:
    """The state given to `complete`."""
    state, _ = _mark(folder)
    return state


def _mark(folder: Path) -> tuple[dict[str, Any], str | None]:
    """The state, and the digest of the whole; an earlier version wrote the state alone."""
    mark = files.read_json(folder / COMPLETE)
    return (mark["state"], mark["sha256"]) if {"state", "sha256"} & {*mark} else (mark, None)


def _digest(folder: Path, state: dict[str, Any]) -> str:
    held = {
        path.relative_to(folder).as_posix(): files.digest(path)
        for path in files.files_in(folder)
        if path != folder / COMPLETE
    }
    return fingerprint({"files": held, "state": state})


def _sound(folder: Path) -> bool:
    """Whether a checkpoint that is complete is what was written."""
    try:
        state, claimed = _mark(folder)
    except (DataError, KeyError, TypeError):
        return False
    return claimed in (None, _digest(folder, state))


def discard_behind(work: Path, newest: Path | None, missing: Iterable[int]) -> Path | None:
    """The checkpoint to go on from, None where something to be kept before it is not there: then afresh.

    Args:
        work: the run's folder.
        newest: from `open_work`.
        missing: steps after which the model is still to be kept along the training.
    """
    reached = step_of(newest)
    if any(step <= reached for step in missing):
        log.info("%s: what is to be kept before step %d is not there: trained from the start", work, reached)
        clear(work, keep_folder=True)
        return None
    return newest


def newest(work: Path) -> Path | None:
    """The checkpoint that lies in a folder that was readied, None for none."""
    found = _checkpoints(work)
    return found[-1] if found else None


def step_of(checkpoint: Path | None) -> int:
    """The step after which a checkpoint was written, 0 for none."""
    return int(checkpoint.name.split("-")[1]) if checkpoint else 0


def clear(work: Path, *, keep_folder: bool = False) -> None:
    """Remove a run's checkpoints, and the folder too when nothing else lies in it."""
    for folder in _checkpoints(work):
        files.remove(folder)
    files.remove(work / RUN)
    if not keep_folder and work.is_dir() and not any(work.iterdir()):
        work.rmdir()


def appear(beside: Path, out: Path) -> None:
    """Put a finished folder in its place; an older one there goes once the new one stands."""
    sync(beside)
    old = out.with_name(f".{out.name}.old")
    files.remove(old)
    if out.exists():
        os.rename(out, old)
    os.rename(beside, out)
    _sync_folder(out.parent)
    files.remove(old)


def sync(folder: Path) -> None:
    """Wait until a folder and all in it are on the disk."""
    for path in [*folder.rglob("*"), folder]:
        if path.is_dir():
            _sync_folder(path)
        else:
            with open(path, "rb") as source:
                os.fsync(source.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _checkpoints(work: Path) -> list[Path]:
    found = [p for p in work.glob("checkpoint-*") if p.is_dir() and p.name.split("-")[1].isdigit()]
    return sorted(found, key=lambda folder: int(folder.name.split("-")[1]))


def _recorded(work: Path) -> str | None:
    try:
        recorded = files.read_json(work / RUN)
    except DataError:
        return None
    return recorded.get("fingerprint") if isinstance(recorded, dict) else None
