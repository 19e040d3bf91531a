"""Alpha, omega and Cliff's delta on numbers that are known."""

from __future__ import annotations

import numpy as np
import pytest

from mechcot.core.errors import AnalysisError
from mechcot.stats.rating_scales import cliffs_delta, reliability


def test_cliffs_delta_of_counted_pairs():
    # 4 > 1, 2, 3; 2 > 1, 2 = 2, 2 < 3: (3 + 1 - 1) / 6
    found = cliffs_delta([4, 2], [1, 2, 3], draws=200, seed=0)
    assert found.estimate == pytest.approx(0.5)
    assert cliffs_delta([1, 2, 3], [4, 2], draws=10, seed=0).estimate == pytest.approx(-0.5)
    assert cliffs_delta([5, 5, 5], [1, 1], draws=50, seed=0).low is None
    with pytest.raises(AnalysisError, match="both conditions"):
        cliffs_delta([], [1], draws=10, seed=0)


def test_cliffs_delta_has_an_interval_that_covers():
    rng = np.random.default_rng(0)
    truth = 0.5205  # of normal samples one standard deviation apart: 2 Phi(1 / sqrt 2) - 1
    held = 0
    for seed in range(200):
        found = cliffs_delta(rng.normal(1, 1, 25), rng.normal(size=25), draws=300, seed=seed)
        held += found.low <= truth <= found.high
    assert 0.89 <= held / 200 <= 0.99


def _ratings(rng, loads, raters=300, each=4):
    trait = rng.normal(size=(raters * each, 1))
    return trait * loads + rng.normal(size=(raters * each, 3)) * np.sqrt(1 - np.square(loads))


def test_alpha_and_omega_of_known_covariances():
    rng, loads = np.random.default_rng(1), np.array([0.9, 0.6, 0.5])
    raters, group = np.repeat(np.arange(300), 4), np.arange(300) % 3
    values = _ratings(rng, loads)
    covariance = np.outer(loads, loads)
    np.fill_diagonal(covariance, 1.0)
    alpha = 1.5 * (1 - 3 / covariance.sum())
    omega = loads.sum() ** 2 / covariance.sum()
    found = reliability(values, raters, group, draws=300, seed=0)
    assert found.alpha.low < alpha < found.alpha.high
    assert found.omega.low < omega < found.omega.high
    assert found.omega.estimate > found.alpha.estimate
    # a difference of conditions is no agreement of scales
    moved = reliability(values + 5 * group[raters][:, None], raters, group, draws=50, seed=0)
    assert moved.alpha.estimate == pytest.approx(found.alpha.estimate)


def test_scales_that_do_not_go_together_have_no_omega_and_say_why():
    values = _ratings(np.random.default_rng(2), np.array([0.8, 0.8, -0.8]))
    found = reliability(values, np.repeat(np.arange(300), 4), np.zeros(300, int), draws=50, seed=0)
    assert found.omega.estimate is None
    assert "rise together" in found.omega.reason
    flat = reliability(np.ones((8, 3)), np.arange(8), np.zeros(8, int), draws=20, seed=0)
    assert flat.alpha.estimate is None
    with pytest.raises(AnalysisError, match="3"):
        reliability(values[:, :2], np.arange(1200), np.zeros(1200, int), draws=10, seed=0)
