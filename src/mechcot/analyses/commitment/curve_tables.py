"""Curves along a trace: by steps read, by share of the trace, and by tokens read on a fixed grid.

A share is known only when a trace has ended, so a point of that curve leaks how long the trace will be; a
count of steps or of tokens does not. Behind its last prefix a trace has no probability any more, and the
points further on are those of fewer, longer traces (`n_p`); whether it had locked stays known, and counts to
the end.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from mechcot.analyses.commitment.paths import BoolArray, FloatArray, IntArray, Paths
from mechcot.stats.bands import band

GRID = np.round(np.linspace(0.0, 1.0, 21), 2)
BY = {"step": "by_step", "share": "by_fraction", "token": "by_token"}
"""What a curve may stand against, and the field of the result that holds it."""
AT = {"step": "k", "share": "fraction", "token": "tokens"}
"""The column of its places."""
_POINTS = 24
"""Points that a grid of tokens has at most."""
CURVES = {
    "locked_share": ("low", "high"),
    "p_own": ("p_low", "p_high"),
    "p_gold": ("gold_low", "gold_high"),
    "entropy": ("entropy_low", "entropy_high"),
    "margin": ("margin_low", "margin_high"),
}
"""Columns of a curve and of their intervals."""


def curve_tables(paths: Paths, locks: FloatArray, only: BoolArray) -> dict[str, pd.DataFrame]:
    """`by_step`, `by_fraction` and `by_token` of some traces.

    Args:
        paths: of all traces.
        locks: where each locks, [traces]; NaN: never.
        only: which traces, [traces].
    """
    questions, _ = pd.factorize(paths.traces["qid"][only], sort=True)
    last = paths.last[only]
    values = {name: array[only] for name, array in _values(paths) if not np.isnan(array[only]).all()}
    steps = np.arange(last.max() + 1)
    share = np.where(last > 0, locks[only] / np.maximum(last, 1), locks[only])
    tables = {
        "step": (steps, locks[only][:, None] <= steps, {n: v[:, : len(steps)] for n, v in values.items()}),
        "share": (
            GRID,
            share[:, None] <= GRID + 1e-9,
            {n: _at_shares(v, last) for n, v in values.items()},
        ),
    }
    tokens = paths.tokens[only]
    if not np.isnan(tokens).any(axis=1).all():
        grid = token_grid(float(np.nanmax(tokens)))
        place, there = _read_by(tokens, grid)
        locked = np.where(there, locks[only][:, None] <= place, ~np.isnan(locks[only])[:, None])
        tables["token"] = (
            grid,
            locked,
            {
                n: np.where(there, np.take_along_axis(v, np.where(there, place, 0), 1), np.nan)
                for n, v in values.items()
            },
        )
    none = pd.DataFrame({AT["token"]: np.zeros(0, dtype=np.int64)})
    found = {BY[by]: _table(AT[by], *parts, questions) for by, parts in tables.items()}
    return {field: found.get(field, none) for field in BY.values()}


def token_grid(longest: float) -> IntArray:
    """Numbers of tokens from 0 on, 1, 2 or 5 times a power of ten apart, so that few points are enough."""
    apart = next(
        unit * 10**power for power in range(12) for unit in (1, 2, 5) if longest <= unit * 10**power * _POINTS
    )
    return np.arange(0, -(-longest // apart) * apart + 1, apart, dtype=np.int64)


def _values(paths: Paths) -> Iterator[tuple[str, FloatArray]]:
    yield "p_own", paths.own
    yield "p_gold", np.where(paths.counts, paths.of(paths.traces["gold"].to_numpy(np.int64)), np.nan)
    yield "entropy", paths.entropy
    yield "margin", paths.margin


def _at_shares(values: FloatArray, last: IntArray) -> FloatArray:
    """Values at `GRID` of each trace's steps, between prefixes on the straight line, [traces, points]."""
    at = GRID * last[:, None]
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, last[:, None])
    rows = np.arange(len(last))[:, None]
    return np.asarray(values[rows, low] + (at - low) * (values[rows, high] - values[rows, low]))


def _read_by(tokens: FloatArray, grid: IntArray) -> tuple[IntArray, BoolArray]:
    """The last whole prefix within so many tokens, and whether the trace runs then, [traces, points]."""
    place = (tokens[:, None, :] <= grid[:, None] + 0.0).sum(axis=2) - 1
    there = grid <= np.fmax.reduce(tokens, axis=1, initial=-1.0)[:, None]
    return place, there


def _table(
    at: str, places: FloatArray, locked: BoolArray, values: dict[str, FloatArray], q: IntArray
) -> pd.DataFrame:
    out = {at: places}
    n_p = np.zeros(len(places), dtype=np.int64)
    for name, array in {"locked_share": locked.astype(np.float64), **values}.items():
        there = ~np.isnan(array)
        sums = [np.zeros((q.max() + 1, len(places))) for _ in range(2)]
        np.add.at(sums[0], q, np.where(there, array, 0.0))
        np.add.at(sums[1], q, there.astype(np.float64))
        found = band(*sums, rate=name != "entropy")
        out |= dict(zip((name, *CURVES[name]), found[:3], strict=True))
        n_p = there.sum(axis=0) if name == "p_own" else n_p
    return pd.DataFrame(out).assign(n_p=n_p)
