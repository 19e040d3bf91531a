"""Rotary positions whose factors depend on the longest position of a pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

LONG = ("longrope", "su")
"""Long-rope, under its name of today and its first one (Phi-3)."""


@dataclass(frozen=True)
class Turn:
    """Where a model begins to turn its queries and keys in another way.

    Attributes:
        at: a pass of up to so many positions is turned as the model was trained first.
        steady: whether all longer passes are turned alike (long-rope), and not each by its own length
            (dynamic NTK).
    """

    at: int
    steady: bool

    def parts(self, shortest: int, longest: int) -> bool:
        """Whether texts of these lengths, in positions, are turned in more than one way."""
        return longest > self.at and (shortest <= self.at or not self.steady)


def turn_of(config: Any) -> Turn | None:
    """Where a configuration's rotary factors change with the length; None: they do not, as far as it says.

    Source: `dynamic_rope_update` in transformers' modeling_rope_utils. YaRN, linear and Llama 3's factors
    are the same at every length.
    """
    config = config.get_text_config()
    given = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None)
    if not isinstance(given, Mapping):
        return None
    nested = [value for value in given.values() if isinstance(value, Mapping)]
    turns = [turn for one in nested or [given] if (turn := _turn(one, config))]
    if not turns:
        return None
    return Turn(min(turn.at for turn in turns), len(set(turns)) == 1 and turns[0].steady)


def _turn(given: Mapping[str, Any], config: Any) -> Turn | None:
    kind = str(given.get("rope_type") or given.get("type") or "")
    positions = getattr(config, "max_position_embeddings", None)
    if kind in LONG:
        first = given.get("original_max_position_embeddings")
        first = first or getattr(config, "original_max_position_embeddings", None) or positions
        return Turn(int(first), True) if first else None
    return Turn(int(positions), False) if "dynamic" in kind and positions else None


def forget_lengths(model: nn.Module) -> None:
    """Make dynamic rotary modules forget the longest text so far, by which they would turn the next one."""
    for module in model.modules():
        if hasattr(module, "rope_type"):
            for name in [name for name in vars(module) if name.endswith("max_seq_len_cached")]:
                setattr(module, name, 0)
