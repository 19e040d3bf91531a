"""How many tokens a forward pass may hold."""

from __future__ import annotations

from torch import nn

from mechcot.models.anatomy import Anatomy
from mechcot.reading.scoring import CHUNK_LOGITS
from mechcot.reading.spec import Recipe, default_max_tokens
from mechcot.study.manifest import EVERY_TOKEN

LEAST_TOKENS = 256

STEP_TOKENS = 8
"""Tokens of a tree for each step whose activations are kept, at least; a step has its lead-ins too."""

COPIES = 2
"""What a block computes is held this often: attention gathers its queries, keys and values text by text,
and an activation function keeps what it is given until it is done."""

LOGIT_BYTES = 16
"""What scoring holds of a logit: in float32 itself, less the largest, its exponential, their product."""


def find_max_tokens(anatomy: Anatomy, recipe: Recipe, free: int, free_host: int) -> int:
    """The token budget of a forward pass: what fits half of the free memory, a power of two.

    Args:
        anatomy: the reader.
        recipe: what is kept.
        free: bytes that its device has left.
        free_host: bytes that the host has left, where kept activations go.

    Returns:
        Between `LEAST_TOKENS` and `spec.DEFAULT_MAX_TOKENS`.
    """
    computed, kept = computed_bytes(anatomy), kept_bytes(anatomy, recipe)
    half = free / 2 - LOGIT_BYTES * max(CHUNK_LOGITS.get(anatomy.device.type, 2**24), anatomy.vocab_size)
    if anatomy.device.type == "cpu":
        fits = half / (computed + kept)
    else:
        fits = min(half / computed, free_host / 2 / max(kept, 1))
    power: int = 1 << max(int(fits), 1).bit_length() - 1
    return min(max(power, LEAST_TOKENS), default_max_tokens(anatomy))


def computed_bytes(anatomy: Anatomy) -> int:
    """Bytes of what a forward pass holds of a token at once, a generous estimate.

    The residual stream before and after a block and its norms in float32, and what the widest block
    computes: queries, keys, values and its MLP, which are as wide as its weights.
    """
    item, width = anatomy.dtype.itemsize, anatomy.d_model
    experts = getattr(anatomy.config, "num_experts_per_tok", None) or 1
    widest = max(_block_width(block, int(experts)) for block in anatomy.blocks)
    return item * (2 * width + COPIES * widest) + 4 * 2 * width


def _block_width(block: nn.Module, experts: int) -> int:
    """What a block computes of a token, in numbers: the wider side of each weight."""
    width = 0
    for weight in block.parameters():
        if weight.dim() >= 2:
            # Experts lie in one weight [experts, out, in]; a token goes through a few of them.
            width += max(weight.shape[-2:]) * (experts if weight.dim() > 2 else 1)
    return width


def kept_bytes(anatomy: Anatomy, recipe: Recipe) -> int:
    """Bytes of the activations kept of a token of a tree, at most."""
    step_rules = sum(rule != EVERY_TOKEN for rule in recipe.rules)
    rows = step_rules / STEP_TOKENS + (EVERY_TOKEN in recipe.rules)
    return int(rows * len(recipe.places) * anatomy.d_model * anatomy.dtype.itemsize)
