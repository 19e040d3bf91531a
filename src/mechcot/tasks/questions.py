"""Questions from a file or from the Hub, each row checked."""

from __future__ import annotations

import csv
import json
from numbers import Integral
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from mechcot.core import files
from mechcot.core.errors import DataError, MissingDependency, said
from mechcot.core.settings import ColumnNames, QuestionSettings
from mechcot.tasks.base import LETTERS


def source_file(settings: QuestionSettings) -> Path | None:
    """The local file that questions come from; None: the Hub."""
    return None if settings.path.startswith("hub:") else Path(settings.path).expanduser()


def load_questions(settings: QuestionSettings) -> pd.DataFrame:
    """Load questions as the questions table (`records.QUESTIONS`).

    Options may be a list, a JSON list, or an object from letter to text; the right answer may be the
    option's letter, its text or its index (counted from 0).

    Raises:
        DataError: the file cannot be read, a column is missing, or a row has fewer than two options or
            more than letters, an empty option, two equal ones, a gold that is no option, an empty
            field, or an id that another row has.
    """
    path = source_file(settings)
    name = str(path) if path else settings.path
    table = _read_file(path, settings.columns) if path else _read_hub(settings)
    if settings.limit is not None:
        table = table.head(settings.limit)
    if table.empty:
        raise DataError(f"{name}: holds no questions")
    columns = settings.columns
    for key, column in columns.model_dump().items():
        required = key in ("stem", "options", "gold") or (key == "qid" and column != "qid")
        if column is not None and column not in table.columns and (required or key in ("domain", "group")):
            raise DataError(
                f"{name}: there is no column '{column}' for {key}; there are {list(table.columns)}. "
                f"Map it with questions.columns.{key}=..."
            )
    rows = [_row(name, number, row, columns) for number, row in enumerate(table.to_dict("records"), start=1)]
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, start=1):
        if row["qid"] in seen:
            raise DataError(
                f"{name}, row {number}: the id '{row['qid']}' is already that of row {seen[row['qid']]}"
            )
        seen[row["qid"]] = number
    return pd.DataFrame(rows)


def _row(name: str, number: int, row: dict[Any, Any], columns: ColumnNames) -> dict[str, Any]:
    where = f"{name}, row {number}"
    letters, options = _options(where, row[columns.options])
    if len(options) < 2:
        raise DataError(f"{where}: has {len(options)} option; a question needs at least two")
    if len(options) > len(LETTERS):
        raise DataError(f"{where}: has {len(options)} options; at most {len(LETTERS)} have a letter")
    for letter, option in zip(letters, options, strict=True):
        if not option.strip():
            raise DataError(f"{where}: option {letter} is empty. Fix the row, or leave the option out")
    if len({option.casefold() for option in options}) < len(options):
        raise DataError(f"{where}: two options have the same text: {options}")
    stem = row[columns.stem]
    if not isinstance(stem, str) or not stem.strip():
        raise DataError(f"{where}: the question in column '{columns.stem}' is empty or no text: {stem!r}")
    for key, column in (("qid", columns.qid), ("domain", columns.domain), ("group", columns.group)):
        if column in row and not _text(row[column]).strip():
            raise DataError(
                f"{where}: the {key} in column '{column}' is empty. "
                f"Fill it in every row, or set questions.columns.{key}=null"
            )
    qid = str(row[columns.qid]) if columns.qid in row else f"q{number:05d}"
    return {
        "qid": qid,
        "domain": str(row[columns.domain]) if columns.domain else "all",
        "stem": stem,
        "options": options,
        "gold": _gold(where, row[columns.gold], letters, options),
        "group": str(row[columns.group]) if columns.group else qid,
        "stratum": "",
    }


def _options(where: str, value: Any) -> tuple[list[str], list[str]]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise DataError(f"{where}: the options are neither a list nor JSON: {value[:80]!r}") from None
    if isinstance(value, dict) and {"text", "label"} <= set(value):
        return [str(label) for label in value["label"]], [_text(text) for text in value["text"]]
    if isinstance(value, dict):
        pairs = [(str(key), _text(text)) for key, text in value.items() if text is not None]
        return [key for key, _ in pairs], [text for _, text in pairs]
    if hasattr(value, "__iter__"):
        options = [_text(text) for text in value]
        return list(LETTERS[: len(options)]), options
    raise DataError(f"{where}: the options are a {type(value).__name__}; a list or an object is needed")


def _text(value: Any) -> str:
    """A cell as text; empty when nothing stands there."""
    return "" if value is None or value is pd.NA or value != value else str(value)


def _gold(where: str, value: Any, letters: list[str], options: list[str]) -> int:
    if isinstance(value, str):
        if value in letters:
            return letters.index(value)
        if value in options:
            return options.index(value)
    elif (
        isinstance(value, (int, float, Integral))
        and not isinstance(value, bool)
        and value in range(len(options))
    ):
        return int(value)
    raise DataError(
        f"{where}: the gold answer {value!r} is not among the options {letters[0]}-{letters[-1]}. "
        "Fix the row, or map the column with questions.columns.gold=..."
    )


def _read_csv(path: Path, columns: ColumnNames) -> pd.DataFrame:
    with open(path, encoding="utf-8-sig", newline="") as source:
        header = next(csv.reader(source), [])
    for name in header:
        if header.count(name) > 1:
            raise DataError(f"{path}: two columns are named '{name}'; rename one")
    # Only the gold may be a number (an index); an id such as 007 keeps its zeros.
    texts: dict[Any, Any] = {name: str for name in header if name != columns.gold}
    return pd.read_csv(path, keep_default_na=False, dtype=texts, encoding="utf-8-sig")


def _read_file(path: Path, columns: ColumnNames) -> pd.DataFrame:
    readers: dict[str, Any] = {
        ".parquet": pd.read_parquet,
        ".csv": lambda p: _read_csv(p, columns),
        ".jsonl": lambda p: pd.DataFrame(files.read_json_lines(p), dtype=object),
        ".json": lambda p: pd.read_json(p, dtype=False),
    }
    if path.suffix not in readers:
        raise DataError(f"{path}: questions come from {', '.join(readers)} or hub:OWNER/NAME")
    if not path.exists():
        raise DataError(f"{path} does not exist")
    files.check_file(path)
    try:
        table: pd.DataFrame = readers[path.suffix](path)
    except (ValueError, OSError, RecursionError, csv.Error, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as {path.suffix[1:]}: {said(error)}") from error
    return table


def _read_hub(settings: QuestionSettings) -> pd.DataFrame:
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise MissingDependency("datasets", "models") from error
    name = settings.path.removeprefix("hub:")
    try:
        table: pd.DataFrame = load_dataset(name, split=settings.split).to_pandas()
    except (OSError, ValueError) as error:
        raise DataError(f"{name}, split {settings.split}: the Hub did not give it: {error}") from error
    return table
