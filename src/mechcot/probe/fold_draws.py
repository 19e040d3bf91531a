"""How far a probe's numbers move when the same questions are dealt to other folds."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mechcot.core.errors import AnalysisError
from mechcot.core.results import OPTIONAL, Result
from mechcot.probe.cross_fitting import dense
from mechcot.probe.folds import Design, dealt_again
from mechcot.stats import stratified_auroc

DRAWS = 5
"""Deals of the folds, the report's own first."""

_APART = 10_007  # seeds of the deals lie so far apart that none is that of another's inner folds


@dataclass(frozen=True)
class Spread(Result):
    """One number in every deal. A spread and no interval: every deal has the same steps.

    Attributes:
        values: a deal each, the report's own first.
        low: the smallest.
        high: the largest.
    """

    values: tuple[float, ...]
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """The spread of at least one value."""
        return cls(tuple(values), min(values), max(values))


@dataclass(frozen=True)
class FoldDraws(Result):
    """The probe at the place and penalty that most folds chose, on several deals of the folds.

    Attributes:
        auroc: over pairs inside a fold.
        within_position: over those of one step index; None where no deal has such a pair, or no index.
        n_failed: deals in which a fold trains on one class only, left out.
    """

    auroc: Spread
    within_position: Spread | None = field(metadata=OPTIONAL)
    n_failed: int


def fold_draws(X: NDArray[Any], sid: NDArray[Any] | None, plan: Design, C: float) -> FoldDraws | None:
    """Score the probe on `DRAWS` deals of the folds; one factor and one descent serve them all.

    Layer and penalty stay: they were chosen once, with most of these steps in sight, so that what moves
    is the dealing alone. None where no deal trains on both classes.

    Args:
        X: activations at the place that most folds chose, [steps, d_model].
        sid: index of each step in its trace, [steps]; None where it is not known.
        plan: the report's own folds.
        C: the penalty that most folds chose.
    """
    deals = [plan]
    for draw in range(1, DRAWS):
        with suppress(AnalysisError):  # a fold that trains on one class
            deals.append(dealt_again(plan, plan.settings.seed + _APART * draw))
    rows = np.concatenate([np.stack(deal.train) for deal in deals])
    scores = dense(X, plan.y, dtype="float32")(rows, np.full(len(rows), C))
    every = np.arange(len(plan.y))
    found = []
    for deal, part in zip(deals, np.split(scores, len(deals)), strict=True):
        own = part[deal.fold, every]
        found.append([stratified_auroc(own, deal.y, deal.fold, strata).auroc for strata in (None, sid)])
    aurocs, within = ([value for value in column if value is not None] for column in zip(*found, strict=True))
    if not aurocs:
        return None
    inside = Spread.of(within) if within and sid is not None else None
    return FoldDraws(Spread.of(aurocs), inside, DRAWS - len(deals))
