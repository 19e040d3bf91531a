"""The meta data and the index of a store of activations, and the checks that they fit its files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from mechcot.core import files, records
from mechcot.core.errors import DataError, StudyError

FORMAT = "mechcot-activations/1"

STEP_RULES = ("end", "start", "mean", "before")
"""Position rules that a step's own span defines: its last token, its first, the mean over all of
them, and the token before it (what the model had before it wrote the step)."""

EVERY_TOKEN = "token"
"""The position rule that keeps every token of the completion; its rows are tokens, not steps."""


def _index_schema(unit: str) -> pa.Schema:
    names = ("cid", unit, "shard", "row")
    return pa.schema([("qid", pa.string()), ("arm", pa.string()), *((name, pa.int32()) for name in names)])


INDEX = _index_schema("sid")
TOKENS = _index_schema("token")

_FIELDS = {
    "reader": str,
    "model_digest": str,
    "sites": list,
    "layers": list,
    "places": list,
    "rules": list,
    "dtype": str,
    "d_model": int,
    "n_rows": int,
    "shards": list,
    "index": dict,
}
"""What meta.json must hold."""

_FILE = {"file": str, "bytes": int, "sha256": str}
_SHARD = {"rows": int, "tokens": int}


def checked_meta(path: Path) -> dict[str, Any]:
    """The meta data of a store.

    Raises:
        StudyError: they are missing, damaged or not of this format.
    """
    if not path.exists():
        raise StudyError(f"{path}: does not exist, so there are no activations to open")
    try:
        meta = files.read_json(path)
    except DataError as error:
        raise StudyError(str(error)) from error
    found = meta.get("format") if isinstance(meta, dict) else None
    if found != FORMAT:
        raise StudyError(f"{path}: expected the format {FORMAT!r}, found {found!r}")
    fields = dict(_FIELDS)
    if isinstance(meta.get("rules"), list) and EVERY_TOKEN in meta["rules"]:
        fields |= {"tokens": dict, "n_tokens": int}
    for name, kind in fields.items():
        if not isinstance(meta.get(name), kind):
            raise StudyError(f"{path}: {name!r} must be a {kind.__name__}, it is {meta.get(name)!r}")
    if not all(isinstance(place, list) and list(map(type, place)) == [str, int] for place in meta["places"]):
        raise StudyError(f"{path}: 'places' must be a list of [site, layer], it is {meta['places']!r}")
    shards = len(meta["shards"])
    for number, entry in enumerate(files_of(meta)):
        wanted = _FILE | (_SHARD if number < shards else {})
        sound = isinstance(entry, dict) and all(isinstance(entry.get(k), v) for k, v in wanted.items())
        if not sound or Path(entry["file"]).name != entry["file"]:
            raise StudyError(
                f"{path}: a file needs {', '.join(wanted)}, and lies in the store itself; found {entry!r}"
            )
    return dict(meta)


def files_of(meta: Mapping[str, Any]) -> Iterator[Any]:
    """What the meta data say of each file: `file`, `bytes`, `sha256`."""
    yield from meta["shards"]
    yield meta["index"]
    if "tokens" in meta:
        yield meta["tokens"]


def check_size(file: Path, size: int) -> None:
    """Refuse a file that is missing or of another size (StudyError)."""
    if not file.is_file():
        raise StudyError(f"{file}: is missing; run the reading again")
    if file.stat().st_size != size:
        raise StudyError(
            f"{file}: has {file.stat().st_size} bytes, {size} were written; run the reading again"
        )


def check_digest(file: Path, sha256: str) -> None:
    """Refuse a file that is not the one that was written (StudyError)."""
    if files.digest(file) != sha256:
        raise StudyError(f"{file}: is damaged or foreign (its SHA-256 differs); run the reading again")


def checked_index(
    path: Path, meta: Mapping[str, Any], name: str, schema: pa.Schema, unit: str, n_rows: int
) -> pd.DataFrame:
    """An index whose rows lie in the shards.

    Args:
        path: the store.
        meta: its meta data.
        name: `index` or `tokens`.
        schema: its columns.
        unit: what of a shard it points into: `rows` or `tokens`.
        n_rows: how many rows it shall have.

    Raises:
        StudyError: it is damaged, or of another store.
    """
    file = path / meta[name]["file"]
    check_digest(file, meta[name]["sha256"])
    try:
        index = records.read_table(file, schema)[schema.names]
    except DataError as error:
        raise StudyError(str(error)) from error
    if len(index) != n_rows:
        raise StudyError(f"{file}: has {len(index)} rows, meta.json says {n_rows}")
    sizes = np.array([entry[unit] for entry in meta["shards"]], np.int64)
    shard, row = (index[column].to_numpy(np.float64, na_value=-1) for column in ("shard", "row"))
    known = (shard >= 0) & (shard < len(sizes))
    fits = known & (row >= 0) & (row < np.append(sizes, 0)[np.where(known, shard, -1).astype(np.int64)])
    if not fits.all():
        bad = index.iloc[int(np.flatnonzero(~fits)[0])]
        raise StudyError(
            f"{file}: question {bad.qid!r}, arm {bad.arm!r}, trace {bad.cid}: points at row {bad.row} of "
            f"shard {bad.shard}, which does not have it; run the reading again"
        )
    return index
