"""Which rows a training run sees in which order, and its learning rate: decided before it starts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mechcot.core.errors import TrainingError
from mechcot.core.training_settings import TrainSettings

T = TypeVar("T")


def row_order(n_rows: int, epochs: float, seed: int) -> NDArray[np.int64]:
    """Row numbers in the order of training: every epoch its own permutation, the last one cut.

    Args:
        n_rows: rows of the data.
        epochs: how often each is seen; a fraction cuts the last permutation short.
        seed: of the permutations.

    Returns:
        `[round(n_rows * epochs)]`, at least one.
    """
    total = max(1, round(n_rows * epochs))
    rng = np.random.default_rng([seed % 2**32, n_rows])
    return np.concatenate([rng.permutation(n_rows) for _ in range(math.ceil(total / n_rows))])[:total]


def n_steps(n_seen: int, settings: TrainSettings) -> int:
    """Optimiser steps that `n_seen` rows make; the last batch and the last step may be smaller."""
    return math.ceil(math.ceil(n_seen / (settings.batch_size * settings.processes)) / settings.accumulation)


def steps_along(shares: Mapping[T, float], total: int) -> dict[T, int]:
    """The optimiser step after which each share of a training lies, halves rounded up.

    Args:
        shares: of the training's steps, by what is kept there.
        total: steps of the training.

    Raises:
        TrainingError: a share lies before the first step or at the last one, or two lie on the same.
    """
    found: dict[T, int] = {}
    for name, share in shares.items():
        step = math.floor(share * total + 0.5)
        told = f"the share {share:g} of {total} optimiser steps"
        if not 0 < step < total:
            where = "before the first step" if step < 1 else "at the last step, which is the student itself"
            raise TrainingError(f"{told} lies {where}; name another share to be kept, or train longer")
        if step in found.values():
            other = next(shares[one] for one, there in found.items() if there == step)
            raise TrainingError(
                f"{told} is step {step}, and so is the share {other:g}; take one of them out, or train longer"
            )
        found[name] = step
    return found


def rate_factor(step: int, total: int, settings: TrainSettings) -> float:
    """Share of the learning rate at optimiser step `step` (the first is 0) of `total`.

    A linear rise over `warmup_steps`, flat, then a linear fall over the last `decay_share` of the
    steps towards `final_rate`, which the step behind the last would have.
    """
    rise = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    falling = settings.decay_share * total
    left = min(1.0, (total - step) / falling) if falling > 0 else 1.0
    return rise * (settings.final_rate + (1.0 - settings.final_rate) * left)
