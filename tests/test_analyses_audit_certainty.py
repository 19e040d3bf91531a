from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mechcot.analyses.arms import Arms
from mechcot.analyses.audit import analysis as audit
from mechcot.analyses.audit import certainty
from mechcot.analyses.audit.certainty import SENSITIVITY
from mechcot.core.errors import AnalysisError
from test_analyses_audit import AFTER, BEFORE, GOLDS, make_arm, make_questions


def tables(before=BEFORE, after=AFTER, golds=GOLDS):
    return make_questions(golds), *make_arm("base", before), *make_arm("distilled", after)


def small(draws=500, seed=0):
    return certainty.analyse(Arms(*tables()), draws=draws, seed=seed)


def drawn(seed, errors=(0.2, 0.4), questions=30, abstain=0.0):
    """Arms of one trace a question whose steps are wrong more often in hard questions."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(0, 1, questions)
    arms = []
    for rate in errors:
        p = 1 / (1 + np.exp(-(np.log(rate / (1 - rate)) + hard)))
        steps = [
            [
                ("a" if rng.random() < abstain else "e" if rng.random() < p[q] else "c") + " find"
                for _ in range(rng.integers(2, 8))
            ]
            for q in range(questions)
        ]
        arms.append({(q, 0): (0, written) for q, written in enumerate(steps)})
    return tables(*arms, [0] * questions)


def test_a_study_small_enough_to_count_by_hand():
    result = small()
    assert (result.arms, result.instrument) == (("base", "distilled"), "exact")
    own = audit.analyse(Arms(*tables()))
    assert result.step_weighted.difference == own.delta
    assert result.step_weighted.se == own.delta_se
    assert result.question_weighted.difference == own.delta_question_weighted
    # 3 of 7 and 5 of 13 judged steps are wrong; the failures, the plan and the lost step count nowhere
    naive = np.sqrt(3 / 7 * 4 / 7 / 7 + 5 / 13 * 8 / 13 / 13)
    assert result.independent_se == pytest.approx(naive)
    assert result.deff == pytest.approx((own.delta_se / naive) ** 2)
    assert [effect.n_steps for effect in result.clustering] == [7, 13]
    assert [effect.n_questions for effect in result.clustering] == [3, 4]
    assert [effect.rate for effect in result.clustering] == [3 / 7, 5 / 13]
    assert [effect.mean_size for effect in result.clustering] == [7 / 3, 13 / 4]
    assert result.step_weighted.statistic == pytest.approx(own.delta.estimate / own.delta_se)
    # one step abstained on before: it may be right or wrong
    assert result.abstention.share_abstained == (1 / 8, 0.0)
    assert result.abstention.difference.low == pytest.approx(5 / 13 - 4 / 8)
    assert result.abstention.difference.high == pytest.approx(5 / 13 - 3 / 8)
    # three questions have both arms, with differences 1/4, -1/4 and -1/2
    moved = np.array([3 / 6 - 1 / 4, 1 / 4 - 1 / 2, 1 / 2 - 1])
    assert result.question_weighted.se == pytest.approx(moved.std(ddof=1) / np.sqrt(3))
    assert result.question_weighted.statistic == pytest.approx(moved.mean() / result.question_weighted.se)
    # of the 8 sign patterns of three questions, 6 have a mean at least as far from 0
    assert result.question_weighted.p_value == pytest.approx(0.75, abs=0.06)


def test_tipping_points_reproduce_the_observed_rates_and_end_where_no_judge_can():
    result = small()
    assert [one.point.prevalence for one in result.tipping][:-1] == [0.0, 0.1, 0.2, 0.3, 0.4]
    rates = (3 / 7, 5 / 13)
    assert result.tipping[-1].point.prevalence == pytest.approx(min(rates) / SENSITIVITY)
    assert result.tipping[-1].point.false_positive_after == pytest.approx(0, abs=1e-12)
    for one in result.tipping:
        pi = one.point.prevalence
        for rate, alarm in zip(
            rates, (one.point.false_positive_before, one.point.false_positive_after), strict=True
        ):
            assert SENSITIVITY * pi + alarm * (1 - pi) == pytest.approx(rate)
        assert one.point.possible
        assert one.difference.estimate == pytest.approx(one.point.difference)
        assert one.difference.low is None  # four questions
        assert "too few" in one.difference.reason


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000))
def test_exchanging_the_arms_turns_every_sign_and_nothing_else(seed):
    questions, *arms = drawn(seed, abstain=0.1)
    there = certainty.analyse(Arms(questions, *arms), draws=60)
    back = certainty.analyse(Arms(questions, *arms[3:], *arms[:3]), draws=60)
    for name in ("step_weighted", "question_weighted"):
        one, other = getattr(there, name), getattr(back, name)
        assert other.difference.estimate == pytest.approx(-one.difference.estimate)
        assert other.statistic == pytest.approx(-one.statistic)
        assert (other.se, other.detectable) == pytest.approx((one.se, one.detectable))
        assert other.p_value == pytest.approx(one.p_value)
    assert back.clustering == there.clustering[::-1]
    assert back.abstention.difference.low == pytest.approx(-there.abstention.difference.high)
    assert back.deff == pytest.approx(there.deff)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.02, 0.98), st.floats(0.02, 0.98))
def test_every_tipping_point_is_a_possible_judge(seed, before, after):
    for one in certainty.analyse(Arms(*drawn(seed, (before, after), 6)), draws=2).tipping:
        assert one.point.possible


def test_a_planted_difference_is_found_and_none_is_not():
    planted = certainty.analyse(Arms(*drawn(1, (0.2, 0.6), 120)), draws=500)
    assert planted.step_weighted.p_value == pytest.approx(1 / 501)
    # hard questions are hard for both arms: each arm's steps cluster, and the difference much less
    assert min(effect.icc for effect in planted.clustering) > 0.05
    assert planted.deff < min(effect.deff for effect in planted.clustering)
    p = [
        certainty.analyse(Arms(*drawn(seed, (0.3, 0.3), 40)), draws=200).step_weighted.p_value
        for seed in range(20)
    ]
    assert 0.3 < np.mean(p) < 0.7
    assert np.mean(np.array(p) < 0.05) < 0.25


def test_the_same_seed_gives_the_same_result():
    assert small(seed=3) == small(seed=3)
    assert small(seed=3).question_weighted.p_value != small(seed=4).question_weighted.p_value


def test_result_is_json_frames_text_and_one_line():
    result = small()
    loaded = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert loaded["step_weighted"]["se"] == result.step_weighted.se
    assert loaded["clustering"]["after"]["n_steps"] == 13
    assert (loaded["alpha"], loaded["power"]) == (0.05, 0.8)
    assert result.to_frame().name.tolist() == ["steps", "questions"]
    assert result.to_frame().n.tolist() == [4, 3]
    assert len(result.to_frame("tipping")) == len(result.tipping)
    assert repr(result).startswith(
        "CertaintyResult(base -> distilled, exact: difference -0.044 (no interval: 4 questions"
    )
    text = result.text()
    assert "every question weighs the same: -16.7 points" in text
    assert "abstention (12.5% of base's steps and 0.0% of distilled's steps)" in text
    assert "would have to differ by -4.4 to -7.7 points (distilled minus base)" in text
    assert "<table" in result._repr_html_()
    decided = certainty.analyse(Arms(*drawn(0, questions=4)), draws=10)
    assert "abstention: none" in decided.text()


def test_what_is_not_defined_has_its_reason():
    silent = {key: (answer, ["n view"]) for key, (answer, _) in BEFORE.items()}
    result = certainty.analyse(Arms(*tables(before=silent)), draws=20)
    assert result.tipping == ()
    loaded = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert loaded["step_weighted"]["p_value"]["reason"] == "nothing to divide by before"
    assert loaded["independent_se"]["value"] is None
    assert "not known" in result.text()
    alone = certainty.analyse(Arms(*tables({(0, 0): BEFORE[0, 0]}, {(0, 0): AFTER[0, 0]}, [0])), draws=20)
    assert alone.step_weighted.difference.estimate is not None
    assert (alone.step_weighted.se, alone.step_weighted.p_value) == (None, None)
    assert "no test: one question alone" in alone.text()


def test_a_judge_who_calls_everything_wrong_still_makes_a_result():
    wrong = {key: (answer, ["e find"]) for key, (answer, _) in BEFORE.items()}
    result = certainty.analyse(Arms(*tables(before=wrong, after=wrong)), draws=20)
    assert result.step_weighted.difference.estimate == 0
    assert [one.point.prevalence for one in result.tipping] == [0.0]
    json.dumps(result.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("place", "change", "words"),
    [
        (3, lambda verdicts: verdicts.assign(instrument="other"), "different instruments"),
        (6, lambda verdicts: pd.concat([verdicts, verdicts]), "more than once"),
    ],
)
def test_bad_tables_are_named(place, change, words):
    own = list(tables())
    own[place] = change(own[place])
    with pytest.raises(AnalysisError, match=words):
        certainty.analyse(Arms(*own), draws=10)


def test_verdicts_of_nobody_are_refused():
    questions, traces0, steps0, verdicts0, traces1, steps1, verdicts1 = tables()
    with pytest.raises(AnalysisError, match="both tables are empty"):
        certainty.analyse(
            Arms(questions, traces0, steps0, verdicts0[:0], traces1, steps1, verdicts1[:0]), draws=10
        )


def test_one_judged_step_a_question_all_alike_finds_nothing_of_any_size():
    wrong, right = ({(q, 0): (0, [f"{label} find"]) for q in range(8)} for label in "ec")
    for before, after in ((right, right), (right, wrong)):
        found = certainty.analyse(Arms(*tables(before, after, [0] * 8)), draws=50)
        assert found.step_weighted.detectable is None
        assert (
            found.to_json()["step_weighted"]["detectable"]["reason"] == found.step_weighted.difference.reason
        )
    few = certainty.analyse(Arms(*tables()), draws=50).step_weighted  # of four questions
    assert (few.detectable, few.difference.reason) == (None, "4 questions are too few for one that covers")


def test_a_question_without_a_judged_step_changes_nothing():
    silent = [{**arm, (4, 0): (0, ["n view"])} for arm in (BEFORE, AFTER)]
    found = certainty.analyse(Arms(*tables(*silent, [*GOLDS, 0])), draws=500)
    assert found.to_json() == small().to_json()
