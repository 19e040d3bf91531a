import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, CohereConfig, FalconConfig, GraniteConfig

from mechcot.core import sites
from mechcot.core.errors import ReadingError
from mechcot.models.anatomy import anatomy_of
from mechcot.reading import scoring
from mechcot.reading.batch import rows_of, unpack, unpack_prompts
from mechcot.reading.inputs import KnockOut, LeadIn, QuestionInput, Target, TraceInput
from mechcot.reading.plan import plan_reading
from mechcot.reading.reader import plan_for, read, read_batch, unreadable
from mechcot.reading.selfcheck import self_check, usable
from mechcot.reading.spec import ReadingSpec, recipe_for
from mechcot.study.activations import tensor_name
from reading_cases import CONFIGS, PLAIN, VOCAB, make_model, make_questions, make_trace, one_thread  # noqa: F401

RULES = ("end", "start", "mean", "before", "decision")

SITES = tuple(sites.SITES)


def collect(model, questions, rules=RULES, **kwargs):
    """All numbers of a reading by trace: forced, entropy, surprisal, truth, acts."""
    plan = plan_for(model, questions, ReadingSpec(rules=rules, max_tokens=kwargs.get("max_tokens")))
    traces, prompts = {}, {}
    for batch in read(model, questions, ReadingSpec(rules=rules, **kwargs)):
        owners = rows_of(plan, batch.parts, "end")
        for reading in unpack(plan, batch):
            rows = [i for i, (trace, _) in enumerate(owners) if trace is reading.source]
            acts = {name: values[rows] for name, values in batch.acts.items()}
            traces[reading.source.qid, reading.source.cid] = (reading, acts)
        prompts |= {questions[i].qid: values[0] for i, values, _ in unpack_prompts(plan, batch)}
    return traces, prompts


@torch.no_grad()
def plain_logp(model, ids):
    return model(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)


@torch.no_grad()
def plain_forced(model, prefix, question):
    rows = []
    for lead in question.forced:
        row = []
        for option in lead.options:
            ids = [*prefix, *lead.ids, *option]
            logp = plain_logp(model, ids[:-1])  # what the last token's own position would add is not asked
            places = range(len(ids) - len(option), len(ids))
            row.append(sum(float(logp[p - 1, ids[p]]) for p in places))
        rows.append(row)
    return np.array(rows)


@torch.no_grad()
def plain_residuals(model, ids):
    """From output_hidden_states; its last entry is normed, so the last block's is taken by a hook."""
    last = []
    decoder = model.get_decoder()
    block = (decoder.layers if hasattr(decoder, "layers") else decoder.h)[-1]
    handle = block.register_forward_hook(lambda m, a, o: last.append(o[0] if isinstance(o, tuple) else o))
    states = model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
    handle.remove()
    if model.config.model_type == "mamba":  # its list begins after the first block
        states = (model.get_input_embeddings()(torch.tensor([ids])), *states[:-1])
    return [*[state[0] for state in states[:-1]], last[0][0]]


def compare(model, questions, found, nats, share):
    traces, prompts = found
    for question in questions:
        prompt = list(question.prompt_ids)
        np.testing.assert_allclose(prompts[question.qid], plain_forced(model, prompt, question), atol=nats)
        for trace in question.traces:
            reading, acts = traces[question.qid, trace.cid]
            ids = [*prompt, *trace.token_ids]
            logp = plain_logp(model, ids)[len(prompt) - 1 : -1]
            surprisal = -logp[range(len(trace.token_ids)), list(trace.token_ids)]
            np.testing.assert_allclose(reading.surprisal, surprisal, atol=nats)
            np.testing.assert_allclose(reading.entropy, -(logp.exp() * logp).sum(-1), atol=nats)
            for k, (_, _, end) in enumerate(trace.steps):
                expected = plain_forced(model, [*prompt, *trace.token_ids[:end]], question)
                np.testing.assert_allclose(reading.forced[0, k], expected, atol=nats)
            for row, target in zip(reading.truth, trace.targets, strict=True):
                check_target(row, target, logp[target.position], nats)
            states = plain_residuals(model, ids)
            for layer, state in enumerate(states):
                for rule in RULES:
                    spans = [
                        state[len(prompt) + a : len(prompt) + b].float().mean(0) for a, b in trace.spans(rule)
                    ]
                    got = acts[tensor_name(layer, rule)].float()
                    assert len(got) == len(spans) == len(trace.steps)
                    if spans:
                        rows = torch.stack(spans)
                        assert float((got - rows).abs().max()) <= share * max(1.0, float(state.abs().max()))


def check_target(row, target, logp, nats):
    p_truth, rank_truth, p_said, rank_said, entropy = row
    true = sorted(set(target.true_ids))
    assert p_truth == pytest.approx(float(logp[true].exp().sum()), abs=nats)
    assert p_said == pytest.approx(float(logp[target.said_id].exp()), abs=nats)
    assert entropy == pytest.approx(float(-(logp.exp() * logp).sum()), abs=nats)
    if nats < 1e-2:  # coarser rounding may swap neighbours
        order = logp.argsort(descending=True).tolist()
        assert rank_truth == min(order.index(i) for i in true) + 1
        assert rank_said == order.index(target.said_id) + 1


# Gemma 2 caps its attention scores, which transformers does in eager alone.
@pytest.mark.parametrize(
    ("family", "attention"),
    [(f, a) for f in CONFIGS for a in ("eager", "sdpa") if (f, a) != ("gemma2", "sdpa")],
)
def test_a_tree_reads_what_separate_runs_compute(family, attention):
    model = make_model(family, attn_implementation=attention)
    questions = make_questions()
    assert max(len(t.token_ids) for q in questions for t in q.traces) > 14, "longer than the windows of 7"
    compare(model, questions, collect(model, questions, max_tokens=400), nats=1e-4, share=1e-5)


@pytest.mark.parametrize("family", CONFIGS)
def test_bfloat16_stays_bfloat16_and_within_its_rounding(family):
    model = make_model(family, torch.bfloat16)
    questions = make_questions()
    found = collect(model, questions)
    assert {v.dtype for _, acts in found[0].values() for v in acts.values()} == {torch.bfloat16}
    # Weights of scale 0.3 give logits of tens, of which 8 bits of mantissa leave about a tenth.
    # A mixture of experts also chooses its experts by rounded scores.
    compare(model, questions, found, nats=1.0 if family == "qwen3_moe" else 0.3, share=0.02)


def test_batching_changes_nothing_beyond_rounding():
    model, questions = make_model("qwen3"), make_questions()
    whole, prompts = collect(model, questions)
    for budget in (1, 60, 150):
        split, split_prompts = collect(model, questions, max_tokens=budget)
        assert split.keys() == whole.keys()
        assert split_prompts.keys() == prompts.keys()
        for key in whole:
            for name in ("forced", "entropy", "surprisal", "truth"):
                old, new = getattr(whole[key][0], name), getattr(split[key][0], name)
                np.testing.assert_allclose(new, old, atol=2e-5)
            for name, values in whole[key][1].items():
                torch.testing.assert_close(split[key][1][name], values, atol=2e-5, rtol=1e-5)


def test_single_token_options_cost_one_node_each_and_their_terminator_none():
    lead = LeadIn((4, 5), tuple((option, 1) for option in (20, 21, 22, 23)))
    trace = TraceInput("q", "base", 0, (10, 11, 12), ((0, 0, 2),))
    fixed = plan_reading([QuestionInput("q", (8, 9), (trace,), (lead,))], 1000)
    # 2 prompt + 2 of the trace (its last token is read by nothing) + 2 prefixes x (2 lead-in + 4 options)
    assert fixed.tree_tokens == 2 + 2 + 2 * 6


def test_scores_do_not_depend_on_the_chunk(monkeypatch):
    model, questions = make_model("qwen3"), make_questions()
    whole, _ = collect(model, questions)
    monkeypatch.setitem(scoring.CHUNK_LOGITS, "cpu", 3 * VOCAB)
    chunked, _ = collect(model, questions)
    for key in whole:
        for name in ("forced", "entropy", "surprisal", "truth"):
            np.testing.assert_allclose(
                getattr(chunked[key][0], name), getattr(whole[key][0], name), atol=1e-5
            )


def test_only_the_layers_asked_for_are_kept():
    model, questions = make_model("qwen3"), make_questions()
    batch = next(read(model, questions, ReadingSpec(layers=[3, 0], rules=("end",))))
    assert list(batch.acts) == ["resid_post.0@end", "resid_post.3@end"]
    assert next(read(model, questions, ReadingSpec(layers=()))).acts == {}
    with pytest.raises(ReadingError, match=r"layers 0 \(embedding\) to 3, asked for \[4\]"):
        next(read(model, questions, ReadingSpec(layers=[4])))


def test_a_choice_that_keeps_nothing_is_refused():
    model, questions = make_model("qwen3"), make_questions()
    with pytest.raises(ReadingError, match=r"attn_out at layers \[0\].*layer 0 has resid_post alone"):
        next(read(model, questions, ReadingSpec(layers=[0], sites=["attn_out"])))


def numbers_of(model, questions, **kwargs):
    """Everything that was read of each trace, by question, arm and number."""
    plan = plan_for(model, questions, ReadingSpec(rules=RULES, max_tokens=kwargs.get("max_tokens")))
    found = {}
    for batch in read(model, questions, ReadingSpec(rules=RULES, **kwargs)):
        owners = rows_of(plan, batch.parts, "end")
        for reading in unpack(plan, batch):
            trace = reading.source
            rows = [i for i, (owner, _) in enumerate(owners) if owner is trace]
            assert rows, "told apart by arm"
            acts = {name: values[rows].numpy() for name, values in batch.acts.items()}
            scores = {name: getattr(reading, name) for name in ("forced", "entropy", "surprisal", "truth")}
            found[trace.qid, trace.arm, trace.cid] = acts | scores
    return found


@pytest.mark.parametrize("max_tokens", [None, 90])
def test_the_traces_of_two_arms_in_one_tree_are_read_as_each_arm_by_itself(max_tokens):
    """Both arms number their traces from 0, and one trace of each begins with the same words."""
    model, rng = make_model("qwen3"), np.random.default_rng(7)
    questions, by_arm = [], {"base": [], "distilled": []}
    for question in make_questions(sizes=((3, 4), (5,))):
        own = question.traces
        theirs = tuple(
            make_trace(rng, question.qid, cid, 3, start=own[0].token_ids[:5], arm="distilled")
            for cid in (0, 1)
        )
        questions.append(replace(question, traces=(own[0], theirs[0], *own[1:], theirs[1])))
        by_arm["base"].append(question)
        by_arm["distilled"].append(replace(question, traces=theirs))
    together = numbers_of(model, questions, sites=SITES, max_tokens=max_tokens)
    apart = {key: v for each in by_arm.values() for key, v in numbers_of(model, each, sites=SITES).items()}
    assert together.keys() == apart.keys()
    assert {arm for _, arm, _ in together} == set(by_arm)
    for key, values in apart.items():
        for name, expected in values.items():
            np.testing.assert_allclose(together[key][name], expected, atol=2e-5, rtol=1e-5)
    if max_tokens is None:
        cost = [plan_reading(some, 2**40, RULES).tree_tokens for some in (questions, *by_arm.values())]
        assert cost[0] < cost[1] + cost[2], "prompts, and what both arms wrote, are read once"


def test_the_model_is_left_as_it_was():
    model, questions = make_model("qwen3"), make_questions()
    model.train()
    model.model.layers[1].eval()
    modes = [module.training for module in model.modules()]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    config = model.config.to_dict() | {"attention": model.config._attn_implementation}
    torch_seed, python_seed = torch.get_rng_state(), random.getstate()
    numpy_seed = str(np.random.get_state())  # noqa: NPY002 - a library's use of it would be the old one
    batches = read(model, questions, ReadingSpec(max_tokens=100, sites=SITES, lens=True))
    acts = next(batches).acts
    assert not torch.is_inference_mode_enabled()
    assert all(not value.is_inference() for value in acts.values())
    assert [module.training for module in model.modules()] == modes, "also between two batches"
    list(batches)
    usable(model, questions, recipe_for(anatomy_of(model)))
    assert [module.training for module in model.modules()] == modes
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()] == hooks
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert model.config.to_dict() | {"attention": model.config._attn_implementation} == config
    assert torch.equal(torch.get_rng_state(), torch_seed)
    assert str(np.random.get_state()) == numpy_seed  # noqa: NPY002
    assert random.getstate() == python_seed


def test_hooks_and_attention_go_back_when_a_batch_fails():
    model, questions = make_model("qwen3"), make_questions()
    fixed, anatomy = plan_for(model, questions), anatomy_of(model)
    model.model.norm.register_forward_hook(lambda *a: (_ for _ in ()).throw(RuntimeError("broken norm")))
    with pytest.raises(RuntimeError, match="broken norm"):
        read_batch(model, anatomy, fixed, 0, recipe_for(anatomy, ReadingSpec(rules=("end",))))
    assert not any(block._forward_hooks or block._forward_pre_hooks for block in anatomy.blocks)
    assert model.config._attn_implementation == "sdpa"


def test_the_self_check_passes_a_true_model_and_names_its_numbers():
    for family in CONFIGS:
        model = make_model(family)
        report = self_check(
            model,
            make_questions(),
            recipe_for(anatomy_of(model), ReadingSpec(sites=SITES, rules=RULES)),
        )
        assert report.worst < 1e-4
        assert report.runs > 10
        assert set(report.to_json()) >= {
            "forced",
            "signals",
            "residual",
            "head",
            "tolerance",
            "runs",
        }


@pytest.mark.parametrize(
    "config",
    [
        CohereConfig(**PLAIN, logit_scale=0.25),
        GraniteConfig(**PLAIN, logits_scaling=4.0),
        FalconConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, vocab_size=VOCAB),
    ],
    ids=["logits scaled", "logits divided", "an output added to in place"],
)
def test_the_self_check_knows_what_models_do_to_logits_and_outputs(config):
    torch.manual_seed(0)
    model, questions = AutoModelForCausalLM.from_config(config).eval(), make_questions()
    _, report = usable(model, questions, recipe_for(anatomy_of(model), ReadingSpec(sites=SITES, rules=RULES)))
    assert report.worst < 1e-4
    traces, _ = collect(model, questions)
    question, trace = questions[0], questions[0].traces[0]
    expected = plain_forced(model, [*question.prompt_ids, *trace.token_ids[: trace.steps[0][2]]], question)
    np.testing.assert_allclose(traces["q0", 0][0].forced[0, 0], expected, atol=1e-4)


def test_the_self_check_refuses_logits_that_the_head_does_not_give():
    model, questions = make_model("gemma2"), make_questions()
    recipe = recipe_for(anatomy_of(model))
    model.config.final_logit_softcapping = None
    usable(model, questions, recipe)
    cap = anatomy_of(make_model("gemma2")).softcap
    assert cap == 3.0
    model = make_model("qwen3")
    model.register_forward_hook(lambda m, a, out: setattr(out, "logits", out.logits * 1.5) or out)
    with pytest.raises(ReadingError, match=r"final norm and head 0\.33 of the largest logit"):
        usable(model, questions, recipe)


def test_a_prompt_with_two_beginnings_is_refused():
    model = make_model("qwen3")
    question = make_questions()[0]
    twice = replace(question, prompt_ids=(1, 1, *question.prompt_ids))
    with pytest.raises(ReadingError, match="two beginning-of-text tokens"):
        usable(model, [twice], recipe_for(anatomy_of(model)))


def test_what_cannot_be_read_is_refused_by_name():
    model = make_model("qwen3")
    question = make_questions()[0]
    trace = question.traces[0]

    def with_trace(**changes):
        values = {**trace.__dict__, **changes}
        return [QuestionInput(question.qid, question.prompt_ids, (TraceInput(**values),), question.forced)]

    def with_options(*options):
        return [QuestionInput("q", (8, 9), (replace(trace, qid="q"),), (LeadIn((4,), options),))]

    long = tuple([10] * 120)
    cases = [
        (with_trace(token_ids=(), steps=(), positions={"decision": ()}, targets=()), "has no tokens"),
        (with_trace(token_ids=long), r"question 'q0', arm 'base', trace 0: .* the model has 96"),
        (
            with_trace(token_ids=(*trace.token_ids, VOCAB)),
            f"token {VOCAB}, but the reader's vocabulary has {VOCAB}",
        ),
        (with_trace(steps=((7, 0, 0),)), "step 7: it should hold the tokens 0 to -1"),
        (with_trace(positions={}), "rule 'decision' needs one token for each"),
        (with_trace(positions={"decision": [99] * len(trace.steps)}), "step 0: rule 'decision' points at"),
        (with_trace(targets=(Target(2, 3, (), 5),)), "step 2: a target needs"),
        (with_trace(knock_outs=(KnockOut(1, 0, (0, 90)),)), "hides tokens 0 to 89"),
        (with_options((20, 1), (20, 1)), "options 0 and 1 have the same tokens"),
        (with_options((20, 1), ()), "option 1 has no tokens"),
        ([QuestionInput("q", (), (replace(trace, qid="q"),), ())], "the prompt has no tokens"),
        ([question, question], "each question may be given once"),
    ]
    for questions, message in cases:
        with pytest.raises(ReadingError, match=message):
            plan_for(model, questions, ReadingSpec(rules=RULES))
    assert list(unreadable(model, with_trace(token_ids=long))) == [("q0", "base", 0)]
    assert unreadable(model, [question]) == {}


def test_an_option_that_begins_another_is_read_like_any():
    model = make_model("qwen3")
    question = QuestionInput(
        "q",
        (8, 9),
        (make_trace(np.random.default_rng(0), "q", 0, 3),),
        (LeadIn((4,), ((20,), (20, 21), (20, 21, 22))),),
    )
    compare(model, [question], collect(model, [question]), nats=1e-4, share=1e-5)


def test_numbers_that_are_not_finite_name_question_trace_and_step():
    model, questions = make_model("qwen3"), make_questions()
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[0, 0] = float("nan")
    with pytest.raises(
        ReadingError, match=r"question 'q\d', arm 'base', trace \d, step \d: resid_post.2@end"
    ):
        list(read(model, questions))


def test_a_question_without_forced_answers_or_steps_is_read_all_the_same():
    model = make_model("llama")
    trace = TraceInput("q", "base", 3, (10, 11, 12, 13), (), {"decision": ()})
    found, prompts = collect(model, [QuestionInput("q", (8, 9), (trace,), ())])
    reading, acts = found["q", 3]
    assert reading.forced.shape == (1, 0, 0, 0)
    assert prompts["q"].shape == (0, 0)
    assert acts["resid_post.0@end"].shape == (0, 32)
    logp = plain_logp(model, [8, 9, 10, 11, 12, 13])
    np.testing.assert_allclose(reading.surprisal, -logp[range(1, 5), [10, 11, 12, 13]], atol=1e-5)


def test_every_site_agrees_with_nnsight():
    nnsight = pytest.importorskip("nnsight")
    model, questions = make_model("qwen3"), make_questions()
    found, _ = collect(model, questions, sites=SITES)
    question = questions[0]
    for trace in question.traces:
        ids = torch.tensor([[*question.prompt_ids, *trace.token_ids]])
        wrapped = nnsight.NNsight(model)
        with wrapped.trace(ids):
            states = nnsight.save([])
            states.append(wrapped.model.embed_tokens.output)
            for layer in wrapped.model.layers:
                states.append(layer.self_attn.output[0])
                states.append(layer.mlp.output)
                states.append(layer.output)
        flat = [state.reshape(-1, 32).detach() for state in states]
        places = [len(question.prompt_ids) + end - 1 for _, _, end in trace.steps]
        expected = {"resid_post.0": flat[0]}
        for layer in range(1, 4):
            attn, mlp, post = flat[3 * layer - 2 : 3 * layer + 1]
            expected |= {f"attn_out.{layer}": attn, f"mlp_out.{layer}": mlp, f"resid_post.{layer}": post}
            expected[f"resid_pre.{layer}"] = flat[3 * layer - 3]
        acts = found["q0", trace.cid][1]
        assert {name.split("@")[0] for name in acts} == set(expected)
        for name, state in expected.items():
            torch.testing.assert_close(acts[f"{name}@end"], state[places], atol=1e-5, rtol=1e-5)


def test_every_token_is_kept_on_request():
    model, questions = make_model("qwen3"), make_questions()
    plan = plan_for(model, questions, ReadingSpec(rules=("token",)))
    batch = next(read(model, questions, ReadingSpec(rules=("token",))))
    rows = rows_of(plan, batch.parts, "token")
    assert len(rows) == sum(len(t.token_ids) for q in questions for t in q.traces)
    values = batch.acts["resid_post.3@token"]
    for question in questions:
        for trace in question.traces:
            mine = values[[i for i, (owner, _) in enumerate(rows) if owner is trace]]
            state = plain_residuals(model, [*question.prompt_ids, *trace.token_ids])[3]
            torch.testing.assert_close(mine, state[len(question.prompt_ids) :], atol=1e-5, rtol=1e-5)


def test_the_lens_reads_each_layer_and_ends_in_the_models_own_answer():
    model, questions = make_model("gemma2"), make_questions()
    plan = plan_for(model, questions, ReadingSpec(rules=()))
    batch = next(read(model, questions, ReadingSpec(layers=(), lens=True)))
    assert batch.forced.shape[0] == 1 + 4
    np.testing.assert_allclose(batch.forced[-1], batch.forced[0], atol=1e-4)
    reading = next(unpack(plan, batch))
    question, trace = questions[0], reading.source
    lead = question.forced[0]
    ids = [*question.prompt_ids, *trace.token_ids[: trace.steps[0][2]], *lead.ids]
    for layer, state in enumerate(plain_residuals(model, ids)):
        with torch.no_grad():
            logits = model.lm_head(model.model.norm(state[-1:]))
            logp = (torch.tanh(logits / 3.0) * 3.0).float().log_softmax(-1)[0]
        # The first option is one token and the terminator; its first token is read here.
        assert reading.forced[1 + layer, 0, 0, 0] <= float(logp[20]) + 1e-5
    first = QuestionInput("q", ids, (TraceInput("q", "base", 0, (10,)),), (LeadIn((), ((20,), (22,))),))
    alone = next(read(model, [first], ReadingSpec(layers=(), lens=True)))
    states = plain_residuals(model, ids)
    for layer, state in enumerate(states):
        with torch.no_grad():
            logits = model.lm_head(model.model.norm(state[-1:]))
            logp = (torch.tanh(logits / 3.0) * 3.0).float().log_softmax(-1)[0]
        np.testing.assert_allclose(alone.prompt[1 + layer], logp[[20, 22]], atol=1e-4)


def test_a_prior_is_forced_after_its_own_prompt():
    model = make_model("llama")
    questions = [replace(question, prior_ids=(11, 12, 13)) for question in make_questions()]
    plan = plan_for(model, questions)
    seen = 0
    for batch in read(model, questions, ReadingSpec(max_tokens=150)):
        for index, _, prior in unpack_prompts(plan_for(model, questions, ReadingSpec(max_tokens=150)), batch):
            np.testing.assert_allclose(
                prior[0], plain_forced(model, [11, 12, 13], questions[index]), atol=1e-4
            )
            seen += 1
    assert seen == len(questions) == len(plan.questions)


def test_another_order_of_the_options_gives_answers_only():
    model, (question, *_) = make_model("llama"), make_questions()
    other = replace(
        question,
        permutation=1,
        prompt_ids=(9, *question.prompt_ids),
        traces=tuple(replace(t, positions={}, targets=()) for t in question.traces),
    )
    batch = next(read(model, [question, other], ReadingSpec(rules=("end",))))
    plan = plan_for(model, [question, other], ReadingSpec(rules=("end",)))
    n = sum(len(t.steps) for t in question.traces)
    assert batch.acts["resid_post.1@end"].shape[0] == n
    assert len(batch.entropy) == sum(len(t.token_ids) for t in question.traces)
    for reading in unpack(plan, batch):
        q = plan.questions[reading.question]
        for k, (_, _, end) in enumerate(reading.source.steps):
            expected = plain_forced(model, [*q.prompt_ids, *reading.source.token_ids[:end]], q)
            np.testing.assert_allclose(reading.forced[0, k], expected, atol=1e-4)
