from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters, cohens_kappa, fleiss_kappa

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.stats import agreement
from mechcot.stats.agreement import weighted_agreement


def panel(codes, names="abcdef"):
    return pd.DataFrame(np.asarray(codes, dtype=object), columns=list(names[: np.shape(codes)[1]]))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 4), st.integers(2, 4))
def test_equals_statsmodels_and_sklearn(seed, judges, width):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, width, 60)
    codes = np.where(rng.random((60, judges)) < 0.6, truth[:, None], rng.integers(0, width, (60, judges)))
    result = agreement(panel(codes), np.arange(60) // 4)
    table, _ = aggregate_raters(codes)
    assert result.kappa.estimate == pytest.approx(fleiss_kappa(table))
    assert result.n_steps == 60
    for pair in result.pairs:
        i, j = ("abcd".index(name) for name in pair.judges)
        assert pair.kappa.estimate == pytest.approx(cohen_kappa_score(codes[:, i], codes[:, j]))
        cross = np.zeros((width, width))
        np.add.at(cross, (codes[:, i], codes[:, j]), 1)
        known = cohens_kappa(cross)
        assert pair.kappa.estimate == pytest.approx(known.kappa)
        assert pair.kappa_max == pytest.approx(known.kappa_max)
        assert pair.raw.estimate == pytest.approx((codes[:, i] == codes[:, j]).mean())


def test_kappa_is_low_at_98_percent_agreement_and_ac1_is_not():
    # 1000 steps: 977 both correct, 3 both erroneous, 10 and 10 apart
    cells = [(0, 0)] * 977 + [(1, 1)] * 3 + [(0, 1)] * 10 + [(1, 0)] * 10
    pair = agreement(panel(cells), np.arange(1000) // 5).pairs[0]
    assert pair.raw.estimate == 0.98
    assert pair.kappa.estimate == pytest.approx(0.2206, abs=1e-3)
    chance = 2 * 0.013 * 0.987
    assert pair.ac1.estimate == pytest.approx((0.98 - chance) / (1 - chance))
    assert pair.ac1.estimate > 0.97
    assert pair.kappa.high - pair.kappa.low > 5 * (pair.ac1.high - pair.ac1.low)


def test_missing_ratings_by_hand():
    rows = [["c", "c", None], ["c", "e", "e"], ["e", None, None], [None, None, None], ["e", "e", "e"]]
    result = agreement(panel(rows), [0, 1, 2, 3, 4])
    raw = (1 + 1 / 3 + 1) / 3
    share = (1 + 1 / 3 + 0 + 0) / 4
    assert result.raw.estimate == pytest.approx(raw)
    assert result.shares == pytest.approx({"c": share, "e": 1 - share})
    chance = share**2 + (1 - share) ** 2
    assert result.kappa.estimate == pytest.approx((raw - chance) / (1 - chance))
    chance = 2 * share * (1 - share)
    assert result.ac1.estimate == pytest.approx((raw - chance) / (1 - chance))
    assert (result.n_steps, result.n_rated, result.n_ratings) == (3, 4, {"a": 4, "b": 3, "c": 2})
    assert [pair.n_steps for pair in result.pairs] == [3, 2, 2]
    assert result.raw.n == 3


def test_every_gap_is_the_same_as_no_row():
    rng = np.random.default_rng(3)
    codes = panel(rng.integers(0, 2, (50, 2)))
    gaps = panel([[None, None]] * 20)
    whole = agreement(pd.concat([codes, gaps]), [*range(50), *range(20)])
    assert whole.kappa.estimate == agreement(codes, range(50)).kappa.estimate


def test_more_categories_than_occur_raise_ac1_and_leave_kappa():
    rng = np.random.default_rng(3)
    codes = panel(rng.integers(0, 2, (80, 2)).astype(str))
    two = agreement(codes, range(80))
    three = agreement(codes, range(80), categories=["0", "1", "abstain"])
    assert three.kappa.estimate == pytest.approx(two.kappa.estimate)
    assert three.ac1.estimate > two.ac1.estimate
    assert three.shares["abstain"] == 0


def test_clusters_widen_the_interval():
    rng = np.random.default_rng(0)
    agree = rng.random(60) < 0.5  # a question is agreed on as a whole or not at all
    first = rng.integers(0, 2, 600)
    second = np.where(np.repeat(agree, 10), first, 1 - first)
    codes = panel(np.column_stack([first, second]))
    clustered = agreement(codes, np.repeat(np.arange(60), 10)).raw
    single = agreement(codes, np.arange(600)).raw
    assert clustered.high - clustered.low > 2.2 * (single.high - single.low)  # root of 10 is 3.2


def test_the_interval_covers():
    rng, hits = np.random.default_rng(5), 0
    for _ in range(200):
        skill = np.repeat(rng.beta(6, 2, 80), 5)  # per question, mean .75
        truth = rng.integers(0, 2, 400)
        codes = np.where(rng.random((400, 2)) < skill[:, None], truth[:, None], 1 - truth[:, None])
        got = agreement(panel(codes), np.repeat(np.arange(80), 5)).pairs[0].raw
        second = 6 * 7 / (8 * 9)  # E skill^2
        hits += got.low <= 1 - 2 * 0.75 + 2 * second <= got.high
    assert 180 <= hits <= 199


def test_one_category_has_no_kappa_but_raw_agreement_and_ac1():
    result = agreement(panel([["c", "c"]] * 5), range(5))
    assert result.raw.estimate == 1
    assert result.kappa.estimate is None
    assert "one category" in result.kappa.reason
    assert result.pairs[0].kappa_max is None
    json.dumps(result.to_json(), allow_nan=False)
    nothing = agreement(panel([["c", None]] * 5), range(5))
    assert nothing.raw.estimate is None
    assert nothing.n_steps == 0
    empty = agreement(panel(np.empty((0, 2))), [])
    assert empty.raw.reason.startswith("no step")
    json.dumps(empty.to_json(), allow_nan=False)


def test_json_and_frame():
    result = agreement(panel(np.random.default_rng(0).integers(0, 2, (40, 3))), np.arange(40) // 2)
    value = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert "do not compare" in value["note"]
    assert len(value["pairs"]) == 3
    assert len(result.to_frame()) == 13


@pytest.mark.parametrize(
    ("labels", "questions", "more", "error", "words"),
    [
        (panel([["c"]]), [0], {}, AnalysisError, "at least two judges"),
        (pd.DataFrame([["c", "e"]], columns=["a", "a"]), [0], {}, AnalysisError, "different names"),
        (panel([["c", "e"]]), [0, 1], {}, AnalysisError, "one question per step"),
        (panel([["c", "e"]]), [None], {}, AnalysisError, "row 0 has no question"),
        (panel([["c", "x"]]), [0], {"categories": ["c", "e"]}, AnalysisError, "'x' is none of"),
        (panel([["c", "c"]]), [0], {"categories": ["c"]}, UsageError, "two different categories"),
        (panel([["c", "c"]]), [0], {"ordered": True}, UsageError, "an order needs the categories"),
    ],
)
def test_bad_input_is_named(labels, questions, more, error, words):
    with pytest.raises(error, match=words):
        agreement(labels, questions, **more)


@pytest.mark.parametrize("seed", [0, 1])
def test_weighted_agreement_is_the_plain_one_where_weights_are_equal_or_whole(seed):
    rng = np.random.default_rng(seed)
    categories = ("a", "b", "c")
    one, other = (pd.Series(rng.choice(categories, size=80)) for _ in range(2))
    questions = pd.Series(rng.integers(0, 15, size=80))
    plain = agreement(pd.DataFrame({"x": one, "y": other}), questions, categories=categories).pairs[0]
    both = pd.DataFrame({"x": one, "y": other})
    same = weighted_agreement(both, np.full(80, 2.5), questions, categories=categories)
    assert (same.n_steps, same.judges) == (80, ("x", "y"))
    assert same.kappa_max == pytest.approx(plain.kappa_max)
    for found, expected in zip(
        (same.raw, same.kappa, same.ac1), (plain.raw, plain.kappa, plain.ac1), strict=True
    ):
        ours, theirs = ((i.estimate, i.low, i.high, i.n) for i in (found, expected))
        assert ours == pytest.approx(theirs)
    weights = pd.Series(rng.integers(1, 6, size=80))
    rows = np.repeat(np.arange(80), weights)
    repeated = agreement(
        pd.DataFrame({"x": one[rows].to_numpy(), "y": other[rows].to_numpy()}),
        questions[rows].to_numpy(), categories=categories,
    ).pairs[0]  # fmt: skip
    heavy = weighted_agreement(both, weights, questions, categories=categories)
    for name in ("raw", "kappa", "ac1"):
        assert getattr(heavy, name).estimate == pytest.approx(getattr(repeated, name).estimate)
    light = weighted_agreement(both, weights / 1000, questions, categories=categories)
    assert light.raw.estimate == pytest.approx(heavy.raw.estimate)


def test_weighted_agreement_of_nothing_and_of_one_label_has_a_reason():
    nothing = pd.DataFrame({"x": [], "y": []}, dtype=object)
    assert weighted_agreement(nothing, [], [], categories=("a", "b")).raw.reason
    same = pd.DataFrame({"x": ["a"] * 4, "y": ["a"] * 4})
    found = weighted_agreement(same, [1e-9] * 4, [0, 0, 1, 1], categories=("a", "b"))
    assert found.raw.estimate == 1
    assert "one category" in found.kappa.reason
    with pytest.raises(AnalysisError, match="none of the categories"):
        weighted_agreement(same, [1.0] * 4, [0, 0, 1, 1], categories=("b", "c"))
    with pytest.raises(AnalysisError, match="row 1 has no question"):
        weighted_agreement(same, [1.0] * 4, [0, None, 1, 1])


# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", example C: four observers, twelve units.
OBSERVED = [
    [1, 1, None, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4],
    [4, 4, 4, 4], [1, 1, 2, 1], [2, 2, 2, 2], [None, 5, 5, 5], [None, None, 1, 1], [None, None, 3, None],
]  # fmt: skip


def test_alpha_is_that_of_krippendorff_s_own_example():
    found = agreement(panel(OBSERVED), range(12), categories=list("12345"), ordered=True)
    assert found.alpha.estimate == pytest.approx(0.743, abs=5e-4)
    assert found.ordinal.alpha.estimate == pytest.approx(0.815, abs=5e-4)
    # Gwet (2014) prints AC1 of the same ratings
    assert found.ac1.estimate == pytest.approx(0.775, abs=5e-4)
    assert found.alpha.low < found.alpha.estimate < found.alpha.high


def _by_hand(codes, width, distance, weights):
    """Alpha and AC2 pair by pair of ratings, without a table."""
    rated = [[c for c in row if c >= 0] for row in codes]
    paired = [row for row in rated if len(row) > 1]
    everyone = [c for row in paired for c in row]
    observed = sum(
        distance(a, b, everyone) / (len(row) - 1)
        for row in paired for i, a in enumerate(row) for j, b in enumerate(row) if i != j
    ) / len(everyone)  # fmt: skip
    expected = np.mean(
        [distance(a, b, everyone) for i, a in enumerate(everyone) for j, b in enumerate(everyone) if i != j]
    )
    agreed = np.mean(
        [np.mean([weights[a][b] for i, a in enumerate(row) for j, b in enumerate(row) if i != j])
         for row in paired]
    )  # fmt: skip
    share = np.mean([[row.count(c) / len(row) for c in range(width)] for row in rated if row], axis=0)
    chance = np.sum(weights) / (width * (width - 1)) * sum(share * (1 - share))
    return 1 - observed / expected, (agreed - chance) / (1 - chance)


def _ordinal(a, b, everyone):
    low, high = min(a, b), max(a, b)
    return (sum(low <= c <= high for c in everyone) - (everyone.count(a) + everyone.count(b)) / 2) ** 2


@pytest.mark.parametrize("seed", range(3))
def test_alpha_and_ac2_are_those_of_every_pair_of_ratings(seed):
    rng = np.random.default_rng(seed)
    width, codes = 4, rng.integers(-1, 4, (30, 3))
    codes[:10] = codes[:10, :1]  # some agree
    labels = panel(np.where(codes < 0, None, codes.astype(object)))
    own = agreement(labels, np.arange(30) // 3, categories=list("0123"), ordered=True)
    apart = np.abs(np.subtract.outer(range(4), range(4)))
    weights = 1 - apart * (apart + 1) / 12  # Gwet's ordinal weights
    alpha, ac2 = _by_hand(codes.tolist(), width, _ordinal, weights)
    assert own.ordinal.alpha.estimate == pytest.approx(alpha)
    assert own.ordinal.ac2.estimate == pytest.approx(ac2)
    alpha, ac1 = _by_hand(codes.tolist(), width, lambda a, b, _: float(a != b), np.eye(4))
    assert own.alpha.estimate == pytest.approx(alpha)
    assert own.ac1.estimate == pytest.approx(ac1)


def test_with_two_categories_an_order_changes_nothing():
    codes = panel(np.random.default_rng(1).integers(0, 2, (60, 3)))
    own = agreement(codes, np.arange(60) // 4, categories=["0", "1"], ordered=True)
    assert own.ordinal.alpha.estimate == pytest.approx(own.alpha.estimate)
    assert own.ordinal.ac2 == own.ac1
    assert "ordinal" not in agreement(codes, np.arange(60) // 4).to_json()


def test_alpha_is_fleiss_kappa_but_for_the_small_sample_term():
    """Without gaps alpha = kappa + (1 - kappa) / ratings (Krippendorff 2011)."""
    codes = panel(np.random.default_rng(2).integers(0, 3, (50, 4)))
    own = agreement(codes, np.arange(50) // 2)
    assert own.alpha.estimate == pytest.approx(own.kappa.estimate + (1 - own.kappa.estimate) / 200)
