"""How a probe is fitted, and what its labels say; needs nothing that is slow to load."""

from __future__ import annotations

from dataclasses import dataclass

ERRONEOUS = "the step is judged erroneous"
"""What a label of 1 says of judged steps."""

GRID = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Inverse penalties of a probe on activations: strong ones for wide layers, weak ones for narrow."""


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How a probe is fitted.

    Attributes:
        grid: inverse penalties C to choose from; rising, whatever the order given.
        folds: outer folds.
        inner: inner folds.
        draws: bootstrap replicates.
        null_draws: draws of each null.
        seed: of folds, bootstrap and nulls.
    """

    grid: tuple[float, ...] = GRID
    folds: int = 5
    inner: int = 3
    draws: int = 1000
    null_draws: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "grid", tuple(sorted(self.grid)))
