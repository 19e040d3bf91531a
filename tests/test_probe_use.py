import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mechcot.core.errors import AnalysisError
from mechcot.probe.use import _risk_coverage, trace_table, use_of
from mechcot.probe.use_result import COVERAGES


def study(seed=0, *, n_questions=60, k=6, n_steps=4, probe=2.0, entropy=0.0):
    """Traces whose steps err; the probe's score and the entropy see it as strongly as asked for."""
    rng = np.random.default_rng(seed)
    rows, traces, scores, folds = [], [], [], []
    for q, c in product(range(n_questions), range(k)):
        bad = rng.random(n_steps) < rng.choice([0.05, 0.6])
        wrong = rng.random() < (0.8 if bad.any() else 0.15)
        answer = int(rng.integers(1, 4)) if wrong else 0
        answer = -1 if wrong and rng.random() < 0.2 else answer
        key = {"qid": f"q{q}", "arm": "base", "cid": c}
        rows += [{**key, "sid": s, "y": int(b)} for s, b in enumerate(bad)]
        # each fold's probe has an intercept of its own
        scores += (probe * bad + rng.normal(size=n_steps) + 10 * (q % 5)).tolist()
        folds += [q % 5] * n_steps
        level = 1.0 + entropy * bad.any() + 0.1 * rng.normal()
        traces.append({**key, "answer": answer, "gold": 0, "length": rng.integers(20, 40), "entropy": level})
    table = pd.DataFrame(traces)
    votes = table.groupby(["qid", "answer"])["cid"].transform("size")
    return pd.DataFrame(rows), np.array(scores), np.array(folds), table.assign(vote_share=votes / k)


def by_name(rules):
    return {rule.name: rule.value for rule in rules}


def gaps(part):
    return {(item.probe, item.against): item.difference for item in part.differences}


def test_a_probe_that_sees_errors_beats_entropy_and_random():
    found = use_of(*study())
    step = found.abstain["erroneous_step"]
    aurc = by_name(step.rules)
    assert aurc["probe_max"].estimate < aurc["random"].estimate - 0.1
    assert aurc["oracle"].estimate < aurc["probe_max"].estimate
    assert gaps(step)["probe_max", "entropy"].high < 0
    assert gaps(step)["probe_max", "random"].high < 0
    assert gaps(found.choose)["probe_max", "random"].low > 0
    assert found.n_traces == 360
    assert found.n_questions == 60
    assert found.choose.mean_traces == 6
    assert "probe max is better than entropy" in found.verdict
    assert len(step.rules[0].curve) == len(COVERAGES)
    assert step.rules[0].curve[-1].estimate == pytest.approx(step.n_bad / step.n_traces)
    json.dumps(found.to_json(), allow_nan=False)
    assert found.to_frame()["value"].notna().all()


def test_entropy_beats_a_blind_probe_and_the_words_say_so():
    found = use_of(*study(probe=0.0, entropy=1.0))
    step = found.abstain["erroneous_step"]
    assert gaps(step)["probe_mean", "entropy"].low > 0
    assert gaps(step)["probe_mean", "random"].low < 0 < gaps(step)["probe_mean", "random"].high
    assert "probe mean is worse than entropy" in found.verdict


def test_a_constant_score_is_exactly_random_order():
    steps, _, fold, traces = study()
    found = use_of(steps, 10.0 * fold, fold, traces)  # the folds' intercepts alone
    for part in found.abstain.values():
        gap = gaps(part)["probe_max", "random"]
        assert (gap.estimate, gap.low) == (0, None)
        assert "alike" in gap.reason
        random = by_name(part.rules)["random"]
        assert random.estimate == pytest.approx(part.n_bad / part.n_traces)
    rules = by_name(found.choose.rules)
    assert rules["probe_mean"].estimate == rules["random"].estimate
    assert rules["vote_probe_mean"].estimate == pytest.approx(rules["plurality"].estimate)


def test_a_fold_shift_of_the_scores_changes_nothing():
    steps, scores, fold, traces = study()
    one = use_of(steps, scores, fold, traces)
    two = use_of(steps, scores - 10.0 * fold, fold, traces)
    for name in one.abstain:
        assert by_name(one.abstain[name].rules) == by_name(two.abstain[name].rules)
    assert one.to_json() == use_of(steps, scores, fold, traces).to_json()


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 1), st.integers(1, 3)),
        min_size=1,
        max_size=14,
    )
)
@settings(max_examples=60, deadline=None)
def test_area_and_curve_equal_a_slow_expectation(rows):
    """Keep a growing share of each fold, tied traces in proportion, and integrate numerically."""
    risk, bad, fold, weight = (np.array(column) for column in zip(*rows, strict=True))
    got = _risk_coverage(risk.astype(float), bad, fold, weight[None].astype(float))[0]
    total = weight.sum()
    shares = (np.arange(4000) + 0.5) / 4000
    errors = np.zeros(len(shares))
    at = np.zeros(len(COVERAGES))
    for f in set(fold):
        here = fold == f
        size = weight[here].sum()
        kept, wrong = [0.0], [0.0]
        for value in sorted(set(risk[here])):
            tied = here & (risk == value)
            kept.append(kept[-1] + weight[tied].sum())
            wrong.append(wrong[-1] + (weight * bad)[tied].sum())
        errors += np.interp(shares * size, kept, wrong)
        at += np.interp(np.array(COVERAGES) * size, kept, wrong)
    assert got[0] == pytest.approx((errors / (shares * total)).mean(), abs=2e-3)
    assert got[1:] == pytest.approx(at / (np.array(COVERAGES) * total), abs=1e-9)


def test_area_of_separate_traces_is_the_usual_one_in_the_limit():
    """The area of the step function over ranks (Geifman & El-Yaniv 2017) as the number of traces grows."""
    rng = np.random.default_rng(0)
    risk = rng.normal(size=4000)
    bad = rng.random(4000) < 1 / (1 + np.exp(-risk))
    got = _risk_coverage(risk, bad, np.zeros(4000), np.ones((1, 4000)))[0, 0]
    usual = (np.cumsum(bad[np.argsort(risk)]) / np.arange(1, 4001)).mean()
    assert got == pytest.approx(usual, abs=1e-3)


def hand_made(answers, scores):
    """One question's traces, copied to two questions."""
    keys = [{"qid": q, "arm": "base", "cid": c} for q in ("q1", "q2") for c in range(len(answers))]
    traces = pd.DataFrame(keys).assign(answer=answers * 2, gold=1, length=5.0, entropy=np.nan, vote_share=0.5)
    steps = pd.DataFrame(keys).assign(sid=0, y=0)
    return steps, np.array(scores * 2, dtype=float), np.zeros(2 * len(answers), dtype=int), traces


def choice(answers, scores):
    return {name: v.estimate for name, v in by_name(use_of(*hand_made(answers, scores)).choose.rules).items()}


def test_choosing_by_hand():
    # two of five right, three agree on a wrong answer, but the probe trusts the right ones
    found = choice([1, 1, 0, 0, 0], [-3.0, -2.0, 2.0, 2.0, 2.0])
    assert found["random"] == 0.4
    assert found["plurality"] == 0
    assert found["probe_max"] == found["probe_mean"] == 1
    assert found["vote_probe_max"] == 1
    assert found["oracle"] == 1
    assert "entropy" not in found


def test_no_answer_is_wrong_and_a_class_of_its_own():
    assert choice([-1, -1, 1], [0.0, 0.0, 0.0])["plurality"] == 0
    assert choice([-1, -1, 1], [0.0, 0.0, 0.0])["random"] == pytest.approx(1 / 3)
    assert choice([-1, 1], [0.0, 0.0])["plurality"] == 0.5
    found = use_of(*hand_made([-1, -1, 1], [0.0, 0.0, 0.0]))
    assert found.n_no_answer == 4
    assert found.abstain["wrong_answer"].n_bad == 4


def test_traces_without_scored_steps_and_single_traces_are_counted():
    steps, scores, fold, traces = study(n_questions=20)
    kept = ~((steps.qid == "q0") & (steps.cid > 0)).to_numpy()
    found = use_of(steps[kept], scores[kept], fold[kept], traces)
    assert found.n_unscored == 5
    assert found.choose.n_single == 1
    assert found.choose.n_questions == 19


def test_trace_table_by_hand():
    traces = pd.DataFrame(
        {
            "qid": ["q1", "q1", "q1", "q2"],
            "arm": "base",
            "cid": [0, 1, 2, 0],
            "answer": [0, 0, -1, 1],
            "token_ids": [[1, 2], [1], [3, 4, 5], [1]],
        }
    )
    questions = pd.DataFrame({"qid": ["q1"], "gold": [0]})
    signals = traces[["qid", "arm", "cid"]].assign(entropy=[np.array([1.0, 3.0]), [2.0], [], [1.0]])
    table = trace_table(traces, questions, signals)
    assert table["length"].tolist() == [2, 1, 3]
    assert table["entropy"].tolist()[:2] == [2.0, 2.0]
    assert np.isnan(table["entropy"].iloc[2])
    assert table["vote_share"].tolist() == pytest.approx([2 / 3, 2 / 3, 1 / 3])
    assert trace_table(traces, questions)["entropy"].isna().all()


def test_bad_input_is_refused():
    steps, scores, fold, traces = study(n_questions=10)
    with pytest.raises(AnalysisError, match="240 steps, 239 scores"):
        use_of(steps, scores[1:], fold, traces)
    with pytest.raises(AnalysisError, match="question q0, arm base, trace 0: a step's score is not"):
        use_of(steps, np.where(np.arange(240) == 0, np.nan, scores), fold, traces)
    with pytest.raises(AnalysisError, match="lies in 4 folds"):
        use_of(steps, scores, np.arange(240) % 4, traces)
    with pytest.raises(AnalysisError, match="trace 3 has scored steps but is not in the table"):
        use_of(steps, scores, fold, traces[traces.cid != 3])
    with pytest.raises(AnalysisError, match=r"has no entropy \(1 of 60"):
        use_of(steps, scores, fold, traces.assign(entropy=np.where(traces.index == 4, np.nan, 1.0)))
    with pytest.raises(AnalysisError, match="rows of the arms"):
        use_of(steps, scores, fold, traces.assign(arm=np.where(traces.cid == 0, "distilled", "base")))
