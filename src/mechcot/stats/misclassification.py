"""A difference of step error taken apart by kind, where kinds are mistaken.

Let P_t[k, l] be the chance that a step of arm t and true kind k is found as kind l. If it hangs on the true
kind and the arm alone, and not on whether the step is wrong, then judged steps m and wrong steps e of the
kinds found come from those of the true kinds by the same matrix:

    m_t = P_t' m*_t        e_t = P_t' e*_t

and m*_t, e*_t follow by its inverse (the matrix method; Barron 1977 for tables with a mistaken variable). A
kind that comes out without steps counts as absent, one that is met nowhere is left out, and wrong steps are
kept between none and all. Mistakes that differ between the arms move what happens inside kinds into their mix
and back: with the same m* and e* in both arms and P_0 unlike P_1 the kinds found show both terms.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mechcot.core.errors import AnalysisError
from mechcot.core.results import Interval
from mechcot.stats.cluster import LEVEL, Floats
from mechcot.stats.jackknife import interval_of_sums

WORST = 50.0
"""Condition number of a matrix from which it cannot be undone: a step more or less would move all."""
DRAWS = 2000


def within_corrected(
    tables: npt.ArrayLike, confusions: npt.ArrayLike | None = None, *, seed: int = 0, level: float = LEVEL
) -> Interval:
    """The change of step error inside true kinds, by the mean of both arms' shares.

    The interval leaves out questions one at a time with the matrices as they are; to its variance that of
    the labelled steps is added: each matrix' rows drawn anew (Dirichlet, half a step added to each cell).

    Args:
        tables: wrong and judged steps before, wrong and judged steps after, by kind as found,
            [questions, 4, kinds].
        confusions: labelled steps of each arm by true kind and kind as found, [2, kinds, kinds]; None: kinds
            are taken as they are found.
        seed: of the draws.
        level: coverage that is aimed at.

    Raises:
        AnalysisError: shapes do not fit.
    """
    counts = np.asarray(tables, np.float64)
    kinds = counts.shape[-1]
    labelled = np.stack([np.eye(kinds)] * 2) if confusions is None else np.asarray(confusions, np.float64)
    if counts.ndim != 3 or counts.shape[1:] != (4, kinds) or labelled.shape != (2, kinds, kinds):
        raise AnalysisError(
            f"tables [questions, 4, kinds] and confusions [2, kinds, kinds] are needed; the shapes are "
            f"{counts.shape} and {labelled.shape}"
        )
    counts = counts[counts.sum(axis=(1, 2)) > 0]
    if not len(counts):
        return Interval(None, None, None, 0, "", "no step has a verdict")
    met = (counts.sum(axis=(0, 1)) > 0) | (labelled.sum(axis=(0, 1)) > 0) | (labelled.sum(axis=(0, 2)) > 0)
    counts, labelled, kinds = counts[..., met], labelled[:, met][..., met], int(met.sum())
    if reason := _unfit(labelled):
        return Interval(None, None, None, len(counts), "", reason)
    flat, undone = counts.reshape(len(counts), -1), _undone(labelled)
    steps = counts[:, (1, 3)].sum(axis=2)
    weight = (steps / np.maximum(steps.sum(axis=0), 1)).sum(axis=1)

    def statistic(sums: Floats) -> Floats:
        return _within(sums.reshape(len(sums), 4, kinds), undone)

    found = interval_of_sums(
        flat, statistic, weight=weight, reason="no kind is left in both arms", level=level
    )
    if found.estimate is None or found.low is None or confusions is None:
        return found
    rng = np.random.default_rng(seed)
    drawn = rng.standard_gamma(np.broadcast_to(labelled + 0.5, (DRAWS, *labelled.shape)))
    values = _within(flat.sum(axis=0).reshape(1, 4, kinds), _undone(drawn))
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    reach = float(np.hypot(found.estimate - found.low, (high - low) / 2))
    return replace(
        found,
        low=found.estimate - reach,
        high=found.estimate + reach,
        method=f"{found.method}; labelled steps drawn anew",
    )


def _unfit(labelled: Floats) -> str:
    """Why matrices cannot be undone; "" where they can."""
    if (labelled.sum(axis=2) == 0).any():
        return "a kind has no labelled step in one of the arms"
    if (np.linalg.cond(_rows(labelled)) > WORST).any():
        return "kinds are mistaken too often to be told apart"
    return ""


def _rows(counts: Floats) -> Floats:
    """Each true kind's chances [..., kinds, kinds]."""
    shares: Floats = counts / counts.sum(axis=-1, keepdims=True)
    return shares


def _undone(labelled: Floats) -> Floats:
    """What takes kinds as found back to true ones [..., kinds, kinds]."""
    return np.asarray(np.linalg.inv(_rows(labelled)), np.float64)


def _within(sums: Floats, undone: Floats) -> Floats:
    """The within term [rows] of sums [rows, 4, kinds] by inverse matrices [..., 2, kinds, kinds]."""
    e0, m0, e1, m1 = (sums[:, i] @ undone[..., i // 2, :, :] for i in range(4))
    m0, m1 = np.maximum(m0, 0.0), np.maximum(m1, 0.0)
    both = (m0 > 0) & (m1 > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        r0, r1 = (np.where(both, np.clip(e / m, 0.0, 1.0), 0.0) for e, m in ((e0, m0), (e1, m1)))
        s0, s1 = (np.where(both, m, 0.0) / np.where(both, m, 0.0).sum(-1, keepdims=True) for m in (m0, m1))
    found: Floats = np.asarray(((s0 + s1) / 2 * (r1 - r0)).sum(axis=-1))
    return found.reshape(-1)
