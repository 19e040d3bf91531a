import numpy as np
import pytest
import torch

from internals_cases import CONFIGS, VOCAB, make_model, make_questions, one_thread  # noqa: F401
from mechcot.errors import ReadingError
from mechcot.internals import scoring
from mechcot.internals.activations import tensor_name
from mechcot.internals.anatomy import anatomy_of
from mechcot.internals.inputs import LeadIn, QuestionInput, Target, TraceInput
from mechcot.internals.plan import lay_out, plan_reading
from mechcot.internals.reader import plan_for, read, read_batch, unpack, unpack_prompts, unreadable
from mechcot.internals.selfcheck import self_check


def collect(model, questions, **kwargs):
    """All numbers of a reading by trace: forced, entropy, surprisal, truth, acts."""
    fixed = plan_for(model, questions, max_tokens=kwargs.get("max_tokens"))
    traces, prompts = {}, {}
    for batch in read(model, questions, **kwargs):
        first = 0
        for reading in unpack(fixed, batch):
            n = len(reading.source.steps)
            acts = {name: values[first : first + n] for name, values in batch.acts.items()}
            first += n
            traces[reading.source.qid, reading.source.cid] = (reading, acts)
        prompts |= {questions[i].qid: values for i, values in unpack_prompts(fixed, batch)}
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
            logp = plain_logp(model, ids)
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
            for k, (_, end) in enumerate(trace.steps):
                expected = plain_forced(model, [*prompt, *trace.token_ids[:end]], question)
                np.testing.assert_allclose(reading.forced[k], expected, atol=nats)
            for row, target in zip(reading.truth, trace.targets, strict=True):
                check_target(row, target, logp[target.position], nats)
            states = plain_residuals(model, ids)
            for layer, state in enumerate(states):
                for rule, places in trace.positions.items():
                    rows = state[[len(prompt) + place for place in places]].float()
                    got = acts[tensor_name(layer, rule)].float()
                    assert got.shape == rows.shape
                    if len(rows):
                        assert float((got - rows).abs().max()) <= share * max(1.0, float(rows.abs().max()))


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


def test_the_plan_shares_beginnings_and_keeps_the_budget():
    questions = make_questions()
    one = plan_reading(questions, 10_000)
    assert [part.question for part in one.parts if part.prompt] == [p.question for p in one.parts]
    assert one.tree_tokens == sum(part.nodes for part in one.parts) < one.separate_tokens
    many = plan_reading(questions, 60)
    assert sorted((p.question, t) for p in many.parts for t in p.traces) == [
        (q, t) for q, question in enumerate(questions) for t in range(len(question.traces))
    ]
    for batch in range(len(many.batches)):
        members = many.members(batch)
        assert len(members) == 1 or len(members) * max(part.nodes for part in members) <= 60
    assert sum(part.prompt for part in many.parts) == len(questions), "bare prompts are read once"
    quadratic = plan_reading(questions, 10_000, attention_scale=1.0)
    assert len(quadratic.parts) > len(one.parts), "where attention is dear, traces part"


def test_planned_nodes_are_those_run():
    model, questions = make_model("qwen3"), make_questions()
    anatomy = anatomy_of(model)
    for budget in (40, 150, 10_000):
        fixed = plan_reading(questions, budget, anatomy.attention_scale)
        for part in fixed.parts:
            assert len(lay_out(questions[part.question], part, ()).tree) == part.nodes


def test_single_token_options_cost_one_node_each_and_their_terminator_none():
    lead = LeadIn((4, 5), tuple((option, 1) for option in (20, 21, 22, 23)))
    trace = TraceInput("q", "base", 0, (10, 11, 12), ((0, 2),), {})
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
    batch = next(read(model, questions, layers=[3, 0], rules=("end",)))
    assert list(batch.acts) == ["resid_post.0@end", "resid_post.3@end"]
    assert next(read(model, questions, layers=())).acts == {}
    with pytest.raises(ReadingError, match=r"layers 0 \(embedding\) to 3, asked for \[4\]"):
        next(read(model, questions, layers=[4]))


def test_the_model_is_left_as_it_was():
    model, questions = make_model("qwen3"), make_questions()
    model.train()
    model.model.layers[1].eval()
    modes = [module.training for module in model.modules()]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    attention, cache = model.config._attn_implementation, model.config.use_cache
    seed = torch.random.get_rng_state()
    batches = read(model, questions, max_tokens=100)
    acts = next(batches).acts
    assert not torch.is_inference_mode_enabled()
    assert all(not value.is_inference() for value in acts.values())
    assert [module.training for module in model.modules()] == modes, "also between two batches"
    list(batches)
    self_check(model, questions)
    assert [module.training for module in model.modules()] == modes
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()] == hooks
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert (model.config._attn_implementation, model.config.use_cache) == (attention, cache)
    assert torch.equal(torch.random.get_rng_state(), seed)


def test_hooks_go_when_a_batch_fails():
    model, questions = make_model("qwen3"), make_questions()
    fixed, anatomy = plan_for(model, questions), anatomy_of(model)
    model.model.norm.register_forward_hook(lambda *a: (_ for _ in ()).throw(RuntimeError("broken norm")))
    with pytest.raises(RuntimeError, match="broken norm"):
        read_batch(model, anatomy, fixed, 0, anatomy.layers, ("end",))
    assert not any(block._forward_hooks or block._forward_pre_hooks for block in anatomy.blocks)


def test_the_self_check_passes_a_true_model_and_names_its_numbers():
    for family in CONFIGS:
        report = self_check(make_model(family), make_questions())
        assert report.worst < 1e-4
        assert report.runs > 10
        assert set(report.to_json()) >= {"forced", "signals", "residual", "head", "tolerance", "runs"}


def test_the_self_check_refuses_a_model_that_ignores_the_mask():
    model, questions = make_model("qwen3"), make_questions()

    def drop(module, args, kwargs):
        return args, {**kwargs, "attention_mask": None}

    for layer in model.model.layers:
        layer.self_attn.register_forward_pre_hook(drop, with_kwargs=True)
    with pytest.raises(ReadingError, match=r"not read truly: a tree differs .* by [\d.e+-]+ nats"):
        self_check(model, questions)


def test_the_self_check_refuses_logits_that_the_head_does_not_give():
    model, questions = make_model("gemma2"), make_questions()
    model.config.final_logit_softcapping = None
    self_check(model, questions)
    cap = anatomy_of(make_model("gemma2")).softcap
    assert cap == 3.0
    model = make_model("qwen3")
    model.register_forward_hook(lambda m, a, out: setattr(out, "logits", out.logits * 1.5) or out)
    with pytest.raises(ReadingError, match="head from the model's logits by"):
        self_check(model, questions)


def test_what_cannot_be_read_is_refused_by_name():
    model = make_model("qwen3")
    question = make_questions()[0]
    trace = question.traces[0]

    def with_trace(**changes):
        values = {**trace.__dict__, **changes}
        return [QuestionInput(question.qid, question.prompt_ids, (TraceInput(**values),), question.forced)]

    def with_options(*options):
        return [QuestionInput("q", (8, 9), (), (LeadIn((4,), options),))]

    long = tuple([10] * 120)
    cases = [
        (
            with_trace(token_ids=(), steps=(), positions={"end": (), "decision": ()}, targets=()),
            "has no tokens",
        ),
        (with_trace(token_ids=long), r"question 'q0', arm 'base', trace 0: .* the model has 96"),
        (
            with_trace(token_ids=(*trace.token_ids, VOCAB)),
            f"token {VOCAB}, but the reader's vocabulary has {VOCAB}",
        ),
        (with_trace(steps=((7, 0),)), "step 7: it ends before token 0"),
        (with_trace(positions={"end": trace.positions["end"]}), "rule 'decision' needs one token for each"),
        (
            with_trace(positions={**trace.positions, "end": [99] * len(trace.steps)}),
            "step 0: rule 'end' points at",
        ),
        (with_trace(targets=(Target(2, 3, (), 5),)), "step 2: a target needs"),
        (with_options((20, 1), (20, 1)), "options 0 and 1 have the same tokens"),
        (with_options((20, 1), ()), "option 1 has no tokens"),
        ([QuestionInput("q", (), (), ())], "the prompt has no tokens"),
        ([question, question], "each question may be given once"),
    ]
    for questions, message in cases:
        with pytest.raises(ReadingError, match=message):
            plan_for(model, questions)
    assert list(unreadable(model, with_trace(token_ids=long))) == [("q0", "base", 0)]
    assert unreadable(model, [question]) == {}


def test_numbers_that_are_not_finite_name_question_trace_and_step():
    model, questions = make_model("qwen3"), make_questions()
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[0, 0] = float("nan")
    with pytest.raises(
        ReadingError, match=r"question 'q\d', arm 'base', trace \d, step \d: resid_post.2@end"
    ):
        list(read(model, questions))


def test_layers_that_do_not_attend_by_a_mask_are_refused():
    model = make_model("qwen3")
    model.config.layer_types = ["full_attention", "linear_attention", "full_attention"]
    with pytest.raises(ReadingError, match="linear_attention"):
        plan_for(model, make_questions())
    model = make_model("qwen3")
    model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(ReadingError, match="attn_implementation='sdpa'"):
        plan_for(model, make_questions())


def test_a_question_without_forced_answers_or_steps_is_read_all_the_same():
    model = make_model("llama")
    trace = TraceInput("q", "base", 3, (10, 11, 12, 13), (), {"end": (), "decision": ()})
    found, prompts = collect(model, [QuestionInput("q", (8, 9), (trace,), ())])
    reading, acts = found["q", 3]
    assert reading.forced.shape == (0, 0, 0)
    assert prompts["q"].shape == (0, 0)
    assert acts["resid_post.0@end"].shape == (0, 32)
    logp = plain_logp(model, [8, 9, 10, 11, 12, 13])
    np.testing.assert_allclose(reading.surprisal, -logp[range(1, 5), [10, 11, 12, 13]], atol=1e-5)


def test_residuals_agree_with_nnsight():
    nnsight = pytest.importorskip("nnsight")
    model, questions = make_model("qwen3"), make_questions()
    found, _ = collect(model, questions)
    question = questions[0]
    for trace in question.traces:
        ids = torch.tensor([[*question.prompt_ids, *trace.token_ids]])
        wrapped, saved = nnsight.NNsight(model), []
        with wrapped.trace(ids):
            states = nnsight.save([])
            states.append(wrapped.model.embed_tokens.output)
            for layer in wrapped.model.layers:
                states.append(layer.output)
        saved = [state[0] if isinstance(state, tuple) else state for state in states]
        places = [len(question.prompt_ids) + place for place in trace.positions["end"]]
        for layer, state in enumerate(saved):
            expected = state.reshape(-1, 32)[places].detach()
            got = found["q0", trace.cid][1][tensor_name(layer, "end")]
            torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
