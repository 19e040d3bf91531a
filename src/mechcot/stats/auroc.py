"""AUROC as a count of pairs: weighted, inside folds, inside strata, under resampled questions.

Everything here counts pairs of one positive (an error) and one negative (a correct step) and
asks in what share of them the positive scores higher, ties at half. Which pairs are counted is
the whole difference between the functions. Raw out-of-fold scores are never compared across
folds: a fold's intercept follows its training prevalence, which pushes a useless feature below
one half (methods, amendment 1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mechcot.core.errors import AnalysisError
from mechcot.core.results import Interval, Result, because
from mechcot.stats.cluster import Floats, Ints, percentile_interval, resampled_counts

_NO_PAIRS = "no pair of one erroneous and one correct step to compare"


@dataclass(frozen=True)
class StratifiedAuroc(Result):
    """An AUROC and what it was counted on.

    Attributes:
        auroc: share of pairs in the right order; None without a pair.
        n_pairs: pairs of one positive and one negative inside one cell.
        n_cells: cells (fold by stratum) that hold at least one pair.
    """

    auroc: float | None = field(metadata=because(_NO_PAIRS))
    n_pairs: int
    n_cells: int


@dataclass(frozen=True)
class _Ranked:
    """Where every positive stands among the negatives of its own cell.

    `negatives` holds rows in the order of (cell, score). For positive i, negatives `start[i]` to
    `stop[i]` of that order lie in its cell, those below `low[i]` score less, those below
    `high[i]` score no more.
    """

    positives: Ints
    negatives: Ints
    start: Ints
    stop: Ints
    low: Ints
    high: Ints


def auroc(scores: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float | None:
    """The probability that a random positive outscores a random negative, ties counting half.

    Args:
        scores: [rows], higher means more likely positive.
        labels: [rows] of 0/1 or bool; 1 is the positive class (an error).
        weights: [rows], not negative; a pair weighs the product of its two weights.

    Returns:
        None where one class is missing (or weighs nothing): there is no pair to order.

    Raises:
        AnalysisError: lengths differ, a score is not finite, a label is neither 0 nor 1.
    """
    values, truth = _inputs(scores, labels)
    ranked = _rank(values, truth, np.zeros(len(values), dtype=np.int64))
    weight = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != values.shape or not np.isfinite(weight).all() or (weight < 0).any():
        raise AnalysisError(f"weights must be {len(values)} finite numbers not below 0")
    right, pairs = _count_pairs(ranked, weight[ranked.positives][None], weight[ranked.negatives][None])
    return float(right[0] / pairs[0]) if pairs[0] > 0 else None


def fold_auroc(scores: npt.ArrayLike, labels: npt.ArrayLike, folds: npt.ArrayLike) -> float | None:
    """AUROC of out-of-fold scores: only pairs inside one outer fold count.

    Equal to the mean of the folds' AUROCs weighted by positives times negatives. A feature that
    is constant inside each fold scores exactly 0.5.

    Args:
        scores: out-of-fold scores [rows].
        labels: [rows], 1 is an error.
        folds: [rows], the outer fold that left the row out.

    Returns:
        None where no fold holds both classes.

    Raises:
        AnalysisError: as `auroc`; also a row without a fold.
    """
    return stratified_auroc(scores, labels, folds, None).auroc


def stratified_auroc(
    scores: npt.ArrayLike, labels: npt.ArrayLike, folds: npt.ArrayLike, strata: npt.ArrayLike | None
) -> StratifiedAuroc:
    """AUROC over pairs inside one fold and one stratum (one step kind, one position, ...).

    With strata = step kind it is the within-kind AUROC: what a score sees beyond the kind. Each
    cell weighs its number of pairs.

    Args:
        scores: out-of-fold scores [rows].
        labels: [rows], 1 is an error.
        folds: [rows], the outer fold that left the row out.
        strata: [rows] of any hashable value; None for folds alone.

    Raises:
        AnalysisError: as `fold_auroc`; also a row without a stratum.
    """
    values, truth = _inputs(scores, labels)
    ranked = _rank(values, truth, _cells(len(values), folds, strata))
    ones = np.ones(len(values))
    right, pairs = _count_pairs(ranked, ones[ranked.positives][None], ones[ranked.negatives][None])
    with_pair = np.unique(ranked.start[ranked.stop > ranked.start]).size
    return StratifiedAuroc(float(right[0] / pairs[0]) if pairs[0] else None, int(pairs[0]), int(with_pair))


def auroc_replicates(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    folds: npt.ArrayLike,
    clusters: npt.ArrayLike,
    draws: int,
    seed: int,
    strata: npt.ArrayLike | None = None,
) -> Floats:
    """Bootstrap replicates [draws] of the fold-wise AUROC, whole clusters resampled.

    The scores are sorted once; a replicate is a cumulative sum of integer weights. The draws
    depend on the set of clusters, `draws` and `seed` alone, so the difference of two calls with
    other scores on the same rows is a paired replicate of the difference. NaN where a replicate
    holds no pair.

    Args:
        scores: out-of-fold scores [rows].
        labels: [rows], 1 is an error.
        folds: [rows], the outer fold that left the row out.
        clusters: [rows], the question of each row.
        draws: number of replicates.
        seed: of the resampling.
        strata: [rows]; with it only pairs inside one fold and one stratum count.

    Raises:
        AnalysisError: as `stratified_auroc`.
        UsageError: draws below 1.
    """
    values, truth = _inputs(scores, labels)
    ranked = _rank(values, truth, _cells(len(values), folds, strata))
    owner, n_clusters = _codes(clusters, len(values), "cluster")
    if n_clusters == 0:
        return np.full(draws, np.nan)
    out = []
    for counts in resampled_counts(n_clusters, draws, seed, width=len(values)):
        positive = counts[:, owner[ranked.positives]].astype(np.float64)
        right, pairs = _count_pairs(ranked, positive, counts[:, owner[ranked.negatives]])
        out.append(np.divide(right, pairs, out=np.full(len(right), np.nan), where=pairs > 0))
    return np.concatenate(out)


def cluster_bootstrap_auroc(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    folds: npt.ArrayLike,
    clusters: npt.ArrayLike,
    draws: int,
    seed: int,
    strata: npt.ArrayLike | None = None,
) -> Interval:
    """The fold-wise AUROC with a percentile interval that resamples clusters (questions).

    The scores stay as they are: the interval is that of a *fixed* scorer on new questions, not
    of the whole procedure that fitted it (methods, amendment 1).

    Args:
        scores: out-of-fold scores [rows].
        labels: [rows], 1 is an error.
        folds: [rows], the outer fold that left the row out.
        clusters: [rows], the question of each row.
        draws: bootstrap replicates.
        seed: of the resampling.
        strata: [rows]; with it only pairs inside one fold and one stratum count.

    Returns:
        `n` is the number of clusters.

    Raises:
        AnalysisError: as `stratified_auroc`.
        UsageError: draws below 1.
    """
    point = stratified_auroc(scores, labels, folds, strata)
    replicates = auroc_replicates(scores, labels, folds, clusters, draws, seed, strata)
    n = _codes(clusters, len(np.asarray(scores)), "cluster")[1]
    return percentile_interval(
        point.auroc, replicates, n, reason=_NO_PAIRS, unit="questions, scores held fixed"
    )


@dataclass(frozen=True, eq=False)
class LeaveOneOut:
    """A fold-wise AUROC, and what it is without each of its clusters.

    Attributes:
        auroc: on all rows; None without a pair.
        without: without one cluster, in sorted order of those that stand in a pair, [clusters]; NaN where no
            pair is left. Scores of the same rows give the same clusters, so means and differences of two
            are those of the AUROCs.
    """

    auroc: float | None
    without: Floats


def leave_one_out(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    folds: npt.ArrayLike,
    clusters: npt.ArrayLike,
    strata: npt.ArrayLike | None = None,
) -> LeaveOneOut:
    """Count the fold-wise AUROC without each cluster in turn, all of them from a few sorts.

    The pairs that a cluster stands in are those of its positives and those of its negatives, less those
    inside it, which are among both.

    Args:
        scores: out-of-fold scores [rows].
        labels: [rows], 1 is an error.
        folds: [rows], the outer fold that left the row out.
        clusters: [rows], the question of each row.
        strata: [rows]; with it only pairs inside one fold and one stratum count.

    Raises:
        AnalysisError: as `stratified_auroc`; also a row without a cluster.
    """
    (all_right, all_pairs), (right, pairs) = pairs_by_cluster(scores, labels, folds, clusters, strata)
    if all_pairs == 0:
        return LeaveOneOut(None, np.empty(0))
    left = all_pairs - pairs
    without = np.divide(all_right - right, left, out=np.full(len(left), np.nan), where=left > 0.5)
    return LeaveOneOut(float(all_right / all_pairs), without[pairs > 0])


def pairs_by_cluster(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    folds: npt.ArrayLike,
    clusters: npt.ArrayLike,
    strata: npt.ArrayLike | None = None,
) -> tuple[Floats, Floats]:
    """Pairs in the right order and all pairs [2], and those that each cluster stands in [2, clusters].

    Args:
        scores: [rows].
        labels: [rows], 1 is an error.
        folds: [rows].
        clusters: [rows], the question of each row.
        strata: [rows]; with it only pairs inside one fold and one stratum count.

    Raises:
        AnalysisError: as `leave_one_out`.
    """
    values, truth = _inputs(scores, labels)
    cells = _cells(len(values), folds, strata)
    owner, n_clusters = _codes(clusters, len(values), "cluster")
    inside, _ = _codes(cells * n_clusters + owner, len(values), "cell")
    of_positives = _pairs_of(_rank(values, truth, cells), owner, n_clusters)
    of_negatives = _pairs_of(_rank(-values, ~truth, cells), owner, n_clusters)
    own = of_positives + of_negatives - _pairs_of(_rank(values, truth, inside), owner, n_clusters)
    return of_positives.sum(axis=1), own


def _rank(values: Floats, truth: npt.NDArray[np.bool_], cells: Ints) -> _Ranked:
    """Place positives among negatives by one sort of all rows on (cell, score)."""
    order = np.lexsort((values, cells))
    cell, value = cells[order], values[order]
    new_cell = np.ones(len(order), dtype=bool)
    new_cell[1:] = cell[1:] != cell[:-1]
    new_value = new_cell.copy()
    new_value[1:] |= value[1:] != value[:-1]
    rank = np.cumsum(new_value)
    # the rank of the first row of each cell, and of the next cell
    cell_number = np.cumsum(new_cell) - 1
    first = np.append(rank[new_cell], rank[-1] + 1 if len(rank) else 1)
    positive = truth[order]
    negative_rank = rank[~positive]
    own, home = rank[positive], cell_number[positive]
    return _Ranked(
        positives=order[positive],
        negatives=order[~positive],
        start=np.searchsorted(negative_rank, first[home], side="left"),
        stop=np.searchsorted(negative_rank, first[home + 1], side="left"),
        low=np.searchsorted(negative_rank, own, side="left"),
        high=np.searchsorted(negative_rank, own, side="right"),
    )


def _count_pairs(ranked: _Ranked, positive: Floats, negative: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    """Weighted pairs in the right order, and all pairs, for each row of weights.

    Args:
        ranked: the order.
        positive: weights of the positives [replicates, positives].
        negative: weights of the negatives, in the ranked order [replicates, negatives].
    """
    below = np.zeros((negative.shape[0], negative.shape[1] + 1), dtype=negative.dtype)
    np.cumsum(negative, axis=1, out=below[:, 1:])
    start = below[:, ranked.start]
    twice = below[:, ranked.low] + below[:, ranked.high] - 2 * start
    right = np.einsum("rp,rp->r", positive, twice) / 2
    pairs = np.einsum("rp,rp->r", positive, below[:, ranked.stop] - start)
    return right, pairs


def _pairs_of(ranked: _Ranked, owner: Ints, n_clusters: int) -> Floats:
    """Pairs in the right order, and all pairs, of each cluster's positives, [2, clusters]."""
    mine = owner[ranked.positives]
    right = (ranked.low + ranked.high) / 2 - ranked.start
    return np.stack(
        [np.bincount(mine, part, minlength=n_clusters) for part in (right, ranked.stop - ranked.start)]
    )


def _inputs(scores: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.bool_]]:
    values = np.asarray(scores, dtype=np.float64)
    truth = np.asarray(labels)
    if values.ndim != 1 or truth.shape != values.shape:
        raise AnalysisError(
            f"one score and one label per row are needed; got {values.shape} and {truth.shape}"
        )
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise AnalysisError(f"row {bad[0]}: the score {values[bad[0]]} is not a finite number")
    odd = np.flatnonzero(~np.isin(truth, (0, 1)))
    if odd.size:
        raise AnalysisError(f"row {odd[0]}: the label {truth[odd[0]]!r} is neither 0 nor 1")
    return values, truth.astype(bool)


def _codes(groups: npt.ArrayLike, n: int, what: str) -> tuple[Ints, int]:
    """Group numbers in sorted order of the groups, so that the order of rows does not matter."""
    column = pd.Series(np.asarray(groups))
    if len(column) != n:
        raise AnalysisError(f"one {what} per row is needed: {n} rows, {len(column)} values")
    codes, names = pd.factorize(column, sort=True)
    missing = np.flatnonzero(codes < 0)
    if missing.size:
        raise AnalysisError(f"row {missing[0]} has no {what}")
    return codes.astype(np.int64), len(names)


def _cells(n: int, folds: npt.ArrayLike, strata: npt.ArrayLike | None) -> Ints:
    fold, _ = _codes(folds, n, "fold")
    if strata is None:
        return fold
    stratum, n_strata = _codes(strata, n, "stratum")
    return fold * n_strata + stratum
