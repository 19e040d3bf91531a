"""Directions in the residual stream: kept with a card, and added to a model while it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mechcot.core import files
from mechcot.core.errors import ReadingError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Direction:
    """A direction at one place of a model.

    Attributes:
        vector: [d_model], float64; its length is one distance between the two means.
        layer: where; layers count as in a reading, 0 is the embedding.
        site: one of `core.sites.SITES`.
        card: what it is, of whom, fitted how.
    """

    vector: Floats
    layer: int
    site: str = "resid_post"
    card: Mapping[str, Any] = field(default_factory=dict)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The vector, so that numpy and torch take a direction for one."""
        return np.array(self.vector, dtype=dtype)

    def __len__(self) -> int:
        return len(self.vector)

    def __repr__(self) -> str:
        length = float(np.linalg.norm(self.vector))
        return f"Direction({self.site}, layer {self.layer}, [{len(self.vector)}], length {length:.3g})"


@contextmanager
def steer(model: Any, direction: Direction, *, scale: float = 1.0) -> Iterator[None]:
    """Add a direction at its place while a model runs, at every token.

    Other places, some tokens alone, or the direction taken out: `models.interventions`.

    Args:
        model: a Hugging Face causal language model.
        direction: such as `study.hedge().direction(layer=2)`.
        scale: how much of it; negative: against it.

    Raises:
        ReadingError: the model has no such layer, or another width.
    """
    from mechcot.models.interventions import add

    if not isinstance(direction, Direction):
        raise ReadingError(
            "steer takes a Direction, which knows its layer: Direction(vector, layer=...); with a bare "
            "vector use mechcot.models.interventions.add"
        )
    with add(model, direction.vector, layers=[direction.layer], site=direction.site, scale=scale):
        yield


def save_directions(folder: Path, vectors: Mapping[int, Floats], card: Mapping[str, Any]) -> None:
    """Write `direction.safetensors`, a tensor `layer.N` [d_model] each, and `card.json` into a folder.

    Args:
        folder: made if need be.
        vectors: layer to [d_model].
        card: JSON values.
    """
    from safetensors.numpy import save

    tensors = {f"layer.{layer}": np.ascontiguousarray(vector) for layer, vector in vectors.items()}
    with files.whole(folder / "direction.safetensors") as out:
        out.write(save(tensors))
    files.write_json(folder / "card.json", {**card, "layers": sorted(vectors)})


def load_direction(folder: str | Path, *, layer: int) -> Direction:
    """A direction that was kept.

    Args:
        folder: holds `direction.safetensors` and `card.json`.
        layer: which.

    Raises:
        ReadingError: it has no such layer.
    """
    from safetensors.numpy import load_file

    path = Path(folder)
    card = files.read_json(path / "card.json")
    tensors = load_file(path / "direction.safetensors")
    if f"layer.{layer}" not in tensors:
        raise ReadingError(f"{path}: has no layer {layer}; it has {card['layers']}")
    return Direction(tensors[f"layer.{layer}"], layer, card.get("site", "resid_post"), card)
