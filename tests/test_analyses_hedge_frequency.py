"""Doubt or frequency: hedges that follow how seldom a subject was met, without doubt and with it."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import tiny_model, word_tokenizer
from mechcot.analyses.hedge import analysis as hedge
from mechcot.analyses.hedge import frequency
from mechcot.analyses.hedge.frequency import beside_held_out, thirds
from mechcot.analyses.hedge.page import doubt
from mechcot.analyses.hedge.result import beyond_frequency
from mechcot.reading.words import words_alone
from mechcot.stats import stratified_auroc
from mechcot.stats.directions import held_out_scores, pairs_in_order, tied

D, N_SUBJECTS = 8, 60


def world(seed, *, doubted, arm="base", n_questions=120):
    """Claims about subjects met more or less often; activations carry that, and doubt where there is some.

    Without doubt a hedge, and an error, hang on frequency alone.
    """
    rng = np.random.default_rng(seed)
    met = rng.normal(size=N_SUBJECTS)
    questions = np.repeat(np.arange(n_questions), 6)
    subject = rng.integers(0, N_SUBJECTS, len(questions))
    doubts = rng.normal(size=len(questions))
    X = rng.normal(size=(len(questions), D))
    X[:, 0] += 2 * met[subject]
    pull = -2 * met[subject]
    if doubted:
        X[:, 1] += 2 * doubts
        pull += 2 * doubts
    said = rng.random(len(questions)) < 1 / (1 + np.exp(-pull))
    claims = pd.DataFrame(
        {
            "qid": [f"q{q:03d}" for q in questions],
            "arm": arm,
            "cid": 0,
            "sid": np.tile(range(6), n_questions),
            "relation": "treats",
            "hedged": said,
        }
    )
    return {1: X}, claims, met[subject], said


def found(doubted):
    X, claims, met, _ = world(3, doubted=doubted)
    fitted = hedge.direction(X, claims, frequency=met, null_draws=30, seed=1)
    X, claims, met, wrong = world(4, doubted=doubted, arm="distilled")
    claims["hedged"] = False
    labels = np.where(wrong, "erroneous", "correct")
    verdicts = claims[["qid", "arm", "cid", "sid"]].assign(label=labels)
    moved = hedge.project(fitted, X, claims, verdicts, frequency=met, null_draws=30)
    return {"before": fitted.to_json(), "after": moved.to_json()}


def said(result):
    findings = SimpleNamespace(results={"hedge": result}, before="base", after="distilled")
    return [part.sentence for part in doubt(findings).parts]


def test_hedging_by_frequency_alone_is_not_called_doubt():
    result = found(doubted=False)
    for part, sentence in zip((result["before"], result["after"]), said(result), strict=True):
        (row,) = part["by_layer"]
        assert row["auroc"]["low"] > 0.7  # by itself the direction looks like doubt
        beside = row["frequency"]
        assert abs(beside["alone"]["estimate"] - row["auroc"]["estimate"]) < 0.1
        assert not beyond_frequency(beside)
        assert "that it marks more than how seldom a subject was met is not shown" in sentence
        assert "random directions reach" in sentence
        assert f"({beside['n_pairs']:,} pairs)" in sentence


def test_doubt_beside_frequency_is_found():
    result = found(doubted=True)
    for part, sentence in zip((result["before"], result["after"]), said(result), strict=True):
        beside = part["by_layer"][0]["frequency"]
        assert beyond_frequency(beside)
        assert beside["inside"]["low"] > beside["alone_inside"]["high"]
        assert "it marks more than how seldom a subject was met" in sentence
        assert "not shown" not in sentence


def test_the_numbers_beside_a_held_out_direction_are_counted_and_left_out_by_hand():
    X, claims, met, truth = world(5, doubted=True, n_questions=16)
    X, questions = X[1], claims["qid"].to_numpy()
    kinds, half = np.zeros(len(X), dtype=np.int64), (pd.factorize(questions)[0] % 2).astype(np.int64)

    def aurocs(rows, third):
        own = tied(held_out_scores(X[rows], truth[None, rows], kinds[rows], half[rows]))[:, 0]
        return [
            stratified_auroc(s, truth[rows], half[rows], third[rows]).auroc for s in (own, -met[rows])
        ], own

    every = np.ones(len(X), dtype=bool)
    (direction, rare), own = aurocs(every, thirds(met))
    beside = beside_held_out(X, own, met, truth, kinds, half, questions)
    assert beside.inside.estimate == pytest.approx(direction)
    assert beside.alone_inside.estimate == pytest.approx(rare)
    assert beside.minus_inside.estimate == pytest.approx(direction - rare)
    counted = pairs_in_order(-met[:, None], truth[None], half)
    assert beside.alone.estimate == pytest.approx(counted[0, 0] / counted[1, 0])
    gaps = {0: [], 1: []}
    for q in np.unique(questions):
        left, _ = aurocs(questions != q, thirds(met))
        gaps[half[questions == q][0]].append(left[0] - left[1])
    parts = [((len(g) - 1) / len(g) * ((g - np.mean(g)) ** 2).sum()) for g in map(np.array, gaps.values())]
    reach = beside.minus_inside.high - beside.minus_inside.estimate
    assert reach / np.sqrt(sum(parts)) == pytest.approx(2.131, abs=0.01)  # t(.975), 15 degrees of freedom


def test_thirds_keep_equals_together():
    assert thirds(np.array([1.0, 1.0, 1.0, 2.0, 3.0, 3.0])).tolist() == [0, 0, 0, 1, 2, 2]
    assert thirds(np.zeros(4)).tolist() == [0, 0, 0, 0]


def test_words_alone_are_scored_with_nothing_before_them(tmp_path):
    checkpoint = SimpleNamespace(tokenizer=word_tokenizer(tmp_path), model=tiny_model())
    first, second = (checkpoint.tokenizer.convert_tokens_to_ids(word) for word in ("w14", "w3"))
    end = checkpoint.tokenizer.eos_token_id  # it has no token that opens a text
    with torch.no_grad():
        logp = [
            float(
                checkpoint.model(input_ids=torch.tensor([ids])).logits[0, -1].double().log_softmax(-1)[said]
            )
            for ids, said in (([end], first), ([end, first], second))
        ]
    found = words_alone(checkpoint, ["w14", "w14 w3", "w14"])
    assert found == pytest.approx({"w14": logp[0], "w14 w3": sum(logp)}, abs=1e-5)  # float32: in one pass
    assert words_alone(checkpoint, []) == {}


def test_two_frequencies_are_enough_and_one_says_nothing():
    two = pd.DataFrame({"frequency": [1, 2, 2]})
    assert frequency._spread(two, "exposure") == (two, "exposure")
    assert frequency._spread(two.iloc[1:], "exposure") == (None, "exposure is the same for all")
