import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mechcot.core.errors import AnalysisError
from mechcot.probe import Data, FitSettings
from mechcot.probe.fit import mass_mean_job, nested, nested_job, out_of_fold
from mechcot.probe.folds import assign_folds, design, purged_training_rows
from mechcot.probe.settings import GRID
from mechcot.probe.sweeps import fold_aurocs, sweep
from mechcot.stats import fold_auroc


def data(seed=0, *, n_questions=40, per=10, d=24, strength=1.5, offset=0.0, **settings):
    """Steps of questions with a planted direction; `offset` is how far questions lie apart in X."""
    rng = np.random.default_rng(seed)
    n = n_questions * per
    qid = np.repeat(np.arange(n_questions), per)
    latent = rng.normal(size=n)
    y = (rng.random(n) < 1 / (1 + np.exp(-strength * latent))).astype(np.int64)
    X = rng.normal(size=(n, d)) + offset * rng.normal(size=(n_questions, d))[qid]
    X[:, min(3, d - 1)] += latent
    return X, y, qid, design(Data(X, y, qid), FitSettings(seed=seed, **settings))


@given(
    scores=st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(-1, 3)), min_size=1, max_size=60),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=150, deadline=None)
def test_aurocs_of_many_scorers_are_those_of_each(scores, seed):
    values, labels, fold = (np.array(column) for column in zip(*scores, strict=True))
    rng = np.random.default_rng(seed)
    S = np.stack([values, rng.integers(0, 3, len(values)), rng.normal(size=len(values))]).astype(np.float32)
    L = np.stack([labels, rng.random(len(values)) < 0.5, labels]).astype(np.int8)
    inside = fold >= 0
    for found, s, y in zip(fold_aurocs(S, L, fold), S, L, strict=True):
        expected = fold_auroc(s[inside], y[inside], fold[inside])
        assert np.isnan(found) if expected is None else found == pytest.approx(expected, abs=1e-12)


def test_nested_equals_the_same_by_hand_with_scikit_learn():
    X, y, _, plan = data(7)
    wide = np.random.default_rng(9).normal(size=(len(y), 500))
    wide[:, :24] += 0.5 * X
    sources = {("end", 2): X, ("mean", 2): wide}
    scaled = {key: StandardScaler().fit_transform(value) for key, value in sources.items()}
    found = nested(sources, plan)

    def fitted(key, C, rows):
        return LogisticRegression(C=C, tol=1e-8, max_iter=5000).fit(scaled[key][rows], y[rows])

    for k, train in enumerate(plan.train):
        _, block = np.unique(plan.block[train], return_inverse=True)
        inner = np.full(len(y), -1)
        inner[train] = assign_folds(block, 3, 7 + 1 + k)
        quality = {}
        for key in sources:
            for C in GRID:
                scores = np.zeros(len(y))
                for i in range(3):
                    test = inner == i
                    rows = purged_training_rows(train & ~test, test, plan.codes)
                    scores[test] = fitted(key, C, rows).decision_function(scaled[key][test])
                quality[key, C] = fold_auroc(scores[train], y[train], inner[train])
        best = max(quality, key=quality.get)
        chosen = found.chosen[k]
        key, C = chosen["layer"], chosen["C"]
        assert quality[key, C] == pytest.approx(quality[best], abs=1e-3)
        assert chosen["inner_auroc"] == pytest.approx(quality[key, C], abs=1e-3)
        test = plan.fold == k
        expected = fitted(key, C, train).decision_function(scaled[key][test])
        assert found.scores[test] == pytest.approx(expected, abs=1e-2 * expected.std())
        assert (found.scores[test] == found.layer_scores[key][test]).all()
    assert found.n_fits == 2 * 5 * (3 + 1) * len(GRID)
    assert found.n_not_converged == 0
    assert 0 < found.n_iterations < 100


def test_scaling_on_all_rows_moves_the_nested_auroc_by_less_than_5e_4():
    X, y, _, plan = data(2, n_questions=200, d=32, offset=0.5, grid=[0.01], inner=2)
    shared = nested({0: X}, plan)
    own = np.zeros(len(y))
    for k, train in enumerate(plan.train):
        test = plan.fold == k
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, tol=1e-8, max_iter=2000))
        own[test] = model.fit(X[train], y[train]).decision_function(X[test])
    before, after = fold_auroc(own, y, plan.fold), fold_auroc(shared.scores, y, plan.fold)
    assert before > 0.6
    assert abs(after - before) < 5e-4


def test_sources_are_loaded_one_at_a_time_in_half_precision():
    X, _, _, plan = data(3)
    alive, most = set(), []

    class Held(np.ndarray):
        def __del__(self):
            alive.discard(id(self))

    def load(power):
        def loader():
            out = (X * power).astype(np.float16).view(Held)
            alive.add(id(out))
            most.append(len(alive))
            return out

        return loader

    lazy = nested({k: load(2.0**k) for k in range(4)}, plan)
    assert most == [1, 1, 1, 1]
    whole = nested({k: (X * 2.0**k).astype(np.float16).astype(np.float32) for k in range(4)}, plan)
    assert lazy.scores.tobytes() == whole.scores.tobytes()


def test_ties_go_to_the_first_source_and_the_strongest_penalty():
    X, _, _, plan = data(4, d=1, grid=[0.1, 0.001])
    found = nested({"b": X, "a": X.copy()}, plan)
    assert {(row["layer"], row["C"]) for row in found.chosen} == {("b", 0.001)}


def test_an_inner_fold_of_one_class_counts_one_half():
    rng = np.random.default_rng(0)
    qid = np.repeat(np.arange(10), 6)
    y = np.isin(qid, (0, 1, 2)).astype(np.int64) * (np.arange(60) % 2)
    X = rng.normal(size=(60, 4))
    X[:, 0] += 3 * y
    plan = design(Data(X, y, qid), FitSettings())
    found = nested({0: X}, plan)
    assert found.n_fits < 5 * 4 * len(GRID)  # some could not be fitted
    assert all(0.5 <= row["inner_auroc"] <= 1.0 for row in found.chosen)
    assert fold_auroc(found.scores, y, plan.fold) > 0.8


def test_bad_activations_name_their_layer():
    X, _, _, plan = data(5)
    broken = X.copy()
    broken[7, 2] = np.inf
    with pytest.raises(AnalysisError, match=r"layer \('end', 3\): 1 of .* the first is row 7"):
        nested({("end", 3): broken}, plan)
    with pytest.raises(AnalysisError, match=r"layer 3: expected \[400, d_model\] activations, got \(399"):
        nested({3: X[:-1]}, plan)
    with pytest.raises(AnalysisError, match="no activations"):
        nested({}, plan)


def test_out_of_fold_equals_scikit_learn_and_equal_steps_tie_exactly():
    X, y, _, plan = data(6, d=5)
    scaled = StandardScaler().fit_transform(X)
    expected = np.zeros(len(y))
    for k, train in enumerate(plan.train):
        model = LogisticRegression(C=0.1, tol=1e-10, max_iter=5000).fit(scaled[train], y[train])
        expected[plan.fold == k] = model.decision_function(scaled[plan.fold == k])
    assert out_of_fold(X, plan, C=0.1) == pytest.approx(expected, abs=1e-5)
    kind = np.random.default_rng(0).integers(0, 7, len(y))
    scores = out_of_fold(np.eye(7)[kind] + 1 / 3, plan)
    for k in range(5):
        for value in range(7):
            assert len(set(scores[(plan.fold == k) & (kind == value)])) == 1


def test_out_of_fold_chooses_its_penalty_inside():
    X, y, _, plan = data(8, n_questions=20, d=60)
    strong, weak = (out_of_fold(X, plan, C=C) for C in (1e-3, 100.0))
    found = out_of_fold(X, plan, C=[1e-3, 100.0])
    folds = [plan.fold == k for k in range(5)]
    taken = [[np.allclose(found[test], one[test], rtol=1e-3) for one in (strong, weak)] for test in folds]
    assert all(sum(pair) == 1 for pair in taken)
    assert sum(pair[0] for pair in taken) >= 4  # the weak one memorises
    assert fold_auroc(out_of_fold(X[:, 3:4], plan), y, plan.fold) > 0.7


def test_baselines_choose_in_the_inner_folds_of_the_settings():
    X, _, _, plan = data(11, d=60, grid=(1e-3, 100.0), inner=2)
    assert out_of_fold(X, plan, C=plan.settings.grid) == pytest.approx(nested({0: X}, plan).scores, abs=0.05)


def test_mass_mean_is_the_difference_of_means():
    X, y, _, plan = data(8, d=600)
    found = sweep({0: X, 1: X[:, :50]}, [mass_mean_job(plan)])[0]
    scaled = StandardScaler().fit_transform(X)
    for k, train in enumerate(plan.train):
        direction = scaled[train & (y == 1)].mean(axis=0) - scaled[train & (y == 0)].mean(axis=0)
        test = plan.fold == k
        assert np.corrcoef(found.layer_scores[0][test], scaled[test] @ direction)[0, 1] > 0.99999
    assert found.n_fits == 0
    assert fold_auroc(found.layer_scores[1], y, plan.fold) > 0.65
    assert {row["layer"] for row in found.chosen} <= {0, 1}


def test_jobs_share_a_sweep_without_touching_one_another():
    X, _, _, plan = data(9)
    both = sweep({0: X}, [nested_job(plan), mass_mean_job(plan)])
    assert both[0].scores.tobytes() == nested({0: X}, plan).scores.tobytes()
    assert both[1].scores.tobytes() == sweep({0: X}, [mass_mean_job(plan)])[0].scores.tobytes()


def test_transformer_lens_sparse_probe_with_all_coordinates_agrees():
    tl = pytest.importorskip("transformer_lens.tools.analysis.sparse_probing")
    import torch

    X, y, qid, _ = data(11, n_questions=80, d=40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = tl.fit_sparse_probe(
            torch.tensor(X),
            torch.tensor(y),
            k=40,
            groups=torch.tensor(qid),
            preprocess="standardize",
            class_weight=None,
            l2_strength=0.1,
            seed=0,
        )
    test = np.zeros(len(y), dtype=bool)
    test[theirs.test_indices.numpy()] = True
    assert set(qid[test]) & set(qid[~test]) == set()
    # theirs: mean loss + l2 |w|² / 2, scaled by the training rows; ours: summed loss + |w|² / (2 C)
    C = 1 / (0.1 * (~test).sum())
    from mechcot.probe.factors import factor
    from mechcot.probe.solver import solve

    ours = solve(factor(X), y, ~test, C).scores[0]
    assert theirs.metrics.roc_auc > 0.65
    assert roc_auc_score(y[test], ours[test]) == pytest.approx(theirs.metrics.roc_auc, abs=0.003)


def test_penalties_that_only_overfit_are_not_tried_and_the_choice_is_the_same():
    """A direction in many columns: the strong penalty finds it, weak ones memorise."""
    rng = np.random.default_rng(15)
    n, d = 600, 300
    qid, y = np.repeat(np.arange(120), 5), rng.integers(0, 2, n)
    X = rng.normal(size=(n, d)) + 0.04 * (2 * y - 1)[:, None]
    plan = design(Data(X, y, qid), FitSettings())
    grid = (1e-5, 1e-3, 0.1, 1.0, 10.0, 100.0)
    job = nested_job(plan, grid)
    stopped, whole = sweep({0: X}, [job, replace(job, stages=())])
    assert stopped.n_fits < whole.n_fits == 5 * 4 * len(grid)
    assert [row["C"] for row in stopped.chosen] == [row["C"] for row in whole.chosen]
    assert stopped.scores == pytest.approx(whole.scores, abs=1e-3)
    assert max(row["C"] for row in stopped.chosen) <= 1e-3
