"""Intervals by leaving out one question at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mechcot.core.results import Interval
from mechcot.stats.cluster import LEVEL

NO_PAIRS = "no pair of one erroneous and one correct step to compare"


def jackknife_interval(
    estimate: float | None, without: npt.ArrayLike, *, logit: bool, unit: str, level: float = LEVEL
) -> Interval:
    """The interval of an AUROC, or of a difference of two, by leaving out one cluster at a time.

    The standard error is the delete-one jackknife's (Efron & Stein 1981), which for few clusters is rather
    too wide than too narrow; Student's t has one degree of freedom less than there are clusters. An AUROC
    is skewed near its ends: its interval is that of its log odds (Pepe 2003, section 5.2.4), and one of
    exactly 0 or 1 has no width. A difference is taken as it is. What it covers, `scripts/coverage_probe.py`
    measures.

    Args:
        estimate: on all clusters; None where it is not defined.
        without: without each cluster, [clusters].
        logit: on the log odds scale.
        unit: what a cluster is, for the method line.
        level: coverage that is aimed at.
    """
    values = np.asarray(without, dtype=np.float64)
    n, scale = len(values), ", log odds" if logit else ""
    method = f"jackknife of {unit}{scale}, Student's t, level {level:g}"
    if estimate is None:
        return Interval(None, None, None, n, method, NO_PAIRS)
    if n < 2 or np.isnan(values).any():
        return Interval(estimate, None, None, n, method, f"all pairs are of one of the {unit}")
    error = standard_error(values)
    from scipy.special import expit, stdtrit
    from scipy.special import logit as log_odds

    reach = float(stdtrit(n - 1, (1 + level) / 2)) * error
    if not logit:
        return Interval(estimate, estimate - reach, estimate + reach, n, method)
    if error == 0 or not 0 < estimate < 1:
        return Interval(estimate, estimate, estimate, n, method)
    centre, reach = float(log_odds(estimate)), reach / (estimate * (1 - estimate))
    return Interval(estimate, float(expit(centre - reach)), float(expit(centre + reach)), n, method)


def standard_error(without: npt.ArrayLike) -> float:
    """The delete-one jackknife's standard error, from the estimates without each cluster [clusters]."""
    values = np.asarray(without, dtype=np.float64)
    n = len(values)
    return float(np.sqrt((n - 1) / n * ((values - values.mean()) ** 2).sum()))
