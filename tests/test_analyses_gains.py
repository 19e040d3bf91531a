from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from mechcot.analyses.gains.analysis import analyse
from mechcot.core.errors import AnalysisError, UsageError
from mechcot.core.records import VERDICTS
from mechcot.core.results import Pair

LABEL = {"c": "correct", "e": "erroneous", "a": "abstain", "n": "not_checkable"}


def make_questions(golds, options=3):
    return pd.DataFrame(
        {
            "qid": [f"q{i}" for i in range(len(golds))],
            "options": [["w"] * options] * len(golds),
            "gold": golds,
        }
    )


def make_arm(arm, answers, labels):
    """Traces and verdicts; labels[q][c] is one letter a step."""
    traces = [
        {"qid": f"q{q}", "arm": arm, "cid": c, "answer": answer}
        for q, row in enumerate(answers)
        for c, answer in enumerate(row)
    ]
    verdicts = [
        {
            "qid": f"q{q}",
            "arm": arm,
            "cid": c,
            "sid": s,
            "instrument": "exact",
            "label": LABEL[x],
            "reason": "",
        }
        for q, row in enumerate(labels)
        for c, word in enumerate(row)
        for s, x in enumerate(word)
    ]
    return pd.DataFrame(traces), pd.DataFrame(verdicts, columns=VERDICTS.names)


GOLDS = [0, 1, 2]
# q0: both halves right before and after; q1: wrong, then right; q2: one half each
BEFORE = make_arm(
    "base",
    [[0, 0, 0, 0], [0, 2, 0, 2], [2, 0, 2, 0]],
    [["c", "cc", "c", "ce"], ["e", "c", "cn", "e"], ["c", "e", "c", "e"]],
)
AFTER = make_arm(
    "distilled",
    [[0, 0, 0, 0], [1, 1, 1, 1], [2, -1, 2, -1]],
    [["ce", "c", "c", "cc"], ["ce", "ee", "c", "ca"], ["c", "e", "c", "ce"]],
)


def pairs(before, after):
    """(traces, verdicts) of each arm as traces of both and verdicts of both."""
    return [Pair(*tables) for tables in zip(before, after, strict=True)]


def small(before=BEFORE, after=AFTER, **more):
    return analyse(make_questions(GOLDS), *pairs(before, after), null_draws=50, **more)


def test_every_number_of_a_study_small_enough_to_count_by_hand():
    result = small()
    assert (result.arms, result.instrument) == (("base", "distilled"), "exact")
    assert (result.n_questions, result.k, result.half) == (3, 4, 2)
    # SC@2 by halves: before 1, 0 and (1 + 0) / 2; after 1, 1 and (1 + 0) / 2
    assert result.delta_sc.estimate == pytest.approx(1 / 3)
    assert [one.n for one in result.bins] == [1.5, 0, 0, 0, 0, 0, 1.5]
    # q2: the half that says -1 is followed by a right half, and the other way about
    assert result.bins[0].gained == pytest.approx(1)
    assert result.bins[0].lost == pytest.approx(0.5 * 0.5)
    assert result.bins[6].gained == pytest.approx(0.5 * 0.5)
    assert result.bins[6].change.estimate == pytest.approx(0.25 / 1.5)
    assert result.bins[3].change.estimate is None
    assert sum(one.gained - one.lost for one in result.bins) / 3 == pytest.approx(1 / 3)
    cells = {one.name: one for one in result.transitions}
    assert {name: cell.n for name, cell in cells.items()} == {
        "gained": 1,
        "lost": 0,
        "kept_right": 1.5,
        "kept_wrong": 0.5,
    }
    # q1 alone is gained, with both halves: 2 of 4 judged steps before, 3 of 6 after
    assert (cells["gained"].error_before, cells["gained"].error_after) == (2 / 4, 3 / 6)
    # kept right: q0 with both halves, q2 with the half that votes right, so the other half's steps
    assert cells["kept_right"].error_before == (1 + 2) / (6 + 2)
    assert cells["kept_right"].error_after == (1 + 2) / (6 + 3)
    assert cells["kept_wrong"].change.estimate == 0
    assert cells["lost"].change.estimate is None
    kept = (1 + 2 + 0) / (6 + 3 + 2) - (1 + 2 + 0) / (6 + 2 + 2)
    assert result.contrasts["gained_minus_kept"].estimate == pytest.approx(0 - kept)


def test_result_is_json_and_frames_and_one_line():
    result = small()
    loaded = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert loaded["transitions"]["lost"]["error_before"]["value"] is None
    assert loaded["gained_minus_kept"]["estimate"] == result.contrasts["gained_minus_kept"].estimate
    assert len(loaded["bins"]) == len(result.to_frame()) == 7
    assert result.to_frame("transitions").name.tolist() == [
        "gained",
        "lost",
        "kept_right",
        "kept_wrong",
    ]
    assert repr(result).startswith("GainsResult(base -> distilled, halves of 2 votes: SC@2 difference")
    assert ">-0.5<" in result._repr_html_().replace(" ", "")
    assert small().to_json() == result.to_json()


def test_the_order_of_rows_does_not_matter():
    shuffled = ([table.sample(frac=1, random_state=1) for table in arm] for arm in (BEFORE, AFTER))
    assert small(*shuffled).to_json() == small().to_json()


def test_an_odd_trace_at_the_end_counts_neither_as_a_vote_nor_by_its_steps():
    arms = []
    for traces, verdicts in (BEFORE, AFTER):
        fifth = verdicts[(verdicts.cid == 0) & (verdicts.sid == 0)].assign(cid=4, label="erroneous")
        last = traces[traces.cid == 0].assign(cid=4, answer=2)
        arms.append((pd.concat([traces, last]), pd.concat([verdicts, fifth])))
    plain, odd = small(), small(*arms)
    assert (odd.k, odd.half, odd.delta_sc) == (5, 2, plain.delta_sc)
    assert odd.transitions == plain.transitions
    assert odd.contrasts == plain.contrasts


def test_judged_first_traces_go_with_the_votes_of_the_other_half():
    first = [table[table.cid == 0] for table in (BEFORE[1], AFTER[1])]
    result = small((BEFORE[0], first[0]), (AFTER[0], first[1]))
    cells = {one.name: one for one in result.transitions}
    assert (cells["gained"].error_before, cells["gained"].error_after) == (1, 0.5)
    # q2's first trace is of the half that votes right; the other half votes wrong before and after
    assert cells["kept_wrong"].error_before == 0
    assert cells["kept_right"].error_before == 0


def sampled_study(seed, n=400, k=8, *, learned=0.0, harm=0.0):
    """Traces whose wrong answers come with wrong steps; a part of the questions is learned.

    Each trace makes 4 steps. Per question a trace answers gold with chance pi; its steps are wrong
    with chance .15 where it answers right and .5 where it does not. Of the questions with pi < .5 a
    part is `learned`: they answer gold after, always, and their steps are wrong by `harm` more often.
    """
    rng = np.random.default_rng(seed)
    pi = rng.uniform(0.2, 0.8, n)
    gain = (rng.random(n) < learned) & (pi < 0.5)

    def arm(name, chance, more):
        right = rng.random((n, k)) < chance[:, None]
        answers = np.where(right, 0, rng.integers(1, 3, (n, k)))
        wrong = rng.random((n, k, 4)) < np.where(right, 0.15, 0.5)[..., None] + more[:, None, None]
        labels = [["".join("ce"[int(x)] for x in steps) for steps in row] for row in wrong]
        return make_arm(name, answers.tolist(), labels)

    none = np.zeros(n)
    before, after = arm("base", pi, none), arm("d", np.where(gain, 1.0, pi), none + harm * gain)
    return make_questions([0] * n), before, after


def test_without_a_change_halves_show_none_and_the_same_votes_do():
    questions, before, after = sampled_study(0, n=1500)
    result = analyse(questions, *pairs(before, after), null_draws=20)
    for cell in result.transitions:
        assert cell.change.low - 0.01 < 0 < cell.change.high + 0.01
    assert result.contrasts["gained_minus_kept"].low < 0 < result.contrasts["gained_minus_kept"].high
    # the same traces vote and are judged: the gained "improve", the lost "get worse"
    sums = {}
    for when, (traces, verdicts) in (("before", before), ("after", after)):
        share = (traces.answer == 0).groupby(traces.qid).mean()
        error = (verdicts.label == "erroneous").groupby(verdicts.qid).mean()
        sums[when] = pd.DataFrame({"right": share > 0.5, "error": error})
    change = sums["after"].error - sums["before"].error
    gained = change[~sums["before"].right & sums["after"].right].mean()
    lost = change[sums["before"].right & ~sums["after"].right].mean()
    assert gained < -0.08
    assert lost > 0.08


def test_one_deal_of_the_null_is_its_mean_and_its_range():
    questions, before, after = sampled_study(2, n=60)
    bins = analyse(questions, *pairs(before, after), null_draws=1).bins
    for one in bins:
        assert one.null_gained_range == (one.null_gained, one.null_gained)
        assert one.null_lost_range == (one.null_lost, one.null_lost)
    assert any(one.null_gained != one.null_lost for one in bins)


def test_harm_where_it_was_learned_is_found_there():
    questions, before, after = sampled_study(1, n=600, learned=0.8, harm=0.4)
    result = analyse(questions, *pairs(before, after), null_draws=20)
    assert result.delta_sc.low > 0.05
    contrast = result.contrasts["gained_minus_kept_right"]
    assert contrast.low > 0
    names = [one.name for one in result.transitions]
    assert result.transitions[names.index("kept_wrong")].change.estimate == pytest.approx(0, abs=0.03)


@pytest.mark.slow
def test_the_interval_of_gained_minus_kept_covers_nothing_where_there_is_nothing():
    hits = 0
    for seed in range(60):
        questions, before, after = sampled_study(seed, n=80)
        found = analyse(questions, *pairs(before, after), seed=seed, null_draws=1).contrasts
        hits += found["gained_minus_kept"].low <= 0 <= found["gained_minus_kept"].high
    assert hits >= 52  # of a true .95, fewer once in five hundred times


@pytest.mark.parametrize(
    ("error", "change", "words"),
    [
        (AnalysisError, lambda t: {1: t[1].iloc[1:]}, "question q0 has 3 traces before"),
        (AnalysisError, lambda t: {1: t[1][t[1].cid == 0], 3: t[3][t[3].cid == 0]}, "cannot be halved"),
        (AnalysisError, lambda t: {2: t[2].assign(instrument="other")}, "one instrument"),
        (
            AnalysisError,
            lambda t: {2: t[2].assign(cid=t[2].cid + 1)},
            "verdicts before: question q0.* is of no trace",
        ),
        (AnalysisError, lambda t: {4: t[4].assign(label="bad")}, "verdicts after: .*'bad'"),
        (AnalysisError, lambda t: {4: pd.concat([t[4], t[4]])}, "more than once"),
    ],
)
def test_bad_tables_are_named(error, change, words):
    tables = [make_questions(GOLDS), *BEFORE, *AFTER]
    for place, table in change(tables).items():
        tables[place] = table
    with pytest.raises(error, match=words):
        analyse(tables[0], *pairs(tables[1:3], tables[3:]), null_draws=10)


def test_a_null_needs_draws():
    with pytest.raises(UsageError, match="null_draws"):
        analyse(make_questions(GOLDS), *pairs(BEFORE, AFTER), null_draws=0)
