import json

import numpy as np
import pytest
import statsmodels.api as sm

from mechcot.core.errors import AnalysisError
from mechcot.probe import Data, FitSettings
from mechcot.probe.baselines import kind_features, position_features
from mechcot.probe.cross_fitting import cross_fit, dense, probe_scores
from mechcot.probe.fit import nested
from mechcot.probe.folds import Rows, design
from mechcot.probe.incremental import added_bits, increment, residualised, residualised_scores, wald_test
from mechcot.stats import fold_auroc


def study(seed, *, signal=0.0, n_questions=60, per=12, d=20, draws=100):
    """Labels by position and kind, and `signal` of a direction; activations show all three."""
    rng = np.random.default_rng(seed)
    n, n_steps = n_questions * per, 6
    sid, qid = np.tile(np.arange(n_steps), n // n_steps), np.repeat(np.arange(n_questions), per)
    kind, latent = rng.integers(0, 3, n), rng.normal(size=n)
    logit = 1.2 * (sid - 2.5) + np.array([-1.0, 0.0, 1.0])[kind] + signal * latent
    y = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int)
    X = rng.normal(size=(n, d))
    X[:, 0] += 2 * sid
    X[np.arange(n), 1 + kind] += 3
    X[:, 4] += 2 * latent
    settings = FitSettings(grid=(0.001, 0.01, 0.1), draws=draws, seed=seed)
    plan = design(Data(X, y, qid), settings)
    confounds = np.hstack([position_features(sid, np.full(n, n_steps)), kind_features(kind.astype(str))])
    return X, y, plan, confounds


def added(seed, draws=300, **how):
    X, y, plan, confounds = study(seed, draws=draws, **how)
    fit = nested({0: X}, plan)
    probe = probe_scores({0: X}, plan, fit.chosen)
    found = increment({0: X}, confounds, probe, fit.chosen, plan)
    return found, probe, fit, plan, y


def test_on_labels_that_only_confounds_make_the_gain_covers_0():
    covers, above, p, left = [], [], [], []
    for seed in range(20):
        found, *_ = added(seed, draws=200, n_questions=40)
        gain = found.bits.gain
        # No fold added the probe: exactly 0, without an interval.
        covers.append(gain.estimate == 0 if gain.low is None else gain.low <= 0 <= gain.high)
        above.append(gain.low is not None and gain.low > 0)
        p.append(found.wald.p)
        left.append(found.residualised.estimate)
        assert found.bits.prevalence - found.bits.confounds > 0.2  # the confounds do explain the labels
    # measured over 300 seeds, 60 questions: .983 cover 0, none above it; .03 of the statistics pass 1.645
    assert np.mean(covers) >= 0.85
    assert np.mean(above) <= 0.1
    assert np.mean(np.array(p) < 0.05) <= 0.17
    assert np.mean(left) == pytest.approx(0.5, abs=0.02)


def test_a_true_direction_is_worth_bits():
    found, _, fit, plan, y = added(0, signal=2.0)
    assert fold_auroc(fit.scores, y, plan.fold) > 0.8
    assert found.bits.gain.low > 0.05
    assert found.bits.n_folds == 5
    assert found.bits.gain.estimate == pytest.approx(found.bits.confounds - found.bits.both)
    assert found.wald.p < 1e-6
    assert found.wald.coefficient > 0
    assert found.residualised.low > 0.6
    json.dumps(found.to_json(), allow_nan=False)


def test_a_useless_probe_is_left_out_by_the_inner_folds():
    X, y, plan, confounds = study(1)
    flat = cross_fit(dense(np.ones_like(X), y), plan, (0.1,))
    bits = added_bits(confounds, flat, plan)
    assert bits.n_folds == 0
    assert (bits.gain.estimate, bits.gain.low, bits.gain.high) == (0.0, None, None)
    wald = wald_test(confounds, flat.scores(plan), plan)
    assert wald.p is None
    assert "function of the confounds" in wald.reason
    json.dumps(wald.to_json(), allow_nan=False)


def test_what_is_known_already_is_not_counted_twice():
    X, y, plan, confounds = study(2, signal=2.0)
    probe = cross_fit(dense(X, y), plan, (0.01,))
    alone = added_bits(confounds, probe, plan)
    again = added_bits(confounds, probe, plan, [probe])
    assert alone.gain.low > 0.05
    assert abs(again.gain.estimate) < 0.005
    assert again.confounds == pytest.approx(alone.both, abs=0.01)


def test_the_probes_own_test_scores_are_those_of_the_nested_fit():
    _, probe, fit, plan, _ = added(3, signal=1.0)
    for k in range(5):
        rows = plan.fold == k
        assert np.corrcoef(probe.log_odds(plan)[rows], fit.scores[rows])[0, 1] > 0.99999


def test_layers_are_loaded_only_where_they_were_chosen():
    X, _, plan, _ = study(4, signal=1.0)
    asked = []

    def load():
        asked.append(1)
        return X

    chosen = [{"layer": 7, "C": 0.01}] * 5
    found = probe_scores({7: load, 8: None}, plan, chosen)
    assert len(asked) == 1
    assert found.C.tolist() == [0.01] * 5


@pytest.mark.parametrize("seed", [0, 1])
def test_the_wald_test_is_statsmodels_clustered(seed):
    rng = np.random.default_rng(seed)
    n, qid = 800, np.repeat(np.arange(80), 10)
    confounds = rng.normal(size=(n, 2))
    score = confounds[:, 0] + rng.normal(size=n)
    difficulty = rng.normal(size=80)[qid]
    y = (rng.random(n) < 1 / (1 + np.exp(-confounds[:, 0] - 0.3 * score - difficulty))).astype(int)
    fold = qid % 4
    ours = wald_test(confounds, score, Rows(y, qid, fold))
    design = np.column_stack(
        [np.ones(n), confounds, fold[:, None] == [1, 2, 3], (score - score.mean()) / score.std()]
    )
    model = sm.Logit(y, design).fit(disp=0, cov_type="cluster", cov_kwds={"groups": qid})
    theirs = model.bse[-1]
    assert ours.coefficient == pytest.approx(model.params[-1], rel=1e-3)
    # theirs has another factor for few clusters: times (n - 1) / (n - columns)
    assert ours.se == pytest.approx(theirs, rel=0.02)
    assert ours.n_questions == 80


def test_a_kind_that_never_errs_does_not_stop_the_test():
    X, y, plan, _ = study(5, signal=2.0)
    kind = np.where(y == 0, np.arange(len(y)) % 2, 0).astype(str)  # kind 1 is never wrong
    probe = cross_fit(dense(X, y), plan, (0.01,))
    found = wald_test(kind_features(kind), probe.scores(plan), plan)
    assert found.p < 1e-6
    assert np.isfinite(found.se)


def test_residuals_are_learned_from_training_rows_alone():
    rng = np.random.default_rng(0)
    confounds = np.eye(3)[rng.integers(0, 3, 90)]
    X = rng.normal(size=(90, 4)) + confounds @ rng.normal(size=(3, 4)) * 5
    X[:, 3] = confounds[:, 1]  # explained whole
    train = np.arange(90) < 60
    out = residualised(X, confounds, train)
    kind = confounds.argmax(axis=1)
    for k in range(3):
        mean = X[train & (kind == k)].mean(axis=0)
        np.testing.assert_allclose(out[kind == k][:, :3], (X[kind == k] - mean)[:, :3], atol=1e-9)
    assert (out[:, 3] == 0).all()
    changed = X.copy()
    changed[70:] += 100
    assert (residualised(changed, confounds, train)[train] == out[train]).all()


def test_residuals_of_what_confounds_explain_score_one_half():
    _, y, plan, confounds = study(6)
    shadow = confounds @ np.random.default_rng(0).normal(size=(confounds.shape[1], 8))
    found = residualised_scores({0: shadow}, confounds, plan, [{"layer": 0, "C": 0.1}] * 5)
    assert fold_auroc(found, y, plan.fold) == 0.5


def test_bad_confounds_are_refused():
    X, y, plan, confounds = study(7, n_questions=12)
    probe = cross_fit(dense(X, y), plan, (0.01,))
    wide = np.random.default_rng(0).normal(size=(len(y), len(y)))
    with pytest.raises(AnalysisError, match=f"{len(y)} confound columns for {len(y)} steps"):
        added_bits(wide, probe, plan)
    with pytest.raises(AnalysisError, match="confounds must be finite"):
        wald_test(confounds[:-1], probe.scores(plan), plan)
    confounds[3, 0] = np.nan
    with pytest.raises(AnalysisError, match="confounds must be finite"):
        residualised_scores({0: X}, confounds, plan, [{"layer": 0, "C": 0.1}] * 5)
