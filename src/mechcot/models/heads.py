"""What single attention heads write: what attention's output projection takes, by head, through it.

The output projection is linear, so what attention writes is the sum over heads (and the bias). Edits here are
for one pass without a cache over whole texts; wider ones are in `interventions`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mechcot.core.errors import ReadingError
from mechcot.models.anatomy import Anatomy, anatomy_of, part_of

_OUTPUTS = ("o_proj", "out_proj", "c_proj", "dense")
"""What attention modules call their output projection."""


def heads_in(model: Any, layers: Sequence[int]) -> int:
    """How many heads each of some layers has, side by side in what its output projection takes.

    Args:
        model: a Hugging Face causal language model.
        layers: from 1.

    Raises:
        ReadingError: the heads of a layer cannot be told apart, and why.
    """
    anatomy = anatomy_of(model)
    heads = getattr(anatomy.config, "num_attention_heads", None)
    if not isinstance(heads, int) or heads < 1:
        raise ReadingError("its config.json has no number of heads (num_attention_heads)")
    names = ("head_dim", "v_head_dim")
    known = {getattr(anatomy.config, name, None) for name in names} | {anatomy.d_model // heads}
    for layer in layers:
        width = _width(_projection(anatomy, layer))
        if width % heads or width // heads not in known:
            raise ReadingError(
                f"layer {layer}: the output projection of its attention takes {width} numbers, which are not "
                f"{heads} heads of a width that config.json names"
            )
    return heads


@contextmanager
def record_heads(
    model: Any, layers: Sequence[int], heads: int, at: Sequence[int]
) -> Iterator[dict[int, Tensor]]:
    """Keep what each head of some layers writes at a token of each text while the model runs once.

    Args:
        model: a Hugging Face causal language model.
        layers: from 1.
        heads: of each layer, by `heads_in`.
        at: index of the token in each text of the batch.

    Yields:
        layer to [batch, heads, d_model]; empty before the pass.

    Raises:
        ReadingError: a projection that takes something else.
    """
    kept: dict[int, Tensor] = {}
    anatomy = anatomy_of(model)

    def keep(layer: int) -> Any:
        def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            kept[layer] = _written(module, _at(_taken(args, layer), at), heads).detach()

        return after

    with ExitStack() as stack:
        for layer in layers:
            handle = _projection(anatomy, layer).register_forward_hook(keep(layer))
            stack.callback(handle.remove)
        yield kept


@contextmanager
def patch_head(
    model: Any, given: Tensor, *, layer: int, head: int, heads: int, at: Sequence[int]
) -> Iterator[None]:
    """Put what one head wrote in another pass in place of what it writes here, at a token of each text.

    Args:
        model: a Hugging Face causal language model.
        given: what the head wrote, [batch, d_model].
        layer: from 1.
        head: from 0.
        heads: of the layer, by `heads_in`.
        at: index of the token in each text of the batch.

    Raises:
        ReadingError: values that do not fit.
    """

    def after(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        if given.shape != (len(output), output.shape[-1]):
            raise ReadingError(
                f"heads of layer {layer}: {list(given.shape)} was given for {list(output.shape)}"
            )
        own = _written(module, _at(_taken(args, layer), at), heads)[:, head]
        new = output.clone()
        rows = torch.arange(len(new), device=new.device)
        new[rows, torch.tensor(list(at), device=new.device)] += given.to(new) - own
        return new

    handle = _projection(anatomy_of(model), layer).register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()


def _at(hidden: Tensor, at: Sequence[int]) -> Tensor:
    """One token of each text, [batch, width]."""
    rows = torch.arange(len(hidden), device=hidden.device)
    return hidden[rows, torch.tensor(list(at), device=hidden.device)]


def _written(projection: nn.Module, given: Tensor, heads: int) -> Tensor:
    """What each head adds, [batch, heads, d_model]: the projection of its numbers alone, without the bias."""
    own = torch.eye(heads, dtype=given.dtype, device=given.device)
    own = own.repeat_interleave(given.shape[-1] // heads, dim=1)  # [heads, heads * width]
    alone, nothing = given[:, None] * own, torch.zeros_like(given[:1, None])
    found: Tensor = projection.forward(alone) - projection.forward(nothing)  # past the hooks
    return found


def _projection(anatomy: Anatomy, layer: int) -> nn.Module:
    attention = part_of(anatomy.blocks[layer - 1], "attn_out")
    for part in (attention, *attention.children()):  # some families wrap their attention once more
        for name in _OUTPUTS:
            found = getattr(part, name, None)
            if isinstance(found, nn.Module):
                return found
    raise ReadingError(
        f"layer {layer}: {type(attention).__name__} has no output projection named {', '.join(_OUTPUTS)}"
    )


def _width(projection: nn.Module) -> int:
    """How many numbers a projection takes a token."""
    size = getattr(projection, "in_features", None) or getattr(projection, "nx", None)
    if not isinstance(size, int):
        raise ReadingError(f"{type(projection).__name__} does not say how many numbers it takes")
    return size


def _taken(args: tuple[Any, ...], layer: int) -> Tensor:
    hidden = args[0] if args else None
    if not isinstance(hidden, Tensor) or hidden.dim() != 3:
        shape = list(hidden.shape) if isinstance(hidden, Tensor) else type(hidden).__name__
        raise ReadingError(f"heads of layer {layer}: expected [batch, tokens, heads * width], got {shape}")
    return hidden
