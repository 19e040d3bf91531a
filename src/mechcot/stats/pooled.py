"""One difference out of several judges'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mechcot.core.errors import AnalysisError
from mechcot.core.results import SPREAD, Interval, Result, because
from mechcot.stats.cluster import LEVEL, Floats, columns_of, safe_ratio
from mechcot.stats.jackknife import FEW, interval_of_sums

_NO_SPREAD = "a spread needs two judges that each have a difference, and six questions"


@dataclass(frozen=True)
class PooledDifference(Result):
    """The mean of the judges' differences.

    Attributes:
        difference: of this panel, its interval over questions: another panel is another number.
        spread: standard deviation of the judges' true differences: what they differ by beyond chance, 0 where
            chance alone is enough. A few judges say little of it, so that it has no interval.
        n_judges: judges.
    """

    difference: Interval = field(metadata=SPREAD)
    spread: float | None = field(metadata=because(_NO_SPREAD))
    n_judges: int


def pooled_difference(
    judges: Sequence[tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]],
    *,
    level: float = LEVEL,
) -> PooledDifference:
    """The mean over judges of each one's step-weighted difference, every judge weighing the same.

    All judges saw steps of the same questions, so their differences are no independent studies: a question
    is left out of all of them together, and the covariance V of their differences is the jackknife's. With
    S^2 the sample variance of the differences, the spread is the root of S^2 - (mean of V's diagonal - mean
    of the rest), not below 0: DerSimonian and Laird's (1986) moments, for differences that are correlated.

    Args:
        judges: of each, erroneous and judged steps before, the same after, [questions] each.
        level: coverage that is aimed at.

    Raises:
        AnalysisError: no judge, lengths differ, a value is not finite, a denominator is negative.
    """
    if not judges:
        raise AnalysisError("at least one judge is needed")
    tables = [columns_of(*own) for own in judges]
    if len({len(table) for table in tables}) != 1:
        raise AnalysisError(f"every judge needs the same questions; they have {[len(t) for t in tables]}")
    table = np.stack(tables, axis=1)  # [questions, judges, e0 m0 e1 m1]
    table = table[(table[:, :, [1, 3]] > 0).any(axis=(1, 2))]
    steps = table[:, :, [1, 3]]
    weight = (steps / np.maximum(steps.sum(axis=0), 1e-300)).sum(axis=(1, 2))
    flat = table.reshape(len(table), -1)
    found = interval_of_sums(
        flat,
        lambda sums: differences(sums).mean(axis=1),
        weight=weight,
        reason="a judge has no judged steps in one of the arms",
        level=level,
    )
    return PooledDifference(found, _spread(flat), len(judges))


def differences(sums: Floats) -> Floats:
    """Each judge's difference [rows, judges] from sums [rows, judges x (e0 m0 e1 m1)]; NaN without steps."""
    e0, m0, e1, m1 = np.moveaxis(sums.reshape(len(sums), -1, 4), 2, 0)
    return safe_ratio(e1, m1) - safe_ratio(e0, m0)


def _spread(table: Floats) -> float | None:
    n, judges = len(table), table.shape[1] // 4
    total = table.sum(axis=0)
    own, without = differences(total[None])[0], differences(total - table)
    if judges < 2 or n < FEW or np.isnan(own).any() or np.isnan(without).any():
        return None
    around = without - without.mean(axis=0)
    covariance = (n - 1) / n * around.T @ around
    diagonal = float(np.trace(covariance)) / judges
    rest = (float(covariance.sum()) - diagonal * judges) / (judges * (judges - 1))
    return float(np.sqrt(max(float(own.var(ddof=1)) - (diagonal - rest), 0.0)))
