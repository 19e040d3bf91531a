"""Settings of how completions are sampled: of a study, and what of them is an arm's own."""

from __future__ import annotations

from collections.abc import Mapping
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

    temperature: float | None = Field(None, ge=0)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0, description="0: no limit")
    max_new_tokens: int | None = Field(None, ge=1)

    def of(self, sampling: SamplingSettings) -> SamplingSettings:
        """The study's sampling with what is otherwise here."""
        return sampling.model_copy(update=self.model_dump(exclude_none=True))


def check_alike(where: str, sampled: Mapping[str, SamplingSettings], differs: tuple[str, ...]) -> None:
    """Refuse two arms that are sampled otherwise, unless it is said that they may be.

    Args:
        where: the setting that compares them.
        sampled: by arm; one that is given as traces is left out.
        differs: in what they may differ.

    Raises:
        ValueError: with both values, and what to do.
    """
    for name in ArmSampling.model_fields:
        values = {arm: getattr(own, name) for arm, own in sampled.items()}
        if len(set(values.values())) > 1 and name not in differs:
            told = " and ".join(f"'{arm}' at {name} {value}" for arm, value in values.items())
            instead = (
                f"declare it with {where}.differs=[{name}]"
                if where.startswith("controls.")
                else f"compare them in a control that declares it (controls.NAME.differs: [{name}])"
            )
            raise ValueError(
                f"{where}: it compares {told}. Sample both alike (arms.NAME.sampling), or {instead}"
            )
