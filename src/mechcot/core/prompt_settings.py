"""Settings of how questions are put and answers read off."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from mechcot.core import files
from mechcot.core.errors import ConfigError, DataError
from mechcot.core.section import Section


class Shot(Section):
    """A worked question that stands before every question."""

    question: str = Field(min_length=1, description="as it is put, options and all")
    solution: str = Field(min_length=1, description="as it should be answered, with reasoning and answer")


class PromptSettings(Section):
    """How questions are put and answers read off; see `mechcot.tasks.PromptFormat`."""

    system: str | None = Field(None, min_length=1, description="a system message, for chat templates")
    shots: tuple[Shot, ...] = Field(
        (),
        description="worked questions before every question: turns of a chat, or text parted by blank lines",
    )
    question: str = "{stem}\n\n{options}\n\nThink step by step, then end with: The answer is (X)."
    option: str = "({letter}) {text}"
    separator: str = "\n"
    chat: bool = True
    template: str | None = Field(
        None, min_length=1, description="a file with a chat template, in place of the tokenizers' own"
    )
    thinking: bool | None = None
    reasoning_end: str = ""
    answer_pattern: str = r"[Tt]he answer is \(?(?P<answer>[A-Z])\)?"
    answer_form: Literal["text", "letter"] = "letter"
    lead_in: tuple[str, ...] = ("\n\nThe answer is (",)
    terminator: str | None = ")"

    @model_validator(mode="after")
    def _slots(self) -> PromptSettings:
        if "{stem}" not in self.question:
            raise ValueError("question must hold the slot {stem}")
        if "{text}" not in self.option:
            raise ValueError("option must hold the slot {text}")
        try:
            re.compile(self.answer_pattern)
        except re.error as error:
            raise ValueError(f"answer_pattern is no regular expression: {error}") from None
        if "(?P<answer>" not in self.answer_pattern:
            raise ValueError("answer_pattern must hold the group (?P<answer>...)")
        if not self.lead_in:
            raise ValueError("lead_in must hold at least one text")
        for name in ("system", "template"):
            if getattr(self, name) is not None and not self.chat:
                raise ValueError(f"{name}: a plain text has none; write it into question, or set chat")
        return self

    def basis(self) -> dict[str, Any]:
        """What a text depends on: without what came later and is not used, so that older studies stay."""
        unused = {name for name in ("system", "shots") if not getattr(self, name)}
        return {name: value for name, value in self.whole().items() if name not in unused}

    def whole(self) -> dict[str, Any]:
        """Every key, but for `template` where there is none: stages that are older than it stay.

        Raises:
            ConfigError: the template's file cannot be read.
        """
        told = self.model_dump(mode="json", exclude={"template"})
        return told if self.template is None else told | {"template": self.template_text()}

    def template_text(self) -> str | None:
        """What the template's file holds; None: the tokenizers' own are used.

        Raises:
            ConfigError: it cannot be read.
        """
        if self.template is None:
            return None
        try:
            return files.read_text(Path(self.template).expanduser())
        except DataError as error:
            raise ConfigError(f"prompt.template: {error}") from error


class ArmPrompt(Section):
    """What of the study's prompt is otherwise for one arm; null: nothing.

    How answers are written and forced is the study's for every arm: else their texts could not be compared.
    """

    system: str | None = Field(None, min_length=1, description="a system message, for chat templates")
    shots: tuple[Shot, ...] | None = Field(None, description="worked questions before every question")
    question: str | None = Field(None, min_length=1, description="with the slots {stem} and {options}")
    chat: bool | None = None
    template: str | None = Field(None, min_length=1, description="a file with a chat template")
    thinking: bool | None = None
    reasoning_end: str | None = Field(
        None, description="text that ends the reasoning, where thinking changes how it is marked"
    )

    def of(self, prompt: PromptSettings) -> PromptSettings:
        """The study's prompt with what is otherwise here.

        Raises:
            ValueError: the two do not go together.
        """
        return PromptSettings.model_validate(prompt.model_dump() | self.model_dump(exclude_none=True))
