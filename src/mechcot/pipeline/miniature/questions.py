"""A miniature's questions in a file, in the columns and with the gold that the settings tell of theirs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mechcot.core import files, records
from mechcot.core.errors import ConfigError
from mechcot.core.question_sets import SETS
from mechcot.core.question_settings import QuestionSettings
from mechcot.pipeline.miniature.lore import Case
from mechcot.tasks import Question, question_of
from mechcot.tasks.base import LETTERS
from mechcot.tasks.questions import load_questions


def n_options(settings: QuestionSettings) -> int:
    """How many options a question has; 0: it is open.

    Raises:
        ConfigError: all questions share their options: no miniature has such.
    """
    if settings.open:
        return 0
    if settings.options is not None:
        raise ConfigError(
            f"a miniature has no questions that share the options {', '.join(settings.options)}; try the "
            "settings on another set (questions.set: medqa)"
        )
    if isinstance(settings.columns.options, tuple):
        return len(settings.columns.options)
    known = SETS.get(settings.set or "")
    return (known.n_options if known else None) or 4


def write_questions(
    path: Path, cases: Sequence[Case], settings: QuestionSettings, domain: str | None
) -> QuestionSettings:
    """Write the questions, and say where they are.

    Args:
        path: JSON Lines.
        cases: the questions.
        settings: what columns there are, and what the gold's holds.
        domain: of all questions, where the settings name a column for it.
    """
    name = path.stem
    rows = [_row(case, f"{name}-{number:02d}", settings, domain) for number, case in enumerate(cases)]
    files.write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
    return settings.model_copy(update={"path": str(path), "config": None, "revision": None, "limit": None})


def paired(settings: QuestionSettings, cases: Sequence[Case]) -> tuple[tuple[Question, Case], ...]:
    """The questions as a study reads them from the file, each with what is true of it."""
    stems = {case.stem: case for case in cases}
    found = (question_of(row) for row in records.rows(load_questions(settings)))
    return tuple(
        (question, next(case for stem, case in stems.items() if stem in question.stem)) for question in found
    )


def _row(case: Case, qid: str, settings: QuestionSettings, domain: str | None) -> dict[str, Any]:
    columns = settings.columns
    row: dict[str, Any] = {}
    told = {
        columns.qid: qid,
        columns.stem: case.stem,
        columns.context: ["Invented, for a miniature."],
        columns.gold: _gold(case, settings),
        columns.domain: domain or "all",
        columns.group: qid,
    }
    if isinstance(columns.options, tuple):
        told |= dict(zip(columns.options, case.options, strict=True))
    elif columns.options is not None:
        told[columns.options] = _options(case, settings)
    for name, value in told.items():
        if name is not None:
            place = row
            *outer, last = name.split(".")
            for part in outer:
                place = place.setdefault(part, {})
            place[last] = value
    return row


def _options(case: Case, settings: QuestionSettings) -> Any:
    """Options in the shape that a set has them in."""
    letters = list(LETTERS[: len(case.options)])
    if settings.set == "arc-challenge":
        return {"text": list(case.options), "label": letters}
    return (
        dict(zip(letters, case.options, strict=True))
        if settings.gold_is in ("label", None)
        else list(case.options)
    )


def _gold(case: Case, settings: QuestionSettings) -> Any:
    if not case.options:
        if settings.gold_is in ("any", "all"):
            return [case.gold]
        return f"It is worked out.\n#### {case.gold}" if settings.set == "gsm8k" else case.gold
    place = case.options.index(case.gold)
    return {"text": case.gold, "index": place, "number": place + 1}.get(
        settings.gold_is or "", LETTERS[place]
    )
