"""Attention in a prefix tree, text by text, by the model's own attention function.

All trees of a forward pass lie in one row. Where a model would attend, the queries, keys and values of
each text are gathered and given to the very function that the model uses: once for the trunks, plain
causal attention as in a batch of whole texts, and once for the branches below their prefixes, with a
mask. So nothing is computed between texts that do not see each other, no mask over the whole tree is
made, and what the model's attention does beside (scales, caps, groups of heads) is its own code's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mechcot.errors import ReadingError
from mechcot.internals.layout import Layout, Trunk
from mechcot.internals.prefix_tree import Ints

NAME = "mechcot_tree"
"""Under this name the attention of a tree is registered with transformers."""

ROW_NODES = 128
"""Branch nodes that attend together, one copy of a branch at least: fewer mean more copies of the
prefix's keys, more mean more of the mask between branches that is empty."""

GATHER_COST = 100
"""What it costs to gather a token's keys and values once more, in query-key pairs."""

_LIKE = 0.8  # texts down to this share of the longest one share a batch


@dataclass(frozen=True)
class Gather:
    """Texts that attend in one call.

    Attributes:
        query: node of each query, [texts, queries].
        key: node of each key, [texts, keys].
        source: which of the flattened queries give results, [results].
        target: the node of each, [results].
        allowed: what may be seen, [texts, queries, keys]; None: plain causal attention.
        query_depth: position of each query in its text, [texts or 1, queries].
        key_depth: the same of each key, [texts or 1, keys].
    """

    query: Ints
    key: Ints
    source: Ints
    target: Ints
    allowed: np.ndarray[Any, np.dtype[np.bool_]] | None
    query_depth: Ints
    key_depth: Ints


def gathers_of(layouts: Sequence[Layout]) -> list[Gather]:
    """Which nodes of some trees, laid side by side in one row, attend together."""
    trunks: list[Trunk] = []
    below: list[tuple[Trunk, _Row]] = []
    whole: list[tuple[Trunk, _Row]] = []
    first = 0
    for layout in layouts:
        for number, trunk in enumerate(layout.trunks):
            moved = Trunk(trunk.path + first, trunk.own, trunk.blind)
            copies = np.flatnonzero(layout.copies.trunk == number)
            copies = copies[np.argsort(layout.copies.at[copies], kind="stable")]
            if _cheaper_whole(len(trunk.path), len(copies) * len(layout.branch)):
                whole.append((moved, _row(layout, copies, first)))
                continue
            trunks.append(moved)
            step = max(1, ROW_NODES // max(1, len(layout.branch)))
            for i in range(0, len(copies) if len(layout.branch) else 0, step):
                row = _row(layout, copies[i : i + step], first)
                below.append((Trunk(moved.path[: row.at.max() + 1], 0), row))
        first += len(layout.token_ids)
    plain = [trunk for trunk in trunks if trunk.blind is None]
    blind = [trunk for trunk in trunks if trunk.blind is not None]
    return [
        *(_trunk_gather(group) for group in _alike(plain, [len(trunk.path) for trunk in plain])),
        *(_trunk_gather(group) for group in _alike(blind, [len(trunk.path) for trunk in blind])),
        *(_gather(group, with_trunk=False) for group in _alike(below, _sizes(below))),
        *(_gather(group, with_trunk=True) for group in _alike(whole, _sizes(whole))),
    ]


def _cheaper_whole(trunk: int, branches: int) -> bool:
    """Whether a trunk and its branches had better attend in one masked call than in two."""
    apart = trunk * trunk / 2 + branches * (trunk + branches) + GATHER_COST * trunk
    return branches > 0 and (trunk + branches) ** 2 <= apart


def _sizes(rows: Sequence[tuple[Trunk, _Row]]) -> list[int]:
    return [len(trunk.path) + len(row.node) for trunk, row in rows]


def _alike(items: Sequence[Any], sizes: Sequence[int]) -> Iterator[list[Any]]:
    """Items of about the same size together, so that padding stays small."""
    group: list[Any] = []
    longest = 0
    for i in sorted(range(len(items)), key=lambda i: -sizes[i]):
        if group and sizes[i] < _LIKE * longest:
            yield group
            group = []
        longest = longest if group else sizes[i]
        group.append(items[i])
    if group:
        yield group


def _trunk_gather(trunks: Sequence[Trunk]) -> Gather:
    width = max(len(trunk.path) for trunk in trunks)
    node = np.zeros((len(trunks), width), np.int64)
    source, target = [], []
    for i, trunk in enumerate(trunks):
        node[i, : len(trunk.path)] = trunk.path
        source.append(i * width + np.arange(trunk.own, len(trunk.path)))
        target.append(trunk.path[trunk.own :])
    allowed, depth = None, np.arange(width)
    if trunks[0].blind is not None:
        allowed = np.stack([_causal(width, trunk.blind) for trunk in trunks])
    return Gather(
        node, node, np.concatenate(source), np.concatenate(target), allowed, depth[None], depth[None]
    )


def _causal(width: int, blind: tuple[int, int, int] | None) -> np.ndarray[Any, np.dtype[np.bool_]]:
    depth = np.arange(width)
    lo, hi, since = blind or (0, 0, 0)
    hidden = (depth[:, None] >= since) & (depth >= lo) & (depth < hi)
    result: np.ndarray[Any, np.dtype[np.bool_]] = (depth <= depth[:, None]) & ~hidden
    return result


@dataclass(frozen=True)
class _Row:
    """Some copies of a branch on one trunk.

    Attributes:
        node: their nodes, [nodes].
        at: depth of the token that each hangs below, [nodes].
        blind: depths that each does not see, [nodes, 2].
        local: index in its branch, [nodes].
        end: one past its subtree there, [nodes].
        depth: its position in its text, [nodes].
    """

    node: Ints
    at: Ints
    blind: Ints
    local: Ints
    end: Ints
    depth: Ints


def _row(layout: Layout, copies: Ints, first: int) -> _Row:
    size = len(layout.branch)
    at = np.repeat(layout.copies.at[copies], size)
    return _Row(
        node=(layout.copies.first[copies][:, None] + np.arange(size)).ravel() + first,
        at=at,
        blind=np.repeat(layout.copies.blind[copies], size, axis=0),
        local=np.tile(np.arange(size), len(copies)),
        end=np.tile(layout.branch.end, len(copies)),
        depth=at + 1 + np.tile(layout.branch.depth, len(copies)),
    )


def _gather(rows: Sequence[tuple[Trunk, _Row]], *, with_trunk: bool) -> Gather:
    """Branches below their trunks, and the trunks' own tokens with them on request.

    Keys are the trunk and then the branches; queries the same, or the branches alone.
    """
    keys, branches = (
        max(sizes) for sizes in zip(*((len(t.path), len(r.node)) for t, r in rows), strict=True)
    )
    before = keys if with_trunk else 0
    query = np.zeros((len(rows), before + branches), np.int64)
    key = np.zeros((len(rows), keys + branches), np.int64)
    allowed = np.zeros((*query.shape, keys + branches), np.bool_)
    query_depth, key_depth = np.zeros_like(query), np.zeros_like(key)
    key_depth[:, :keys] = np.arange(keys)
    # A padding query sees one key, so that no row of the mask is empty.
    allowed[:, :, 0] = True
    source, target = [], []
    for i, (trunk, row) in enumerate(rows):
        m, n = len(trunk.path), len(row.node)
        mine = slice(before, before + n)
        query[i, mine] = key[i, keys : keys + n] = row.node
        query_depth[i, mine] = key_depth[i, keys : keys + n] = row.depth
        key[i, :m] = trunk.path
        allowed[i, mine, :m] = _seen(row, m)
        copy = np.arange(n) - row.local
        inside = (row.local[None] <= row.local[:, None]) & (row.local[:, None] < row.end[None])
        allowed[i, mine, keys : keys + n] = inside & (copy[:, None] == copy[None])
        if with_trunk:
            query[i, :m], query_depth[i, :m] = trunk.path, np.arange(m)
            allowed[i, :m, :m] = _causal(m, trunk.blind)
            source.append(i * query.shape[1] + np.arange(trunk.own, m))
            target.append(trunk.path[trunk.own :])
        source.append(i * query.shape[1] + before + np.arange(n))
        target.append(row.node)
    return Gather(query, key, np.concatenate(source), np.concatenate(target), allowed, query_depth, key_depth)


def _seen(row: _Row, keys: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which of the trunk's tokens each branch node may see, [nodes, keys]."""
    depth = np.arange(keys)
    lo, hi = row.blind[:, :1], row.blind[:, 1:]
    result: np.ndarray[Any, np.dtype[np.bool_]] = (depth <= row.at[:, None]) & ~((depth >= lo) & (depth < hi))
    return result


@dataclass
class _Call:
    """One gather on the model's device, and its mask for each window."""

    gather: Gather
    query: Tensor
    key: Tensor
    source: Tensor
    target: Tensor
    masks: dict[int | None, Tensor | None] = field(default_factory=dict)

    def mask(self, window: int | None, like: Tensor, eager: bool) -> Tensor | None:
        """The additive mask [texts or 1, 1, queries, keys]; None: the model's own causal attention."""
        if window not in self.masks:
            allowed, length = self.gather.allowed, self.gather.query.shape[1]
            reach = window if window is not None else 2**62
            binds = self.gather.key.shape[1] > reach
            if allowed is None and (binds or eager):
                allowed = np.tri(length, dtype=np.bool_)[None]
            if allowed is not None and binds:
                distance = self.gather.query_depth[:, :, None] - self.gather.key_depth[:, None]
                allowed = allowed & (distance < reach)
                # A padding query keeps its one key.
                allowed[..., 0] |= ~allowed.any(-1)
            self.masks[window] = None if allowed is None else _additive(allowed, like)
        return self.masks[window]


def _additive(allowed: np.ndarray[Any, np.dtype[np.bool_]], like: Tensor) -> Tensor:
    blocked = torch.from_numpy(~allowed).to(like.device)[:, None]
    mask = torch.zeros(blocked.shape, dtype=like.dtype, device=like.device)
    return mask.masked_fill_(blocked, torch.finfo(like.dtype).min)


@dataclass
class _Active:
    """The forward pass that is running."""

    calls: list[_Call]
    own: str
    windows: dict[int, int | None]
    layers: int = 0


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
        device: where the model is.

    Yields:
        What to give as `attention_mask`: it only says which window a layer has.

    Raises:
        ReadingError: a layer of the model did not ask the registered function, so it did not see the
            tree as texts.
    """
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(NAME, _attend)

    def here(values: Ints) -> Tensor:
        return torch.from_numpy(values).to(device)

    # Models take a mask of four dimensions as it is; its address tells which one a layer was given.
    masks = {kind: torch.zeros((1, 1, 1, 1), device=device) for kind in windows}
    calls = [
        _Call(gather, here(gather.query), here(gather.key), here(gather.source), here(gather.target))
        for gather in gathers_of(layouts)
    ]
    own = config._attn_implementation
    active = _Active(calls, own, {masks[kind].data_ptr(): window for kind, window in windows.items()})
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
    place = attention_mask.data_ptr() if attention_mask is not None else 0
    if place not in active.windows:
        raise ReadingError(f"{type(module).__name__} changed its mask, so its window is not known")
    window = active.windows[place]
    function = _own_function(module, active.own)
    out = value.new_empty((query.shape[2], query.shape[1], value.shape[3]))
    for call in active.calls:
        mask = call.mask(window, query, active.own == "eager")
        q, k, v = _taken(query, call.query), _taken(key, call.key), _taken(value, call.key)
        found, _ = function(module, q, k, v, mask, **kwargs)
        flat = found.reshape(-1, *out.shape[1:])
        out.index_copy_(0, call.target, flat.index_select(0, call.source))
    active.layers += 1
    return out[None], None


def _taken(states: Tensor, nodes: Tensor) -> Tensor:
    """[1, heads, nodes, width] to [texts, heads, tokens, width]."""
    taken = states[0].index_select(1, nodes.flatten())
    return taken.reshape(taken.shape[0], *nodes.shape, taken.shape[2]).transpose(0, 1)


def _own_function(module: Any, name: str) -> Any:
    """The attention function that the model uses by itself."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    eager = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    return ALL_ATTENTION_FUNCTIONS.get_interface(name, eager)
