"""Directions of two classes in three forms: difference of means, mass-mean, logistic; all in float64.

Each is taken within kinds, and its length is the distance between the two means along it, so that one unit of
any of them moves a state as far along itself as the classes lie apart there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from mechcot.stats.directions import difference_of_means

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

PENALTY = 0.1
"""Inverse strength of the logistic penalty on standardised activations."""


def means(X: FloatArray, labels: BoolArray, kinds: IntArray) -> FloatArray:
    """The difference of means, [d_model]: the mean over kinds of (mean where true - mean where false).

    Args:
        X: [claims, d_model].
        labels: [claims].
        kinds: [claims].
    """
    found: FloatArray = difference_of_means(X, labels[None, :], kinds)[0]
    return found


def mass_mean(X: FloatArray, labels: BoolArray, kinds: IntArray) -> FloatArray:
    """The difference of means through the inverse covariance within classes, shrunk (Marks and Tegmark 2023).

    The covariance is that of claims around the mean of their class and kind, shrunk towards a multiple of the
    identity by the share of Ledoit and Wolf (2004): with few claims its inverse would be noise.
    """
    gap = means(X, labels, kinds)
    around = _within(X, labels, kinds)
    return _as_far(_shrunk_inverse(around, gap), gap)


def logistic(X: FloatArray, labels: BoolArray, kinds: IntArray) -> FloatArray:
    """The coefficients of a penalised logistic regression, kinds with intercepts of their own.

    Activations are centred within kinds and standardised; the coefficients are those of the raw activations.
    """
    from sklearn.linear_model import LogisticRegression

    centred = _centred(X, kinds)
    spread = centred.std(axis=0)
    spread[spread < 1e-12] = np.inf  # what never differs weighs nothing
    levels = (kinds[:, None] == np.unique(kinds)[None, :]).astype(np.float64)
    fit = LogisticRegression(C=PENALTY, max_iter=2000).fit(np.hstack([centred / spread, levels]), labels)
    weights: FloatArray = fit.coef_[0][: X.shape[1]] / spread
    return _as_far(weights, means(X, labels, kinds))


FORMS: Mapping[str, Callable[[FloatArray, BoolArray, IntArray], FloatArray]] = {
    "means": means,
    "mass-mean": mass_mean,
    "logistic": logistic,
}
"""Every form of a direction by its name; the first is what is used unless another is asked for."""


def _within(X: FloatArray, labels: BoolArray, kinds: IntArray) -> FloatArray:
    """Claims around the mean of their class and kind, of kinds with both classes, [claims, d_model]."""
    parts = []
    for kind in np.unique(kinds):
        rows = kinds == kind
        if labels[rows].any() and not labels[rows].all():
            classes = (X[rows & (labels == side)] for side in (True, False))
            parts += [own - own.mean(axis=0) for own in classes]
    return np.concatenate(parts) if parts else X[:0]


def _centred(X: FloatArray, kinds: IntArray) -> FloatArray:
    found = X.copy()
    for kind in np.unique(kinds):
        found[kinds == kind] -= X[kinds == kind].mean(axis=0)
    return found


def _shrunk_inverse(around: FloatArray, gap: FloatArray) -> FloatArray:
    """The inverse of the shrunk covariance of some centred rows, times a vector, [d_model]."""
    from sklearn.covariance import ledoit_wolf

    if not np.any(around):
        return gap
    covariance, _ = ledoit_wolf(around, assume_centered=True)
    found: FloatArray = np.linalg.lstsq(covariance, gap, rcond=None)[0]
    return found


def _as_far(vector: FloatArray, gap: FloatArray) -> FloatArray:
    """A vector with the length of the gap between the means along it; it points the way of the gap."""
    length = float(np.linalg.norm(vector))
    if length == 0:
        return np.zeros_like(gap)
    unit = vector / length
    found: FloatArray = unit * float(unit @ gap)
    return found
