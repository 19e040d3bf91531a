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
import numpy.typing as npt
import torch
from torch import Tensor

from mechcot.core.errors import ReadingError
from mechcot.reading.layout import Copy, Layout, Trunk
from mechcot.reading.prefix_tree import Ints

Bools = npt.NDArray[np.bool_]

NAME = "mechcot_tree"
"""Under this name the attention of a tree is registered with transformers."""

ROW_NODES = 256
"""Branch nodes that attend together, one copy of a branch at least: fewer mean more copies of the
prefix's keys, more mean more of the mask between branches that is empty."""

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
    allowed: Bools | None
    query_depth: Ints
    key_depth: Ints


def gathers_of(layouts: Sequence[Layout]) -> list[tuple[Gather, ...]]:
    """Which nodes of some trees, laid side by side in one row, attend together.

    Returns:
        Groups of calls; in a group each call's keys are the first of the last call's.
    """
    trunks: list[Trunk] = []
    below: list[tuple[Trunk, _Row]] = []
    both: list[tuple[Trunk, _Row]] = []
    first = 0
    for layout in layouts:
        hung = [copy for copy in layout.copies if len(copy.tree)]
        step = max(1, ROW_NODES // max((len(copy.tree) for copy in hung), default=1))
        for number, trunk in enumerate(layout.trunks):
            moved = Trunk(trunk.path + first, trunk.own, trunk.blind)
            copies = sorted((copy for copy in hung if copy.trunk == number), key=lambda copy: copy.at)
            if 0 < len(copies) <= step:
                both.append((moved, _row(copies, first)))
                continue
            trunks.append(moved)
            for i in range(0, len(copies), step):
                row = _row(copies[i : i + step], first)
                below.append((Trunk(moved.path[: row.at.max() + 1], 0), row))
        first += len(layout.token_ids)
    groups: list[tuple[Gather, ...]] = []
    for some in _alike(trunks, [(len(trunk.path), trunk.blind is None) for trunk in trunks]):
        groups.append((_trunk_gather(some),))
    for rows in _alike(both, [(len(t.path) + len(r.node), t.blind is None) for t, r in both]):
        whole = _trunk_gather([trunk for trunk, _ in rows])
        groups.append((whole, _branch_gather(rows, whole.key)))
    for rows in _alike(below, [(len(t.path) + len(r.node), True) for t, r in below]):
        groups.append((_branch_gather(rows, _padded([trunk.path for trunk, _ in rows])),))
    return groups


def _padded(paths: Sequence[Ints]) -> Ints:
    out = np.zeros((len(paths), max(len(path) for path in paths)), np.int64)
    for row, path in zip(out, paths, strict=True):
        row[: len(path)] = path
    return out


def _alike(items: Sequence[Any], sizes: Sequence[tuple[int, bool]]) -> Iterator[list[Any]]:
    """Items of one kind and of about the same size together, so that padding stays small."""
    group: list[Any] = []
    longest, kind = 0, True
    for i in sorted(range(len(items)), key=lambda i: (sizes[i][1], -sizes[i][0])):
        if group and (sizes[i][0] < _LIKE * longest or sizes[i][1] != kind):
            yield group
            group = []
        longest, kind = (longest, kind) if group else sizes[i]
        group.append(items[i])
    if group:
        yield group


def _trunk_gather(trunks: Sequence[Trunk]) -> Gather:
    node = _padded([trunk.path for trunk in trunks])
    width = node.shape[1]
    source = [i * width + np.arange(trunk.own, len(trunk.path)) for i, trunk in enumerate(trunks)]
    target = [trunk.path[trunk.own :] for trunk in trunks]
    depth = np.arange(width)[None]
    blind = trunks[0].blind is not None
    allowed = np.stack([_causal(width, trunk.blind) for trunk in trunks]) if blind else None
    return Gather(node, node, np.concatenate(source), np.concatenate(target), allowed, depth, depth)


def _causal(width: int, blind: tuple[int, int, int] | None) -> Bools:
    depth = np.arange(width)
    lo, hi, since = blind or (0, 0, 0)
    hidden = (depth[:, None] >= since) & (depth >= lo) & (depth < hi)
    result: Bools = (depth <= depth[:, None]) & ~hidden
    return result


@dataclass(frozen=True)
class _Row:
    """Some branches on one trunk.

    Attributes:
        node: their nodes, [nodes].
        at: depth of the token that each hangs below, [nodes].
        blind: depths that each does not see, [nodes, 2].
        copy: which of the branches each is of, [nodes].
        local: index in its branch, [nodes].
        end: one past its subtree there, [nodes].
        depth: its position in its text, [nodes].
    """

    node: Ints
    at: Ints
    blind: Ints
    copy: Ints
    local: Ints
    end: Ints
    depth: Ints


def _row(copies: Sequence[Copy], first: int) -> _Row:
    sizes = [len(copy.tree) for copy in copies]
    at = np.repeat([copy.at for copy in copies], sizes)
    local = np.concatenate([np.arange(size) for size in sizes])
    return _Row(
        node=np.repeat([copy.first for copy in copies], sizes) + local + first,
        at=at,
        blind=np.repeat(np.array([copy.blind for copy in copies], np.int64), sizes, axis=0),
        copy=np.repeat(np.arange(len(copies)), sizes),
        local=local,
        end=np.concatenate([copy.tree.end for copy in copies]),
        depth=at + 1 + np.concatenate([copy.tree.depth for copy in copies]),
    )


def _branch_gather(rows: Sequence[tuple[Trunk, _Row]], trunk: Ints) -> Gather:
    """Branches below their trunks; keys are the trunk's [texts, tokens] and then the branches' own."""
    keys, branches = trunk.shape[1], max(len(row.node) for _, row in rows)
    query, query_depth = (np.zeros((len(rows), branches), np.int64) for _ in range(2))
    allowed = np.zeros((len(rows), branches, keys + branches), np.bool_)
    # A padding query sees one key, so that no row of the mask is empty.
    allowed[:, :, 0] = True
    source, target = [], []
    for i, (text, row) in enumerate(rows):
        m, n = len(text.path), len(row.node)
        query[i, :n], query_depth[i, :n] = row.node, row.depth
        allowed[i, :n, :m] = _seen(row, m)
        inside = (row.local[None] <= row.local[:, None]) & (row.local[:, None] < row.end[None])
        allowed[i, :n, keys : keys + n] = inside & (row.copy[:, None] == row.copy[None])
        source.append(i * branches + np.arange(n))
        target.append(row.node)
    before = np.broadcast_to(np.arange(keys), trunk.shape)
    return Gather(
        query=query,
        key=np.concatenate([trunk, query], axis=1),
        source=np.concatenate(source),
        target=np.concatenate(target),
        allowed=allowed,
        query_depth=query_depth,
        key_depth=np.concatenate([before, query_depth], axis=1),
    )


def _seen(row: _Row, keys: int) -> Bools:
    """Which of the trunk's tokens each branch node may see, [nodes, keys]."""
    depth = np.arange(keys)
    lo, hi = row.blind[:, :1], row.blind[:, 1:]
    result: Bools = (depth <= row.at[:, None]) & ~((depth >= lo) & (depth < hi))
    return result


@dataclass
class _Call:
    """One gather, and its mask for each window, device and dtype: layers may lie on several devices."""

    gather: Gather
    masks: dict[tuple[int | None, torch.device, torch.dtype], Tensor | None] = field(default_factory=dict)

    def mask(self, window: int | None, like: Tensor, eager: bool) -> Tensor | None:
        """The additive mask [texts or 1, 1, queries, keys]; None: the model's own causal attention."""
        key = (window, like.device, like.dtype)
        if key not in self.masks:
            allowed = self._allowed(window, eager)
            self.masks[key] = None if allowed is None else _additive(allowed, like)
        return self.masks[key]

    def _allowed(self, window: int | None, eager: bool) -> Bools | None:
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
        return allowed


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
    groups = [(group[-1].key, [_Call(gather) for gather in group]) for group in gathers_of(layouts)]
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
    out = value.new_empty((query.shape[2], query.shape[1], value.shape[3]))
    for nodes, calls in active.groups:
        at = active.here(nodes, query.device)
        k, v = _taken(key, at), _taken(value, at)
        for call in calls:
            gather, n = call.gather, call.gather.key.shape[1]
            mask = call.mask(window, query, active.own == "eager")
            q = _taken(query, active.here(gather.query, query.device))
            found, _ = function(module, q, k[:, :, :n], v[:, :, :n], mask, **kwargs)
            flat = found.reshape(-1, *out.shape[1:])
            source, target = (active.here(part, out.device) for part in (gather.source, gather.target))
            out.index_copy_(0, target, flat.index_select(0, source))
    active.layers += 1
    return out[None], None


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
