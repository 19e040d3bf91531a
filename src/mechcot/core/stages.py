"""Stages of a study: run once, recorded with what they read, and run again only when that changed."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from mechcot.core import files
from mechcot.core.digests import Digests
from mechcot.core.errors import DiskError, MechcotError, StudyError, UsageError
from mechcot.core.manifest import (
    MANIFEST,
    check_output,
    difference,
    load_manifest,
    output_digests,
    own_digest,
    recorded_files,
    save_manifest,
)
from mechcot.core.plan import Expense, State
from mechcot.core.progress import on_terminal
from mechcot.core.work import rest

log = logging.getLogger("mechcot")

_AGAIN = "Make room or fix the permissions and run again: it goes on where it stopped."
VERSIONED = ("mechcot", "torch", "transformers", "trl", "numpy", "scikit-learn", "pyarrow", "sentencex")


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: of the stage, unique in the study.
        version: of its code; a change makes old outputs stale.
        settings: the JSON values that it depends on.
        inputs: files and folders of earlier stages that it reads, relative to the study.
        outputs: files and folders that it writes, likewise.
        run: does the work, given the folder for its work in flight.
        frozen: its outputs are not remade without `--restart-from`.
        outside: files outside the study that it reads.
        plan: says what it will take, whether or not what it reads is there yet; None: nothing is known.
    """

    name: str
    version: int
    settings: dict[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    run: Callable[[Path], None]
    frozen: bool = False
    outside: tuple[Path, ...] = field(default=())
    plan: Callable[[], Expense] | None = None


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for name in VERSIONED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def run_stages(
    root: Path,
    stages: Sequence[Stage],
    versions: dict[str, str],
    *,
    reread: bool = False,
    prepare: Callable[[], None] = lambda: None,
) -> None:
    """Run every stage whose key is not the recorded one, in order; `prepare` once before the first of them.

    What a stage reads and what it wrote must be the files that were recorded. They are read again when
    their size, times or inode are other ones, all of them with `reread`.
    The manifest holds the versions of this run, and beside each stage those that it was made with.

    Raises:
        StudyError: a frozen stage was made from something else, a file has changed since it was written,
            the manifest is gone, or a file cannot be written.
    """
    _refuse_unrecorded(root, stages)
    manifest, digests = load_manifest(root), Digests(root, reread=reread)
    if manifest["versions"] != versions or not (root / MANIFEST).exists():
        manifest["versions"] = versions
        save_manifest(root, manifest)
    told = own_digest(manifest)
    try:
        _run_in_order(root, stages, manifest, digests, prepare)
        if own_digest(manifest) != told:
            save_manifest(root, manifest)
    except OSError as error:
        raise DiskError(f"{files.disk_problem(error)}. {_AGAIN}") from error
    finally:
        digests.save()


def _run_in_order(
    root: Path,
    stages: Sequence[Stage],
    manifest: dict[str, Any],
    digests: Digests,
    prepare: Callable[[], None],
) -> None:
    prepared = False
    for number, stage in enumerate(stages, start=1):
        if _is_current(root, manifest, stage, digests):
            continue
        inputs, outside = _digests(root, manifest, stage, digests)
        key = _key(stage, inputs, outside)
        before = manifest["stages"].pop(stage.name, None)
        if before:  # killed from here on, its outputs may be of both runs
            save_manifest(root, manifest)
        if not prepared:
            prepare()
            prepared = True
        if on_terminal():  # its bar comes next; a log gets one line when it is done
            log.info("[%d/%d] %s", number, len(stages), stage.name)
        started = time.perf_counter()
        try:
            _run(root, stage, key)
        except Exception:
            if before and all(difference(root / n, d, digests) is None for n, d in before["outputs"].items()):
                manifest["stages"][stage.name] = before  # refused before it wrote: all is as it was
                save_manifest(root, manifest)
            raise
        seconds = time.perf_counter() - started
        if not on_terminal():
            log.info("[%d/%d] %s: %.1f s", number, len(stages), stage.name, seconds)
        _forget_writers(manifest, stage.outputs)
        manifest["stages"][stage.name] = {
            "key": key,
            "version": stage.version,
            "versions": manifest["versions"],
            "settings": stage.settings,
            "inputs": inputs,
            "outside": outside,
            **output_digests(root, stage.outputs, digests),
            "seconds": round(seconds, 3),
        }
        save_manifest(root, manifest)
        files.remove(root / "work" / stage.name)


def _refuse_unrecorded(root: Path, stages: Sequence[Stage]) -> None:
    """Refuse outputs without a manifest: hours of work would be made again without a word."""
    there = [name for stage in stages for name in stage.outputs if (root / name).exists()]
    if there and not (root / MANIFEST).exists():
        raise StudyError(
            f"{root / MANIFEST}: is missing, and so is what tells from what {there[0]} was made. Restore it "
            "from a copy, or name a new folder"
        )


def _forget_writers(manifest: dict[str, Any], outputs: tuple[str, ...]) -> None:
    """Take out stages of an earlier plan whose outputs another stage has written now."""
    for name in [n for n, record in manifest["stages"].items() if {*outputs} & {*record["outputs"]}]:
        del manifest["stages"][name]


def forget(root: Path, name: str) -> None:
    """Forget that a stage was done; its outputs stay until it is done again."""
    manifest = load_manifest(root)
    if manifest["stages"].pop(name, None):
        save_manifest(root, manifest)


def check_beside(root: Path, stages: Sequence[Stage], *, reread: bool = False) -> None:
    """Refuse a damaged file that something beside these stages wrote; one that is gone is left out.

    Args:
        root: the study.
        stages: which check their own.
        reread: whether to read every file again.

    Raises:
        StudyError: it is not as it was written.
    """
    manifest, digests = load_manifest(root), Digests(root, reread=reread)
    known = {stage.name for stage in stages}
    for name, (recorded, stage) in recorded_files(manifest).items():
        if stage not in known and (root / name).exists() and difference(root / name, recorded, digests):
            raise StudyError(
                f"{root / name} (stage {stage}) has changed since it was written: it is damaged, or of "
                "another arm or run. Restore it, or delete it: a run does without it"
            )
    digests.save()


def forget_from(root: Path, stages: Sequence[Stage], name: str) -> None:
    """Forget a stage and all after it, outputs included.

    Raises:
        UsageError: there is no such stage.
        StudyError: a frozen one before it was made from something else.
    """
    first, manifest, digests = _place(stages, name), load_manifest(root), Digests(root)
    for stage in stages[:first]:
        if stage.name not in manifest["stages"]:
            break  # not done yet, so nothing after it is bound to anything
        _is_current(root, manifest, stage, digests)
    for stage in stages[first:]:
        manifest["stages"].pop(stage.name, None)
        save_manifest(root, manifest)
        for output in stage.outputs:
            files.remove(root / output)
        files.remove(root / "work" / stage.name)


def _place(stages: Sequence[Stage], name: str) -> int:
    names = [stage.name for stage in stages]
    if name not in names:
        raise UsageError(f"there is no stage '{name}' to restart from; there are: {', '.join(names)}")
    return names.index(name)


def states_of(root: Path, stages: Sequence[Stage], restart_from: str | None = None) -> list[State]:
    """What `run_stages` would do with each stage; a stage whose inputs are made anew may stay as it is.

    Raises:
        UsageError: there is no such stage to restart from.
        StudyError: a frozen stage was made from something else.
    """
    manifest, digests = load_manifest(root), Digests(root)
    first = len(stages) if restart_from is None else _place(stages, restart_from)
    states: list[State] = []
    anew: set[str] = set()
    for number, stage in enumerate(stages):
        done = stage.name in manifest["stages"] and all((root / name).exists() for name in stage.outputs)
        if number >= first or not done:
            states.append("to do")
        elif anew & {*stage.inputs}:
            states.append("if changed")
        else:
            states.append("cached" if _is_current(root, manifest, stage, digests) else "to do")
        if states[-1] != "cached":
            anew |= {*stage.outputs}
    return states


def current_stages(root: Path, prefix: str) -> list[str]:
    """What follows the prefix in the names of stages whose inputs and outputs stand there as they made them.

    For work beside the pipeline, whose stages are not all known: a later run may have made their inputs anew.
    """
    stages = load_manifest(root)["stages"]
    made = {name: digest for record in stages.values() for name, digest in record["outputs"].items()}
    return [
        stage.removeprefix(prefix)
        for stage, record in stages.items()
        if stage.startswith(prefix)
        and all(made.get(name) == digest for name, digest in record["inputs"].items())
        and all((root / name).exists() for name in record["outputs"])
    ]


def _is_current(root: Path, manifest: dict[str, Any], stage: Stage, digests: Digests) -> bool:
    """Whether a stage is done and made from what it would be made from now.

    Raises:
        StudyError: it is done, frozen, and made from something else; or what it read or wrote has changed
            since.
    """
    record = manifest["stages"].get(stage.name)
    if not record or not all((root / name).exists() for name in stage.outputs):
        return False
    inputs, outside = _digests(root, manifest, stage, digests)
    if record["key"] != _key(stage, inputs, outside):  # perhaps by a digest that was kept and is damaged
        outside = {str(path): {"digest": digests.again(path)} for path in stage.outside}
    if record["key"] != _key(stage, inputs, outside):
        if stage.frozen:
            raise _changed(stage, record, inputs, outside)
        return False
    for name in stage.outputs:
        check_output(root, name, record["outputs"][name], stage.name, digests)
    if "files" not in record:  # of an earlier version
        record |= output_digests(root, stage.outputs, digests)
    return True


def _run(root: Path, stage: Stage, key: str) -> None:
    work = root / "work" / stage.name
    mark = work / "key"
    try:
        # Work in flight of another key (other settings, other inputs) is never continued.
        if mark.exists() and mark.read_text() != key:
            files.remove(work)
        work.mkdir(parents=True, exist_ok=True)
        files.write_text(mark, key)
        stage.run(work)
        rest()
    except MechcotError:
        raise
    except Exception as error:
        problem = files.disk_problem(error)
        if problem is None:
            raise
        raise DiskError(f"stage {stage.name} of {root}: {problem}. {_AGAIN}") from error
    missing = [name for name in stage.outputs if not (root / name).exists()]
    if missing:
        raise MechcotError(f"stage {stage.name} ended without writing {', '.join(missing)}")


def _digests(
    root: Path, manifest: dict[str, Any], stage: Stage, digests: Digests
) -> tuple[dict[str, str], dict[str, Any]]:
    """Digests of what a stage reads: inside the study as recorded, and checked; outside as it is now."""
    made = {
        name: (digest, writer)
        for writer, record in manifest["stages"].items()
        for name, digest in record["outputs"].items()
    }
    for name in stage.inputs:
        check_output(root, name, *made[name], digests)
    inputs = {name: made[name][0] for name in stage.inputs}
    return inputs, {str(path): {"digest": digests.of(path)} for path in stage.outside}


def _key(stage: Stage, inputs: dict[str, str], outside: dict[str, Any]) -> str:
    digests = sorted(entry["digest"] for entry in outside.values())
    parts = [stage.name, stage.version, stage.settings, inputs, digests]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _changed(
    stage: Stage, record: dict[str, Any], inputs: dict[str, str], outside: dict[str, Any]
) -> StudyError:
    changed = [path for path, entry in outside.items() if _digest_of(record, path) != entry["digest"]]
    changed += [name for name, value in inputs.items() if record["inputs"].get(name) != value]
    if record["version"] != stage.version:
        what = f"mechcot makes it another way now (version {record['version']} -> {stage.version})"
    elif changed:
        what = f"{', '.join(changed)} changed since"
    else:
        what = f"its settings were {record['settings']}, now they are {stage.settings}"
    return StudyError(
        f"stage {stage.name} of this study is done and {what}. Use another study folder, or make it and all "
        f"after it again with --restart-from {stage.name}"
    )


def _digest_of(record: dict[str, Any], path: str) -> str | None:
    entry = record["outside"].get(path)
    return entry["digest"] if entry else None
