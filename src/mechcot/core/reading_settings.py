"""Settings of readings: whose traces, by whose weights, and what is kept of each pass."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from mechcot.core.section import Section
from mechcot.core.sites import SITES


def _known_site(name: str) -> str:
    if name not in SITES:
        raise ValueError(f"there is no site '{name}'; there are {', '.join(SITES)}")
    return name


SiteName = Annotated[str, AfterValidator(_known_site)]
"""A site of a model, see `core.sites`."""


class ReadingSettings(Section):
    """What is read: whose traces, by whose weights, and how many.

    The contrast's arms read each other in any case, those along a training themselves: the analyses need it.
    """

    authors: tuple[str, ...] | None = Field(
        None, description="whose traces; None: the contrast's arms and every arm that is given as traces"
    )
    readers: tuple[str, ...] | None = Field(
        None, description="by whose weights (and the contrast's); None: the contrast's arms"
    )
    traces_per_question: int = Field(4, ge=1)
    max_tokens: int | None = Field(
        None, ge=16, description="tokens of one forward pass; None: found from the model and the free memory"
    )
    sites: tuple[SiteName, ...] = ("resid_post",)
    layers: tuple[int, ...] | None = Field(None, description="0 is the embedding; None: all")
    rules: tuple[Literal["end", "start", "mean", "before", "token"], ...] = Field(
        ("end", "mean", "before"),
        description="tokens of a step whose activations are kept; token: all of a trace",
    )
    lead_ins: tuple[str, ...] = Field(
        (),
        description="further texts that force an answer, in the same pass; after those of prompt.lead_in",
    )
    lens: bool = Field(False, description="read the forced answers at every layer too")
    permutations: int = Field(
        0, ge=0, description="other orders of the options; each is a reading of its own at full price"
    )
    knock_out: Literal["none", "answer", "later"] = Field(
        "none", description="hide each step from the forced answer, or from the later steps too"
    )

    def basis(self) -> dict[str, Any]:
        """What a reading depends on: without what came later and is not used, so that older studies stay."""
        told = self.model_dump(mode="json", exclude={"authors", "readers"})
        return {name: value for name, value in told.items() if name != "lead_ins" or value}
