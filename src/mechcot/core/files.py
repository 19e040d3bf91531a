"""Files that appear whole or not at all, and digests of files and folders."""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import os
import shutil
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mechcot.core.errors import DataError, said


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears whole or not at all: written beside, fsync, renamed when the block ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.tmp")
    try:
        with open(beside, "wb") as sink:
            yield sink
            sink.flush()
            os.fsync(sink.fileno())
        os.replace(beside, path)
    except OSError as error:
        # What a full disk refuses to write comes without a name.
        error.filename = error.filename or str(path)
        raise
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with whole(path) as sink:
        sink.write(text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all, keys sorted; NaN is refused."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n")


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """Read a text file.

    Raises:
        DataError: it is missing, no file (a folder; a pipe, which would never end) or no text.
    """
    check_file(path)
    try:
        return path.read_text(encoding=encoding)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: cannot be read as UTF-8: byte {error.start} is no part of a character"
        ) from None


def check_file(path: Path) -> None:
    """Refuse what cannot be read like a file (DataError)."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in its name
        raise DataError(f"{str(path)!r}: cannot be read: {error}") from error
    if stat.S_ISDIR(mode):
        raise DataError(f"{path}: cannot be read: it is a folder, not a file")
    if not stat.S_ISREG(mode):
        raise DataError(f"{path}: cannot be read: it is a pipe or a device, not a file; write a file first")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: it is missing or damaged.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON: {said(error)}") from error


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object as `object_pairs_hook`, each key once: else the last of two would win in silence.

    Raises:
        ValueError: a key stands there twice.
    """
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} stands there twice")
        found[key] = value
    return found


def python_value(text: str) -> Any:
    """A list, dict, text or number as Python writes it.

    Raises:
        ValueError: it is none, or a dict with a key twice.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                unique_keys([(ast.literal_eval(key) if key else "**", None) for key in node.keys])
        return ast.literal_eval(tree)
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"neither JSON nor a Python value: {error}") from error


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read a JSON Lines file, values as they stand; blank lines are left out.

    Raises:
        DataError: it cannot be read, or a line holds no JSON object, or one with a key twice.
    """
    # Not splitlines: that would cut a text at a U+2028 inside it.
    lines = read_text(path, "utf-8-sig").split("\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=unique_keys)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: line {number} is not JSON: {said(error)}") from error
        if not isinstance(row, dict):
            raise DataError(f"{path}: line {number}: expected an object, found a {type(row).__name__}")
        rows.append(row)
    return rows


def checksum(data: bytes) -> str:
    """CRC-32 as eight hex digits: no flipped byte or half a write passes it, and it costs nothing."""
    return f"{zlib.crc32(data):08x}"


def source_of(script: str) -> str:
    """What a page's content security policy knows one of its own scripts by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def digest(path: Path, of_file: Callable[[Path], str] = file_digest) -> str:
    """SHA-256 of a file, or of a folder's file names and contents; dot files are left out.

    Args:
        path: the file or folder.
        of_file: gives the digest of one file.
    """
    if path.is_file():
        return of_file(path)
    total = hashlib.sha256()
    for file in files_in(path):
        total.update(f"{file.relative_to(path).as_posix()}\0{of_file(file)}\n".encode())
    return total.hexdigest()


def files_in(folder: Path) -> list[Path]:
    """All files below a folder in a fixed order, dot files left out."""
    found = (p for p in folder.rglob("*") if p.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def disk_problem(error: Exception) -> str | None:
    """What an error says about the disk, in one line; None: it is about something else.

    Tensors are written by compiled code, whose error for a full disk is no `OSError`.
    """
    if isinstance(error, OSError):
        what = error.strerror or str(error)
        return f"{error.filename}: {what}" if error.filename else what
    return str(error) if "(os error " in str(error) else None


def remove(path: Path) -> None:
    """Remove a file or folder if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
