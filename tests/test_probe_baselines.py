from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from mechcot.core.errors import AnalysisError
from mechcot.probe import Data, FitSettings
from mechcot.probe.baselines import (
    LABELS,
    baseline_scores,
    confound_features,
    feature_blocks,
    position_features,
    spline,
)
from mechcot.probe.cross_fitting import cross_fit, dense, log_loss, log_odds, stacked
from mechcot.probe.folds import design
from mechcot.probe.judged_steps import ORACLE, SIGNALS_AT
from mechcot.probe.text import texts
from mechcot.stats import auroc, fold_auroc


def steps(seed=0, *, n_questions=50, n_traces=2, n_steps=6):
    """Random steps with everything a baseline can see, and no labels."""
    rng = np.random.default_rng(seed)
    sid = np.tile(np.arange(n_steps), n_questions * n_traces)
    n = len(sid)
    qid = np.repeat(np.arange(n_questions), n_traces * n_steps)
    words = np.array([f"word{i}" for i in range(60)])
    meta = pd.DataFrame(
        {
            "kind": rng.choice(["find", "drug", "lab"], n),
            "sid": sid,
            "n_steps": n_steps,
            "n_words": rng.integers(3, 30, n),
            "n_tokens": rng.integers(4, 60, n),
            "answer_right": np.repeat(rng.integers(-1, 2, n_questions * n_traces), n_steps),
        }
    )
    text = [" ".join(rng.choice(words, 6)) for _ in range(n)]
    question = [f"question {' '.join(words[[q % 60, q // 2 % 60]])}" for q in qid]
    signals = {name: rng.exponential(size=n) for name in (*SIGNALS_AT["end"], ORACLE)}
    return qid, meta.assign(**signals), {"text": text, "question": question}, rng


def planned(y, qid, meta=None, words=None):
    """The steps and their folds; without words there is one text a step."""
    data = Data({("end", 0): np.zeros((len(y), 1))}, y, qid, meta, **(words or {}))
    return data, design(data, FitSettings())


def value(found, y, plan, name):
    row = found[name]
    return fold_auroc(row.scores, y[row.rows], plan.fold[row.rows])


SEEN = {
    "position_only": lambda meta, words: meta.sid % 2 == 1,
    "length_only": lambda meta, words: np.abs(meta.n_words - 15) < 6,
    "kind_only": lambda meta, words: meta.kind == "drug",
    "answer_only": lambda meta, words: meta.answer_right == 0,
    "surprisal_max": lambda meta, words: meta.surprisal_max > 0.7,
    "text_only": lambda meta, words: np.array(["word5" in text for text in words["text"]]),
    "question_only": lambda meta, words: np.array(["word2" in text for text in words["question"]]),
}


@pytest.mark.parametrize("cause", SEEN)
def test_each_baseline_sees_what_it_is_of_and_so_does_the_stack(cause):
    qid, meta, words, rng = steps()
    y = (rng.random(len(qid)) < np.where(SEEN[cause](meta, words), 0.9, 0.1)).astype(int)
    data, plan = planned(y, qid, meta, words)
    found = baseline_scores(data, plan)
    assert list(found) == [name for name in LABELS if name in found]
    assert value(found, y, plan, cause) > 0.75
    assert value(found, y, plan, "stack") > value(found, y, plan, cause) - 0.04
    for other in set(SEEN) - {cause}:
        # where whole traces err together, a hundred traces leave more to chance
        bound = 0.72 if cause in ("answer_only", "question_only") else 0.62
        assert value(found, y, plan, other) < bound, other


def test_the_oracle_stays_outside_of_the_stack():
    qid, meta, _, rng = steps(1)
    y = rng.integers(0, 2, len(qid))
    data, plan = planned(y, qid, meta.assign(**{ORACLE: y + 0.3 * rng.normal(size=len(y))}))
    found = baseline_scores(data, plan)
    assert value(found, y, plan, ORACLE) > 0.95
    assert value(found, y, plan, "stack") < 0.6
    assert value(found, y, plan, "uncertainty") < 0.6


def test_signals_with_gaps_are_scored_where_they_are():
    qid, meta, _, rng = steps(2)
    y = rng.integers(0, 2, len(qid))
    gaps = np.where(np.arange(len(y)) % 3 == 0, np.nan, y + 0.3 * rng.normal(size=len(y)))
    nowhere = np.full(len(y), np.nan)
    meta = meta.drop(columns=[*SIGNALS_AT["end"], ORACLE]).assign(entropy_end=gaps, entropy_max=nowhere)
    data, plan = planned(y, qid, meta)
    found = baseline_scores(data, plan)
    assert found["entropy_end"].rows.sum() == np.isfinite(gaps).sum()
    assert value(found, y, plan, "entropy_end") > 0.9
    assert "entropy_max" not in found
    assert 0.75 < value(found, y, plan, "stack") < 0.95


def test_what_says_nothing_is_left_out_or_scores_exactly_one_half():
    qid, meta, words, rng = steps(3)
    y = rng.integers(0, 2, len(qid))
    meta = meta[["sid", "n_steps"]].assign(answer_right=-1, n_words=4, n_tokens=7, kind="step")
    data, plan = planned(y, qid, meta, {"text": words["text"]})
    found = baseline_scores(data, plan)
    assert set(found) == {"position_only", "kind_only", "text_only", "stack"}
    assert value(found, y, plan, "kind_only") == 0.5


def test_a_stack_of_nothing_scores_exactly_one_half():
    qid, _, _, rng = steps(4)
    y = rng.integers(0, 2, len(qid))
    _, plan = planned(y, qid)
    constant = np.full((len(y), 3), 0.1)
    useless = cross_fit(dense(constant, y), plan, (0.1, 1.0))
    for columns in ([], [useless], [useless, useless]):
        fitted = stacked(constant, columns, plan)
        assert fold_auroc(fitted.scores(plan), y, plan.fold) == 0.5
    assert fold_auroc(useless.scores(plan), y, plan.fold) == 0.5


def test_features_of_the_callers_join_the_stack():
    qid, meta, words, rng = steps(5)
    hidden = rng.normal(size=len(qid))
    y = (rng.random(len(qid)) < 1 / (1 + np.exp(-3 * hidden))).astype(int)
    X = rng.normal(size=(len(y), 700))
    X[:, :40] += hidden[:, None]
    data, plan = planned(y, qid, meta.assign(hidden=hidden, ward=rng.choice(["a", "b"], len(y))), words)
    found = baseline_scores(data, plan, extra={"untrained weights": X})
    assert found["untrained weights"].n_features == 700
    assert found["untrained weights"].label == "untrained weights"
    assert value(found, y, plan, "untrained weights") > 0.85
    assert value(found, y, plan, "confounds_only") > 0.85
    assert value(found, y, plan, "stack") > 0.85
    names = list(found)
    assert names.index("question_only") < names.index("untrained weights") < names.index("stack")
    with pytest.raises(AnalysisError, match="'stack' is the name of a baseline"):
        baseline_scores(data, plan, extra={"stack": X})
    X[3, 3] = np.nan
    with pytest.raises(AnalysisError, match="'untrained': extra features must be finite"):
        baseline_scores(data, plan, extra={"untrained": X})


def test_the_probe_adds_to_the_stack_what_is_its_own():
    qid, meta, _, rng = steps(6)
    hidden = rng.normal(size=len(qid))
    y = (rng.random(len(qid)) < 1 / (1 + np.exp(-meta.sid + 2.5 - 2 * hidden))).astype(int)
    data, plan = planned(y, qid, meta)
    X = rng.normal(size=(len(y), 30))
    X[:, 0] += 3 * hidden
    probe = cross_fit(dense(X, y), plan, (0.01, 0.1))
    noise = cross_fit(dense(rng.normal(size=X.shape), y), plan, (0.01, 0.1))
    found = baseline_scores(data, plan, probe=probe)
    gain = value(found, y, plan, "stack_probe") - value(found, y, plan, "stack")
    assert gain > 0.03
    idle = baseline_scores(data, plan, probe=noise)
    assert (idle["stack_probe"].scores == idle["stack"].scores).mean() > 0.7
    assert found["stack_probe"].n_features == found["stack"].n_features + 1


def test_text_scores_equal_a_vectorizer_fitted_on_the_training_rows():
    _, _, words, rng = steps(7, n_questions=20)
    text = [f"{t} BP 1{i % 5}" for i, t in enumerate(words["text"])]
    text[10:20] = text[:10]
    y = (rng.random(len(text)) < np.where(["word7" in t for t in text], 0.9, 0.2)).astype(int)
    train = np.arange(len(text)) % 4 > 0
    found = texts(text, y)(train[None], np.array([3.0]))[0]
    inside = [t for t, kept in zip(text, train, strict=True) if kept]
    vectorizers = [
        TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", min_df=2),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2),
    ]
    model = LogisticRegression(C=3.0, max_iter=5000, tol=1e-8)
    model.fit(hstack([v.fit_transform(inside) for v in vectorizers]), y[train])
    expected = model.decision_function(hstack([v.transform(text) for v in vectorizers]))
    np.testing.assert_allclose(found, expected, atol=5e-3)  # log odds, as far as it descends
    with pytest.raises(AnalysisError, match="none of the 3 texts has a word"):
        texts(["", "--", "..."], np.array([0, 1, 0]))


def test_no_score_saw_its_own_label():
    """Flipping a row's label changes the scores of others, never its own."""
    qid, _, _, rng = steps(8, n_questions=15)
    X = rng.normal(size=(len(qid), 8))
    y = rng.integers(0, 2, len(qid))
    _, plan = planned(y, qid)
    before = cross_fit(dense(X, y), plan, [0.1])
    row = 17
    other = y.copy()
    other[row] = 1 - y[row]
    after = cross_fit(dense(X, other), replace(plan, y=other), [0.1])
    changed = before.evidence != after.evidence
    # in every fold that trains on it, and in the one that tests it, its own score stays
    assert not changed[:, row].any()
    assert changed[np.isfinite(before.evidence)].mean() > 0.3


def test_scores_inside_training_rows_are_those_of_the_inner_folds():
    qid, _, _, rng = steps(9, n_questions=20)
    X = rng.normal(size=(len(qid), 5))
    y = (X[:, 0] + rng.normal(size=len(qid)) > 0).astype(int)
    _, plan = planned(y, qid)
    found = cross_fit(dense(X, y), plan, [0.3])
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    fold, masks = plan.inner(2)
    for index, mask in enumerate(masks):
        model = LogisticRegression(C=0.3, tol=1e-10, max_iter=1000).fit(scaled[mask], y[mask])
        rows = fold == index
        expected = model.decision_function(scaled[rows]) - log_odds(y, mask)
        np.testing.assert_allclose(found.evidence[2, rows], expected, atol=1e-4)
        loss = log_loss(expected + log_odds(y, mask), y[rows])
        np.testing.assert_allclose(found.inner_loss[2, rows], loss, atol=1e-4)
    train, test = plan.train[2], plan.fold == 2
    model = LogisticRegression(C=0.3, tol=1e-10, max_iter=1000).fit(scaled[train], y[train])
    np.testing.assert_allclose(found.log_odds(plan)[test], model.decision_function(scaled[test]), atol=1e-4)
    assert np.isnan(found.evidence[2, ~train & ~test]).all()


def test_a_penalty_that_ranks_every_pair_wrongly_is_not_taken_for_chance():
    qid, *_, rng = steps(6)
    y = rng.integers(0, 2, len(qid))
    plan = planned(y, qid)[1]

    def source(rows, C):  # every pair wrong under the strong penalty, most pairs under the weak one
        most = np.where(np.arange(len(y)) % 5 == 0, y, -y)
        return np.stack([-y if one < 1 else most for one in C]).astype(float)

    assert (cross_fit(source, plan, (0.1, 10.0)).C == 10.0).all()


def test_columns_of_a_frame():
    rng = np.random.default_rng(0)
    n = 200
    frame = pd.DataFrame(
        {
            "age": rng.normal(60, 10, n),
            "ward": rng.choice(["a", "b", "c"], n),
            "round": rng.integers(0, 3, n),
            "night": rng.random(n) < 0.5,
            "same": 1.0,
        }
    )
    frame.loc[:9, "age"] = np.nan
    frame.loc[5, "ward"] = None
    table, names = confound_features(frame)
    assert table.shape == (n, len(names))
    assert np.isfinite(table).all()
    counts = pd.Series(names).value_counts().to_dict()
    assert counts["ward"] == 4  # one flags the missing value
    assert counts["round"] == 3
    assert counts["night"] == 2
    assert counts["age"] > 4
    assert "same" not in counts
    assert (table[:, names.index("age") + counts["age"] - 1] == frame["age"].isna()).all()


def test_confounds_that_cannot_be_used_are_refused():
    ids = pd.DataFrame({"id": [f"patient {i}" for i in range(40)]})
    with pytest.raises(AnalysisError, match="40 confound columns for 40 steps"):
        confound_features(ids)
    with pytest.raises(AnalysisError, match="confound 'dose', row 1"):
        confound_features(pd.DataFrame({"dose": [1.0, np.inf, 2.0]}))
    with pytest.raises(AnalysisError, match="no column"):
        confound_features(pd.DataFrame(index=range(5)))
    qid, _, _, rng = steps(0, n_questions=12)
    y = rng.integers(0, 2, len(qid))
    with pytest.raises(AnalysisError, match="confounds has 3 values for 144 labels"):
        planned(y, qid, ids.iloc[:3])
    many = pd.DataFrame({"id": [f"step {i}" for i in range(144)]})
    with pytest.raises(AnalysisError, match="144 confound columns for 144 steps"):
        baseline_scores(*planned(y, qid, many))


def test_a_spline_bends_where_a_line_cannot():
    rng = np.random.default_rng(0)
    x = rng.normal(size=600)
    y = (np.abs(x) > 0.7).astype(int)
    basis = spline(x)
    fitted = LogisticRegression(C=100.0).fit(basis[:300], y[:300]).decision_function(basis[300:])
    assert auroc(fitted, y[300:]) > 0.97
    assert spline(np.full(9, 3.0)).shape == (9, 0)
    assert spline(np.full(9, np.nan)).shape == (9, 0)
    assert spline(np.array([0.0] * 90 + list(range(1, 11)))).shape[0] == 100  # most are equal
    assert np.isfinite(spline(np.array([0.0] * 90 + list(range(1, 11))))).all()


def test_positions_are_told_apart_whatever_the_labels_do():
    features = position_features([0, 1, 2, 40, 90], [3, 3, 3, 100, 100])
    assert features.shape[0] == 5
    assert (features[3, :4] == features[4, :4]).all()  # late positions share a column
    data, _ = planned(np.arange(20) % 2, np.arange(20))
    assert list(feature_blocks(data)) == ["position_only", "kind_only"]
