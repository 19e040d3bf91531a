"""Prefix trees: many token sequences that share their beginnings, each token once.

The sequences form a trie. Its nodes are laid out depth-first, so the subtree of node k is the run
`k ... end[k] - 1`, and a node's ancestors (itself included) are exactly the k with
`k <= q < end[k]`. A node's depth is its position. A causal model that is given these positions and
lets each node attend to its ancestors alone computes at every node what it would compute at the last
token of the node's own path from the root.
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
