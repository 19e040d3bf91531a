"""Settings of the search for steps that matter: how many traces are changed, and gone on from how often."""

from __future__ import annotations

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
    draws: int = Field(8, ge=8, description="continuations behind one prefix")


THOROUGH = {"traces": 1_000_000, "regenerated": 200, "questions": 1_000_000, "draws": 16}
"""What `--thorough` sets: all traces that are read, all questions."""
