import dataclasses

import numpy as np
import pandas as pd
import pytest

from mechcot.report import traces
from report_cases import READ, ordinary


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return ordinary(tmp_path_factory)


@pytest.fixture(scope="module")
def shown(study):
    return traces.pairs(study, 8)


def test_as_many_pairs_as_asked_for_and_the_same_ones_each_time(study, shown):
    assert len(shown) == 4
    assert traces.pairs(study, 8) == shown
    assert len(traces.pairs(study, 3)) == 2
    assert traces.pairs(study, 0) == ()
    everything = traces.pairs(study, 10_000)
    assert len(everything) == len({(pair.qid, pair.cid) for pair in everything}) == 24 * READ


def test_a_pair_holds_both_arms_on_one_question_with_its_gold(study, shown):
    questions = study.questions("clinical").set_index("qid")
    assert len({pair.qid for pair in shown}) == len(shown)
    for pair in shown:
        row = questions.loc[pair.qid]
        assert pair.stem == row.stem
        assert pair.gold == pair.options[row.gold] == f"{'ABCD'[row.gold]}: {row.options[row.gold]}"
        assert [(trace.arm, trace.when) for trace in pair.traces] == [
            ("base", "before"),
            ("distilled", "after"),
        ]


def test_steps_carry_their_text_verdict_commitment_and_surprisal(study, shown):
    for pair in shown[:2]:
        for trace in pair.traces:
            table = study.trace(pair.qid, pair.cid, arm=trace.arm)
            assert [step.text for step in trace.steps] == list(table.text)
            assert [step.label for step in trace.steps] == list(table.label)
            assert trace.n_wrong == (table.label == "erroneous").sum()
            signals = study.signals(trace.arm).set_index(["qid", "cid"]).loc[(pair.qid, pair.cid)]
            own = study.traces(trace.arm).set_index(["qid", "cid"]).loc[(pair.qid, pair.cid)]
            forced = study.forced(trace.arm).query("lead_in == 0").set_index(["qid", "cid", "k"])
            steps = study.steps(trace.arm).set_index(["qid", "cid", "sid"])
            for sid, step in enumerate(trace.steps):
                at = steps.loc[(pair.qid, pair.cid, sid)]
                assert step.surprisal == pytest.approx(np.mean(signals.surprisal[at.tok_start : at.tok_end]))
                if own.answer >= 0:
                    p = forced.loc[(pair.qid, pair.cid, sid + 1)].p
                    assert step.p_own == pytest.approx(p[own.answer])
            assert trace.right == (trace.answer == pair.gold)


def test_groups_say_what_is_in_them_and_their_shares_add_to_all(study):
    everything = traces.pairs(study, 10_000)
    sizes = {}
    for pair in everything:
        before, after = pair.traces
        words, share = pair.group.rsplit(" (", 1)
        sizes.setdefault(words, [0, share])[0] += 1
        if words.startswith("Both answers are right; only distilled has wrong"):
            assert before.right
            assert after.right
            assert after.n_wrong > 0
            assert before.n_wrong == 0
        elif words == "base answers wrong, distilled right":
            assert after.right
            assert not before.right
        elif words == "base answers right, distilled wrong":
            assert before.right
            assert not after.right
        elif words == "Both answers are right; distilled has no wrong step":
            assert before.right
            assert after.right
            assert after.n_wrong == 0
        elif words == "Both answers are right, and both have wrong steps":
            assert before.right
            assert after.right
            assert before.n_wrong > 0
            assert after.n_wrong > 0
        else:
            assert words == "Both answers are wrong"
            assert not before.right
            assert not after.right
    for count, share in sizes.values():
        assert share == f"{100 * count / 48:.0f}\u00a0% of 48\u00a0pairs)"


def test_the_first_pair_of_a_group_is_the_one_closest_to_its_median(study, shown):
    everything = traces.pairs(study, 10_000)
    group = [pair for pair in everything if pair.group == shown[0].group]
    wrong = np.array([pair.traces[1].n_wrong for pair in group])
    far = abs(wrong - np.median(wrong))
    closest = {
        (pair.qid, pair.cid) for pair, distance in zip(group, far, strict=True) if distance == far.min()
    }
    assert (shown[0].qid, shown[0].cid) == min(closest)


def test_what_was_not_read_is_left_blank(study, monkeypatch):
    monkeypatch.setattr(study, "forced", lambda arm: type(study).forced(study, arm).iloc[:0])
    monkeypatch.setattr(study, "signals", lambda arm: type(study).signals(study, arm).iloc[:0])
    for pair in traces.pairs(study, 2):
        for trace in pair.traces:
            assert trace.p_start is None
            assert all(step.p_own is None and step.surprisal is None for step in trace.steps)


def test_a_trace_without_an_answer_shows_none(study):
    table = pd.concat([study.traces(arm) for arm in ("base", "distilled")])
    silent = table[(table.answer < 0) & (table.cid < READ) & table.qid.str.startswith("clinical")]
    keys = set(zip(silent.qid, silent.cid, silent.arm, strict=True))
    assert keys
    found = {
        (pair.qid, pair.cid, trace.arm): trace
        for pair in traces.pairs(study, 10_000)
        for trace in pair.traces
    }
    for key in keys:
        assert dataclasses.asdict(found[key])["answer"] == ""
        assert not found[key].right
        assert found[key].written == "plan"  # what stands in the answer's place
        assert found[key].p_start is None
