"""Does a probe carry over: trained on one set of steps, tested on another, no question on both sides.

A *side* is a table of judged steps with activations: an arm under its own weights, the same text under
another reader's, or the same activations with another judge's labels. All sides share one division of
their questions into folds. For each fold every side trains a probe on the other folds, and that one
probe is tested on the fold's steps of every side, so that entries of one row of the matrix differ by
the steps tested and entries of one column by the steps trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.core.errors import AnalysisError
from mechcot.core.progress import Progress
from mechcot.core.records import STEP_KEY
from mechcot.probe.cross_fitting import inner_auroc
from mechcot.probe.data import MIN_QUESTIONS, BoolArray, FloatArray, IntArray
from mechcot.probe.folds import Design, assign_folds, components, text_codes, training_rows
from mechcot.probe.settings import FitSettings
from mechcot.probe.transfer_result import TransferCell, TransferResult, TransferTraining
from mechcot.stats import Interval, jackknife_interval
from mechcot.stats.frames import require_columns, require_unique
from mechcot.stats.jackknife import NO_PAIRS, left_out_counts

_COLUMNS = [*STEP_KEY, "group", "text", "role", "y"]
_UNIT = "questions, scores held fixed"
_NO_STRATA = "no kind and step index has an erroneous and a correct step of one fold on both sides"
Cell = tuple[Mapping[int, NDArray[Any]], pd.DataFrame]
"""A side: its residual stream by layer, [steps, d_model] each, and its `probe.step_table`, a row a step."""


def transfer_matrix(
    cells: Mapping[str, Cell], settings: FitSettings, *, progress: bool = True
) -> TransferResult:
    """Train a probe on every side and test it on every side, question-disjoint.

    Layer and penalty are chosen in inner folds of the training rows of the training side alone.
    Training rows whose claim occurs in the test fold of any side are purged.

    Args:
        cells: name of a side to its residual stream by layer, [steps, d_model] each, and its
            `probe.step_table`, a row a step. Layers that not every side has are left out.
        settings: grid, folds (over the questions of all sides together) and seed.
        progress: whether to draw a bar.

    Raises:
        AnalysisError: fewer than two sides, no layer or width in common, activations that do not fit
            their table or are not finite, fewer than `MIN_QUESTIONS` questions on a side, a side (or its
            training rows of a fold) with one class, or fewer blocks than folds.
    """
    sides, n_questions = _sides(cells, settings)
    with Progress("transfer", len(sides), "side", shown=progress) as bar:
        probes = {side.name: _trained(side) for side in bar.over(sides)}
    scores = {(a.name, b.name): _scores(probes[a.name][0], b) for a in sides for b in sides}
    pairs = {side.name: _pairs_by_stratum(side) for side in sides}

    def count(home: _Side, side: _Side, weights: FloatArray | None = None) -> _Counted:
        return _counted(scores[home.name, side.name], side, weights, n_questions)

    raw = {(a.name, b.name): count(a, b) for a in sides for b in sides}
    found = []
    for home in sides:
        for side in sides:
            key = home.name, side.name
            weights = np.minimum(pairs[home.name], pairs[side.name])
            even, at_home = count(home, side, weights), count(home, home, weights)
            used = pairs[side.name][weights > 0]
            found.append(
                TransferCell(
                    train=home.name,
                    test=side.name,
                    auroc=raw[key].interval(NO_PAIRS),
                    matched=even.interval(_NO_STRATA),
                    minus_own=raw[key].minus(raw[side.name, side.name], NO_PAIRS),
                    minus_home=even.minus(at_home, _NO_STRATA),
                    n_steps=len(side.plan.y),
                    n_errors=int(side.plan.y.sum()),
                    n_questions=len(np.unique(side.question)),
                    n_strata=int((weights > 0).sum()),
                    matched_pairs=int(used.sum()),
                    matched_share=float(used.sum() / max(pairs[side.name].sum(), 1)),
                )
            )
    return TransferResult(
        cells=tuple(found),
        training=tuple(probes[side.name][1] for side in sides),
        n_questions=n_questions,
        n_blocks=int(max(side.plan.block.max() for side in sides)) + 1,
        n_folds=settings.folds,
        grid=settings.grid,
        seed=settings.seed,
    )


@dataclass(frozen=True, eq=False)
class _Side:
    """One side's rows; numbers are shared by all sides."""

    name: str
    X: dict[int, NDArray[Any]]  # [steps, d_model]
    plan: Design
    question: IntArray  # [steps]
    stratum: IntArray  # of kind and step index, [steps]
    n_strata: int  # on all sides


@dataclass(frozen=True, eq=False)
class _Probe:
    """One fold's probe in the units of the activations."""

    layer: int
    coef: FloatArray  # [d_model]
    intercept: float


def _sides(cells: Mapping[str, Cell], settings: FitSettings) -> tuple[list[_Side], int]:
    """Check every side and give all of them one numbering and one division into folds."""
    if len(cells) < 2:
        raise AnalysisError(f"{len(cells)} sides; transfer needs at least two sets of steps")
    layers = sorted(set.intersection(*(set(X) for X, _ in cells.values())))
    if not layers:
        have = "; ".join(f"{name}: {sorted(X)}" for name, (X, _) in cells.items())
        raise AnalysisError(f"no layer is there on every side ({have})")
    for name, (X, table) in cells.items():
        _check(name, {layer: X[layer] for layer in layers}, table)
    for layer in layers:
        widths = {name: np.shape(X[layer])[1] for name, (X, _) in cells.items()}
        if len(set(widths.values())) > 1:
            raise AnalysisError(f"layer {layer}: the sides differ in width, {widths}; readers must be alike")
    union = pd.concat([table[_COLUMNS] for _, table in cells.values()], ignore_index=True)
    block = components(union["qid"].tolist(), union["group"].tolist())
    codes = text_codes(union["text"].tolist())
    fold = assign_folds(block, settings.folds, settings.seed)
    question, names = pd.factorize(union["qid"], sort=True)
    stratum: IntArray = union.groupby(["role", "sid"], sort=True).ngroup().to_numpy().astype(np.int64)
    met = [codes[fold == index] for index in range(settings.folds)]
    found, start = [], 0
    for name, (X, table) in cells.items():
        rows = slice(start, start + len(table))
        start, y = rows.stop, table["y"].to_numpy(dtype=np.int64)
        train = training_rows(y, fold[rows], codes[rows], met, f"side '{name}', ")
        qid = table["qid"].to_numpy(dtype=object)
        side = _Side(
            name=name,
            X={layer: np.asarray(X[layer], dtype=np.float32) for layer in layers},
            plan=Design(y, qid, fold[rows], block[rows], codes[rows], train, settings),
            question=question[rows],
            stratum=stratum[rows],
            n_strata=int(stratum.max()) + 1,
        )
        found.append(side)
    return found, len(names)


def _check(name: str, X: Mapping[int, NDArray[Any]], table: pd.DataFrame) -> None:
    """Refuse a side that cannot give an honest number."""
    require_columns(table, _COLUMNS, f"side '{name}'")
    require_unique(table, STEP_KEY, f"side '{name}'")
    errors, questions = int(table["y"].sum()), table["qid"].nunique()
    if not table["y"].isin([0, 1]).all() or errors in (0, len(table)):
        raise AnalysisError(
            f"side '{name}': {errors} of {len(table)} steps are erroneous; labels 0 and 1, both, are needed"
        )
    if questions < MIN_QUESTIONS:
        raise AnalysisError(f"side '{name}': {questions} questions; folds need at least {MIN_QUESTIONS}")
    for layer, values in X.items():
        if np.ndim(values) != 2 or len(values) != len(table):
            raise AnalysisError(
                f"side '{name}', layer {layer}: expected [{len(table)}, d_model], got {np.shape(values)}"
            )
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if bad.size:
            raise AnalysisError(
                f"side '{name}', layer {layer}: {bad.size} of {len(table)} steps have NaN or infinite "
                f"activations, the first is row {bad[0]}. Leave those steps out or read them again."
            )


def _trained(side: _Side) -> tuple[list[_Probe], TransferTraining]:
    """Choose layer and penalty inside each fold's training rows, and fit the fold's probe on them.

    All fits of a layer are solved together: inner folds of every outer fold, and the outer fits.
    Ties go to the lower layer and the stronger penalty.
    """
    from mechcot.probe.factors import factor
    from mechcot.probe.solver import solve

    plan = side.plan
    y, grid, n_folds = plan.y, plan.settings.grid, len(plan.train)
    inner = [plan.inner(index) for index in range(n_folds)]
    usable = [[p for p, rows in enumerate(masks) if len(np.unique(y[rows])) == 2] for _, masks in inner]
    jobs = [(index, part, C) for index in range(n_folds) for part in (*usable[index], -1) for C in grid]
    job = {key: number for number, key in enumerate(jobs)}
    masks = np.stack([plan.train[f] if part < 0 else inner[f][1][part] for f, part, _ in jobs])
    best: list[tuple[float, int, float]] = [(-1.0, 0, 0.0)] * n_folds
    probes: list[_Probe | None] = [None] * n_folds
    not_converged = 0
    for layer, X in side.X.items():
        fits = solve(factor(X), y, masks, [C for *_, C in jobs])
        coef, intercept = fits.coef(), fits.intercept
        not_converged += int((~fits.converged).sum())
        for index, rows in enumerate(plan.train):
            fold = inner[index][0]
            for C in grid:
                scores = np.zeros(len(y))  # a fold with nothing to learn from stays tied
                for part in usable[index]:
                    tested = fold == part
                    scores[tested] = fits.scores[job[index, part, C]][tested]
                quality = inner_auroc(scores[rows], y[rows], fold[rows])
                if quality > best[index][0]:
                    number = job[index, -1, C]
                    best[index] = (quality, layer, C)
                    probes[index] = _Probe(layer, coef[number], float(intercept[number]))
    chosen = tuple({"layer": layer, "C": C, "inner_auroc": quality} for quality, layer, C in best)
    n_fits = len(jobs) * len(side.X)
    told = TransferTraining(side.name, chosen, len(y), plan.purged_share, n_fits, not_converged)
    return [probe for probe in probes if probe is not None], told


def _scores(probes: Sequence[_Probe], side: _Side) -> FloatArray:
    """Score every step of a side by the probe that saw nothing of its fold, [steps]."""
    out = np.zeros(len(side.plan.y))
    for index, probe in enumerate(probes):
        rows = side.plan.fold == index
        out[rows] = side.X[probe.layer][rows].astype(np.float64) @ probe.coef + probe.intercept
    return out


def _pairs_by_stratum(side: _Side) -> FloatArray:
    """Pairs of one erroneous and one correct step of one fold in every stratum, [strata]."""
    table = np.zeros((2, int(side.plan.fold.max()) + 1, side.n_strata))
    np.add.at(table, (side.plan.y, side.plan.fold, side.stratum), 1.0)
    pairs: FloatArray = (table[0] * table[1]).sum(axis=0)
    return pairs


@dataclass(frozen=True, eq=False)
class _Counted:
    """An AUROC on all questions, and without each.

    Attributes:
        values: on all (first), then without each question of any side, [1 + questions]; NaN without a pair.
        asked: whether a question stands in a pair, [questions].
    """

    values: FloatArray
    asked: BoolArray

    def interval(self, reason: str) -> Interval:
        """The jackknife's, on the log odds scale."""
        return self._leaving_out(self.values, self.asked, True, reason)

    def minus(self, other: _Counted, reason: str) -> Interval:
        """That of the difference; a question is left out of both."""
        return self._leaving_out(self.values - other.values, self.asked | other.asked, False, reason)

    @staticmethod
    def _leaving_out(values: FloatArray, asked: BoolArray, logit: bool, reason: str) -> Interval:
        estimate = None if np.isnan(values[0]) else float(values[0])
        return jackknife_interval(estimate, values[1:][asked], logit=logit, unit=_UNIT, reason=reason)


def _counted(scores: FloatArray, side: _Side, weights: FloatArray | None, n_questions: int) -> _Counted:
    """AUROC over pairs of one fold, or the weighted mean of the strata's own."""
    y, fold = side.plan.y, side.plan.fold
    stratum = np.zeros_like(side.stratum) if weights is None else side.stratum
    wanted = np.ones(1) if weights is None else weights
    cells = [
        (s, np.flatnonzero((stratum == s) & (fold == f)))
        for s in np.flatnonzero(wanted > 0)
        for f in np.unique(fold)
    ]
    cells = [(s, rows) for s, rows in cells if 0 < y[rows].sum() < len(rows)]
    asked = np.zeros(n_questions, dtype=bool)
    for _, rows in cells:
        asked[side.question[rows]] = True
    width = max((len(rows) for _, rows in cells), default=1)
    ones = np.ones((1, n_questions), dtype=np.int64)
    out = []
    for counts in (ones, *left_out_counts(n_questions, width)):
        total = np.zeros((2, len(counts), len(wanted)))
        for s, rows in cells:
            total[:, :, s] += _pairs(scores[rows], y[rows], counts[:, side.question[rows]])
        right, pairs = total
        share = np.divide(right, pairs, out=np.zeros_like(right), where=pairs > 0)
        weight = (pairs > 0) * wanted
        mass = weight.sum(axis=1)
        mean = (share * weight).sum(axis=1)
        out.append(np.divide(mean, mass, out=np.full(len(mass), np.nan), where=mass > 0))
    return _Counted(np.concatenate(out), asked)


def _pairs(scores: FloatArray, y: IntArray, counts: NDArray[Any]) -> FloatArray:
    """Pairs in the right order (ties at half) and all pairs, rows counted so often, [2, rows]."""
    order = np.argsort(scores[y == 0], kind="stable")
    negative = counts[:, y == 0][:, order].astype(np.float64)
    positive = counts[:, y == 1].astype(np.float64)
    values = scores[y == 0][order]
    below = np.concatenate([np.zeros((len(counts), 1)), np.cumsum(negative, axis=1)], axis=1)
    low = np.searchsorted(values, scores[y == 1], side="left")
    high = np.searchsorted(values, scores[y == 1], side="right")
    right = (positive * (below[:, low] + below[:, high])).sum(axis=1) / 2
    return np.stack([right, positive.sum(axis=1) * below[:, -1]])
