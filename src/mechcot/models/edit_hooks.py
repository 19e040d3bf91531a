"""The plumbing of edits: which modules and tokens they touch, and the hooks that do it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from mechcot.core.errors import ReadingError
from mechcot.core.remade import altered
from mechcot.core.sites import SITES
from mechcot.models.anatomy import anatomy_of, hang
from mechcot.models.calling import Pass, calling_of

Positions: TypeAlias = str | Sequence[int] | Sequence[Sequence[int]] | None
"""All tokens; "prompt" or "generated"; indices; or indices for each row of the batch."""

Vector: TypeAlias = Any
"""A tensor or array [d_model], or a mapping from layers to such."""


@dataclass(frozen=True)
class EditedDecoder:
    """The parts of a model that edits hang on."""

    name: str
    module: nn.Module
    blocks: nn.ModuleList
    d_model: int


@dataclass
class Where:
    """Which tokens are edited.

    Attributes:
        phase: "prompt" or "generated"; None: `indices` says it.
        indices: for each row of the batch, or one tuple for all; None, without a phase: every token.
        prompt_length: tokens of the prompt, for all rows or each; None: told by the cache.
        now: the pass that is running.
    """

    phase: str | None
    indices: tuple[tuple[int, ...], ...] | None
    prompt_length: int | Sequence[int] | None
    now: Pass = field(default_factory=Pass)

    def mask(self, batch: int, length: int, device: torch.device, place: str) -> Tensor | None:
        """Which tokens of this pass are edited, [batch or 1, length]; None is all of them."""
        if self.phase is None and self.indices is None:
            return None
        first = self.first(place)
        index = torch.arange(first, first + length, device=device)
        if self.phase is not None:
            generated = self._generated(index[None], batch, place)
            return generated if self.phase == "generated" else ~generated
        rows = self.rows(batch, length, place)
        return torch.stack([torch.isin(index, torch.tensor(row, device=device).long()) for row in rows])

    def rows(self, batch: int, length: int, place: str) -> tuple[tuple[int, ...], ...]:
        """The indices for each row of the batch, or one tuple for all rows."""
        rows = self.indices or ((),)
        if len(rows) not in (1, batch):
            raise ReadingError(f"{place}: positions for {len(rows)} rows were given, the batch has {batch}")
        # With a cache, or a prompt of known length, the text may still grow to where an edit is meant.
        grows = self.now.cached or self.prompt_length is not None
        last = max((max(row) for row in rows if row), default=-1)
        if not grows and last >= length:
            raise ReadingError(f"{place}: position {last} was asked for, the sequence has {length} tokens")
        return rows

    def first(self, place: str) -> int:
        """Which token of the text this pass begins with."""
        if self.now.own_mask:
            raise ReadingError(
                f"{place}: with a mask of one's own, as a reading's prefix tree has, the n-th entry is not "
                f"the n-th token of a text; such a pass can be edited at all positions only"
            )
        if self.now.seen is None:
            raise ReadingError(
                f"{place}: what this model keeps of the text does not say how many tokens it has read, so "
                f"positions cannot be told; edit it at all positions, or in one pass with use_cache=False"
            )
        return self.now.seen

    def _generated(self, index: Tensor, batch: int, place: str) -> Tensor:
        if self.prompt_length is not None:
            lengths = torch.as_tensor(self.prompt_length, device=index.device).reshape(-1, 1)
            if len(lengths) not in (1, batch):
                raise ReadingError(
                    f"{place}: {len(lengths)} prompt lengths were given, the batch has {batch}"
                )
            return index >= lengths
        if not self.now.cached:
            raise ReadingError(
                f"{place}: without a cache of keys and values a pass does not tell the prompt from what was "
                f"generated; give prompt_length"
            )
        return (index >= 0) if self.now.seen else (index < 0)


Change = Callable[[Tensor, Tensor | None], Tensor]
"""Hidden states [batch, nodes, d_model] and the mask of edited tokens to new hidden states."""


_PAUSED = ContextVar("paused", default=False)


@contextmanager
def paused() -> Iterator[None]:
    """Let passes run as if no edit were on: what is asked of a model there is not what it says under one."""
    before = _PAUSED.set(True)
    try:
        yield
    finally:
        _PAUSED.reset(before)


@contextmanager
def edit(
    decoder: EditedDecoder, layers: Sequence[int], site: str, where: Where, change: Callable[[int], Change]
) -> Iterator[None]:
    """Hang the hooks of one edit and take them off again."""
    calling = calling_of(decoder.module)

    def began(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        where.now = calling.begun(args, kwargs)

    with ExitStack() as stack:
        stack.enter_context(altered(decoder.module))
        handle = decoder.module.register_forward_pre_hook(began, with_kwargs=True)
        stack.callback(handle.remove)
        for layer in layers:
            handle = _hang(decoder, layer, site, where, change(layer))
            stack.callback(handle.remove)
        yield


def _hang(decoder: EditedDecoder, layer: int, site: str, where: Where, change: Change) -> Any:
    place = place_of(site, layer)

    def edited(hidden: Any) -> Tensor:
        if not isinstance(hidden, Tensor) or hidden.dim() != 3 or hidden.shape[-1] != decoder.d_model:
            shape = list(hidden.shape) if isinstance(hidden, Tensor) else type(hidden).__name__
            raise ReadingError(f"{place}: expected [batch, nodes, {decoder.d_model}], the model has {shape}")
        if _PAUSED.get():
            return hidden
        mask = where.mask(hidden.shape[0], hidden.shape[1], hidden.device, place)
        return change(hidden, mask)

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (edited(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": edited(kwargs["hidden_states"])}

    def after(module: nn.Module, args: Any, output: Any) -> Any:
        if hasattr(output, "_replace"):  # a tuple with names (Reformer)
            return output._replace(**{output._fields[0]: edited(output[0])})
        if isinstance(output, tuple | list):
            return type(output)((edited(output[0]), *output[1:]))
        return edited(output)

    return hang(decoder.blocks, site, layer, before, after)


def decoder_of(model: Any) -> EditedDecoder:
    """The decoder and its blocks.

    Raises:
        ReadingError: it is not a causal language model of a known build.
    """
    anatomy = anatomy_of(model)
    return EditedDecoder(type(model).__name__, anatomy.decoder, anatomy.blocks, anatomy.d_model)


def where_of(positions: Positions, prompt_length: int | Sequence[int] | None) -> Where:
    """What a caller's positions mean.

    Raises:
        ReadingError: an unknown word or an index below 0.
    """
    if positions is None:
        return Where(None, None, prompt_length)
    if isinstance(positions, str):
        if positions not in ("prompt", "generated"):
            raise ReadingError(f"positions: expected 'prompt', 'generated' or indices, got {positions!r}")
        return Where(positions, None, prompt_length)
    given: list[Any] = list(positions)
    nested = bool(given) and all(np.ndim(row) == 1 for row in given)
    rows = tuple(tuple(int(i) for i in row) for row in (given if nested else [given]))
    negative = [i for row in rows for i in row if i < 0]
    if negative:
        raise ReadingError(f"positions count from 0 at the first token; got {negative[0]}")
    return Where(None, rows, prompt_length)


def vectors_of(
    given: Any, decoder: EditedDecoder, layers: Sequence[int], site: str, dims: tuple[int, ...] = (1,)
) -> dict[int, Tensor]:
    """The tensor for each layer, checked.

    Args:
        given: one tensor, or a mapping from layers to tensors, each [..., d_model].
        decoder: the model's parts.
        layers: where the edit is.
        site: at which site.
        dims: how many dimensions a tensor may have.

    Raises:
        ReadingError: an unknown site or layer, a tensor of another shape or not finite.
    """
    refuse_unknown(decoder, layers, site)
    found = {}
    for layer in layers:
        if isinstance(given, Mapping) and layer not in given:
            raise ReadingError(f"{place_of(site, layer)}: nothing was given for it, only for {sorted(given)}")
        value = torch.as_tensor(given[layer] if isinstance(given, Mapping) else given).detach()
        if value.dim() not in dims or value.shape[-1] != decoder.d_model:
            wanted = f"[{'..., ' if max(dims) > 1 else ''}{decoder.d_model}] of {dims} dimensions"
            raise ReadingError(f"{place_of(site, layer)}: expected {wanted}, got {list(value.shape)}")
        if not torch.isfinite(value).all():
            raise ReadingError(f"{place_of(site, layer)}: what was given is not finite (NaN or infinite)")
        found[layer] = value if value.is_floating_point() else value.to(torch.float32)
    return found


def refuse_unknown(decoder: EditedDecoder, layers: Sequence[int], site: str) -> None:
    """Refuse places that a model has not.

    Raises:
        ReadingError: an unknown site or layer.
    """
    if site not in SITES:
        raise ReadingError(f"there is no site {site!r}; there are {', '.join(SITES)}")
    first, last = (0 if SITES[site].embedding else 1), len(decoder.blocks)
    if not layers:
        raise ReadingError(f"{site}: no layers were given; {decoder.name} has {first} to {last}")
    for layer in layers:
        if layer not in range(first, last + 1):
            raise ReadingError(f"{site}: {decoder.name} has layers {first} to {last}, asked for {layer}")


def place_of(site: str, layer: int) -> str:
    """How messages call a place."""
    return f"{site}, layer {layer}"


def chosen(mask: Tensor | None, new: Tensor, old: Tensor) -> Tensor:
    """The new states where the mask [batch or 1, nodes] holds, the old elsewhere."""
    return new if mask is None else torch.where(mask[..., None], new, old)
