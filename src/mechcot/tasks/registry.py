"""Every task there is, by the name that `questions.task` gives it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mechcot.core.settings import Settings
from mechcot.tasks.base import Task
from mechcot.tasks.cotemp import cotemp
from mechcot.tasks.multiple_choice import multiple_choice, prompt_format


def _multiple_choice(settings: Settings) -> Task:
    return multiple_choice(settings.prompt, settings.steps.segmenter)


def _cotemp(settings: Settings) -> Task:
    return cotemp(settings.prompt, settings.steps.segmenter)


def _organism(settings: Settings) -> Task:
    from mechcot.tasks.organism.checker import task
    from mechcot.tasks.organism.world import build_world

    assert settings.organism is not None  # by Settings' own validation
    return task(build_world(settings.organism, settings.seed))


TASKS: dict[str, Callable[[Settings], Task]] = {
    "multiple_choice": _multiple_choice,
    "cotemp": _cotemp,
    "organism": _organism,
}
"""How each task is made of a study's settings; the settings say how it is put and cut."""


def task_for(settings: Settings, arm: str | None = None) -> Task:
    """The task of a study, put as it puts questions to an arm; None: as `prompt` says."""
    name = "organism" if settings.questions is None else settings.questions.task
    made = TASKS[name](settings)
    items = settings.questions is not None and settings.questions.gold_is == "all"
    prompt = settings.prompt if arm is None else settings.prompt_of(arm)
    form = replace(prompt_format(prompt), exact=made.format.exact, items=items)
    return replace(made, format=form, segmenter=settings.steps.segmenter)
