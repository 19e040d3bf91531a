"""An interval for a mean over training seeds: other questions, and other seeds.

Questions and seeds are crossed: every student answers every question. With a component of the question, one
of the seed and one of both, the mean over seeds varies by

    V = V_questions + (V_seeds - V_both),

V_questions the jackknife's of the mean, V_seeds the seeds' own variance over their number, both of which hold
the component of both once (Cameron, Gelbach and Miller 2011, two ways of clustering). Each part has its own
Student's t: reach^2 = t_q^2 V_questions + t_s^2 (V_seeds - V_both), t_s with one degree of freedom less than
there are seeds. Satterthwaite's degrees of freedom cover less (.92) where three seeds are nearly all of V.
What this covers, `scripts/coverage_intervals.py` measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mechcot.core.errors import AnalysisError
from mechcot.core.results import Interval, Result, because
from mechcot.stats.cluster import LEVEL, Floats
from mechcot.stats.jackknife import FEW, degrees_of_freedom, standard_error

SEEDS = 3
"""Training seeds below which their spread is not put into an interval."""


@dataclass(frozen=True)
class OverSeeds(Result):
    """A change from before to after, each of several training seeds alone and in the mean.

    Attributes:
        mean: of the seeds, with an interval for other questions and other seeds.
        sd: standard deviation of the seeds' changes, with what the questions make of it.
        smallest: change of a seed.
        largest: change of a seed.
        seeds: how many there are.
    """

    mean: Interval
    sd: float | None = field(metadata=because("one training seed"))
    smallest: float | None = field(metadata=because("a seed's change is not defined"))
    largest: float | None = field(metadata=because("a seed's change is not defined"))
    seeds: int


def over_seeds(
    estimates: Sequence[float | None],
    without: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    *,
    level: float = LEVEL,
) -> OverSeeds:
    """Put the changes of several training seeds together.

    Args:
        estimates: the change of each seed [seeds].
        without: the same without each question [questions, seeds].
        weight: of each question in the estimate [questions]; None: all weigh the same.
        level: coverage that is aimed at.

    Raises:
        AnalysisError: shapes differ.
    """
    left = np.asarray(without, dtype=np.float64)
    n_seeds = len(estimates)
    if left.ndim != 2 or left.shape[1] != n_seeds:
        raise AnalysisError(f"without: [questions, {n_seeds} seeds] are needed, the shape is {left.shape}")
    n = len(left)
    method = f"jackknife of questions and the spread of {n_seeds} seeds, Student's t, level {level:g}"
    known = [one for one in estimates if one is not None]
    if len(known) < n_seeds or not known:
        reason = f"the change of {n_seeds - len(known)} of {n_seeds} seeds is not defined"
        return OverSeeds(Interval(None, None, None, n, method, reason), None, None, None, n_seeds)
    mean, sd = float(np.mean(known)), float(np.std(known, ddof=1)) if n_seeds > 1 else None
    ends = (min(known), max(known))
    reason = ""
    if n_seeds < SEEDS:
        reason = f"{n_seeds} seeds are too few to say how seeds spread"
    elif n < FEW:
        reason = f"{n} questions are too few for one that covers"
    elif not np.isfinite(left).all():
        reason = "all of it is of one of the questions"
    if reason:
        return OverSeeds(Interval(mean, None, None, n, method, reason), sd, *ends, n_seeds)
    wide = float(reach(np.array([known]), left[None], weight, level)[0])
    if wide <= 1e-12:
        return OverSeeds(Interval(mean, None, None, n, method, "all seeds agree"), sd, *ends, n_seeds)
    return OverSeeds(Interval(mean, mean - wide, mean + wide, n, method), sd, *ends, n_seeds)


def reach(
    estimates: Floats, without: Floats, weight: npt.ArrayLike | None = None, level: float = LEVEL
) -> Floats:
    """Half the interval of the mean over seeds, [runs].

    Args:
        estimates: [runs, seeds].
        without: without each question, [runs, questions, seeds].
        weight: of each question [questions]; None: all weigh the same.
        level: coverage that is aimed at.
    """
    from scipy.special import stdtrit

    n_seeds, n = estimates.shape[1], without.shape[1]
    mean = without.mean(axis=2)
    by_questions = standard_error(mean) ** 2
    apart = standard_error(np.moveaxis(without - mean[:, :, None], 2, 1)) ** 2
    both = apart.sum(axis=1) / (n_seeds * (n_seeds - 1))
    by_seeds = np.maximum(estimates.var(axis=1, ddof=1) / n_seeds - both, 0.0)
    own = degrees_of_freedom(np.ones(n) if weight is None else weight)
    quantiles = stdtrit(np.array([float(own), n_seeds - 1]), (1 + level) / 2)
    return np.asarray(np.sqrt(quantiles[0] ** 2 * by_questions + quantiles[1] ** 2 * by_seeds))
