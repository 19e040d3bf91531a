"""Folds that share neither a question nor an entity, and purging of repeated claims."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from mechcot.core.errors import AnalysisError
from mechcot.core.text import comparable

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_SPACES = re.compile(r"\s+")
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")


def components(qid: Sequence[Any], group: Sequence[Any]) -> IntArray:
    """Number the blocks of rows that are linked by a question or by a group.

    Two rows belong to one block when a chain of shared questions and shared groups joins them
    (connected components of the bipartite graph of questions and groups).

    Returns:
        block number of each row, [rows], from 0.
    """
    q_codes, q_names = pd.factorize(np.asarray(qid, dtype=object))
    g_codes, g_names = pd.factorize(np.asarray(group, dtype=object))
    if (q_codes < 0).any() or (g_codes < 0).any():
        row = int(np.flatnonzero((q_codes < 0) | (g_codes < 0))[0])
        raise AnalysisError(f"row {row}: the question or the group is missing; every step needs both")
    size = len(q_names) + len(g_names)
    links = coo_matrix((np.ones(len(q_codes)), (q_codes, g_codes + len(q_names))), shape=(size, size))
    _, block = connected_components(links, directed=False)
    codes, _ = pd.factorize(block[q_codes])
    return np.asarray(codes, dtype=np.int64)


def assign_folds(block: IntArray, n_folds: int, seed: int) -> IntArray:
    """Spread whole blocks over folds of about equal numbers of rows.

    Blocks go one after the other, the largest first (ties in seeded random order), to the fold
    that holds the fewest rows so far.

    Returns:
        fold of each row, [rows], 0 .. n_folds - 1.

    Raises:
        AnalysisError: fewer blocks than folds.
    """
    sizes = np.bincount(block)
    if len(sizes) < n_folds:
        raise AnalysisError(
            f"{n_folds} folds need at least {n_folds} blocks of questions that share no entity; there are "
            f"{len(sizes)} (over {len(block)} steps). Give finer groups, fewer folds or more questions."
        )
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold_of_block = np.empty(len(sizes), dtype=np.int64)
    filled = np.zeros(n_folds, dtype=np.int64)
    for index in order:
        target = int(np.argmin(filled))
        fold_of_block[index] = target
        filled[target] += sizes[index]
    return fold_of_block[block]


def normalise(text: str) -> str:
    """Bring a claim into the form in which repeats are recognised: `comparable`, one blank, bare edges."""
    return _EDGES.sub("", _SPACES.sub(" ", comparable(text)))


def text_codes(text: Sequence[str]) -> IntArray:
    """Number the distinct normalised texts, [rows], from 0."""
    codes, _ = pd.factorize(np.array([normalise(str(item)) for item in text], dtype=object))
    return np.asarray(codes, dtype=np.int64)


def purged_training_rows(train: BoolArray, test: BoolArray, codes: IntArray) -> BoolArray:
    """Drop from a training mask every row whose text occurs among the test rows.

    Args:
        train: training rows, [rows].
        test: test rows, [rows].
        codes: number of each row's text as `text_codes` gives it, [rows].

    Returns:
        the training mask without those rows, [rows].
    """
    return train & ~np.isin(codes, np.unique(codes[test]))
