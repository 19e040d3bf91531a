import logging

import numpy as np
import pandas as pd

from mechcot.probe import FitSettings, factors, fit_report, fitting
from mechcot.probe.cost import Fits, iterations, report_cost
from mechcot.probe.factors import factor, peak_bytes
from mechcot.probe.solver import solve

GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def told(n=7000, d=4096, layers=36, beside=0, fits=2000):
    return report_cost(
        (n, d), FitSettings(grid=GRID, draws=2000), sources=layers, beside=beside, characters=10**6,
        jobs=[Fits(np.repeat(GRID, 20)), Fits(np.full(fits, 1e-3), 1e-3)],
    )  # fmt: skip


def test_the_prediction_grows_with_layers_steps_and_fits_and_memory_does_not_with_layers():
    small, large = told(500, 64, 2, fits=100), told()
    assert 0 < small.seconds < 60
    assert large.seconds > 2 * told(layers=12).seconds
    assert large.seconds > told(fits=500).seconds
    assert told(beside=36).seconds > large.seconds
    assert large.bytes == told(layers=1).bytes
    assert 2**29 < large.bytes < 2**32
    assert "min) and" in str(large)


def test_iterations_are_predicted_within_a_factor_of_two(monkeypatch):
    monkeypatch.setattr(factors, "WHOLE", 1024)
    rng = np.random.default_rng(0)
    n, d = 1600, 1200
    X = (rng.normal(size=(n, d)) * np.arange(1, d + 1) ** -0.7) @ np.linalg.qr(rng.normal(size=(d, d)))[0]
    y = (X[:, 0] / X[:, 0].std() + rng.normal(size=n) > 0).astype(int)
    for tol in (1e-2, 1e-4):
        fits = solve(factor(X), y, C=[1e-3, 1e-1], tol=tol)
        predicted = iterations(np.array([1e-3, 1e-1]), whole=False, tol=tol)
        assert ((fits.iterations < 2 * predicted) & (predicted < 2 * (1 + fits.iterations))).all()


def test_what_a_factor_is_said_to_take_is_more_than_its_parts(monkeypatch):
    monkeypatch.setattr(factors, "WHOLE", 1024)
    X = np.random.default_rng(1).normal(size=(1500, 1200)).astype(np.float32)
    found = factor(X)
    parts = (found.Z, found.leading, found.peaks, found.eigenvalues)
    held = sum(part.nelement() * part.element_size() for part in parts)
    assert held < peak_bytes(1500, 1200) < 3 * held


def test_long_work_is_announced_and_short_work_is_not(caplog, monkeypatch):
    rng = np.random.default_rng(2)
    given = {
        "y": rng.integers(0, 2, 200),
        "groups": np.repeat(np.arange(25), 8).tolist(),
        "confounds": pd.DataFrame({"sid": np.tile(np.arange(8), 25), "n_steps": 8}),
        "settings": FitSettings(draws=100, null_draws=10),
    }
    X = rng.normal(size=(200, 6))
    with caplog.at_level(logging.INFO, logger="mechcot"):
        fit_report(X, **given)
        assert "probe:" not in caplog.text
        monkeypatch.setattr(fitting, "LONG", 0.0)
        fit_report(X, **given)
    assert "probe: 1 layers of [200, 6]: about" in caplog.text
