"""Any multiple-choice questions: the prompt from the settings, kinds of steps by rules for English."""

from __future__ import annotations

from mechcot.core.prompt_settings import PromptSettings
from mechcot.tasks.base import PromptFormat, Task
from mechcot.tasks.kinds import KINDS, kind_of


def prompt_format(settings: PromptSettings) -> PromptFormat:
    """The prompt format that the settings describe.

    Raises:
        ConfigError: the template's file cannot be read.
    """
    shots = tuple((shot.question, shot.solution) for shot in settings.shots)
    own = settings.model_dump(exclude={"shots", "template"})
    return PromptFormat(**own, shots=shots, template=settings.template_text())


def multiple_choice(settings: PromptSettings, segmenter: str) -> Task:
    """The task of any multiple-choice questions; it has no exact checker."""
    return Task(
        name="multiple_choice", format=prompt_format(settings), segmenter=segmenter, role=kind_of, kinds=KINDS
    )
