"""Pairs of a claim and its minimal correction, out of a file: the list of facts of a real study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mechcot.core.errors import DataError
from mechcot.core.records import absent, check_encodable, read_any
from mechcot.tasks.base import Fact, Question

COLUMNS = ("id", "subject", "claim", "correction", "checked")
PAIR = "pair"
"""The kind of such a fact: its objects are whole statements, the correction first."""
STEM = "Which of these two statements is true?"
_YES, _NO = ("yes", "true", "1"), ("no", "false", "0")


def load_pairs(path: Path) -> list[tuple[Fact, bool]]:
    """Read a file of pairs: parquet, JSON Lines or CSV, told by its suffix.

    A pair is a false claim and the same statement with as little changed as makes it true. `checked` says
    whether a second judge bore the correction out. A column `stratum` may sort the pairs.

    Args:
        path: the file.

    Returns:
        Each pair as a fact, and whether its correction was checked; in the order of the file.

    Raises:
        DataError: with file, row (the first is row 1, a header not counted) and value: a column is missing,
            the file is empty, an id stands there twice, a text is missing or no text, claim and correction
            are the same, or `checked` says neither yes nor no.
    """
    frame = read_any(path)
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise DataError(
            f"{path}: the columns {missing} are missing; it has {list(frame.columns)}. A file of pairs has "
            f"{', '.join(COLUMNS)}, and may have stratum"
        )
    if frame.empty:
        raise DataError(f"{path}: holds no pairs")
    rows: dict[str, int] = {}
    made = []
    for number, values in enumerate(frame.to_dict("records"), start=1):
        where = f"{path}, row {number}"
        fact, checked = _pair(values, where)
        first = rows.setdefault(fact.fid, number)
        if first != number:
            raise DataError(
                f"{where}: the id {fact.fid!r} stands in row {first} already. Give each pair its own"
            )
        made.append((fact, checked))
    return made


def _pair(values: dict[Any, Any], where: str) -> tuple[Fact, bool]:
    fid, subject, claim, correction = (_text(values[name], where, name) for name in COLUMNS[:4])
    if " ".join(claim.split()) == " ".join(correction.split()):
        raise DataError(
            f"{where}: claim and correction are the same: {claim[:60]!r}. A pair is a false claim and what "
            "makes it true"
        )
    said = "" if absent(values["checked"]) else str(values["checked"]).strip().lower().removesuffix(".0")
    if said not in (*_YES, *_NO):
        raise DataError(
            f"{where}: checked is {values['checked']!r}; expected yes or no: whether a second judge bore the "
            "correction out"
        )
    stratum = values.get("stratum")
    question = Question(fid, "", STEM, (correction, claim), 0, subject)
    fact = Fact(
        fid=fid,
        kind=PAIR,
        relation=PAIR,
        subject=subject,
        group=subject,
        stratum="" if absent(stratum) else _text(stratum, where, "stratum", empty=True),
        truth=(correction,),
        objects=(correction, claim),
        bare="",
        question=question,
        reasoning="",
    )
    return fact, said in _YES


def _text(value: Any, where: str, name: str, *, empty: bool = False) -> str:
    if absent(value) or (not empty and not str(value).strip()):
        raise DataError(f"{where}: {name} is empty. Write it, or leave the row out")
    if isinstance(value, bool | float | list | dict) or (not isinstance(value, str) and name in COLUMNS[2:4]):
        raise DataError(f"{where}: {name} is {value!r}; expected a text")
    text = str(value)
    check_encodable(text, where, name)
    return text.strip()
