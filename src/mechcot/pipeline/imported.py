"""A study without weights out of other tools' logs: its settings, and what does not fit together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mechcot.core import files
from mechcot.core.config import resolve
from mechcot.core.errors import DataError
from mechcot.pipeline.import_check import check_import
from mechcot.pipeline.run import take_in
from mechcot.sampling import given_rows
from mechcot.study.folder import Study
from mechcot.tasks.base import LETTERS
from mechcot.tasks.logs import Log, is_log, read_log
from mechcot.tasks.questions import load_questions

JUDGE = "kimi"
"""The judge file of a study that names none; it is asked nothing before `mechcot run`."""
_SKIPS = "questions.on_bad_row=skip"


def import_arms(
    path: str | Path,
    arms: Mapping[str, str | Path],
    *,
    questions: str | Path | None = None,
    judge: str | Path | None = None,
    overrides: tuple[str, ...] = (),
    progress: bool = True,
) -> Study:
    """Make a study whose arms are logs or files of traces, up to their steps.

    Args:
        path: the new study's folder.
        arms: file by arm; the first is the arm before, the second the arm after.
        questions: a file of questions; None: those of the first log that has any.
        judge: a judge file; None: `JUDGE`.
        overrides: further settings of the form `a.b=c`.
        progress: whether to draw bars.

    Returns:
        The study: `mechcot run` judges its steps and writes the report.

    Raises:
        UsageError: fewer than two arms, a folder that is a study already, or settings that do not fit.
        DataError: a file cannot be used, or two of them do not belong together; with file, row, value and
            what to do.
    """
    check_import(path, arms)
    folder = Path(path)
    preset, told = settings_of(arms, questions, judge, skip=_SKIPS in overrides)
    asked = resolve(preset=preset, overrides=(*told, *overrides)).questions
    assert asked is not None  # the settings name them
    samples = _samples(arms, list(load_questions(asked).qid), _SKIPS in overrides)
    told = (*told, f"sampling.samples={samples}")
    beside = folder.with_name(f".{folder.name}.importing")  # a study appears whole or not at all
    files.remove(beside)
    try:
        take_in(beside, preset=preset, overrides=(*told, *overrides), progress=progress)
        beside.rename(folder)
    finally:
        files.remove(beside)
    return Study.open(folder)


def settings_of(
    arms: Mapping[str, str | Path], questions: str | Path | None, judge: str | Path | None, *, skip: bool
) -> tuple[str, tuple[str, ...]]:
    """The preset and the settings of such a study, as `a.b=c`."""
    paths = {name: Path(file).expanduser() for name, file in arms.items()}
    logs = {name: read_log(file) for name, file in paths.items()}
    source = None if questions is None else Path(questions).expanduser()
    asked = _asked(logs) if source is None else read_log(source)
    if source is None:
        assert asked is not None  # or _asked has refused
        source = Path(asked.path)
        for log in logs.values():
            if log is not None:
                _refuse_others(asked, log, skip)
    before, after, *_ = arms
    settings: dict[str, Any] = {
        "arms": {name: {"traces": str(file)} for name, file in arms.items()},
        "contrast": {"before": before, "after": after},
        "judge": {"kind": "llm", "path": str(judge or JUDGE)},
        "questions": {"path": str(source)},
    }
    preset = "models"
    if asked is not None:
        preset, columns = _form(asked)
        settings["questions"] |= columns
    return preset, tuple(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in settings.items())


def _asked(logs: Mapping[str, Log | None]) -> Log:
    """The first log that has questions of its own, right answers too.

    Raises:
        DataError: none has.
    """
    found = [log for log in logs.values() if log is not None]
    for log in found:
        if all(one.stem is not None and one.gold is not None for one in log.samples):
            return log
    for log in found:
        for one in log.samples:
            if one.stem is not None and one.gold is None:
                raise DataError(
                    f"{one.where}: question '{one.qid}' says no right answer. Name the questions' own file, "
                    "with their ids and right answers: --questions FILE"
                )
    tools = ", ".join(dict.fromkeys(log.tool for log in found)) or "a table of traces"
    raise DataError(
        f"no file holds the questions ({tools} writes none, or none apart from the prompt). Name a file with "
        "their ids, words and right answers: --questions FILE (docs/sharing.md)"
    )


def _refuse_others(asked: Log, log: Log, skip: bool) -> None:
    """Refuse a log of other questions than those that the study asks.

    Raises:
        DataError: it has some that the other has not, or lacks some, or puts one in other words.
    """
    first = {one.qid: one for one in asked.samples}
    own = {one.qid: one for one in log.samples}
    for qid, one in own.items():
        other = first.get(qid)
        if other is not None and None not in (one.stem, other.stem) and one.stem != other.stem:
            raise DataError(
                f"{one.where}: question '{qid}' is {str(one.stem)[:60]!r} here and "
                f"{str(other.stem)[:60]!r} in "
                f"{other.where}: the two logs are of different questions. Name logs of one task"
            )
    more, fewer = ([qid for qid in a if qid not in b] for a, b in ((own, first), (first, own)))
    if (more or fewer) and not skip:
        parts = [f"has {len(more)} questions more (first '{more[0]}')"] if more else []
        parts += [f"lacks {len(fewer)} (first '{fewer[0]}')"] if fewer else []
        raise DataError(
            f"{log.path}: {' and '.join(parts)} of the {len(first)} in {asked.path}: the two logs are of "
            f"different questions. Name logs of one run's questions, or compare what both have: --set "
            f"{_SKIPS}"
        )


def _form(asked: Log) -> tuple[str, dict[str, Any]]:
    """The preset of a log's questions, open or with options, and what their right answers are."""
    options = [one.options for one in asked.samples]
    golds = [one.gold for one in asked.samples]
    if all(one is None for one in options):
        several = any(isinstance(gold, list) for gold in golds)
        return "open", {"columns": {"options": None}, **({"gold_is": "any"} if several else {})}
    lettered = asked.tool == "Inspect" and all(isinstance(gold, str) and gold in LETTERS for gold in golds)
    return "models", {"gold_is": "label"} if lettered else {}


def _samples(arms: Mapping[str, str | Path], qids: Sequence[str], skip: bool) -> int:
    """Traces of a question: as many of every one in the two arms that are compared.

    Raises:
        DataError: an arm has more of a question, or of another one; with the first such question.
    """
    before, after, *_ = arms.values()
    first, second = (_counted(Path(file).expanduser(), qids) for file in (before, after))
    kept = [qid for qid in qids if not skip or (first[qid] and second[qid])]
    most = Counter(first[qid] for qid in kept).most_common(1)[0][0] if kept else 1
    for qid in kept:
        for file, own in ((before, first), (after, second)):
            if own[qid] == most and most:
                continue
            lost = not own[qid] and is_log(Path(file).expanduser())
            fix = f"; or leave such questions out: --set {_SKIPS}" if lost else ""
            raise DataError(
                f"{file}: answers to question '{qid}': {own[qid]}, to most questions in {before}: {most}. "
                "Both arms need as many of every question: ask for what is missing, or take out what is "
                f"too much{fix}"
            )
    return most


def _counted(path: Path, qids: Sequence[str]) -> Counter[str]:
    return Counter(str(row["qid"]) for _, row in given_rows(path, qids))
