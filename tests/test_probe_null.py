import numpy as np

from mechcot.probe.fit import design
from mechcot.probe.null import permutation_null, permuted_labels


def test_labels_move_only_inside_their_cell_and_texts_together():
    qid = ["q1"] * 5 + ["q2"] * 2
    sid, role = [0, 0, 0, 0, 1, 0, 0], ["a"] * 7
    codes = np.array([0, 0, 1, 2, 3, 4, 5])
    y = np.array([1, 1, 0, 0, 1, 1, 1])
    labels, n_cells, n_steps = permuted_labels(y, codes, qid=qid, sid=sid, role=role, draws=200, seed=0)
    assert (n_cells, n_steps) == (1, 4)
    assert (labels[:, 4:] == y[4:]).all()
    assert (labels[:, 0] == labels[:, 1]).all()
    # exactly one of the three claims of the cell is erroneous in every draw, each about equally often
    claims = labels[:, [0, 2, 3]]
    assert (claims.sum(axis=1) == 1).all()
    assert (claims.mean(axis=0) > 0.2).all()


def test_a_claim_with_mixed_labels_stays():
    labels, n_cells, _ = permuted_labels(
        np.array([1, 0, 0]), np.array([0, 0, 1]), qid=["q"] * 3, sid=[0] * 3, role=["a"] * 3, draws=9, seed=0
    )
    assert n_cells == 0
    assert (labels == [1, 0, 0]).all()


def data(seed, signal, n_questions=40, n_traces=4, n_steps=4, d=10):
    rng = np.random.default_rng(seed)
    n = n_questions * n_traces * n_steps
    sid = np.tile(np.arange(n_steps), n_questions * n_traces)
    qid = np.repeat(np.arange(n_questions), n_traces * n_steps)
    latent = rng.normal(size=n)
    y = (rng.random(n) < 1 / (1 + np.exp(-(2.0 * (sid - 1.5) + signal * latent)))).astype(np.int64)
    X = rng.normal(size=(n, d))
    X[:, 0] += 3 * sid
    X[:, 1] += 2 * latent
    plan = design(y, qid=qid, group=qid, text=[f"t{i}" for i in range(n)], n_folds=5, seed=seed)
    return {0: X}, y, plan, {"qid": qid.tolist(), "sid": sid.tolist(), "role": ["a"] * n}


def test_p_is_spread_out_on_position_only_labels():
    p = []
    for seed in range(30):
        X, y, plan, where = data(seed, 0.0)
        null = permutation_null(X, y, plan, **where, draws=39, seed=seed)
        assert null.observed > 0.8  # the naive figure looks splendid
        p.append(null.p)
    # uniform: mean .5 with standard error .053; at most a few under .05
    assert 0.34 < np.mean(p) < 0.66
    assert np.mean(np.array(p) <= 0.05) <= 0.2


def test_a_real_signal_beats_its_null():
    X, y, plan, where = data(0, 2.0)
    null = permutation_null(X, y, plan, **where, draws=99, seed=0)
    assert null.p == 0.01
    assert null.high < null.observed


def test_few_cells_give_no_p_but_a_reason():
    X, y, plan, where = data(1, 2.0, n_questions=10)
    null = permutation_null(X, y, plan, **where, draws=20, seed=0)
    assert null.n_cells < 50
    assert null.p is None
    assert str(null.n_cells) in null.to_json()["p"]["reason"]


def test_wide_activations_take_the_dual_form_and_agree():
    X, y, plan, where = data(2, 2.0, d=8)
    padded = {0: np.hstack([X[0], np.zeros((len(y), 800))])}
    narrow = permutation_null(X, y, plan, **where, draws=5, seed=0)
    wide = permutation_null(padded, y, plan, **where, draws=5, seed=0)
    assert abs(narrow.observed - wide.observed) < 1e-9
