"""A filled sheet as its rows: the page's export or a spreadsheet's CSV, taken as it stands or refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mechcot.analyses.handed_out.table import read_table
from mechcot.analyses.sheet.page import COLUMNS, GUESSES, VERDICTS
from mechcot.core.errors import DataError

LABELS = dict(zip(VERDICTS, ("correct", "erroneous", "abstain", "not_checkable"), strict=True))
"""What people say, in the words that verdicts use."""
_SHOWN = ("question", "options", "right answer", "steps before", "step")
_REQUIRED = ("sheet", "item", "verdict")


@dataclass(frozen=True)
class Answer:
    """One row that somebody filled in.

    Attributes:
        label: "correct", "erroneous", "abstain" (cannot tell), "not_checkable" (no claim) or "".
        guess: "before", "after", "unsure" or "".
        comment: free text.
    """

    label: str
    guess: str
    comment: str


@dataclass(frozen=True)
class Filled:
    """A filled sheet.

    Attributes:
        answers: item to what was filled in; items without a row are left out.
        ignored: columns that are none of a sheet's.
    """

    answers: dict[str, Answer]
    ignored: tuple[str, ...]


def read_filled(path: Path, sheet: str, items: Mapping[str, object]) -> Filled:
    """Read a filled sheet.

    Columns may stand in any order, separated by commas, semicolons or tabs, with or without a byte
    order mark; columns that the sheet does not know are ignored. A verdict is one of its words or
    its number, in any case. Rows are counted as spreadsheets do: the header is row 1.

    Args:
        path: the file.
        sheet: the name that every row must bear.
        items: the sheet's items.

    Raises:
        DataError: it cannot be read, lacks a column or has one twice; a row bears another sheet's
            name or an unknown item, says something unknown, or is there twice; no row has a verdict.
    """
    header, rows = read_table(path, _REQUIRED, (*COLUMNS, *_SHOWN))
    answers: dict[str, Answer] = {}
    seen: dict[str, int] = {}
    for number, cells in rows:
        row = dict(zip(header, cells, strict=True))
        where = f"{path}, row {number}"
        item, name = row["item"].strip(), row["sheet"].strip()
        if name != sheet:
            raise DataError(
                f"{where}: the sheet is {name!r}, and the key's is '{sheet}'. "
                "Name the key that was drawn with it: --key"
            )
        if item not in items:
            raise DataError(f"{where}: the item {item!r} is not on the sheet; ids must stay as they were")
        if item in seen:
            raise DataError(f"{where}: the item '{item}' stands in row {seen[item]} already; keep one")
        seen[item] = number
        answers[item] = Answer(
            label=_verdict(where, row["verdict"]),
            guess=_guess(where, row.get("guess", "")),
            comment=row.get("comment", "").strip(),
        )
    if not any(answer.label for answer in answers.values()):
        raise DataError(f"{path}: no row has a verdict ({', '.join(VERDICTS)}); there is nothing to import")
    known = {*COLUMNS, *_SHOWN, ""}
    return Filled(answers, tuple(name for name in header if name not in known))


def _verdict(where: str, value: str) -> str:
    words = " ".join(value.replace("_", " ").lower().split())
    if words in ("1", "2", "3", "4"):
        words = list(VERDICTS)[int(words) - 1]
    if words and words not in LABELS:
        raise DataError(
            f"{where}: the verdict {value!r} is none of {', '.join(VERDICTS)} (or 1 to 4, or empty)"
        )
    return LABELS[words] if words else ""


def _guess(where: str, value: str) -> str:
    word = value.strip().lower()
    if word and word not in GUESSES:
        raise DataError(f"{where}: the guess {value!r} is none of {', '.join(GUESSES)} (or empty)")
    return word
