"""A study's task and questions as objects, and where its weights lie; needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mechcot.core import records
from mechcot.core.errors import ConfigError, UsageError
from mechcot.models.checkpoint import arm_folder
from mechcot.study.folder import Study
from mechcot.tasks import Question, Task, question_of
from mechcot.tasks.registry import task_for


def world_of(study: Study) -> Any:
    """The organism's world.

    Raises:
        ConfigError: the study has no organism.
    """
    from mechcot.tasks.organism.world import build_world

    if study.settings.organism is None:
        raise ConfigError("this study has no organism; its arms name checkpoints")
    return build_world(study.settings.organism, study.settings.seed)


def task_of(study: Study, arm: str | None = None) -> Task:
    """The study's task, put as to an arm; None: as to those without a prompt of their own."""
    return task_for(study.settings, arm)


def kind_names(study: Study) -> Mapping[str, str]:
    """What people read in place of a kind of step."""
    return task_of(study).role_names


def audited_steps(study: Study, *arms: str) -> pd.DataFrame:
    """Steps that are judged, of these arms or of all: an arm's first traces of each question, or all."""
    return pd.concat([_audited(study, arm) for arm in arms or study.settings.arms], ignore_index=True)


def _audited(study: Study, arm: str) -> pd.DataFrame:
    steps, first = study.steps(arm), study.settings.judged_of(arm)
    return steps if first is None else steps[steps.cid < first]


def task_basis(study: Study) -> dict[str, str]:
    """What a stage's key says of the task; nothing of those that studies had before they could name one."""
    questions = study.settings.questions
    return {} if questions is None or questions.task == "multiple_choice" else {"task": questions.task}


def questions_by_id(study: Study) -> dict[str, Question]:
    """The study's questions by id."""
    return {row.qid: question_of(row) for row in records.rows(study.questions())}


def contrast_questions(study: Study) -> dict[str, Question]:
    """Those of the contrast's domain by id; all where it names none."""
    domain = study.settings.contrast.domain
    return {qid: one for qid, one in questions_by_id(study).items() if domain in (None, one.domain)}


def checkpoint_folder(study: Study, arm: str) -> Path:
    """The folder that holds an arm's weights and tokenizer.

    Raises:
        UsageError: the arm is given as traces.
    """
    if study.settings.arms[arm].traces is not None:
        raise UsageError(f"the arm '{arm}' is given as traces and has no weights; name another arm")
    return arm_folder(study.path, study.settings.arms[arm], arm)


def whole_checkpoint(study: Study, arm: str) -> Path:
    """The folder of an arm's weights, to load them beside the pipeline: the study's own must be as written.

    Raises:
        StudyError: a file of it is another one, missing, or new.
        UsageError: the arm is given as traces.
    """
    folder = checkpoint_folder(study, arm)
    return study.checked(folder) if folder.is_relative_to(study.path) else folder


def checkpoint_of(study: Study, arm: str) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    """Where an arm's weights lie: (a study's own folder) or (a folder outside)."""
    folder = checkpoint_folder(study, arm)
    if folder.is_relative_to(study.path / "models"):
        return (folder.relative_to(study.path).as_posix(),), ()
    return (), (folder,)


def checkpoints_of(study: Study, arms: Iterable[str]) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    """The same of several arms: (the study's own folders) and (folders outside)."""
    found = [checkpoint_of(study, arm) for arm in dict.fromkeys(arms)]
    return tuple(name for own, _ in found for name in own), tuple(path for _, out in found for path in out)
