"""An examples file: prompts and the completions that the student shall learn to write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from mechcot.errors import DataError
from mechcot.files import read_json_lines
from mechcot.records import EXAMPLES, read_table


def load_examples(path: Path) -> pd.DataFrame:
    """Read an examples file: parquet, JSON Lines or CSV, told by its suffix.

    `prompt` and `completion` are needed. Where they are missing, `eid` becomes the row's number,
    `qid` stays empty and `answer_start` is -1 (no answer part). Other columns are left out.

    Args:
        path: a file `*.parquet`, `*.jsonl`, `*.ndjson` or `*.csv`.

    Returns:
        One row an example, columns as in `records.EXAMPLES`.

    Raises:
        DataError: with file and row (the first is row 1, a header not counted): the file cannot be
            read, a column is missing, a prompt or completion is empty or no text, `answer_start`
            lies outside the completion, or an `eid` occurs twice.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: expected one of {', '.join(_READERS)}, found the suffix '{path.suffix}'")
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    frame = reader(path)
    missing = [name for name in ("prompt", "completion") if name not in frame.columns]
    if missing:
        raise DataError(f"{path}: the columns {missing} are missing; it has {list(frame.columns)}")
    if frame.empty:
        raise DataError(f"{path}: holds no examples")
    rows = [_checked(values, f"{path}: row {i}", i) for i, values in enumerate(frame.to_dict("records"), 1)]
    seen: dict[str, int] = {}
    for i, row in enumerate(rows, 1):
        first = seen.setdefault(row["eid"], i)
        if first != i:
            raise DataError(f"{path}: row {i}: eid '{row['eid']}' is already that of row {first}")
    return pd.DataFrame(rows, columns=EXAMPLES.names).astype({"answer_start": "int32"})


def _checked(values: dict[Any, Any], where: str, number: int) -> dict[str, Any]:
    for name in ("prompt", "completion"):
        text = values[name]
        if _absent(text) or (isinstance(text, str) and not text.strip()):
            raise DataError(f"{where}: the {name} is empty")
        if not isinstance(text, str):
            raise DataError(f"{where}: expected a text as {name}, found a {type(text).__name__}")
    eid, qid = values.get("eid"), values.get("qid")
    row = {
        "eid": str(number) if _absent(eid) or eid == "" else str(eid),
        "qid": "" if _absent(qid) else str(qid),
        "prompt": values["prompt"],
        "completion": values["completion"],
    }
    start = _whole_number(values.get("answer_start"), where)
    if not -1 <= start < len(row["completion"]):
        raise DataError(
            f"{where}: answer_start is {start}, the completion has {len(row['completion'])} characters; "
            "expected a position in it, or -1 for no answer part"
        )
    return {**row, "answer_start": start}


def _whole_number(value: Any, where: str) -> int:
    if _absent(value) or value == "":
        return -1
    try:
        number = float(value)
        if number != int(number):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{where}: answer_start must be a whole number, found {value!r}") from None
    return int(number)


def _absent(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)


def _read_lines(path: Path) -> pd.DataFrame:
    try:
        rows = read_json_lines(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    # Whole numbers stay whole numbers beside missing values only in columns of plain objects.
    return pd.DataFrame(rows, dtype=object)


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        # "NA" and "null" are text here, and an id such as 007 keeps its zeros.
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not a readable CSV file: {error}") from error


_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".parquet": read_table,
    ".jsonl": _read_lines,
    ".ndjson": _read_lines,
    ".csv": _read_csv,
}
