"""Who trains and who tests: folds that share neither a question nor an entity, repeated claims purged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from mechcot.core.errors import AnalysisError
from mechcot.core.text import comparable
from mechcot.probe.data import BoolArray, Column, Data, IntArray
from mechcot.probe.settings import FitSettings

_SPACES = re.compile(r"\s+")
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")


@dataclass(frozen=True, eq=False)
class Rows:
    """What a score is judged by: label, question and outer fold of each step."""

    y: IntArray  # 1 where the step is erroneous, [steps]
    qid: NDArray[Any]  # [steps]
    fold: IntArray  # the outer fold that tests it, [steps]


@dataclass(frozen=True, eq=False)
class Design(Rows):
    """Who trains and who tests: shared by the probe and by everything it is compared with."""

    block: IntArray  # rows linked by a question or an entity, [steps]
    codes: IntArray  # number of the normalised text, [steps]
    train: tuple[BoolArray, ...]  # an outer fold's purged training rows, [steps] each
    settings: FitSettings

    @property
    def purged_share(self) -> float:
        """Of all training rows over folds, those that were purged."""
        before = sum(int((self.fold != index).sum()) for index in range(len(self.train)))
        return 1.0 - sum(int(mask.sum()) for mask in self.train) / before

    def where(self, rows: BoolArray) -> Design:
        """The same of some rows only."""
        names = ("y", "qid", "fold", "block", "codes")
        part: dict[str, Any] = {name: getattr(self, name)[rows] for name in names}
        return replace(self, **part, train=tuple(mask[rows] for mask in self.train))

    def inner(self, k: int) -> tuple[IntArray, list[BoolArray]]:
        """Inner fold of outer fold k's training rows, [steps], -1 elsewhere; and each one's training rows."""
        rows, n = self.train[k], self.settings.inner
        fold = np.full(len(rows), -1, dtype=np.int64)
        if n:
            _, block = np.unique(self.block[rows], return_inverse=True)
            fold[rows] = assign_folds(block.astype(np.int64), n, self.settings.seed + 1 + k)
        tests = [fold == index for index in range(n)]
        return fold, [purged_training_rows(rows & ~test, test, self.codes) for test in tests]


def design(data: Data, settings: FitSettings) -> Design:
    """Draw the outer folds and purge their training rows.

    Raises:
        AnalysisError: too few blocks, or a fold whose purged training rows lack a class.
    """
    groups = data.qid if data.entity is None else data.entity
    block = components(data.qid, np.asarray(groups, dtype=object))
    codes = text_codes(data.text if data.text is not None else [f"step {row}" for row in range(len(block))])
    fold = assign_folds(block, settings.folds, settings.seed)
    met = [codes[fold == index] for index in range(settings.folds)]
    train = training_rows(data.labels, fold, codes, met)
    return Design(data.labels, data.qid, fold, block, codes, train, settings)


def dealt_again(plan: Design, seed: int) -> Design:
    """The same blocks dealt to other folds, outer and inner ones.

    Raises:
        AnalysisError: a fold whose purged training rows lack a class.
    """
    settings = replace(plan.settings, seed=seed)
    fold = assign_folds(plan.block, settings.folds, seed)
    met = [plan.codes[fold == index] for index in range(settings.folds)]
    train = training_rows(plan.y, fold, plan.codes, met)
    return replace(plan, fold=fold, train=train, settings=settings)


def training_rows(
    y: IntArray, fold: IntArray, codes: IntArray, met: Sequence[IntArray], where: str = ""
) -> tuple[BoolArray, ...]:
    """Each outer fold's training rows without those whose text it tests, [steps] each.

    Args:
        y: label, [steps].
        fold: outer fold, [steps].
        codes: number of the text, [steps].
        met: numbers of the texts that each outer fold tests.
        where: whose steps they are, for an error.

    Raises:
        AnalysisError: a fold whose purged training rows lack a class.
    """
    train = []
    for index, texts in enumerate(met):
        kept = (fold != index) & ~np.isin(codes, np.unique(texts))
        errors, rows = int(y[kept].sum()), int(kept.sum())
        if errors in (0, rows):
            raise AnalysisError(
                f"{where}outer fold {index}: its {rows} training steps hold {errors} erroneous ones after "
                f"purging {int((fold != index).sum()) - rows} repeated claims; both classes are needed. Use "
                "fewer folds or more steps."
            )
        train.append(kept)
    return tuple(train)


def components(qid: Column, group: Column) -> IntArray:
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


def text_codes(text: Column) -> IntArray:
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
