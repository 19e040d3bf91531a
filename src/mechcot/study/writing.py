"""Who may write a study's folder: settings that fit what lies there, and one process at a time."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from mechcot.core import config, files
from mechcot.core.errors import DiskError, JudgeError, ServerRefused, StudyError
from mechcot.core.manifest import MANIFEST, SETTINGS, check_place, load_manifest, save_settings
from mechcot.core.registration import register, remember
from mechcot.core.settings import Settings
from mechcot.core.stages import Stage, forget, run_stages, versions
from mechcot.study.folder import Study

log = logging.getLogger("mechcot")


class InUse(StudyError):
    """Another process writes to the study."""


def create_or_open(path: Path, settings: Settings, *, restarting: bool) -> Study:
    """A study folder for these settings: a new one, or the existing one if they fit. Call it when `locked`.

    Args:
        path: the folder.
        settings: what is wanted.
        restarting: frozen settings may differ; the caller saves them once the stages agree.

    Raises:
        StudyError: the folder is something else, or frozen settings differ.
    """
    refuse_unfit(path, settings, restarting=restarting)
    study = Study(path, settings)
    if (path / MANIFEST).exists():
        remember(path)
    if not (restarting and (path / SETTINGS).exists()):
        study.save_settings()
    return study


@contextmanager
def unless_refused(path: Path, stages: Sequence[Stage], *, new: bool = False) -> Iterator[None]:
    """Settings that a run writes down and then refuses are taken back, and a new study with them.

    They stay where running again goes on (a judge that stopped on its way, a full disk, a kill), and where a
    stage was made with them that is made once for all.

    Args:
        path: the study's folder, locked.
        stages: of the study as it will be.
        new: the folder was made for it.
    """
    file, frozen = path / SETTINGS, {stage.name for stage in stages if stage.frozen}
    text, keys = file.read_text() if file.exists() else None, _keys(path)
    try:
        yield
    except Exception as error:
        goes_on = isinstance(error, JudgeError | DiskError | OSError) and not isinstance(error, ServerRefused)
        made = {name for name, key in _keys(path).items() if keys.get(name) != key}
        if text is not None and not goes_on and not made & frozen:
            _take_back(path, text, error)
        elif text is None and not goes_on and not made:
            kept = (path / "work" / "calls").exists()  # replies that were paid for
            for name in (path,) if new and not kept else (file, path / MANIFEST):
                files.remove(name)
        raise


def _keys(path: Path) -> dict[str, str]:
    """What each stage that is done was made from."""
    return {name: record["key"] for name, record in load_manifest(path)["stages"].items()}


def _take_back(path: Path, text: str, error: Exception) -> None:
    """Put a study's settings back, and say so where they said something else."""
    file = path / SETTINGS
    if file.read_text() == text:
        return
    refused = config.resolve(base=config.read_yaml(file), source=str(file))
    save_settings(path, text)
    old = config.resolve(base=config.read_yaml(file), source=str(file))
    register(path, old)
    differing = config.changes(old.model_dump(mode="json"), refused.model_dump(mode="json"))
    if differing:
        error.add_note(f"{file} is as it was; not kept: {', '.join(key for key, *_ in differing)}")


def refuse_unfit(path: Path, settings: Settings, *, restarting: bool) -> None:
    """Refuse a folder that cannot be a study of these settings; see `create_or_open`. Writes nothing."""
    exists = (path / SETTINGS).exists()
    check_place(path)
    if exists and not (path / MANIFEST).exists():
        _refuse_made(path)
    if exists and not restarting:
        old = config.resolve(base=config.read_yaml(path / SETTINGS), source=str(path / SETTINGS))
        _refuse_frozen(path, old, settings)


def _refuse_made(path: Path) -> None:
    """Refuse a study that has lost its manifest."""
    made = [p.name for p in path.iterdir() if p.name not in (SETTINGS, "work") and p.name[0] != "."]
    if made:
        raise StudyError(
            f"{path / MANIFEST}: is missing, and so is what tells from what {sorted(made)[0]} was made. "
            "Restore it from a copy, or name a new folder"
        )


def _refuse_frozen(path: Path, old: Settings, new: Settings) -> None:
    differing = config.changes(old.model_dump(mode="json"), new.model_dump(mode="json"))
    done = load_manifest(path)["stages"]
    bound = [c for c in differing if _bound(c[0].split(".")[0], done) and not _adds(*c[:2])]
    frozen = [c for c in bound if not _open(c[0], done)]
    if frozen:
        lines = "\n".join(f"  {key}: was {a!r}, now {b!r}" for key, a, b in frozen)
        raise StudyError(
            f"{path} was made with other settings:\n{lines}\nUse another study folder, or make the stages "
            "again with --restart-from STAGE"
        )


def _adds(key: str, old: Any) -> bool:
    """Whether a change adds to what is there, such as an arm, and alters nothing that is done."""
    return key in config.ADDS or (
        key.startswith(("arms.", "examples.")) and key.count(".") == 1 and old is None
    )


def _open(key: str, done: Iterable[str]) -> bool:
    """Whether a setting may change where others of its section may not: it decides nothing that is done."""
    section, name, *rest = (*key.split("."), "")
    unsampled = rest[:1] == ["server"] and f"sample-{name}" not in done
    return key == "teacher.budget" or (section == "arms" and unsampled)


def _bound(section: str, done: Iterable[str]) -> bool:
    """Whether a stage that is done depends on a frozen section; until then it may be mended."""
    sampled = ("sample-",)
    by: dict[str, tuple[str, ...]] = {"sampling": sampled, "steps": ("steps-",)}
    by["prompt"] = ("given-", *sampled)
    by["arms"] = ("distill-", "given-", *sampled)
    by["examples"] = ("distill-",)
    by["teacher"] = ("teacher",)
    return section in config.FROZEN and any(name.startswith(by.get(section, ("",))) for name in done)


def write_beside(folder: Path, names: Sequence[str], write: Callable[[], None], *, kind: str) -> None:
    """Write files beside the pipeline; where their folder lies in a study, its manifest records them.

    Args:
        folder: where they lie.
        names: of the files in it.
        write: writes them.
        kind: what they are; with the folder it names them in the manifest.
    """
    place = folder.resolve()
    root = next((above for above in place.parents if (above / MANIFEST).exists()), None)
    if root is None:
        write()
        return
    where = place.relative_to(root).as_posix()
    stage = Stage(
        f"{kind}-{where.replace('/', '-')}",
        1,
        {},
        (),
        tuple(f"{where}/{name}" for name in names),
        lambda work: write(),
    )
    try:
        with locked(root):
            forget(root, stage.name)
            run_stages(root, [stage], versions())
    except InUse as error:
        # They may have taken hours, and the manifest is the other process's.
        write()
        log.warning("%s: %s, so its manifest does not record these files", folder, error)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a study for writing; a second process is refused. The lock goes with the process.

    The folder itself is locked, which no deleted file undoes. A file system that locks no folders locks
    `work/lock`, which else only says who holds the study.
    """
    file = path / "work" / "lock"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StudyError(f"{error.filename or file}: cannot be written: {error.strerror}") from error
    try:
        with _open_lock(file) as handle:
            if not _lock(folder, path, handle):
                _lock(handle.fileno(), path, handle)
            with suppress(OSError):  # a full disk: the lock holds, and does not say whose it is
                os.truncate(handle.fileno(), 0)
                os.write(handle.fileno(), str(os.getpid()).encode())
            yield
    finally:
        os.close(folder)


def _open_lock(file: Path) -> IO[str]:
    try:
        return open(file, "a+")
    except OSError as error:
        raise StudyError(f"{file}: cannot be written: {error.strerror}") from error


def _lock(descriptor: int, path: Path, handle: IO[str]) -> bool:
    """Lock a file or folder that is open; whether its file system can do that."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        handle.seek(0)
        raise InUse(f"{path} is in use by process {handle.read().strip() or '?'}") from error
    except OSError:
        return False
    return True
