"""The cumulative-logit models: known fits, planted effects, degenerate ratings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats
from statsmodels.miscmodels.ordinal_model import OrderedModel

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.stats.ordinal import fit_ordinal
from mechcot.stats.ordinal_mixed import fit_mixed
from mechcot.stats.rating_draws import Plan, Shares, draw_ratings, latent_noise

MARGINAL = np.array([0.05, 0.1, 0.2, 0.4, 0.25])
EFFECTS = np.array([0.0, 0.5, -0.5, 1.0])
DEFAULT = Shares()


def plan(raters=100, groups=4, items=12, each=6):
    rater = np.repeat(np.arange(raters), each)
    item = (rater // groups * each + np.tile(np.arange(each), raters)) % items
    return Plan(rater, rater % groups, item)


def drawn(seed=0, scales=1, effects=EFFECTS, shares=DEFAULT, **how):
    return draw_ratings(plan(**how), effects, shares, MARGINAL, np.random.default_rng(seed), scales=scales)


def test_one_scale_is_the_ordered_model_of_statsmodels():
    ratings = drawn()
    design = pd.get_dummies(pd.Series(ratings.group))[[1, 2, 3]].astype(float)
    other = OrderedModel(ratings.value, design, distr="logit").fit(method="bfgs", disp=0, gtol=1e-9)
    fit = fit_ordinal(ratings)
    assert fit.effects[1:] == pytest.approx(other.params.to_numpy()[:3], abs=1e-5)
    cuts = other.model.transform_threshold_params(other.params.to_numpy())[1:-1]
    assert fit.thresholds[0] == pytest.approx(cuts, abs=1e-5)


def test_without_correction_the_influences_are_the_sandwich_of_statsmodels():
    """Clusters of one rating each are corrected by next to nothing."""
    ratings = drawn(raters=400)
    fit = fit_ordinal(ratings)
    alone = fit_ordinal(replace(ratings, rater=np.arange(len(ratings.value))))
    assert alone.by_rater.T @ alone.by_rater == pytest.approx(fit.by_pair.T @ fit.by_pair, rel=0.05)
    design = pd.get_dummies(pd.Series(ratings.group))[[1, 2, 3]].astype(float)
    model = OrderedModel(ratings.value, design, distr="logit")
    other = model.fit(method="bfgs", disp=0, gtol=1e-9)
    scores = model.score_obs(other.params.to_numpy())
    bread = np.linalg.inv(model.hessian(other.params.to_numpy()))
    robust = (bread @ (scores.T @ scores) @ bread)[:3, :3]
    assert (fit.by_pair.T @ fit.by_pair)[-3:, -3:] == pytest.approx(robust, rel=0.03, abs=1e-4)


def test_draws_have_the_planted_margins_whatever_is_shared():
    rng = np.random.default_rng(3)
    noise = latent_noise(plan(raters=400, each=3), Shares(0.3, 0.1, 0.1, 0.2), rng, scales=3)
    many = np.concatenate(
        [latent_noise(plan(), Shares(0.3, 0.1, 0.1, 0.2), rng, scales=1)[0, :1] for _ in range(4000)]
    )
    assert scipy_stats.kstest(many, "logistic").pvalue > 0.01
    assert np.corrcoef(noise)[0, 1] > 0.5


def test_planted_effects_come_back_and_lie_in_their_intervals():
    fit = fit_ordinal(drawn(raters=2000, items=60, scales=3))
    assert fit.effects == pytest.approx(EFFECTS, abs=0.15)
    for group in (1, 2, 3):
        found, p = fit.contrast(group, 0)
        assert found.low < EFFECTS[group] < found.high
        assert p < 0.01
    share = fit.at_least(0, 3, 3)
    truth = 1 / (1 + np.exp(-(1.0 + np.log(0.65 / 0.35))))
    assert share.low < truth < share.high
    assert share.estimate == pytest.approx(truth, abs=0.03)


def test_contrasts_are_antisymmetric_and_conditions_may_change_places():
    ratings = drawn(scales=3)
    fit = fit_ordinal(ratings)
    there, back = fit.contrast(3, 1).log_odds, fit.contrast(1, 3).log_odds
    assert (there.estimate, there.low) == pytest.approx((-back.estimate, -back.high))
    swapped = fit_ordinal(replace(ratings, group=np.array([3, 1, 2, 0])[ratings.group]))
    assert swapped.contrast(0, 3).log_odds.estimate == pytest.approx(fit.contrast(3, 0).log_odds.estimate)
    assert swapped.contrast(0, 3).log_odds.se == pytest.approx(fit.contrast(3, 0).log_odds.se)


def test_raters_and_items_both_count():
    """Ratings of few texts that differ are worth less than as many of many texts, whoever rates them."""
    alike, differ = Shares(0.0, 0.0, 0.0, 0.0), Shares(0.0, 0.0, 0.3, 0.0)
    errors = [
        np.mean([fit_ordinal(drawn(seed, shares=shares)).contrast(1, 0).log_odds.se for seed in range(8)])
        for shares in (alike, differ)
    ]
    assert errors[1] > 1.5 * errors[0]
    by_raters = np.mean(
        [
            fit_ordinal(drawn(s, shares=Shares(0.5, 0.0, 0.0, 0.0))).contrast(1, 0).log_odds.se
            for s in range(8)
        ]
    )
    assert by_raters > 1.4 * errors[0]


def test_a_category_that_nobody_used_changes_nothing():
    ratings = drawn()
    wide = replace(ratings, value=np.where(ratings.value > 1, ratings.value + 1, ratings.value), categories=7)
    fit, other = fit_ordinal(ratings), fit_ordinal(wide)
    assert other.effects == pytest.approx(fit.effects)
    assert other.contrast(1, 0).log_odds.se == pytest.approx(fit.contrast(1, 0).log_odds.se)
    assert other.at_least(0, 3, 1).estimate == pytest.approx(fit.at_least(0, 2, 1).estimate)
    assert other.at_least(0, 6, 1).estimate == 0
    low = replace(ratings, value=ratings.value + 2, categories=7)
    assert fit_ordinal(low).at_least(0, 2, 1).estimate == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda r: replace(r, value=np.where(r.group == 2, 4, np.minimum(r.value, 3))),
            "highest value in use",
        ),
        (lambda r: replace(r, value=np.full_like(r.value, 2)), "are one value"),
        (lambda r: replace(r, groups=5), "condition 4 has no ratings"),
        (lambda r: replace(r, rater=np.zeros_like(r.rater)), "two conditions"),
    ],
)
def test_what_cannot_be_fitted_is_named(change, said):
    with pytest.raises(AnalysisError, match=said):
        fit_ordinal(change(drawn()))


def test_few_raters_or_items_get_no_interval():
    few = fit_ordinal(drawn(raters=20)).contrast(1, 0)
    assert few.log_odds.low is None
    assert few.p is None
    assert "5 raters" in few.log_odds.reason
    assert "4 items" in fit_ordinal(drawn(items=4, each=3)).contrast(1, 0).log_odds.reason


def test_shares_and_probabilities_that_are_none_are_refused():
    with pytest.raises(UsageError, match="sum to less than 1"):
        drawn(shares=Shares(0.5, 0.3, 0.2, 0.1))
    with pytest.raises(UsageError, match="sum to 1"):
        draw_ratings(plan(), EFFECTS, Shares(), MARGINAL / 2, np.random.default_rng(0))


def test_conditional_effects_are_larger_and_the_same_without_anything_shared():
    found = fit_mixed(
        drawn(shares=Shares(0.6, 0.0, 0.05, 0.0), raters=60, each=4, groups=2, effects=EFFECTS[:2] * 3)
    )
    margin = fit_ordinal(
        drawn(shares=Shares(0.6, 0.0, 0.05, 0.0), raters=60, each=4, groups=2, effects=EFFECTS[:2] * 3)
    )
    factor = np.sqrt(1 + 0.346 * np.sum(np.square(found.sd)))
    assert found.sd[0] > 1
    assert found.effects[1] / margin.effects[1] == pytest.approx(factor, rel=0.2)
    inside = found.contrast(1, 0)
    assert inside.low < inside.estimate < inside.high


def test_a_mixed_model_takes_one_scale():
    with pytest.raises(AnalysisError, match="one scale"):
        fit_mixed(drawn(scales=2))
