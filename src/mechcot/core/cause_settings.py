"""Settings of the search for steps that matter: how many traces are changed, and gone on from how often."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from mechcot.core.section import Section


class CauseSettings(Section):
    """How many traces are changed step by step, and how many continuations are written behind a prefix."""

    traces: int = Field(
        600, ge=1, description="of each arm, drawn from those that are read; swaps and prefix controls"
    )
    regenerated: int = Field(
        50, ge=0, description="steps of each kind and verdict that are gone on from anew; 0: none"
    )
    questions: int = Field(
        60, ge=0, description="asked with a wrong answer first, and gone on from freely at three prefixes"
    )
    rewriter: str | None = Field(
        None,
        min_length=1,
        description="a judge file: its server writes the swaps of whole steps; null: steps of other traces",
    )
    checker: str | None = Field(
        None,
        min_length=1,
        description="a judge file: its server says whether a rewriting changed the claim alone; null: the "
        "study's judge where it is a server, else the rewriter in a second pass",
    )
    rewritten: int = Field(
        50, ge=1, description="steps of each kind and verdict that the rewriter writes anew, in each arm"
    )
    budget: float | None = Field(
        None, gt=0, description="money that rewriter and checker may cost together, earlier runs included"
    )
    draws: int = Field(8, ge=8, description="continuations behind one prefix")

    def basis(self) -> dict[str, Any]:
        """What causes/ depends on: without a rewriter as older studies have it."""
        later = {"rewriter", "checker", "rewritten", "budget"}
        return self.model_dump(mode="json", exclude=later)

    def asks(self) -> dict[str, Any]:
        """What rewritten steps depend on beside the files of the servers."""
        return self.model_dump(mode="json", include={"traces", "rewritten"})


THOROUGH = {"traces": 1_000_000, "regenerated": 200, "questions": 1_000_000, "draws": 16}
"""What `--thorough` sets: all traces that are read, all questions."""
