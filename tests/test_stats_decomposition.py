from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.stats import ratio_difference_interval, split_by_kind
from mechcot.stats.cluster import resampled_sums
from mechcot.stats.decomposition import _terms

# [arm, question, kind]; whole kinds are often missing from an arm
TABLES = st.tuples(
    hnp.arrays(np.int64, (2, 6, 4), elements=st.integers(0, 5)),
    hnp.arrays(np.int64, (2, 1, 4), elements=st.integers(0, 1)),
    st.integers(0, 99),
).map(lambda drawn: (drawn[0] * drawn[1], drawn[2]))
KINDS = ["find", "drug", "rev", "hop"]


def split(errors, judged, min_questions=1):
    kinds = KINDS[: judged.shape[2]]
    return split_by_kind(errors[0], judged[0], errors[1], judged[1], kinds, min_questions=min_questions)


def estimates(result):
    return [
        t.estimate for t in (result.total, result.common_composition, result.common_within, result.unshared)
    ]


@settings(deadline=None)
@given(TABLES, st.integers(1, 4))
def test_three_terms_add_to_the_total_in_the_data_and_in_every_replicate(drawn, min_questions):
    judged, seed = drawn
    errors = np.random.default_rng(seed).binomial(judged, 0.4)
    result = split(errors, judged, min_questions=min_questions)
    if judged[0].sum() == 0 or judged[1].sum() == 0:
        assert estimates(result) == [None] * 4
        assert result.total.reason
        return
    total, composition, within, unshared = estimates(result)
    rates = [errors[arm].sum() / judged[arm].sum() for arm in (0, 1)]
    assert total == pytest.approx(rates[1] - rates[0], abs=1e-12)
    assert composition + within + unshared == pytest.approx(total, abs=1e-12)
    table = np.concatenate([errors[0], judged[0], errors[1], judged[1]], axis=1)
    shared = ((judged > 0).sum(axis=1) >= min_questions).all(axis=0)
    replicates = _terms(resampled_sums(table, 40, seed), shared)
    defined = ~np.isnan(replicates[:, 0])
    assert replicates[defined, 1:].sum(axis=1) == pytest.approx(replicates[defined, 0], abs=1e-12)
    for name, term in (("composition", composition), ("within", within), ("unshared", unshared)):
        assert sum(getattr(kind, name) for kind in result.kinds) == pytest.approx(term, abs=1e-12)
    low, high = result.within_bounds
    assert low <= high + 1e-12


@settings(deadline=None)
@given(TABLES)
def test_swapping_the_arms_changes_every_sign(drawn):
    judged, seed = drawn
    if judged[0].sum() == 0 or judged[1].sum() == 0:
        return
    errors = np.random.default_rng(seed).binomial(judged, 0.4)
    there, back = split(errors, judged), split(errors[::-1], judged[::-1])
    assert estimates(back) == pytest.approx([-value for value in estimates(there)], abs=1e-12)
    for name in ("composition", "within", "unshared"):
        terms = [getattr(kind, name) for kind in there.kinds]
        assert [-getattr(kind, name) for kind in back.kinds] == pytest.approx(terms, abs=1e-12)


@settings(deadline=None)
@given(TABLES)
def test_counting_correct_steps_instead_of_errors_changes_every_sign(drawn):
    # rates r -> 1 - r: the split does not hang on where a rate's zero lies
    judged, seed = drawn
    if judged[0].sum() == 0 or judged[1].sum() == 0:
        return
    errors = np.random.default_rng(seed).binomial(judged, 0.4)
    assert estimates(split(judged - errors, judged)) == pytest.approx(
        [-value for value in estimates(split(errors, judged))], abs=1e-12
    )


def one_question(before, after):
    """Two arms as {kind: (errors, judged)}, halved over two questions to allow resampling."""
    arms = [[arm.get(kind, (0, 0)) for kind in KINDS] for arm in (before, after)]
    counts = np.array(arms)  # [arm, kind, errors or judged]
    return np.repeat(counts[:, None, :, 0], 2, axis=1), np.repeat(counts[:, None, :, 1], 2, axis=1)


def test_new_kinds_that_err_as_often_as_the_old_contribute_nothing():
    result = split(*one_question({"find": (1, 10)}, {"find": (1, 10), "rev": (3, 30)}))
    assert estimates(result) == pytest.approx([0, 0, 0, 0])


def test_pure_cases_land_in_their_own_term():
    mix = split(*one_question({"find": (1, 10), "drug": (9, 10)}, {"find": (1, 10), "drug": (27, 30)}))
    assert mix.common_within.estimate == pytest.approx(0)
    assert mix.unshared.estimate == pytest.approx(0)
    assert mix.common_composition.estimate == pytest.approx(28 / 40 - 10 / 20)
    worse = split(*one_question({"find": (1, 10), "drug": (1, 10)}, {"find": (4, 10), "drug": (2, 10)}))
    assert worse.common_composition.estimate == pytest.approx(0)
    assert worse.common_within.estimate == pytest.approx(0.2)
    new = split(*one_question({"find": (1, 10)}, {"find": (1, 10), "rev": (8, 10)}))
    assert new.common_composition.estimate == new.common_within.estimate == 0
    assert new.unshared.estimate == pytest.approx(0.35)
    status = {kind.kind: kind.status for kind in new.kinds}
    assert status == {"find": "shared", "drug": "unused", "rev": "new", "hop": "unused"}


def test_hand_computed_mixture_of_all_three():
    before = {"find": (2, 10), "drug": (4, 10), "hop": (4, 5)}
    after = {"find": (1, 10), "drug": (15, 30), "rev": (12, 20)}
    result = split(*one_question(before, after))
    total = 28 / 60 - 10 / 25
    composition = (0.25 - 0.5) * (0.2 + 0.1) / 2 + (0.75 - 0.5) * (0.4 + 0.5) / 2
    within = (0.5 + 0.25) / 2 * (0.1 - 0.2) + (0.5 + 0.75) / 2 * (0.5 - 0.4)
    unshared = (28 / 60 - 16 / 40) - (10 / 25 - 6 / 20)
    assert estimates(result) == pytest.approx([total, composition, within, unshared])
    weights = {"find": (10 / 25 + 10 / 60) / 2, "drug": (10 / 25 + 30 / 60) / 2, "hop": 0.1, "rev": 1 / 6}
    known = weights["find"] * (0.1 - 0.2) + weights["drug"] * (0.5 - 0.4)
    assert result.within_bounds == pytest.approx(
        (known + weights["hop"] * (0 - 0.8) + weights["rev"] * (0.6 - 1), known + 0.1 * 0.2 + 0.6 / 6)
    )


def test_nothing_shared_is_all_unshared():
    result = split(*one_question({"find": (1, 10)}, {"rev": (5, 10)}))
    assert estimates(result) == pytest.approx([0.4, 0, 0, 0.4])


def test_a_thin_kind_can_be_kept_out_of_the_shared_ones():
    errors, judged = one_question({"find": (1, 10), "drug": (1, 1)}, {"find": (1, 10), "drug": (5, 50)})
    assert {k.kind: k.status for k in split(errors, judged).kinds}["drug"] == "shared"
    thin = split(errors, judged, min_questions=3)
    assert {k.kind: k.status for k in thin.kinds}["drug"] == "thin"
    assert thin.common_within.estimate == pytest.approx(0)
    assert sum(estimates(thin)[1:]) == pytest.approx(thin.total.estimate)


def test_the_total_and_its_interval_are_those_of_the_plain_difference():
    rng = np.random.default_rng(7)
    judged = rng.integers(0, 4, size=(2, 60, 3))
    errors = rng.binomial(judged, 0.3)
    result = split(errors, judged)
    plain = ratio_difference_interval(
        errors[0].sum(axis=1), judged[0].sum(axis=1), errors[1].sum(axis=1), judged[1].sum(axis=1)
    )
    assert result.total.estimate == pytest.approx(plain.estimate)
    assert (result.total.low, result.total.high) == pytest.approx((plain.low, plain.high))
    assert result == split(errors, judged)


def test_intervals_of_the_terms_cover_a_planted_truth():
    # kinds err at known rates; shares change; the truth of each term follows from the definition
    rng = np.random.default_rng(11)
    rate, mean0, mean1 = np.array([0.1, 0.5, 0.7]), np.array([3.0, 1.0, 0.0]), np.array([2.0, 2.0, 2.0])
    truth = np.array([0.5 * 0.1 + 0.5 * 0.5 - (0.75 * 0.1 + 0.25 * 0.5), 0.0, (1.3 * 2 / 6) - 0.3])
    hits = np.zeros(3)
    for _ in range(200):
        difficulty = rng.gamma(4, 0.25, size=(80, 1))
        judged = np.stack([rng.poisson(mean * difficulty, (80, 3)) for mean in (mean0, mean1)])
        errors = rng.binomial(judged, rate)
        result = split(errors, judged)
        terms = (result.common_composition, result.common_within, result.unshared)
        hits += [term.low <= value <= term.high for term, value in zip(terms, truth, strict=True)]
    assert (hits / 200 > 0.89).all()


def test_json_has_numbers_as_leaves_and_no_nan():
    errors, judged = one_question({"find": (1, 10)}, {"rev": (5, 10)})
    value = json.loads(json.dumps(split(errors, judged).to_json(), allow_nan=False))
    assert value["unshared"]["estimate"] == pytest.approx(0.4)
    assert value["unshared"]["n"] == 2
    empty = split(errors * 0, judged * 0).to_json()
    json.dumps(empty, allow_nan=False)
    assert empty["common_within"]["estimate"]["reason"]
    frame = split(errors, judged).to_frame()
    assert list(frame["kind"]) == KINDS
    assert len(split_by_kind(*np.zeros((4, 3, 0)), []).to_frame()) == 0


def test_bad_input_is_named():
    good = np.ones((2, 4))
    bad = good.copy()
    bad[1, 1] = 3
    with pytest.raises(AnalysisError, match="after, question at row 1, kind 'drug': 3 errors among 1"):
        split_by_kind(good, good, bad, good, KINDS)
    with pytest.raises(AnalysisError, match="shapes"):
        split_by_kind(good, good, good, good[:1], KINDS)
    with pytest.raises(AnalysisError, match="3 kinds"):
        split_by_kind(good, good, good, good, KINDS[:3])
    with pytest.raises(UsageError, match="min_questions"):
        split_by_kind(good, good, good, good, KINDS, min_questions=0)
