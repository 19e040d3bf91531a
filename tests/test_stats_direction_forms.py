import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mechcot.stats.auroc import auroc
from mechcot.stats.direction_forms import FORMS, logistic, mass_mean, means
from mechcot.stats.directions import difference_of_means

D = 16


def planted(seed, n=2400, strength=1.0, loud=6.0):
    """Claims of two kinds whose classes lie apart along one axis, which has the noise of a second one too.

    The second axis tells nothing by itself and takes the noise away: the difference of means does not use it.
    """
    rng = np.random.default_rng(seed)
    labels, kinds = rng.random(n) < 0.4, rng.integers(0, 2, n)
    X = rng.normal(size=(n, D))
    shared = loud * rng.normal(size=n)
    X[:, 0] += strength * labels + shared
    X[:, 1] += shared
    X[:, 2] += 10 * kinds
    return X, labels, kinds.astype(np.int64)


def cosine(one, other):
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_as_long_as_the_means_lie_apart_along_it(name):
    X, labels, kinds = planted(0)
    found, gap = FORMS[name](X, labels, kinds), difference_of_means(X, labels[None], kinds)[0]
    assert found.dtype == np.float64
    assert found @ gap == pytest.approx(found @ found)
    assert found @ gap > 0
    assert abs(found[2]) < 0.2 * np.linalg.norm(found)  # the kinds lie far apart there, the classes do not


def test_mass_mean_and_logistic_cancel_noise_that_the_means_do_not():
    X, labels, kinds = planted(1, strength=2.0)
    fresh, truth, _ = planted(2, strength=2.0)
    best = np.zeros(D)
    best[:2] = (1.0, -1.0)
    assert abs(cosine(means(X, labels, kinds), best)) < 0.9
    for form in (mass_mean, logistic):
        found = form(X, labels, kinds)
        assert cosine(found, best) > 0.9
        assert auroc(fresh @ found, truth) > 0.7
    assert auroc(fresh @ means(X, labels, kinds), truth) < 0.65


def test_forms_agree_where_noise_is_alike_everywhere():
    X, labels, kinds = planted(3, loud=0.0, n=4000, strength=2.0)
    for form in (mass_mean, logistic):
        assert cosine(form(X, labels, kinds), means(X, labels, kinds)) > 0.97


def test_what_never_differs_gives_no_direction_and_no_warning():
    labels = np.arange(40) % 2 == 0
    kinds = np.zeros(40, dtype=np.int64)
    for form in FORMS.values():
        assert not form(np.ones((40, D)), labels, kinds).any()


def test_fewer_claims_than_dimensions_are_shrunk():
    X, labels, kinds = planted(4, n=12, loud=0.0, strength=3.0)
    found = mass_mean(X, labels, kinds)
    assert np.isfinite(found).all()
    assert cosine(found, means(X, labels, kinds)) > 0.5


@pytest.mark.parametrize("name", FORMS)
def test_where_the_states_of_a_kind_lie_does_not_matter(name):
    X, labels, kinds = planted(5, n=300)
    moved = X + np.array([40.0, -25.0])[kinds][:, None]
    assert FORMS[name](moved, labels, kinds) == pytest.approx(FORMS[name](X, labels, kinds), abs=1e-6)


def test_the_logistic_form_is_that_of_another_hand_with_an_intercept_for_each_kind():
    """Three kinds, of which one is mostly hedged and one seldom."""
    rng = np.random.default_rng(6)
    kinds = rng.integers(0, 3, 400)
    labels = rng.random(400) < np.array([0.1, 0.5, 0.9])[kinds]
    X = rng.normal(size=(400, 5)) * np.arange(1, 6) + labels[:, None] * np.arange(5)
    centred = X - np.stack([X[kinds == k].mean(axis=0) for k in range(3)])[kinds]
    columns = make_column_transformer((StandardScaler(), list(range(5))), (OneHotEncoder(), [5]))
    model = make_pipeline(columns, LogisticRegression(C=0.1, max_iter=2000))
    model.fit(np.hstack([centred, kinds[:, None]]), labels)
    weights = model[-1].coef_[0][:5] / centred.std(axis=0)
    found = logistic(X, labels, kinds)
    assert cosine(found, weights) == pytest.approx(1, abs=1e-9)
    assert np.linalg.norm(found) == pytest.approx(means(X, labels, kinds) @ weights / np.linalg.norm(weights))
