"""Reading a value off states: a linear map from a state to what the value's words mean to the model.

A probe with a class for each value cannot be tried on entities that it was not fitted on. So the map leads to
the value's code, the mean of its tokens' rows in the model's own unembedding, and a value is scored by the
cosine of its code and what the map says. Codes of names are of the model's making: a map that holds on names
which it never met reads what the model wrote there, and a random code (a control task) could not be read.
Ridge, by its dual; layer and penalty are chosen by inner folds, and no fold splits an entity.

A value that was right in training draws every map to it, so one that was not would lose to one that was, for
features that say nothing too. So competing values are all met in training or none: where the right value is
not, questions whose right value is one of the others are left out of the fit. What does not depend on the
state is no part of a score: a feature that is the same everywhere scores exactly one half.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mechcot.core.errors import AnalysisError
from mechcot.probe.folds import assign_folds, components

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Over the mean squared length of a state."""
FOLDS, INNER, DRAWS = 5, 3, 3
PARTS = 10
APART, TOLD = (0.5, 1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 18.0), 0.53
"""Penalties of the map from an answer's code to a value's, and in what share of pairs it may tell it."""


@dataclass(frozen=True, eq=False)
class Values:
    """Values that compete, the right one first.

    Attributes:
        codes: of length 1 around the mean of all, [questions, values, width]; zeros where there is none.
        there: which values there are, [questions, values].
        names: number of each value, equal for equal ones, [questions, values]; -1 where there is none.
    """

    codes: Floats
    there: Bools
    names: Ints

    @property
    def right(self) -> Floats:
        """Codes of the right values, [questions, width]."""
        return self.codes[:, 0]


@dataclass(frozen=True, eq=False)
class Read:
    """How the right value fares in each question.

    Attributes:
        beats: share of the competing values that score below it, ties counting one half, [draws, questions].
        beats_said: the same of the second value alone, [draws, questions]; NaN where it competes.
        layer: of the fold that tests the question, [draws, questions].
    """

    beats: Floats
    beats_said: Floats
    layer: Ints


def values_of(codes: Sequence[Sequence[Floats]], names: Sequence[Sequence[Hashable]]) -> Values:
    """Codes of competing values, centred on the mean of all and scaled to length 1.

    Args:
        codes: of each question's values, the right one first.
        names: what the values are.
    """
    most = max(map(len, codes))
    out = np.zeros((len(codes), most, len(codes[0][0])))
    number = np.full(out.shape[:2], -1, dtype=np.int64)
    known = {name: i for i, name in enumerate(dict.fromkeys(name for own in names for name in own))}
    for row, (own, called) in enumerate(zip(codes, names, strict=True)):
        out[row, : len(own)], number[row, : len(own)] = np.stack(own), [known[name] for name in called]
    there = number >= 0
    out[there] -= out[there].mean(axis=0)
    length = np.linalg.norm(out, axis=2, keepdims=True)
    return Values(np.divide(out, length, out=np.zeros_like(out), where=length > 0), there, number)


def beyond(codes: Floats, others: Floats, names: Sequence[Hashable], penalty: float, seed: int) -> Floats:
    """Codes without what other codes tell of them: what ridge maps leave that did not see the same name.

    Args:
        codes: [values, width].
        others: codes of the same width that may tell of them, [values, width].
        names: what the values are; those of one name are left out together.
        penalty: over the mean squared length of the other codes.
        seed: of the parts that are left out in turn.
    """
    known = {name: i for i, name in enumerate(dict.fromkeys(names))}
    part = assign_folds(np.array([known[name] for name in names]), min(PARTS, len(known)), seed)
    out = np.zeros_like(codes)
    for k in range(part.max() + 1):
        fit, held = part != k, part == k
        mean, about = others[fit].mean(axis=0), codes[fit].mean(axis=0)
        kernel = (others[fit] - mean) @ (others[fit] - mean).T
        shrunk = kernel + penalty * np.trace(kernel) / len(kernel) * np.eye(len(kernel))
        weights = np.linalg.solve(shrunk, codes[fit] - about)
        out[held] = codes[held] - about - (others[held] - mean) @ (others[fit] - mean).T @ weights
    return out


def told_apart(
    codes: Sequence[Sequence[Floats]],
    answers: Sequence[Sequence[Floats]],
    names: Sequence[Sequence[Hashable]],
    qid: Sequence[str],
    entity: Sequence[str],
    *,
    seed: int,
) -> tuple[Values, Read]:
    """Values by what their codes have beyond those of their answers.

    A weak penalty takes a code apart into noise, a strong one leaves the answer in it: the strongest is taken
    with which the right answer's own code, bare and under noise, tells the right value from others in no more
    than `TOLD` of pairs.

    Args:
        codes: of each question's values, the right one first.
        answers: of the answers that they lead to.
        names: what the values are.
        qid: the questions.
        entity: whom they are about.
        seed: of folds and noise.

    Returns:
        The values, and how they are read from the right answer's code.
    """
    flat, others = (np.stack([code for own in rows for code in own]) for rows in (codes, answers))
    called = [name for own in names for name in own]
    right = np.stack([own[0] for own in answers])
    noise = np.random.default_rng(seed).standard_normal(right.shape) * right.std()
    constant, chosen = np.ones((len(right), 1)), None
    for penalty in APART:
        left = iter(beyond(flat, others, called, penalty, seed))
        values = values_of([[next(left) for _ in own] for own in codes], names)
        trials = (
            read_values({0: constant, 1: one}, values, qid, entity, said=False, seed=seed, draws=1)
            for one in (right, right + noise)
        )
        if chosen is not None and any(trial.beats.mean() > TOLD for trial in trials):
            break
        chosen = values
    assert chosen is not None
    return chosen, read_values({0: constant, 1: right}, chosen, qid, entity, said=False, seed=seed)


def read_values(
    states: Mapping[int, Floats],
    values: Values,
    qid: Sequence[str],
    entity: Sequence[str],
    *,
    said: bool,
    seed: int,
    draws: int = DRAWS,
) -> Read:
    """Score every question's values by maps that were fitted on other entities.

    Args:
        states: of each layer, [questions, width].
        values: that compete.
        qid: the questions, [questions].
        entity: whom they are about, [questions].
        said: whether the second value stands in the text: then it competes apart.
        seed: of the folds.
        draws: of the folds.

    Raises:
        AnalysisError: fewer entities than folds.
    """
    block = components(list(qid), list(entity))
    kernels = {layer: _kernel(X) for layer, X in states.items()}
    found = [_draw(kernels, values, block, said, seed + draw) for draw in range(draws)]
    beats, beats_said, layer = zip(*found, strict=True)
    return Read(np.stack(beats), np.stack(beats_said), np.stack(layer))


def _draw(
    kernels: Mapping[int, Floats], values: Values, block: Ints, said: bool, seed: int
) -> tuple[Floats, Floats, Ints]:
    n = len(block)
    fold = assign_folds(block, FOLDS, seed)
    beats, beats_said, layer = np.zeros(n), np.full(n, np.nan), np.zeros(n, dtype=np.int64)
    for k in range(FOLDS):
        train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        chosen, penalty = _choose(kernels, values, block, train, said, seed + 1 + k)
        scores = np.stack([_alone(kernels[chosen], values, train, int(i), penalty) for i in test])
        beats[test], own = _beats(scores, values.there[test], said)
        layer[test] = chosen
        if said:
            beats_said[test] = own
    return beats, beats_said, layer


def _choose(
    kernels: Mapping[int, Floats], values: Values, block: Ints, train: Ints, said: bool, seed: int
) -> tuple[int, float]:
    """The layer and penalty under which the right value beats the others most often in inner folds."""
    _, own = np.unique(block[train], return_inverse=True)
    if int(own.max()) + 1 < INNER:
        raise AnalysisError(f"{int(own.max()) + 1} entities to fit on; there must be at least {INNER}")
    inner = assign_folds(own.astype(np.int64), INNER, seed)
    total = np.zeros((len(kernels), len(PENALTIES)))
    for k in range(INNER):
        fit, held = train[inner != k], train[inner == k]
        for row, kernel in zip(total, kernels.values(), strict=True):
            row += _beats(_scores(kernel, values, fit, held), values.there[held], said)[0].sum(axis=1)
    layer, penalty = np.unravel_index(np.argmax(total.round(9)[:, ::-1]), total.shape)
    return list(kernels)[layer], PENALTIES[::-1][penalty]  # of equals the first layer, the strongest penalty


def _kernel(X: Floats) -> Floats:
    """Products of states, each dimension centred and scaled on all rows, of mean length 1; [rows, rows]."""
    spread = X.std(axis=0)
    Z = np.divide(X - X.mean(axis=0), spread, out=np.zeros_like(X), where=spread > 1e-9)
    K = Z @ Z.T
    size = np.trace(K) / len(K)
    return K / size if size > 0 else K


def _scores(kernel: Floats, values: Values, train: Ints, test: Ints) -> Floats:
    """How far what the map says lies along each value's code, [penalties, test rows, values]."""
    own = values.right[train]
    roots, axes = np.linalg.eigh(kernel[np.ix_(train, train)])
    shrunk = np.maximum(roots, 0) + np.array(PENALTIES)[:, None]
    told = (kernel[np.ix_(test, train)] @ axes) @ (axes.T @ (own - own.mean(axis=0)) / shrunk[:, :, None])
    return np.asarray((values.codes[test] @ told[..., None])[..., 0].round(9))


def _alone(kernel: Floats, values: Values, train: Ints, row: int, penalty: float) -> Floats:
    """The same of one row, [values], with its competing values all met in training or none."""
    train = _met_alike(values, train, values.names[row])
    codes = values.right[train]
    weights = np.linalg.solve(
        kernel[np.ix_(train, train)] + penalty * np.eye(len(train)), codes - codes.mean(axis=0)
    )
    return np.asarray((values.codes[row] @ (kernel[row, train] @ weights)).round(9))


def _met_alike(values: Values, train: Ints, names: Ints) -> Ints:
    """Training rows in which values, the right one first, are all met as right ones, or none is.

    Args:
        values: that compete.
        train: indices of rows.
        names: numbers of the values.
    """
    right = values.names[train, 0]
    return train if (right == names[0]).any() else train[~np.isin(right, names)]


def _beats(scores: Floats, there: Bools, said: bool) -> tuple[Floats, Floats]:
    """How the first value fares against those that compete, and against the second, [..., rows] each."""
    won = np.where(scores[..., :1] == scores, 0.5, (scores[..., :1] > scores).astype(float))
    first = 2 if said else 1
    share = (won * there)[..., first:].sum(axis=-1) / there[:, first:].sum(axis=1)
    return share, won[..., 1]
