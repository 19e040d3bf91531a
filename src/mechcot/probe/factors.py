"""One matrix made ready for all the logistic fits on it: centred, scaled, and its curvature bounded.

The Hessian of a logistic loss on X, whatever its labels and whichever rows it leaves out, lies below X'X / 4
(Böhning & Lindsay 1988). What the solver needs of X'X is a preconditioner: the eigenvalues in a basis, or in
a wide matrix the leading ones and one number for the rest. The rest is flat enough in activations, and a
whole eigendecomposition would take longer than the fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mechcot.core.errors import AnalysisError
from mechcot.probe.arrays import Array, functions, normal_start, placed

FloatArray = NDArray[np.float64]

WHOLE = 2048
"""Up to so many rows or columns a matrix is decomposed whole."""

LEADING = 8
"""Of a wider one, one eigenvector in so many is found."""

_PASSES = 1  # of subspace iteration beyond the first; more make no better a preconditioner
_RANK = 1e-12  # eigenvalues of XX' below this share of the largest are rounding
_ROWS = 1024  # rows scaled at a time


@dataclass(frozen=True, eq=False)
class Factor:
    """One matrix, centred and scaled, in coordinates that suit its fits.

    Attributes:
        Z: the rows and, last, a column of ones for the intercept, [rows, width + 1].
        eigenvalues: of Z'Z, column by column; with leading ones the mean of the others, [width + 1].
        leading: leading eigenvectors of Z'Z, [width + 1, k]; none where Z's columns are its eigenvectors.
        peaks: their eigenvalues, [k].
        basis: scaled X is Z @ basis.T, [columns, width]; None where Z's columns are those of X.
        centre: mean of each column of X, [columns].
        scale: one over its standard deviation, 0 for a constant column, [columns].
    """

    Z: Array
    eigenvalues: Array
    leading: Array
    peaks: Array
    basis: Array | None
    centre: FloatArray
    scale: FloatArray


def factor(X: ArrayLike, *, device: str = "auto", dtype: str = "float32") -> Factor:
    """Centre and scale X on all its rows, and find how steep losses on it can be.

    Labels play no part, so held-out rows leak nothing but their mean and spread. A constant column becomes
    exactly 0. Fewer rows than columns are first turned into as many columns as rows, which changes no inner
    product of rows (the dual form). Then a narrow matrix is rotated into its eigenbasis; of a wide one the
    leading eigenvectors are found by subspace iteration from a fixed start (Halko et al. 2011, algorithm
    4.4).

    Args:
        X: [rows, columns].
        device: `cpu`, `cuda`, ... or `auto`.
        dtype: of the rows and of all fits, `float32` or `float64`.

    Raises:
        AnalysisError: X is no matrix, has fewer than 2 rows, or holds NaN or infinite values.
        MissingDependency: the device is one of torch's, which is not installed.
        ModelError: the device cannot be used.
    """
    rows, centre, scale = _scaled(X, dtype)
    whole = placed(rows, device)  # the column of ones included
    xp = functions(whole)
    Z = whole[:, :-1]
    n, columns = Z.shape
    basis, leading, peaks = None, Z[:0, :0], Z[:0, 0]
    if n < columns and n <= WHOLE:
        Z, eigenvalues, basis = _dual(Z)
    elif columns <= WHOLE:
        # the rows are rotated themselves, so rounding in the vectors costs a little speed and no accuracy
        eigenvalues, basis = xp.linalg.eigh(Z.T @ Z)
        Z, eigenvalues = Z @ basis, xp.clip(eigenvalues, 0.0, None)
    else:
        if n < columns:
            basis, triangle = xp.linalg.qr(Z.T)
            Z = triangle.T
        leading, peaks = _leading(Z)
        rest = xp.clip(xp.linalg.norm(Z) ** 2 - peaks.sum(), 0.0, None) / (Z.shape[1] - len(peaks))
        eigenvalues = xp.tile(rest, (Z.shape[1],))
        leading = xp.concat([leading, xp.zeros_like(leading[:1])])
    ones = whole[:, -1:]
    if basis is not None:
        whole = xp.concat([Z, ones], 1)
    eigenvalues = xp.concat([eigenvalues, xp.full_like(ones[0], n)])
    return Factor(whole, eigenvalues, leading, peaks, basis, centre, scale)


def peak_bytes(rows: int, columns: int, *, itemsize: int = 4) -> int:
    """Predict the most memory that `factor` holds at once beside X itself, in bytes."""
    whole, width = rows * columns * itemsize, min(rows, columns)
    if rows < columns and rows <= WHOLE:
        return whole + 8 * (3 * rows * columns + 4 * rows**2)
    if columns <= WHOLE:
        return 3 * whole + 4 * columns**2 * itemsize
    leading = width // LEADING * (4 * width + rows) * itemsize
    return whole + leading + (0 if columns == width else 3 * whole)


def _scaled(X: ArrayLike, dtype: str) -> tuple[NDArray[Any], FloatArray, FloatArray]:
    """Centred and scaled rows in `dtype` and a column of ones; each column's mean and inverse deviation.

    Sums are taken in float64, some rows at a time, so that no float64 copy of the whole is made.
    """
    values = np.asarray(X)
    if values.ndim != 2 or len(values) < 2 or not values.shape[1]:
        raise AnalysisError(f"expected [rows, columns] with at least 2 rows, got {list(values.shape)}")
    parts = [slice(start, start + _ROWS) for start in range(0, len(values), _ROWS)]
    bad = np.flatnonzero(~np.concatenate([np.isfinite(values[part]).all(axis=1) for part in parts]))
    if bad.size:
        raise AnalysisError(
            f"{bad.size} of {len(values)} rows have NaN or infinite values, the first is row {bad[0]}. "
            "Leave those rows out or read them again."
        )
    centre, squares, largest = np.zeros((3, values.shape[1]))
    for part in parts:
        centre += values[part].sum(axis=0, dtype=np.float64) / len(values)
    for part in parts:
        moved = values[part] - centre
        squares += np.einsum("rc,rc->c", moved, moved)
        np.maximum(largest, np.abs(values[part]).max(axis=0), out=largest)
    spread = np.sqrt(squares / len(values))
    constant = spread <= 1e-6 * largest
    scale = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, spread))
    out = np.ones((len(values), values.shape[1] + 1), dtype=dtype)
    for part in parts:
        out[part, :-1] = (values[part] - centre) * scale
    return out, centre, scale


def _dual(Z: Array) -> tuple[Array, ...]:
    """Rows in the eigenbasis of ZZ', [rows, rank], its eigenvalues, and the basis; found in float64."""
    xp = functions(Z)
    wide = xp.asarray(Z, dtype=xp.float64)
    eigenvalues, vectors = xp.linalg.eigh(wide @ wide.T)
    kept = eigenvalues > _RANK * eigenvalues[-1]
    eigenvalues, vectors = eigenvalues[kept], vectors[:, kept]
    basis = wide.T @ (vectors / xp.sqrt(eigenvalues))
    parts = vectors * xp.sqrt(eigenvalues), eigenvalues, basis
    return tuple(xp.asarray(part, dtype=Z.dtype) for part in parts)


def _leading(Z: Array) -> tuple[Array, Array]:
    """Leading eigenvectors of Z'Z, about, [width, k], and their eigenvalues, [k]."""
    xp = functions(Z)
    found = normal_start(Z.shape[1], Z.shape[1] // LEADING, Z)
    for _ in range(1 + _PASSES):
        found = xp.linalg.qr(Z.T @ (Z @ found))[0]
    seen = Z @ found
    peaks, turn = xp.linalg.eigh(seen.T @ seen)
    return found @ turn, xp.clip(peaks, 0.0, None)
