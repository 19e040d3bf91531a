"""The imported instrument: verdicts that were reached elsewhere and come as a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from mechcot.core.errors import DataError, said
from mechcot.core.files import check_file, read_json_lines
from mechcot.core.records import LABELS, STEP_KEY

StepKey = tuple[str, str, int, int]


def judge_by_table(steps: pd.DataFrame, path: Path) -> list[dict[str, Any]]:
    """Verdict rows (`records.VERDICTS`) of steps out of a file, in the order of `steps`.

    The file (parquet, CSV or JSON Lines) has the columns qid, arm, cid, sid and label, and may have
    reason and instrument ("table" when it has none). Rows of other arms, and of traces that have no
    steps here, are ignored.

    Raises:
        DataError: the file cannot be read, a column is missing, a label is unknown, or a step has no
            row, several rows, or a row exists for a step that its trace does not have. Rows are
            counted from 1, without the header.
    """
    table = _read(path)
    missing = [name for name in (*STEP_KEY, "label") if name not in table.columns]
    if missing:
        raise DataError(
            f"{path}: the columns {missing} are missing; it has {list(table.columns)}. "
            f"A table of verdicts has {[*STEP_KEY, 'label']}, and may have reason and instrument"
        )
    wanted: dict[tuple[str, str, int], set[int]] = defaultdict(set)
    step: Any
    for step in steps.itertuples(index=False):
        wanted[str(step.qid), step.arm, int(step.cid)].add(int(step.sid))
    arms = {arm for _, arm, _ in wanted}
    found: dict[StepKey, tuple[int, dict[str, Any]]] = {}
    for number, raw in enumerate(table.to_dict("records"), start=1):
        row = {str(name): value for name, value in raw.items()}
        if row["arm"] not in arms:
            continue
        key = _key(f"{path}, row {number}", row)
        if key[:3] not in wanted:
            continue
        if key[3] not in wanted[key[:3]]:
            raise DataError(
                f"{path}, row {number}: {_named(key)} does not exist; that trace has "
                f"{len(wanted[key[:3]])} steps. Were the verdicts made with another segmenter?"
            )
        if key in found:
            raise DataError(
                f"{path}, row {number}: {_named(key)} has a verdict in row {found[key][0]} already. "
                "Keep one row a step (one instrument a file)"
            )
        found[key] = (number, _verdict(f"{path}, row {number}", key, row))
    return [_of_step(step, found, path) for step in steps.itertuples(index=False)]


def _of_step(step: Any, found: dict[StepKey, tuple[int, dict[str, Any]]], path: Path) -> dict[str, Any]:
    key = (str(step.qid), step.arm, int(step.cid), int(step.sid))
    if key not in found:
        raise DataError(
            f"{path}: {_named(key)} has no row. Every step needs one; for steps without a verdict write "
            "the label abstain, not_checkable or api_failure"
        )
    return found[key][1]


def _verdict(where: str, key: StepKey, row: dict[str, Any]) -> dict[str, Any]:
    if row["label"] not in LABELS:
        raise DataError(f"{where}: the label {row['label']!r} is unknown; there are {', '.join(LABELS)}")
    qid, arm, cid, sid = key
    return {
        "qid": qid,
        "arm": arm,
        "cid": cid,
        "sid": sid,
        "instrument": _text(row.get("instrument")) or "table",
        "label": row["label"],
        "reason": _text(row.get("reason")),
    }


def _key(where: str, row: dict[str, Any]) -> StepKey:
    return _text(row["qid"]), row["arm"], _whole(where, row, "cid"), _whole(where, row, "sid")


def _whole(where: str, row: dict[str, Any], column: str) -> int:
    try:
        number = float(row[column])
    except (TypeError, ValueError):
        number = float("nan")
    if not number.is_integer() or number < 0:
        raise DataError(f"{where}: {column} is {row[column]!r}; a whole number, counted from 0, is needed")
    return int(number)


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value)


def _named(key: StepKey) -> str:
    qid, arm, cid, sid = key
    return f"step {sid} of trace {cid} of question '{qid}' of arm {arm}"


def _read(path: Path) -> pd.DataFrame:
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".parquet": pd.read_parquet,
        ".csv": lambda p: pd.read_csv(p, dtype=str, keep_default_na=False, encoding="utf-8-sig"),
        ".jsonl": lambda p: pd.DataFrame(read_json_lines(p), dtype=object),
    }
    if path.suffix not in readers:
        raise DataError(f"{path}: verdicts come from {', '.join(readers)}")
    if not path.exists():
        raise DataError(
            f"{path} does not exist. Write it with a row for every step of arms/*/steps.parquet "
            f"({', '.join((*STEP_KEY, 'label'))}), and run again"
        )
    check_file(path)
    try:
        return readers[path.suffix](path)
    except (ValueError, OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as {path.suffix[1:]}: {said(error)}") from error
