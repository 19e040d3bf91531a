"""The mean over training seeds: against an analysis of variance, and what it covers."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy import stats

from documentation import ROOT
from mechcot.core.errors import AnalysisError
from mechcot.stats import mean_interval
from mechcot.stats.seeds import over_seeds, reach

sys.path.insert(0, str(ROOT / "scripts"))


def table(n: int, seeds: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 0.2 + 0.3 * rng.normal(size=(n, 1)) + 0.1 * rng.normal(size=seeds) + rng.normal(size=(n, seeds))


def without(values: np.ndarray) -> np.ndarray:
    return (values.sum(axis=0) - values) / (len(values) - 1)


def test_of_means_it_is_the_variance_of_crossed_effects() -> None:
    values = table(40, 5)
    n, seeds = values.shape
    found = over_seeds(list(values.mean(axis=0)), without(values))
    grand = values.mean()
    rows, columns = values.mean(axis=1) - grand, values.mean(axis=0) - grand
    rest = values - grand - rows[:, None] - columns
    squares = (
        seeds * (rows**2).sum() / (n - 1),
        n * (columns**2).sum() / (seeds - 1),
        (rest**2).sum() / ((n - 1) * (seeds - 1)),
    )
    assert found.mean.estimate == pytest.approx(grand)
    by_questions, by_seeds = squares[0] / (n * seeds), (squares[1] - squares[2]) / (n * seeds)
    assert by_seeds > 0
    t = stats.t.ppf(0.975, [n - 1, seeds - 1])
    half = (found.mean.high - found.mean.low) / 2
    assert half**2 == pytest.approx(t[0] ** 2 * by_questions + t[1] ** 2 * by_seeds)
    assert found.sd == pytest.approx(values.mean(axis=0).std(ddof=1))
    assert (found.smallest, found.largest, found.seeds) == (
        pytest.approx(values.mean(axis=0).min()),
        pytest.approx(values.mean(axis=0).max()),
        5,
    )


def test_seeds_that_agree_leave_the_interval_of_questions() -> None:
    values = np.repeat(table(40, 1), 4, axis=1)
    found = over_seeds(list(values.mean(axis=0)), without(values)).mean
    alone = mean_interval(values[:, 0])
    assert (found.low, found.high) == (pytest.approx(alone.low), pytest.approx(alone.high))


def test_few_seeds_few_questions_and_a_change_that_is_not_there_give_no_interval() -> None:
    two, few = table(40, 2), table(5, 3)
    assert over_seeds(list(two.mean(axis=0)), without(two)).mean.reason.startswith("2 seeds are too few")
    assert over_seeds(list(few.mean(axis=0)), without(few)).mean.reason.startswith("5 questions are too few")
    missing = over_seeds([0.1, None, 0.2], np.zeros((8, 3)))
    assert missing.mean.estimate is None
    assert "of 1 of 3 seeds is not defined" in missing.mean.reason
    same = over_seeds([0.1] * 3, np.full((8, 3), 0.1))
    assert same.mean.low is None
    assert same.mean.reason == "all seeds agree"
    with pytest.raises(AnalysisError, match=r"\[questions, 3 seeds\] are needed, the shape is \(8, 2\)"):
        over_seeds([0.1, 0.1, 0.1], np.zeros((8, 2)))


def test_many_runs_at_once_are_each_ones_own() -> None:
    runs = np.stack([table(12, 3, seed) for seed in range(4)])
    left = np.stack([without(one) for one in runs])
    found = reach(runs.mean(axis=1), left)
    for i, one in enumerate(runs):
        own = over_seeds(list(one.mean(axis=0)), without(one)).mean
        assert own.high - own.low == pytest.approx(2 * found[i])


def test_it_covers_other_questions_and_other_seeds() -> None:
    from coverage_more import seeds

    cells = [row for row in seeds(60) if row["questions"] <= 30 and row["spread of seeds"] == 0.05]
    assert len(cells) == 6
    assert all(row["mean over seeds"] > 0.85 for row in cells), cells
