"""Experiments of `coverage_intervals.py` on answers, judges and estimating equations."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit
from scipy.stats import norm

from coverage_parts import RATES, Floats, Row, beta_of, holds, mean_of, step_counts
from mechcot.core.results import Pair
from mechcot.stats import (
    BothRightBounds,
    Interval,
    RightTraces,
    agreement,
    both_right_bounds,
    mcnemar_clustered,
    pooled_difference,
)
from mechcot.stats.both_right import _ends
from mechcot.stats.gee import clustered, fit
from mechcot.stats.jackknife import degrees_of_freedom
from mechcot.stats.seeds import reach


def mcnemar(runs: int) -> list[Row]:
    """Share of p-values below .05 without a change, and with one."""
    rows = []
    for n, k in itertools.product((6, 12, 30, 100), (1, 8)):
        found = []
        for run in range(runs):
            rng = np.random.default_rng([n, k, run])
            common, samples = rng.normal(size=n), np.full(n, k)
            share = [beta_of(norm.cdf(0.7 * common + 0.71 * rng.normal(size=n)), 1.2, 0.8) for _ in (0, 1)]
            before, after = (rng.binomial(k, p) for p in share)
            gained = rng.binomial(k, np.clip(share[1] + 0.1 / 0.6 * (1 - share[1]), 0, 1))
            tests = [mcnemar_clustered(before, samples, own, samples).p_value for own in (after, gained)]
            found.append([float(p is not None and p <= 0.05) for p in tests])
        rows.append({"questions": n, "samples": k} | mean_of(found, ("p <= .05", "with a change")))
    return rows


def gee(runs: int) -> list[Row]:
    """All runs at once; a run without a wrong step in an arm has no interval and is left out."""
    rows = []
    for n, icc, uneven in itertools.product((6, 8, 12, 30, 100, 400), (0.0, 0.3), (False, True)):
        rng = np.random.default_rng([n, int(10 * icc), uneven])
        e0, m0, e1, m1 = step_counts(runs, n, icc, uneven, rng)
        wrong, steps = np.stack([e0, e1], axis=2), np.stack([m0, m1], axis=2)
        total = wrong.sum(axis=1)
        known = ((total > 0) & (total < steps.sum(axis=1))).all(axis=1)
        wrong, steps = wrong[known], steps[known]
        rates, rho, settled = fit(wrong, steps)
        errors, weight = clustered(wrong, steps, rates, rho)
        reach = stdtrit(degrees_of_freedom(weight), 0.975) * errors
        held = np.abs(rates[:, 1] - rates[:, 0] - (RATES[1] - RATES[0])) <= reach
        share = round(float(settled.sum() / runs), 4)
        cell = {"questions": n, "ICC": icc, "steps": "uneven" if uneven else "even"}
        found = [[float(held[settled].mean()), float(2 * reach[settled].mean())]]
        rows.append(cell | mean_of(found, ("difference", "width")) | {"known": share})
    return rows


def seeds(runs: int) -> list[Row]:
    """All runs at once: step error before and after, each student with a shift of its own."""
    rows = []
    for n, n_seeds, spread in itertools.product((12, 30, 100, 400), (3, 5, 10), (0.0, 0.02, 0.05)):
        rng = np.random.default_rng([n, n_seeds, int(100 * spread)])
        common = rng.normal(size=(runs, n))
        before = beta_of(norm.cdf(common), 1.2, 6.8)
        shift = 0.25 + spread * rng.normal(size=(runs, 1, n_seeds))
        own = norm.cdf(0.7 * common[:, :, None] + 0.71 * rng.normal(size=(runs, n, n_seeds)))
        after = np.clip(beta_of(own, 1.2, 6.8) + shift, 0, 1)
        steps = np.stack([np.full((runs, n), 6.0), np.full((runs, n), 8.0)])
        e0 = rng.binomial(6, before)[:, :, None]
        e1 = rng.binomial(8, after)
        rates = e1.sum(1) / steps[1].sum(1)[:, None] - e0.sum(1) / steps[0].sum(1)[:, None]
        left = [(e.sum(1, keepdims=True) - e) / (k * (n - 1)) for e, k in ((e1, 8), (e0, 6))]
        wide = reach(rates, left[0] - left[1])
        truth = _mean_shift(spread)
        held = np.abs(rates.mean(axis=1) - truth) <= wide
        cell = {"questions": n, "seeds": n_seeds, "spread of seeds": spread}
        found = [float(held.mean()), float(2 * wide.mean())]
        rows.append(cell | mean_of([found], ("mean over seeds", "width")))
    return rows


def _mean_shift(spread: float) -> float:
    """The population's change: shifted chances end at 0 and 1."""
    rng = np.random.default_rng(0)
    chance = beta_of(rng.random(2_000_000), 1.2, 6.8)
    shifted = np.clip(chance + 0.25 + spread * rng.normal(size=chance.size), 0, 1)
    return float(shifted.mean() - 1.2 / 8)


QUALITIES = ((0.95, 0.05), (0.8, 0.2), (0.7, 0.05))


def pooled(runs: int) -> list[Row]:
    """Three judges who call a wrong and a right step wrong as often as `QUALITIES` says."""
    rows = []
    step = RATES[1] - RATES[0]
    truths = np.array([(hit - alarm) * step for hit, alarm in QUALITIES])
    for n, icc, uneven in itertools.product((6, 12, 30, 100), (0.0, 0.3), (False, True)):
        found = []
        rng = np.random.default_rng([n, int(10 * icc), uneven])
        for e0, m0, e1, m1 in zip(*step_counts(runs, n, icc, uneven, rng), strict=True):
            called = [
                tuple(
                    part
                    for e, m in ((e0, m0), (e1, m1))
                    for part in (
                        rng.binomial(e.astype(int), hit) + rng.binomial((m - e).astype(int), alarm),
                        m,
                    )
                )
                for hit, alarm in QUALITIES
            ]
            got = pooled_difference(called)
            held = holds(got.difference, float(truths.mean()))
            found.append([held, float("nan") if got.spread is None else got.spread])
        cell = {"questions": n, "ICC": icc, "steps": "uneven" if uneven else "even"}
        truth = {"true spread": round(truths.std(ddof=1), 4)}
        rows.append(cell | mean_of(found, ("difference", "spread")) | truth)
    return rows


_Answers = tuple[list[Floats], list[NDArray[Any]], list[Floats]]


def _answering(n: int, k: int, rng: np.random.Generator) -> _Answers:
    """Of both arms: shares of right traces, which are right, their shares of wrong steps [questions, k]."""
    common, hard = rng.normal(size=n), rng.beta(2.0, 4.0, (n, 1))
    shares = [beta_of(norm.cdf(0.8 * common + 0.6 * rng.normal(size=n)), a, 0.8) for a in (1.2, 3.0)]
    right = [rng.random((n, k)) < p[:, None] for p in shares]
    wrong = [
        rng.binomial(5, np.clip(hard + shift - 0.1 * own, 0, 1)) / 5
        for shift, own in zip((0.1, 0.3), right, strict=True)
    ]
    return shares, right, wrong


def _bounded(right: list[NDArray[Any]], wrong: list[Floats]) -> BothRightBounds:
    k = right[0].shape[1]
    halves = [np.stack([own[:, ::2].sum(axis=1), own[:, 1::2].sum(axis=1)], axis=1) for own in right]
    sizes = [np.full(own.shape, k // 2) for own in halves]
    at = [np.nonzero(own) for own in right]
    traces = [RightTraces(q, w[q, i], np.full(len(q), 1 / k)) for (q, i), w in zip(at, wrong, strict=True)]
    return both_right_bounds((halves[0], halves[1]), (sizes[0], sizes[1]), Pair(*traces))


def _true_ends() -> dict[str, tuple[float, float]]:
    """The population's bounds, by its true shares of right traces."""
    shares, right, wrong = _answering(400_000, 1, np.random.default_rng(1))
    sides = Pair(
        *(
            RightTraces(np.nonzero(own)[0], w[own], np.ones(own.sum()))
            for own, w in zip(right, wrong, strict=True)
        )
    )
    p = np.stack(shares)
    sizes = {"any": np.maximum(p.sum(axis=0) - 1, 0), "alike": p.min(axis=0)}
    ends = {name: _ends(pi, p, sides, [-1]) for name, pi in sizes.items()}
    return {name: (float(low[0]), float(high[0])) for name, (low, high) in ends.items()}


def both_right(runs: int) -> list[Row]:
    """Whether the interval holds the lowest and the highest value that the change may have."""
    rows, ends = [], _true_ends()
    names = ("any, low end", "any, high end", "alike, low end", "alike, high end")
    for n, k in ((12, 4), (30, 4), (30, 16), (100, 4), (100, 16)):
        found = []
        for run in range(runs):
            _, right, wrong = _answering(n, k, np.random.default_rng([n, k, run]))
            got = _bounded(right, wrong)
            intervals = [(b, ends[name]) for name, b in (("any", got.any), ("alike", got.alike))]
            found.append(
                [
                    float("nan")
                    if b.interval_low is None
                    else float(b.interval_low <= end <= b.interval_high)
                    for b, both in intervals
                    for end in both
                ]
            )
        known = round(float(np.mean(~np.isnan(np.array(found)[:, 0]))), 3)
        rows.append({"questions": n, "traces": k} | mean_of(found, names) | {"known": known})
    return rows


LABELS = ("correct", "abstain", "erroneous")


def _rated(n: int, rng: np.random.Generator) -> tuple[pd.DataFrame, NDArray[Any]]:
    """Labels of three judges on six steps a question; questions differ in how hard they are to judge."""
    skill = np.repeat(rng.beta(6.0, 2.0, n), 6)[:, None]
    truth = rng.choice(3, p=(0.65, 0.1, 0.25), size=6 * n)[:, None]
    near = np.clip(truth + rng.choice((-1, 1), size=(6 * n, 3)), 0, 2)
    codes = np.where(rng.random((6 * n, 3)) < skill, truth, near)
    return pd.DataFrame(np.array(LABELS)[codes], columns=["a", "b", "c"]), np.repeat(np.arange(n), 6)


def _coefficients(n: int, rng: np.random.Generator) -> list[Interval]:
    labels, questions = _rated(n, rng)
    got = agreement(labels, questions, categories=LABELS, ordered=True)
    assert got.ordinal is not None
    return [got.raw, got.kappa, got.pairs[0].kappa, got.ac1, got.alpha, got.ordinal.alpha, got.ordinal.ac2]


def coefficients(runs: int) -> list[Row]:
    """Coefficients of agreement against those of 30,000 questions."""
    truths = [one.estimate or 0.0 for one in _coefficients(30_000, np.random.default_rng(1))]
    names = ("raw", "Fleiss", "Cohen", "AC1", "alpha", "ordinal alpha", "AC2")
    rows = []
    for n in (6, 12, 30, 100):
        found = []
        for run in range(runs):
            own = _coefficients(n, np.random.default_rng([n, run]))
            found.append([holds(one, truth) for one, truth in zip(own, truths, strict=True)])
        rows.append({"questions": n} | mean_of(found, names))
    return rows
