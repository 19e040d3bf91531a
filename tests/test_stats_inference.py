from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, permutation_test
from statsmodels.stats.power import NormalIndPower

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.stats import (
    design_effect,
    detectable_difference,
    difference_contributions,
    difference_design_effect,
    power_of_rates,
    ratio_difference,
    ratio_difference_interval,
    sign_flips,
)


def beta_binomial(rng, n, rate, icc, steps=(3, 10), runs=None):
    """Errors and judged steps: the steps of a question are correlated by `icc`."""
    size = (n,) if runs is None else (runs, n)
    m = rng.integers(*steps, size=size)
    spread = 1 / icc - 1
    return rng.binomial(m, rng.beta(rate * spread, (1 - rate) * spread, size)), m


def anova_from_steps(errors, judged):
    """The estimator from the steps one by one, as an analysis of variance."""
    steps = [np.repeat([1.0, 0.0], [e, m - e]) for e, m in zip(errors, judged, strict=True)]
    every = np.concatenate(steps)
    k, n = len(steps), len(every)
    msb = sum(len(s) * (s.mean() - every.mean()) ** 2 for s in steps) / (k - 1)
    msw = sum(((s - s.mean()) ** 2).sum() for s in steps) / (n - k)
    n0 = (n - sum(len(s) ** 2 for s in steps) / n) / (k - 1)
    return (msb - msw) / (msb + (n0 - 1) * msw)


@given(st.integers(0, 10_000))
def test_icc_is_the_analysis_of_variance(seed):
    errors, judged = beta_binomial(np.random.default_rng(seed), 12, 0.4, 0.2)
    if 0 < errors.sum() < judged.sum():
        assert design_effect(errors, judged).icc == pytest.approx(anova_from_steps(errors, judged))


def test_icc_and_design_effect_recover_what_was_planted():
    errors, judged = beta_binomial(np.random.default_rng(0), 40_000, 0.35, 0.3)
    got = design_effect(errors, judged)
    assert got.icc == pytest.approx(0.3, abs=0.01)
    assert got.rate == pytest.approx(0.35, abs=0.01)
    assert got.deff == pytest.approx(got.deff_from_icc, rel=0.02)
    weighted = (judged**2).sum() / judged.sum()
    assert got.deff == pytest.approx(1 + (weighted - 1) * 0.3, rel=0.02)


def test_design_effect_at_its_limits():
    alike = design_effect([4, 0] * 50, [4, 4] * 50)  # a question is all wrong or all right
    assert alike.icc == pytest.approx(1)
    assert alike.deff == pytest.approx(4 * 100 / 99)
    rng = np.random.default_rng(1)
    independent = design_effect(rng.binomial(5, 0.4, 20_000), np.full(20_000, 5))
    assert independent.icc == pytest.approx(0, abs=0.01)
    assert independent.deff == pytest.approx(1, abs=0.04)
    assert design_effect([1, 0, 1], [1, 1, 1]).reason == "no question has two judged steps"
    assert design_effect([0, 0], [3, 3]).icc is None
    assert design_effect([1, 0], [3, 0]).reason == "one question alone"
    empty = design_effect([0], [0])
    assert (empty.rate, empty.n_questions) == (None, 0)
    json.dumps(empty.to_json(), allow_nan=False)
    assert design_effect([1, 2, 0], [3, 4, 0]).n_questions == 2


def test_difference_design_effect_is_the_ratio_of_variances():
    rng = np.random.default_rng(2)
    (e0, m0), (e1, m1) = beta_binomial(rng, 3000, 0.3, 0.3), beta_binomial(rng, 3000, 0.5, 0.3)
    got = difference_design_effect(e0, m0, e1, m1)
    weighted = (m0**2).sum() / m0.sum()
    assert got == pytest.approx(1 + (weighted - 1) * 0.3, rel=0.06)
    assert difference_design_effect(e0, m0, e0, m0) == pytest.approx(0, abs=1e-12)
    assert difference_design_effect([0, 0], [1, 1], [0, 0], [1, 1]) is None
    assert difference_design_effect([0], [1], [0], [0]) is None


@pytest.mark.parametrize(
    ("steps", "deff", "power"),
    [(75, 1, 0.71), (75, 1.5, 0.54), (75, 2, 0.43), (150, 1, 0.94), (150, 1.5, 0.83), (150, 2, 0.71)],
)
def test_power_of_the_published_rates(steps, deff, power):
    assert power_of_rates(0.306, 0.503, steps, deff=deff) == pytest.approx(power, abs=0.0075)
    assert power_of_rates(0.306, 0.503, 300, deff=2) > 0.935


def test_detectable_difference_has_the_power_it_promises():
    known = NormalIndPower().solve_power(nobs1=50, alpha=0.05, power=0.8, alternative="larger", ratio=1)
    one_sided = detectable_difference(np.sqrt(2 / 50), alpha=0.10)
    assert one_sided == pytest.approx(known, abs=1e-6)
    gap = detectable_difference(0.02)
    assert norm.sf(norm.ppf(0.975) - gap / 0.02) == pytest.approx(0.8)
    assert power_of_rates(0.3, 0.3, 100) == pytest.approx(0.025)
    assert (power_of_rates(0, 1, 5), power_of_rates(0, 0, 5)) == (1.0, 0.025)


@given(st.integers(0, 10_000))
def test_contributions_average_to_the_difference_and_spread_to_its_error(seed):
    rng = np.random.default_rng(seed)
    m = rng.integers(0, 5, (2, 12))
    m[:, 0] = 3
    e = rng.binomial(m, 0.5)
    got = difference_contributions(e[0], m[0], e[1], m[1])
    point = ratio_difference(e[0], m[0], e[1], m[1])
    assert got.mean() == pytest.approx(point.estimate, abs=1e-12)
    absent = m.sum(axis=0) == 0
    assert (got[absent] == 0).all()
    if not absent.any():
        assert got.std(ddof=1) / np.sqrt(12) == pytest.approx(point.se)
    padded = [np.append(array, 0) for array in (e[0], m[0], e[1], m[1])]
    assert difference_contributions(*padded).mean() == pytest.approx(point.estimate, abs=1e-12)


def every_flip(table):
    """Exact p-values from all sign vectors: alone, and step-down maximum."""
    n = len(table)
    signs = np.array(list(itertools.product([1, -1], repeat=n)))

    def student(values):
        return np.abs(values.mean(axis=0)) / (values.std(axis=0, ddof=1) / np.sqrt(n))

    observed = student(table)
    flipped = np.array([student(sign[:, None] * table) for sign in signs])
    alone = (flipped >= observed * (1 - 1e-9)).mean(axis=0)
    family, so_far = np.zeros(len(observed)), 0.0
    order = np.argsort(-observed)
    for position, test in enumerate(order):
        most = flipped[:, order[position:]].max(axis=1)
        so_far = max(so_far, (most >= observed[test] * (1 - 1e-9)).mean())
        family[test] = so_far
    return observed, alone, family


def test_flips_agree_with_all_flips_and_with_scipy():
    rng = np.random.default_rng(4)
    table = rng.normal(loc=[0.9, 0.3, 0.0], size=(10, 3))
    observed, alone, family = every_flip(table)
    got = sign_flips(table, draws=40_000, seed=1)
    assert np.abs(got.statistics) == pytest.approx(observed)
    assert got.p_values == pytest.approx(alone, abs=0.012)
    assert got.p_family == pytest.approx(family, abs=0.012)
    known = permutation_test((table[:, 0],), np.mean, permutation_type="samples", n_resamples=np.inf)
    # for one mean the studentised statistic orders the flips as the mean does
    assert got.p_values[0] == pytest.approx(known.pvalue, abs=0.012)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_family_values_are_never_below_the_single_ones(seed):
    table = np.random.default_rng(seed).normal(size=(15, 4)) * [1, 5, 0.1, 2] + 0.3
    got = sign_flips(table, draws=200, seed=seed)
    assert all(f >= p >= 1 / 201 for f, p in zip(got.p_family, got.p_values, strict=True))
    order = np.argsort(-np.abs(got.statistics))
    assert (np.diff(np.array(got.p_family)[order]) >= 0).all()
    assert got == sign_flips(table, draws=200, seed=seed)


def test_flips_of_nothing_and_of_a_constant():
    got = sign_flips(np.column_stack([np.zeros(20), np.ones(20)]), draws=500, names=["none", "all"])
    assert got.p_values[0] == 1
    assert got.statistics == (None, None)
    assert got.p_values[1] < 0.01
    value = json.loads(json.dumps(got.to_json(), allow_nan=False))
    assert value["names"] == ["none", "all"]
    assert value["statistics"] == [None, None]


def test_a_planted_null_is_rejected_as_often_as_it_should():
    rng, runs, low = np.random.default_rng(5), 500, np.zeros(2)
    for run in range(runs):
        (e0, m0), (e1, m1) = (beta_binomial(rng, 60, 0.4, 0.3) for _ in range(2))
        other = rng.binomial(m1, 0.4), rng.binomial(m0, 0.4)
        table = np.column_stack(
            [difference_contributions(e0, m0, e1, m1), difference_contributions(other[1], m0, other[0], m1)]
        )
        got = sign_flips(table, draws=199, seed=run)
        low += [got.p_values[0] <= 0.05, min(got.p_family) <= 0.05]
    assert ((low >= 0.025 * runs) & (low <= 0.08 * runs)).all()


@pytest.mark.slow
def test_clustered_intervals_cover_and_step_independent_ones_do_not():
    # 2,000 studies without a difference, steps of a trace correlated by .3
    runs = 2000
    found = {}
    for n in (400, 40):
        rng, hits = np.random.default_rng(n), np.zeros(3)
        e0, m0 = beta_binomial(rng, n, 0.4, 0.3, runs=runs)
        e1, m1 = beta_binomial(rng, n, 0.4, 0.3, runs=runs)
        for run in range(runs):
            point = ratio_difference(e0[run], m0[run], e1[run], m1[run])
            boot = ratio_difference_interval(e0[run], m0[run], e1[run], m1[run])
            parts = zip((point.rate_before, point.rate_after), (m0[run], m1[run]), strict=True)
            naive = np.sqrt(sum(rate * (1 - rate) / m.sum() for rate, m in parts))
            hits += [
                abs(point.estimate) <= 1.96 * point.se,
                boot.low <= 0 <= boot.high,
                abs(point.estimate) <= 1.96 * naive,
            ]
        found[n] = hits / runs
    assert ((found[400][:2] >= 0.93) & (found[400][:2] <= 0.97)).all()
    assert found[400][2] < 0.88
    assert ((found[40][:2] >= 0.91) & (found[40][:2] <= 0.97)).all()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: design_effect([1], [1, 2]), AnalysisError, "shapes"),
        (lambda: design_effect([1, 3], [1, 2]), AnalysisError, "row 1: 3.0 errors of 2.0"),
        (lambda: detectable_difference(-1), UsageError, "se and freedom above 0"),
        (lambda: power_of_rates(0.1, 1.1, 10), UsageError, "rates must lie"),
        (lambda: power_of_rates(0.1, 0.1, 0), UsageError, "steps and deff"),
        (lambda: difference_contributions([1], [1], [0], [0]), AnalysisError, "no contributions"),
        (lambda: sign_flips([1.0]), AnalysisError, "at least two questions"),
        (lambda: sign_flips([1.0, np.nan]), AnalysisError, "finite"),
        (lambda: sign_flips([1.0, 2.0], draws=0), UsageError, "draws"),
        (lambda: sign_flips([1.0, 2.0], names=["a", "b"]), AnalysisError, "as many names"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
