"""Settings of how completions are sampled: of a study, and what of them is an arm's own."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mechcot.core.section import Section


class SamplingSettings(Section):
    """How completions are sampled."""

    samples: int = Field(16, ge=1, description="completions a question and arm")
    temperature: float = Field(0.7, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0, description="0: no limit")
    max_new_tokens: int = Field(1024, ge=1)
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (), description="texts that end a completion; what stands from there on is left out"
    )
    stop_at_answer: bool = Field(
        True,
        description="end a completion behind the line that answers as the prompt asks, if reasoning stands "
        "before it, and where it goes on to another question",
    )
    batch_rows: int = Field(256, ge=1, description="completions decoded together")
    greedy: bool = Field(
        False, description="one more completion a question and arm, at temperature 0, beside the samples"
    )


class ArmSampling(Section):
    """What of the study's sampling is otherwise for one arm; null: nothing."""

    samples: int | None = Field(None, ge=1, description="completions a question")
    temperature: float | None = Field(None, ge=0)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0, description="0: no limit")
    max_new_tokens: int | None = Field(None, ge=1)

    def of(self, sampling: SamplingSettings) -> SamplingSettings:
        """The study's sampling with what is otherwise here."""
        return sampling.model_copy(update=self.model_dump(exclude_none=True))
