"""What the coefficients of agreement are made of: sums over steps, and each coefficient from such sums."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mechcot.stats.cluster import Floats, Ints


def panel_terms(codes: Ints, width: int, weights: Floats | None = None) -> Floats:
    """Per step: its agreement, whether it has two ratings, whether one, and its label shares.

    Args:
        codes: category numbers [steps, judges], -1 where missing.
        width: categories.
        weights: how far two categories agree [width, width]; None: only equal ones do.
    """
    tally = _tally(codes, width)
    ratings = tally.sum(axis=1)
    several = ratings >= 2
    near = tally if weights is None else tally @ weights
    agreeing = (tally * (near - 1)).sum(axis=1) / np.maximum(ratings * (ratings - 1), 1)
    shares = tally / np.maximum(ratings, 1)[:, None]
    return np.column_stack([agreeing * several, several, ratings >= 1, shares])


def pair_cells(codes: Ints, i: int, j: int, width: int) -> Floats:
    """Per step: the cell of two judges' table that it falls in [steps, width ** 2]."""
    both = (codes[:, i] >= 0) & (codes[:, j] >= 0)
    cell = np.zeros((len(codes), width**2))
    cell[both, codes[both, i] * width + codes[both, j]] = 1.0
    return cell


def coincidences(codes: Ints, width: int) -> Floats:
    """Per step: Krippendorff's coincidences, n_c (n_k - [c = k]) / (n - 1) [steps, width ** 2].

    A step with n ratings has n of them; one with fewer than two has none.
    """
    tally = _tally(codes, width).astype(np.float64)
    ratings = tally.sum(axis=1)
    pairs = tally[:, :, None] * tally[:, None, :] - tally[:, :, None] * np.eye(width)
    pairs *= (ratings >= 2)[:, None, None]
    return np.asarray((pairs / np.maximum(ratings - 1, 1)[:, None, None]).reshape(len(codes), width**2))


def panel_coefficients(sums: Floats) -> tuple[Floats, Floats, Floats]:
    """Raw agreement, Fleiss' kappa and AC1 of each row of sums of `panel_terms`; NaN where undefined."""
    raw = _ratio(sums[:, 0], sums[:, 1])
    shares = _ratio(sums[:, 3:], sums[:, 2:3])
    return raw, _beyond(raw, (shares**2).sum(axis=1)), _beyond(raw, _gwet_chance(shares))


def gwet(sums: Floats, weights: Floats) -> Floats:
    """AC2 of each row of sums of `panel_terms` with the same weights; AC1 with the identity."""
    shares = _ratio(sums[:, 3:], sums[:, 2:3])
    part = float(weights.sum()) / len(weights)
    return _beyond(_ratio(sums[:, 0], sums[:, 1]), part * _gwet_chance(shares))


def ordinal_weights(width: int) -> Floats:
    """Gwet's (2014) ordinal weights, 1 - C(|c - k| + 1, 2) / C(width, 2) [width, width]."""
    apart = np.abs(np.subtract.outer(np.arange(width), np.arange(width)))
    return np.asarray(1 - apart * (apart + 1) / max(width * (width - 1), 1), dtype=np.float64)


def ordinal_distance(totals: Floats) -> Floats:
    """Krippendorff's ordinal distance of categories: ratings [rows, width] to [rows, width, width].

    (sum of the ratings from c to k, those of c and k themselves by half)^2.
    """
    middle = np.cumsum(totals, axis=1) - totals / 2
    return np.asarray((middle[:, :, None] - middle[:, None, :]) ** 2)


def alpha(sums: Floats, distance: Floats | Callable[[Floats], Floats]) -> Floats:
    """Krippendorff's alpha of each row of sums of `coincidences`: 1 - observed / expected disagreement.

    Args:
        sums: [rows, width ** 2].
        distance: of categories [width, width], or made of each row's ratings (`ordinal_distance`).
    """
    width = round(np.sqrt(sums.shape[1]))
    table = sums.reshape(-1, width, width)
    totals = table.sum(axis=2)
    n = totals.sum(axis=1)
    apart = distance(totals) if callable(distance) else distance[None]
    observed = (table * apart).sum(axis=(1, 2))
    expected = (totals[:, :, None] * totals[:, None, :] * apart).sum(axis=(1, 2))
    return 1 - _ratio(observed * (n - 1), expected)


def pair_coefficients(sums: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Raw agreement, Cohen's kappa, AC1 and the largest kappa of each row of sums of `pair_cells`."""
    width = round(np.sqrt(sums.shape[1]))
    table = _ratio(sums, sums.sum(axis=1, keepdims=True)).reshape(-1, width, width)
    raw = np.trace(table, axis1=1, axis2=2)
    rows, columns = table.sum(axis=2), table.sum(axis=1)
    chance = (rows * columns).sum(axis=1)
    most = np.minimum(rows, columns).sum(axis=1)
    return raw, _beyond(raw, chance), _beyond(raw, _gwet_chance((rows + columns) / 2)), _beyond(most, chance)


def _tally(codes: Ints, width: int) -> Ints:
    """Ratings of each step for each category [steps, width]."""
    return (codes[:, :, None] == np.arange(width)).sum(axis=1)


def _gwet_chance(shares: Floats) -> Floats:
    return (shares * (1 - shares)).sum(axis=1) / max(shares.shape[1] - 1, 1)


def _beyond(observed: Floats, chance: Floats) -> Floats:
    """(p_o - p_e) / (1 - p_e); NaN where chance agrees always (up to rounding)."""
    left = 1 - chance
    return _ratio(observed - chance, np.where(left > 1e-12, left, 0.0))


def _ratio(num: Floats, den: Floats) -> Floats:
    shape = np.broadcast_shapes(num.shape, den.shape)
    return np.divide(num, den, out=np.full(shape, np.nan), where=np.broadcast_to(den, shape) > 0)
