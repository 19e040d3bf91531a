"""Sealed keys: what is handed out bears the digest of its key, and random ids that say nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mechcot.core import files
from mechcot.core.errors import DataError, StudyError

if TYPE_CHECKING:
    from mechcot.study.folder import Study

_LETTERS = "bcdfghjkmnpqrstvwxz"  # no vowel makes a word, no digit a spreadsheet's number


def key_text(key: dict[str, Any]) -> str:
    """A key as its file holds it; the same key gives the same text."""
    return json.dumps(key, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def sealed_name(kind: str, key: bytes) -> str:
    """What something is called that was handed out: by the digest of its key."""
    return f"{kind}-{hashlib.sha256(key).hexdigest()[:16]}"


def open_key(path: Path, kind: str, form: int | str) -> tuple[dict[str, Any], str]:
    """A key and the name of what it seals.

    Args:
        path: `key.json`.
        kind: "sheet", ...
        form: its format.

    Raises:
        DataError: it cannot be read, or is no key of this format.
    """
    try:
        sealed = files.read_json(path)
    except DataError as error:
        raise DataError(f"{error}. Name the {kind}'s key (key.json) with --key") from error
    if not isinstance(sealed, dict) or sealed.get("format") != form:
        raise DataError(
            f"{path}: is no key of format {form}; name the key.json that was written with the {kind}"
        )
    return sealed, sealed_name(kind, path.read_bytes())


def random_ids(n: int, rng: np.random.Generator) -> list[str]:
    """Different ids in random order."""
    ids: dict[str, None] = {}
    while len(ids) < n:
        ids["".join(rng.choice(list(_LETTERS), size=6))] = None
    return list(ids)


def refuse_existing(out: Path, names: Sequence[str], what: str) -> None:
    """Refuse to write where something was handed out already (StudyError)."""
    there = [name for name in names if (out / name).exists()]
    if there:
        raise StudyError(
            f"{out / there[0]} exists, and {what} is never overwritten: people may be filling it. "
            "Name another folder with --out"
        )


def digests(study: Study, paths: Iterable[Path]) -> dict[str, str]:
    """Digests of a study's files by their place in it."""
    return {path.relative_to(study.path).as_posix(): files.digest(path) for path in paths}


def refuse_other_sources(
    study: Study, key: Path, sealed: dict[str, Any], found: dict[str, str], what: str
) -> None:
    """Refuse a study whose tables are not those of the draw (StudyError)."""
    for file, digest in found.items():
        if sealed["sources"].get(file) != digest:
            raise StudyError(
                f"{study.path / file} is not the file that {key} was drawn from; {what} cannot be "
                "found in it. Name the study it belongs to, or draw anew"
            )
