"""An examples file: prompts and the completions that the student shall learn to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from mechcot.core.errors import DataError
from mechcot.core.records import EXAMPLES, absent, check_encodable, read_any


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
    frame = read_any(path)
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
        if absent(text) or (isinstance(text, str) and not text.strip()):
            raise DataError(f"{where}: the {name} is empty")
        if not isinstance(text, str):
            raise DataError(f"{where}: expected a text as {name}, found a {type(text).__name__}")
        check_encodable(text, where, f"the {name}")
    eid, qid = values.get("eid"), values.get("qid")
    for name, cell in (("eid", eid), ("qid", qid)):
        check_encodable(str(cell), where, f"the {name}")
    row = {
        "eid": str(number) if absent(eid) or eid == "" else str(eid),
        "qid": "" if absent(qid) else str(qid),
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
    if absent(value) or value == "":
        return -1
    try:
        number = float(value)
        if number != int(number):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{where}: answer_start must be a whole number, found {value!r}") from None
    return int(number)
