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
from mechcot.core.errors import MechcotError, StudyError, UsageError
from mechcot.core.plan import Expense, State
from mechcot.core.progress import on_terminal

log = logging.getLogger("mechcot")

MANIFEST = "manifest.json"
VERSIONED = ("mechcot", "torch", "transformers", "trl", "numpy", "scikit-learn", "pyarrow")


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


def run_stages(root: Path, stages: Sequence[Stage], versions: dict[str, str]) -> None:
    """Run every stage whose key is not the recorded one, in order.

    The manifest holds the versions of this run, and beside each stage those that it was made with.

    Raises:
        StudyError: a frozen stage was made from something else, or a file cannot be written.
    """
    manifest = load_manifest(root)
    if manifest["versions"] != versions:
        manifest["versions"] = versions
        files.write_json(root / MANIFEST, manifest)
    for number, stage in enumerate(stages, start=1):
        if _is_current(root, manifest, stage):
            continue
        inputs, outside = _digests(root, manifest, stage)
        key = _key(stage, inputs, outside)
        if on_terminal():  # its bar comes next; a log gets one line when it is done
            log.info("[%d/%d] %s", number, len(stages), stage.name)
        started = time.perf_counter()
        _run(root, stage, key)
        seconds = time.perf_counter() - started
        if not on_terminal():
            log.info("[%d/%d] %s: %.1f s", number, len(stages), stage.name, seconds)
        manifest["stages"][stage.name] = {
            "key": key,
            "version": stage.version,
            "versions": versions,
            "settings": stage.settings,
            "inputs": inputs,
            "outside": outside,
            "outputs": {name: files.digest(root / name) for name in stage.outputs},
            "seconds": round(seconds, 3),
        }
        files.write_json(root / MANIFEST, manifest)
        files.remove(root / "work" / stage.name)


def forget_from(root: Path, stages: Sequence[Stage], name: str) -> None:
    """Forget a stage and all after it, outputs included.

    Raises:
        UsageError: there is no such stage.
        StudyError: a frozen one before it was made from something else.
    """
    first, manifest = _place(stages, name), load_manifest(root)
    for stage in stages[:first]:
        if stage.name not in manifest["stages"]:
            break  # not done yet, so nothing after it is bound to anything
        _is_current(root, manifest, stage)
    for stage in stages[first:]:
        manifest["stages"].pop(stage.name, None)
        files.write_json(root / MANIFEST, manifest)
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
    manifest = load_manifest(root)
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
            states.append("cached" if _is_current(root, manifest, stage) else "to do")
        if states[-1] != "cached":
            anew |= {*stage.outputs}
    return states


def verify(root: Path) -> list[str]:
    """Re-read every recorded digest; what does not fit, a line each."""
    problems = []
    for name, record in load_manifest(root)["stages"].items():
        for output, recorded in record["outputs"].items():
            if not (root / output).exists():
                problems.append(f"{output} (stage {name}): is missing")
            elif files.digest(root / output) != recorded:
                problems.append(f"{output} (stage {name}): has changed since it was written")
    return problems


def load_manifest(root: Path) -> dict[str, Any]:
    """The manifest, or an empty one."""
    if not (root / MANIFEST).exists():
        return {"format": "mechcot-study/1", "versions": {}, "stages": {}}
    manifest: dict[str, Any] = files.read_json(root / MANIFEST)
    if manifest.get("format") != "mechcot-study/1":
        raise StudyError(f"{root / MANIFEST}: the format is {manifest.get('format')!r}, not mechcot-study/1")
    return manifest


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


def _is_current(root: Path, manifest: dict[str, Any], stage: Stage) -> bool:
    """Whether a stage is done and made from what it would be made from now.

    Raises:
        StudyError: it is done, frozen, and made from something else.
    """
    record = manifest["stages"].get(stage.name)
    if not record or not all((root / name).exists() for name in stage.outputs):
        return False
    inputs, outside = _digests(root, manifest, stage)
    if record["key"] != _key(stage, inputs, outside) and stage.frozen:
        raise _changed(stage, record, inputs, outside)
    return bool(record["key"] == _key(stage, inputs, outside))


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
    except MechcotError:
        raise
    except Exception as error:
        problem = files.disk_problem(error)
        if problem is None:
            raise
        raise StudyError(
            f"stage {stage.name} of {root}: {problem}. "
            "Make room or fix the permissions and run again: it goes on where it stopped."
        ) from error
    missing = [name for name in stage.outputs if not (root / name).exists()]
    if missing:
        raise MechcotError(f"stage {stage.name} ended without writing {', '.join(missing)}")


def _digests(root: Path, manifest: dict[str, Any], stage: Stage) -> tuple[dict[str, str], dict[str, Any]]:
    made: dict[str, str] = {}
    for record in manifest["stages"].values():
        made.update(record["outputs"])
    inputs = {name: made[name] for name in stage.inputs}
    known = manifest["stages"].get(stage.name, {}).get("outside", {})
    outside: dict[str, Any] = {}
    for path in stage.outside:
        stamp = files.stamp(path)
        old = known.get(str(path))
        same = old is not None and old["stamp"] == stamp
        outside[str(path)] = {"stamp": stamp, "digest": old["digest"] if same else files.digest(path)}
    return inputs, outside


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
        f"stage {stage.name} of this study is done and {what}. "
        f"Use another study folder, or make it and all after it again with --restart-from {stage.name}"
    )


def _digest_of(record: dict[str, Any], path: str) -> str | None:
    entry = record["outside"].get(path)
    return entry["digest"] if entry else None
