from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mechcot.analyses.arms import Arms
from mechcot.analyses.audit.analysis import analyse
from mechcot.analyses.strata import stratum_weights
from mechcot.core.errors import AnalysisError
from mechcot.core.records import STEP_KEY, STEPS, VERDICTS, read_table, write_table

LABEL = {"c": "correct", "e": "erroneous", "a": "abstain", "n": "not_checkable", "x": "api_failure"} | {
    "p": "parse_failure",
    "-": None,
}


def make_questions(golds):
    return pd.DataFrame(
        {"qid": [f"q{i}" for i in range(len(golds))], "options": [["w", "x", "y"]] * len(golds)}
    ).assign(gold=golds)


def make_arm(arm, traces):
    """An arm from {(question, trace): (answer, steps)}; a step is written "label role" such as "e find"."""
    rows, steps, verdicts = [], [], []
    for (q, c), (answer, written) in traces.items():
        rows.append({"qid": f"q{q}", "arm": arm, "cid": c, "answer": answer, "finish_reason": "stop"})
        for s, text in enumerate(written):
            label, role = text.split()
            key = {"qid": f"q{q}", "arm": arm, "cid": c, "sid": s}
            steps.append(
                {
                    **key,
                    "text": text,
                    **dict.fromkeys(("char_start", "char_end", "tok_start", "tok_end"), 0),
                    "straddles": False,
                    "complete": True,
                    "role": role,
                    "states_answer": False,
                    "n_words": 5,
                }
            )
            if LABEL[label]:
                verdicts.append({**key, "instrument": "exact", "label": LABEL[label], "reason": ""})
    step_frame = pd.DataFrame(steps, columns=STEPS.names)
    return pd.DataFrame(rows), step_frame, pd.DataFrame(verdicts, columns=VERDICTS.names)


BEFORE = {
    (0, 0): (0, ["n view", "c find", "c drug"]),
    (0, 1): (1, ["e find", "a drug"]),
    (0, 2): (0, ["c find"]),
    (1, 0): (1, ["c find", "e drug"]),
    (2, 0): (-1, ["n view"]),
    (3, 0): (2, ["e hop", "x find"]),
}
AFTER = {
    (0, 0): (0, ["n view", "c find", "c drug", "e rev"]),
    (0, 1): (0, ["c find", "e drug", "e rev"]),
    (0, 2): (0, []),
    (1, 0): (1, ["c find", "c drug", "c rev", "e rev"]),
    (2, 0): (1, ["c find", "p drug", "- rev"]),
    (3, 0): (2, ["e find", "c drug"]),
}
GOLDS = [0, 1, 1, 0]


def small(strata=None, **more):
    return analyse(
        Arms(make_questions(GOLDS), *make_arm("base", BEFORE), *make_arm("distilled", AFTER), strata),
        **{"min_questions": 1, **more},
    )


def test_counts_and_rates_of_a_study_small_enough_to_count_by_hand():
    result = small()
    before, after = result.before, result.after
    assert (before.n_steps, before.n_correct, before.n_erroneous, before.n_judged) == (11, 4, 3, 7)
    assert (before.n_abstain, before.n_not_checkable, before.n_api_failure) == (1, 2, 1)
    assert before.error_rate.estimate == 3 / 7
    assert before.abstain_rate == 1 / 8
    assert before.not_checkable_rate == 2 / 10
    assert (before.n_traces, before.n_traces_audited, before.n_traces_without_steps) == (6, 6, 0)
    assert before.steps_per_trace == 11 / 6
    assert (after.n_judged, after.n_erroneous) == (13, 5)
    assert (after.n_parse_failure, after.n_without_verdict, after.n_api_failure) == (1, 1, 0)
    assert (after.n_traces, after.n_traces_audited, after.n_traces_without_steps) == (6, 5, 1)
    assert after.steps_per_trace == 16 / 5
    assert result.delta.estimate == pytest.approx(5 / 13 - 3 / 7)
    assert result.delta.n == 4  # question 2 has judged steps after only
    assert result.delta_question_weighted.n == 3
    assert result.delta_question_weighted.estimate == pytest.approx(
        ((3 / 6 - 1 / 4) + (1 / 4 - 1 / 2) + (1 / 2 - 1)) / 3
    )
    assert result.instrument == "exact"


def test_strata_sort_every_question_once_and_ties_are_not_right():
    result = small()
    parts = {part.name: part for part in result.strata}
    assert {name: part.n_questions for name, part in parts.items()} == {
        "both": 2,
        "only_before": 0,
        "only_after": 1,
        "neither": 1,
    }
    assert result.both_correct == parts["both"]
    assert result.both_correct.delta.estimate == pytest.approx(4 / 10 - 2 / 6)
    assert parts["only_after"].delta.estimate is None  # nothing was judged there before
    assert parts["only_before"].delta.reason
    assert parts["neither"].delta.estimate == pytest.approx(1 / 2 - 1)
    assert sum(part.n_judged_after for part in result.strata) == result.after.n_judged
    tied = {**BEFORE, (0, 2): (2, ["c find"])}  # 0, 1, 2: a tie of three
    result = analyse(Arms(make_questions(GOLDS), *make_arm("b", tied), *make_arm("d", AFTER)))
    assert result.both_correct.n_questions == 1


def test_weighted_strata_of_a_study_small_enough_to_count_by_hand():
    result = small()
    parts = {part.name: part for part in result.strata_weighted}
    # shares right: before 2/3, 1, 0, 0 and after 1, 1, 1, 0
    assert [parts[name].weight for name in ("both", "only_before", "only_after", "neither")] == pytest.approx(
        [2 / 3 + 1, 0, 1 / 3 + 1, 1]
    )
    assert (parts["both"].n_questions, parts["only_after"].n_questions) == (2, 2)
    both, only_after = parts["both"], parts["only_after"]
    # question 0: 1 of 4 wrong before, 3 of 6 after; question 1: 1 of 2, 1 of 4; question 2: none, 0 of 1
    assert both.rate_before == pytest.approx((2 / 3 * 1 + 1) / (2 / 3 * 4 + 2))
    assert both.rate_after == pytest.approx((2 / 3 * 3 + 1) / (2 / 3 * 6 + 4))
    assert both.delta.estimate == pytest.approx(both.rate_after - both.rate_before)
    assert (both.n_judged_before, both.n_judged_after) == (6, 10)
    assert (only_after.rate_before, only_after.rate_after) == pytest.approx((1 / 4, 1 / 3))
    assert parts["only_before"].delta.reason
    assert result.to_json()["strata_weighted"]["both"]["weight"] == pytest.approx(5 / 3)
    assert all(part.weight == part.n_questions for part in result.strata)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_the_strata_of_a_question_share_it_whole(shares):
    weights = np.stack(list(stratum_weights(*zip(*shares, strict=True)).values()))
    assert weights.sum(axis=0) == pytest.approx(np.ones(len(shares)))
    assert (weights >= 0).all()


def test_where_all_votes_agree_the_weighted_strata_are_the_plain_ones():
    rng = np.random.default_rng(4)
    for _ in range(5):
        arms = []
        for name in "ab":
            traces, steps, verdicts = random_arm(name, rng, 12)
            right = rng.integers(0, 2, 12)
            answer = [0 if right[int(qid[1:])] else -1 for qid in traces["qid"]]
            arms += [traces.assign(answer=answer), steps, verdicts]
        result = analyse(Arms(make_questions([0] * 12), *arms))
        assert result.strata_weighted == result.strata


def test_weighted_strata_are_those_of_the_probabilities_behind_the_votes():
    """Errors rise by .4 where both arms know the answer and not elsewhere; a vote of three is noisy."""
    rng = np.random.default_rng(2)
    n = 1500
    knows = rng.random((2, n)) < 0.5
    chance = np.where(knows, 0.9, 0.1)  # of a right answer
    arms = []
    for late in (0, 1):
        risk = 0.2 + 0.4 * late * (chance[0] * chance[1])
        traces = {
            (q, c): (int(rng.random() >= chance[late, q]), ["e find" if rng.random() < risk[q] else "c find"])
            for q in range(n)
            for c in range(3)
        }
        arms += make_arm("ab"[late], traces)
    result = analyse(Arms(make_questions([0] * n), *arms))
    weights = stratum_weights(*chance)
    for part in result.strata_weighted:
        own = weights[part.name]
        true = (own * 0.4 * chance[0] * chance[1]).sum() / own.sum()
        assert part.delta.estimate == pytest.approx(true, abs=0.04), part.name
        assert part.weight == pytest.approx(own.sum(), rel=0.1)


def test_a_question_without_a_judged_step_changes_no_difference():
    plain = small()
    more = [
        {**BEFORE, (4, 0): (0, ["n view"])},
        {**AFTER, (4, 0): (0, ["- find"])},
    ]
    arms = Arms(make_questions([*GOLDS, 0]), *make_arm("base", more[0]), *make_arm("distilled", more[1]))
    result = analyse(arms, min_questions=1)
    assert (result.delta, result.delta_se) == (plain.delta, plain.delta_se)
    assert result.resolutions == plain.resolutions
    assert result.delta_question_weighted == plain.delta_question_weighted


def test_only_traces_with_the_right_answer_count_in_questions_where_both_arms_have_some():
    part = small().both_correct_traces
    assert part.n_questions == 2
    # before: q0 traces 0 and 2, q1; after: q0 traces 0, 1 and 2, q1
    assert (part.n_judged_before, part.n_judged_after) == (5, 10)
    assert part.rate_before == 1 / 5
    assert part.rate_after == 4 / 10


def test_roles_add_up_and_new_roles_have_no_rate_before():
    result = small()
    roles = {role.role: role for role in result.roles}
    assert set(roles) == {"view", "find", "drug", "hop", "rev"}
    assert sum(role.errors.n_judged_before for role in result.roles) == result.before.n_judged
    assert (roles["find"].errors.rate_before, roles["find"].errors.rate_after) == (1 / 4, 1 / 5)
    assert roles["drug"].claims_per_trace_before == 3 / 6  # an abstained claim is a claim
    assert roles["rev"].errors.rate_before is None
    assert roles["rev"].errors.delta.estimate is None
    assert roles["view"].claims_per_trace_after == 0
    frame = result.to_frame().set_index("role")
    assert frame.loc["find", "n_judged_after"] == 5
    assert frame.loc["find", "rate_before"] == 1 / 4


def test_the_split_by_role_is_that_of_the_hand_table():
    split = small().split
    kinds = {kind.kind: kind for kind in split.kinds}
    assert {name: kind.status for name, kind in kinds.items()} == {
        "find": "shared",
        "drug": "shared",
        "hop": "vanished",
        "rev": "new",
    }
    # shared only: before find 1/4, drug 1/2 of 6; after find 1/5, drug 1/4 of 9
    composition = (5 / 9 - 4 / 6) * (1 / 4 + 1 / 5) / 2 + (4 / 9 - 2 / 6) * (1 / 2 + 1 / 4) / 2
    within = (5 / 9 + 4 / 6) / 2 * (1 / 5 - 1 / 4) + (4 / 9 + 2 / 6) / 2 * (1 / 4 - 1 / 2)
    assert split.common_composition.estimate == pytest.approx(composition)
    assert split.common_within.estimate == pytest.approx(within)
    assert split.unshared.estimate == pytest.approx((5 / 13 - 2 / 9) - (3 / 7 - 2 / 6))


def test_splits_add_to_the_total_with_strata_too():
    arms = [make_arm("base", BEFORE), make_arm("distilled", AFTER)]
    claims = pd.concat([arm[1] for arm in arms])[[*STEP_KEY, "role"]]
    claims["stratum"] = np.where(claims["qid"] == "q0", "common", "rare")
    claims = claims[claims["role"] != "view"]
    other = claims.assign(arm="terse")
    given_ = small(strata=pd.concat([claims, other]))
    by_column = analyse(
        Arms(
            make_questions(GOLDS),
            *(
                frame
                for traces, steps, verdicts in arms
                for frame in (traces, steps, verdicts.merge(claims, on=STEP_KEY, how="left"))
            ),
        ),
        min_questions=1,
    )
    assert small().split_by_stratum is None
    for result in (given_, by_column):
        for split in (result.split, result.split_by_stratum):
            terms = (split.common_composition, split.common_within, split.unshared)
            assert sum(term.estimate for term in terms) == pytest.approx(result.delta.estimate)
        assert {"find / common", "find / rare", "rev / common"} <= {
            k.kind for k in result.split_by_stratum.kinds
        }
    assert given_.split_by_stratum == by_column.split_by_stratum
    double = pd.concat([claims, claims.iloc[:1].assign(stratum="other")])
    kinds = {kind.kind for kind in small(strata=double).split_by_stratum.kinds}
    assert "find / mixed" in kinds


def test_result_is_json_and_one_line():
    value = json.loads(json.dumps(small().to_json(), allow_nan=False))
    for arm in ("before", "after"):
        assert {"error_rate", "abstain_rate", "not_checkable_rate", "n_steps"} <= value[arm].keys()
    assert {"estimate", "low", "high"} <= value["delta"].keys()
    assert value["delta_se"] > 0
    assert {"estimate", "low", "high", "n_questions"} <= value["both_correct"].keys()
    assert {"common_composition", "common_within", "unshared"} <= value["split"].keys()
    assert isinstance(value["split"]["unshared"]["estimate"], float)
    assert value["strata"]["only_before"]["estimate"]["value"] is None
    assert value["split_by_stratum"]["reason"]
    assert "3/7 -> 5/13" in repr(small())


def random_arm(arm, rng, n, spread=0.0, rate=0.3):
    labels = ["c", "e", "a", "n"]
    traces = {}
    for q in range(n):
        risk = 1 / (1 + np.exp(-(np.log(rate / (1 - rate)) + spread * rng.normal())))
        for c in range(2):
            share = [0.9 * (1 - risk), 0.9 * risk, 0.05, 0.05]
            drawn = rng.choice(labels, size=rng.integers(1, 6), p=share)
            traces[q, c] = (int(rng.integers(-1, 3)), [f"{x} {rng.choice(['find', 'drug'])}" for x in drawn])
    return make_arm(arm, traces)


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 10_000))
def test_nothing_depends_on_the_order_of_rows(seed):
    rng = np.random.default_rng(seed)
    questions = make_questions([0, 1, 2] * 3)
    before, after = random_arm("a", rng, 9), random_arm("b", rng, 9)
    result = analyse(Arms(questions, *before, *after))
    shuffled = [frame.sample(frac=1, random_state=seed) for frame in (*before, *after)]
    assert analyse(Arms(questions, *shuffled)) == result
    same = analyse(Arms(questions, *before, *before))
    assert same.delta.estimate in (0, None)
    assert same.delta.low is None


def test_interval_covers_a_planted_null_through_the_whole_audit():
    rng = np.random.default_rng(8)
    questions = make_questions([0] * 30)
    hits = 0
    for _ in range(40):
        arms = random_arm("a", rng, 30, spread=1.3), random_arm("b", rng, 30, spread=1.3)
        delta = analyse(Arms(questions, *arms[0], *arms[1])).delta
        hits += delta.low <= 0 <= delta.high
    assert hits >= 33  # .95 of 40 is 38, with a standard error of 1.4


def test_tables_read_from_files_work_the_same(tmp_path):
    arms = make_arm("base", BEFORE), make_arm("distilled", AFTER)
    frames = []
    for name, (traces, steps, verdicts) in zip("ba", arms, strict=True):
        write_table(tmp_path / f"{name}-steps.parquet", steps, STEPS)
        write_table(tmp_path / f"{name}-verdicts.parquet", verdicts, VERDICTS)
        frames += [
            traces,
            read_table(tmp_path / f"{name}-steps.parquet", STEPS),
            read_table(tmp_path / f"{name}-verdicts.parquet", VERDICTS),
        ]
    assert analyse(Arms(make_questions(GOLDS), *frames), min_questions=1) == small()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda t: {**t, "verdicts": pd.concat([t["verdicts"]] * 2)},
            "q0, arm base, trace 0, step 0 occurs more",
        ),
        (
            lambda t: {**t, "steps": pd.concat([t["steps"], t["steps"].iloc[3:4]])},
            "trace 1, step 0 occurs more",
        ),
        (lambda t: {**t, "steps": t["steps"].iloc[1:]}, "trace 0, step 0 is not among the steps"),
        (
            lambda t: {**t, "traces": t["traces"].iloc[1:]},
            "steps before: .*trace 0, step 0 belongs to no trace",
        ),
        (
            lambda t: {**t, "verdicts": t["verdicts"].replace({"label": {"api_failure": "wrong"}})},
            "q3, arm base, trace 0, step 1: the label 'wrong' is none of",
        ),
        (lambda t: {**t, "verdicts": t["verdicts"].assign(instrument="other")}, "different instruments"),
        (
            lambda t: {**t, "verdicts": t["verdicts"].assign(instrument=["a"] * 5 + ["b"] * 6)},
            "several instruments",
        ),
        (lambda t: {**t, "verdicts": t["verdicts"].assign(arm="distilled")}, "is not among the steps"),
        (lambda t: {**t, "steps": t["steps"].drop(columns="role")}, r"steps before: the columns \['role'\]"),
        (
            lambda t: {**t, "traces": t["traces"].assign(qid="q9")},
            "occurs more than once|not in the question",
        ),
        (lambda t: {**t, "traces": t["traces"][t["traces"]["qid"] != "q2"]}, "belongs to no trace"),
    ],
)
def test_bad_tables_name_the_step(change, words):
    names = ("traces", "steps", "verdicts")
    tables = change(dict(zip(names, make_arm("base", BEFORE), strict=True)))
    with pytest.raises(AnalysisError, match=words):
        analyse(
            Arms(make_questions(GOLDS), *(tables[n] for n in names), *make_arm("distilled", AFTER)),
        )


def test_no_verdicts_at_all_is_an_error_and_a_question_without_traces_too():
    arms = [[t, s, v.iloc[:0]] for t, s, v in (make_arm("base", BEFORE), make_arm("distilled", AFTER))]
    with pytest.raises(AnalysisError, match="both tables are empty"):
        analyse(Arms(make_questions(GOLDS), *arms[0], *arms[1]))
    fewer = make_arm("base", {key: value for key, value in BEFORE.items() if key[0] != 2})
    with pytest.raises(AnalysisError, match="question q2 has no traces"):
        analyse(Arms(make_questions(GOLDS), *fewer, *make_arm("distilled", AFTER)))


def test_an_arm_with_steps_but_no_verdict_has_rates_of_none():
    traces, steps, verdicts = make_arm("base", BEFORE)
    result = analyse(Arms(make_questions(GOLDS), traces, steps, verdicts.iloc[:0], *make_arm("d", AFTER)))
    assert result.before.error_rate.estimate is None
    assert result.before.abstain_rate is result.before.not_checkable_rate is None
    assert result.before.n_without_verdict == 11
    assert result.delta.estimate is None
    assert result.split.total.estimate is None
    json.dumps(result.to_json(), allow_nan=False)
