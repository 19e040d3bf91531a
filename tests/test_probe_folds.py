import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from mechcot.core.errors import AnalysisError
from mechcot.probe.data import Data
from mechcot.probe.fold_draws import fold_draws
from mechcot.probe.folds import (
    assign_folds,
    components,
    dealt_again,
    design,
    normalise,
    purged_training_rows,
    text_codes,
)
from mechcot.probe.settings import FitSettings
from mechcot.stats import fold_auroc

links = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 25)), min_size=1, max_size=120)


@given(links)
@settings(max_examples=60, deadline=None)
def test_blocks_are_the_connected_components(pairs):
    q, g = zip(*pairs, strict=True)
    block = components([f"q{i}" for i in q], [f"g{i}" for i in g])
    # an independent slow answer: merge labels until nothing changes
    label = list(range(len(pairs)))
    changed = True
    while changed:
        changed = False
        for i in range(len(pairs)):
            for j in range(i):
                if (q[i] == q[j] or g[i] == g[j]) and label[i] != label[j]:
                    low, high = sorted((label[i], label[j]))
                    label = [low if x == high else x for x in label]
                    changed = True
    same = np.equal.outer(np.array(label), np.array(label))
    assert (np.equal.outer(block, block) == same).all()


@given(links, st.integers(2, 5), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_folds_share_neither_question_nor_group(pairs, n_folds, seed):
    q, g = (np.array(column) for column in zip(*pairs, strict=True))
    block = components(list(q), list(g))
    if block.max() + 1 < n_folds:
        with pytest.raises(AnalysisError, match=f"{n_folds} folds need at least"):
            assign_folds(block, n_folds, seed)
        return
    fold = assign_folds(block, n_folds, seed)
    assert set(fold) == set(range(n_folds))
    for column in (q, g):
        assert all(len(set(fold[column == value])) == 1 for value in set(column))


def test_folds_are_balanced_and_follow_the_seed():
    block = np.repeat(np.arange(40), 10)
    fold = assign_folds(block, 5, 0)
    assert np.bincount(fold).tolist() == [80] * 5
    assert (fold == assign_folds(block, 5, 0)).all()
    assert (fold != assign_folds(block, 5, 1)).any()


def test_normalised_texts_meet():
    assert normalise("  Tunosis  results\nfrom Baku. ") == normalise("tunosis results from baku")
    assert text_codes(["A b.", "a  b", "a c"]).tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    "typed",
    [
        *(
            "S\u00f6ren caf\u00e9 is 5 mm so",
            "So\u0308ren cafe\u0301 is 5 mm so",
            "S\u00f6ren ca\u00adf\u00e9 is 5 mm so",
        ),
        *(
            "S\u00f6ren caf\u00e9 \uff49\uff53 \uff15 mm so",
            "S\u00d6REN CAF\u00c9 IS 5 MM SO",
            "S\u00f6ren caf\u00e9\u00a0is 5\u202fmm so",
        ),
        *(
            "\ufeffS\u00f6\u200bren caf\u00e9 is\u2060 5 mm so",
            "\u202bS\u00f6ren\u200f caf\u00e9 is 5 mm so\u202c",
            "S\u00f6ren caf\u00e9 is 5 \u339c so",
        ),
        *(
            "**S\u00f6ren** caf\u00e9 is `5 mm` so.",
            "S\u00f6ren caf\u00e9\ufe0f is 5 mm\n so",
            "\u201cS\u00f6ren caf\u00e9 is 5 mm so\u201d",
        ),
    ],
)
def test_one_claim_typed_in_another_way_is_purged(typed: str):
    claim = "S\u00f6ren caf\u00e9 is 5 mm so"
    codes = text_codes([claim, typed, "S\u00f6ren caf\u00e9 is 6 mm so"])
    test = np.array([True, False, False])
    assert purged_training_rows(~test, test, codes).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("it's so-so", "it\u2019s so\u2010so"),
        ("\u2212 5 \u00b0C", "- 5 \u00b0C"),
        ("Stra\u00dfe", "STRASSE"),
        ("\ufb01t", "fit"),
    ],
)
def test_quotes_dashes_and_ligatures_make_no_other_claim(a: str, b: str):
    assert normalise(a) == normalise(b)


@given(st.text())
def test_a_normalised_text_stays(text: str):
    assert normalise(normalise(text)) == normalise(text)


def test_purging_drops_repeats_of_test_claims_only():
    codes = np.array([0, 1, 2, 0, 3, 1])
    test = np.array([True, True, False, False, False, False])
    kept = purged_training_rows(~test, test, codes)
    assert kept.tolist() == [False, False, True, False, True, False]


def test_a_missing_group_is_refused():
    with pytest.raises(AnalysisError, match="row 1"):
        components(["a", "b"], ["g", None])


def test_equal_question_texts_under_other_ids_are_one_question():
    # every question is asked twice, its claims reworded, and the label is the text's alone
    rng = np.random.default_rng(0)
    text, twin = np.repeat(np.arange(20), 4), np.tile([0, 1], 40)
    y = (rng.random(20) < 0.5).astype(int)[text]
    ids = [f"q{t}-{k}" for t, k in zip(text, twin, strict=True)]
    asked = ("which is it, no.", "Which  is it, No.")
    words = [f"{asked[k]} {t}" for t, k in zip(text, twin, strict=True)]
    claims = [f"claim {row}" for row in range(80)]
    X = rng.normal(size=(20, 6))[text]
    data = Data(X, y, ids, text=claims, question=words)
    assert len(set(data.qid)) == 20
    fold = design(data, FitSettings()).fold
    assert all(len(set(fold[text == own])) == 1 for own in range(20))
    apart = design(Data(X, y, ids, text=claims), FitSettings()).fold
    assert any(len(set(apart[text == own])) == 2 for own in range(20))
    assert len(set(Data(X, y, ids, text=claims, question=[""] * 80).qid)) == 40


def test_dealt_again_the_blocks_stay_whole_and_the_training_rows_purged():
    rng = np.random.default_rng(0)
    qid, y = np.repeat(np.arange(40), 5), rng.integers(0, 2, 200)
    text = [f"claim {i}" for i in rng.integers(0, 90, 200)]
    plan = design(Data(np.zeros((200, 1)), y, qid, text=text), FitSettings())
    again = dealt_again(plan, 1)
    assert (again.fold != plan.fold).any()
    assert (plan.fold == design(Data(np.zeros((200, 1)), y, qid, text=text), FitSettings()).fold).all()
    assert all(len(set(again.fold[qid == q])) == 1 for q in range(40))
    for k, train in enumerate(again.train):
        assert not set(again.codes[train]) & set(again.codes[again.fold == k])
    assert (dealt_again(plan, 0).fold == plan.fold).all()


def test_the_spread_over_deals_is_a_fixed_probe_scored_on_each():
    rng = np.random.default_rng(1)
    qid, sid = np.repeat(np.arange(40), 5), np.tile(np.arange(5), 40)
    X = rng.normal(size=(200, 6))
    y = (rng.random(200) < 1 / (1 + np.exp(-2 * X[:, 0]))).astype(int)
    plan = design(Data(X, y, qid), FitSettings())
    found = fold_draws(X, sid, plan, 1.0)
    assert len(found.auroc.values) == 5
    assert (found.auroc.low, found.auroc.high) == (min(found.auroc.values), max(found.auroc.values))
    model = LogisticRegression(C=1.0, tol=1e-8)
    Z, own = (X - X.mean(axis=0)) / X.std(axis=0), np.zeros(200)
    for k, train in enumerate(plan.train):
        own[plan.fold == k] = model.fit(Z[train], y[train]).decision_function(Z[plan.fold == k])
    assert found.auroc.values[0] == pytest.approx(fold_auroc(own, y, plan.fold), abs=2e-3)
    assert fold_draws(X, None, plan, 1.0).within_position is None
