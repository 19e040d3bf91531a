from importlib.metadata import version

import pytest
import torch
from transformers import ElectraConfig, ElectraForCausalLM

from conftest import tiny_model, word_tokenizer
from mechcot import Study
from mechcot.core.errors import DataError, MissingDependency, ModelError, StudyError, UsageError
from mechcot.models.anatomy import anatomy_of
from mechcot.models.checkpoint import load
from mechcot.reading import bridges
from mechcot.reading.batch import unpack
from mechcot.reading.bridges import prefix_ids, to_nnsight, to_transformer_lens
from mechcot.reading.reader import plan_for, read_batch
from mechcot.reading.spec import ReadingSpec, recipe_for
from mechcot.steps.of_study import checkpoint_folder
from mechcot.study.activations import tensor_name
from reading_cases import CONFIGS, make_model, make_questions, one_thread  # noqa: F401

# Both run the same weights in float32: nnsight by the same kernels, without a tree; TransformerLens by
# eager attention.
SHARE = 1e-5
"""Largest difference, as a share of the layer's largest entry."""

OTHER_STACKS = {"gpt2": lambda m: m.transformer.h, "gpt_neox": lambda m: m.gpt_neox.layers}


def stored(study, author, reader, n=6):
    """Some steps of a reading: [(qid, cid, sid)], and layer -> [steps, d_model]."""
    store = study.activations(author, reader)
    index = store.frame()
    rows = list(range(0, len(index), max(1, len(index) // n)))[:n]
    keys = [(row.qid, int(row.cid), int(row.sid)) for row in index.iloc[rows].itertuples()]
    return keys, {layer: torch.from_numpy(store.layer("resid_post", layer)[rows]) for layer in store.layers}


def close(got, want):
    got, want = torch.stack(got).float(), want.float()
    assert float((got - want).abs().max()) <= SHARE * float(want.abs().max())


def test_what_transformer_lens_does_not_know_or_runs_otherwise_is_refused_by_name(tmp_path, monkeypatch):
    pytest.importorskip("transformer_lens")
    from transformer_lens.model_bridge import TransformerBridge

    tokenizer = word_tokenizer(tmp_path)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    config = ElectraConfig(**sizes, vocab_size=64, embedding_size=32, is_decoder=True, pad_token_id=0)
    unknown = ElectraForCausalLM(config).eval()
    with pytest.raises(ModelError, match="TransformerLens cannot take ElectraForCausalLM: Could not"):
        to_transformer_lens(unknown, tokenizer=tokenizer)
    forward = TransformerBridge.forward
    monkeypatch.setattr(TransformerBridge, "forward", lambda *a, **k: 1.01 * forward(*a, **k))
    with pytest.raises(
        ModelError, match=r"does not run Qwen3ForCausalLM truly: .* off by 0.01 of the largest"
    ):
        to_transformer_lens(tiny_model(), tokenizer=tokenizer)


def readings(study):
    """(author, reader): an arm's own, and one by other weights."""
    before, after = study.settings.contrast.before, study.settings.contrast.after
    return [(after, after), (after, before)]


def test_a_prefix_is_the_prompt_and_the_trace_up_to_a_steps_end(study: Study) -> None:
    arm = study.settings.contrast.after
    trace = study.traces(arm).iloc[0]
    steps = study.steps(arm)
    steps = steps[(steps.qid == trace.qid) & (steps.cid == trace.cid)]
    for step in steps.itertuples():
        ids = prefix_ids(study, arm, trace.qid, int(trace.cid), int(step.sid))
        assert ids == [*trace.prompt_ids, *trace.token_ids[: step.tok_end]]
        assert trace.token_start[step.tok_end - 1] < step.char_end <= trace.token_end[step.tok_end - 1]
    assert prefix_ids(study, arm, trace.qid, int(trace.cid)) == list(trace.prompt_ids)
    with pytest.raises(DataError, match=f"arm {arm} has no trace 99 of question"):
        prefix_ids(study, arm, trace.qid, 99)
    with pytest.raises(DataError, match=r"trace 0: has no step 999; it has \[0, 1"):
        prefix_ids(study, arm, trace.qid, 0, 999)


@torch.no_grad()
def test_nnsight_gives_the_readings_activations(study: Study) -> None:
    pytest.importorskip("nnsight")
    import nnsight

    for author, reader in readings(study):
        keys, want = stored(study, author, reader)
        wrapped = to_nnsight(study, reader)
        got = {layer: [] for layer in want}
        for key in keys:
            ids = torch.tensor([prefix_ids(study, author, *key)])
            with wrapped.trace(ids):
                streams = nnsight.save([])
                streams.append(wrapped.model.embed_tokens.output)
                for block in wrapped.model.layers:
                    streams.append(block.output)
            for layer in want:
                got[layer].append(streams[layer].reshape(ids.shape[1], -1)[-1])
        for layer in want:
            close(got[layer], want[layer])


@torch.no_grad()
def test_transformer_lens_gives_the_readings_activations(study: Study) -> None:
    pytest.importorskip("transformer_lens")
    for author, reader in readings(study):
        keys, want = stored(study, author, reader)
        bridge = to_transformer_lens(study, reader)
        names = ["blocks.0.hook_resid_pre", *(f"blocks.{n}.hook_resid_post" for n in range(len(want) - 1))]
        got = {layer: [] for layer in want}
        for key in keys:
            ids = torch.tensor([prefix_ids(study, author, *key)])
            _, cache = bridge.run_with_cache(ids, names_filter=lambda name: "hook_resid" in name)
            for layer in want:
                got[layer].append(cache[names[layer]][0, -1])
        for layer in want:
            close(got[layer], want[layer])


@torch.no_grad()
def test_what_is_given_to_transformer_lens_stays_as_it_is(study: Study) -> None:
    pytest.importorskip("transformer_lens")
    arm = study.settings.contrast.before
    checkpoint = load(study.settings.arms[arm], checkpoint_folder(study, arm))
    ids = torch.tensor([[5, 6, 7, 8]])
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    before, kinds = model(ids).logits, [type(m) for m in model.modules()]
    special = dict(tokenizer.special_tokens_map)
    bridge = to_transformer_lens(checkpoint)
    assert [type(m) for m in model.modules()] == kinds
    assert model.config._attn_implementation == "sdpa"
    assert dict(tokenizer.special_tokens_map) == special
    assert torch.equal(model(ids).logits, before)
    theirs = bridge(ids)
    assert float((theirs - before).abs().max()) <= SHARE * float(before.abs().max())
    next(bridge.parameters()).data.zero_()
    assert torch.equal(model(ids).logits, before), "weights are not shared"


def test_a_tokenizer_given_to_nnsight_keeps_its_padding_side(study: Study) -> None:
    pytest.importorskip("nnsight")
    arm = study.settings.contrast.before
    checkpoint = load(study.settings.arms[arm], checkpoint_folder(study, arm))
    checkpoint.tokenizer.padding_side = "right"
    wrapped = to_nnsight(checkpoint)
    assert checkpoint.tokenizer.padding_side == "right"
    text = checkpoint.tokenizer.decode([5, 6, 7])
    assert wrapped.tokenizer(text)["input_ids"] == checkpoint.tokenizer(text)["input_ids"]


@torch.no_grad()
def test_a_bare_model_and_a_tokenizer_made_in_memory(tmp_path) -> None:
    pytest.importorskip("transformer_lens")
    pytest.importorskip("nnsight")
    import nnsight

    tokenizer = word_tokenizer(tmp_path)
    ids = torch.tensor([[6, 7, 8, 9]])
    for family in ("qwen3", "gemma3"):
        model = tiny_model(family) if family == "qwen3" else make_model(family)
        assert model.config.architectures is None
        want = model(ids).logits
        theirs = to_transformer_lens(model, tokenizer=tokenizer)(ids)
        assert float((theirs - want).abs().max()) <= SHARE * float(want.abs().max())
        assert model.config.architectures is None
        wrapped = to_nnsight(model)
        with wrapped.trace(ids):
            logits = nnsight.save(wrapped.output.logits)
        assert torch.equal(logits, want)


def _marked(family, dtype):
    """Where a peer is broken in a combination, with its version and the reason."""
    versions = [
        tuple(map(int, version(name).split(".")[:2])) for name in ("transformer-lens", "transformers")
    ]
    broken = (family, dtype) == ("olmo2", torch.bfloat16) and versions[0] <= (4, 3) and versions[1] >= (5, 24)
    why = "TransformerLens 4.3 with transformers 5.24: its attention multiplies float by bfloat16 on OLMo 2"
    marks = [pytest.mark.xfail(raises=ModelError, strict=True, reason=why)] if broken else []
    return pytest.param(family, dtype, marks=marks, id=f"{family}-{dtype}".replace("torch.", ""))


@torch.no_grad()
@pytest.mark.parametrize(
    ("family", "dtype"),
    [_marked(family, dtype) for family in CONFIGS for dtype in (torch.float32, torch.bfloat16)],
)
def test_a_tree_gives_what_both_libraries_give_on_every_family(family, dtype, tmp_path) -> None:
    pytest.importorskip("transformer_lens")
    nnsight = pytest.importorskip("nnsight")
    model, question = make_model(family, dtype), make_questions(sizes=((3, 4),))[0]
    # Eight bits of mantissa, and TransformerLens' own attention; a router may tip by them.
    share = SHARE if dtype == torch.float32 else 0.05
    recipe = recipe_for(anatomy_of(model), ReadingSpec(rules=("end",)))
    plan = plan_for(model, [question], ReadingSpec(rules=recipe.rules))
    batch = read_batch(model, anatomy_of(model), plan, 0, recipe)
    assert len(plan.batches) == 1
    lens, wrapped = to_transformer_lens(model, tokenizer=word_tokenizer(tmp_path)), to_nnsight(model)
    blocks = wrapped.model.layers if family not in OTHER_STACKS else OTHER_STACKS[family](wrapped)
    first = 0
    for trace in [reading.source for reading in unpack(plan, batch)]:
        ids = torch.tensor([[*question.prompt_ids, *trace.token_ids]])
        places = [len(question.prompt_ids) + end - 1 for _, _, end in trace.steps]
        with wrapped.trace(ids):
            streams = nnsight.save([])
            for block in blocks:
                streams.append(block.output)
        _, cache = lens.run_with_cache(ids, names_filter=lambda name: "hook_resid_post" in name)
        for layer in range(1, len(blocks) + 1):
            tree = batch.acts[tensor_name(layer, "end")][first : first + len(places)]
            stream = streams[layer - 1]
            stream = stream[0] if isinstance(stream, tuple) else stream
            theirs = stream.reshape(ids.shape[1], -1)[places]
            bridged = cache[f"blocks.{layer - 1}.hook_resid_post"][0, places]
            for other in (theirs, bridged):
                assert other.dtype == tree.dtype == dtype
                assert float((tree - other).abs().max()) <= share * float(other.abs().max())
        first += len(places)
    assert first == len(batch.acts[tensor_name(1, "end")])


def test_bfloat16_stays_bfloat16(tmp_path) -> None:
    pytest.importorskip("transformer_lens")
    model = tiny_model().to(torch.bfloat16)
    bridge = to_transformer_lens(model, tokenizer=word_tokenizer(tmp_path))
    assert {p.dtype for p in bridge.parameters()} == {torch.bfloat16}
    assert bridge.cfg.dtype == torch.bfloat16


def test_what_cannot_be_bridged_says_what_to_do(study: Study, monkeypatch) -> None:
    model = tiny_model()
    with pytest.raises(UsageError, match=r"which arm's weights\? There are \['base'"):
        to_nnsight(study)
    with pytest.raises(UsageError, match="is named of a study; got Qwen3ForCausalLM"):
        to_nnsight(model, "base")
    with pytest.raises(StudyError, match="there is no arm 'none'"):
        to_nnsight(study, "none")
    with pytest.raises(UsageError, match="TransformerLens needs its tokenizer"):
        to_transformer_lens(model)
    monkeypatch.setattr(bridges, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"nnsight is not installed.*mechcot\[bridges\]"):
        to_nnsight(model)
    with pytest.raises(MissingDependency, match=r"transformer-lens is not installed.*mechcot\[bridges\]"):
        to_transformer_lens(model)
