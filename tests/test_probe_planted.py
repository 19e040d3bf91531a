"""Truths planted in activations and labels, found by real fits on the real folds."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mechcot.core.errors import AnalysisError
from mechcot.probe import Data, FitSettings
from mechcot.probe.fit import mass_mean_job, nested, out_of_fold
from mechcot.probe.folds import design
from mechcot.probe.nulls import null_job
from mechcot.probe.sweeps import sweep
from mechcot.stats import cluster_bootstrap_auroc, fold_auroc, stratified_auroc

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

from coverage_probe import Design, coverage

N_STEPS = 8


def steps(seed, *, n_questions=60, n_traces=3, d=24):
    """Noise activations of traces; position, kind and a latent are there to be read, as in a real model."""
    rng = np.random.default_rng(seed)
    sid = np.tile(np.arange(N_STEPS), n_questions * n_traces)
    n = len(sid)
    kind, latent = rng.integers(0, 4, n), rng.normal(size=n)
    X = rng.normal(size=(n, d))
    X[:, 0] += 1.5 * (sid - N_STEPS / 2)
    X[np.arange(n), 1 + kind] += 4
    qid = np.repeat(np.arange(n_questions), n_traces * N_STEPS)
    return X, sid, kind, latent, qid, rng


def plan_of(y, qid, text=None):
    return design(Data(np.zeros((len(y), 1)), y, qid, text=text, entity=qid // 2), FitSettings())


def mass_mean(sources, plan):
    return sweep(sources, [mass_mean_job(plan)])[0]


def redrawn(sources, plan, sid, kind, draws):
    given = Data(sources, plan.y, plan.qid, pd.DataFrame({"sid": sid, "kind": kind}))
    plan = replace(plan, settings=FitSettings(null_draws=draws))
    return sweep(sources, [null_job(given, plan)])[0].redrawn


def drawn(rng, p):
    return (rng.random(len(p)) < p).astype(np.int64)


def within(scores, y, plan, qid, strata):
    return cluster_bootstrap_auroc(scores, y, plan.fold, qid, 1000, 0, strata=strata)


def test_position_only_labels():
    X, sid, kind, _, qid, rng = steps(0)
    y = drawn(rng, np.where(sid >= 4, 0.97, 0.03))
    plan = plan_of(y, qid)
    for found in (nested({0: X, 1: X[:, :8]}, plan), mass_mean({0: X[:, :1]}, plan)):
        assert fold_auroc(found.scores, y, plan.fold) >= 0.9
        inside = within(found.scores, y, plan, qid, sid)
        assert inside.low < 0.5 < inside.high
    null = redrawn({0: X}, plan, sid, kind, 99)
    assert null.observed >= 0.9
    assert null.p > 0.02
    assert null.mean >= 0.9


def test_kind_only_labels():
    X, _, kind, _, qid, rng = steps(1)
    y = drawn(rng, np.array([0.02, 0.05, 0.95, 0.98])[kind])
    plan = plan_of(y, qid)
    found = nested({0: X}, plan)
    assert fold_auroc(found.scores, y, plan.fold) >= 0.9
    inside = within(found.scores, y, plan, qid, kind)
    assert inside.low < 0.5 < inside.high
    named = out_of_fold(np.eye(4)[kind], plan)
    assert fold_auroc(named, y, plan.fold) >= 0.9
    assert stratified_auroc(named, y, plan.fold, kind).auroc == 0.5


def test_a_constant_feature_scores_exactly_one_half():
    X, sid, kind, _, qid, rng = steps(2)
    y = drawn(rng, np.where(sid >= 4, 0.8, 0.2))
    plan = plan_of(y, qid)
    still = np.full_like(X, 0.1)
    assert fold_auroc(nested({0: still}, plan).scores, y, plan.fold) == 0.5
    assert fold_auroc(mass_mean({0: still}, plan).scores, y, plan.fold) == 0.5
    assert fold_auroc(out_of_fold(still[:, :1], plan), y, plan.fold) == 0.5
    assert redrawn({0: still}, plan, sid, kind, 9).p == 1.0


def test_a_true_direction_under_a_position_confound_is_recovered_within_position():
    X, sid, kind, latent, qid, rng = steps(3)
    y = drawn(rng, 1 / (1 + np.exp(-(sid - 3.5) - 2.5 * latent)))
    plan = plan_of(y, qid)
    with_it = X.copy()
    with_it[:, 10] += 2 * latent
    found = nested({"without": X, "with": with_it}, plan)
    assert {row["layer"] for row in found.chosen} == {"with"}
    best = stratified_auroc(with_it[:, 10], y, plan.fold, sid).auroc
    inside = within(found.scores, y, plan, qid, sid)
    assert inside.low > 0.75
    assert inside.estimate > best - 0.04  # nearly all that the planted column itself knows
    assert within(found.layer_scores["without"], y, plan, qid, sid).low < 0.5
    null = redrawn({0: X, 1: with_it}, plan, sid, kind, 99)
    assert null.p == 0.01
    assert null.mean > 0.6  # what position alone gives


def test_pure_noise_is_chance_and_the_best_layer_on_the_same_folds_is_optimistic():
    nested_at, best_at = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        qid, y = np.repeat(np.arange(40), 5), rng.integers(0, 2, 200)
        plan = plan_of(y, qid)
        noise = {k: rng.normal(size=(200, 1024)).astype(np.float32) for k in range(4)}
        found = nested(noise, plan)
        nested_at.append(fold_auroc(found.scores, y, plan.fold))
        best_at.append(max(fold_auroc(scores, y, plan.fold) for scores in found.layer_scores.values()))
    error = np.std(nested_at) / np.sqrt(10)
    assert abs(np.mean(nested_at) - 0.5) < 3 * error
    assert np.mean(best_at) > np.mean(nested_at) + 0.02


def test_duplicated_claims_across_questions_do_not_inflate():
    # half of the steps repeat one of 60 claims, each with its own vector and label: memory alone knows them
    X, _, _, _, qid, rng = steps(4)
    n = len(X)
    claim = rng.integers(0, 60, n)
    repeated = rng.random(n) < 0.5
    vectors, labels = 3 * rng.normal(size=(60, X.shape[1])), rng.integers(0, 2, 60)
    X[repeated] = vectors[claim[repeated]] + 0.1 * rng.normal(size=(repeated.sum(), X.shape[1]))
    y = np.where(repeated, labels[claim], rng.integers(0, 2, n))
    text = [f"repeated {claim[i]}" if repeated[i] else f"own {i}" for i in range(n)]
    naive, purged = plan_of(y, qid), plan_of(y, qid, text)
    assert naive.purged_share == 0.0
    assert purged.purged_share == pytest.approx(0.5, abs=0.05)
    inflated = nested({0: X}, naive)
    assert within(inflated.scores, y, naive, qid, repeated).low > 0.6
    honest = nested({0: X}, purged)
    assert fold_auroc(honest.scores, y, purged.fold) < 0.56
    # all repeats: after purging nothing is left to learn from, and that is said
    everything = [f"repeated {c}" for c in claim]
    with pytest.raises(AnalysisError, match=r"purging \d+ repeated claims"):
        plan_of(labels[claim], qid, everything)


@pytest.mark.parametrize(
    ("design", "runs"),
    [(Design(40, 0.3, 0.8, "all"), 300), (Design(150, 0.1, 0.95, "scores"), 120)],
)
def test_the_intervals_of_fixed_scorers_cover(design, runs):
    """The whole grid, 2,000 runs: `python scripts/coverage_probe.py`; these tell .95 from what steps give."""
    found = coverage(design, runs)
    for name in ("interval", "difference"):
        assert abs(found[name] - 0.95) < 0.02 + 3 * np.sqrt(0.95 * 0.05 / runs)
    assert found["by step"] < 0.9
