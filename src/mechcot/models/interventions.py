"""Edits of a model's insides while it runs: add, ablate, replace and patch, as context managers.

An edit is a forward hook on some of the decoder's blocks; it goes when its block is left. Layers
count as in a reading: `resid_post` at layer 0 is the embedding, at layer l the residual stream
after block l (from 1); `core.sites` says where each site is. Edits at one site act in the order in
which they were entered.

Positions are indices into the sequence, from 0, padding counted. In a generation with a cache of
keys and values each pass continues where the cache ends, so a position means the same token in the
first pass over the prompt, in later passes, and in one pass over the whole text. A reading inside
an edit (a prefix tree) can be edited at all positions only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from mechcot.core.errors import ReadingError
from mechcot.core.sites import SITES
from mechcot.models.edit_hooks import (
    Change,
    Positions,
    Vector,
    chosen,
    decoder_of,
    edit,
    place_of,
    refuse_unknown,
    vectors_of,
    where_of,
)

__all__ = ["SITES", "Positions", "Vector", "ablate", "add", "patch", "record", "replace"]


@contextmanager
def add(
    model: Any,
    direction: Vector,
    *,
    layers: Sequence[int],
    site: str = "resid_post",
    positions: Positions = None,
    scale: float = 1.0,
    prompt_length: int | Sequence[int] | None = None,
) -> Iterator[None]:
    """Add `scale * direction` at a site while the block runs.

    The product is made in the direction's own dtype, rounded once to the model's, and added there.

    Args:
        model: a Hugging Face causal language model.
        direction: [d_model], or one for each layer as a mapping.
        layers: where; see the module's docstring for how they count.
        site: one of `SITES`.
        positions: which tokens; see `Positions`.
        scale: factor of the direction.
        prompt_length: tokens of the prompt (one number, or one a row, padding counted) for "prompt"
            and "generated". None: what runs on an empty cache is the prompt, all later generated.

    Raises:
        ReadingError: an unknown site or layer, a direction of another shape or not finite, positions
            that the sequence does not have.
    """
    decoder = decoder_of(model)
    vectors = vectors_of(direction, decoder, layers, site)

    def change(layer: int) -> Change:
        def shifted(hidden: Tensor, mask: Tensor | None) -> Tensor:
            step = (scale * vectors[layer]).to(hidden)
            return chosen(mask, hidden + step, hidden)

        return shifted

    with edit(decoder, layers, site, where_of(positions, prompt_length), change):
        yield


@contextmanager
def ablate(
    model: Any,
    direction: Vector,
    *,
    layers: Sequence[int],
    site: str = "resid_post",
    positions: Positions = None,
    prompt_length: int | Sequence[int] | None = None,
) -> Iterator[None]:
    """Take the component along a direction out of the hidden states: `h - (h . u) u`, u of length 1.

    Computed in float32 at least, rounded once to the model's dtype.

    Args:
        model: as in `add`.
        direction: as in `add`; its length does not matter but may not be 0.
        layers: as in `add`.
        site: as in `add`.
        positions: as in `add`.
        prompt_length: as in `add`.

    Raises:
        ReadingError: as `add`; a direction of length 0.
    """
    decoder = decoder_of(model)
    vectors = vectors_of(direction, decoder, layers, site)
    for layer, vector in vectors.items():
        if not float(vector.cpu().double().norm()):
            raise ReadingError(f"{place_of(site, layer)}: a direction of length 0 cannot be projected out")

    def change(layer: int) -> Change:
        unit = torch.nn.functional.normalize(vectors[layer].cpu().double(), dim=0)

        def projected(hidden: Tensor, mask: Tensor | None) -> Tensor:
            dtype = torch.promote_types(hidden.dtype, torch.float32)
            u, wide = unit.to(hidden.device, dtype), hidden.to(dtype)
            return chosen(mask, (wide - (wide @ u)[..., None] * u).to(hidden.dtype), hidden)

        return projected

    with edit(decoder, layers, site, where_of(positions, prompt_length), change):
        yield


@contextmanager
def record(model: Any, *, layers: Sequence[int], site: str = "resid_post") -> Iterator[dict[int, Tensor]]:
    """Keep what stands at a site while the model runs; nothing is changed.

    Args:
        model: as in `add`.
        layers: as in `add`.
        site: as in `add`.

    Yields:
        layer to the hidden states [batch, tokens, d_model] of the last pass; empty before the first.

    Raises:
        ReadingError: as `add`.
    """
    decoder = decoder_of(model)
    refuse_unknown(decoder, layers, site)
    kept: dict[int, Tensor] = {}

    def change(layer: int) -> Change:
        def seen(hidden: Tensor, mask: Tensor | None) -> Tensor:
            kept[layer] = hidden.detach()
            return hidden

        return seen

    with edit(decoder, layers, site, where_of(None, None), change):
        yield kept


@contextmanager
def replace(
    model: Any,
    value: Vector,
    *,
    layers: Sequence[int],
    site: str = "resid_post",
    positions: Positions = None,
    prompt_length: int | Sequence[int] | None = None,
) -> Iterator[None]:
    """Set the hidden states at a site to a vector.

    Args:
        model: as in `add`.
        value: [d_model], or [batch, d_model] with one for each row; or either for each layer as a mapping.
        layers: as in `add`.
        site: as in `add`.
        positions: as in `add`.
        prompt_length: as in `add`.

    Raises:
        ReadingError: as `add`; values for another number of rows than the batch has.
    """
    decoder = decoder_of(model)
    values = vectors_of(value, decoder, layers, site, dims=(1, 2))

    def change(layer: int) -> Change:
        def replaced(hidden: Tensor, mask: Tensor | None) -> Tensor:
            given = values[layer].to(hidden)
            if given.dim() == 2 and len(given) != len(hidden):
                raise ReadingError(
                    f"{place_of(site, layer)}: values {list(given.shape)} were given for hidden states "
                    f"{list(hidden.shape)}"
                )
            new = given[:, None] if given.dim() == 2 else given
            return chosen(mask, new.expand_as(hidden), hidden)

        return replaced

    with edit(decoder, layers, site, where_of(positions, prompt_length), change):
        yield


@contextmanager
def patch(
    model: Any,
    activations: Any,
    *,
    layers: Sequence[int],
    positions: Sequence[int] | Sequence[Sequence[int]],
    site: str = "resid_post",
) -> Iterator[None]:
    """Copy activations, of another run for instance, to some positions of this one.

    Args:
        model: as in `add`.
        activations: [positions, d_model], or [batch, positions, d_model] with some for each row; or
            either for each layer as a mapping. Entry i goes to `positions[i]`.
        layers: as in `add`.
        positions: indices, or as many for each row of the batch.
        site: as in `add`.

    Raises:
        ReadingError: as `add`; activations that do not fit the positions or the batch.
    """
    decoder = decoder_of(model)
    where = where_of(positions, None)
    values = vectors_of(activations, decoder, layers, site, dims=(2, 3))
    counts = {len(row) for row in where.indices or ()}
    for layer, given in values.items():
        if counts != {given.shape[-2]}:
            raise ReadingError(
                f"{place_of(site, layer)}: activations {list(given.shape)} do not fit {sorted(counts)} "
                f"positions"
            )

    def change(layer: int) -> Change:
        def patched(hidden: Tensor, mask: Tensor | None) -> Tensor:
            batch, length = hidden.shape[:2]
            place, given = place_of(site, layer), values[layer].to(hidden)
            rows = where.rows(batch, length, place)
            if given.dim() == 3 and len(given) != batch:
                raise ReadingError(
                    f"{place}: activations {list(given.shape)} were given for hidden states "
                    f"{list(hidden.shape)}"
                )
            new = hidden.clone()
            for b in range(batch):
                here = torch.tensor(rows[b if len(rows) > 1 else 0], dtype=torch.long) - where.first(place)
                inside = ((here >= 0) & (here < length)).nonzero()[:, 0]
                source = given[b] if given.dim() == 3 else given
                new[b, here[inside].to(hidden.device)] = source[inside.to(hidden.device)]
            return new

        return patched

    with edit(decoder, layers, site, where, change):
        yield
