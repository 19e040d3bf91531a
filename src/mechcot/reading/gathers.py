"""Which nodes of prefix trees attend together: queries and keys of texts that share a call.

Texts of about one length share calls. Long ones attend in two: the trunks by plain causal attention, as in a
batch of whole texts, and the branches below their prefixes with a mask. Where most of a text is a prompt that
another has computed, all attends in one, with a mask and the prompt left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mechcot.reading.layout import Copy, Layout, Trunk
from mechcot.reading.prefix_tree import Ints

Bools = npt.NDArray[np.bool_]

ROW_NODES = 256
"""Branch nodes that attend together, one copy of a branch at least: fewer mean more copies of the
prefix's keys, more mean more of the mask between branches that is empty."""

_LIKE = 0.8  # texts down to this share of the longest one share a batch

_JOINT, _START = 0.7, 64
"""A mask costs the half that causal attention leaves out, and spares the prompt, which another text has
computed: one call takes about queries times keys, a causal one of n tokens this share of n (n + start).
"""

_LANES = 16
"""Matrices whose width is a multiple of this are multiplied in whole vectors: attention over 96 tokens takes
a fifth less time than over 91, over 48 two fifths less than over 47."""


@dataclass(frozen=True)
class Gather:
    """Texts that attend in one call.

    Attributes:
        query: node of each query, [texts, queries].
        keys: which of the group's keys are seen.
        target: the node that each query computes, [texts, queries]; -1: none, another call computes it.
        allowed: what may be seen, [texts, queries, keys]; None: plain causal attention.
        query_depth: position of each query in its text, [texts or 1, queries].
        key_depth: the same of each key, [texts or 1, keys].
    """

    query: Ints
    keys: slice
    target: Ints
    allowed: Bools | None
    query_depth: Ints
    key_depth: Ints


@dataclass(frozen=True)
class Group:
    """Texts whose keys and values are taken once.

    Attributes:
        key: node of each key, [texts, keys]: a text's branches, then its trunk; 0 where there is none.
        calls: what attends to them.
    """

    key: Ints
    calls: tuple[Gather, ...]


def gathers_of(layouts: Sequence[Layout]) -> list[Group]:
    """Which nodes of some trees, laid side by side in one row, attend together."""
    hung: list[tuple[int, Copy]] = []  # with the first node of its tree; trunk by trunk
    texts: list[tuple[Trunk, int, int]] = []  # with the first and one past the last of its copies
    first = 0
    for layout in layouts:
        below: dict[int, list[Copy]] = {}
        for copy in layout.copies:
            if len(copy.tree):
                below.setdefault(copy.trunk, []).append(copy)
        for number, trunk in enumerate(layout.trunks):
            copies = sorted(below.get(number, ()), key=lambda copy: copy.at)
            moved = Trunk(trunk.path + first, trunk.own, trunk.blind)
            texts.append((moved, len(hung), len(hung) + len(copies)))
            hung += [(first, copy) for copy in copies]
        first += len(layout.token_ids)
    branches = _branches(hung)
    step = max(1, ROW_NODES // max((len(copy.tree) for _, copy in hung), default=1))
    both: list[_Text] = []
    alone: list[_Text] = []
    apart: list[_Text] = []
    for trunk, lo, hi in texts:
        if hi - lo <= step:
            (both if lo < hi else alone).append(_Text(trunk, branches.nodes(lo, hi)))
            continue
        alone.append(_Text(trunk, range(0)))
        for i in range(lo, hi, step):
            some = branches.nodes(i, min(i + step, hi))
            seen = int(branches.at[some.start : some.stop].max()) + 1
            apart.append(_Text(Trunk(trunk.path[:seen], 0), some))
    kinds = ((alone, True), (both, True), (apart, False))
    return [_group(some, branches, own=own) for texts_, own in kinds for some in _alike(texts_)]


@dataclass(frozen=True)
class _Branches:
    """All branches of a row, one behind the other.

    Attributes:
        first: where each branch begins among the nodes, and the number of nodes, [branches + 1].
        node: their nodes, [nodes].
        at: depth of the token that each hangs below, [nodes].
        blind: depths that each does not see, [nodes, 2].
        copy: which of the branches each is of, [nodes].
        local: index in its branch, [nodes].
        end: one past its subtree there, [nodes].
        depth: its position in its text, [nodes].
    """

    first: Ints
    node: Ints
    at: Ints
    blind: Ints
    copy: Ints
    local: Ints
    end: Ints
    depth: Ints

    def nodes(self, lo: int, hi: int) -> range:
        """Where the nodes of some consecutive branches lie."""
        return range(int(self.first[lo]), int(self.first[hi]))


def _branches(hung: Sequence[tuple[int, Copy]]) -> _Branches:
    sizes = np.array([len(copy.tree) for _, copy in hung], np.int64)
    first = np.concatenate([[0], np.cumsum(sizes)])
    which = np.repeat(np.arange(len(hung)), sizes)
    local = np.arange(first[-1]) - first[which]
    at = np.array([copy.at for _, copy in hung], np.int64)[which]
    start = np.array([copy.first + before for before, copy in hung], np.int64)[which]
    empty = np.empty(0, np.int64)
    return _Branches(
        first=first,
        node=start + local,
        at=at,
        blind=np.array([copy.blind for _, copy in hung], np.int64).reshape(-1, 2)[which],
        copy=which,
        local=local,
        end=np.concatenate([empty, *(copy.tree.end for _, copy in hung)]),
        depth=at + 1 + np.concatenate([empty, *(copy.tree.depth for _, copy in hung)]),
    )


@dataclass(frozen=True)
class _Text:
    """A text, and which nodes of the branches hang below it."""

    trunk: Trunk
    below: range

    @property
    def kind(self) -> tuple[bool, bool]:
        """Texts of one kind attend alike: whether it sees all before it, whether all of it is its own."""
        return self.trunk.blind is None, self.trunk.own == 0

    def __len__(self) -> int:
        return len(self.trunk.path) + len(self.below)


def _alike(texts: Sequence[_Text]) -> Iterator[list[_Text]]:
    """Texts of one kind and of about the same size together, so that padding stays small."""
    group: list[_Text] = []
    for text in sorted(texts, key=lambda text: (text.kind, -len(text))):
        if group and (len(text) < _LIKE * len(group[0]) or text.kind != group[0].kind):
            yield group
            group = []
        group.append(text)
    if group:
        yield group


def _group(texts: Sequence[_Text], branches: _Branches, *, own: bool) -> Group:
    """Texts and what hangs below each; `own`: the texts themselves attend too."""
    trunks = [text.trunk for text in texts]
    longest = max(len(trunk.path) for trunk in trunks)
    fresh = max(len(trunk.path) - trunk.own for trunk in trunks) if own else 0
    hung = max(len(text.below) for text in texts)
    width, seen = _whole(longest), _whole(hung + longest)
    cheaper = fresh * seen <= _JOINT * width * (width + _START)
    joint = trunks[0].blind is not None or (fresh < longest and cheaper)
    key = np.zeros((len(trunks), max(hung + width, seen)), np.int64)
    for row, text in zip(key, texts, strict=True):
        row[: len(text.below)] = branches.node[text.below.start : text.below.stop]
        row[hung : hung + len(text.trunk.path)] = text.trunk.path
    calls = []
    if own and not joint:
        calls.append(_causal_gather(trunks, key, slice(hung, hung + width)))
    if hung or (fresh and joint):
        calls.append(_masked_gather(texts, branches, hung, fresh if joint else 0, seen))
    return Group(key, tuple(calls))


def _whole(width: int) -> int:
    """A width that is quick to multiply: the next of whole vectors, if at most half a vector is added."""
    return width + (-width % _LANES) * (-width % _LANES <= _LANES // 2)


def _causal_gather(trunks: Sequence[Trunk], key: Ints, keys: slice) -> Gather:
    """Whole texts, of which those nodes count that are a text's own."""
    node = np.ascontiguousarray(key[:, keys])
    target = np.full(node.shape, -1)
    for row, trunk in zip(target, trunks, strict=True):
        row[trunk.own : len(trunk.path)] = trunk.path[trunk.own :]
    depth = np.arange(node.shape[1])[None]
    return Gather(node, keys, target, None, depth, depth)


def _masked_gather(texts: Sequence[_Text], branches: _Branches, hung: int, fresh: int, keys: int) -> Gather:
    """Branches, of which a text has at most `hung` nodes, and own nodes of the texts, at most `fresh`.

    Keys are the branches and then the text. What pads may see what pads, and nothing sees it.
    """
    counts = np.array([len(text.below) for text in texts])
    row = np.repeat(np.arange(len(texts)), counts)
    place = row, np.arange(len(row)) - (np.cumsum(counts) - counts)[row]
    nodes = np.concatenate([np.arange(text.below.start, text.below.stop) for text in texts])

    def laid(values: Ints, fill: int) -> Ints:
        out = np.full((len(texts), hung), fill)
        out[place] = values[nodes]
        return out

    at, copy, local, end = (laid(getattr(branches, name), -1) for name in ("at", "copy", "local", "end"))
    along = np.arange(keys - hung)
    depth = np.zeros((len(texts), hung + fresh), np.int64)
    depth[:, :hung] = laid(branches.depth, 0)
    target = np.full(depth.shape, -1)
    target[:, :hung] = laid(branches.node, -1)
    allowed = np.zeros((*depth.shape, keys), np.bool_)
    inside = (local[:, None] <= local[:, :, None]) & (local[:, :, None] < end[:, None])
    allowed[:, :hung, :hung] = (copy[:, None] == copy[:, :, None]) & (inside | (copy < 0)[:, None])
    allowed[:, :hung, hung:] = along <= at[:, :, None]
    if branches.blind.any():
        begin, until = (laid(side, 0)[:, :, None] for side in branches.blind.T)
        allowed[:, :hung, hung:] &= (along < begin) | (along >= until)
    if fresh:
        own = np.array([text.trunk.own for text in texts])
        depth[:, hung:] = own[:, None] + np.arange(fresh)
        allowed[:, hung:, hung:] = along <= depth[:, hung:, None]
    for i, trunk in enumerate(text.trunk for text in texts if fresh):
        target[i, hung : hung + len(trunk.path) - trunk.own] = trunk.path[trunk.own :]
        if trunk.blind is not None:
            lo, hi, since = trunk.blind
            allowed[i, hung + max(since - trunk.own, 0) :, hung + lo : hung + hi] = False
    before = np.broadcast_to(along, (len(texts), len(along)))
    key_depth = np.concatenate([depth[:, :hung], before], axis=1)
    return Gather(np.maximum(target, 0), slice(0, keys), target, allowed, depth, key_depth)
