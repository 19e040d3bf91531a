"""Labels that could have been, were the probe to know nothing beyond position, length, kind and question.

Two ways (methods: an additive logistic model, or no model at all), both at the level of claims: all steps
of one normalised text that bear one label move together, as what a judge says of a text it says again.

`redrawn_labels`: p(error) = logistic(question effect + effect of position x length x kind x how often the
claim is repeated). The effects need not be estimated: given how many claims are erroneous in every question
and in every stratum, all labellings are equally likely, and trades between pairs of questions walk through
them (Ponocny 2001, Psychometrika 66; Strona et al. 2014, Nat Commun 5). The walk first goes back from the
data and then forward, once a draw, so that data and draws are exchangeable however short it is (Besag &
Clifford 1989, Biometrika 76): p-values are exact. Labels drawn from *fitted* effects are not: the
data agree with their own fit better than any draw does.

`permuted_labels`: only among the claims of one question, position and kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mechcot.probe.data import IntArray

ROUNDS = 40
"""Rounds of trades between all questions in random pairs: twice what mixes a table of 40 x 8."""

Labels = NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Claims:
    """Steps that move together, and where they stand.

    Attributes:
        of: claim of each step, -1 where its text bears both labels in one question, [steps].
        y: label, [claims].
        question: the question that holds most of its steps, [claims].
        stratum: likewise its position, length and kind, [claims].
        repeats: the power of two at or below its number of steps, [claims].
    """

    of: IntArray
    y: Labels
    question: IntArray
    stratum: IntArray
    repeats: IntArray


def claims_of(
    y: IntArray,
    codes: IntArray,
    *,
    qid: ArrayLike,
    sid: ArrayLike,
    role: ArrayLike,
    n_steps: ArrayLike | None = None,
) -> Claims:
    """Gather steps into claims: by text, or where a text bears both labels, by question and text."""
    frame = pd.DataFrame({"y": y, "code": codes, "question": pd.factorize(np.asarray(qid, dtype=object))[0]})
    length = np.zeros(len(y)) if n_steps is None else _thirds(np.asarray(n_steps, dtype=np.float64))
    place = pd.DataFrame({"sid": np.asarray(sid), "role": np.asarray(role, dtype=object), "length": length})
    frame["stratum"] = place.groupby(["sid", "role", "length"], sort=True).ngroup()
    both = frame.groupby("code")["y"].transform("nunique") > 1
    frame["claim"] = frame.groupby([frame["code"], frame["question"].where(both, -1)]).ngroup()
    frozen = (frame.groupby("claim")["y"].transform("nunique") > 1).to_numpy()
    frame["claim"] = pd.factorize(np.where(frozen, -1, frame["claim"]))[0]
    if frozen.any():  # one number more than the claims stands for all that do not move
        none = frame["claim"][frozen].iloc[0]
        frame["claim"] -= frame["claim"] > none
        frame.loc[frozen, "claim"] = -1
    moving = frame[~frozen]
    size = moving.groupby("claim").size().to_numpy()
    return Claims(
        frame["claim"].to_numpy(np.int64),
        moving.groupby("claim")["y"].first().to_numpy(np.int8),
        _most(moving, "question"),
        _most(moving, "stratum"),
        np.floor(np.log2(size)).astype(np.int64),
    )


def redrawn_labels(y: IntArray, claims: Claims, *, draws: int, seed: int) -> tuple[Labels, int]:
    """Redraw labels given the numbers of erroneous claims of every question and of every stratum.

    Returns:
        labels [draws, steps], and the number of steps whose label changed in some draw.
    """
    rng = np.random.default_rng(seed)
    column = pd.factorize(claims.stratum * (claims.repeats.max(initial=0) + 1) + claims.repeats)[0]
    cells = _cells(claims.question, column)
    rounds = [_pairing(claims.question, column, rng) for _ in range(ROUNDS)] if len(column) else []
    root = claims.y[None, :].copy()
    _shuffle(root, cells, rng)
    for pairs in reversed(rounds):
        _trade(root, *pairs, rng)
    drawn = np.repeat(root, draws, axis=0)
    for pairs in rounds:
        _trade(drawn, *pairs, rng)
    _shuffle(drawn, cells, rng)
    return _to_steps(y, claims, drawn)


def permuted_labels(y: IntArray, claims: Claims, *, draws: int, seed: int) -> tuple[Labels, int, int]:
    """Permute labels among the claims of each (question, position, length, kind) cell.

    Returns:
        labels [draws, steps], the number of cells that hold both labels, and of steps whose label
        changed in some draw.
    """
    rng = np.random.default_rng(seed)
    cells = _cells(claims.question, claims.stratum)
    errors, sizes = np.bincount(cells, claims.y), np.bincount(cells)
    n_cells = int(((errors > 0) & (errors < sizes)).sum())
    drawn = np.repeat(claims.y[None, :], draws, axis=0)
    _shuffle(drawn, cells, rng)
    labels, n_steps = _to_steps(y, claims, drawn)
    return labels, n_cells, n_steps


def _to_steps(y: IntArray, claims: Claims, drawn: Labels) -> tuple[Labels, int]:
    labels = np.repeat(y.astype(np.int8)[None, :], len(drawn), axis=0)
    moving = claims.of >= 0
    labels[:, moving] = drawn[:, claims.of[moving]]
    return labels, int((labels != y).any(axis=0).sum())


def _pairing(
    question: IntArray, column: IntArray, rng: np.random.Generator
) -> tuple[IntArray, IntArray, IntArray]:
    """Pair questions at random, and within a pair their claims of equal column.

    Returns:
        claims of the first question, of the second, and the number of the pair of questions, in its order.
    """
    n = int(question.max()) + 1
    place = rng.permutation(n)
    pair, side = place[question] // 2, place[question] % 2
    order = np.lexsort((rng.random(len(question)), column, question))
    cell = _cells(question, column)[order]
    start = np.flatnonzero(np.r_[True, cell[1:] != cell[:-1]])
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - np.repeat(start, np.diff(start, append=len(order)))
    key = (pair * (column.max() + 1) + column) * (rank.max() + 1) + rank
    one, two = np.flatnonzero(side == 0), np.flatnonzero(side == 1)
    _, first, second = np.intersect1d(key[one], key[two], assume_unique=True, return_indices=True)
    return one[first], two[second], pair[one[first]]


def _trade(labels: Labels, left: IntArray, right: IntArray, pair: IntArray, rng: np.random.Generator) -> None:
    """Shuffle, inside each pair of questions, which question has the error where only one has."""
    gap = labels[:, left] - labels[:, right]
    flat = gap.ravel()  # pairs of questions stand together in every row, so segments do too
    differ = np.flatnonzero(flat)
    segment = (differ // max(gap.shape[1], 1)) * (pair.max(initial=0) + 1) + pair[differ % gap.shape[1]]
    flat[differ] = flat[differ][np.argsort(segment + rng.random(len(differ)))]
    moved = flat.reshape(gap.shape)
    labels[:, left] = np.where(moved == 0, labels[:, left], moved == 1)
    labels[:, right] = np.where(moved == 0, labels[:, right], moved == -1)


def _shuffle(labels: Labels, cells: IntArray, rng: np.random.Generator) -> None:
    """Shuffle labels inside each cell, in every row by itself."""
    shared = np.flatnonzero(np.bincount(cells)[cells] > 1)
    shared = shared[np.argsort(cells[shared], kind="stable")]
    order = np.argsort(cells[shared] + rng.random((len(labels), len(shared))), axis=1)
    labels[:, shared] = np.take_along_axis(labels[:, shared], order, axis=1)


def _cells(question: IntArray, column: IntArray) -> IntArray:
    return np.asarray(pd.factorize(question * (column.max(initial=0) + 1) + column)[0], dtype=np.int64)


def _most(frame: pd.DataFrame, name: str) -> IntArray:
    """The commonest value of each claim, the lowest of equals, [claims]."""
    counts = frame.groupby(["claim", name]).size().reset_index(name="n")
    best = counts.sort_values(["claim", "n", name], ascending=[True, False, True]).drop_duplicates("claim")
    return best[name].to_numpy(np.int64)


def _thirds(values: NDArray[np.float64]) -> IntArray:
    """Short, middling and long, by thirds of the steps, [steps]."""
    return np.searchsorted(np.quantile(values, [1 / 3, 2 / 3]), values, side="left").astype(np.int64)
