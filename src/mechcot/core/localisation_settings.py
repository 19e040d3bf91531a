"""Settings of the search for the layers, tokens and parts in which a hedge is lost."""

from __future__ import annotations

from pydantic import Field

from mechcot.core.section import Section


class LocalisationSettings(Section):
    """Activations of one checkpoint of the contrast are put into the other (docs/hedge.md)."""

    slots: int = Field(2, ge=1, description="claims of a question at which a hedge is looked for")
    sets: int = Field(20, ge=5, description="sets of other tokens, as likely there, that go the same way")
    tokens: int = Field(4, ge=1, description="tokens up to the place of a hedge that are patched, each alone")
    layers: int | None = Field(12, ge=2, description="layers looked at, evenly spread; null: each of them")

    heads: bool = Field(True, description="whether attention heads are patched one by one, at each layer")


THOROUGH = {"slots": 4, "sets": 200, "tokens": 8, "layers": None}
"""What `mechcot hedge --thorough` sets."""
