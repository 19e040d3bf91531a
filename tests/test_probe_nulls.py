from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, chisquare, kstest

from mechcot.probe import Data, FitSettings
from mechcot.probe.folds import design
from mechcot.probe.nulls import MIN_CELLS, null_job
from mechcot.probe.relabel import claims_of, permuted_labels, redrawn_labels
from mechcot.probe.sweeps import sweep


def claims(y, codes, qid, sid=None, role=None, n_steps=None):
    n = len(y)
    y, codes = np.asarray(y), np.asarray(codes)
    return y, claims_of(y, codes, qid=qid, sid=sid or [0] * n, role=role or ["a"] * n, n_steps=n_steps)


def test_steps_of_one_text_are_one_claim_and_mixed_labels_do_not_move():
    y, found = claims([1, 1, 0, 0, 1, 1, 0], [0, 0, 1, 2, 2, 3, 3], ["p", "q", "q", "p", "q", "q", "q"])
    # text 2 is right in one question and wrong in the other: a claim in each; text 3 is both in one: frozen
    assert found.of[0] == found.of[1]
    assert found.of[3] != found.of[4]
    assert found.of.tolist()[5:] == [-1, -1]
    assert sorted(set(found.of[:5].tolist())) == [0, 1, 2, 3]
    assert found.y[found.of[:5]].tolist() == y[:5].tolist()
    assert found.repeats[found.of[0]] == 1


def test_permuted_labels_move_only_inside_their_cell_and_texts_together():
    y, found = claims(
        [1, 1, 0, 0, 1, 1, 1], [0, 0, 1, 2, 3, 4, 5], ["q"] * 5 + ["r"] * 2, sid=[0, 0, 0, 0, 1, 0, 0]
    )
    labels, n_cells, n_steps = permuted_labels(y, found, draws=300, seed=0)
    assert (n_cells, n_steps) == (1, 4)
    assert (labels[:, 4:] == y[4:]).all()
    assert (labels[:, 0] == labels[:, 1]).all()
    three = labels[:, [0, 2, 3]]
    assert (three.sum(axis=1) == 1).all()
    assert (three.mean(axis=0) > 0.2).all()


def test_redrawn_labels_keep_the_totals_of_every_question_and_stratum():
    rng = np.random.default_rng(0)
    n = 600
    qid, sid, role = np.arange(n) % 30, rng.integers(0, 5, n), rng.choice(["a", "b"], n)
    length = np.array([4, 9, 20])[qid % 3]
    y = (rng.random(n) < 0.3 + 0.1 * sid).astype(np.int64)
    found = claims_of(y, np.arange(n), qid=qid, sid=sid, role=role, n_steps=length)
    labels, n_moved = redrawn_labels(y, found, draws=50, seed=1)
    for q in range(30):
        assert (labels[:, qid == q].sum(axis=1) == y[qid == q].sum()).all()
    for key in set(zip(sid, role, length, strict=True)):
        cell = (sid == key[0]) & (role == key[1]) & (length == key[2])
        assert (labels[:, cell].sum(axis=1) == y[cell].sum()).all()
    assert n_moved > 400
    # and they do mix: draws resemble one another as little as the totals let them, the data likewise
    apart = (labels[:25] != labels[25:]).mean()
    assert apart > 0.2
    assert abs((labels != y).mean() - apart) < 0.03


def test_redrawn_labels_reach_every_table_alike():
    # the 3 x 3 tables of 0 and 1 with all totals 1 are the 6 permutations
    y = np.eye(3, dtype=np.int64).ravel()
    found = claims_of(y, np.arange(9), qid=np.repeat(range(3), 3), sid=np.tile(range(3), 3), role=["a"] * 9)
    labels, _ = redrawn_labels(y, found, draws=3000, seed=0)
    counts = Counter(map(bytes, labels))
    assert len(counts) == 6
    assert chisquare(list(counts.values())).pvalue > 0.001


def data(seed, *, signal=0.0, position=1.0, question=1.0, repeat=1, n_questions=30, n_traces=2, n_steps=5):
    """Labels from position, kind, question and a latent; activations hold all but the question."""
    rng = np.random.default_rng(seed)
    n = n_questions * n_traces * n_steps
    sid = np.tile(np.arange(n_steps), n_questions * n_traces)
    qid = np.repeat(np.arange(n_questions), n_traces * n_steps)
    kind = rng.integers(0, 2, n)
    latent = rng.normal(size=n)
    effect = question * rng.normal(size=n_questions)[qid]
    z = position * (sid - (n_steps - 1) / 2) + 0.5 * position * kind + effect + signal * latent
    y = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(np.int64)
    X = rng.normal(size=(n, 10))
    X[:, 0] += 3 * sid
    X[:, 1] += 2 * latent
    X[:, 2] += kind
    rows = np.repeat(np.arange(n), repeat)  # judged alike each time, read a little differently
    X = X[rows] + 0.1 * rng.normal(size=(len(rows), 10))
    y, qid, sid, kind = y[rows], qid[rows], sid[rows], kind[rows]
    confounds = pd.DataFrame({"sid": sid, "kind": [f"k{k}" for k in kind]})
    return Data({0: X, 1: X[:, 1:]}, y, qid, confounds, text=[f"t{i}" for i in rows])


def nulls(given, draws, seed):
    plan = design(given, FitSettings(null_draws=draws, seed=seed))
    return sweep(given.sources, [null_job(given, plan)])[0]


def uniform(p, draws, seed=0):
    """The p-value of uniformity, the steps of 1 / (1 + draws) filled at random."""
    p = np.asarray(p)
    return kstest(p - np.random.default_rng(seed).random(len(p)) / (1 + draws), "uniform").pvalue


@pytest.mark.parametrize(("repeat", "position"), [(1, 1.5), (3, 1.0)])
def test_p_is_uniform_on_position_only_labels_with_question_effects(repeat, position):
    p, observed = [], []
    for seed in range(100):
        found = nulls(data(seed, repeat=repeat, position=position), 19, seed)
        p.append(found.redrawn.p)
        observed.append(found.redrawn.observed)
    assert np.mean(observed) > 0.75  # the naive figure looks splendid
    assert uniform(p, 19) > 0.01
    assert np.sum(np.array(p) <= 0.05) <= binom.ppf(0.999, 100, 0.05)
    assert np.sum(np.array(p) <= 0.25) >= binom.ppf(0.001, 100, 0.25)  # and it is not merely cautious


def test_p_is_uniform_on_pure_noise_wider_than_it_is_long():
    p = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        n, qid, sid = 200, np.repeat(np.arange(40), 5), np.tile(np.arange(5), 40)
        y, X = rng.integers(0, 2, n), rng.standard_normal((n, 4096), dtype=np.float32)
        given = Data(X, y, qid, pd.DataFrame({"sid": sid}))
        p.append(nulls(given, 19, seed).redrawn.p)
    assert uniform(p, 19) > 0.01
    assert np.sum(np.array(p) <= 0.05) <= binom.ppf(0.999, 100, 0.05)


def test_a_true_direction_beats_both_nulls():
    found = nulls(data(0, signal=2.0, n_traces=8, n_steps=4), 99, 0)
    assert found.permuted.n_cells >= MIN_CELLS
    assert found.redrawn.p == found.permuted.p == 0.01
    assert found.redrawn.high < found.redrawn.observed
    assert found.redrawn.observed == max(found.by_source.values())
    assert found.by_source[0] > found.by_source[1]  # without position


def test_few_cells_give_no_p_but_a_reason():
    found = nulls(data(1, n_questions=20, n_traces=1, n_steps=4), 20, 0)
    assert found.permuted.n_cells < MIN_CELLS
    assert found.permuted.p is None
    assert f"{found.permuted.n_cells} permutable cells" in found.permuted.to_json()["p"]["reason"]
    assert found.redrawn.p is None or found.redrawn.n_permutable_steps >= 50


def test_labels_that_position_decides_cannot_move():
    given = data(2)
    sid = given.known["sid"]
    found = nulls(replace(given, X=sid[:, None], y=(sid > 2).astype(int)), 20, 0)
    assert found.redrawn.observed == 1.0
    assert found.redrawn.p is None
    assert "labels of 0 steps can move" in found.redrawn.to_json()["p"]["reason"]


def test_a_constant_feature_ties_with_all_its_draws():
    given = data(3)
    found = nulls(replace(given, X=np.full((len(given.labels), 3), 0.1)), 19, 0)
    assert (found.redrawn.observed, found.redrawn.mean, found.redrawn.p) == (0.5, 0.5, 1.0)


def test_same_seed_same_null():
    one, two, other = (nulls(data(4), 19, seed) for seed in (0, 0, 1))
    assert one == two
    assert one != other
