"""How far judges agree: raw agreement, Cohen's and Fleiss' kappa, Gwet's AC1 and AC2, Krippendorff's alpha.

With p_o the share of agreement and p_e the share expected by chance, each coefficient is
(p_o - p_e) / (1 - p_e); they differ in chance:

- Cohen (1960), two judges: p_e = sum_c p_c. p_.c, each judge's own shares.
- Fleiss (1971), any number: p_e = sum_c pi_c^2, the shares pooled over judges.
- Gwet AC1 (2008): p_e = sum_c pi_c (1 - pi_c) / (categories - 1).
- Krippendorff (2011): p_e from the ratings put together at random, without putting one beside itself; steps
  weigh by their ratings, and one that a single judge rated counts for nothing.

For several judges p_o is the mean over steps with at least two ratings of
sum_c r_ic (r_ic - 1) / (r_i (r_i - 1)), and pi_c the mean over rated steps of r_ic / r_i, with
r_ic the ratings of step i for category c and r_i its ratings (Gwet 2014, ratings may be missing).

Where categories have an order, alpha takes Krippendorff's ordinal distance, and AC2 is AC1 with part of the
agreement for neighbours (Gwet 2014, ordinal weights 1 - C(|c - k| + 1, 2) / C(categories, 2)).

Kappa falls when one category is rare, at the same agreement. Two arms whose error rates differ
have kappas that do not compare; raw agreement and AC1 stand beside for that reason. Alpha does as kappa does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.core.results import OPTIONAL, Interval, Result, cells
from mechcot.stats.agreement_sums import (
    alpha,
    coincidences,
    gwet,
    ordinal_distance,
    ordinal_weights,
    pair_cells,
    pair_coefficients,
    panel_coefficients,
    panel_terms,
)
from mechcot.stats.cluster import LEVEL, Floats, Ints
from mechcot.stats.jackknife import interval_of_sums, rate_interval

NOTE = (
    "kappa and alpha depend on how common each label is: do not compare those of arms, or of studies, whose"
    " error rates differ; compare raw agreement and AC1"
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
class OrdinalAgreement(Result):
    """Agreement of a panel on categories that have an order: near misses count in part.

    Attributes:
        alpha: Krippendorff's, with the ordinal distance.
        ac2: Gwet's, with ordinal weights.
    """

    alpha: Interval
    ac2: Interval


@dataclass(frozen=True)
class Agreement(Result):
    """Agreement of a panel.

    Attributes:
        raw: mean over steps of the share of agreeing pairs of ratings.
        kappa: Fleiss'.
        ac1: Gwet's.
        alpha: Krippendorff's, nominal.
        ordinal: the same where the categories have an order; None without one.
        pairs: the judges two by two.
        shares: label -> share of ratings, each rated step weighing the same.
        n_steps: steps with at least two ratings.
        n_rated: steps with at least one.
        n_ratings: judge -> its ratings.
    """

    raw: Interval
    kappa: Interval
    ac1: Interval
    alpha: Interval
    ordinal: OrdinalAgreement | None = field(metadata=OPTIONAL)
    pairs: tuple[PairAgreement, ...]
    shares: dict[str, float]
    n_steps: int
    n_rated: int
    n_ratings: dict[str, int]

    note: ClassVar[str] = NOTE
    derived = ("note",)
    table = "coefficients"

    @property
    def coefficients(self) -> list[dict[str, Any]]:
        """A row per coefficient: whose it is, which, and its interval."""
        own = {"raw": self.raw, "fleiss kappa": self.kappa, "ac1": self.ac1, "alpha": self.alpha}
        if self.ordinal is not None:
            own |= {"ordinal alpha": self.ordinal.alpha, "ac2": self.ordinal.ac2}
        groups = [("panel", own, self.n_steps)]
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
    categories: Sequence[str] | None = None,
    ordered: bool = False,
    level: float = LEVEL,
) -> Agreement:
    """Agreement of the judges on one arm's steps, intervals by leaving out questions.

    Args:
        labels: one column per judge, one row per step [steps, judges]; a missing value where the
            judge gave none. Any hashable labels, compared as strings.
        questions: the question of each step [steps].
        categories: all labels that could have been given, for AC1, whose chance depends on their
            number; by default those that occur (at least two are assumed).
        ordered: whether `categories` are in an order of their own.
        level: coverage that is aimed at.

    Raises:
        AnalysisError: fewer than two judges, two of one name, lengths that differ, a step without
            a question, or a label outside `categories`.
        UsageError: fewer than two categories given, or an order without categories.
    """
    if ordered and categories is None:
        raise UsageError("an order needs the categories in it: pass categories")
    codes, names = _codes(labels, categories)
    owner = _owner(questions, len(codes))
    width = max(len(names), 1)
    judges = [str(name) for name in labels.columns]
    panel = _by_question(panel_terms(codes, width), owner)
    pairs = [
        _pair((judges[i], judges[j]), _by_question(pair_cells(codes, i, j, width), owner), level)
        for i, j in itertools.combinations(range(len(judges)), 2)
    ]
    sums = panel.sum(axis=0)
    shares = sums[3:] / sums[2] if sums[2] else np.zeros(width)
    rated = panel[panel[:, 2] > 0]
    reason = _CONSTANT if sums[1] else _NO_PAIRS
    kappa, ac1 = (
        _coefficient(rated, partial(_entry, panel_coefficients, i), rated[:, 1], reason, level)
        for i in (1, 2)
    )
    together = _by_question(coincidences(codes, width), owner)
    nominal = partial(alpha, distance=1 - np.eye(width))
    return Agreement(
        raw=_raw(panel[:, 0], panel[:, 1], level),
        kappa=kappa,
        ac1=ac1,
        alpha=_alpha(together, nominal, reason, level),
        ordinal=_ordinal(codes, together, owner, width, reason, level) if ordered else None,
        pairs=tuple(pairs),
        shares={name: float(shares[c]) for c, name in enumerate(names)},
        n_steps=round(sums[1]),
        n_rated=round(sums[2]),
        n_ratings={name: int(n) for name, n in zip(judges, (codes >= 0).sum(axis=0), strict=True)},
    )


def weighted_agreement(
    labels: pd.DataFrame,
    weights: npt.ArrayLike,
    questions: npt.ArrayLike,
    *,
    categories: Sequence[str] | None = None,
    level: float = LEVEL,
) -> PairAgreement:
    """Agreement of two judges, each step counting its weight; intervals by leaving out questions.

    Args:
        labels: one column per judge [steps, 2]; a missing value where the judge gave none.
        weights: how many steps each stands for [steps].
        questions: the question of each step [steps].
        categories: all labels that could have been given; by default those that occur.
        level: coverage that is aimed at.

    Returns:
        The coefficients of the weighted table of the two; `n_steps` counts steps, not weights.

    Raises:
        AnalysisError: not two judges, two of one name, lengths that differ, a step without a question,
            or a label outside `categories`.
        UsageError: fewer than two categories given.
    """
    codes, names = _codes(labels, categories)
    first, second = map(str, labels.columns)
    owner = _owner(questions, len(codes))
    cells = pair_cells(codes, 0, 1, max(len(names), 1)) * np.asarray(weights, dtype=np.float64)[:, None]
    found = _pair((first, second), _by_question(cells, owner), level)
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


def _by_question(terms: Floats, owner: Ints) -> Floats:
    """Sums over the steps of each question [questions, columns]."""
    sums = np.zeros((int(owner.max()) + 1 if len(owner) else 0, terms.shape[1]))
    np.add.at(sums, owner, terms)
    return sums


def _raw(agreeing: Floats, steps: Floats, level: float) -> Interval:
    """The share of agreement: a rate over questions."""
    found = rate_interval(agreeing, steps, level=level)
    return found if found.estimate is not None else replace(found, reason=_NO_PAIRS)


def _entry(coefficients: Callable[[Floats], tuple[Floats, ...]], place: int, sums: Floats) -> Floats:
    return coefficients(sums)[place]


def _coefficient(
    table: Floats, statistic: Callable[[Floats], Floats], weight: Floats, reason: str, level: float
) -> Interval:
    if not weight.any():
        return Interval(None, None, None, 0, "", reason)
    return interval_of_sums(table, statistic, weight=weight, reason=reason, level=level)


def _alpha(together: Floats, statistic: Callable[[Floats], Floats], reason: str, level: float) -> Interval:
    ratings = together.sum(axis=1)
    own = ratings > 0
    return _coefficient(together[own], statistic, ratings[own], reason, level)


def _ordinal(
    codes: Ints, together: Floats, owner: Ints, width: int, reason: str, level: float
) -> OrdinalAgreement:
    weights = ordinal_weights(width)
    table = _by_question(panel_terms(codes, width, weights), owner)
    table = table[table[:, 2] > 0]
    return OrdinalAgreement(
        alpha=_alpha(together, partial(alpha, distance=ordinal_distance), reason, level),
        ac2=_coefficient(table, partial(gwet, weights=weights), table[:, 1], reason, level),
    )


def _pair(judges: tuple[str, str], cells: Floats, level: float) -> PairAgreement:
    """Coefficients of two judges from the cells of their table [questions, width ** 2]."""
    steps = cells.sum(axis=1)
    own = steps > 0
    width = round(np.sqrt(cells.shape[1]))
    agreeing = cells[:, :: width + 1].sum(axis=1)
    reason = _CONSTANT if own.any() else _NO_PAIRS
    kappa, ac1 = (
        _coefficient(cells[own], partial(_entry, pair_coefficients, i), steps[own], reason, level)
        for i in (1, 2)
    )
    most = float(pair_coefficients(cells.sum(axis=0, keepdims=True))[3][0])
    return PairAgreement(
        judges, _raw(agreeing, steps, level), kappa, ac1, None if np.isnan(most) else most, round(steps.sum())
    )
