"""Measures of commitment against curves done by hand, and a reader whose distributions are planted."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mechcot.analyses.commitment import curves, two_by_two
from mechcot.analyses.commitment.curve_tables import token_grid
from mechcot.analyses.commitment.locks import held, lock
from mechcot.analyses.commitment.measures import LOCKS
from mechcot.core.errors import AnalysisError, DataError, UsageError

OPTIONS = ["drug a", "drug b", "drug c"]


def tables(paths, *, arm="base", tokens=3, texts=None, states=None, lead_in=0, permutation=0, mass=0.5):
    """Tables of traces `{(qid, cid): (answer, p of each prefix)}`; steps are `tokens` tokens long."""
    forced, traces, steps = [], [], []
    for (qid, cid), (answer, p) in paths.items():
        traces.append({"qid": qid, "arm": arm, "cid": cid, "answer": answer, "finish_reason": "stop"})
        for k, row in enumerate(p):
            forced.append(
                {
                    "qid": qid, "arm": arm, "cid": cid, "k": k, "reader": arm, "lead_in": lead_in,
                    "permutation": permutation, "layer": -1, "p": np.array(row, np.float64), "raw_mass": mass,
                }
            )  # fmt: skip
        said = (texts or {}).get((qid, cid), ["a step"] * (len(p) - 1))
        for sid, text in enumerate(said):
            steps.append(
                {
                    "qid": qid, "arm": arm, "cid": cid, "sid": sid, "text": text,
                    "tok_end": tokens * (sid + 1), "states_answer": (states or {}).get((qid, cid)) == sid,
                }
            )  # fmt: skip
    columns = ["qid", "arm", "cid", "sid", "text", "tok_end", "states_answer"]
    return pd.DataFrame(forced), pd.DataFrame(traces), pd.DataFrame(steps, columns=columns)


def questions(names, gold=0):
    return pd.DataFrame({"qid": names, "options": [OPTIONS] * len(names), "gold": gold})


def own(*p):
    """A trace that answers option 0, with these probabilities of it; the rest is option 1's."""
    return 0, [[value, 1 - value, 0.0] for value in p]


def test_the_area_over_the_curve_grows_with_disagreement_before_the_end():
    """Lanham et al. 2023: higher is less post-hoc. Agreement .25, .5, 1 over three prefixes."""
    paths = {
        ("q0", 0): own(0.9, 0.9, 0.9),
        ("q1", 0): own(0.1, 0.9, 0.9),
        ("q2", 0): own(0.1, 0.1, 0.9),
        ("q3", 0): own(0.1, 0.1, 0.9),
    }
    found = curves(*tables(paths))
    assert found.shares["aoc"].estimate == pytest.approx(1 - (0.25 + 0.5 + 1) / 3)
    assert found.shares["aoc_adjusted"].estimate == pytest.approx((1 - (0.25 + 0.5 + 1) / 3) / (1 - 0.25))
    post_hoc = curves(*tables({key: own(0.9, 0.9, 0.9) for key in paths}))
    assert post_hoc.shares["aoc"].estimate == 0.0


def test_an_area_is_not_divided_by_nothing():
    settled = {(f"q{i}", 0): own(0.9, 0.1, 0.9) for i in range(24)}
    few = curves(*tables(settled | {("q24", 0): own(0.1, 0.1, 0.9)}))  # 1 of 25 at the prompt: below .05
    assert few.shares["aoc_adjusted"].estimate is None
    assert "at the prompt" in few.shares["aoc_adjusted"].reason
    enough = curves(*tables(settled | {(f"r{i}", 0): own(0.1, 0.1, 0.9) for i in range(2)}))  # 2 of 26
    assert enough.shares["aoc_adjusted"].estimate == pytest.approx(
        enough.shares["aoc"].estimate / (1 - enough.shares["agrees_at_prompt"].estimate)
    )


def test_every_measure_of_one_trace_by_hand():
    texts = {
        ("q", 0): ["it may be DRUG A.", "drug ab is none", "no, drug b", "so it is drug a", "drug a it is"]
    }
    paths = {("q", 0): own(0.6, 0.3, 0.2, 0.7, 0.8, 0.9)}
    found = curves(*tables(paths, texts=texts, states={("q", 0): 4}), questions=questions(["q"]))
    row = found.locks.iloc[0]
    assert row["last_k"] == 4  # step 4 states the answer: prefix 5 does not count
    assert (row["lock"], row["first_agreement"], row["held_from_2"]) == (3, 0, 3)
    assert np.isnan(row["held_from_3"])  # 3 and 4 are two
    assert (row["n_changes"], row["last_change"], row["steps_after_change"]) == (2, 3, 1)
    assert (row["tokens"], row["tokens_after_change"]) == (12, 3)
    assert (row["jump"], row["jump_k"]) == (pytest.approx(0.5), 3)
    assert row["jump_margin"] == pytest.approx(0.5 - 0.1)
    assert row["lowest"] == pytest.approx(0.2)
    assert row["dip"] == pytest.approx(0.6 - 0.2)
    assert row["named_k"] == 1  # "DRUG A", not "drug ab"
    assert row["lag"] == 1 - 3
    assert row["mean_p_own"] == pytest.approx((0.45 + 0.25 + 0.45 + 0.75) / 4)
    assert row["right"] == 1.0


def test_what_names_an_option_is_a_step_or_the_answer_itself():
    texts = {("q", 0): ["first", "then", "done"], ("r", 0): ["first", "then", "so drug a"]}
    paths = {key: own(0.9, 0.9, 0.9, 0.9) for key in texts}
    asked = questions(["q", "r"])
    named = curves(*tables(paths, texts=texts), questions=asked).locks["named_k"].tolist()
    assert named == [4, 3]
    stated = curves(*tables(paths, texts=texts, states={("q", 0): 1}), questions=asked).locks
    assert stated["named_k"].tolist() == [2, 3]
    assert stated["lag"].tolist() == [2, 3]


def test_a_number_is_named_as_a_whole_number_only():
    texts = {("q", 0): ["15 or 5.2 or 3,5", "5,000 of it", "it is 5.", "end"]}
    asked = pd.DataFrame({"qid": ["q"], "options": [["5", "6", "7"]], "gold": 0})
    found = curves(*tables({("q", 0): own(*[0.9] * 5)}, texts=texts), questions=asked)
    assert found.locks["named_k"].tolist() == [3]


def test_holds_and_locks_by_hand():
    agrees = np.array([[0, 1, 1, 0, 1, 1], [1, 0, 1, 0, 1, 0], [1, 1, 1, 1, 1, 1]], bool)
    last = np.array([5, 4, 2])
    assert lock(agrees, last).tolist() == [4, 4, 0]
    assert held(agrees, last, 1).tolist() == [1, 0, 0]
    assert held(agrees, last, 2)[[0, 2]].tolist() == [1, 0]
    assert np.isnan(held(agrees, last, 2)[1])
    assert held(agrees, last, 3)[2] == 0
    assert np.isnan(held(agrees, last, 3)[:2]).all()


def by_definition(agrees, last):
    """Lock and holds of one trace, as the words say."""
    own = [bool(x) for x in agrees[: last + 1]]
    locks = [k for k in range(last + 1) if all(own[k:])]
    holds = [next((k for k in range(last + 2 - n) if all(own[k : k + n])), np.nan) for n in (1, 2, 3)]
    return [locks[0] if locks else np.nan, *holds]


@given(st.integers(0, 10_000))
@settings(max_examples=60)
def test_locks_and_holds_are_what_their_words_say(seed):
    rng = np.random.default_rng(seed)
    agrees = rng.random((20, int(rng.integers(1, 8)))) < rng.random()
    last = rng.integers(0, agrees.shape[1], size=20)
    got = np.stack([lock(agrees, last), *(held(agrees, last, n) for n in (1, 2, 3))], axis=1)
    want = np.array([by_definition(row, end) for row, end in zip(agrees, last, strict=True)], float)
    np.testing.assert_array_equal(got, want)


def test_chance_is_what_answers_of_other_questions_get():
    """Against its definition: every trace held against the answer of every trace."""
    rng = np.random.default_rng(0)
    paths = {
        (f"q{i:02}", 0): (int(rng.integers(3)), rng.dirichlet([0.6] * 3, size=int(rng.integers(2, 7))))
        for i in range(30)
    }
    found = curves(*tables(paths))
    answers = [answer for answer, _ in paths.values()]
    swapped = []
    for other in range(3):
        asked = {key: (other, p) for key, (_, p) in paths.items()}
        swapped.append(curves(*tables(asked)).shares)
    weights = np.bincount(answers, minlength=3) / len(answers)
    for name in LOCKS:
        if not name.startswith(("locked_at_first", "claim")):
            want = sum(w * one[name].estimate for w, one in zip(weights, swapped, strict=True))
            assert found.chance[name].estimate == pytest.approx(want), name
            assert found.chance[name].low < want < found.chance[name].high
    assert found.chance["agrees_at_prompt"].estimate == pytest.approx(found.chance_at_prompt)


def test_a_planted_reader_gives_back_its_curve_lock_lag_and_area():
    """Every trace has the same known distributions: the numbers are those, without any spread."""
    planted = [0.2, 0.3, 0.8, 0.9, 0.95]
    texts = ["x", "y", "z", "drug a"]
    paths = {(f"q{i}", cid): own(*planted) for i in range(8) for cid in range(2)}
    found = curves(
        *tables(paths, texts=dict.fromkeys(paths, texts)), questions=questions([f"q{i}" for i in range(8)])
    )
    assert found.by_step["p_own"].tolist() == pytest.approx(planted)
    assert found.by_step["p_gold"].tolist() == pytest.approx(planted)
    assert found.by_step["margin"].tolist() == pytest.approx([abs(2 * p - 1) for p in planted])
    entropy = [-p * np.log(p) - (1 - p) * np.log(1 - p) for p in planted]
    assert found.by_step["entropy"].tolist() == pytest.approx(entropy)
    assert found.by_step["locked_share"].tolist() == [0, 0, 1, 1, 1]
    assert found.by_fraction["p_own"].tolist() == pytest.approx(
        np.interp(np.arange(21) / 5, range(5), planted)
    )
    assert found.by_token["tokens"].tolist() == list(range(0, 13))
    assert found.by_token["p_own"].tolist() == pytest.approx([planted[t // 3] for t in range(13)])
    shares = {name: interval.estimate for name, interval in found.shares.items()}
    assert shares["lock_step"] == 2
    assert shares["lag"] == 4 - 2
    assert shares["aoc"] == pytest.approx(2 / 5)
    assert shares["aoc_adjusted"] == pytest.approx(2 / 5)
    assert shares["tokens_after_change"] == 6
    assert found.shares["locked_at_prompt"].high < 1  # 0 of 8 questions: no certainty
    assert found.by_answer["right"].n_traces == 16
    assert "wrong" not in found.by_answer
    json.dumps(found.to_json(), allow_nan=False)


def test_right_and_wrong_answers_are_apart():
    asked = questions([f"q{i}" for i in range(12)])
    paths = {}
    for i in range(12):
        paths[f"q{i}", 0] = (0, [[0.8, 0.1, 0.1]] * 3)
        paths[f"q{i}", 1] = (1, [[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1]])
    found = curves(*tables(paths), questions=asked)
    right, wrong = found.by_answer["right"], found.by_answer["wrong"]
    assert (right.n_traces, wrong.n_traces) == (12, 12)
    assert right.shares["locked_at_prompt"].estimate == 1
    assert wrong.by_step["locked_share"].tolist() == [0, 0, 1]
    assert wrong.by_step["p_own"].tolist() == pytest.approx([0.1, 0.3, 0.7])
    assert wrong.by_step["p_gold"].tolist() == pytest.approx([0.8, 0.6, 0.2])


def test_simple_effects_of_right_and_of_wrong_answers_are_those_of_such_traces_alone():
    asked, rng = questions([f"q{i:02}" for i in range(20)]), np.random.default_rng(1)
    cells, alone = {}, {}
    for author in ("base", "new"):
        answers = {(f"q{i:02}", cid): int(rng.integers(0, 2)) for i in range(20) for cid in range(2)}
        for reader in ("base", "new"):
            paths = {key: (answer, rng.dirichlet([1, 1, 1], size=4)) for key, answer in answers.items()}
            forced, traces, steps = tables(paths, arm=author)
            forced = forced.assign(reader=reader)
            cells[author, reader] = curves(forced, traces, steps, questions=asked)
            right = {key for key, answer in answers.items() if answer == 0}
            own = [(q, c) in right for q, c in zip(traces["qid"], traces["cid"], strict=True)]
            alone[author, reader] = curves(forced, traces[own], steps, questions=asked)
    cross = two_by_two(cells, before="base", after="new")
    want = two_by_two(alone, before="base", after="new").measures["mean_p_own"]
    assert cross.by_answer["right"].to_json() == want.to_json()
    assert set(cross.by_answer) == {"right", "wrong"}
    assert cross.by_answer["wrong"].effect_text.estimate != want.effect_text.estimate


def test_a_result_prints_its_measures_and_not_its_curve():
    text = curves(*tables({("q", 0): own(0.9, 0.1, 0.9)})).text()
    assert text.startswith("Commitment")
    assert "own answer at prompt" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_token_grid_is_short_and_round():
    for longest in (1, 12, 24, 25, 90, 481, 30_000):
        grid = token_grid(longest)
        assert grid[0] == 0
        assert grid[-1] >= longest
        assert len(grid) <= 26
    assert token_grid(90).tolist() == list(range(0, 91, 5))


def test_a_trace_that_has_ended_has_no_probability_any_more_but_keeps_its_lock():
    paths = {("q", 0): own(0.9, 0.9), ("r", 0): own(0.1, 0.1, 0.1, 0.9)}
    found = curves(*tables(paths))
    assert found.by_step["n_p"].tolist() == [2, 2, 1, 1]
    assert found.by_step["locked_share"].tolist() == [0.5, 0.5, 0.5, 1]
    assert found.by_step["p_own"].tolist() == pytest.approx([0.5, 0.5, 0.1, 0.9])
    assert found.by_token["n_p"].tolist() == [2, 2, 2, 2, 1, 1, 1, 1, 1, 1]
    assert found.by_token["locked_share"].iloc[-1] == 1


def test_steps_without_tokens_give_everything_but_tokens():
    forced, traces, steps = tables({("q", 0): own(0.1, 0.9), ("r", 0): own(0.9, 0.9)})
    found = curves(forced, traces, steps.drop(columns=["tok_end", "text"]), by="step")
    assert found.by_token.empty
    assert found.shares["tokens_after_change"].estimate is None
    assert "tokens end" in found.shares["tokens_after_change"].reason
    assert found.shares["steps_after_change"].estimate == pytest.approx(0.5)
    json.dumps(found.to_json(), allow_nan=False)


def test_probabilities_are_averaged_over_the_orders_of_the_options():
    one = tables({("q", 0): own(0.9, 0.4), ("r", 0): own(0.2, 0.9)})
    two = tables({("q", 0): own(0.1, 0.8), ("r", 0): own(0.4, 0.7)}, permutation=1, mass=0.3)
    forced = pd.concat([one[0], two[0]])
    both = curves(forced, *one[1:], permutation=None)
    assert both.paths.own.tolist() == [pytest.approx([0.5, 0.6]), pytest.approx([0.3, 0.8])]
    assert both.raw_mass == pytest.approx(0.4)
    assert both.n_tied == 1
    assert curves(forced, *one[1:]).paths.own[0].tolist() == pytest.approx([0.9, 0.4])
    assert curves(forced, *one[1:], permutation=1).paths.own[0].tolist() == pytest.approx([0.1, 0.8])


def test_questions_may_have_different_numbers_of_options():
    forced, traces, steps = tables(
        {("q", 0): (3, [[0.1, 0.1, 0.2, 0.6]] * 2), ("r", 0): (1, [[0.3, 0.7]] * 2)}
    )
    found = curves(forced, traces, steps)
    assert found.shares["locked_at_prompt"].estimate == 1
    assert found.paths.entropy[1, 0] == pytest.approx(-(0.3 * np.log(0.3) + 0.7 * np.log(0.7)))
    assert found.trace("r").prefixes.columns.tolist() == ["k", "text", "label", "p_0", "p_1"]


def test_a_trace_without_steps_before_its_answer_is_counted():
    found = curves(*tables({("q", 0): own(0.9, 0.9), ("r", 0): own(0.1)}))
    assert found.n_one_prefix == 1
    row = found.locks.set_index("qid").loc["r"]
    assert np.isnan([row["lock"], row["jump"], row["lowest"]]).all()
    assert (row["last_k"], row["tokens"], row["steps_after_change"]) == (0, 0, 0)


def test_lone_traces_without_steps_have_no_matched_prefixes():
    found = curves(*tables({("q", 0): own(0.9), ("r", 0): own(0.1)}))
    assert found.n_matched == 0
    assert found.matched["locked_at_prompt"].estimate is None
    assert found.shares["locked_at_prompt"].estimate == pytest.approx(0.5)
    json.dumps(found.to_json(), allow_nan=False)


def test_what_was_not_read_is_said_with_what_was():
    forced, traces, steps = tables({("q", 0): own(0.9, 0.9)})
    with pytest.raises(AnalysisError, match=r"lead-in 2, permutation 0.*'lead_in': \[0\].*prompt.lead_in"):
        curves(forced, traces, steps, lead_in=2)
    with pytest.raises(UsageError, match="by: expected one of step, share, token, got 'percent'"):
        curves(forced, traces, steps, by="percent")
    with pytest.raises(AnalysisError, match="question q is not among the questions"):
        curves(forced, traces, steps, questions=questions(["r"]))
    with pytest.raises(DataError, match="question 'z', trace 0: no such trace"):
        curves(forced, traces, steps).trace("z")


def test_a_probability_that_is_no_number_names_its_place():
    forced, traces, steps = tables({("q", 0): own(0.9, 0.9)})
    forced.at[1, "p"] = np.array([np.nan, 0.5, 0.5])
    with pytest.raises(AnalysisError, match="question q, trace 0, prefix 1: p is"):
        curves(forced, traces, steps)


def test_gold_that_is_no_option_names_the_trace():
    forced, traces, steps = tables({("q", 0): (0, [[0.6, 0.4]] * 2)})
    with pytest.raises(AnalysisError, match="question q, trace 0: gold 2 is none of 2 options"):
        curves(forced, traces, steps, questions=questions(["q"], gold=2))
