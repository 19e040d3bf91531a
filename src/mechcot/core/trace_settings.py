"""Settings of traces that rules check: what they are compared with, and margins fixed before."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from mechcot.core.section import Section

TRACE_VARIANTS = (
    "correct", "incorrect", "partial", "answer-only", "shuffled", "class-only", "facts-only",
    "length-matched", "answer-kept", "filler", "brief",
)  # fmt: skip
"""Types of traces that rules write; what `distill.examples` may name where the organism is, too."""

NO_RULES = (
    "traces: no rule checks traces of the task '{task}'; set questions.task=cotemp for CoTempQA, or leave "
    "traces out"
)


class TraceSettings(Section):
    """Whether right traces go with right answers, and whether answers follow traces (docs/traces.md)."""

    against: str | None = Field(
        None, min_length=1, description="the arm that others are compared with; null: contrast.after"
    )
    margin: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="points of accuracy: an arm does not hurt where it is worse by less, by a one-sided 95 % "
        "limit",
    )
    loose: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="phi: traces and answers are loosely tied where it is smaller, by a one-sided 95 % limit",
    )
    forced: int = Field(
        0, ge=0, description="questions whose answers are forced behind other traces, drawn; 0: none"
    )
    inside: int = Field(
        0, ge=0, description="questions whose right sub-steps are looked for inside every arm, drawn; 0: none"
    )

    @model_serializer(mode="wrap")
    def _as_before(self, told: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A setting that came later leaves studies that do not use it, and their keys, as they are."""
        return {name: value for name, value in told(self).items() if name != "inside" or value}
