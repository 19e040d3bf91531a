from __future__ import annotations

import numpy as np
import pytest

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.stats.scales import scale_difference


def make_arm(rng, *, questions=60, steps=12, log_hazard=-3.5, spread=0.0, effects=None, mean_words=12):
    """Errors fall on words one by one; `effects` are the questions' log hazards beside the arm's."""
    question = np.repeat(np.arange(questions), steps)
    words = 1 + rng.poisson(mean_words - 1, len(question))
    effects = np.zeros(questions) if effects is None else effects * spread
    p = -np.expm1(-words * np.exp(log_hazard + effects[question]))
    return (rng.random(len(question)) < p).astype(float), question, words.astype(float)


def merge(arm, size):
    """Every `size` neighbouring steps of a question as one, wrong where one of them is."""
    wrong, question, words = (column.reshape(-1, size) for column in arm)
    return wrong.max(axis=1), question[:, 0], words.sum(axis=1)


def difference(arms, link, offset):
    (y0, q0, w0), (y1, q1, w1) = arms
    offsets = (np.log(w0), np.log(w1)) if offset else (None, None)
    return scale_difference(y0, q0, y1, q1, link, *offsets)


@pytest.mark.parametrize("link", ["logit", "cloglog"])
@pytest.mark.parametrize("offset", [False, True])
def test_estimate_and_clustered_error_are_those_of_statsmodels(link, offset):
    import statsmodels.api as sm

    rng = np.random.default_rng(0)
    effects = rng.normal(size=40)
    arms = [make_arm(rng, questions=40, effects=effects, spread=0.7, log_hazard=h) for h in (-3.5, -2.8)]
    own = difference(arms, link, offset)
    wrong, question, words = (np.concatenate(columns) for columns in zip(*arms, strict=True))
    X = np.column_stack([np.ones(len(wrong)), np.arange(len(wrong)) >= len(arms[0][0])]).astype(float)
    links = {"logit": sm.families.links.Logit(), "cloglog": sm.families.links.CLogLog()}
    model = sm.GLM(
        wrong, X, family=sm.families.Binomial(link=links[link]), offset=np.log(words) if offset else None
    )
    theirs = model.fit(
        method="newton", tol=1e-12, maxiter=200, cov_type="cluster", cov_kwds={"groups": question}
    )
    assert own.difference.estimate == pytest.approx(theirs.params[1], abs=1e-7)
    assert own.before == pytest.approx(theirs.params[0], abs=1e-7)
    small = np.sqrt((len(wrong) - 1) / (len(wrong) - 2))  # statsmodels counts the parameters too
    assert own.se * small == pytest.approx(theirs.bse[1], rel=1e-6)
    assert own.difference.low < own.difference.estimate - 1.96 * own.se


def test_without_an_offset_the_intercepts_are_the_links_of_the_rates():
    wrong0, wrong1 = np.repeat([1, 0], [306, 694]), np.repeat([1, 0], [503, 497])
    question = np.arange(1000)
    odds = scale_difference(wrong0, question, wrong1, question, "logit")
    hazard = scale_difference(wrong0, question, wrong1, question, "cloglog")
    assert odds.difference.estimate == pytest.approx(0.831, abs=5e-4)
    assert hazard.difference.estimate == pytest.approx(0.649, abs=5e-4)
    assert odds.before == pytest.approx(np.log(0.306 / 0.694))
    assert hazard.after == pytest.approx(np.log(-np.log(0.497)))


def test_merging_steps_changes_odds_and_risk_but_no_hazard_where_errors_are_homogeneous():
    rng = np.random.default_rng(1)
    arms = [make_arm(rng, questions=4000, log_hazard=h) for h in (-4.0, -3.4)]
    for size in (1, 3, 6):
        merged = [merge(arm, size) for arm in arms]
        hazard = difference(merged, "cloglog", offset=True)
        assert hazard.difference.low < 0.6 < hazard.difference.high
        assert hazard.se < 0.03
    risk = [[merge(arm, size)[0].mean() for arm in arms] for size in (1, 6)]
    assert risk[1][1] - risk[1][0] > 1.4 * (risk[0][1] - risk[0][0])
    odds = [difference([merge(arm, size) for arm in arms], "logit", offset=True) for size in (1, 6)]
    assert odds[1].difference.low > odds[0].difference.high


def marginal_hazard_difference(words, log_hazards, spread):
    """Difference of the complementary log-logs of the error rates, questions integrated out."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    right = [
        (weights * np.exp(-words * np.exp(h + spread * nodes))).sum() / weights.sum() for h in log_hazards
    ]
    return np.log(-np.log(right[1])) - np.log(-np.log(right[0]))


def test_where_questions_differ_the_hazard_ratio_shrinks_with_the_length_of_a_step():
    log_hazards, spread = (-4.0, -3.4), 1.2
    expected = [marginal_hazard_difference(12 * size, log_hazards, spread) for size in (1, 3, 6)]
    # the truth inside a question is 0.6: 24 % of it are gone at 12 words a step, 41 % at 72
    assert expected == pytest.approx([0.455, 0.391, 0.352], abs=1e-3)
    rng = np.random.default_rng(2)
    effects = rng.normal(size=6000)
    arms = []
    for h in log_hazards:
        own = effects * spread
        question = np.repeat(np.arange(6000), 6)
        p = -np.expm1(-12 * np.exp(h + own[question]))
        wrong = (rng.random(len(question)) < p).astype(float)
        arms.append((wrong, question, np.full(len(question), 12.0)))
    for size, value in zip((1, 3, 6), expected, strict=True):
        fitted = difference([merge(arm, size) for arm in arms], "cloglog", offset=True).difference
        assert fitted.low - 0.02 < value < fitted.high + 0.02
        assert fitted.high < 0.6


def test_the_clustered_interval_covers_and_the_step_independent_one_does_not():
    truth = marginal_hazard_difference(12, (-4.0, -3.6), 1.0)
    hits = naive = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        arms = []
        for h in (-4.0, -3.6):  # questions differ, and differently in each arm
            p = -np.expm1(-12 * np.exp(h + rng.normal(size=60)))
            wrong = rng.random((60, 12)) < p[:, None]
            arms.append((wrong.ravel().astype(float), np.repeat(np.arange(60), 12), np.full(720, 12.0)))
        own = difference(arms, "cloglog", offset=True).difference
        hits += own.low <= truth <= own.high
        alone = [(y, np.arange(720) + 720 * i, w) for i, (y, _, w) in enumerate(arms)]
        loose = difference(alone, "cloglog", offset=True).difference
        naive += loose.low <= truth <= loose.high
    assert hits >= 184  # 95 % of 200 is 190, two standard errors are 6
    assert naive < 176


def test_what_has_no_finite_intercept_says_so():
    ones, zeros, question = np.ones(4), np.zeros(4), np.arange(4)
    some = np.array([1, 0, 0, 1])
    result = scale_difference(zeros, question, some, question, "cloglog")
    assert result.difference.reason == "no judged step before is wrong"
    assert result.before is None
    assert result.after is not None
    assert scale_difference(some, question, ones, question, "logit").difference.reason.startswith("every")
    assert scale_difference([], [], some, question, "logit").difference.reason == "no judged steps before"
    single = scale_difference(some, zeros, some, zeros, "logit")
    assert (single.difference.estimate, single.difference.low) == (0, None)
    assert single.to_json()["se"]["reason"] == "1 questions have no spread"


def test_extreme_lengths_converge():
    wrong, question = np.array([1, 0, 1, 0, 1, 0]), np.arange(6)
    lengths = np.log([1, 1, 50_000, 1, 3, 50_000])
    for link in ("logit", "cloglog"):
        result = scale_difference(wrong, question, wrong[::-1], question, link, lengths, lengths)
        assert np.isfinite(result.difference.estimate)


@pytest.mark.parametrize(
    ("error", "call", "words"),
    [
        (AnalysisError, lambda: scale_difference([2], [0], [1], [0], "logit"), "row 0: the outcome 2"),
        (AnalysisError, lambda: scale_difference([1, 0], [0], [1], [0], "logit"), "shapes"),
        (AnalysisError, lambda: scale_difference([1], [0], [1], [0], "logit", [0.0], [np.inf]), "after.*inf"),
        (UsageError, lambda: scale_difference([1], [0], [1], [0], "probit"), "probit"),
        (UsageError, lambda: scale_difference([1], [0], [1], [0], "logit", [0.0]), "both arms"),
    ],
)
def test_bad_input_is_named(error, call, words):
    with pytest.raises(error, match=words):
        call()
