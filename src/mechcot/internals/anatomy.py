"""Where the parts of a causal language model are, which masks it takes, and leaving it as it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mechcot.errors import ReadingError
from mechcot.internals.prefix_tree import PrefixTree, may_attend

MASK_TYPES = ("full_attention", "sliding_attention")
"""Layer types whose attention is the mask's and nothing else's."""


@dataclass(frozen=True)
class Anatomy:
    """What a reading needs to know of a model.

    Attributes:
        decoder: embedding, blocks and final norm; called without the head.
        blocks: the decoder blocks in order.
        head: hidden state after the final norm to logits.
        softcap: cap of the final logits (Gemma 2), None if there is none.
        windows: sliding window for each layer type, None for full attention. A single entry means
            that one mask serves all layers.
        max_positions: positions the model has, None if it does not say.
        vocab_size: rows of the embedding.
        d_model: width of the residual stream.
        attention_scale: tree length at which dense attention costs as much as all matrices.
    """

    decoder: nn.Module
    blocks: nn.ModuleList
    head: nn.Module
    softcap: float | None
    windows: Mapping[str, int | None]
    max_positions: int | None
    vocab_size: int
    d_model: int
    attention_scale: float
    device: torch.device
    dtype: torch.dtype

    @property
    def layers(self) -> tuple[int, ...]:
        """Layer 0 is the embedding, layer l the residual stream after block l (counted from 1)."""
        return tuple(range(len(self.blocks) + 1))


def anatomy_of(model: Any) -> Anatomy:
    """Find the parts of a Hugging Face causal language model.

    Raises:
        ReadingError: the model has no decoder, blocks or head where they are looked for, or its
            attention cannot take a mask of one's own.
    """
    name = type(model).__name__
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else None
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if not isinstance(decoder, nn.Module) or not isinstance(head, nn.Module):
        raise ReadingError(
            f"{name}: expected a causal language model with get_decoder() and get_output_embeddings()"
        )
    config = model.config.get_text_config()
    n_layers = int(config.num_hidden_layers)
    stacks = [m for m in decoder.children() if isinstance(m, nn.ModuleList) and len(m) == n_layers]
    if len(stacks) != 1:
        raise ReadingError(
            f"{name}: expected one list of {n_layers} blocks in the decoder, found {len(stacks)}"
        )
    attention = getattr(config, "_attn_implementation", "eager")
    if attention not in ("eager", "sdpa"):
        raise ReadingError(
            f"{name}: attention {attention!r} does not take the mask of a prefix tree; load the model with "
            f"attn_implementation='sdpa' or 'eager'"
        )
    embedding = model.get_input_embeddings().weight
    heads = int(config.num_attention_heads)
    head_dim = getattr(config, "head_dim", None) or int(config.hidden_size) // heads
    block = sum(p.numel() for p in stacks[0][0].parameters() if p.dim() > 1)
    matrices = block + sum(p.numel() for p in head.parameters() if p.dim() > 1) / n_layers
    cap = getattr(config, "final_logit_softcapping", None)
    positions = getattr(config, "max_position_embeddings", None)
    return Anatomy(
        decoder=decoder,
        blocks=stacks[0],
        head=head,
        softcap=float(cap) if cap else None,
        windows=_windows(config, name, n_layers),
        max_positions=int(positions) if positions else None,
        vocab_size=int(embedding.shape[0]),
        d_model=int(config.hidden_size),
        attention_scale=float(round(matrices / (2 * heads * head_dim))) or 1.0,
        device=embedding.device,
        dtype=embedding.dtype,
    )


def _windows(config: Any, name: str, n_layers: int) -> dict[str, int | None]:
    kinds = list(dict.fromkeys((getattr(config, "layer_types", None) or [])[:n_layers]))
    window = getattr(config, "sliding_window", None)
    if not kinds:
        return {"all": int(window) if window else None}
    strange = [kind for kind in kinds if kind not in MASK_TYPES]
    if strange:
        raise ReadingError(
            f"{name}: layers of type {strange} do not attend by a mask alone, so a prefix tree would be "
            f"read wrongly"
        )
    return {kind: int(window) if kind == "sliding_attention" and window else None for kind in kinds}


def masks_for(padded: PrefixTree, anatomy: Anatomy) -> Tensor | dict[str, Tensor]:
    """The additive attention mask [trees, 1, nodes, nodes], a dict by layer type for hybrid windows."""
    masks = {kind: _additive(padded, window, anatomy) for kind, window in anatomy.windows.items()}
    return next(iter(masks.values())) if len(masks) == 1 else masks


def _additive(padded: PrefixTree, window: int | None, anatomy: Anatomy) -> Tensor:
    blocked = torch.from_numpy(~may_attend(padded, window)).to(anatomy.device)
    mask = torch.zeros(blocked.shape, dtype=anatomy.dtype, device=anatomy.device)
    return mask.masked_fill_(blocked, torch.finfo(anatomy.dtype).min)


def head_logits(anatomy: Anatomy, hidden: Tensor) -> Tensor:
    """Logits in float32 from hidden states after the final norm, [rows, d_model] -> [rows, vocab]."""
    logits: Tensor = anatomy.head(hidden)
    if anatomy.softcap is not None:
        logits = torch.tanh(logits / anatomy.softcap) * anatomy.softcap
    return logits.float()


@contextmanager
def as_found(model: nn.Module) -> Iterator[None]:
    """Evaluation and inference mode inside; every module's own mode as before afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, training in modes:
            module.training = training


def hidden_of(output: Any, batch: int) -> Tensor:
    """The hidden states [batch, nodes, d_model] in what a block takes or gives.

    Raises:
        ReadingError: it is something else.
    """
    hidden = output[0] if isinstance(output, tuple) else output
    if not isinstance(hidden, Tensor) or hidden.dim() != 3 or hidden.shape[0] != batch:
        shape = tuple(hidden.shape) if isinstance(hidden, Tensor) else type(hidden).__name__
        raise ReadingError(f"a decoder block gave {shape}, expected hidden states [{batch}, nodes, d_model]")
    return hidden


@contextmanager
def residuals(
    anatomy: Anatomy, layers: Sequence[int], rows: Tensor, batch: int
) -> Iterator[dict[int, Tensor]]:
    """Collect the residual stream at some rows while the decoder runs.

    Args:
        anatomy: the model.
        layers: which layers; 0 is what goes into the first block.
        rows: indices into the flattened [batch * nodes], [rows].
        batch: trees in the batch.

    Yields:
        A dict that fills during the forward pass: layer -> [rows, d_model], as computed.
    """
    found: dict[int, Tensor] = {}

    def keep(layer: int, output: Any) -> None:
        hidden = hidden_of(output, batch)
        flat = hidden.reshape(-1, hidden.shape[-1])
        found[layer] = flat.index_select(0, rows.to(flat.device))

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        keep(0, args[0] if args else kwargs["hidden_states"])

    def after(layer: int) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            keep(layer, output)

        return hook

    handles = []
    try:
        for layer in layers:
            if layer == 0:
                handles.append(anatomy.blocks[0].register_forward_pre_hook(before, with_kwargs=True))
            else:
                handles.append(anatomy.blocks[layer - 1].register_forward_hook(after(layer)))
        yield found
    finally:
        for handle in handles:
            handle.remove()
