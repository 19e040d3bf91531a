"""Settings of the hand-over: prefixes of one arm that another arm goes on from."""

from __future__ import annotations

from pydantic import Field

from mechcot.core.section import Section


class HandoverSettings(Section):
    """How many prefixes are handed over, how often each is gone on from, and who judges what is written."""

    prefixes: int = Field(
        600,
        ge=1,
        description="of each arm of the contrast, drawn from the traces that are read; all where there are "
        "fewer",
    )
    samples: int = Field(4, ge=4, description="next steps at the study's temperature; one more is greedy")
    judge: str | None = Field(
        None, min_length=1, description="a judge file; null: the study's own instrument"
    )
