"""Any multiple-choice questions: the prompt from the settings, roles of steps by their wording."""

from __future__ import annotations

import re

from mechcot.core.prompt_settings import PromptSettings
from mechcot.tasks.base import PromptFormat, Question, Task

_ROLES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (role, re.compile(pattern, re.IGNORECASE))
    for role, pattern in (
        (
            "correction",
            r"^(wait|actually|hmm|no,|on second thought|let me (re|double))|\bI (was|made) (wrong|an error)",
        ),
        ("conclusion", r"\b(therefore|thus|hence|in conclusion|the (best |correct |final )?answer)\b"),
        (
            "elimination",
            r"\b(rule[sd]? out|eliminat\w+|unlikely|less likely|incorrect|not consistent|excluded?)\b",
        ),
        (
            "hypothesis",
            r"\b(suggests?|likely|consistent with|could be|might be|possib\w+|suspect\w*|differential)\b",
        ),
        (
            "restatement",
            r"\b(the (question|patient|case) (asks|presents|states|is|has)|we are (asked|given|told))\b",
        ),
        (
            "fact",
            r"\b(is|are|was|were|causes?|results? (in|from)|leads? to|inhibits?|increases?|decreases?)\b",
        ),
    )
)


def role(question: Question, text: str) -> str:
    """The role of a step, by the first pattern that its wording fits; `other` when none does."""
    return next((name for name, pattern in _ROLES if pattern.search(text)), "other")


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
    return Task(name="multiple_choice", format=prompt_format(settings), segmenter=segmenter, role=role)
