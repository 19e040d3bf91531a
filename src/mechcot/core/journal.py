"""An append-only JSON Lines file for work in flight: a killed run loses at most its last line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class Journal:
    """Entries of a stage that is under way, in the order they were finished.

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
        self._sink = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed by close()

    def append(self, entry: dict[str, Any]) -> None:
        """Add an entry; it is on disk when this returns."""
        self._sink.write(json.dumps(entry, ensure_ascii=False) + "\n")
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
        """The whole lines; what a kill left of a last one is cut off."""
        if not self.path.exists():
            return []
        entries, kept = [], 0
        with open(self.path, "rb") as source:
            for line in source:
                try:
                    entries.append(json.loads(line))
                except ValueError:
                    break
                if not line.endswith(b"\n"):
                    entries.pop()
                    break
                kept += len(line)
        os.truncate(self.path, kept)
        return entries
