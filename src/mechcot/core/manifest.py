"""A study's manifest: what each stage read and wrote, by digest, and the refusal of any other file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mechcot.core import files
from mechcot.core.digests import Digests
from mechcot.core.errors import DataError, StudyError

MANIFEST = "manifest.json"
SETTINGS = "study.yaml"
FORMAT = "mechcot-study/1"
HANDED_OUT = "handed-out"
"""How records of files begin that people may take away (a sheet and its key)."""
_KEYS = {"format", "versions", "stages", "settings", "registered", "sha256"}
_RECORD = {"key": str, "version": int, "settings": dict, "inputs": dict, "outside": dict, "outputs": dict}


def check_study(root: Path) -> None:
    """Refuse a folder that is no study.

    Raises:
        StudyError: it has no study.yaml; with the studies near by that are called nearly so.
    """
    if (root / SETTINGS).exists():
        return
    if root.is_file():
        raise StudyError(f"{root} is no study but a file; a study is a folder{_meant(root.parent)}")
    why = "it holds no study.yaml" if root.exists() else "there is no such folder"
    raise StudyError(f"{root} is no study: {why}{_meant(root) or f'. Make one with: mechcot run {root}'}")


def check_place(path: Path) -> None:
    """Refuse what can neither be a study nor become one.

    Raises:
        StudyError: a file, or a folder with something else in it.
    """
    if path.exists() and not path.is_dir():
        raise StudyError(f"{path} is a file; a study is a folder")
    if not path.exists() and path.suffix in (".yaml", ".yml", ".json"):
        raise StudyError(
            f"{path}: there is no such file. A study is a folder; its settings are given by --config FILE"
        )
    other = path.exists() and any(p.name != "work" for p in path.iterdir())
    if other and not (path / SETTINGS).exists():
        raise StudyError(
            f"{path} is not empty and no study (no study.yaml){_meant(path) or '. Name a new folder'}"
        )


def _meant(root: Path) -> str:
    """What may have been meant, as the end of a sentence; "" where nothing is near."""
    near = studies_near(root)
    return f". Did you mean {' or '.join(map(str, near))}?" if near else ""


def studies_near(root: Path) -> list[Path]:
    """Studies that a name may have meant: those inside it or, else, near it and called nearly so.

    Args:
        root: what was named.

    Returns:
        At most three, the nearest name first.
    """
    inside = sorted(path.parent for path in root.glob(f"*/{SETTINGS}"))
    if inside:
        return inside[:3]
    beside = next((above for above in root.parents if above.is_dir()), root)
    found = [path.parent for deep in ("*", "*/*") for path in beside.glob(f"{deep}/{SETTINGS}")]
    shown = [path for path in sorted(found) if path != root and path.name[0] != "."]
    by_name = {str(path.relative_to(beside)): path for path in shown}
    by_name |= {path.name: path for path in by_name.values()}
    close = get_close_matches(str(root.relative_to(beside)), by_name, n=3)
    return list(dict.fromkeys(by_name[name] for name in close))


def load_manifest(root: Path) -> dict[str, Any]:
    """The manifest without its own digest, or an empty one where there is none.

    Raises:
        StudyError: it is damaged or of another format.
    """
    path = root / MANIFEST
    if not path.exists():
        return {"format": FORMAT, "versions": {}, "stages": {}}
    try:
        manifest = files.read_json(path)
    except DataError as error:
        raise StudyError(f"{error}. {_RESTORE}") from error
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise StudyError(f"{path}: the format is {found!r}, not {FORMAT}. {_RESTORE}")
    stages = manifest.get("stages")
    whole = isinstance(stages, dict) and all(isinstance(r, dict) and _is_record(r) for r in stages.values())
    # A manifest of an earlier version has no digest of its own.
    if (
        not whole
        or {*manifest} - _KEYS
        or manifest.get("sha256", own_digest(manifest)) != own_digest(manifest)
    ):
        raise StudyError(f"{path}: is damaged. {_RESTORE}")
    return {name: value for name, value in manifest.items() if name != "sha256"}


_RESTORE = "Restore it from a copy; without it nothing tells what the study's files were made from"


def _is_record(record: Mapping[str, Any]) -> bool:
    return all(isinstance(record.get(name), kind) for name, kind in _RECORD.items())


def save_manifest(root: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest with its own digest."""
    files.write_json(root / MANIFEST, {**manifest, "sha256": own_digest(manifest)})


def own_digest(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of what a manifest says beside this digest."""
    rest = {name: value for name, value in manifest.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def recorded_files(manifest: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Every file that a stage wrote, relative to the study: its digest and its stage."""
    found = {}
    for stage, record in manifest["stages"].items():
        listed = record.get("files", {})
        folders = {name for name in record["outputs"] if any(file.startswith(f"{name}/") for file in listed)}
        alone = {name: digest for name, digest in record["outputs"].items() if name not in folders}
        found.update({name: (digest, stage) for name, digest in {**alone, **listed}.items()})
    return found


def recorded_outputs(manifest: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """The same, and the folders that stages wrote as a whole."""
    whole = {
        name: (digest, stage)
        for stage, record in manifest["stages"].items()
        for name, digest in record["outputs"].items()
    }
    return whole | recorded_files(manifest)


def output_digests(root: Path, outputs: tuple[str, ...], digests: Digests) -> dict[str, dict[str, str]]:
    """What a stage's record says of its outputs: `outputs`, and `files`, those that lie in folders."""
    inside = [file for name in outputs if (root / name).is_dir() for file in files.files_in(root / name)]
    return {
        "outputs": {name: digests.of(root / name) for name in outputs},
        "files": {file.relative_to(root).as_posix(): digests.of(file) for file in inside},
    }


def check_output(root: Path, name: str, recorded: str, stage: str, digests: Digests) -> None:
    """Refuse a file or folder of a study that is not the one that its stage wrote (StudyError)."""
    problem = difference(root / name, recorded, digests)
    if problem:
        raise StudyError(
            f"{root / name} (stage {stage}) {problem}: it is damaged, or of another arm or run. Restore it, "
            f"or delete it and make it again: mechcot run {root}"
        )


def difference(path: Path, recorded: str, digests: Digests) -> str | None:
    """How a file or folder differs from what was recorded, None: not at all."""
    if not path.exists():
        return "is missing"
    same = digests.of(path) == recorded or digests.again(path) == recorded
    return None if same else "has changed since it was written"


def check_settings(root: Path) -> None:
    """Refuse a study.yaml that mechcot did not write (StudyError)."""
    problem = settings_problem(root, load_manifest(root))
    if problem:
        raise StudyError(
            f"{root / SETTINGS} {problem}. Restore it; settings are changed with --set, and a file of your "
            f"own is taken over with --config (this one: mechcot run {root} --config {root / SETTINGS})"
        )


def settings_problem(root: Path, manifest: Mapping[str, Any]) -> str | None:
    """What is wrong with study.yaml; None: nothing, or an earlier version did not record it."""
    known, path = manifest.get("settings"), root / SETTINGS
    if not path.is_file():
        return "is missing"
    return None if known is None or files.digest(path) in known else "has changed since it was written"


def save_settings(root: Path, text: str) -> None:
    """Write study.yaml and record it; a kill at any instant leaves one that is recorded."""
    path, digest = root / SETTINGS, hashlib.sha256(text.encode()).hexdigest()
    manifest = load_manifest(root)
    if path.is_file() and files.digest(path) == digest and manifest.get("settings") == [digest]:
        return
    if path.is_file():
        save_manifest(root, manifest | {"settings": [files.digest(path), digest]})
        files.write_text(path, text)
    else:
        files.write_text(path, text)
    save_manifest(root, manifest | {"settings": [digest]})


def damaged(root: Path) -> str:
    """What of a study's files is not as it was written, in a line; "" where nothing is known to be so.

    A file is read again only where its size, times or inode changed; a large one (`_LARGE`) not even then.

    Raises:
        StudyError: the manifest is damaged.
    """
    manifest, digests = load_manifest(root), Digests(root)
    found = []
    for name, (recorded, stage) in recorded_files(manifest).items():
        path = root / name
        bulky = name.startswith("models/") or "/activations/" in name  # taken out where room is short
        if stage.startswith(HANDED_OUT) or (bulky and not path.exists()):
            continue
        if path.is_file() and path.stat().st_size > _LARGE:
            continue
        problem = difference(path, recorded, digests)
        found += [f"{path} (stage {stage}) {problem}"] if problem else []
    digests.save()
    if not found:
        return ""
    more = f", and {len(found) - 1} more (mechcot verify {root} names them)" if len(found) > 1 else ""
    fix = "" if found[0].endswith("is missing") else "Restore it, or delete it and "
    return f"{found[0]}{more}. {fix}make it again: mechcot run {root}".replace(". make", ". Make")


_LARGE = 2**26


def verify(root: Path) -> list[str]:
    """Read every recorded file again; what does not fit, a line each.

    Raises:
        StudyError: there is no manifest, or it is damaged: nothing can be verified.
    """
    if not (root / MANIFEST).exists():
        raise StudyError(f"{root / MANIFEST}: is missing. {_RESTORE}")
    manifest, digests = load_manifest(root), Digests(root, reread=True)
    problems = [f"{SETTINGS}: {problem}"] if (problem := settings_problem(root, manifest)) else []
    for name, (recorded, stage) in recorded_files(manifest).items():
        taken = stage.startswith(HANDED_OUT) and not (root / name).exists()
        problem = None if taken else difference(root / name, recorded, digests)
        if problem:
            problems.append(f"{name} (stage {stage}): {problem}")
    for stage, record in manifest["stages"].items():
        for name, recorded in record["outputs"].items():
            if stage.startswith(HANDED_OUT):
                continue
            told = any(line.startswith((f"{name}/", f"{name} (")) for line in problems)
            if not told and (problem := difference(root / name, recorded, digests)):
                problems.append(f"{name} (stage {stage}): {problem}")  # as by a file more
    digests.save()
    return problems
