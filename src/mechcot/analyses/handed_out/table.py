"""A filled table, the page's export or what a spreadsheet saved, taken as it stands or refused."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from mechcot.core.errors import DataError
from mechcot.core.files import check_file

_LARGEST_CELL = 16 * 2**20


def read_table(
    path: Path, required: Sequence[str], known: Sequence[str]
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header and the rows that hold something, each with its number and as many cells as the header.

    Columns may stand in any order, separated by commas, semicolons or tabs, with or without a byte
    order mark. Rows are counted as spreadsheets do: the header is row 1.

    Args:
        path: the file.
        required: columns that it must have.
        known: columns that it may have once.

    Raises:
        DataError: it cannot be read, lacks a column or has one twice, or a row is too long.
    """
    found = _cells(path)
    header = [" ".join(cell.split()).lower() for cell in found[0]] if found else []
    for name in known:
        if header.count(name) > 1:
            raise DataError(f"{path}: the column '{name}' is there {header.count(name)} times; keep one")
    missing = [name for name in required if name not in header]
    if missing:
        raise DataError(f"{path}: the columns {missing} are missing; it has {header}")
    rows = []
    for number, cells in enumerate(found[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if any(cell.strip() for cell in cells[len(header) :]):
            raise DataError(f"{path}, row {number}: it has {len(cells)} cells, the header {len(header)}")
        rows.append((number, (cells + [""] * len(header))[: len(header)]))
    return header, rows


def _cells(path: Path) -> list[list[str]]:
    check_file(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 ({error}); save it as 'CSV UTF-8'") from error
    if "\0" in text:
        raise DataError(f"{path}: holds NUL characters and is no CSV file; save it as 'CSV UTF-8'")
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    limit = csv.field_size_limit(_LARGEST_CELL)  # a cell may hold a whole step
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}: is not a readable CSV file: {error}") from error
    finally:
        csv.field_size_limit(limit)
