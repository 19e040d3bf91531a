"""What is sampled has the log-probabilities of passes without a cache, whatever a family keeps of a text."""

import logging

import pytest
import torch
from transformers import AutoModelForCausalLM

from mechcot.core.errors import SamplingError
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.models.checkpoint import Checkpoint
from mechcot.models.rotary import Turn, forget_lengths, turn_of
from mechcot.models.rows import WAYS, WHOLE, Rows
from mechcot.models.ways import way_of
from mechcot.sampling import Prompt, sample
from mechcot.sampling import empty as empty_ones
from model_families import CONFIGS, TURN, build
from reading_cases import make_model, one_thread  # noqa: F401

SETTINGS = SamplingSettings(samples=2, temperature=1.0, max_new_tokens=10, batch_rows=16)
PROMPTS = [
    Prompt("q0", (10, 31, 12)),
    Prompt("q1", (13, 44, 15, 16, 27, 18, 19, 20)),
    Prompt("q2", (21, 52, 23)),
]


@pytest.fixture(autouse=True)
def _any_may_be_empty(monkeypatch):
    """Random models often begin with an end of text."""
    monkeypatch.setattr(empty_ones, "MOST_EMPTY", 1.0)


def sampled(model, prompts, folder, settings=SETTINGS):
    checkpoint = Checkpoint("tiny", model, None, (1,), None)
    return sample(checkpoint, prompts, settings, arm="base", seed=0, work=folder, progress=False)


@torch.inference_mode()
def teacher_forced(model, prompt, tokens):
    """The tokens' log-probability, each after a pass of its own over the text so far, without a cache."""
    total = 0.0
    for n, token in enumerate(tokens):
        forget_lengths(model)
        logits = model(input_ids=torch.tensor([[*prompt, *tokens[:n]]]), use_cache=False).logits
        total += float(logits[0, -1].log_softmax(-1)[token])
    return total


def is_true(model, prompts, folder, settings=SETTINGS, nats=1e-3):
    done = sampled(model, prompts, folder, settings)
    assert len(done) == len(prompts) * settings.samples
    ids = {prompt.qid: prompt.ids for prompt in prompts}
    for completion in done:
        expected = teacher_forced(model, ids[completion.qid], completion.token_ids)
        assert completion.sum_logprob == pytest.approx(expected, abs=nats * len(completion.token_ids))
    return done


@pytest.mark.parametrize(
    "family",
    [
        "mamba",
        "mamba2",
        "falcon_mamba",
        "falcon_h1",
        "qwen3_next",
        "qwen3_5",
        "jamba",
        "bamba",
        "lfm2",
        "nemotron_h",
        "minimax",
    ],
)
def test_states_are_kept_beside_keys_and_values(family, tmp_path, caplog):
    done = is_true(build(family), PROMPTS, tmp_path, nats=1e-4 if family != "nemotron_h" else 1e-3)
    assert len({tuple(completion.token_ids) for completion in done}) > len(PROMPTS)
    assert "every token is a pass over its whole text" not in caplog.text


@pytest.mark.parametrize("family", ["roberta", "bart"])
def test_a_family_that_counts_places_in_its_own_way_does_so(family, tmp_path, caplog):
    """RoBERTa's begin behind the padding's id; BART is told of no place, and counts padding as one."""
    is_true(build(family), PROMPTS, tmp_path, nats=1e-4)
    assert "every token is a pass over its whole text" not in caplog.text


def test_a_cache_is_left_where_the_padding_is_drawn(tmp_path, caplog):
    """RoBERTa's kin give the padding's id no place of its own; over a cache they count one."""
    config = CONFIGS["roberta"]()
    config.pad_token_id = 5
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        model.lm_head.bias[5] = 3.0
    settings = SETTINGS.model_copy(update={"samples": 8})
    done = is_true(model, PROMPTS, tmp_path, settings, nats=1e-4)
    assert any(5 in completion.token_ids[:-2] for completion in done)
    assert any(5 not in completion.token_ids for completion in done)
    found = way_of(model, [prompt.ids for prompt in PROMPTS], 8)
    assert (found.way.select is not None, found.way.until) == (True, 5)
    assert "every token is a pass over its whole text" not in caplog.text


@pytest.mark.parametrize("family", ["cpmant", "prophetnet", "xlm", "encoder"])
def test_a_model_that_sees_later_tokens_is_not_sampled(family, tmp_path):
    """Its texts have no log-probability: each further token changes those of the tokens before it."""
    model = build(family)
    with pytest.raises(SamplingError, match=f"{type(model).__name__}: is not causal: .* is_decoder"):
        sampled(model, PROMPTS, tmp_path)


@pytest.mark.parametrize(
    ("family", "why"),
    [("doge", "over its cache logits differ by"), ("recurrent_gemma", "hands back no cache")],
)
def test_without_a_cache_that_is_true_every_token_is_a_pass_over_its_text(family, why, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="mechcot"):
        is_true(build(family), PROMPTS, tmp_path, nats=1e-4)
    assert why in caplog.text
    assert "every token is a pass over its whole text, which is slow" in caplog.text


@pytest.mark.parametrize("family", ["longrope", "phimoe", "dynamic"])
def test_no_text_is_turned_by_another_one_or_by_what_it_was(family, tmp_path):
    """Short and long prompts in one batch; the short ones grow past the length where the factors change."""
    model = build(family)
    prompts = [
        Prompt("q0", tuple(range(40, 40 + TURN - 8))),
        Prompt("q1", tuple(range(10, 10 + TURN - 4))),
        Prompt("q2", tuple(range(10, 10 + TURN + 6))),
    ]
    settings = SETTINGS.model_copy(update={"samples": 2, "max_new_tokens": 8})
    is_true(model, prompts, tmp_path, settings, nats=1e-4)


def test_texts_that_stay_on_one_side_share_their_passes(tmp_path):
    model, shapes = build("longrope"), []
    model.register_forward_pre_hook(lambda m, a, k: shapes.append(k["input_ids"].shape), with_kwargs=True)
    found = way_of(model, [prompt.ids for prompt in PROMPTS], SETTINGS.max_new_tokens)
    assert found.way == WAYS[0]
    shapes.clear()
    Rows(model, found.way, [prompt.ids for prompt in PROMPTS], (2, 2, 2), SETTINGS.max_new_tokens)
    assert shapes == [(3, 8)]
    shapes.clear()
    Rows(model, found.way, [prompt.ids for prompt in PROMPTS], (2, 2, 2), TURN)
    assert shapes == [(2, 3), (1, 8)]


def test_where_rotary_factors_change():
    assert turn_of(build("longrope").config) == Turn(TURN, steady=True)
    assert turn_of(build("phimoe").config) == Turn(TURN, steady=True)
    assert turn_of(build("dynamic").config) == Turn(20, steady=False)
    assert turn_of(build("yarn").config) is turn_of(make_model("qwen3").config) is None


def test_a_change_that_no_configuration_tells_of_is_found_out(tmp_path, caplog):
    model = make_model("qwen3")

    def turn(module, args):
        hidden, positions = args
        return hidden, positions * (2 if int(positions.max()) >= 12 else 1)

    model.model.rotary_emb.register_forward_pre_hook(turn)
    with caplog.at_level(logging.WARNING, logger="mechcot"):
        is_true(model, PROMPTS, tmp_path, nats=1e-4)
    assert "at the beginning of a longer one" in caplog.text


def test_a_cache_that_changes_the_model_is_not_used(tmp_path, caplog):
    model = make_model("qwen3")

    def worse(module, args, kwargs, output):
        scale = 1.5 if kwargs.get("cache") is not None or kwargs.get("past_key_values") is not None else 1.0
        return (output[0] * scale, *output[1:])

    model.model.layers[1].self_attn.register_forward_hook(worse, with_kwargs=True)
    with caplog.at_level(logging.WARNING, logger="mechcot"):
        is_true(model, PROMPTS, tmp_path, nats=1e-4)
    assert "over its cache logits differ by" in caplog.text
    found = way_of(model, [prompt.ids for prompt in PROMPTS], 4)
    assert found.way == WHOLE
    assert found.over_cache > 1e-2 > 1e-4 > found.difference


def test_rows_that_depend_on_each_other_are_refused(tmp_path):
    model = make_model("qwen3")
    model.model.layers[1].register_forward_hook(lambda m, a, out: out + out.flip(0))
    with pytest.raises(SamplingError, match="Qwen3ForCausalLM is not sampled truly: rows side by side"):
        sampled(model, PROMPTS, tmp_path)


def test_the_way_is_found_once_and_not_for_a_run_that_is_done(tmp_path):
    model, passes = make_model("qwen3"), []
    whole = sampled(model, PROMPTS, tmp_path)
    model.register_forward_pre_hook(lambda *a: passes.append(1))
    assert sampled(model, PROMPTS, tmp_path) == whole
    assert not passes
