"""How fast a study's own models read and write here, by the seconds that its stages took."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from mechcot.core import files
from mechcot.core.plan import Expense

_PACE = (
    "Seconds of what has never run: at the pace at which this study's own traces were read and written, "
    "within a factor of about four where the machine does nothing else."
)


@dataclass(frozen=True)
class Pace:
    """Seconds of work that has tokens, where none are recorded.

    What reads and writes otherwise than a reading and a sampling do goes faster or slower: within a factor of
    about four. Tokens out are at most, and so are most often the seconds.

    Attributes:
        root: the study.
        stages: as its manifest has them.
        notes: what there is to say of what was foretold.
    """

    root: Path
    stages: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def of(self, row: Expense) -> Expense:
        """The same work with its seconds, where the pace of the study's models is known; no server's is."""
        if row.seconds is not None or row.calls != 0 or row.tokens_in is None or row.tokens_out is None:
            return row
        read = self.seconds("reading", row.tokens_in, 0)
        written = self.seconds("sampling", 0, row.tokens_out)
        if (row.tokens_in and read is None) or (row.tokens_out and written is None):
            return row
        seconds = (read or 0.0) + (written or 0.0)
        if not seconds:
            return row
        self.notes[:] = [_PACE]
        return replace(row, seconds=seconds)

    def seconds(self, kind: str, read: float, written: float) -> float | None:
        """What a reading or a sampling of so many tokens takes; None: none has run, or it is neither.

        Args:
            kind: `reading` or `sampling`.
            read: tokens.
            written: likewise.
        """
        if kind == "reading":
            return read / self._reads if self._reads else None
        return written / self._writes if kind == "sampling" and self._writes else None

    @cached_property
    def _reads(self) -> float | None:
        """Tokens a second that the readings read."""
        return self._rate("read-", lambda output: files.read_json(output / "reading.json")["tree_tokens"])

    @cached_property
    def _writes(self) -> float | None:
        """Tokens a second that the arms with weights here wrote."""
        return self._rate("sample-", _written)

    def _rate(self, begins: str, count: Any) -> float | None:
        tokens = seconds = 0.0
        for name, record in self.stages.items():
            output = next((self.root / name for name in record["outputs"]), self.root)
            own = name.startswith(begins) and "server" not in record["settings"]
            if own and output.exists():
                tokens, seconds = tokens + count(output), seconds + record["seconds"]
        return tokens / seconds if tokens and seconds else None


def _written(traces: Path) -> int:
    column = pq.read_table(traces, columns=["token_ids"]).column("token_ids")
    return int(pc.sum(pc.list_value_length(column)).as_py() or 0)
