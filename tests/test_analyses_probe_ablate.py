import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from mechcot.analyses.probe.ablate import Rereading, _matched, ablation, own_answers
from mechcot.core.errors import AnalysisError, ReadingError, UsageError
from mechcot.models.interventions import ablate
from mechcot.probe.terminal import ablation_words
from mechcot.reading.inputs import LeadIn
from reading_cases import make_model, make_questions, one_thread  # noqa: F401

D, LAST = 32, 3
OPTION, LEAD = 20, 5


def asked(n=12):
    """Questions with one lead-in, one-token options, and traces of two and three steps."""
    forced = (LeadIn((4, LEAD), ((OPTION, 1), (24, 1), (26, 1))),)
    return [replace(question, forced=forced) for question in make_questions(3, ((2, 3),) * n)]


def planted():
    """A model that answers option 0 by one direction, which the lead-in's last token writes."""
    model = make_model("qwen3")
    with torch.no_grad():
        u = torch.zeros(D)
        u[7] = 1.0
        model.get_input_embeddings().weight[LEAD] += 8 * u
        head = model.get_output_embeddings()
        head.weight = torch.nn.Parameter(head.weight.clone())  # untied from the embedding
        head.weight[OPTION] = 4 * u
    return model, u.numpy()


def answered(questions, k=1):
    return {(t.qid, t.arm, t.cid): (k, 0) for question in questions for t in question.traces}


@pytest.fixture(scope="module")
def found():
    torch.set_num_threads(1)
    model, u = planted()
    questions = asked()
    return ablation(Rereading(model, questions, LAST, answered(questions)), 5 * u, draws=200)


def test_the_direction_of_the_answer_takes_the_answer_away(found):
    own = found.measures["own_answer"]
    assert own.unedited > 0.7
    assert own.change.high < -0.15
    assert own.beyond_random.high < -0.15
    assert own.p == 1 / 21
    assert found.measures["forced_shift"].p == 1 / 21
    assert own.n_items == 24
    assert own.n_questions == 12
    assert len(own.random) == 20


def test_random_directions_take_out_as_much(found):
    assert found.random_energy == pytest.approx([found.energy] * 20, rel=1e-3)
    assert 0 < found.energy < 1


def test_denominators(found):
    n_tokens = sum(len(t.token_ids) for q in asked() for t in q.traces)
    assert found.measures["surprisal"].n_items == found.measures["entropy"].n_items == n_tokens
    assert found.measures["said_object"].n_items == sum(len(t.targets) for q in asked() for t in q.traces)
    assert found.measures["forced_shift"].n_items == 12 * 5
    assert found.n_traces == 24
    assert found.n_no_answer == 0
    assert "own_answer -0." in repr(found)
    assert len(found.to_frame()) == 6
    assert "directions of the same energy: own answer -0." in ablation_words(found)
    json.dumps(found.to_json(), allow_nan=False)


def test_random_directions_of_the_planted_model_are_not_special():
    model, _ = planted()
    questions = asked(6)
    p = []
    for seed in range(6):
        direction = np.random.default_rng(100 + seed).normal(size=D)
        result = ablation(
            Rereading(model, questions, LAST, answered(questions)), direction, draws=20, seed=seed
        )
        p.append(result.measures["own_answer"].p)
    assert np.mean(p) > 0.25
    assert max(p) > 0.5


def test_changes_equal_the_model_run_by_hand():
    model = make_model("qwen3")
    questions = asked(3)
    direction = np.random.default_rng(0).normal(size=D).astype(np.float32)
    result = ablation(Rereading(model, questions, 2, answered(questions, k=2)), direction, draws=20)

    @torch.no_grad()
    def run(ids):
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double()
        return torch.log_softmax(logits, -1)

    def measures():
        surprisal, entropy, own, forced = [], [], [], []
        for question in questions:
            prompt = list(question.prompt_ids)
            for trace in question.traces:
                ids = list(trace.token_ids)
                logp = run(prompt + ids)[len(prompt) - 1 : -1]
                surprisal += (-logp[range(len(ids)), ids]).tolist()
                entropy += (-(logp.exp() * logp).sum(-1)).tolist()
                for k, (_, _, end) in enumerate(trace.steps, start=1):
                    prefix = prompt + ids[:end] + [4, LEAD]
                    sums = []
                    for option in question.forced[0].options:
                        logp = run(prefix + list(option))[len(prefix) - 1 : -1]
                        sums.append(float(logp[range(len(option)), option].sum()))
                    p = np.exp(sums) / np.exp(sums).sum()
                    forced.append(p)
                    own += [p[0]] if k == 2 else []
        return np.array(surprisal), np.array(entropy), np.array(own), np.array(forced)

    before = measures()
    with ablate(model, direction, layers=[2]):
        after = measures()
    for name, one, two in zip(("surprisal", "entropy", "own_answer"), before, after, strict=False):
        item = result.measures[name]
        assert item.unedited == pytest.approx(one.mean(), abs=1e-4)
        assert item.change.estimate == pytest.approx((two - one).mean(), abs=1e-4)
    shift = np.abs(after[3] - before[3]).sum(axis=1).mean() / 2
    assert result.measures["forced_shift"].change.estimate == pytest.approx(shift, abs=1e-4)


def test_an_answer_before_the_first_step_is_forced_at_the_prompt():
    model, u = planted()
    questions = asked(2)
    answers = answered(questions, k=0)
    answers.pop(next(iter(answers)))
    result = ablation(Rereading(model, questions, LAST, answers), u, draws=20)
    assert result.measures["own_answer"].n_items == 3
    assert result.n_no_answer == 1
    assert result.measures["own_answer"].change.estimate < -0.2


def test_without_answers_or_lead_ins_the_rest_is_measured_and_the_model_stays():
    model, u = planted()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    bare = [replace(question, forced=()) for question in asked(2)]
    result = ablation(Rereading(model, bare, 1), u, draws=20)
    for name in ("own_answer", "forced_shift"):
        assert result.measures[name].n_items == 0
        assert result.measures[name].p is None
        assert result.measures[name].change.estimate is None
    assert result.measures["surprisal"].p is not None
    json.dumps(result.to_json(), allow_nan=False)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_matched_directions_hold_the_same_energy(decay):
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(24, 24)))[0]
    values = np.exp(-decay * np.arange(24))
    moment = (basis * values) @ basis.T
    for at in (0, 5, 23):
        v = basis[:, at] + 0.3 * basis[:, (at + 3) % 24]
        v /= np.linalg.norm(v)
        drawn = _matched(moment, v, 20, rng)
        energy = [u @ moment @ u for u in drawn]
        assert energy == pytest.approx([v @ moment @ v] * 20, rel=1e-4)
        assert [np.linalg.norm(u) for u in drawn] == pytest.approx([1.0] * 20)
    if decay == 0:  # nothing to match: the directions are spread evenly
        assert np.mean([abs(u @ v) for u in drawn]) < 0.35


def test_own_answers_by_hand():
    traces = pd.DataFrame({"qid": ["q"] * 4, "arm": "base", "cid": range(4), "answer": [2, 1, -1, 0]})
    steps = pd.DataFrame(
        {
            "qid": "q",
            "arm": "base",
            "cid": [0, 0, 0, 1, 1, 2],
            "sid": [2, 0, 1, 0, 1, 0],
            "states_answer": [True, False, False, False, False, True],
        }
    )
    assert own_answers(traces, steps) == {("q", "base", 0): (2, 2), ("q", "base", 1): (2, 1)}


def test_bad_input_is_refused():
    model, u = planted()
    questions = asked(1)
    with pytest.raises(UsageError, match="at least 20, not 5"):
        ablation(Rereading(model, questions, LAST), u, n_random=5)
    with pytest.raises(AnalysisError, match="no trace to read"):
        Rereading(model, [], LAST)
    with pytest.raises(AnalysisError, match=r"\[32\] finite numbers"):
        ablation(Rereading(model, questions, LAST), u[:3])
    with pytest.raises(AnalysisError, match="not all 0"):
        ablation(Rereading(model, questions, LAST), 0 * u)
    with pytest.raises(ReadingError, match="asked for"):
        ablation(Rereading(model, questions, 9), u)
    with pytest.raises(AnalysisError, match="option 7 after 1 steps"):
        Rereading(model, questions, LAST, {("q0", "base", 0): (1, 7)})
