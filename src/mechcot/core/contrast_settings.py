"""Settings of which arms are compared."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mechcot.core.section import Section


class ContrastSettings(Section):
    """Which two arms the headline compares, on which questions."""

    before: str = "base"
    after: str = "distilled"
    domain: str | None = Field(None, description="only questions of this domain; None: all")
    replicates: tuple[str, ...] = Field(
        (), description="arms that are `after` made again from other training seeds; `seeds` names its own"
    )


class ControlSettings(Section):
    """A second contrast beside the headline; what it does not name it takes from there."""

    before: str | None = None
    after: str | None = None
    domain: str | None = None
    differs: tuple[
        Literal["samples", "temperature", "top_p", "top_k", "max_new_tokens", "prompt", "judged"], ...
    ] = Field((), description="in what the two arms may have been asked, sampled or judged otherwise")
