"""Which commit of what lies on the Hub a study is made from, written down when it is first made."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mechcot.core.config import read_yaml, resolve
from mechcot.core.errors import said
from mechcot.core.manifest import SETTINGS
from mechcot.core.settings import ArmSettings, Settings
from mechcot.tasks.question_files import HUB

if TYPE_CHECKING:
    from mechcot.core.question_settings import QuestionSettings

log = logging.getLogger("mechcot")


def pinned(folder: Path, settings: Settings) -> Settings:
    """The settings with a commit for every data set and model of the Hub that names none.

    A study that is there keeps what it was made from. For a new one the Hub is asked; what it does not tell
    stays open: no commit is invented.

    Args:
        folder: the study's.
        settings: of the study.
    """
    there = folder / SETTINGS
    old = resolve(base=read_yaml(there), source=str(there)) if there.exists() else None
    changed: dict[str, Any] = {}
    if settings.questions is not None:
        before = None if old is None else old.questions
        changed["questions"] = _of_questions(settings.questions, before, new=old is None)
    if settings.teacher is not None:
        before = None if old is None or old.teacher is None else old.teacher.questions
        asked = _of_questions(settings.teacher.questions, before, new=old is None)
        changed["teacher"] = settings.teacher.model_copy(update={"questions": asked})
    changed["arms"] = {
        name: _of_arm(arm, None if old is None else old.arms.get(name), new=old is None)
        for name, arm in settings.arms.items()
    }
    return settings.model_copy(update=changed)


def _of_questions(asked: QuestionSettings, before: QuestionSettings | None, *, new: bool) -> QuestionSettings:
    if asked.revision is not None or not asked.path.startswith(HUB):
        return asked
    if before is not None and before.path == asked.path:
        return asked.model_copy(update={"revision": before.revision})
    found = _newest("dataset", asked.path.removeprefix(HUB)) if new else None
    return asked.model_copy(update={"revision": found})


def _of_arm(arm: ArmSettings, before: ArmSettings | None, *, new: bool) -> ArmSettings:
    if arm.revision is not None or not _on_the_hub(arm.model):
        return arm
    assert arm.model is not None  # it is on the Hub
    if before is not None and before.model == arm.model:
        return arm.model_copy(update={"revision": before.revision})
    return arm.model_copy(update={"revision": _newest("model", arm.model) if new else None})


def _on_the_hub(model: str | None) -> bool:
    """Whether a name is one of the Hub, by the rule of `models.checkpoint.local_folder`."""
    if model is None or Path(model).expanduser().exists():
        return False
    return model.count("/") == 1 and not model.startswith((".", "/", "~"))


@cache
def _newest(kind: Literal["dataset", "model"], name: str) -> str | None:
    """The newest commit of a repository; None: the Hub does not tell."""
    try:
        from huggingface_hub import HfApi

        api = HfApi()
        told = api.dataset_info(name, timeout=20) if kind == "dataset" else api.model_info(name, timeout=20)
    except Exception as error:  # no package, no network, no access: loading it says which
        log.info("%s: the Hub did not tell its newest commit: %s", name, said(error))
        return None
    return told.sha
