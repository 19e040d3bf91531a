"""The places in a model where activations are read and edited, and where in a decoder block each is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Site:
    """A place in every block of a decoder, [tokens, d_model].

    Attributes:
        says: what is there, in few words.
        modules: what blocks call the module it belongs to; the first that one has. None: the block itself.
        enters: whether it is what the module takes, rather than what it gives.
        embedding: whether layer 0 has it too: what the first block takes.
    """

    says: str
    modules: tuple[str, ...] = ()
    enters: bool = False
    embedding: bool = False


ATTENTION = ("self_attn", "attn", "attention", "self_attention")
MLP = ("mlp", "ffn", "feed_forward", "block_sparse_moe")

SITES: dict[str, Site] = {
    "resid_pre": Site("what enters the block", enters=True),
    "resid_post": Site("the residual stream after the block, before the final norm", embedding=True),
    "attn_out": Site("what attention gives, before any norm that follows it", ATTENTION),
    "mlp_out": Site("what the MLP gives, before any norm that follows it", MLP),
}
"""By name. Layer l is block l, from 1; layer 0 is the embedding."""


def layers_of(depth: int, most: int | None) -> tuple[int, ...]:
    """Layers that are looked at, the embedding (0) and the last among them.

    Args:
        depth: blocks of the decoder.
        most: blocks to look at; None: all.
    """
    if most is None or depth <= most:
        return tuple(range(depth + 1))
    return (0, *dict.fromkeys(round((number + 1) * depth / most) for number in range(most)))
