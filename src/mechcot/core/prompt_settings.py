"""Settings of how questions are put and answers read off."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, model_validator

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
        if self.system is not None and not self.chat:
            raise ValueError(
                "system: a plain text has no system message; write it into question, or set chat"
            )
        return self

    def basis(self) -> dict[str, Any]:
        """What a text depends on: without what came later and is not used, so that older studies stay."""
        unused = {name for name in ("system", "shots") if not getattr(self, name)}
        return self.model_dump(mode="json", exclude=unused)
