"""Settings of the search for where in the weights a change sits."""

from __future__ import annotations

from pydantic import Field

from mechcot.core.section import Section


class WeightSettings(Section):
    """How many models are made of the contrast's two checkpoints, and how often each is asked."""

    questions: int = Field(
        40, ge=6, description="drawn from the contrast's; one trace of each author is read"
    )
    draws: int = Field(8, ge=3, description="random changes of each unit, for its null")
    bands: int | None = Field(
        8, ge=1, description="deeper models: layers are joined to so many bands; null: each layer by itself"
    )
    orders: int = Field(
        0, ge=0, description="sampled orders of all units for Shapley values; 0: groups alone"
    )


THOROUGH = {"draws": 24, "orders": 12, "bands": None}
"""What `mechcot weights --thorough` sets."""
