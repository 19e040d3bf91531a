"""The corrected difference under a biased judge; here on planted steps, in the script on the organism's."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

from coverage_judges import METHODS, NoisyJudge, Pool, coverage

FAIR = NoisyJudge(hits=(0.9, 0.9), alarms=(0.1, 0.1), shared=0.3)


def planted(n: int, rates: tuple[float, float] = (0.2, 0.45), seed: int = 0) -> Pool:
    """Steps of questions that differ in difficulty and length."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(scale=0.15, size=n)
    parts = []
    for arm, rate in enumerate(rates):
        size = 1 + rng.poisson(4 + 4 * arm, size=n)
        question = np.repeat(np.arange(n), size)
        wrong = rng.random(len(question)) < np.clip(rate + hard[question], 0.02, 0.98)
        parts.append((question, np.full(len(question), bool(arm)), wrong))
    question, after, wrong = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(question, kind="stable")
    return Pool(question[order], after[order], wrong[order], n)


@pytest.fixture(scope="module")
def biased():
    return coverage(planted(1000), questions=120, sheet=200, runs=120, seed=1)


def test_the_difference_as_judged_is_biased_and_its_interval_misses(biased):
    assert biased.truth == pytest.approx(0.25, abs=0.03)
    assert abs(biased.naive - biased.truth) > 0.2
    assert biased.naive_held < 0.05


@pytest.mark.parametrize("method", METHODS)
def test_the_corrected_difference_covers_the_truth(biased, method):
    # 120 runs at .95 have a standard error of .02
    assert biased.held[method] >= 0.88
    assert abs(biased.mean[method] - biased.truth) < 0.02
    assert biased.width[method] < 0.3


def test_a_judge_that_errs_alike_in_both_arms_shrinks_the_difference_by_what_it_misses():
    found = coverage(planted(1000), questions=120, sheet=100, runs=40, judge=FAIR)
    assert found.naive == pytest.approx(0.8 * found.truth, abs=0.02)
    for method in METHODS:
        assert found.mean[method] == pytest.approx(found.truth, abs=0.04)


def test_the_judge_errs_as_it_is_told_and_together_within_a_question():
    rng = np.random.default_rng(0)
    question = np.repeat(np.arange(20_000), 2)
    late, wrong = question % 2 == 1, rng.random(len(question)) < 0.5
    judge = NoisyJudge(shared=0.8)
    called = judge.calls(question, late, wrong, rng)
    for arm, hit, alarm in zip((False, True), judge.hits, judge.alarms, strict=True):
        own = late == arm
        assert called[own & wrong].mean() == pytest.approx(hit, abs=0.015)
        assert called[own & ~wrong].mean() == pytest.approx(alarm, abs=0.015)
    pairs = (called != wrong).reshape(-1, 2)
    assert np.corrcoef(pairs.T)[0, 1] > 0.1


def test_the_same_seed_gives_the_same_runs_and_another_does_not():
    pool = planted(200)
    first = coverage(pool, questions=40, sheet=60, runs=5, seed=3)
    assert coverage(pool, questions=40, sheet=60, runs=5, seed=3) == first
    assert coverage(pool, questions=40, sheet=60, runs=5, seed=4) != first
