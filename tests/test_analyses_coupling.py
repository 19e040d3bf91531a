"""Coupling of wrong steps and wrong answers: hand-made tables, planted worlds, plain recomputation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mechcot.analyses.coupling.analysis import _arm, _change, _sums, _traces, coupling_of
from mechcot.core.results import Pair


class Steps:
    """As much of `ArmSteps` as the analysis reads."""

    def __init__(self, rows: pd.DataFrame, n_traces: int, text: np.ndarray) -> None:
        self.steps, self.n_traces, self.text, self.name = rows, n_traces, text, "arm"


def _steps(traces: pd.DataFrame) -> pd.DataFrame:
    """Steps of traces that each have so many wrong and right claims, and one that claims nothing."""
    rows = []
    for one in traces.itertuples():
        labels = ["erroneous"] * one.wrong + ["correct"] * one.good + ["not_checkable"]
        rows += [{"q": one.q, "cid": one.cid, "label": label, "trace_right": one.right} for label in labels]
    return pd.DataFrame(rows)


def _coupled(traces: pd.DataFrame, text: np.ndarray | None = None, silent: set | None = None):
    text = np.arange(traces.q.max() + 1) if text is None else text
    arm = Steps(_steps(traces), len(traces), text)
    return _arm(arm, _traces(arm), silent or set())


def _world(rng: np.random.Generator, *, effect: float, hard: float, questions: int = 60, chains: int = 6):
    """Traces whose wrong claims lower the answer's chance by `effect`, and hard questions both by `hard`."""
    q = np.repeat(np.arange(questions), chains)
    difficult = np.repeat(rng.normal(size=questions), chains)
    rate = np.clip(0.4 + hard * difficult, 0.05, 0.9)
    wrong = rng.binomial(5, rate)
    chance = np.clip(0.6 - hard * difficult - effect * (wrong / 5 - rate), 0.02, 0.98)
    cid = np.tile(np.arange(chains), questions)
    return pd.DataFrame(
        {"q": q, "cid": cid, "wrong": wrong, "good": 5 - wrong, "right": rng.random(len(q)) < chance}
    )


def test_a_table_by_hand():
    rows = [(q, 0, 0, True) for q in range(6)] + [(q, 1, 2, False) for q in range(6)]
    rows += [(6, 0, 0, False), (6, 1, 1, True), (7, 0, 0, True)]
    traces = pd.DataFrame(rows, columns=["q", "cid", "wrong", "right"]).assign(good=1)
    traces.loc[len(traces)] = (7, 1, 0, True, 0)  # claims nothing: left out
    found = _coupled(traces, silent={(6, 0), (7, 1)})
    assert found.counts == {"right_clean": 7, "wrong_clean": 1, "right_flawed": 1, "wrong_flawed": 6}
    assert (found.n_traces, found.n_unjudged, found.n_no_answer) == (15, 1, 1)
    assert found.right_and_clean.estimate == pytest.approx(7 / 15)
    assert found.right_if_clean.estimate == pytest.approx(7 / 8)
    assert found.gap.estimate == pytest.approx(7 / 8 - 1 / 7)
    assert found.phi.estimate == pytest.approx((7 * 6 - 1) / np.sqrt(8 * 7 * 8 * 7))
    assert found.log_odds_ratio.estimate == pytest.approx(np.log(7.5 * 6.5 / (1.5 * 1.5)))
    assert found.n_pairs_same_question == 7
    assert found.auroc_same_question.estimate == pytest.approx(6 / 7)
    assert found.slope.estimate == pytest.approx(
        -(6 * 2 / 3 * 1 / 2 - 1 / 2 * 1 / 2) / (6 * 4 / 9 / 2 + 1 / 8)
    )


def test_it_is_what_plain_pandas_and_scikit_learn_say():
    traces = _world(np.random.default_rng(1), effect=0.5, hard=0.15)
    found = _coupled(traces)
    share = traces.wrong / (traces.wrong + traces.good)
    assert found.auroc.estimate == pytest.approx(roc_auc_score(~traces.right, share))
    clean = traces.wrong == 0
    assert found.gap.estimate == pytest.approx(traces.right[clean].mean() - traces.right[~clean].mean())
    assert found.phi.estimate == pytest.approx(np.corrcoef(traces.right, clean)[0, 1])
    design = pd.get_dummies(traces.q).to_numpy(float)
    fitted = np.linalg.lstsq(np.column_stack([share, design]), traces.right.to_numpy(float), rcond=None)[0]
    assert found.slope.estimate == pytest.approx(fitted[0])


@pytest.mark.parametrize(("effect", "hard"), [(0.0, 0.0), (0.0, 0.2), (0.6, 0.0), (0.6, 0.2)])
def test_hard_questions_couple_all_pairs_and_not_those_of_one_question(effect, hard):
    """The measures of one question cover what was planted, and difficulty alone does not move them."""
    inside = slopes = wide = 0
    runs = 60
    for seed in range(runs):
        found = _coupled(_world(np.random.default_rng(seed), effect=effect, hard=hard))
        wide += found.auroc.low > 0.5
        inside += found.auroc_same_question.low > 0.5
        slopes += found.slope.low <= -effect <= found.slope.high
    assert slopes >= 0.9 * runs
    assert (inside >= 0.8 * runs) if effect else (inside <= 0.1 * runs)
    assert (wide >= 0.8 * runs) if effect or hard else (wide <= 0.1 * runs)


def test_the_change_leaves_both_arms_of_a_question_out_together():
    before = _world(np.random.default_rng(2), effect=0.0, hard=0.2)
    same = Pair(*(_tables(before),) * 2)
    for name, interval in _change(same).items():
        assert interval.estimate == pytest.approx(0), name
        assert interval.low is None, name  # no question differs
    after = _world(np.random.default_rng(3), effect=0.7, hard=0.2)
    moved = _change(Pair(_tables(before), _tables(after)))
    own = [_coupled(one) for one in (before, after)]
    for name, interval in moved.items():
        assert interval.estimate == pytest.approx(
            getattr(own[1], name).estimate - getattr(own[0], name).estimate
        )
        assert interval.low < interval.estimate < interval.high


def _tables(traces):
    arm = Steps(_steps(traces), len(traces), np.arange(traces.q.max() + 1))
    return _sums(_traces(arm), arm.text)


def test_equal_texts_are_one_question():
    traces = _world(np.random.default_rng(4), effect=0.3, hard=0.2, questions=20)
    again = traces.assign(q=traces.q + 20)
    twice = _coupled(pd.concat([traces, again], ignore_index=True), text=np.tile(np.arange(20), 2))
    once = _coupled(traces)
    for name in ("gap", "phi", "slope", "auroc"):
        a, b = getattr(once, name), getattr(twice, name)
        assert (a.estimate, a.low, a.high) == pytest.approx((b.estimate, b.low, b.high)), name
        assert b.n == a.n


def test_what_cannot_be_told_says_why():
    traces = pd.DataFrame({"q": range(8), "cid": 0, "wrong": 0, "good": 1, "right": [True] * 4 + [False] * 4})
    found = _coupled(traces)
    assert found.gap.estimate is None
    assert "all traces are clean" in found.phi.reason
    assert "all traces are clean" in found.log_odds_ratio.reason
    assert found.auroc.estimate == 0.5  # all tied
    assert "no pair of a right and a wrong trace" in found.auroc_same_question.reason
    assert "no question has traces of different shares" in found.slope.reason


def test_on_a_study_all_contrasts_are_there(study):
    result = coupling_of(study)
    assert [one.contrast for one in result.contrasts] == ["headline", *study.settings.controls]
    stored = study.result("coupling")
    assert stored == result.to_json()
    head = stored["contrasts"]["headline"]
    traces = study.traces("distilled")
    asked = study.questions(study.settings.contrast.domain)
    n = head["after"]["n_traces"] + head["after"]["n_unjudged"]
    assert n == traces.qid.isin(asked.qid).sum()
    assert sum(head["after"]["counts"].values()) == head["after"]["n_traces"]
    assert set(result.to_frame().columns) >= {"contrast", "arm", "gap", "gap_low", "slope_n"}
    assert study.summary()["coupling"]["distilled"]["gap"]["estimate"] == head["after"]["gap"]["estimate"]
