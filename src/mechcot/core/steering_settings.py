"""Settings of the test whether a direction, put back, changes what is said."""

from __future__ import annotations

from pydantic import Field, field_validator

from mechcot.core.section import Section


class SteeringSettings(Section):
    """How the hedge direction is added and taken out while the contrast's arms write (docs/hedge.md)."""

    questions: int = Field(
        100, ge=12, description="written to in all; one half chooses layer and strength, the other reports"
    )
    samples: int = Field(4, ge=1, description="traces of each question at each strength")
    scales: tuple[float, ...] = Field(
        (-1.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0), description="strengths, in distances between the two means"
    )
    random: int = Field(20, ge=3, description="random directions of the same length and covariance")

    @field_validator("scales")
    @classmethod
    def _some(cls, scales: tuple[float, ...]) -> tuple[float, ...]:
        if not any(scale > 0 for scale in scales) or 0.0 in scales or len(set(scales)) < len(scales):
            raise ValueError("scales must differ, without 0 (which is always written), one of them above 0")
        return tuple(sorted(scales))


THOROUGH = {"questions": 400, "samples": 8, "random": 100}
"""What `mechcot hedge --thorough` sets."""
