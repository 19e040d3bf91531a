"""How far judges agree: raw agreement, Cohen's and Fleiss' kappa, Gwet's AC1.

With p_o the share of agreement and p_e the share expected by chance, each coefficient is
(p_o - p_e) / (1 - p_e); they differ in chance:

- Cohen (1960), two judges: p_e = sum_c p_c. p_.c, each judge's own shares.
- Fleiss (1971), any number: p_e = sum_c pi_c^2, the shares pooled over judges.
- Gwet AC1 (2008): p_e = sum_c pi_c (1 - pi_c) / (categories - 1).

For several judges p_o is the mean over steps with at least two ratings of
sum_c r_ic (r_ic - 1) / (r_i (r_i - 1)), and pi_c the mean over rated steps of r_ic / r_i, with
r_ic the ratings of step i for category c and r_i its ratings (Gwet 2014, ratings may be missing).

Kappa falls when one category is rare, at the same agreement. Two arms whose error rates differ
have kappas that do not compare; raw agreement and AC1 stand beside for that reason.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.core.results import Interval, Result, cells
from mechcot.stats.cluster import LEVEL, Floats, Ints, percentile_interval, resampled_sums

NOTE = (
    "kappa depends on how common each label is: do not compare kappas of arms, or of studies, whose error"
    " rates differ; compare raw agreement and AC1"
)
_NO_PAIRS = "no step was rated by two of the judges"
_CONSTANT = "all ratings fall in one category: chance alone would agree always"


@dataclass(frozen=True)
class PairAgreement(Result):
    """Agreement of two judges on the steps that both rated.

    Attributes:
        judges: their names.
        raw: share of steps with the same label.
        kappa: Cohen's.
        ac1: Gwet's, for the two.
        kappa_max: the largest kappa that the two judges' own label shares allow.
        n_steps: steps that both rated.
    """

    judges: tuple[str, str]
    raw: Interval
    kappa: Interval
    ac1: Interval
    kappa_max: float | None
    n_steps: int

    @property
    def reason(self) -> str:
        """Why `kappa_max` is None."""
        return _CONSTANT if self.n_steps else _NO_PAIRS


@dataclass(frozen=True)
class Agreement(Result):
    """Agreement of a panel.

    Attributes:
        raw: mean over steps of the share of agreeing pairs of ratings.
        kappa: Fleiss'.
        ac1: Gwet's.
        pairs: the judges two by two.
        shares: label -> share of ratings, each rated step weighing the same.
        n_steps: steps with at least two ratings.
        n_rated: steps with at least one.
        n_ratings: judge -> its ratings.
        draws: bootstrap replicates.
        seed: of the resampling.
    """

    raw: Interval
    kappa: Interval
    ac1: Interval
    pairs: tuple[PairAgreement, ...]
    shares: dict[str, float]
    n_steps: int
    n_rated: int
    n_ratings: dict[str, int]
    draws: int
    seed: int

    note: ClassVar[str] = NOTE
    derived = ("note",)
    table = "coefficients"

    @property
    def coefficients(self) -> list[dict[str, Any]]:
        """A row per coefficient: whose it is, which, and its interval."""
        groups = [("panel", {"raw": self.raw, "fleiss kappa": self.kappa, "ac1": self.ac1}, self.n_steps)]
        for pair in self.pairs:
            named = {"raw": pair.raw, "cohen kappa": pair.kappa, "ac1": pair.ac1}
            groups.append((" and ".join(pair.judges), named, pair.n_steps))
        return [
            {"judges": who, "measure": measure, **cells(value), "n_steps": steps}
            for who, named, steps in groups
            for measure, value in named.items()
        ]


def agreement(
    labels: pd.DataFrame,
    questions: npt.ArrayLike,
    *,
    draws: int = 10_000,
    seed: int = 0,
    level: float = LEVEL,
    categories: Sequence[str] | None = None,
) -> Agreement:
    """Agreement of the judges on one arm's steps, intervals by resampling questions.

    Args:
        labels: one column per judge, one row per step [steps, judges]; a missing value where the
            judge gave none. Any hashable labels, compared as strings.
        questions: the question of each step [steps].
        draws: bootstrap replicates.
        seed: of the resampling; the same for all coefficients, so replicates are paired.
        level: coverage that is aimed at.
        categories: all labels that could have been given, for AC1, whose chance depends on their
            number; by default those that occur (at least two are assumed).

    Raises:
        AnalysisError: fewer than two judges, two of one name, lengths that differ, a step without
            a question, or a label outside `categories`.
        UsageError: draws below 1, or fewer than two categories given.
    """
    codes, names = _codes(labels, categories)
    owner = _owner(questions, len(codes))
    width = max(len(names), 1)
    judges = [str(name) for name in labels.columns]
    duos = list(itertools.combinations(range(len(judges)), 2))
    columns = np.column_stack(
        [_panel_terms(codes, width), *(_pair_terms(codes, i, j, width) for i, j in duos)]
    )
    n_questions = int(owner.max()) + 1 if len(owner) else 0
    by_question = np.zeros((n_questions, columns.shape[1]))
    np.add.at(by_question, owner, columns)
    point = by_question.sum(axis=0, keepdims=True)
    replicates = (
        resampled_sums(by_question, draws, seed) if n_questions else np.zeros((draws, columns.shape[1]))
    )
    first = width + 3
    pairs = []
    for number, (i, j) in enumerate(duos):
        part = slice(first + number * width**2, first + (number + 1) * width**2)
        pairs.append(
            _pair((judges[i], judges[j]), point[:, part], replicates[:, part], by_question[:, part], level)
        )
    shares = point[0, 3:first] / point[0, 2] if point[0, 2] else np.zeros(width)
    asked = int((by_question[:, 1] > 0).sum())
    three = _intervals(
        _panel(point[:, :first]), _panel(replicates[:, :first]), asked, bool(point[0, 1]), level
    )
    return Agreement(
        *three,
        pairs=tuple(pairs),
        shares={name: float(shares[c]) for c, name in enumerate(names)},
        n_steps=round(point[0, 1]),
        n_rated=round(point[0, 2]),
        n_ratings={name: int(n) for name, n in zip(judges, (codes >= 0).sum(axis=0), strict=True)},
        draws=draws,
        seed=seed,
    )


def weighted_agreement(
    labels: pd.DataFrame,
    weights: npt.ArrayLike,
    questions: npt.ArrayLike,
    *,
    draws: int = 10_000,
    seed: int = 0,
    level: float = LEVEL,
    categories: Sequence[str] | None = None,
) -> PairAgreement:
    """Agreement of two judges, each step counting its weight; intervals by resampling questions.

    Args:
        labels: one column per judge [steps, 2]; a missing value where the judge gave none.
        weights: how many steps each stands for [steps].
        questions: the question of each step [steps].
        draws: bootstrap replicates.
        seed: of the resampling.
        level: coverage that is aimed at.
        categories: all labels that could have been given; by default those that occur.

    Returns:
        The coefficients of the weighted table of the two; `n_steps` counts steps, not weights.

    Raises:
        AnalysisError: not two judges, two of one name, lengths that differ, a step without a question,
            or a label outside `categories`.
        UsageError: draws below 1, or fewer than two categories given.
    """
    codes, names = _codes(labels, categories)
    first, second = map(str, labels.columns)
    owner = _owner(questions, len(codes))
    width = max(len(names), 1)
    tables = np.zeros((max(owner, default=0) + 1, width**2))  # resampling needs a row, if one of zeros
    cells = _pair_terms(codes, 0, 1, width) * np.asarray(weights, dtype=np.float64)[:, None]
    np.add.at(tables, owner, cells)
    point = tables.sum(axis=0, keepdims=True)
    found = _pair((first, second), point, resampled_sums(tables, draws, seed), tables, level)
    return replace(found, n_steps=int((codes >= 0).all(axis=1).sum()))


def _owner(questions: npt.ArrayLike, n_steps: int) -> Ints:
    """The question's number of each step [steps]."""
    owner = pd.factorize(pd.Series(np.asarray(questions)), sort=True)[0].astype(np.int64)
    if owner.shape != (n_steps,):
        raise AnalysisError(f"one question per step is needed: {n_steps} steps, {len(owner)} questions")
    if (owner < 0).any():
        raise AnalysisError(f"the step at row {int(np.flatnonzero(owner < 0)[0])} has no question")
    return owner


def _codes(labels: pd.DataFrame, categories: Sequence[str] | None) -> tuple[Ints, list[str]]:
    """Category numbers [steps, judges], -1 where missing, and the names of the categories."""
    if labels.shape[1] < 2 or labels.columns.has_duplicates:
        raise AnalysisError(
            f"labels of at least two judges with different names are needed, not {list(labels.columns)}"
        )
    given = labels.astype(object)
    words = given.where(given.isna(), given.astype(str))
    seen = sorted({str(value) for column in words for value in words[column].dropna().unique()})
    names = seen if categories is None else list(categories)
    if categories is not None and len(set(names)) < 2:
        raise UsageError(f"at least two different categories are needed, not {names}")
    unknown = [name for name in seen if name not in names]
    if unknown:
        raise AnalysisError(f"the label {unknown[0]!r} is none of the categories {names}")
    codes = np.column_stack([pd.Categorical(words[column], categories=names).codes for column in words])
    return codes.astype(np.int64), names


def _panel_terms(codes: Ints, width: int) -> Floats:
    """Per step: its agreement, whether it has two ratings, whether one, and its label shares."""
    tally = (codes[:, :, None] == np.arange(width)).sum(axis=1)
    ratings = tally.sum(axis=1)
    several = ratings >= 2
    agreeing = (tally * (tally - 1)).sum(axis=1) / np.maximum(ratings * (ratings - 1), 1)
    shares = tally / np.maximum(ratings, 1)[:, None]
    return np.column_stack([agreeing * several, several, ratings >= 1, shares])


def _pair_terms(codes: Ints, i: int, j: int, width: int) -> Floats:
    """Per step: the cell of the two judges' table that it falls in [steps, width ** 2]."""
    both = (codes[:, i] >= 0) & (codes[:, j] >= 0)
    cell = np.zeros((len(codes), width**2))
    cell[both, codes[both, i] * width + codes[both, j]] = 1.0
    return cell


def _panel(sums: Floats) -> tuple[Floats, Floats, Floats]:
    """Raw agreement, Fleiss' kappa and AC1 of each row of sums; NaN where undefined."""
    raw = _ratio(sums[:, 0], sums[:, 1])
    shares = _ratio(sums[:, 3:], sums[:, 2:3])
    return raw, _beyond(raw, (shares**2).sum(axis=1)), _beyond(raw, _ac1_chance(shares))


def _pair_coefficients(sums: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Raw agreement, Cohen's kappa, AC1 and the largest kappa of each row of sums."""
    width = round(np.sqrt(sums.shape[1]))
    table = _ratio(sums, sums.sum(axis=1, keepdims=True)).reshape(-1, width, width)
    raw = np.trace(table, axis1=1, axis2=2)
    rows, columns = table.sum(axis=2), table.sum(axis=1)
    chance = (rows * columns).sum(axis=1)
    most = np.minimum(rows, columns).sum(axis=1)
    return raw, _beyond(raw, chance), _beyond(raw, _ac1_chance((rows + columns) / 2)), _beyond(most, chance)


def _pair(
    judges: tuple[str, str], point: Floats, replicates: Floats, by_question: Floats, level: float
) -> PairAgreement:
    n_steps = round(point.sum())
    asked = int((by_question.sum(axis=1) > 0).sum())
    *estimates, most = _pair_coefficients(point)
    *drawn, _ = _pair_coefficients(replicates)
    three = _intervals(estimates, drawn, asked, bool(point.sum() > 0), level)
    return PairAgreement(judges, *three, None if np.isnan(most[0]) else float(most[0]), n_steps)


def _intervals(
    estimates: Sequence[Floats], replicates: Sequence[Floats], n: int, rated: bool, level: float
) -> tuple[Interval, Interval, Interval]:
    reason = _CONSTANT if rated else _NO_PAIRS
    raw, kappa, ac1 = (
        percentile_interval(
            None if np.isnan(value[0]) else float(value[0]), drawn, n, reason=reason, level=level
        )
        for value, drawn in zip(estimates, replicates, strict=True)
    )
    return raw, kappa, ac1


def _ac1_chance(shares: Floats) -> Floats:
    return (shares * (1 - shares)).sum(axis=1) / max(shares.shape[1] - 1, 1)


def _beyond(observed: Floats, chance: Floats) -> Floats:
    """(p_o - p_e) / (1 - p_e); NaN where chance agrees always (up to rounding)."""
    left = 1 - chance
    return _ratio(observed - chance, np.where(left > 1e-12, left, 0.0))


def _ratio(num: Floats, den: Floats) -> Floats:
    shape = np.broadcast_shapes(num.shape, den.shape)
    return np.divide(num, den, out=np.full(shape, np.nan), where=np.broadcast_to(den, shape) > 0)
