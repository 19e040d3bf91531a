"""A table of questions as it lies in a file or on the Hub, before any row is looked at."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa

from mechcot.core import files
from mechcot.core.errors import DataError, MissingDependency, said
from mechcot.core.question_settings import QuestionSettings
from mechcot.tasks.logs import questions_in, read_log

HUB = "hub:"
"""How the path of a data set of the Hub begins."""


def source_file(settings: QuestionSettings) -> Path | None:
    """The local file that questions come from; None: the Hub."""
    return None if settings.path.startswith(HUB) else Path(settings.path).expanduser()


def read_source(settings: QuestionSettings) -> pd.DataFrame:
    """The rows of a file or of a data set of the Hub, columns as they are there.

    Raises:
        DataError: they cannot be had.
    """
    path = source_file(settings)
    if path is None:
        return _read_hub(settings)
    log = read_log(path)
    return _read_file(path) if log is None else questions_in(log, _named(settings))


def _named(settings: QuestionSettings) -> set[str]:
    """The columns that the settings name, of `a.b` the column `a`."""
    told = settings.columns.model_dump().values()
    names = [name for value in told if value for name in ((value,) if isinstance(value, str) else value)]
    return {part for name in names for part in (name, name.partition(".")[0])}


def _read_csv(path: Path) -> pd.DataFrame:
    csv.field_size_limit(max(csv.field_size_limit(), path.stat().st_size + 1))
    try:
        with open(path, encoding="utf-8-sig", newline="") as source:
            rows = [row for row in csv.reader(source) if row]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 ({said(error)}). Save it as UTF-8") from error
    header = rows[0] if rows else []
    if (len(header) == 1 and re.search(r"[;\t]", header[0])) or header[:1] == ["sep="]:
        raise DataError(
            f"{path}: the header begins with {header[0][:80]!r}: fields are parted by commas here. Save it "
            "with commas, without a line 'sep='"
        )
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(header):
            raise DataError(
                f"{path}, row {number}: there are {len(row)} fields and {len(header)} columns, from "
                f"{row[0][:80]!r} on. Put quotes around a text that holds a comma"
            )
    for name in header:
        if header.count(name) > 1:
            raise DataError(f"{path}: two columns are named '{name}'; rename one")
    # An id such as 007 keeps its zeros, and "NA" is a text.
    return pd.read_csv(path, keep_default_na=False, dtype=str, encoding="utf-8-sig")


def _read_json(path: Path) -> pd.DataFrame:
    text = path.read_text(encoding="utf-8-sig")
    try:
        loaded = json.loads(text, object_pairs_hook=files.unique_keys)
    except json.JSONDecodeError:
        if not text.lstrip().startswith("{") or "\n{" not in text:
            raise
        return pd.DataFrame(files.read_json_lines(path), dtype=object)  # named .json, as CoTempQA's are
    if isinstance(loaded, list) and all(isinstance(row, dict) for row in loaded):
        return pd.DataFrame(loaded, dtype=object)
    if isinstance(loaded, dict) and all(isinstance(column, dict | list) for column in loaded.values()):
        return pd.DataFrame(loaded, dtype=object)
    raise DataError(f"{path}: expected a list of objects, or an object of columns")


_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".parquet": pd.read_parquet,
    ".csv": _read_csv,
    ".jsonl": lambda path: pd.DataFrame(files.read_json_lines(path), dtype=object),
    ".json": _read_json,
}


def _read_file(path: Path) -> pd.DataFrame:
    if path.suffix not in _READERS:
        raise DataError(f"{path}: questions come from {', '.join(_READERS)}, a log or hub:OWNER/NAME")
    if not path.exists():
        raise DataError(f"{path} does not exist")
    files.check_file(path)
    try:
        return _READERS[path.suffix](path)
    except (ValueError, OSError, RecursionError, csv.Error, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as {path.suffix[1:]}: {said(error)}") from error


def _read_hub(settings: QuestionSettings) -> pd.DataFrame:
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise MissingDependency("datasets", "models") from error
    name = settings.path.removeprefix(HUB)
    place = ", ".join(
        f"{what} {value}"
        for what, value in (
            ("configuration", settings.config),
            ("split", settings.split),
            ("revision", settings.revision),
        )
        if value is not None
    )
    try:
        found = load_dataset(name, settings.config, split=settings.split, revision=settings.revision)
        table: pd.DataFrame = found.to_pandas()
    except Exception as error:  # of datasets, of the Hub's client, of what lies there
        raise DataError(
            f"{settings.path}, {place}: the Hub did not give it: {said(error)}. Check the name, the split, "
            "the network, and where its owners ask for it their terms and your login. Or fetch that file "
            f"from the page of {name} elsewhere and set questions.path to where you put it (parquet, JSON "
            "Lines, JSON or CSV; the columns stay as they are)"
        ) from error
    return table
