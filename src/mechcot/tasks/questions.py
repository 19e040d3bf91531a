"""Questions from a file or from the Hub, each row checked."""

from __future__ import annotations

import csv
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa

from mechcot.core import files
from mechcot.core.errors import DataError, MissingDependency, said
from mechcot.core.question_settings import ColumnNames, GoldKind, QuestionSettings
from mechcot.core.records import absent, check_encodable
from mechcot.tasks.options import Gold, Options, is_mark, parsed, read_gold, read_options

log = logging.getLogger("mechcot")

RowT = TypeVar("RowT")
MadeT = TypeVar("MadeT")


@dataclass(frozen=True)
class Loaded:
    """What a file of questions holds.

    Attributes:
        table: the questions (`records.QUESTIONS`, or `records.OPEN_QUESTIONS` whose only option is the gold).
        n_rows: how many rows the file has, up to the limit.
        skipped: why a row is left out, by its number; empty unless `on_bad_row` is `skip`.
    """

    table: pd.DataFrame
    n_rows: int
    skipped: dict[int, str]

    def told(self) -> dict[str, Any]:
        """For `skipped.json`: the rows left out and their number."""
        rows = [{"row": row, "why": why} for row, why in self.skipped.items()]
        return {"rows": self.n_rows, "questions": len(self.table), "n_skipped": len(rows), "skipped": rows}


def source_file(settings: QuestionSettings) -> Path | None:
    """The local file that questions come from; None: the Hub."""
    return None if settings.path.startswith("hub:") else Path(settings.path).expanduser()


def load_questions(settings: QuestionSettings) -> pd.DataFrame:
    """Load questions as the questions table: `read_questions` without the rows left out."""
    return read_questions(settings).table


def read_questions(settings: QuestionSettings) -> Loaded:
    """Load questions, and say which rows are left out.

    Options may have any of `options.SHAPES`, or stand in a column each (`columns.options: [opa, opb, ...]`);
    the columns' names are their labels where all are letters or small numbers, and an empty one (without
    such names: at the end) is an option less. The right answer may be an option's label, its text or its
    place, counted from 0 or from 1. Where two of these name different options, or nothing tells from
    where a file counts, it is refused until `questions.gold_is` says what the column holds. Without a
    column of options the questions are open: the answer stands in the row itself. A file whose answers are
    letters or digits beside what looks like options is refused then, unless `gold_is` is told.

    Raises:
        DataError: the file cannot be read, a column is missing, no row is left, or (unless `on_bad_row`
            is `skip`) a row has fewer than two options or more than letters, an empty option, two equal
            ones, a gold that is no option or may be two, an empty field, half of a character, or an id
            that another row has.
    """
    path = source_file(settings)
    name = str(path) if path else settings.path
    columns = settings.columns
    table = _read_file(path) if path else _read_hub(settings)
    if settings.limit is not None:
        table = table.head(settings.limit)
    if table.empty:
        raise DataError(f"{name}: holds no questions")
    _check_columns(name, table, columns)
    rows = _Rows(name, settings.on_bad_row == "skip")
    typed = path is None or path.suffix != ".csv"
    numbered = [(number, dict(row)) for number, row in enumerate(table.to_dict("records"), start=1)]
    drafts = rows.each(numbered, lambda at, number, row: _draft(at, number, row, columns, typed))
    if columns.options is None and settings.gold_is is None:
        _check_open(name, table, columns, [draft.gold.value for _, draft in drafts])
    kind = settings.gold_is or _counting(name, [draft for _, draft in drafts])
    done = rows.each(drafts, lambda at, _, draft: draft.question(at, kind, settings.gold_is is not None))
    seen: dict[str, int] = {}
    kept = rows.each(done, lambda at, number, row: _once(at, number, row, seen))
    rows.tell(len(table), len(kept))
    return Loaded(pd.DataFrame([row for _, row in kept]), len(table), dict(sorted(rows.skipped.items())))


_OPTIONS_HINT = (
    ", or set it to null where the questions are open. Options in columns of their own are listed: "
    "questions.columns.options=[opa, opb, opc, opd]"
)


def _check_columns(name: str, table: pd.DataFrame, columns: ColumnNames) -> None:
    named = columns.model_dump()
    if isinstance(columns.options, tuple):
        if len(set(columns.options)) < max(len(columns.options), 2):
            raise DataError(
                f"{name}: questions.columns.options={list(columns.options)} is not two columns or more"
            )
        lost = next((one for one in columns.options if one not in table.columns), columns.options[0])
        named["options"] = lost
    for key, column in named.items():
        required = key in ("stem", "options", "gold") or (key == "qid" and column != "qid")
        if column is not None and column not in table.columns and (required or key in ("domain", "group")):
            hint = _OPTIONS_HINT if key == "options" else ""
            raise DataError(
                f"{name}: there is no column '{column}' for {key}; there are {list(table.columns)}. "
                f"Map it with questions.columns.{key}=...{hint}"
            )


_OPTION_NAME = re.compile(r"(?P<stem>.*?)[ _.-]*(?P<mark>[A-Ja-j]|\d)")
_PLACE = re.compile(r"\(?(?:[A-Ja-j]|\d)(?:\.0)?[.)]{0,2}")


def _check_open(name: str, table: pd.DataFrame, columns: ColumnNames, golds: Sequence[Any]) -> None:
    """Refuse open questions whose answers are letters or digits beside columns that look like options.

    Raises:
        DataError: they are.
    """
    places = [gold for gold in golds if _PLACE.fullmatch(str(gold).strip())]
    found = _like_options(table, columns)
    if found and 2 * len(places) > len(golds):
        raise DataError(
            f"{name}: the questions would be open (questions.columns.options is null), but {len(places)} of "
            f"{len(golds)} answers in column '{columns.gold}' name an option, such as {places[0]!r}, and "
            f"{found} look like options. Set questions.columns.options="
            f"{found[0] if len(found) == 1 else '[' + ', '.join(found) + ']'}; if the questions are open, "
            "set questions.gold_is=any"
        )


def _like_options(table: pd.DataFrame, columns: ColumnNames) -> list[str]:
    """Columns that look like options: one of lists or objects, or several that are counted: opa, opb."""
    used = {columns.qid, columns.stem, columns.gold, columns.domain, columns.group}
    free = [str(column) for column in table.columns if column not in used]
    for column in free:
        if any(_several(cell) for cell in table[column]):
            return [column]
    counted: dict[str, list[str]] = {}
    for column in free:
        if match := _OPTION_NAME.fullmatch(column):
            counted.setdefault(match["stem"].lower(), []).append(column)
    most = max(counted.values(), key=len, default=[])
    return most if len(most) > 1 else []


def _several(cell: Any) -> bool:
    """Whether a cell holds two things or more: a list, an object, or one of them written as text."""
    if isinstance(cell, str) and cell.strip()[:1] in ("[", "{"):
        try:
            cell = parsed("", "", cell)
        except DataError:
            return False
    return isinstance(cell, Mapping | list | tuple | np.ndarray) and len(cell) > 1


class _Rows:
    """The rows of a file, and those among them that are left out as bad."""

    def __init__(self, name: str, skip: bool) -> None:
        self.name = name
        self.skip = skip
        self.skipped: dict[int, str] = {}

    def each(
        self, rows: Sequence[tuple[int, RowT]], make: Callable[[str, int, RowT], MadeT]
    ) -> list[tuple[int, MadeT]]:
        """What `make` makes of every row, given where it stands and its number."""
        done = []
        for number, row in rows:
            where = f"{self.name}, row {number}"
            try:
                done.append((number, make(where, number, row)))
            except DataError as error:
                if not self.skip:
                    raise
                self.skipped[number] = str(error).removeprefix(f"{where}: ")
        return done

    def tell(self, n_rows: int, n_kept: int) -> None:
        """Say what was left out, and refuse a file of which nothing is left."""
        if not self.skipped:
            return
        first, why = min(self.skipped.items())
        lost = f"{len(self.skipped)} of {n_rows} rows are skipped, the first is row {first}: {why}"
        if not n_kept:
            raise DataError(f"{self.name}: no row is a question that can be used; {lost}")
        log.warning("%s: %s", self.name, lost)


@dataclass(frozen=True)
class _Draft:
    """A row before it is settled what its gold means."""

    fields: dict[str, Any]
    options: Options | None
    gold: Gold

    def question(self, where: str, kind: GoldKind | None, told: bool) -> dict[str, Any]:
        """The row of the questions table."""
        if self.options is None:
            texts = self.gold.texts(where, kind)
            return {**self.fields, "options": texts[:1], "gold": 0, "open": True, "accepted": texts}
        gold = self.gold.option(where, self.options, kind, told)
        return {**self.fields, "options": self.options.texts, "gold": gold}


def _draft(where: str, number: int, row: dict[Any, Any], columns: ColumnNames, typed: bool) -> _Draft:
    options = None if columns.options is None else read_options(where, _options(row, columns.options))
    stem = row[columns.stem]
    if not isinstance(stem, str) or not stem.strip():
        raise DataError(f"{where}: the question in column '{columns.stem}' is empty or no text: {stem!r}")
    for key, column in (("qid", columns.qid), ("domain", columns.domain), ("group", columns.group)):
        if column in row and (absent(row[column]) or not str(row[column]).strip()):
            raise DataError(
                f"{where}: the {key} in column '{column}' is empty. "
                f"Fill it in every row, or set questions.columns.{key}=null"
            )
    qid = str(row[columns.qid]) if columns.qid in row else f"q{number:05d}"
    fields = {
        "qid": qid,
        "domain": str(row[columns.domain]) if columns.domain else "all",
        "stem": stem,
        "group": str(row[columns.group]) if columns.group else qid,
        "stratum": "",
    }
    for what, text in fields.items():
        check_encodable(text, where, f"the {what}")
    for text in (*options.labels, *options.texts) if options else ():
        check_encodable(text, where, f"the option {text!r}")
    return _Draft(fields, options, read_gold(where, row[columns.gold], options, typed))


def _options(row: dict[Any, Any], columns: str | tuple[str, ...]) -> Any:
    """What a row says of its options: a cell, or several with the names of their columns."""
    if isinstance(columns, str):
        return row[columns]
    cells = {name: None if absent(row[name]) or not str(row[name]).strip() else row[name] for name in columns}
    if all(is_mark(name) for name in columns):
        return {name: text for name, text in cells.items() if text is not None}
    texts = ["" if text is None else text for text in cells.values()]
    while texts and texts[-1] == "":  # one inside would move the places of those behind it
        texts.pop()
    return texts


def _counting(name: str, drafts: Sequence[_Draft]) -> GoldKind | None:
    """From where golds count that are nothing but numbers: only a 0 among them tells.

    Raises:
        DataError: there are such golds, and none is 0.
    """
    bare = [draft.gold for draft in drafts if draft.gold.counts]
    if not bare or any("number" not in gold.readings for gold in bare):
        return "index"
    raise DataError(
        f"{name}: the gold answers are numbers such as {bare[0].value!r} and none is 0, so that they may "
        "count from 0 or from 1. Set questions.gold_is=index (from 0) or questions.gold_is=number (from 1)"
    )


def _once(where: str, number: int, row: dict[str, Any], seen: dict[str, int]) -> dict[str, Any]:
    first = seen.setdefault(row["qid"], number)
    if first != number:
        raise DataError(f"{where}: the id '{row['qid']}' is already that of row {first}")
    return row


# --- files ----------------------------------------------------------------------------------------


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
    loaded = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=files.unique_keys)
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
        raise DataError(f"{path}: questions come from {', '.join(_READERS)} or hub:OWNER/NAME")
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
    name = settings.path.removeprefix("hub:")
    try:
        table: pd.DataFrame = load_dataset(name, split=settings.split).to_pandas()
    except (OSError, ValueError) as error:
        raise DataError(f"{name}, split {settings.split}: the Hub did not give it: {error}") from error
    return table
