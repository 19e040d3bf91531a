"""Questions that rules can write traces for, out of the set's own files, each row checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mechcot.core import records
from mechcot.core.errors import DataError
from mechcot.core.question_settings import QuestionSettings
from mechcot.tasks.base import Question, question_of
from mechcot.tasks.cotemp import CLASSES, VERIFIABLE
from mechcot.tasks.question_files import read_source
from mechcot.tasks.questions import read_questions

_COLUMNS = ("label", "relation", "category", "domain")
"""Where rows may tell their class."""


def cotemp_files(paths: Sequence[Path], *, skip: bool = False) -> tuple[list[Question], dict[str, str]]:
    """Questions of CoTempQA out of its files.

    A row's class stands in one of its columns, else it is the file's name (equal, during, overlap, mix), else
    what its dates say. Ids of several files are those of their rows behind the file's name.

    Args:
        paths: parquet, JSON Lines, JSON or CSV with the set's own columns.
        skip: leave rows out that cannot be used.

    Returns:
        The questions, and why each row is left out.

    Raises:
        DataError: with file and row, unless `skip`: two rows of one id, an empty context, dates out of order,
            an answer that is in no fact.
    """
    found: list[Question] = []
    left: dict[str, str] = {}
    for path in paths:
        own, skipped = _file(path, many=len(paths) > 1, skip=skip)
        found += own
        left |= skipped
    if not found:
        raise DataError(f"{', '.join(map(str, paths))}: no row of it can be used")
    return found, left


def _file(path: Path, *, many: bool, skip: bool) -> tuple[list[Question], dict[str, str]]:
    plain = QuestionSettings(set="cotempqa", path=str(path), on_bad_row="skip" if skip else "refuse")
    columns = read_source(plain).columns
    told = next((name for name in _COLUMNS if name in columns), None)
    domain = {"columns": plain.columns.model_copy(update={"domain": told})}
    loaded = read_questions(plain.model_copy(update=domain))
    left = {f"{path}, row {number}": why for number, why in loaded.skipped.items()}
    kept, numbers = [], [n for n in range(1, loaded.n_rows + 1) if n not in loaded.skipped]
    for number, row in zip(numbers, records.rows(loaded.table), strict=True):
        question = question_of(row)
        if told is None and path.stem in CLASSES:
            question = replace(question, domain=path.stem)
        if many:
            name = f"{path.stem}-{question.qid}"
            question = replace(question, qid=name, group=name)
        try:
            VERIFIABLE.decompose(question)
        except DataError as error:
            if not skip:
                raise DataError(f"{path}, row {number}: {error}") from error
            left[f"{path}, row {number}"] = str(error)
            continue
        kept.append(question)
    return kept, left
