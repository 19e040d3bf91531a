"""Settings of which arms are compared."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from mechcot.core.section import Section

Differing = Literal["samples", "temperature", "top_p", "top_k", "max_new_tokens", "prompt", "judged"]
"""In what two arms that are compared may differ, where the settings declare it."""


class ContrastSettings(Section):
    """Which two arms the headline compares, on which questions."""

    before: str = "base"
    after: str = "distilled"
    domain: str | None = Field(None, description="only questions of this domain; None: all")
    replicates: tuple[str, ...] = Field(
        (), description="arms that are `after` made again from other training seeds; `seeds` names its own"
    )
    differs: tuple[Differing, ...] = Field(
        (),
        description="in what two arms out of files may have been asked otherwise, by what the files say "
        "(mechcot import); arms that are sampled here are asked alike",
    )

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is not declared: plans and stages of older studies stay as they are."""
        told: dict[str, Any] = dump(self)
        return told if self.differs else {key: value for key, value in told.items() if key != "differs"}


class ControlSettings(Section):
    """A second contrast beside the headline; what it does not name it takes from there."""

    before: str | None = None
    after: str | None = None
    domain: str | None = None
    differs: tuple[Differing, ...] = Field(
        (), description="in what the two arms may have been asked, sampled or judged otherwise"
    )
