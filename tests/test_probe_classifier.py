import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from mechcot.probe.classifier import ProbeClassifier


def sample(n=200, d=12, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * rng.lognormal(0, 2, d) + 5
    y = np.where((X - 5) @ rng.normal(size=d) + 4 * rng.normal(size=n) > 0, "wrong", "right")
    return X, y


def test_it_keeps_the_contract_of_a_scikit_learn_estimator():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = check_estimator(ProbeClassifier(), on_skip=None)
    # only what needs another package's array type may be skipped
    assert {row["check_name"] for row in done if row["status"] != "passed"} <= {"check_array_api_input"}


@pytest.mark.parametrize("C", [1e-3, 1.0])
def test_it_is_a_scaled_logistic_regression(C):
    X, y = sample()
    ours = ProbeClassifier(C=C).fit(X, y)
    peer = make_pipeline(StandardScaler(), LogisticRegression(C=C, tol=1e-10, max_iter=10_000)).fit(X, y)
    new = sample(seed=1)[0]
    np.testing.assert_allclose(ours.predict_proba(new), peer.predict_proba(new), atol=1e-6)
    assert (ours.predict(new) == peer.predict(new)).all()
    np.testing.assert_allclose(ours.coef_[0] * X.std(axis=0), peer[-1].coef_[0], atol=1e-6)
    assert ours.classes_.tolist() == ["right", "wrong"]


def test_it_works_in_grouped_cross_validation():
    X, y = sample()
    found = cross_val_score(
        ProbeClassifier(), X, y, groups=np.arange(200) // 4, cv=GroupKFold(4), scoring="roc_auc"
    )
    assert found.shape == (4,)
    assert found.min() > 0.6


def test_a_fit_that_stops_early_warns():
    X, y = sample()
    with pytest.warns(ConvergenceWarning, match="stopped after 1 iterations"):
        ProbeClassifier(C=1.0, max_iter=1).fit(X, y)


def test_one_class_is_refused():
    X, y = sample()
    with pytest.raises(ValueError, match="1 class"):
        ProbeClassifier().fit(X, np.full(len(y), "right"))
