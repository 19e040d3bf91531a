"""Two yes-or-no things of the same traces, as a table of four counts: how they go together.

The cells stand in this order: first and second, first and not second, not first and second, neither. Each
function takes sums over clusters, a row a resample, and gives a value a row, NaN where there is none.
"""

from __future__ import annotations

import numpy as np

from mechcot.stats.cluster import Floats, safe_ratio


def gap(cells: Floats) -> Floats:
    """P(second | first) - P(second | not first) [rows], of cells [rows, 4]."""
    a, b, c, d = cells[:, :4].T
    return np.asarray(safe_ratio(a, a + b) - safe_ratio(c, c + d))


def phi(cells: Floats) -> Floats:
    """Correlation of both [rows], -1 to 1, of cells [rows, 4]."""
    a, b, c, d = cells[:, :4].T
    return safe_ratio(a * d - b * c, np.sqrt((a + b) * (c + d) * (a + c) * (b + d)))


def log_odds_ratio(cells: Floats) -> Floats:
    """Log odds ratio [rows], half a count added to every cell (Haldane 1956), of cells [rows, 4]."""
    a, b, c, d = cells[:, :4].T + 0.5
    margins = np.stack([a + b, c + d, a + c, b + d]).min(axis=0)
    return np.where(margins > 1, np.log(a * d / (b * c)), np.nan)


def log_mantel_haenszel(cells: Floats) -> Floats:
    """Log of the odds ratio common to strata [rows] (Mantel and Haenszel 1959), of cells [rows, 4 x strata].

    A stratum in which one of both never differs says nothing and weighs nothing.
    """
    a, b, c, d = np.moveaxis(cells.reshape(len(cells), cells.shape[1] // 4, 4), 2, 0)
    n = np.maximum(a + b + c + d, 1e-300)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log((a * d / n).sum(axis=1)) - np.log((b * c / n).sum(axis=1))
    return np.where(np.isfinite(found), found, np.nan)
