"""Further instruments of a finished study: verdicts of one more judge, beside the study's own."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from mechcot.asking.session import Session
from mechcot.asking.spending import Ledger
from mechcot.core import files, records
from mechcot.core.errors import StudyError
from mechcot.core.manifest import load_manifest
from mechcot.core.plan import Plan
from mechcot.core.results import Result
from mechcot.core.stages import Stage, run_stages, versions
from mechcot.judging.instrument import Judgement, asked_digest
from mechcot.judging.judge_file import judge_path, read_judge
from mechcot.judging.llm import judge_by_llm, plan
from mechcot.pipeline.judge import verdict_files, write_verdicts
from mechcot.pipeline.plan import calls_expense
from mechcot.steps.of_study import audited_steps, questions_by_id
from mechcot.study.folder import FURTHER, Study, recorded
from mechcot.study.writing import locked


@dataclass(frozen=True)
class FurtherVerdicts(Result):
    """What a further instrument said of a study's steps.

    Attributes:
        instrument: its name; `Study.verdicts(arm, instrument)` gives the rows.
        labels: how often it said what, by arm.
        about: what the instrument is, what its calls took, what went wrong on the way
            (`instruments/NAME.json`).
    """

    instrument: str
    labels: dict[str, dict[str, int]]
    about: dict[str, Any]

    table: ClassVar[str] = "labels"


def judge_study(
    path: str | Path, judge_file: str | Path, *, budget: float | None = None, progress: bool = True
) -> FurtherVerdicts:
    """Have a further judge judge the steps of all arms of a study.

    The verdicts go to `arms/ARM/verdicts/INSTRUMENT.parquet`, what the instrument is to
    `instruments/INSTRUMENT.json`; the study's manifest records both. Verdicts that are there and belong
    to the steps as they are now are not made again, unless calls of theirs failed.

    Args:
        path: the study's folder; its steps must be there.
        judge_file: see `judging.judge_file.Judge`; one that comes with mechcot by its name alone.
        budget: money that this instrument's verdicts may cost, earlier runs included.
        progress: whether to draw bars.

    Raises:
        StudyError: the study has no steps yet, or another process writes to it.
        ConfigError: the judge file, or the environment variable that it names, cannot be used.
        JudgeError: too many steps got no verdict, the server refuses every call, or the budget is
            reached. Replies got are kept.
    """
    study, file = Study.open(path), judge_path(judge_file)
    judge = read_judge(file)
    asked, seed, ledger = asked_digest(judge), study.settings.seed, Ledger(budget)
    with locked(study.path):
        steps = _steps(study)
        for name, about in recorded(study.path).items():
            if (about["asked"], about["seed"], about["api_failures"]) == (asked, seed, 0):
                return _result(study, name)
        questions = questions_by_id(study)
        judgement = judge_by_llm(
            steps,
            questions,
            Session(judge, _calls(study), seed, ledger=ledger, progress=progress),
            name=file.stem,
        )
        run_stages(study.path, [_stage(study, judgement)], versions())
    return _result(study, judgement.instrument)


def price(path: str | Path, judge_file: str | Path) -> Plan:
    """What `judge_study` would send: calls, tokens, money. Sends and writes nothing.

    Raises:
        StudyError: the study has no steps yet.
        ConfigError: the judge file cannot be used.
    """
    study, file = Study.open(path), judge_path(judge_file)
    steps = _steps(study)
    found = plan(steps, questions_by_id(study), read_judge(file), _calls(study), seed=study.settings.seed)
    return Plan((calls_expense(file.stem, len(steps), "steps", found),))


def _calls(study: Study) -> Path:
    """Where replies are kept: they cost money, and one that the study's own judge got serves here too."""
    return study.path / "work" / "calls"


def _steps(study: Study) -> pd.DataFrame:
    done = load_manifest(study.path)["stages"]
    missing = [arm for arm in study.settings.arms if f"steps-{arm}" not in done]
    if missing:
        raise StudyError(
            f"{study.path}: the arm '{missing[0]}' has no steps yet. Make them: mechcot run {study.path}"
        )
    return audited_steps(study)


def _stage(study: Study, judgement: Judgement) -> Stage:
    name, arms = judgement.instrument, study.settings.arms
    rows = json.dumps(judgement.rows, sort_keys=True).encode()
    return Stage(
        FURTHER + name,
        1,
        # The rows count: a second run may have verdicts where calls failed in the first.
        {"instrument": judgement.about["digest"], "rows": hashlib.sha256(rows).hexdigest()},
        ("questions.parquet", *(f"arms/{arm}/steps.parquet" for arm in arms)),
        (*verdict_files(study, name), f"instruments/{name}.json"),
        partial(_write, study, judgement),
    )


def _write(study: Study, judgement: Judgement, work: Path) -> None:
    write_verdicts(study, judgement.instrument, judgement.rows, judgement.about)


def _result(study: Study, name: str) -> FurtherVerdicts:
    labels = {}
    for arm in study.settings.arms:
        found = study.verdicts(arm, name).label.value_counts()
        labels[arm] = {label: int(found.get(label, 0)) for label in records.LABELS}
    about = files.read_json(study.checked(study.path / "instruments" / f"{name}.json"))
    return FurtherVerdicts(name, labels, about)
