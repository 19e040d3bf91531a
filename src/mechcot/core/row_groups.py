"""Rows of some questions out of a table on disk: only the row groups that hold them are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def n_rows(path: Path) -> int:
    """Rows of a table; 0 where there is none."""
    return int(pq.read_metadata(path).num_rows) if path.exists() else 0


def rows_of(
    path: Path,
    columns: Sequence[str] | None = None,
    qids: Sequence[str] | None = None,
    *,
    categories: bool = False,
) -> pa.Table:
    """Rows of a table in the order of its file.

    Args:
        path: the file.
        columns: names of its columns; None: all.
        qids: questions whose rows are wanted, if the table has a column `qid`; None: all rows.
        categories: whether text shall be categories, a few bytes a row.
    """
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
    there = schema.names
    names = there if columns is None else list(columns)
    coded = [name for name in names if categories and _textual(schema.field(name).type)]
    if qids is None or "qid" not in there:
        return pq.read_table(path, columns=names, read_dictionary=coded).unify_dictionaries()
    stat = path.stat()
    places = _row_groups(path, stat.st_size, stat.st_mtime_ns)
    groups = sorted({group for qid in qids for group in places.get(qid, ())})
    with pq.ParquetFile(path, read_dictionary=coded) as file:
        rows = file.read_row_groups(groups, columns=list(dict.fromkeys([*names, "qid"])))
    own = pc.is_in(rows["qid"].cast(pa.string()), pa.array(qids, pa.string()))
    return rows.filter(own).select(names).unify_dictionaries()


def _textual(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


@lru_cache(maxsize=32)
def _row_groups(path: Path, size: int, changed: int) -> Mapping[str, Sequence[int]]:
    """Which row groups of a file, of a size and time of change, hold rows of each question."""
    found: dict[str, list[int]] = {}
    with pq.ParquetFile(path, read_dictionary=["qid"]) as file:
        for group in range(file.num_row_groups):
            for qid in pc.unique(file.read_row_group(group, columns=["qid"])["qid"]).to_pylist():
                found.setdefault(qid, []).append(group)
    return found
