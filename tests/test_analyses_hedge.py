import json

import numpy as np
import pandas as pd
import pytest

from mechcot.analyses.hedge import analysis as hedge
from mechcot.analyses.hedge.result import beyond_frequency
from mechcot.core.errors import AnalysisError
from mechcot.stats import stratified_auroc
from mechcot.stats.directions import (
    difference_of_means,
    halves,
    held_out_scores,
    pairs_in_order,
    random_directions,
    refitted_without,
    shuffled_labels,
    tied,
)

D = 12


def planted(seed=0, *, strength=1.5, n_questions=60, arm="base", relation_shift=4.0, hedge_everything=None):
    """Claims of two relations; hedging follows one latent doubt, read off dimension 0 at layer 1.

    Relation "drug" is hedged far more often and sits far away in dimension 1: a direction that is not
    matched by kind would point there. Layer 0 holds noise and the relation alone.
    """
    rng = np.random.default_rng(seed)
    rows, layer0, layer1, doubts = [], [], [], []
    for q in range(n_questions):
        doubt = rng.normal()
        for cid in range(3):
            for sid, relation in enumerate(("find", "drug")):
                own = doubt + 0.3 * rng.normal()
                hedged = own > (1.0 if relation == "find" else -0.5)
                rows.append(
                    {
                        "qid": f"q{q:03d}", "arm": arm, "cid": cid, "sid": sid, "relation": relation,
                        "hedged": bool(hedged) if hedge_everything is None else hedge_everything,
                    }
                )  # fmt: skip
                x = rng.normal(size=D)
                x[1] += relation_shift * (relation == "drug")
                layer0.append(x.copy())
                x[0] += strength * own
                layer1.append(x)
                doubts.append(own)
    return {0: np.array(layer0), 1: np.array(layer1)}, pd.DataFrame(rows), np.array(doubts)


def verdicts_of(claims, wrong):
    labels = np.where(wrong, "erroneous", "correct")
    return claims[["qid", "arm", "cid", "sid"]].assign(label=labels)


def test_difference_of_means_by_hand():
    X = np.array([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0], [0.0, 4.0]])
    kinds = np.array([0, 0, 1, 1])
    labels = np.array([[True, False, False, True]])
    # kind 0: (1,0) - (3,0); kind 1: (0,4) - (0,2); averaged
    assert difference_of_means(X, labels, kinds)[0].tolist() == [-1.0, 1.0]


def test_planted_direction_is_recovered_and_not_the_relation():
    X, claims, _ = planted()
    result = hedge.direction(X, claims, null_draws=60, seed=1)
    unit = result.directions[1] / np.linalg.norm(result.directions[1])
    assert unit[0] > 0.9
    assert abs(unit[1]) < 0.2
    layer0, layer1 = result.by_layer
    assert layer1.auroc.low > 0.75
    assert layer1.random.high < layer1.auroc.estimate
    assert layer1.random.p < 0.05
    assert layer0.auroc.low < 0.5 < layer0.auroc.high
    assert layer0.random.p > 0.05
    assert repr(result).endswith(f"; best of 2 layers: 1, AUROC {layer1.auroc})")


def test_a_chance_direction_as_far_from_a_half_counts_against_the_direction():
    band = hedge._band(0.75, np.array([0.75, 0.25, 0.5, 0.625]))
    assert (band.p, band.draws) == (3 / 5, 4)


def test_direction_says_rates_and_counts():
    X, claims, _ = planted()
    result = hedge.direction(X, claims, null_draws=10)
    assert result.rate.estimate == pytest.approx(claims["hedged"].mean())
    assert result.n_hedged + result.n_asserted == len(claims)
    for name, cell in result.relations.items():
        assert cell["hedged"] == int(claims.loc[claims["relation"] == name, "hedged"].sum())
        assert cell["used"]


def test_projection_finds_errors_on_the_hedged_side():
    X, claims, _ = planted()
    fitted = hedge.direction(X, claims, null_draws=50)
    X2, claims2, doubt = planted(seed=5, arm="distilled", hedge_everything=False)
    result = hedge.project(fitted, X2, claims2, verdicts_of(claims2, doubt > 0.2), null_draws=60)
    layer0, layer1 = result.by_layer
    assert layer1.auroc.low > 0.75
    assert layer1.random.p < 0.05
    assert layer1.shuffled.high < layer1.auroc.estimate
    assert layer0.auroc.estimate < 0.65
    assert result.n_errors + result.n_correct == len(claims2)
    flipped = hedge.project(fitted, X2, claims2, verdicts_of(claims2, doubt <= 0.2), null_draws=5)
    assert flipped.by_layer[1].auroc.estimate == pytest.approx(1 - layer1.auroc.estimate)


def test_hedged_and_unjudged_claims_are_left_out_of_the_projection():
    X, claims, doubt = planted()
    fitted = hedge.direction(X, claims, null_draws=5)
    verdicts = verdicts_of(claims, doubt > 0)
    verdicts.loc[verdicts["qid"] == "q000", "label"] = "abstain"
    result = hedge.project(fitted, X, claims, verdicts, null_draws=5)
    kept = ~claims["hedged"] & (claims["qid"] != "q000")
    assert result.n_errors + result.n_correct == int(kept.sum())


def test_too_few_hedged_claims_give_a_reason_and_no_number():
    X, claims, doubt = planted(hedge_everything=False)
    claims.loc[claims.index[:19], "hedged"] = True
    result = hedge.direction(X, claims, null_draws=5)
    assert "19 hedged" in result.reason
    leaf = result.to_json()["auroc_by_layer"]["1"]
    assert leaf["value"] is None
    assert "19 hedged" in leaf["reason"]
    assert result.rate.estimate == pytest.approx(19 / len(claims))
    onward = hedge.project(result, X, claims, verdicts_of(claims, doubt > 0), null_draws=5)
    assert onward.to_json()["error_auroc_by_layer"]["1"]["value"] is None
    assert repr(onward).endswith("; no layer has an AUROC)")


def test_twenty_of_each_class_are_enough():
    X, claims, _ = planted(hedge_everything=False)
    claims.loc[claims.index[::18], "hedged"] = True
    result = hedge.direction(X, claims, null_draws=5)
    assert result.n_hedged == 20
    assert result.by_layer[1].auroc.estimate is not None


def test_a_relation_without_both_classes_is_not_used():
    X, claims, _ = planted()
    claims.loc[claims["relation"] == "find", "hedged"] = False
    result = hedge.direction(X, claims, null_draws=5)
    assert not result.relations["find"]["used"]
    assert result.relations["drug"]["used"]


def test_halves_never_split_a_group():
    qid = pd.Series([f"q{i}" for i in range(40)])
    group = {f"q{i}": f"g{i // 4}" for i in range(40)}
    side = halves(qid, group, seed=3)
    assert set(side) == {0, 1}
    assert all(len(set(side[i : i + 4])) == 1 for i in range(0, 40, 4))


def test_random_directions_follow_the_covariance_within_kind():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3)) * np.array([5.0, 1.0, 1.0])
    kinds = np.repeat([0, 1], 200)
    X[kinds == 1, 1] += 100.0
    found = random_directions(X, kinds, 4000, rng).std(axis=0)
    assert found == pytest.approx([5.0, 1.0, 1.0], rel=0.1)


def test_nan_activations_name_layer_and_row():
    X, claims, _ = planted()
    X[1][7, 3] = np.nan
    with pytest.raises(AnalysisError, match=r"layer 1.*first row 7"):
        hedge.direction(X, claims)


def test_rows_must_match_and_arms_be_one():
    X, claims, _ = planted()
    with pytest.raises(AnalysisError, match="expected"):
        hedge.direction({0: X[0][:-1]}, claims)
    claims.loc[0, "arm"] = "distilled"
    with pytest.raises(AnalysisError, match="one arm"):
        hedge.direction(X, claims)


def test_json_is_plain_and_repeats_with_the_seed():
    X, claims, _ = planted()
    first, second = (
        json.dumps(hedge.direction(X, claims, null_draws=10, seed=4).to_json(), allow_nan=False)
        for _ in range(2)
    )
    assert first == second


def test_equal_activations_tie_wherever_they_stand():
    """At the embedding every mention of a name is the same vector; its last bits may not decide ranks."""
    rng = np.random.default_rng(3)
    names = rng.normal(size=(7, 128)).astype(np.float32)
    _, claims, _ = planted(n_questions=80)
    X = names[rng.integers(0, 7, len(claims))]
    fitted = hedge.direction({0: X}, claims, null_draws=5, seed=1)
    wrong = rng.random(len(claims)) < 0.4
    order = rng.permutation(len(claims))
    straight = hedge.project(fitted, {0: X}, claims, verdicts_of(claims, wrong), null_draws=5)
    shuffled = hedge.project(
        fitted,
        {0: X[order]},
        claims.iloc[order].reset_index(drop=True),
        verdicts_of(claims, wrong),
        null_draws=5,
    )
    assert straight.by_layer[0].auroc.estimate == shuffled.by_layer[0].auroc.estimate


def of_noise(seed, n_questions, *, n_subjects=12, d=6):
    """Claims whose hedging is chance; a subject's vector is the same wherever it is named."""
    rng = np.random.default_rng(seed)
    questions = np.repeat(np.arange(n_questions), 4)
    subject = rng.integers(0, n_subjects, len(questions))
    kinds = subject % 2
    X = rng.normal(size=(n_subjects, d))[subject] + 0.3 * rng.normal(size=(len(questions), d))
    truth = rng.random(len(questions)) < np.array([0.3, 0.6])[kinds]
    return X, truth, kinds, questions % 2, questions


def test_leaving_out_a_question_refits_both_halves():
    X, truth, kinds, half, questions = of_noise(4, 14)
    without, side = refitted_without(X, truth, kinds, half, questions)
    order = [q for h in (0, 1) for q in np.unique(questions[half == h])]
    assert side.tolist() == [0] * 7 + [1] * 7
    for q, found in zip(order, without, strict=True):
        left = questions != q
        scores = tied(held_out_scores(X[left], truth[None, left], kinds[left], half[left]))[:, 0]
        auroc = stratified_auroc(scores, truth[left], half[left], kinds[left]).auroc
        assert found == pytest.approx(auroc, abs=1e-9)
    score = hedge._held_out(0, X, truth, kinds, half, questions, 9, np.random.default_rng(0))
    own = tied(held_out_scores(X, truth[None, :], kinds, half))[:, 0]
    whole = stratified_auroc(own, truth, half, kinds).auroc  # no pair across halves
    assert score.auroc.estimate == pytest.approx(whole, abs=1e-9)


def test_a_kind_left_without_a_class_leaves_the_direction():
    X = np.array([[1.0], [3.0], [0.0], [4.0]])
    kinds, labels = np.array([0, 0, 1, 1]), np.array([[True, False, False, True]] * 2)
    kept = np.array([[True, True, True, True], [False, True, True, True]])
    assert difference_of_means(X, labels, kinds, kept)[:, 0].tolist() == [1.0, 4.0]


def test_pairs_are_counted_inside_cells_and_ties_at_half():
    scores = np.array([[1.0, 0.0], [1.0, 2.0], [5.0, 1.0], [0.0, 3.0]])
    labels, cells = np.array([[True, False, False, True]]), np.array([0, 0, 1, 1])
    assert pairs_in_order(scores, labels, cells).tolist() == [[0.5, 1.0], [2.0, 2.0]]
    two = np.array([[True, False, False, True], [False, True, True, False]])
    assert pairs_in_order(scores, two, cells).tolist() == [[0.5, 1.0], [2.0, 2.0]]


def test_shuffled_labels_keep_their_cells():
    _, truth, kinds, half, _ = of_noise(1, 30)
    cells = kinds + 2 * half
    drawn = shuffled_labels(truth, cells, 20, np.random.default_rng(0))
    for cell in range(4):
        assert (drawn[:, cells == cell].sum(axis=1) == truth[cells == cell].sum()).all()
    assert len({row.tobytes() for row in drawn}) == 20


def test_the_test_of_the_held_out_direction_keeps_its_level():
    runs, p, held = 150, [], 0
    for seed in range(runs):
        X, truth, kinds, half, questions = of_noise([5, seed], 50)
        score = hedge._held_out(0, X, truth, kinds, half, questions, 39, np.random.default_rng(seed))
        p.append(score.shuffled.p)
        held += score.auroc.low <= 0.5 <= score.auroc.high
    # four standard errors of .05 and of .95 from 150 runs are .071; scored against the true labels .2 reject
    assert np.mean(np.array(p) <= 0.05) <= 0.121
    assert 0.38 <= np.mean(p) <= 0.64
    assert held / runs >= 0.879


def test_a_direction_that_only_reaches_chance_or_frequency_is_not_beyond_it():
    def beside(inside, minus):
        return {"inside": {"estimate": 0.7, "low": inside}, "minus_inside": {"estimate": 0.1, "low": minus}}

    assert beyond_frequency(beside(0.6, 0.05)) is True
    assert beyond_frequency(beside(0.5, 0.05)) is False
    assert beyond_frequency(beside(0.6, 0.0)) is False
    unknown = {"value": None, "reason": "too few"}
    assert beyond_frequency(beside(0.6, unknown)) is None
    assert beyond_frequency({"minus_inside": {"estimate": unknown}}) is None
    assert beyond_frequency({}) is None
