"""Prefix trees: many token sequences of one question in one row of one forward pass.

The sequences form a trie. Its nodes are laid out depth-first, so the subtree of node k is the run
`k ... end[k] - 1`, and a node's ancestors (itself included) are exactly the k with
`k <= q < end[k]`. A node's depth is its position. A causal model that is given these positions and
that attention mask computes at every node what it would compute at the last token of the node's
own path from the root.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PrefixTree:
    """A forest of tokens in depth-first order.

    Attributes:
        token_ids: the token at each node, [nodes].
        depth: its distance from its root, which is its position in the text, [nodes].
        end: one past the last node of its subtree, [nodes].
    """

    token_ids: Ints
    depth: Ints
    end: Ints

    def __len__(self) -> int:
        return len(self.token_ids)

    def path(self, node: int) -> Ints:
        """The nodes from the root down to `node`, both included, [depth + 1]."""
        before = np.arange(node + 1)
        return before[self.end[: node + 1] > node]


def shared_prefix(a: Ints, b: Ints) -> int:
    """How many leading tokens two sequences have in common."""
    n = min(len(a), len(b))
    differ = a[:n] != b[:n]
    first = int(differ.argmax()) if n else 0
    return first if n and differ[first] else n


def sorted_order(sequences: Sequence[Ints]) -> list[int]:
    """The order that puts sequences with a common beginning side by side (lexicographic)."""
    # Big-endian bytes of non-negative integers compare as the integers do.
    return sorted(range(len(sequences)), key=lambda i: sequences[i].astype(">i4").tobytes())


def build_trie(sequences: Sequence[Ints]) -> tuple[PrefixTree, list[Ints]]:
    """The trie of some token sequences.

    Args:
        sequences: token ids, each [length]; a sequence may be empty or a prefix of another.

    Returns:
        The tree, and for each sequence, in the order given, its nodes [length].
    """
    paths: list[Ints] = [np.empty(0, np.int64)] * len(sequences)
    tokens: list[Ints] = []
    depths: list[Ints] = []
    end = np.empty(sum(len(sequence) for sequence in sequences), np.int64)
    size, path, last = 0, np.empty(0, np.int64), np.empty(0, np.int64)
    for i in sorted_order(sequences):
        sequence = sequences[i]
        shared = shared_prefix(last, sequence)
        end[path[shared:]] = size
        fresh = len(sequence) - shared
        path = np.concatenate([path[:shared], np.arange(size, size + fresh)])
        tokens.append(sequence[shared:])
        depths.append(np.arange(shared, len(sequence)))
        size += fresh
        paths[i], last = path, sequence
    end[path] = size
    empty = np.empty(0, np.int64)
    tree = PrefixTree(
        np.concatenate([empty, *tokens]).astype(np.int64), np.concatenate([empty, *depths]), end[:size].copy()
    )
    return tree, paths


def graft(tree: PrefixTree, at: Ints, branch: PrefixTree) -> tuple[PrefixTree, Ints, Ints]:
    """Hang a copy of `branch` under some nodes, before their other children.

    A branch is not merged with a child that begins with the same tokens: this costs a few nodes
    where a trace goes on with the very words of a lead-in, changes no result, and keeps all copies
    of the branch alike.

    Args:
        tree: the trunk.
        at: where to hang copies, ascending and distinct, [copies].
        branch: what to hang there; may be empty.

    Returns:
        The new tree; where each old node has moved, [nodes]; the first node of each copy, [copies].
    """
    size = len(branch)
    before = np.searchsorted(at, np.arange(len(tree) + 1), side="left") * size
    moved = np.arange(len(tree)) + before[:-1]
    starts = moved[at] + 1
    places = starts[:, None] + np.arange(size)
    total = len(tree) + size * len(at)
    token_ids, depth, end = (np.empty(total, np.int64) for _ in range(3))
    token_ids[moved], token_ids[places] = tree.token_ids, branch.token_ids
    depth[moved], depth[places] = tree.depth, tree.depth[at][:, None] + 1 + branch.depth
    end[moved], end[places] = tree.end + before[tree.end], starts[:, None] + branch.end
    return PrefixTree(token_ids, depth, end), moved, starts


def pad_trees(trees: Sequence[PrefixTree]) -> PrefixTree:
    """Trees side by side, padded on the right to the longest: each array is [trees, width].

    A padding node has token 0, depth 0 and no subtree but itself, so it attends to itself alone:
    no row of the mask is empty, and no real node sees it.
    """
    width = max(len(tree) for tree in trees)
    token_ids, depth = (np.zeros((len(trees), width), np.int64) for _ in range(2))
    end = np.tile(np.arange(1, width + 1), (len(trees), 1))
    for i, tree in enumerate(trees):
        token_ids[i, : len(tree)] = tree.token_ids
        depth[i, : len(tree)] = tree.depth
        end[i, : len(tree)] = tree.end
    return PrefixTree(token_ids, depth, end)


def may_attend(padded: PrefixTree, window: int | None = None) -> npt.NDArray[np.bool_]:
    """Which node may attend to which: [trees, 1, query, key].

    Args:
        padded: trees as `pad_trees` gives them.
        window: for a sliding-window layer, how many positions a token sees, itself included.
    """
    width = padded.end.shape[1]
    node = np.arange(width)
    allowed = node[None, :, None] < padded.end[:, None, :]
    allowed &= node[None, None, :] <= node[None, :, None]
    if window is not None:
        allowed &= padded.depth[:, :, None] - padded.depth[:, None, :] < window
    result: npt.NDArray[np.bool_] = allowed[:, None]
    return result
