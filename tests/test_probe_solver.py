import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mechcot.core.errors import AnalysisError
from mechcot.probe import factors
from mechcot.probe.factors import factor
from mechcot.probe.solver import solve

GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def layer(n, d, seed=0, separable=False):
    """Activations with a decaying spectrum, two outlier columns and a planted direction."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n, d)) * np.arange(1, d + 1) ** -0.7
    turn, _ = np.linalg.qr(rng.normal(size=(d, d)))
    X = latent @ turn + rng.normal(size=d)
    X[:, :2] *= 200
    part = latent[:, 1:9] / latent[:, 1:9].std(axis=0)
    score = part @ rng.normal(size=part.shape[1]) / 2
    y = score > 0 if separable else rng.random(n) < expit(score - 0.5)
    return X.astype(np.float32), y.astype(np.int64)


def folds(n, k, seed=0):
    fold = np.random.default_rng(seed).permutation(n) % k
    return np.stack([fold != index for index in range(k)])


def standardised(X):
    return StandardScaler().fit_transform(X.astype(np.float64))


def gradient(X, y, weight, C, coef, intercept):
    """Of the sum of losses and the penalty, by hand, in float64; X as it is fitted."""
    r = (expit(X @ coef + intercept) - y) * weight
    return np.append(X.T @ r + coef / C, r.sum())


@pytest.fixture(params=["whole", "leading"], autouse=True)
def decomposed(request, monkeypatch):
    """Every test of the solver, with matrices decomposed whole and with their leading eigenvectors alone."""
    if request.param == "leading":
        monkeypatch.setattr(factors, "WHOLE", 8)


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize(("n", "d"), [(500, 60), (240, 400)])
def test_every_penalty_and_fold_agrees_with_scikit_learn(n, d, separable):
    X, y = layer(n, d, separable=separable)
    train, C = np.tile(folds(n, 3), (len(GRID), 1)), np.repeat(GRID, 3)
    fits = solve(factor(X), y, train, C)
    assert fits.converged.all()
    assert (fits.iterations > 0).all()
    scaled = standardised(X)
    for scores, rows, c in zip(fits.scores, train, C, strict=True):
        peer = LogisticRegression(C=c, tol=1e-8, max_iter=20_000).fit(scaled[rows], y[rows])
        expected = peer.decision_function(scaled)
        assert np.corrcoef(scores, expected)[0, 1] > 0.999999
        assert np.abs(scores - expected).max() < 5e-3 * expected.std()
        held_out = ~rows
        gap = roc_auc_score(y[held_out], scores[held_out]) - roc_auc_score(y[held_out], expected[held_out])
        pairs = (y[held_out] == 1).sum() * (y[held_out] == 0).sum()
        assert abs(gap) < max(5e-4, 1.01 / pairs)  # the held-out rows are few: one pair may change places


def test_coefficients_are_in_the_units_of_the_input_and_score_new_rows():
    for n, d in ((300, 40), (80, 150)):
        X, y = layer(n, d)
        fits = solve(factor(X, dtype="float64"), y, C=[0.01, 0.1], tol=1e-10)
        assert fits.coef().shape == (2, d)
        np.testing.assert_allclose(fits.coef() @ X.T + fits.intercept[:, None], fits.scores, atol=1e-8)
        peer = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, tol=1e-10, max_iter=20_000))
        peer.fit(X.astype(np.float64), y)
        new = layer(50, d, seed=1)[0].astype(np.float64)
        found = new @ fits.coef()[1] + fits.intercept[1]
        np.testing.assert_allclose(found, peer.decision_function(new), atol=1e-4 * np.abs(found).max())


@given(
    n=st.integers(4, 60),
    d=st.integers(1, 80),
    C=st.floats(1e-4, 10),
    seed=st.integers(0, 2**31),
    weighted=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_the_true_gradient_is_small_at_the_solution(n, d, C, seed, weighted):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * rng.lognormal(0, 1, d) + rng.normal(size=d) * 10
    y = rng.permutation(np.arange(n) % 2)
    weight = rng.random(n) + 0.01 if weighted else np.arange(n) < max(n - 3, 2)
    if not weighted:
        y[:2] = 0, 1
    fits = solve(factor(X, dtype="float64"), y, weight, C, tol=1e-7, max_iter=2000)
    assert fits.converged.all()
    coef, scaled = fits.coef()[0] * X.std(axis=0), standardised(X)
    found = gradient(scaled, y, weight, C, coef, fits.intercept[0] + fits.coef()[0] @ X.mean(axis=0))
    start = gradient(scaled, y, weight, C, np.zeros(d), np.log(weight[y == 1].sum() / weight[y == 0].sum()))
    assert np.linalg.norm(found) < 1e-4 * (np.linalg.norm(start) + 1)


def test_weights_count_a_row_as_often_as_it_is_weighted():
    X, y = layer(200, 20)
    fits = solve(factor(X, dtype="float64"), y, [np.arange(200) < 150, np.arange(200) % 3], 0.1, tol=1e-8)
    scaled = standardised(X)
    for rows, scores in zip(
        (np.arange(150), np.repeat(np.arange(200), np.arange(200) % 3)), fits.scores, strict=True
    ):
        peer = LogisticRegression(C=0.1, tol=1e-9, max_iter=10_000).fit(scaled[rows], y[rows])
        np.testing.assert_allclose(scores, peer.decision_function(scaled), atol=1e-5)


def test_problems_do_not_know_their_companions_or_the_order_of_rows():
    X, y = layer(300, 50)
    train, C = np.tile(folds(300, 3), (2, 1)), np.repeat([1.0, 1e-3], 3)
    whole = factor(X, dtype="float64")
    together = solve(whole, y, train, C, tol=1e-8).scores
    alone = np.vstack([solve(whole, y, rows, c, tol=1e-8).scores for rows, c in zip(train, C, strict=True)])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    order = np.random.default_rng(5).permutation(300)
    shuffled = solve(factor(X[order], dtype="float64"), y[order], train[:, order], C, tol=1e-8).scores
    np.testing.assert_allclose(shuffled, together[:, order], atol=1e-6)


def test_more_problems_than_a_batch_come_back_in_order():
    X, y = layer(60, 5)
    rng = np.random.default_rng(0)
    labels = np.stack([rng.permutation(y) for _ in range(300)])
    C = rng.choice(GRID, 300)
    fits = solve(factor(X), labels, C=C)
    for index in (0, 1, 150, 299):
        alone = solve(factor(X), labels[index], C=C[index])
        np.testing.assert_allclose(fits.scores[index], alone.scores[0], atol=1e-4)


def test_the_same_input_gives_the_same_bytes():
    X, y = layer(200, 300)
    one, two = (solve(factor(X), y, folds(200, 4), 0.1) for _ in range(2))
    assert one.scores.tobytes() == two.scores.tobytes()
    assert one.coef().tobytes() == two.coef().tobytes()


def test_scaling_on_all_rows_costs_next_to_nothing_in_auroc():
    # traces of a question share an offset, so that a fold's own mean and spread do differ
    n, d = 2000, 64
    X, y = layer(n, d, seed=3)
    rng = np.random.default_rng(3)
    question = np.repeat(np.arange(100), 20)
    X += (0.5 * rng.normal(size=(100, d)) * X.std(axis=0))[question].astype(np.float32)
    train = np.stack([question % 5 != index for index in range(5)])
    for C in GRID:
        fits = solve(factor(X), y, train, C)
        shared, own = [], []
        for scores, rows in zip(fits.scores, train, strict=True):
            peer = make_pipeline(StandardScaler(), LogisticRegression(C=C, tol=1e-6, max_iter=10_000))
            peer.fit(X[rows].astype(np.float64), y[rows])
            shared.append(roc_auc_score(y[~rows], scores[~rows]))
            own.append(roc_auc_score(y[~rows], peer.decision_function(X[~rows].astype(np.float64))))
        assert np.mean(own) > 0.6  # there is something to lose
        assert abs(np.mean(shared) - np.mean(own)) < 5e-4


def test_a_constant_feature_gets_no_coefficient_and_ties_all_scores():
    y = np.arange(20) % 2
    for X in (np.full((20, 1), 3.3), np.full((20, 50), -1e6)):
        fits = solve(factor(X), y, folds(20, 4), 1.0)
        assert fits.converged.all()
        assert (fits.coef() == 0).all()
        assert (np.ptp(fits.scores, axis=1) == 0).all()
    X, y = layer(100, 6)
    X[:, 2] = 7.0
    assert (solve(factor(X), y, C=1.0).coef()[:, 2] == 0).all()


def test_repeated_columns_and_far_outliers_converge():
    X, y = layer(200, 10)
    X = np.hstack([X, X, X * 1e4])
    X[0] *= 1e3
    assert solve(factor(X), y, folds(200, 5), 1.0).converged.all()


def test_what_stops_early_says_so():
    X, y = layer(200, 50)
    fits = solve(factor(X), y, C=[1e-4, 1.0], max_iter=4)
    assert fits.converged.tolist() == [True, False]
    assert fits.iterations[1] == 4
    assert fits.gradient_norm[0] <= 1e-4 < fits.gradient_norm[1]


def test_what_cannot_be_fitted_is_named():
    X, y = layer(20, 3)
    whole = factor(X)
    rows = np.ones((3, 20), dtype=bool)
    rows[2] = y == 1
    with pytest.raises(AnalysisError, match=r"problem 2: its \d+ training rows .* both classes"):
        solve(whole, y, rows, 1.0)
    with pytest.raises(AnalysisError, match="problem 0: its 0 training rows"):
        solve(whole, y, np.zeros(20), 1.0)
    with pytest.raises(AnalysisError, match="labels must be 0 or 1"):
        solve(whole, y + 1)
    with pytest.raises(AnalysisError, match="different numbers of problems"):
        solve(whole, y, rows[:2], [1.0, 1.0, 1.0])
    with pytest.raises(AnalysisError, match=r"labels: expected .* got \[19\]"):
        solve(whole, y[:-1])
    with pytest.raises(AnalysisError, match="C must be"):
        solve(whole, y, C=[0.0])
    with pytest.raises(AnalysisError, match="not negative"):
        solve(whole, y, -np.ones(20))
    X[7, 1] = np.nan
    with pytest.raises(AnalysisError, match="first is row 7"):
        factor(X)
    with pytest.raises(AnalysisError, match="at least 2 rows"):
        factor(X[0])


def test_a_wide_matrix_is_not_decomposed_whole_and_fits_as_if_it_were(monkeypatch):
    for n, d in ((1300, 1100), (1100, 1300)):
        X, y = layer(n, d)
        train, C = np.tile(folds(n, 2), (3, 1)), np.repeat([1e-3, 1e-1, 1.0], 2)
        monkeypatch.setattr(factors, "WHOLE", 1024)
        few = factor(X)
        assert few.leading.shape[1] == len(few.peaks) == min(n, d) // factors.LEADING
        found = solve(few, y, train, C)
        monkeypatch.setattr(factors, "WHOLE", 4096)
        whole = factor(X)
        assert whole.leading.shape[1] == 0
        expected = solve(whole, y, train, C)
        assert found.converged.all()
        spread = expected.scores.std(axis=1, keepdims=True)
        assert (np.abs(found.scores - expected.scores) / spread).max() < 5e-3
        got, wanted = found.coef() / whole.scale, expected.coef() / whole.scale
        np.testing.assert_allclose(got, wanted, atol=0.02 * np.abs(wanted).max())


def test_importing_the_solver_loads_no_torch():
    code = "import sys, mechcot.probe.solver; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_what_only_rounding_still_moves_ends_and_stays_finite():
    """Two tokens in all rows, one of them rare: what is soon left of the gradient is rounding."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        tokens = 0.02 * rng.normal(size=(2, 128))
        X = tokens[(rng.random(1500) < 0.08).astype(int)].astype(np.float32)
        y = (rng.random(1500) < 0.96).astype(int)
        fold = rng.permutation(1500) % 20
        fits = solve(factor(X), y, np.stack([fold != k for k in range(20)]), 1e-5)
        assert np.isfinite(fits.scores).all()
        assert fits.converged.all()
        assert fits.iterations.max() < 100
