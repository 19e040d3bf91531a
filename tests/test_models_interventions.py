import contextlib

import numpy as np
import pytest
import torch

from conftest import save_checkpoint
from mechcot.core.errors import ReadingError
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.core.settings import ArmSettings
from mechcot.models.anatomy import anatomy_of, watched
from mechcot.models.checkpoint import load
from mechcot.models.interventions import ablate, add, patch, replace
from mechcot.reading.batch import unpack
from mechcot.reading.reader import plan_for, read_batch
from mechcot.reading.spec import ReadingSpec, recipe_for
from mechcot.sampling import Prompt, sample
from reading_cases import CONFIGS, VOCAB, make_model, make_questions, one_thread  # noqa: F401

FAMILIES = ["gpt2", "qwen3", "llama", "gemma2"]
EDITED = [*FAMILIES, "gpt_neox"]
D = 32


def ids(rows=1, length=9, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(10, VOCAB, (rows, length)))


def direction(seed=0, scale=1.0):
    return torch.from_numpy(np.random.default_rng(seed).normal(0, scale, D).astype(np.float32))


@torch.no_grad()
def logits(model, tokens, **kwargs):
    return model(input_ids=tokens, use_cache=False, **kwargs).logits


@torch.no_grad()
def stream(model, tokens):
    """The residual stream of every layer, [layers + 1, batch, nodes, d_model]."""
    anatomy = anatomy_of(model)
    found = {}
    places = [("resid_post", layer) for layer in anatomy.layers]
    with watched(anatomy, places, lambda site, layer, hidden: found.__setitem__(layer, hidden)):
        model(input_ids=tokens, use_cache=False)
    return torch.stack([found[layer] for layer in anatomy.layers]).unflatten(1, tokens.shape)


@torch.no_grad()
def by_hand(model, tokens, layer, edit):
    """Logits when the stream after block `layer` is edited, the later blocks called one by one."""
    decoder = model.get_decoder()
    blocks = decoder.layers if hasattr(decoder, "layers") else decoder.h
    seen = []
    handles = [
        block.register_forward_pre_hook(lambda m, a, k: seen.append((a, k)), with_kwargs=True)
        for block in blocks
    ]
    model(input_ids=tokens, use_cache=False)
    for handle in handles:
        handle.remove()
    hidden = edit(stream(model, tokens)[layer])
    for block, (args, kwargs) in zip(blocks[layer:], seen[layer:], strict=True):
        if args:
            output = block(hidden, *args[1:], **kwargs)
        else:
            output = block(**{**kwargs, "hidden_states": hidden})
        hidden = output[0] if isinstance(output, tuple) else output
    out = model.get_output_embeddings()((decoder.norm if hasattr(decoder, "norm") else decoder.ln_f)(hidden))
    cap = getattr(model.config, "final_logit_softcapping", None)
    return torch.tanh(out / cap) * cap if cap else out


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_edit_is_a_forward_pass_from_the_edited_tensor(family, dtype):
    model, tokens, v = make_model(family, dtype), ids(2), direction()
    bare = logits(model, tokens)
    step = (0.5 * v).to(dtype)
    for layer in (0, 1, 2):
        if layer < len(anatomy_of(model).blocks):
            with add(model, v, layers=[layer], positions=[3, 5], scale=0.5):
                got = logits(model, tokens)

            def edit(hidden):
                hidden = hidden.clone()
                hidden[:, [3, 5]] += step
                return hidden

            want = by_hand(model, tokens, layer, edit)
            assert torch.equal(got, want)
            assert got.dtype == dtype
            assert torch.equal(got[:, :3], bare[:, :3])
            assert not torch.equal(got[:, 3:], bare[:, 3:])
    with replace(model, v, layers=[1], positions=[4]):
        got = logits(model, tokens)

    def put(hidden):
        hidden = hidden.clone()
        hidden[:, 4] = v.to(dtype)
        return hidden

    assert torch.equal(got, by_hand(model, tokens, 1, put))
    assert torch.equal(logits(model, tokens), bare), "the model is as it was"


@pytest.mark.parametrize("family", FAMILIES)
def test_what_enters_a_block_is_what_left_the_one_before(family):
    model, tokens, v = make_model(family), ids(), direction()
    with add(model, v, layers=[1], site="resid_post"):
        post = logits(model, tokens)
    with add(model, v, layers=[2], site="resid_pre"):
        assert torch.equal(logits(model, tokens), post)
    with add(model, v, layers=[0]):
        embedded = logits(model, tokens)
    with add(model, v, layers=[1], site="resid_pre"):
        assert torch.equal(logits(model, tokens), embedded)


@pytest.mark.parametrize("family", ["gpt2", "qwen3", "llama"])
@pytest.mark.parametrize("site", ["attn_out", "mlp_out"])
def test_what_a_part_gives_is_added_to_the_stream(family, site):
    model, tokens, v = make_model(family), ids(), direction()
    before = stream(model, tokens)
    with add(model, v, layers=[2], site=site, positions=[4]):
        after = stream(model, tokens)
    assert torch.equal(after[1], before[1])
    moved = (after[2] - before[2])[0]
    assert not moved[:4].any()
    if site == "mlp_out":
        torch.testing.assert_close(moved[4], v, atol=1e-5, rtol=1e-5)
    else:
        assert moved[4].any()


def test_a_parts_output_set_to_zero_leaves_the_stream():
    model, tokens = make_model("qwen3"), ids()
    before = stream(model, tokens)
    with (
        replace(model, torch.zeros(D), layers=[2], site="mlp_out"),
        replace(model, torch.zeros(D), layers=[2], site="attn_out"),
    ):
        after = stream(model, tokens)
    assert torch.equal(after[2], before[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_ablation_leaves_nothing_along_the_direction_and_twice_is_once(dtype):
    model, tokens, v = make_model("qwen3", dtype), ids(2), direction()
    with ablate(model, v, layers=[2]):
        once, out = stream(model, tokens)[2], logits(model, tokens)
        with ablate(model, -3 * v, layers=[2]):
            twice, again = stream(model, tokens)[2], logits(model, tokens)
    unit = v / v.norm()
    size = float(once.float().norm(dim=-1).max())
    rounding = 1e-6 if dtype == torch.float32 else 1e-2
    assert float((stream(model, tokens)[2].float() @ unit).abs().max()) > 0.1 * size
    assert float((once.float() @ unit).abs().max()) < rounding * size
    assert float((twice - once).abs().max()) < rounding * size
    torch.testing.assert_close(again, out, atol=1e-4 if dtype == torch.float32 else 0.5, rtol=0)


def test_edits_compose_in_order_and_opposite_ones_cancel():
    model, tokens, v, w = make_model("llama"), ids(), direction(), direction(1)
    bare = logits(model, tokens)
    with add(model, v, layers=[1, 2]), add(model, v, layers=[1, 2], scale=-1.0):
        torch.testing.assert_close(logits(model, tokens), bare, atol=1e-4, rtol=0)
    with replace(model, w, layers=[2], positions=[3]), add(model, v, layers=[2], positions=[3]):
        torch.testing.assert_close(stream(model, tokens)[2][0, 3], v + w)
    with add(model, v, layers=[2], positions=[3]), replace(model, w, layers=[2], positions=[3]):
        torch.testing.assert_close(stream(model, tokens)[2][0, 3], w)


def test_a_vector_for_each_layer():
    model, tokens = make_model("qwen3"), ids()
    vectors = {1: direction(1), 3: direction(3)}
    with add(model, vectors, layers=[1, 3]):
        both = logits(model, tokens)
    with add(model, vectors[1], layers=[1]), add(model, vectors[3], layers=[3]):
        assert torch.equal(logits(model, tokens), both)


@pytest.mark.parametrize("family", FAMILIES)
def test_patching_every_position_gives_the_other_run(family):
    model, one, other = make_model(family), ids(seed=0), ids(seed=1)
    source = stream(model, other)
    with patch(model, source[1][0], layers=[1], positions=range(9)):
        torch.testing.assert_close(logits(model, one), logits(model, other), atol=1e-5, rtol=1e-5)
    with patch(model, source[1][0, [7, 2]], layers=[1], positions=[7, 2]):
        got = stream(model, one)[1][0]
    assert torch.equal(got[[2, 7]], source[1][0, [2, 7]])
    rest = [i for i in range(9) if i not in (2, 7)]
    assert torch.equal(got[rest], stream(model, one)[1][0, rest])


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_a_padded_batch_are_edited_each_at_its_own_positions(family):
    model, v = make_model(family, attn_implementation="eager"), direction()
    short, long = ids(length=5), ids(length=9, seed=1)
    padded = torch.cat([torch.nn.functional.pad(short, (0, 4)), long])
    seen = torch.ones_like(padded)
    seen[0, 5:] = 0
    source = direction(2)
    with add(model, v, layers=[1], positions=[[2], [6, 8]]):
        got = logits(model, padded, attention_mask=seen)
    with add(model, v, layers=[1], positions=[2]):
        torch.testing.assert_close(got[0, :5], logits(model, short)[0], atol=1e-5, rtol=1e-5)
    with add(model, v, layers=[1], positions=[6, 8]):
        torch.testing.assert_close(got[1], logits(model, long)[0], atol=1e-5, rtol=1e-5)
    values = torch.stack([v, source])
    with replace(model, values, layers=[2], positions=[[4], [8]]):
        got = stream(model, padded)[2]
    assert torch.equal(got[0, 4], v)
    assert torch.equal(got[1, 8], source)
    with patch(model, values[:, None], layers=[2], positions=[[4], [8]]):
        assert torch.equal(stream(model, padded)[2], got)


@torch.no_grad()
def generate(model, tokens, **kwargs):
    """New tokens and the logits that chose them, [steps, vocab]."""
    done = model.generate(
        tokens,
        attention_mask=torch.ones_like(tokens),
        max_new_tokens=5,
        min_new_tokens=5,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
        pad_token_id=0,
        **kwargs,
    )
    return done.sequences[:, tokens.shape[1] :], torch.cat([step[0][None] for step in done.logits])


@pytest.mark.parametrize("phase", ["prompt", "generated", None, [2, 7, 9]])
@pytest.mark.parametrize("family", FAMILIES)
def test_generation_edits_what_one_pass_over_the_text_edits(family, phase):
    model, prompt, v = make_model(family), ids(length=6), direction()
    _, bare = generate(model, prompt)
    with add(model, v, layers=[1], positions=phase):
        new, got = generate(model, prompt)
    whole = torch.cat([prompt, new], dim=1)
    with add(model, v, layers=[1], positions=phase, prompt_length=6):
        forced = logits(model, whole)[0, 5:-1]
        uncached, _ = generate(model, prompt, use_cache=False)
    torch.testing.assert_close(got, forced, atol=1e-4, rtol=1e-4)
    assert torch.equal(uncached, new)
    assert torch.equal(got[0], bare[0]) == (phase == "generated"), "the prompt's own logits"
    assert not torch.equal(got[1:], bare[1:])


def _edits(v):
    """Every verb as (name, context manager of a model and positions)."""
    return {
        "add": lambda model, at, n: add(model, v, layers=[1], positions=at, prompt_length=n),
        "ablate": lambda model, at, n: ablate(model, v, layers=[1], positions=at, prompt_length=n),
        "replace": lambda model, at, n: replace(model, v, layers=[1], positions=at, prompt_length=n),
        # A patch has an activation for each position, so words are spelt out.
        "patch": lambda model, at, n: patch(
            model, v.expand(len(_places(at)), D), layers=[1], positions=_places(at)
        ),
    }


def _places(at):
    """A patch has an activation for each position, so words are spelt out."""
    words = {"prompt": range(6), "generated": range(6, 11), None: range(11)}
    return list(at if isinstance(at, list) else words[at])


@pytest.mark.parametrize("at", ["prompt", "generated", [0], [2], [8], None], ids=str)
@pytest.mark.parametrize("verb", ["add", "ablate", "replace", "patch"])
@pytest.mark.parametrize("family", EDITED)
def test_every_verb_edits_a_generation_as_it_edits_one_pass(family, verb, at):
    model, prompt, edit = make_model(family), ids(length=6), _edits(direction())[verb]
    with edit(model, at, None):
        new, got = generate(model, prompt)
    # The eleventh token is only in the one pass; a patch of all positions reaches it there.
    whole = torch.cat([prompt, new], dim=1)
    with edit(model, at, 6):
        forced = logits(model, whole)[0, 5:-1]
    torch.testing.assert_close(got, forced, atol=1e-4, rtol=1e-4)
    bare = logits(model, whole)[0, 5:-1]
    first = {"generated": 1, "[8]": 3}.get(str(at), 0)
    assert torch.equal(forced[:first], bare[:first])
    assert not torch.allclose(got[first:], bare[first:], atol=1e-3)


@pytest.mark.parametrize("family", ["qwen3", "gpt2"])
def test_patching_reaches_a_token_that_is_not_written_yet(family):
    model, prompt = make_model(family), ids(length=6)
    source = direction()[None]
    with patch(model, source, layers=[1], positions=[8]):
        new, got = generate(model, prompt)
        forced = logits(model, torch.cat([prompt, new], dim=1))[0, 5:-1]
    torch.testing.assert_close(got, forced, atol=1e-4, rtol=1e-4)
    bare = generate(model, prompt)[1]
    assert torch.equal(got[:3], bare[:3])
    assert not torch.equal(got[3], bare[3])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_edit_through_nnsight(family):
    nnsight = pytest.importorskip("nnsight")
    model, tokens, v = make_model(family), ids(), direction()
    wrapped, n = nnsight.NNsight(model), 1
    blocks = wrapped.model.layers if hasattr(model, "model") else wrapped.transformer.h
    with torch.no_grad(), wrapped.trace(tokens, use_cache=False):
        blocks[n].output[:, 4] += v
        theirs = nnsight.save(wrapped.output.logits)
    with add(model, v, layers=[n + 1], positions=[4]):
        torch.testing.assert_close(logits(model, tokens), theirs, atol=0, rtol=0)
    unit = v / v.norm()
    with torch.no_grad(), wrapped.trace(tokens, use_cache=False):
        hidden = blocks[n].output
        hidden[:] = hidden - (hidden @ unit)[..., None] * unit
        theirs = nnsight.save(wrapped.output.logits)
    with ablate(model, v, layers=[n + 1]):
        torch.testing.assert_close(logits(model, tokens), theirs, atol=1e-5, rtol=1e-5)


def test_the_model_is_left_as_it_was_also_when_the_body_fails():
    model, tokens, v = make_model("qwen3"), ids(), direction()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    bare = logits(model, tokens)

    def fail_inside():
        with contextlib.ExitStack() as stack:
            for site in ("resid_pre", "resid_post", "attn_out", "mlp_out"):
                stack.enter_context(add(model, v, layers=[1, 2, 3], site=site))
            assert not torch.equal(logits(model, tokens), bare)
            raise RuntimeError("body")

    with pytest.raises(RuntimeError, match="body"):
        fail_inside()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert torch.equal(logits(model, tokens), bare)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_reading_inside_an_edit_reads_the_edited_model(family):
    model, v, question = make_model(family), direction(), make_questions()[0]
    recipe = recipe_for(anatomy_of(model), ReadingSpec(layers=[2], rules=("end",)))
    plan = plan_for(model, [question], ReadingSpec(rules=recipe.rules))
    with add(model, v, layers=[1], scale=0.5):
        batch = read_batch(model, anatomy_of(model), plan, 0, recipe)
        first = 0
        for reading in unpack(plan, batch):
            prompt, trace = len(question.prompt_ids), reading.source
            tokens = torch.tensor([[*question.prompt_ids, *trace.token_ids]])
            logp = logits(model, tokens)[0].float().log_softmax(-1)[prompt - 1 : -1]
            surprisal = -logp.gather(-1, tokens[0, prompt:, None])[:, 0]
            np.testing.assert_allclose(reading.surprisal, surprisal, atol=1e-4)
            rows = stream(model, tokens)[2][0, [prompt + end - 1 for _, _, end in trace.steps]]
            got = batch.acts["resid_post.2@end"][first : first + len(rows)]
            torch.testing.assert_close(got, rows, atol=1e-4, rtol=1e-4)
            first += len(rows)
    for positions in ([3], "generated"):
        with (
            pytest.raises(ReadingError, match="the n-th entry is not the n-th token"),
            add(model, v, layers=[1], positions=positions, prompt_length=2),
        ):
            read_batch(model, anatomy_of(model), plan, 0, recipe)


@pytest.mark.parametrize("phase", ["prompt", "generated", None])
def test_the_sampler_writes_what_generate_writes_under_an_edit(phase, tmp_path):
    checkpoint = load(ArmSettings(model=str(save_checkpoint(tmp_path / "c"))), device="cpu")
    prompts = [Prompt(f"q{n}", tuple(row)) for n, row in enumerate(([10, 11, 12], [20, 21, 22, 23, 24]))]
    settings = SamplingSettings(samples=1, temperature=0.0, max_new_tokens=5)
    how = {"arm": "base", "seed": 0, "progress": False}
    bare = sample(checkpoint, prompts, settings, work=tmp_path / "bare", **how)
    with add(checkpoint.model, direction(), layers=[1], positions=phase, scale=3.0):
        got = sample(checkpoint, prompts, settings, work=tmp_path / "edited", **how)
        want = [generate(checkpoint.model, torch.tensor([prompt.ids]))[0][0] for prompt in prompts]
    for completion, tokens in zip(got, want, strict=True):
        n = len(completion.token_ids)
        assert list(completion.token_ids) == tokens[:n].tolist()
    assert [c.token_ids for c in got] != [c.token_ids for c in bare]


def test_gradients_flow_through_an_edit():
    model, tokens, v = make_model("llama"), ids(), direction()
    with add(model, v, layers=[1], positions=[2]), ablate(model, v, layers=[2]):
        model(input_ids=tokens).logits.sum().backward()
    assert model.get_input_embeddings().weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("edit", "kwargs", "says"),
    [
        (add, {"site": "resid_mid"}, "no site 'resid_mid'; there are resid_pre"),
        (add, {"layers": [4]}, "resid_post: Qwen3ForCausalLM has layers 0 to 3, asked for 4"),
        (add, {"layers": [0], "site": "attn_out"}, "attn_out: .* has layers 1 to 3, asked for 0"),
        (add, {"layers": []}, "no layers were given"),
        (add, {"v": torch.ones(7)}, r"resid_post, layer 1: expected \[32\] .* got \[7\]"),
        (add, {"v": torch.full((D,), float("nan"))}, "layer 1: what was given is not finite"),
        (add, {"v": {2: torch.ones(D)}}, r"layer 1: nothing was given for it, only for \[2\]"),
        (ablate, {"v": torch.zeros(D)}, "a direction of length 0"),
        (add, {"positions": "answer"}, "'prompt', 'generated' or indices, got 'answer'"),
        (add, {"positions": [-1]}, "count from 0"),
        (add, {"positions": [9]}, "resid_post, layer 1: position 9 was asked for, the sequence has 9"),
        (add, {"positions": "generated"}, "layer 1: without a cache .* give prompt_length"),
        (add, {"positions": [[1], [2], [3]]}, "positions for 3 rows were given, the batch has 1"),
        (replace, {"v": torch.ones(2, D)}, r"values \[2, 32\] were given for hidden states \[1, 9, 32\]"),
        (patch, {"v": torch.ones(2, D), "positions": [3]}, r"activations \[2, 32\] do not fit \[1\] pos"),
        (patch, {"v": torch.ones(2, 1, D), "positions": [3]}, r"\[2, 1, 32\] were given for hidden"),
    ],
)
def test_what_cannot_be_edited_is_refused_by_name(edit, kwargs, says):
    model, v = make_model("qwen3"), kwargs.pop("v", torch.ones(D))
    with pytest.raises(ReadingError, match=says), edit(model, v, **{"layers": [1], **kwargs}):
        logits(model, ids())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_every_family_has_the_four_sites():
    for family in CONFIGS:
        model, tokens = make_model(family), ids()
        bare = logits(model, tokens)
        for site in ("resid_pre", "resid_post", "attn_out", "mlp_out"):
            with add(model, direction(), layers=[1], site=site):
                assert not torch.equal(logits(model, tokens), bare), (family, site)
