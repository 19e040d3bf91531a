"""Digests of a study's files, each read again only when its size, times or inode are other ones."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from mechcot.core import files
from mechcot.core.errors import DataError

CACHE = Path("work") / "digests.json"
_SETTLED_NS = 2 * 10**9
"""A file that changed a moment ago may change again within one tick of the clock: it is read again."""


class Digests:
    """SHA-256 of files and folders, as `files.digest` gives them.

    Args:
        root: the study, whose `work/digests.json` holds what was read before.
        reread: whether to read every file again.
    """

    def __init__(self, root: Path, *, reread: bool = False) -> None:
        self.root = root
        self._known = {} if reread else _load(root / CACHE)
        self._new = False

    def of(self, path: Path) -> str:
        """The digest of a file or folder."""
        return files.digest(path, self._of_file)

    def again(self, path: Path) -> str:
        """The same, read from the disk whatever was known."""
        for file in [path] if path.is_file() else files.files_in(path):
            self._known.pop(self._name(file), None)
        return self.of(path)

    def save(self) -> None:
        """Keep what is known for the next process; a study that cannot be written goes without."""
        if self._new:
            try:
                files.write_json(self.root / CACHE, self._known)
            except OSError:
                return
            self._new = False

    def _of_file(self, path: Path) -> str:
        name, stamp = self._name(path), _stamp(os.stat(path))
        if self._known.get(name, [None])[:-1] == stamp:
            return str(self._known[name][-1])
        found = files.file_digest(path)
        after = os.stat(path)
        if _stamp(after) == stamp and time.time_ns() - after.st_ctime_ns > _SETTLED_NS:
            self._known[name], self._new = [*stamp, found], True
        return found

    def _name(self, path: Path) -> str:
        inside = path.is_relative_to(self.root)
        return path.relative_to(self.root).as_posix() if inside else str(path.absolute())


def _stamp(stat: os.stat_result) -> list[int]:
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _load(path: Path) -> dict[str, list[Any]]:
    """What was known; nothing of a file that is damaged."""
    try:
        known = files.read_json(path) if path.exists() else {}
    except DataError:
        return {}
    sound = isinstance(known, dict) and all(isinstance(v, list) and len(v) == 5 for v in known.values())
    return known if sound else {}
