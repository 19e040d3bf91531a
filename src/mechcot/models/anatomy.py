"""Where the parts of a causal language model are, what it computes at them, and leaving it as it was."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from mechcot.core.errors import ReadingError
from mechcot.core.sites import SITES
from mechcot.models.calling import calling_of
from mechcot.models.devices import device_of

MASK_TYPES = ("full_attention", "sliding_attention")
"""Layer types whose attention is the mask's and nothing else's."""

_NORMS = ("norm", "final_layernorm", "final_layer_norm", "ln_f", "norm_f", "final_norm", "embedding_norm")


@dataclass(frozen=True)
class Anatomy:
    """What a reading needs to know of a model.

    Attributes:
        decoder: embedding, blocks and final norm; called without the head.
        blocks: the decoder blocks in order.
        norm: the final norm; None where it has none of a known name.
        head: hidden state after the final norm to logits; for some families more than a matrix.
        config: its text configuration.
        scale: factor of the final logits (Cohere, Granite); 1 for most.
        softcap: cap of the final logits (Gemma 2, RecurrentGemma), None if there is none.
        windows: sliding window for each layer type, None for full attention. A single entry means
            that all layers are alike.
        strange: why its layers cannot read a tree, as far as its configuration says; "" if they may.
        max_positions: positions the model has, None if it does not say.
        vocab_size: rows of the embedding.
        d_model: width of the residual stream.
        device: where it takes its input.
        dtype: of the embedding.
    """

    decoder: nn.Module
    blocks: nn.ModuleList
    norm: nn.Module | None
    head: nn.Module
    config: Any
    scale: float
    softcap: float | None
    windows: Mapping[str, int | None]
    strange: str
    max_positions: int | None
    vocab_size: int
    d_model: int
    device: torch.device
    dtype: torch.dtype

    @property
    def layers(self) -> tuple[int, ...]:
        """Layer 0 is the embedding, layer l the residual stream after block l (counted from 1)."""
        return tuple(range(len(self.blocks) + 1))

    @property
    def devices(self) -> tuple[torch.device, ...]:
        """All that it computes on, the one where it takes its input first."""
        parts = (*(device_of(block) for block in self.blocks), device_of(self.head))
        return tuple(dict.fromkeys((self.device, *parts)))

    def has(self, site: str, layer: int) -> bool:
        """Whether the model has a site at a layer; layer 0 is the embedding."""
        return layer in self.layers and (layer > 0 or SITES[site].embedding)


def anatomy_of(model: Any) -> Anatomy:
    """Find the parts of a Hugging Face causal language model.

    Raises:
        ReadingError: the model has no decoder, blocks or head where they are looked for.
    """
    name = type(model).__name__
    config = model.config.get_text_config(decoder=True)
    n_layers = getattr(config, "num_hidden_layers", None)
    if not isinstance(n_layers, int):
        raise ReadingError(f"{name}: its config.json has no num_hidden_layers, so its blocks cannot be told")
    decoder, blocks = _decoder(model, n_layers)
    head = _head(model, decoder)
    embedding = model.get_input_embeddings().weight
    caps = (getattr(config, name, None) for name in ("final_logit_softcapping", "logits_soft_cap"))
    cap = next((cap for cap in caps if cap), None)
    positions = getattr(config, "max_position_embeddings", None)
    return Anatomy(
        decoder=decoder,
        blocks=blocks,
        norm=next((m for key, m in decoder.named_children() if key in _NORMS), None),
        head=head,
        config=config,
        scale=_scale(config),
        softcap=float(cap) if cap else None,
        windows=_windows(config, n_layers),
        strange=_strange(decoder, config, n_layers),
        max_positions=int(positions) if positions else None,
        vocab_size=int(embedding.shape[0]),
        d_model=int(config.hidden_size),
        device=device_of(model.get_input_embeddings()),
        dtype=embedding.dtype,
    )


def _decoder(model: Any, n_layers: int) -> tuple[nn.Module, nn.ModuleList]:
    """The part of a model that takes tokens and gives hidden states, and its blocks.

    What `get_decoder` gives comes first; some families give the model itself, or their head. The blocks are
    the decoder's own (`layers`), or a part's (`encoder.layer`).
    """
    given = model.get_decoder() if hasattr(model, "get_decoder") else None
    found: list[str] = []
    for decoder in (given, *model.children()):
        if not isinstance(decoder, nn.Module) or decoder is model:
            continue
        for parts in ([decoder], list(decoder.children())):
            lists = [
                (key, m) for part in parts for key, m in part.named_children() if isinstance(m, nn.ModuleList)
            ]
            found += [f"{key} of {len(m)}" for key, m in lists]
            stacks = [m for _, m in lists if len(m) == n_layers]
            if len(stacks) == 1:
                return decoder, stacks[0]
    raise ReadingError(
        f"{type(model).__name__}: expected one list of {n_layers} blocks in its decoder, found "
        f"{', '.join(dict.fromkeys(found)) or 'none'}; such a build is not known here"
    )


def _head(model: Any, decoder: nn.Module) -> nn.Module:
    """Hidden state to logits: what follows the decoder, up to the part that holds the output embedding.

    For most that is one matrix, for BERT its `cls`, for ModernBERT's decoder two parts one after the other.
    """
    last = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if not isinstance(last, nn.Module):
        raise ReadingError(
            f"{type(model).__name__}: expected a causal language model with get_output_embeddings()"
        )
    parts: list[nn.Module] = []
    for child in list(model.children()):
        if child is decoder or any(module is decoder for module in child.modules()):
            parts = []
            continue
        parts.append(child)
        if any(module is last for module in child.modules()):
            return nn.Sequential(*parts) if len(parts) > 1 else child
    return last


def _scale(config: Any) -> float:
    times = getattr(config, "logit_scale", None)
    by = (getattr(config, name, None) or 1 for name in ("logits_scaling", "logits_mup_width_multiplier"))
    return float(times if isinstance(times, float) else 1) / math.prod(map(float, by))


def _windows(config: Any, n_layers: int) -> dict[str, int | None]:
    kinds = list(dict.fromkeys((getattr(config, "layer_types", None) or [])[:n_layers]))
    window = getattr(config, "sliding_window", None)
    if not kinds:
        return {"all": int(window) if window else None}
    return {kind: int(window) if kind == "sliding_attention" and window else None for kind in kinds}


def _strange(decoder: nn.Module, config: Any, n_layers: int) -> str:
    kinds = set((getattr(config, "layer_types", None) or [])[:n_layers]) - set(MASK_TYPES)
    if kinds:
        return f"layers of type {sorted(kinds)} do not attend by a mask alone"
    if not hasattr(sys.modules[type(decoder).__module__], "ALL_ATTENTION_FUNCTIONS"):
        return "its code does not attend by transformers' attention interface"
    attention = getattr(config, "_attn_implementation", None)
    if attention not in ("eager", "sdpa"):
        return f"its attention is {attention!r}; 'sdpa' and 'eager' can read a tree"
    unknown = [name for name in ("position_ids", "attention_mask") if not calling_of(decoder).takes(name)]
    if unknown:
        return f"its forward takes no {' and no '.join(unknown)}"
    return ""


def head_logits(anatomy: Anatomy, hidden: Tensor, piece: slice | None = None) -> Tensor:
    """Logits in float32 from hidden states after the final norm, [rows, d_model] -> [rows, vocab].

    Args:
        anatomy: the model.
        hidden: the states.
        piece: of the vocabulary, for a head of which `splits` says that it has pieces; None: all of it.
    """
    head: Any = anatomy.head
    if piece is None:
        logits: Tensor = head(hidden)
    else:
        logits = linear(hidden, head.weight[piece], None if head.bias is None else head.bias[piece])
    if anatomy.scale != 1:
        logits = logits * anatomy.scale
    if anatomy.softcap is not None:
        logits = torch.tanh(logits / anatomy.softcap) * anatomy.softcap
    return logits.float()


def splits(head: nn.Module) -> TypeGuard[nn.Linear]:
    """Whether a head is its weights alone, and here, so that a piece of them gives a piece of the logits."""
    hooked = type(head) is not nn.Linear or head._forward_hooks or head._forward_pre_hooks
    return not hooked and not head.weight.is_meta


@contextmanager
def as_found(model: nn.Module) -> Iterator[None]:
    """Evaluation and inference mode inside; every module's own mode as before afterwards."""
    trained = [module for module in _modules(model) if module.training]
    if trained:
        model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module in trained:
            module.training = True


def _modules(model: nn.Module) -> Iterator[nn.Module]:
    """A model and all modules in it; without their names, which `modules` takes most of its time for."""
    waiting, seen = [model], {model}
    while waiting:
        module = waiting.pop()
        yield module
        fresh = [part for part in module._modules.values() if part is not None and part not in seen]
        seen.update(fresh)
        waiting += fresh


def hidden_of(output: Any) -> Tensor:
    """The hidden states [batch, nodes, d_model] in what a block or a part of it takes or gives.

    Raises:
        ReadingError: it is something else.
    """
    hidden = output[0] if isinstance(output, tuple | list) else output
    if not isinstance(hidden, Tensor) or hidden.dim() != 3:
        shape = tuple(hidden.shape) if isinstance(hidden, Tensor) else type(hidden).__name__
        raise ReadingError(f"a decoder block gave {shape}, expected hidden states [batch, nodes, d_model]")
    return hidden


@contextmanager
def watched(
    anatomy: Anatomy, places: Sequence[tuple[str, int]], see: Callable[[str, int, Tensor], None]
) -> Iterator[None]:
    """Show what the model computes at some places while it runs.

    Args:
        anatomy: the model.
        places: (site, layer); see `core.sites`.
        see: called once with site, layer and the values, all rows of the batch one after the other,
            [batch * nodes, d_model]; the block holds for one pass.

    Raises:
        ReadingError: a place that the model has not, or that it comes by more than once in a pass.
    """
    handles = []
    try:
        for site, layer in places:
            handles.append(_watch(anatomy, site, layer, see))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _watch(anatomy: Anatomy, site: str, layer: int, see: Callable[[str, int, Tensor], None]) -> Any:
    passed = False

    def keep(output: Any) -> None:
        nonlocal passed
        if passed:
            raise ReadingError(
                f"{site}, layer {layer}: the model runs this block more than once in a pass (a looped "
                "decoder), so a layer is not one place; read it without activations and without the lens"
            )
        passed = True
        hidden = output[0] if isinstance(output, tuple | list) else output
        # A part of a block may give the rows of a batch one after the other (Llama 4's experts).
        flat = SITES[site].modules and isinstance(hidden, Tensor) and hidden.dim() == 2
        hidden = hidden if flat else hidden_of(output)
        see(site, layer, hidden.reshape(-1, hidden.shape[-1]))

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        keep(args[0] if args else kwargs["hidden_states"])

    def after(module: nn.Module, args: Any, output: Any) -> None:
        keep(output)

    if site not in SITES or not anatomy.has(site, layer):
        raise ReadingError(
            f"the model has no {site} at layer {layer}; it has {', '.join(SITES)} at layers 1 to "
            f"{len(anatomy.blocks)}, and resid_post at layer 0 (the embedding)"
        )
    return hang(anatomy.blocks, site, layer, before, after)


def hang(blocks: nn.ModuleList, site: str, layer: int, before: Any, after: Any) -> Any:
    """Hang a hook where a site is: on what a module takes (`before`), or on what it gives (`after`).

    Raises:
        ReadingError: the block has no module of a known name.
    """
    part = part_of(blocks[max(layer, 1) - 1], site)
    if SITES[site].enters or layer == 0:
        return part.register_forward_pre_hook(before, with_kwargs=True)
    return part.register_forward_hook(after)


def part_of(block: nn.Module, site: str) -> nn.Module:
    """The module of a block that a site belongs to.

    Raises:
        ReadingError: the block has none of a known name.
    """
    names = SITES[site].modules
    if not names:
        return block
    part = next((getattr(block, name) for name in names if hasattr(block, name)), None)
    if not isinstance(part, nn.Module):
        raise ReadingError(
            f"{site}: {type(block).__name__} has no module named {' or '.join(names)}; it has "
            f"{', '.join(name for name, _ in block.named_children())}"
        )
    return part
