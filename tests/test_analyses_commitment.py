import json

import numpy as np
import pandas as pd
import pytest

from mechcot.analyses.commitment import analysis as commitment
from mechcot.analyses.commitment.locks import lock
from mechcot.core.errors import AnalysisError


def forced_rows(qid, cid, winners, *, arm="base", reader="base", high=0.7, n_options=3):
    """One row a prefix; `winners[k]` is the option that wins after k steps, with probability `high`."""
    rows = []
    for k, winner in enumerate(winners):
        p = [(1 - high) / (n_options - 1)] * n_options
        p[winner] = high
        rows.append(
            {
                "qid": qid, "arm": arm, "cid": cid, "k": k, "reader": reader, "lead_in": 0, "permutation": 0,
                "layer": -1, "logp": list(np.log(p)), "n_tokens": [1] * n_options, "p": p, "raw_mass": 0.5,
            }
        )  # fmt: skip
    return rows


def trace_row(qid, cid, answer, *, arm="base", finish="stop"):
    return {"qid": qid, "arm": arm, "cid": cid, "finish_reason": finish, "answer": answer}


def step_rows(qid, cid, n, *, states=(), labels=None, arm="base"):
    return [
        {
            "qid": qid,
            "arm": arm,
            "cid": cid,
            "sid": sid,
            "states_answer": sid in states,
            "label": (labels or ["correct"] * n)[sid],
        }
        for sid in range(n)
    ]


def build(cases, **kwargs):
    """cases: (qid, cid, answer, winners, n_steps, states, labels)."""
    forced, traces, steps = [], [], []
    for qid, cid, answer, winners, n, states, labels in cases:
        arm = kwargs.get("arm", "base")
        forced += forced_rows(qid, cid, winners, **kwargs)
        traces.append(trace_row(qid, cid, answer, arm=arm))
        steps += step_rows(qid, cid, n, states=states, labels=labels, arm=arm)
    step_frame = pd.DataFrame(steps)
    verdicts = step_frame[["qid", "arm", "cid", "sid", "label"]]
    return pd.DataFrame(forced), pd.DataFrame(traces), step_frame.drop(columns="label"), verdicts


CASES = [
    # locked at the prompt
    ("q1", 0, 1, [1, 1, 1, 1], 3, (), ["not_checkable", "correct", "correct"]),
    # agrees, leaves, comes back: the lock is the second coming
    ("q1", 1, 1, [1, 0, 0, 1], 3, (), None),
    # another answer at the last prefix: never
    ("q2", 0, 1, [1, 1, 1, 2], 3, (), None),
    # step 2 states the answer: prefixes 3 and 4 (where the forced answer is right at last) do not count
    ("q2", 1, 0, [2, 0, 2, 0, 0], 4, (2,), ["not_checkable"] * 4),
    # the same cut, and locked before it
    ("q3", 0, 0, [2, 0, 0, 2, 2], 4, (2,), ["not_checkable", "abstain", "correct", "correct"]),
]


@pytest.fixture
def result():
    return commitment.curves(*build(CASES))


def test_lock_on_single_sequences():
    agrees = [[True, True], [False, True, False, True, True], [True, False], [False]]
    padded = np.array([row + [False] * (5 - len(row)) for row in agrees])
    found = lock(padded, np.array([len(row) - 1 for row in agrees]))
    assert found[:2].tolist() == [0, 3]
    assert np.isnan(found[2:]).all()


def test_locks_by_hand(result):
    found = result.locks.set_index(["qid", "cid"])
    assert found.loc[("q1", 0), "lock"] == 0
    assert found.loc[("q1", 1), "lock"] == 3
    assert np.isnan(found.loc[("q2", 0), "lock"])
    assert np.isnan(found.loc[("q2", 1), "lock"])
    assert found.loc[("q2", 1), "last_k"] == 2
    assert found.loc[("q3", 0), "lock"] == 1


def test_shares_and_plateau_by_hand(result):
    estimates = {name: interval.estimate for name, interval in result.shares.items()}
    assert estimates["locked_at_prompt"] == pytest.approx(1 / 5)
    assert estimates["never_share"] == pytest.approx(2 / 5)
    # first claims end at prefixes 2, 1, 1, none, 2; locks are 0, 3, never, never, 1
    assert result.first_claim == {"known": 4, "no_claim": 1, "unknown": 0}
    assert estimates["locked_at_first_claim"] == pytest.approx(2 / 4)
    assert result.by_step["locked_share"].tolist() == pytest.approx([1 / 5, 2 / 5, 2 / 5, 3 / 5])
    assert result.by_fraction["locked_share"].iloc[-1] == pytest.approx(1 - estimates["never_share"])
    assert result.by_fraction["locked_share"].is_monotonic_increasing
    assert result.by_step["k"].tolist() == [0, 1, 2, 3]
    assert result.by_fraction["fraction"].tolist() == pytest.approx([i / 20 for i in range(21)])
    assert result.by_fraction["locked_share"].iloc[0] == pytest.approx(estimates["locked_at_prompt"])


def test_probability_area_and_aoc_by_hand(result):
    found = result.locks.set_index(["qid", "cid"])
    # 0.7, 0.15, 0.15, 0.7 by trapezoids over three equal intervals
    assert found.loc[("q1", 1), "mean_p_own"] == pytest.approx((0.425 + 0.15 + 0.425) / 3)
    assert found.loc[("q1", 1), "aoc"] == pytest.approx(0.5)
    assert found.loc[("q1", 0), "aoc"] == 0.0
    assert result.raw_mass == pytest.approx(0.5)
    assert result.by_step["n_p"].tolist() == [5, 5, 5, 3]
    assert result.by_step["p_own"].iloc[0] == pytest.approx((3 * 0.7 + 2 * 0.15) / 5)


def test_unanswered_truncated_and_unread_traces_are_excluded_and_counted():
    forced, traces, steps, verdicts = build(CASES)
    more = [
        trace_row("q4", 0, -1),
        trace_row("q4", 1, 2, finish="length"),
        trace_row("q4", 2, -1, finish="length"),
        trace_row("q4", 3, 1),
    ]
    traces = pd.concat([traces, pd.DataFrame(more)])
    forced = pd.concat([forced, pd.DataFrame(forced_rows("q4", 0, [1]) + forced_rows("q4", 1, [1]))])
    result = commitment.curves(forced, traces, steps, verdicts)
    assert result.excluded == {"truncated": 2, "no_answer": 1, "no_reading": 1}
    assert result.n_traces == 5


def test_a_trace_without_steps_locks_at_the_prompt_or_never():
    cases = [
        ("q1", 0, 1, [1], 0, (), None),
        ("q2", 0, 0, [1], 0, (), None),
        ("q3", 0, 1, [1, 1], 1, (), None),
    ]
    result = commitment.curves(*build(cases))
    assert result.locks["lock"].tolist()[0] == 0
    assert np.isnan(result.locks["lock"].tolist()[1])
    assert result.by_fraction["locked_share"].tolist()[0] == pytest.approx(2 / 3)


def test_an_unjudged_step_before_the_first_claim_makes_it_unknown():
    cases = [("q0", 0, 1, [1, 1, 1], 2, (), ["api_failure", "correct"]), *CASES]
    result = commitment.curves(*build(cases))
    assert result.first_claim == {"known": 4, "no_claim": 1, "unknown": 1}


def test_without_verdicts_the_first_claim_has_no_value_but_a_reason():
    forced, traces, steps, _ = build(CASES)
    result = commitment.curves(forced, traces, steps)
    assert result.first_claim == {"known": 0, "no_claim": 0, "unknown": 5}
    leaf = result.to_json()["locked_at_first_claim"]["estimate"]
    assert leaf["value"] is None
    assert leaf["reason"]


def test_same_seed_same_json_and_no_nan(result):
    again = commitment.curves(*build(CASES))
    text = json.dumps(result.to_json(), allow_nan=False, sort_keys=True)
    assert text == json.dumps(again.to_json(), allow_nan=False, sort_keys=True)


def test_rows_of_two_readers_are_refused():
    forced, traces, steps, verdicts = build(CASES)
    other = forced.assign(reader="distilled")
    with pytest.raises(AnalysisError, match="one reader"):
        commitment.curves(pd.concat([forced, other]), traces, steps, verdicts)


def test_a_missing_prefix_names_the_trace():
    forced, traces, steps, verdicts = build(CASES)
    forced = forced[~((forced["qid"] == "q1") & (forced["cid"] == 1) & (forced["k"] == 2))]
    with pytest.raises(AnalysisError, match="question q1, trace 1"):
        commitment.curves(forced, traces, steps, verdicts)


def test_an_answer_that_no_option_stands_for_names_the_trace():
    with pytest.raises(AnalysisError, match="question q1, trace 0: answer 3 is none of 3 options"):
        commitment.curves(*build([("q1", 0, 3, [1, 1], 1, (), None)]))


def test_other_lead_ins_permutations_and_layers_do_not_count():
    forced, traces, steps, verdicts = build(CASES)
    noise = [forced.assign(lead_in=1), forced.assign(permutation=2), forced.assign(layer=3)]
    mixed = commitment.curves(pd.concat([forced, *noise]), traces, steps, verdicts)
    plain = commitment.curves(forced, traces, steps, verdicts)
    assert mixed.to_json() == plain.to_json()


def planted(author, reader, share, seed):
    """40 questions x 3 traces of 4 steps; a `share` locks at the prompt, the rest at the last prefix."""
    rng = np.random.default_rng(seed)
    cases = []
    for q in range(40):
        for cid in range(3):
            early = rng.random() < share
            cases.append((f"q{q:02d}", cid, 1, [1 if early else 0] * 4 + [1], 4, (), None))
    return commitment.curves(*build(cases, arm=author, reader=reader))


def test_compare_and_two_by_two_recover_a_planted_reader_effect():
    cells = {
        (author, reader): planted(author, reader, 0.7 if reader == "base" else 0.3, seed)
        for seed, (author, reader) in enumerate(
            [(a, r) for a in ("base", "distilled") for r in ("base", "distilled")]
        )
    }
    difference = commitment.compare(cells["base", "base"], cells["distilled", "distilled"])
    at_prompt = difference.differences["locked_at_prompt"]
    assert at_prompt.high < 0
    expected = (
        cells["distilled", "distilled"].shares["locked_at_prompt"].estimate
        - cells["base", "base"].shares["locked_at_prompt"].estimate
    )
    assert at_prompt.estimate == pytest.approx(expected)
    cross = commitment.two_by_two(cells, before="base", after="distilled")
    effects = cross.measures["locked_at_prompt"]
    assert effects.effect_reader.high < -0.2
    assert effects.effect_text.low < 0 < effects.effect_text.high
    assert effects.interaction.low < 0 < effects.interaction.high
    share = {key: cell.shares["locked_at_prompt"].estimate for key, cell in cells.items()}
    old, text, reader, new = (
        share[key]
        for key in [
            ("base", "base"),
            ("distilled", "base"),
            ("base", "distilled"),
            ("distilled", "distilled"),
        ]
    )
    assert effects.effect_text.estimate == pytest.approx((text - old + new - reader) / 2)
    assert effects.effect_reader.estimate == pytest.approx((reader - old + new - text) / 2)
    assert effects.interaction.estimate == pytest.approx((new - reader) - (text - old))
    assert effects.text_read_by_before.estimate == pytest.approx(text - old)
    assert effects.text_read_by_after.estimate == pytest.approx(new - reader)
    assert effects.reader_of_before.estimate == pytest.approx(reader - old)
    assert effects.reader_of_after.estimate == pytest.approx(new - text)
    moved = cross.measures["mean_p_own"].effect_text
    assert repr(cross).startswith(f"TwoByTwo(base x distilled, mean P(own answer): effect_text {moved}, ")
    json.dumps(cross.to_json(), allow_nan=False)


def test_two_by_two_needs_all_four_cells(result):
    with pytest.raises(AnalysisError, match="all four"):
        commitment.two_by_two({("base", "base"): result}, before="base", after="distilled")


def test_a_tie_of_two_options_is_no_agreement_and_is_counted():
    forced, traces, steps, verdicts = build(
        [("q1", 0, 0, [0, 0, 0], 2, (), None), ("q2", 0, 1, [1, 1, 1], 2, (), None)]
    )
    tie = (forced["qid"] == "q1") & (forced["k"] == 1)
    forced.loc[tie, "p"] = pd.Series([[0.4, 0.4, 0.2]] * int(tie.sum()), index=forced.index[tie])
    found = commitment.curves(forced, traces, steps, verdicts)
    assert found.n_tied == found.to_json()["n_tied"] == 1
    assert found.locks.set_index("qid")["lock"].to_dict() == {"q1": 2.0, "q2": 0.0}
    assert found.locks.set_index("qid").loc["q1", "aoc"] == pytest.approx(1 / 3)


def test_steps_of_another_arm_or_too_few_are_refused(study):
    """Without the steps a trace seems to state its answer later than it does: every lock would be wrong."""
    forced, traces, steps = study.forced("base"), study.traces("base"), study.steps("base")
    for wrong in (steps.iloc[:0], study.steps("distilled"), steps.iloc[::2]):
        with pytest.raises(AnalysisError, match="Pass the steps of the same arm and traces"):
            commitment.curves(forced, traces, wrong)
