"""GEE for two error rates: against statsmodels, and what it weighs."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.genmod.cov_struct import Exchangeable

from mechcot.core.errors import AnalysisError
from mechcot.stats import gee_difference, question_weighted_difference, ratio_difference_interval


def _study(seed, n=40, uneven=True):
    rng = np.random.default_rng(seed)
    hard = rng.beta(1.5, 4, n)
    sums = []
    for shift in (0.0, 0.15):
        m = 1 + rng.poisson(rng.lognormal(1, 0.8, n) if uneven else 5, n)
        sums += [rng.binomial(m, np.clip(hard + shift, 0, 1)), m]
    return sums


def _by_statsmodels(sums):
    rows = []
    for arm, (errors, judged) in enumerate((sums[:2], sums[2:])):
        for q, (e, m) in enumerate(zip(errors, judged, strict=True)):
            rows += [(q, arm, 1)] * int(e) + [(q, arm, 0)] * int(m - e)
    q, arm, y = np.array(sorted(rows), dtype=float).T
    model = sm.GEE(
        y, sm.add_constant(arm), groups=q, family=sm.families.Binomial(), cov_struct=Exchangeable()
    )
    found = model.fit(cov_type="bias_reduced", ctol=1e-12, maxiter=500)
    p0, p1 = 1 / (1 + np.exp(-np.array([found.params[0], found.params.sum()])))
    gradient = np.array([p1 * (1 - p1) - p0 * (1 - p0), p1 * (1 - p1)])
    se = np.sqrt(gradient @ found.cov_params() @ gradient)
    return p0, p1, se, model.cov_struct.dep_params


@pytest.mark.parametrize("seed", range(4))
def test_it_is_statsmodels_gee_with_the_delta_method(seed):
    sums = _study(seed)
    found = gee_difference(*sums)
    p0, p1, se, rho = _by_statsmodels(sums)
    assert (found.before, found.after) == pytest.approx((p0, p1), abs=1e-6)
    assert found.correlation == pytest.approx(rho, abs=1e-5)
    assert found.se == pytest.approx(se, rel=1e-4)
    assert found.difference.low < found.difference.estimate < found.difference.high


def test_with_as_many_steps_everywhere_it_is_the_difference_of_rates():
    e0, _, e1, _ = _study(1, uneven=False)
    even = np.full(40, 5)
    e0, e1 = np.minimum(e0, 5), np.minimum(e1, 5)
    found = gee_difference(e0, even, e1, even)
    plain = ratio_difference_interval(e0, even, e1, even)
    assert found.difference.estimate == pytest.approx(plain.estimate)
    assert found.se == pytest.approx((plain.high - plain.low) / 2 / 2.02, rel=0.03)


def test_it_lies_between_weighing_steps_and_weighing_questions():
    between = 0
    for seed in range(20):
        sums = _study(seed)
        steps = ratio_difference_interval(*sums).estimate
        questions = question_weighted_difference(*sums).estimate
        low, high = sorted((steps, questions))
        between += low - 0.01 <= gee_difference(*sums).difference.estimate <= high + 0.01
    assert between >= 17


@pytest.mark.parametrize(
    ("sums", "reason"),
    [
        (([0] * 8, [2] * 8, [1] * 8, [2] * 8), "no judged step before is wrong"),
        (([1] * 8, [2] * 8, [2] * 8, [2] * 8), "every judged step after is wrong"),
        (([0] * 8, [0] * 8, [1] * 8, [2] * 8), "no judged step before"),
        (([1, 0, 1], [2] * 3, [1] * 3, [2] * 3), "3 questions are too few"),
        (([1] * 8, [2] * 8, [1] * 8, [2] * 8), "alike"),
    ],
)
def test_what_cannot_be_fitted_says_so(sums, reason):
    found = gee_difference(*sums)
    assert found.difference.low is None
    assert reason in found.difference.reason


def test_bad_input_is_named():
    with pytest.raises(AnalysisError, match="one value per question"):
        gee_difference([1], [1, 2], [1], [1])
