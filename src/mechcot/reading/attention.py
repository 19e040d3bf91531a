"""Attention in a prefix tree, text by text, by the model's own attention function.

All trees of a forward pass lie in one row. Where a model would attend, the queries, keys and values of
each text are gathered (`gathers.py`) and given to the very function that the model uses. So nothing is
computed between texts that do not see each other, no mask over the whole tree is made, and what the
model's attention does beside (scales, caps, groups of heads) is its own code's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mechcot.core.errors import ReadingError
from mechcot.reading.gathers import Bools, Gather, gathers_of
from mechcot.reading.layout import Layout
from mechcot.reading.prefix_tree import Ints

NAME = "mechcot_tree"
"""Under this name the attention of a tree is registered with transformers."""


@dataclass
class _Call:
    """One gather and its masks.

    Attributes:
        gather: what attends to what.
        target: the row of the output that each query gives, [texts * queries].
        masks: for each window, device, dtype and share; layers may lie on several devices.
    """

    gather: Gather
    target: Ints
    masks: dict[tuple[Any, ...], Tensor | None] = field(default_factory=dict)

    def mask(self, window: int | None, like: Tensor, share: int, *, eager: bool) -> Tensor | None:
        """The additive mask [texts or 1, 1, share queries, keys]; None: the model's own causal attention."""
        key = (window, like.device, like.dtype, share)
        if key not in self.masks:
            allowed = self._allowed(window, eager)
            self.masks[key] = None if allowed is None else _additive(allowed, like).repeat(1, 1, share, 1)
        return self.masks[key]

    def _allowed(self, window: int | None, eager: bool) -> Bools | None:
        allowed, length = self.gather.allowed, self.gather.query.shape[1]
        reach = window if window is not None else 2**62
        binds = self.gather.key_depth.shape[1] > reach
        if allowed is None and (binds or eager):
            allowed = np.tri(length, dtype=np.bool_)[None]
        if allowed is not None and binds:
            distance = self.gather.query_depth[:, :, None] - self.gather.key_depth[:, None]
            allowed = allowed & (distance < reach)
            # No row of a mask is empty, what pads included.
            allowed[..., 0] |= ~allowed.any(-1)
        return allowed


def _call(gather: Gather, spare: int) -> _Call:
    """A call whose queries that give nothing write into a spare row."""
    return _Call(gather, np.where(gather.target < 0, spare, gather.target).ravel())


def _additive(allowed: Bools, like: Tensor) -> Tensor:
    blocked = torch.from_numpy(~allowed).to(like.device)[:, None]
    mask = torch.zeros(blocked.shape, dtype=like.dtype, device=like.device)
    return mask.masked_fill_(blocked, torch.finfo(like.dtype).min)


@dataclass
class _Active:
    """The forward pass that is running.

    Attributes:
        groups: the keys' nodes of each group, [texts, keys], and its calls.
        own: the model's own attention implementation.
        windows: the window that a mask of a shape stands for.
        layers: how many layers have attended.
        placed: nodes on each device where a layer has attended.
    """

    groups: list[tuple[Ints, list[_Call]]]
    own: str
    windows: dict[torch.Size, int | None]
    layers: int = 0
    placed: dict[tuple[int, torch.device], Tensor] = field(default_factory=dict)

    def here(self, nodes: Ints, device: torch.device) -> Tensor:
        """Nodes of a group on a device."""
        key = (id(nodes), device)
        if key not in self.placed:
            self.placed[key] = torch.from_numpy(nodes).to(device)
        return self.placed[key]


_ACTIVE: ContextVar[_Active] = ContextVar("mechcot_tree_attention")


@contextmanager
def tree_attention(
    config: Any,
    layouts: Sequence[Layout],
    windows: Mapping[str, int | None],
    layers: int,
    device: torch.device,
) -> Iterator[Tensor | dict[str, Tensor]]:
    """Let a model attend text by text while it runs over trees laid side by side in one row.

    Args:
        config: the model's text configuration; its attention implementation is set inside and put back.
        layouts: the trees, in their order in the row.
        windows: the sliding window of each layer type, None for full attention.
        layers: how many layers attend.
        device: where the model takes its input.

    Yields:
        What to give as `attention_mask`: it only says which window a layer has.

    Raises:
        ReadingError: a layer of the model did not ask the registered function, so it did not see the
            tree as texts.
    """
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(NAME, _attend)

    # Models take a mask of four dimensions as it is; its shape tells which one a layer was given, also where
    # it was copied to the layer's own device.
    masks = {kind: torch.zeros((1, 1, 1, 1 + i), device=device) for i, kind in enumerate(windows)}
    size = sum(len(layout.token_ids) for layout in layouts)
    groups = [(group.key, [_call(call, size) for call in group.calls]) for group in gathers_of(layouts)]
    own = config._attn_implementation
    active = _Active(groups, own, {masks[kind].shape: window for kind, window in windows.items()})
    token = _ACTIVE.set(active)
    config._attn_implementation = NAME
    try:
        yield next(iter(masks.values())) if len(masks) == 1 else masks
    finally:
        config._attn_implementation = own
        _ACTIVE.reset(token)
    if active.layers != layers:
        raise ReadingError(
            f"{active.layers} of {layers} layers attend by transformers' attention interface; the others do "
            f"not see a tree as separate texts"
        )


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    """What a layer calls: [1, heads, nodes, width] to [1, nodes, heads, width]."""
    active = _ACTIVE.get()
    if attention_mask is None or attention_mask.shape not in active.windows:
        raise ReadingError(f"{type(module).__name__} changed its mask, so its window is not known")
    window = active.windows[attention_mask.shape]
    function = _own_function(module, active.own)
    share = _sharing(query, key, value, function, kwargs)
    # Behind the nodes is a row for what no call is asked for.
    out = value.new_empty((query.shape[2] + 1, query.shape[1], value.shape[3]))
    for nodes, calls in active.groups:
        at = active.here(nodes, query.device)
        k, v = _taken(key, at), _taken(value, at)
        for call in calls:
            gather = call.gather
            mask = call.mask(window, query, share, eager=active.own == "eager")
            q = _taken(query, active.here(gather.query, query.device))
            keys, values = k[:, :, gather.keys], v[:, :, gather.keys]
            if mask is None or share == 1:
                found, _ = function(module, q, keys, values, mask, **kwargs)
            else:
                found = _shared(function, share, q, keys, values, mask, kwargs)
            out.index_copy_(0, active.here(call.target, out.device), found.reshape(-1, *out.shape[1:]))
    active.layers += 1
    return out[None, :-1], None


def _sharing(query: Tensor, key: Tensor, value: Tensor, function: Any, kwargs: dict[str, Any]) -> int:
    """How many heads' queries can be asked as one's: those with the same keys, where the function is `sdpa`.

    With a mask, transformers' own copies keys and values for every head.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    plain = function is sdpa_attention_forward and kwargs.get("position_bias") is None
    return query.shape[1] // key.shape[1] if plain and key.shape[1] == value.shape[1] else 1


def _shared(
    function: Any, share: int, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, kwargs: dict[str, Any]
) -> Tensor:
    """`sdpa` with the queries of heads that share keys behind each other, [texts, queries, heads, width]."""
    texts, heads, n, width = query.shape
    asked = query.reshape(texts, heads // share, share * n, width)
    found, _ = function(_UNGROUPED, asked, key, value, mask, **kwargs)
    apart = found.reshape(texts, share, n, heads // share, value.shape[3])
    return apart.permute(0, 2, 3, 1, 4).reshape(texts, n, heads, value.shape[3])


_UNGROUPED = SimpleNamespace(num_key_value_groups=1, is_causal=False)
"""All that `sdpa` asks of a layer: each head has keys of its own."""


def _taken(states: Tensor, nodes: Tensor) -> Tensor:
    """[1, heads, nodes, width] to [texts, heads, tokens, width], copied in the order they lie in."""
    if states.stride(2) > states.stride(1):  # token by token, as a projection gives them
        taken = states[0].transpose(0, 1).index_select(0, nodes.flatten())
        return taken.reshape(*nodes.shape, *taken.shape[1:]).transpose(1, 2)
    taken = states[0].index_select(1, nodes.flatten())
    return taken.reshape(taken.shape[0], *nodes.shape, taken.shape[2]).transpose(0, 1)


def _own_function(module: Any, name: str) -> Any:
    """The attention function that the model uses by itself."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    eager = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    return ALL_ATTENTION_FUNCTIONS.get_interface(name, eager)
