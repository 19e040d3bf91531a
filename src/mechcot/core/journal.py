"""An append-only JSON Lines file for work in flight: a killed run loses at most its last line."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from mechcot.core.files import checksum

log = logging.getLogger("mechcot")


class Journal:
    """Entries of a stage that is under way, in the order they were finished.

    Behind the JSON of a line stand a tab and its checksum; journals of earlier versions have none. A line
    that is not what was written ends the journal: what follows may depend on it, and is done again.

    Attributes:
        path: the file.
        entries: all lines.
        results: what `keep` was given, by key; the last counts.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.entries = self._recover()
        self.results = {entry["task"]: entry["result"] for entry in self.entries if "task" in entry}
        self._sink = open(path, "ab")  # noqa: SIM115 - closed by close()

    def append(self, entry: dict[str, Any]) -> None:
        """Add an entry; it is on disk when this returns."""
        line = json.dumps(entry, ensure_ascii=False).encode()
        self._sink.write(line + b"\t" + checksum(line).encode() + b"\n")
        self._sink.flush()
        os.fsync(self._sink.fileno())
        self.entries.append(entry)

    def keep(self, key: str, result: Any) -> None:
        """Add the result of a task under its key."""
        self.append({"task": key, "result": result})
        self.results[key] = result

    def close(self) -> None:
        """Close the file."""
        self._sink.close()

    def _recover(self) -> list[dict[str, Any]]:
        """The whole lines up to the first that is none; the rest is cut off."""
        if not self.path.exists():
            return []
        entries: list[dict[str, Any]] = []
        kept = left = 0
        with open(self.path, "rb") as source:
            for line in source:
                entry = _entry(line) if not left else None
                if entry is None:
                    left += 1
                    continue
                entries.append(entry)
                kept += len(line)
            cut_short = left == 1 and not line.endswith(b"\n")  # by a kill
        if left and not cut_short:
            log.warning(
                "%s: line %d is damaged; it and the %d after it are done again",
                self.path,
                len(entries) + 1,
                left - 1,
            )
        os.truncate(self.path, kept)
        return entries


def _entry(line: bytes) -> dict[str, Any] | None:
    """What a line holds; None: it is not whole, or not what was written."""
    text, tab, claimed = line.removesuffix(b"\n").rpartition(b"\t")
    if not line.endswith(b"\n") or (tab and checksum(text) != claimed.decode(errors="replace")):
        return None
    try:
        entry = json.loads(text if tab else claimed)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
