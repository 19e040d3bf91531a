"""Decoys of one's own: statements of known truth from a file."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd

from mechcot.core import records
from mechcot.core.errors import DataError

log = logging.getLogger("mechcot")

_NEEDED = ("qid", "arm", "text", "truth")
_TRUTH = {"true": True, "false": False, "1": True, "0": False}


def read_decoys(
    path: Path, arms: tuple[str, str], questions: Collection[str], known: Collection[str]
) -> pd.DataFrame:
    """Statements of known truth: parquet, JSON Lines or CSV with qid, arm, text and truth.

    Args:
        path: the file.
        arms: that may stand in it.
        questions: ids of those that are judged; rows of other questions are left out, and how many is said.
        known: ids of all questions of the study.

    Returns:
        qid, arm, cid (0), sid (counted from 0 for each question and arm), text and truth.

    Raises:
        DataError: the file cannot be read, lacks a column, or has a row with an unknown question, another
            arm, an empty text, a truth that is neither true nor false, or the same statement as an earlier
            row; or none of its rows is of these questions. Rows are counted from 1, without a header.
    """
    table = records.read_any(path)
    missing = [name for name in _NEEDED if name not in table.columns]
    if missing:
        raise DataError(f"{path}: the columns {missing} are missing; decoys have {list(_NEEDED)}")
    rows: list[dict[str, Any]] = []
    numbers: dict[tuple[str, str], int] = {}
    seen: dict[tuple[str, str, str], int] = {}
    for number, row in enumerate(table.to_dict("records"), start=1):
        qid, arm, text, truth = _row(f"{path}, row {number}", row, arms, known)
        first = seen.setdefault((qid, arm, text), number)
        if first != number:
            raise DataError(f"{path}, row {number}: the statement stands in row {first} already")
        if qid in questions:
            sid = numbers.get((qid, arm), 0)
            numbers[qid, arm] = sid + 1
            rows.append({"qid": qid, "arm": arm, "cid": 0, "sid": sid, "text": text, "truth": truth})
    if not rows:
        raise DataError(f"{path}: none of its {len(table)} rows is of a question that is judged")
    if len(rows) < len(table):
        log.info(
            "%s: %d of its %d rows are of questions that are not judged",
            *(path, len(table) - len(rows), len(table)),
        )
    return pd.DataFrame(rows)


def _row(
    where: str, row: dict[Any, Any], arms: tuple[str, str], known: Collection[str]
) -> tuple[str, str, str, bool]:
    said = {name: "" if records.absent(row[name]) else str(row[name]) for name in _NEEDED}
    if said["qid"] not in known:
        raise DataError(f"{where}: the study has no question '{said['qid']}'")
    if said["arm"] not in arms:
        raise DataError(f"{where}: the arm is {said['arm']!r}; there are {' and '.join(arms)}")
    if not said["text"].strip():
        raise DataError(f"{where}: the text is empty")
    truth = _TRUTH.get(said["truth"].strip().lower().removesuffix(".0"))
    if truth is None:
        raise DataError(f"{where}: the truth is {said['truth']!r}; write true or false")
    return said["qid"], said["arm"], said["text"], truth
