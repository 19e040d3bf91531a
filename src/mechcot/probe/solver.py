"""Many L2-regularised logistic regressions on one matrix, solved together.

Whatever its labels and whichever rows it trains on, a logistic loss on X has its Hessian between
lambda I and X'X/4 + lambda I (Böhning & Lindsay 1988). So the eigenvalues of X'X, found once a layer
(`probe.factor`), give every fold, penalty and label draw its preconditioner: h e_j + lambda along the j-th
eigenvector. The bound has h = 1/4; h here is the mean of p (1 - p) over the problem's rows at its present
fit, which is below it and tighter where fits are confident. All problems descend as matrix products by L-BFGS
(Nocedal & Wright 2006, algorithm 7.4) from there, and leave as soon as their own gradient is small.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mechcot.core.errors import AnalysisError
from mechcot.probe.arrays import Array, functions, like, sigmoid, to_numpy
from mechcot.probe.factors import Factor

FloatArray = NDArray[np.float64]

TOL = 1e-4
MAX_ITER = 300
MEMORY = 10
"""Pairs of steps and gradient changes that L-BFGS remembers."""

BATCH = 256
"""Problems that descend together; more gain no speed and cost memory."""

_SMALL = 1e-5  # squared scores a row below which a problem's size no longer tightens its tolerance
_SLOPE = 0.5  # share of the slope that a step may leave: L-BFGS needs no more exact a search
_SEARCH = 20
_STILL = 2


@dataclass(frozen=True, eq=False)
class Fits:
    """Solved problems, in the order in which they were given.

    Attributes:
        scores: decision value of every row, trained on or not, [problems, rows].
        weights: coefficients of the columns of the factor's Z, the intercept last, [problems, width + 1].
        iterations: gradients computed after the first, [problems].
        gradient_norm: what was compared with the tolerance, see `solve`, [problems].
        converged: whether it got below, [problems].
        factor: the matrix that was fitted.
    """

    scores: NDArray[Any]
    weights: NDArray[Any]
    iterations: NDArray[np.int64]
    gradient_norm: FloatArray
    converged: NDArray[np.bool_]
    factor: Factor

    def coef(self) -> FloatArray:
        """Coefficients in the units of the matrix that was factored, [problems, columns]."""
        basis, weights = self.factor.basis, self.weights[:, :-1]
        if basis is not None:
            weights = to_numpy(like(weights, basis) @ basis.T)
        out: FloatArray = weights.astype(np.float64) * self.factor.scale
        return out

    @property
    def intercept(self) -> FloatArray:
        """Intercepts that go with `coef()`, [problems]."""
        out: FloatArray = self.weights[:, -1] - self.coef() @ self.factor.centre
        return out


def solve(
    factor: Factor,
    labels: ArrayLike,
    rows: ArrayLike | None = None,
    C: ArrayLike = 1.0,
    *,
    tol: float = TOL,
    max_iter: int = MAX_ITER,
) -> Fits:
    """Fit one logistic regression a problem: sum of losses plus |coef|² / (2 C) on the scaled columns.

    This is scikit-learn's C. The intercept is not penalised. A problem is done when
    sqrt(g' P g) <= tol * sqrt(w' P^-1 w + a little), g its gradient, w its coefficients and P its
    preconditioner: about the share of its scores that is still wrong; or when two steps in a row have moved
    no score by more than rounding. Results depend on the number of threads by rounding alone.

    Args:
        factor: the matrix.
        labels: 0 or 1, [problems, rows], or [rows] for all problems alike.
        rows: the rows a problem trains on, bool or weights from 0, [problems, rows] or [rows]; None for all.
        C: inverse penalties, [problems] or one for all.
        tol: tolerance.
        max_iter: most iterations of a problem.

    Raises:
        AnalysisError: shapes do not fit, a label is not 0 or 1, a weight or C is out of range, or a
            problem trains on one class only; the problem is named.
    """
    truth, weight, inverse = _checked(len(factor.Z), labels, rows, C)
    problems = len(inverse)
    kind = np.empty(0, dtype=str(factor.Z.dtype).removeprefix("torch.")).dtype
    fits = Fits(
        scores=np.empty((problems, len(factor.Z)), dtype=kind),
        weights=np.empty((problems, factor.Z.shape[1]), dtype=kind),
        iterations=np.zeros(problems, dtype=np.int64),
        gradient_norm=np.full(problems, np.inf),
        converged=np.zeros(problems, dtype=np.bool_),
        factor=factor,
    )
    order = np.argsort(inverse, kind="stable")  # equal penalties take about equally many iterations
    for start in range(0, problems, BATCH):
        part = order[start : start + BATCH]
        with np.errstate(all="ignore"):  # as torch: what overflows or is divided by 0 is then left out
            _descend(_started(factor, truth, weight, inverse, part), fits, tol, max_iter)
    return fits


def peak_bytes(rows: int, width: int, problems: int, *, itemsize: int = 4) -> int:
    """Predict the most memory that `solve` holds at once beside the factor, in bytes."""
    batch = min(problems, BATCH)
    working = batch * (12 * rows + (2 * MEMORY + 12) * width)
    return itemsize * (working + problems * (rows + width))


def _checked(
    n: int, labels: ArrayLike, rows: ArrayLike | None, C: ArrayLike
) -> tuple[NDArray[Any], NDArray[Any], FloatArray]:
    """Labels [problems, n], weights [problems, n] and C [problems], broadcast without copies."""
    truth, inverse = np.asarray(labels), np.asarray(C, dtype=np.float64)
    weight = np.ones(n, dtype=np.bool_) if rows is None else np.asarray(rows)
    for name, values in (("labels", truth), ("rows", weight)):
        if values.ndim not in (1, 2) or values.shape[-1] != n:
            raise AnalysisError(f"{name}: expected [problems, {n}] or [{n}], got {list(values.shape)}")
    counts = {len(values) for values in (truth, weight) if values.ndim == 2} | set(inverse.shape)
    if inverse.ndim > 1 or len(counts - {1}) > 1:
        raise AnalysisError(f"labels, rows and C are for different numbers of problems: {sorted(counts)}")
    problems = max(counts, default=1)
    if not ((truth == 0) | (truth == 1)).all():
        raise AnalysisError("labels must be 0 or 1")
    if not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise AnalysisError("rows must be bool, or finite weights that are not negative")
    if not (np.isfinite(inverse).all() and (inverse > 0).all()):
        raise AnalysisError(f"C must be finite and above 0, got {inverse.min()}")
    truth, weight = (np.broadcast_to(values, (problems, n)) for values in (truth, weight))
    for index in range(problems):
        found = truth[index][weight[index] > 0]
        if not len(found) or found.min() == found.max():
            raise AnalysisError(
                f"problem {index}: its {len(found)} training rows hold {int(found.sum())} labelled 1; "
                "both classes are needed"
            )
    return truth, weight, np.broadcast_to(inverse, (problems,))


@dataclass(frozen=True, eq=False)
class _Bound:
    """A bound of each problem's curvature: a diagonal, and more along the leading eigenvectors."""

    leading: Array  # [width + 1, k]
    flat: Array  # the diagonal, [active, width + 1]
    steep: Array  # along a leading eigenvector, [active, k]; the diagonal is there all one number

    def inverse(self, vectors: Array) -> Array:
        """Its inverse times a vector a problem, [active, width + 1]."""
        out = vectors / self.flat
        if self.leading.shape[1]:
            out += (vectors @ self.leading * (1 / self.steep - 1 / self.flat[:, :1])) @ self.leading.T
        return out

    def size(self, vectors: Array) -> Array:
        """The bound between a vector and itself, the intercept left out, [active]."""
        out = (vectors[:, :-1] ** 2 * self.flat[:, :-1]).sum(1)
        if self.leading.shape[1]:
            out += ((vectors @ self.leading) ** 2 * (self.steep - self.flat[:, :1])).sum(1)
        return out


@dataclass(eq=False)
class _Batch:
    """The problems still descending; the first axis of every tensor is the problem."""

    factor: Factor  # shared
    index: NDArray[np.int64]  # place in `Fits`
    y: Array  # [active, rows]
    weight: Array  # [active, rows]
    penalty: Array  # [active, width + 1], 0 for the intercept
    w: Array  # [active, width + 1]
    scores: Array  # Z w, [active, rows]
    gradient: Array  # [active, width + 1]
    height: Array  # mean of p (1 - p), [active, 1]
    still: Array  # how many of the last steps moved no score by more than rounding, [active]
    steps: list[Array]  # of L-BFGS, [active, width + 1] each
    changes: list[Array]  # of the gradient over these steps

    def take(self, kept: Array) -> None:
        """Drop the problems that are not kept."""
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, list):
                setattr(self, item.name, [part[kept] for part in value])
            elif item.name == "index":
                self.index = value[to_numpy(kept)]
            elif item.name != "factor":
                setattr(self, item.name, value[kept])

    def refresh(self, p: Array) -> Array:
        """Renew the height of the bound at probabilities p and return the gradient there."""
        mean = (p * (1 - p) * self.weight).sum(axis=1, keepdims=True) / len(self.factor.Z)
        floor = 1e-6 if p.dtype.itemsize == 4 else 1e-12  # p may round to 0 or 1 on every row
        self.height = functions(mean).clip(mean, floor, None)
        residual = p - self.y
        residual *= self.weight
        return residual @ self.factor.Z + self.penalty * self.w

    def bound(self) -> _Bound:
        """The bound at the present height."""
        # the intercept's column has the eigenvalue n and no penalty: its entry is the sum of p (1 - p)
        flat = self.height * self.factor.eigenvalues + self.penalty
        return _Bound(self.factor.leading, flat, self.height * self.factor.peaks + self.penalty[:, :1])


def _started(
    factor: Factor, truth: NDArray[Any], weight: NDArray[Any], C: FloatArray, part: NDArray[np.int64]
) -> _Batch:
    """The problems of one batch at coefficients 0 and the log odds of their labels."""
    Z = factor.Z
    xp = functions(Z)
    y, given = like(truth[part], Z), like(weight[part], Z)
    penalty = xp.tile(like(1.0 / C[part], Z)[:, None], (1, Z.shape[1]))
    penalty[:, -1] = 0.0
    w = xp.zeros_like(penalty)
    positive = (y * given).sum(1)
    w[:, -1] = xp.log(positive / (given.sum(1) - positive))
    scores = xp.tile(w[:, -1:], (1, len(Z)))
    still = xp.zeros_like(positive, dtype=xp.int64)
    batch = _Batch(factor, part, y, given, penalty, w, scores, w, w[:, :1], still, [], [])
    batch.gradient = batch.refresh(sigmoid(scores))
    return batch


def _descend(batch: _Batch, fits: Fits, tol: float, max_iter: int) -> None:
    """Run a batch to its end and write its problems into `fits` as they finish."""
    xp = functions(batch.w)
    for iteration in range(max_iter + 1):
        bound = batch.bound()
        size = bound.size(batch.w) + _SMALL * len(batch.factor.Z)
        norm = xp.sqrt((batch.gradient * bound.inverse(batch.gradient)).sum(1) / size)
        below = (norm <= tol) | (batch.still >= _STILL)
        done = below if iteration < max_iter else xp.ones_like(below)
        if done.any():
            at = batch.index[to_numpy(done)]
            fits.scores[at] = to_numpy(batch.scores[done])
            fits.weights[at] = to_numpy(batch.w[done])
            fits.iterations[at] = iteration
            fits.gradient_norm[at] = to_numpy(norm[done])
            fits.converged[at] = to_numpy(below[done])
            if len(at) == len(batch.index):
                return
            batch.take(~done)
        _step(batch)


def _step(batch: _Batch) -> None:
    """Take one L-BFGS step."""
    xp = functions(batch.w)
    bound = batch.bound()
    direction = _direction(batch, bound)
    slope = (direction * batch.gradient).sum(1)
    uphill = slope >= 0  # by rounding, close to the end: take the preconditioned gradient instead
    if uphill.any():
        direction[uphill] = -bound.inverse(batch.gradient)[uphill]
        slope = (direction * batch.gradient).sum(1)
    along = direction @ batch.factor.Z.T
    t = _search(batch, direction, along, slope)
    step = t[:, None] * direction
    moved = t * xp.amax(abs(along), 1) > xp.finfo(t.dtype).eps * xp.amax(abs(batch.scores), 1)
    batch.still = xp.where(moved, 0, batch.still + 1)
    batch.scores = batch.scores + t[:, None] * along
    batch.w = batch.w + step
    gradient = batch.refresh(sigmoid(batch.scores))
    batch.steps = [*batch.steps, step][-MEMORY:]
    batch.changes = [*batch.changes, gradient - batch.gradient][-MEMORY:]
    batch.gradient = gradient


def _direction(batch: _Batch, bound: _Bound) -> Array:
    """L-BFGS's two loops, started from the bound, [active, width + 1]."""
    xp = functions(batch.w)
    out = -batch.gradient
    shares = []
    for step, change in zip(reversed(batch.steps), reversed(batch.changes), strict=True):
        product = (step * change).sum(1)
        inverse = xp.where(product > 0, 1.0 / product, xp.zeros_like(product))
        share = inverse * (step * out).sum(1)
        out = out - share[:, None] * change
        shares.append((inverse, share))
    out = bound.inverse(out)
    for step, change, (inverse, share) in zip(batch.steps, batch.changes, reversed(shares), strict=True):
        out = out + (share - inverse * (change * out).sum(1))[:, None] * step
    return out


def _search(batch: _Batch, direction: Array, along: Array, slope: Array) -> Array:
    """Step lengths that leave at most `_SLOPE` of the slope along the direction, [active].

    The loss is convex along a line, so its slope rises: regula falsi inside a bracket, and before there is
    one, the same line's extrapolation. Each try costs a pass over the scores, no matrix product.
    """
    xp = functions(batch.w)
    linear = (batch.penalty * batch.w * direction).sum(1)
    square = (batch.penalty * direction**2).sum(1)
    weighted = along * batch.weight
    t, low, high = xp.ones_like(slope), xp.zeros_like(slope), xp.full_like(slope, np.inf)
    at_low, at_high = slope, xp.zeros_like(slope)
    for _ in range(_SEARCH):
        p = sigmoid(batch.scores + t[:, None] * along)
        now = ((p - batch.y) * weighted).sum(1) + linear + t * square
        fine = abs(now) <= _SLOPE * abs(slope)
        if fine.all():
            break
        rising = now > 0
        high, at_high = xp.where(rising, t, high), xp.where(rising, now, at_high)
        low, at_low = xp.where(rising, low, t), xp.where(rising, at_low, now)
        width = high - low
        inside = low - at_low * width / (at_high - at_low)
        inside = xp.minimum(xp.maximum(inside, low + 0.1 * width), high - 0.1 * width)
        beyond = xp.where(now > slope, xp.minimum(t * slope / (slope - now), 4 * t), 4 * t)
        t = xp.where(fine, t, xp.where(xp.isinf(high), beyond, inside))
    return t
