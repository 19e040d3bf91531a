"""Hedge directions of both arms: the same one, another one, none; and what stands beside them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mechcot.analyses.hedge import across_page
from mechcot.analyses.hedge.across import across, band, cosine
from mechcot.analyses.hedge.across_result import ArmReads, ReadAndSteer
from mechcot.core.results import Pair
from test_analyses_hedge import planted, verdicts_of


def both(seed=0, *, turn=None, hedge_everything=None, **options):
    """Two arms whose doubt lies on dimension 0 at layer 1; `turn`: on another one in the arm after.

    Wrong claims lie on the doubtful side, in both.
    """
    states, claims, verdicts = [], [], []
    for number, arm in enumerate(("base", "student")):
        everything = hedge_everything if number else None
        X, rows, doubt = planted(10 * seed + number, arm=arm, hedge_everything=everything, **options)
        if turn is not None and number:
            X[1][:, [0, turn]] = X[1][:, [turn, 0]]
        states.append(X)
        claims.append(rows)
        verdicts.append(verdicts_of(rows, doubt > 0))
    return Pair(*states), Pair(*claims), Pair(*verdicts)


def told(found):
    """What the page says of it."""
    findings = SimpleNamespace(results={"hedge_across": found.to_json()})
    return across_page.part(findings)


def test_one_direction_in_both_arms_is_found_and_noise_is_not():
    found = across(*both())
    noise, doubt = found.layers
    assert doubt.cosine > 0.9
    assert doubt.shuffled.p == doubt.random.p == pytest.approx(1 / 101)
    assert min(doubt.before_halves, doubt.after_halves) > 0.8
    assert noise.shuffled.low < noise.cosine < noise.shuffled.high
    for part in found.errors:  # along the arm before's direction, in both arms
        assert {one.layer: one.auroc.low > 0.6 for one in part.by_layer} == {0: False, 1: True}
    assert [part.arm for part in found.errors] == ["base", "student"]
    assert [part.fitted_on for part in found.errors] == ["base", "base"]
    part = told(found)
    assert "beyond refits on shuffled labels" in part.sentence
    assert "not beyond" not in part.sentence
    assert "beside one steered with: mechcot hedge STUDY makes it." in part.tables[0].note
    frame = found.to_frame().set_index("layer")
    assert frame.cosine[1] == doubt.cosine
    assert frame.before_errors_low[1] > 0.6
    assert frame.after_word.isna().all()


def test_another_direction_in_the_arm_after_is_not_the_same():
    found = across(*both(turn=5))
    doubt = found.layers[1]
    assert abs(doubt.cosine) < 0.4
    assert min(doubt.before_halves, doubt.after_halves) > 0.8
    assert doubt.shuffled.low < doubt.cosine < doubt.shuffled.high
    assert "not beyond" in told(replace(found, layers=found.layers[1:])).sentence


def test_two_arms_without_a_direction_seldom_seem_to_share_one():
    found = [across(*both(seed, strength=0.0), null_draws=39).layers[1].shuffled.p for seed in range(12)]
    assert sum(p <= 0.05 for p in found) <= 3


def test_an_arm_that_never_hedges_has_a_reason_and_the_rest_goes_on():
    found = across(*both(hedge_everything=False))
    assert all(one.cosine is None for one in found.layers)
    assert found.layers[1].reason.startswith("student has no hedge direction of its own: 0 hedged and")
    assert found.layers[1].before_halves > 0.8
    assert found.layers[1].after_halves is None
    assert found.errors.before.by_layer[1].auroc.low > 0.6
    assert found.errors.after.by_layer[1].auroc.low > 0.6
    part = told(found)
    assert part.sentence.startswith("base and student have no two directions to compare (student has no")
    assert "0 hedged and" in part.tables[0].note
    assert found.to_frame().cosine.isna().all()


def test_no_length_and_another_width_are_said():
    states, claims, verdicts = both()
    states.after[1][:] = 1.0
    found = across(states, claims, verdicts)
    assert found.layers[1].reason == "the direction of student at layer 1 has length 0"
    assert found.layers[0].cosine is not None
    states, claims, verdicts = both()
    wide = {layer: np.hstack([X, X[:, :1]]) for layer, X in states.after.items()}
    found = across(Pair(states.before, wide), claims, verdicts)
    assert {one.reason for one in found.layers} == {"base is 12 wide and student 13"}
    assert found.errors.after.reason == "no layer of it is 12 wide, as the direction of base is"
    assert found.errors.before.by_layer[1].auroc.low > 0.6
    assert "not known in student (no layer of it is 12 wide" in told(found).sentence
    deep = {**states.after, 2: states.after[1]}
    found = across(Pair(states.before, deep), claims, verdicts)
    assert [one.reason for one in found.layers] == ["", "", "base has no layer 2"]
    assert [one.layer for one in found.errors.after.by_layer] == [0, 1]


def test_cosines_and_bands_by_hand():
    assert cosine(np.array([3.0, 4.0]), np.array([4.0, 3.0])) == pytest.approx(0.96)
    assert cosine(np.zeros(2), np.ones(2)) == 0.0
    own = band(-0.5, [-0.6, -0.1, 0.2, 0.5])
    assert own.p == pytest.approx(3 / 5)
    assert own.draws == 4


def test_what_the_directions_say_stands_in_table_and_sentence():
    found = across(*both())
    null = band(0.7, [0.0, 0.1, -0.2])
    full = replace(
        found,
        reads=(ArmReads("base", 1, 0.31, -0.1, 0.1, ("perhaps", "<b>")),),
        steered=(ReadAndSteer("student", 1, "logistic", 0.84, 2, 0.7, null),),
    )
    part = told(full)
    assert "has with the one that was steered with a cosine of 0.70 in student (layer 2;" in part.sentence
    assert part.tables[1].rows == (("base", "1", "0.31", "-0.10 to 0.10", "perhaps <b>"),)
    frame = full.to_frame().set_index("layer")
    assert frame.before_word[1] == 0.31
    assert frame.before_says[1] == "perhaps <b>"
    assert repr(full).startswith("HedgeAcross(base, student: cosine up to 0.9")


def test_a_study_that_was_not_asked_says_what_it_has(study):
    found = study.hedge_across()
    assert (found.before, found.after) == ("base", "distilled")
    assert found.no_reads == found.no_steered == "mechcot hedge STUDY makes it"
    assert len(found.to_frame()) == len(found.layers)
    assert found.text()
