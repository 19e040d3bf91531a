"""Questions from a file or from the Hub, each row checked."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from mechcot.core.errors import DataError
from mechcot.core.question_sets import SETS
from mechcot.core.question_settings import ColumnNames, GoldKind, QuestionSettings
from mechcot.core.records import absent, check_encodable
from mechcot.tasks.options import Gold, Options, is_mark, parsed, read_gold, read_options, same_text
from mechcot.tasks.question_files import read_source, source_file

log = logging.getLogger("mechcot")

RowT = TypeVar("RowT")
MadeT = TypeVar("MadeT")


@dataclass(frozen=True)
class Loaded:
    """What a file of questions holds.

    Attributes:
        table: the questions (`records.QUESTIONS`, or `records.OPEN_QUESTIONS` whose only option is the gold).
        n_rows: how many rows the file has, up to the limit.
        skipped: why a row is left out, by its number; empty unless `on_bad_row` is `skip` or `duplicates`
            is `drop`.
        skipped_ids: the ids of those rows, as far as they have one that no question that is kept has.
    """

    table: pd.DataFrame
    n_rows: int
    skipped: dict[int, str]
    skipped_ids: tuple[str, ...] = ()

    def told(self) -> dict[str, Any]:
        """For `skipped.json`: the rows left out and their number."""
        rows = [{"row": row, "why": why} for row, why in self.skipped.items()]
        found = {"rows": self.n_rows, "questions": len(self.table), "n_skipped": len(rows), "skipped": rows}
        return found | ({"qids": list(self.skipped_ids)} if self.skipped_ids else {})


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
    table = read_source(settings)
    if settings.limit is not None:
        table = table.head(settings.limit)
    if table.empty:
        raise DataError(f"{name}: holds no questions")
    _check_columns(name, table, columns)
    rows = _Rows(name, settings.on_bad_row == "skip")
    typed = path is None or path.suffix != ".csv"
    numbered = [(number, _cells(row, columns)) for number, row in enumerate(table.to_dict("records"), 1)]
    drafts = rows.each(numbered, lambda at, number, row: _draft(at, number, row, settings, typed))
    if settings.open and settings.gold_is is None:
        _check_open(name, table, columns, [draft.gold.value for _, draft in drafts])
    kind = settings.gold_is or _counting(name, [draft for _, draft in drafts])
    done = rows.each(drafts, lambda at, _, draft: draft.question(at, kind, settings.gold_is is not None))
    seen: dict[str, int] = {}
    kept = rows.each(done, lambda at, number, row: _once(at, number, row, seen))
    if settings.duplicates == "drop":
        kept = rows.first_of_equals(kept)
    rows.tell(len(table), len(kept))
    skipped, questions = dict(sorted(rows.skipped.items())), pd.DataFrame([row for _, row in kept])
    numbers = [number - 1 for number in skipped] if columns.qid in table else []
    ids = [table[columns.qid].iloc[number] for number in numbers]
    lost = {str(qid) for qid in ids if not absent(qid)} - {*questions.qid}
    return Loaded(questions, len(table), skipped, tuple(sorted(lost)))


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
        wanted = key != "qid" or column != "qid"  # without ids of their own, rows are numbered
        if column is not None and wanted and not _has(table, column):
            hint = _OPTIONS_HINT if key == "options" else ""
            raise DataError(
                f"{name}: there is no column '{column}' for {key}; there are {list(table.columns)}. "
                f"Map it with questions.columns.{key}=...{hint}"
            )


def _has(table: pd.DataFrame, column: str) -> bool:
    """Whether there is a column of this name, or one of objects for a name such as `a.b`."""
    return column in table.columns or ("." in column and column.partition(".")[0] in table.columns)


def _cells(row: Mapping[Any, Any], columns: ColumnNames) -> dict[str, Any]:
    """A row with what stands inside its objects under the names that the settings give it."""
    cells = {str(name): value for name, value in row.items()}
    for column in columns.model_dump().values():
        if isinstance(column, str) and "." in column and column not in cells:
            name, *inside = column.split(".")
            value = cells.get(name)
            for part in inside:
                value = value.get(part) if isinstance(value, Mapping) else None
            cells[column] = value
    return cells


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
    used = {columns.qid, columns.stem, columns.context, columns.gold, columns.domain, columns.group}
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

    def first_of_equals(self, rows: list[tuple[int, dict[str, Any]]]) -> list[tuple[int, dict[str, Any]]]:
        """The rows without those whose words and options an earlier one has.

        Raises:
            DataError: two of them have different right answers, and bad rows are not left out.
        """
        first: dict[tuple[str, ...], tuple[int, str]] = {}

        def once(where: str, number: int, row: dict[str, Any]) -> dict[str, Any] | None:
            options = [same_text(text) for text in row["options"]]
            right = options[row["gold"]]
            words = (same_text(row["stem"]), *(() if row.get("open") else sorted(options)))
            earlier, gold = first.setdefault(words, (number, right))
            if gold != right:
                raise DataError(
                    f"{where}: has the words of row {earlier}, and another right answer: {right!r} here, "
                    f"{gold!r} there. Mend one, or set questions.on_bad_row=skip"
                )
            if earlier != number:
                self.skipped[number] = f"has the words of row {earlier}"
            return row if earlier == number else None

        return [(number, row) for number, row in self.each(rows, once) if row is not None]

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


def _draft(where: str, number: int, row: dict[str, Any], settings: QuestionSettings, typed: bool) -> _Draft:
    columns, shared = settings.columns, settings.options
    given = list(shared) if shared else None if columns.options is None else _options(row, columns.options)
    options = None if given is None else read_options(where, given)
    if settings.set is not None and options is not None:
        _check_set(where, settings.set, len(options.texts))
    stem = row[columns.stem]
    if not isinstance(stem, str) or not stem.strip():
        raise DataError(f"{where}: the question in column '{columns.stem}' is empty or no text: {stem!r}")
    if columns.context is not None:
        stem = f"{_context(where, row[columns.context], columns.context)}\n\n{stem}"
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


def _check_set(where: str, name: str, found: int) -> None:
    """Refuse a row with more or fewer options than the questions of its set have.

    Raises:
        DataError: it has.
    """
    expected = SETS[name].n_options
    if expected is not None and found != expected:
        family = name.partition("-")[0]
        alike = [other for other, one in SETS.items() if one.n_options == found and other.startswith(family)]
        instead = f" The set '{alike[0]}' has {found}." if alike else ""
        raise DataError(
            f"{where}: has {found} options, and every question of the set '{name}' has {expected}: is this "
            f"another version of it?{instead} To take it as it is, leave questions.set out and name "
            "its columns"
        )


def _context(where: str, value: Any, column: str) -> str:
    """What stands before a question: a text, or texts a line each.

    Raises:
        DataError: it is empty, or no text.
    """
    texts = list(value) if isinstance(value, list | tuple | np.ndarray) else [value]
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise DataError(f"{where}: the context in column '{column}' is empty or no text: {str(value)[:80]!r}")
    return "\n".join(text.strip() for text in texts)


def _options(row: dict[str, Any], columns: str | tuple[str, ...]) -> Any:
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
