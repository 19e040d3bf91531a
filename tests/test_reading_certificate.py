import json
import re
import subprocess
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM, BloomConfig, Qwen3NextConfig, RwkvConfig

from called import called
from conftest import save_checkpoint, tiny_model, word_tokenizer
from mechcot.core.errors import ModelError, UsageError
from mechcot.core.settings import ArmSettings
from mechcot.models.calling import calling_of
from mechcot.models.checkpoint import load
from mechcot.reading import selfcheck
from mechcot.reading.certificate import certify, check_model, dtype_advice, times_float32
from mechcot.reading.inputs import question_problem, trace_problem
from mechcot.reading.sample import sample_questions
from mechcot.study.manifest import STEP_RULES
from model_families import build
from reading_cases import EXPERTS, SHAPE, VOCAB, make_model, one_thread  # noqa: F401

LINES = [
    "tree: forced answers",
    "tree: entropy and surprisal",
    "tree: activations",
    "final norm and head",
    "cache of keys and values",
    "beginning-of-text tokens",
]


def saved(folder, model):
    folder.mkdir()
    model.save_pretrained(folder)
    word_tokenizer(folder)
    return folder


def opened(folder):
    return load(ArmSettings(model=str(folder)), device="cpu")


def bloom():
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": VOCAB, "initializer_range": 0.3}
    return AutoModelForCausalLM.from_config(BloomConfig(**shape, bos_token_id=1, eos_token_id=1))


def linear_attention():
    torch.manual_seed(0)
    heads = {"linear_num_value_heads": 4, "linear_num_key_heads": 2}
    dims = {"linear_key_head_dim": 8, "linear_value_head_dim": 8, "shared_expert_intermediate_size": 24}
    shape = {**SHAPE, "num_hidden_layers": 4}
    return AutoModelForCausalLM.from_config(Qwen3NextConfig(**shape, **EXPERTS, **heads, **dims))


@pytest.mark.parametrize("family", ["qwen3", "llama", "mistral", "gemma2", "gpt2"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_sound_model_passes_line_by_line(family, dtype, tmp_path):
    folder = saved(tmp_path / family, make_model(family, getattr(torch, dtype)))
    certificate = check_model(folder, device="cpu")
    assert certificate.passed, certificate.text()
    assert [finding.name for finding in certificate.findings] == LINES
    assert certificate.dtype == dtype
    for finding in certificate.findings[:5]:
        assert 0 <= finding.found <= (1e-4 if dtype == "float32" else 0.25)
        assert finding.allowed == (1e-3 if dtype == "float32" else 0.25)
    assert certificate.findings[0].found > 0, "two ways of computing round differently"
    assert not certificate.findings[0].note
    told = json.loads(json.dumps(certificate.to_json(), allow_nan=False))
    assert told["passed"] is True
    assert len(certificate.to_frame()) == len(LINES)
    assert "PASS, 6 of 6" in repr(certificate)


def test_the_sample_outgrows_a_window_or_says_that_it_does_not(tmp_path):
    checkpoint = opened(saved(tmp_path / "m", make_model("mistral")))
    longest = max(len(t.token_ids) for q in sample_questions(checkpoint) for t in q.traces)
    assert longest > checkpoint.model.config.sliding_window == 7
    config = make_model("mistral").config
    config.sliding_window, config.max_position_embeddings = 80, 400
    model = AutoModelForCausalLM.from_config(config)
    assert certify(opened(saved(tmp_path / "wider", model))).findings[0].note == ""
    config.sliding_window = 600
    certificate = certify(opened(saved(tmp_path / "wide", AutoModelForCausalLM.from_config(config))))
    assert "do not reach the window of 600" in certificate.findings[0].note
    assert "do not reach the window of 600" in certificate.text()


def test_a_window_off_by_one_fails(tmp_path):
    checkpoint = opened(saved(tmp_path / "m", make_model("mistral")))
    plain = checkpoint.model.forward

    def wider(*args, **kwargs):
        checkpoint.model.config.sliding_window = 8
        try:
            return plain(*args, **kwargs)
        finally:
            checkpoint.model.config.sliding_window = 7

    checkpoint.model.forward = wider
    certificate = certify(checkpoint)
    assert not certificate.passed
    assert not certificate.findings[0].passed
    assert certificate.findings[0].found > 0.01


@pytest.mark.parametrize("family", ["linear", "alibi"])
def test_what_cannot_read_a_tree_is_read_text_by_text_and_says_so(family, tmp_path):
    model = linear_attention() if family == "linear" else bloom()
    certificate = check_model(saved(tmp_path / family, model), device="cpu")
    assert certificate.passed
    assert [f.name for f in certificate.findings] == [line.replace("tree:", "text:") for line in LINES]
    why = {"linear": "layers of type ['linear_attention']", "alibi": "attention interface"}[family]
    assert "it is read text by text, which is slow" in certificate.findings[0].note
    assert why in certificate.findings[0].note
    assert why in certificate.text()


def test_layers_that_ignore_the_mask_are_read_text_by_text(tmp_path):
    checkpoint = opened(save_checkpoint(tmp_path / "c"))

    def drop(module, args, kwargs):
        return args, {**kwargs, "attention_mask": None}

    for layer in checkpoint.model.model.layers:
        layer.self_attn.register_forward_pre_hook(drop, with_kwargs=True)
    certificate = certify(checkpoint)
    assert certificate.passed
    assert "changed its mask" in certificate.findings[0].note


def test_a_head_that_does_not_give_the_logits_fails_by_its_numbers(tmp_path):
    checkpoint = opened(save_checkpoint(tmp_path / "c"))
    checkpoint.model.register_forward_hook(lambda m, a, out: setattr(out, "logits", out.logits * 1.5) or out)
    by_name = {finding.name: finding for finding in certify(checkpoint).findings}
    assert not by_name["final norm and head"].passed
    assert by_name["final norm and head"].found > by_name["final norm and head"].allowed


def test_a_cache_that_loses_a_token_fails(tmp_path):
    checkpoint = opened(save_checkpoint(tmp_path / "c"))

    def forget(module, args, kwargs):
        cache = kwargs.get(calling_of(module).cache)
        if cache is not None and cache.get_seq_length():
            cache.crop(-1)
        return args, kwargs

    checkpoint.model.register_forward_pre_hook(forget, with_kwargs=True)
    findings = {finding.name: finding for finding in certify(checkpoint).findings}
    assert [name for name, finding in findings.items() if not finding.passed] == ["cache of keys and values"]


@pytest.mark.parametrize("family", ["rwkv", "recurrent_gemma"])
def test_a_cache_that_could_not_be_run_fails_and_the_reading_passes(family, tmp_path):
    if family == "rwkv":
        sizes = {"vocab_size": 64, "bos_token_id": 1, "eos_token_id": 1}
        config = RwkvConfig(**sizes, hidden_size=32, num_hidden_layers=2, attention_hidden_size=32)
        model = AutoModelForCausalLM.from_config(config)
    else:
        model = build(family)
    certificate = certify(opened(saved(tmp_path / family, model)))
    by_name = {finding.name: finding for finding in certificate.findings}
    assert [name for name, finding in by_name.items() if not finding.passed] == ["cache of keys and values"]
    cache = by_name["cache of keys and values"]
    assert cache.found is None
    assert "cache" in cache.note
    assert not certificate.passed


def test_logits_that_hang_on_what_comes_after_fail(tmp_path):
    """Doge attends to the keys that weigh most in the whole text."""
    findings = {f.name: f for f in certify(opened(saved(tmp_path / "doge", build("doge")))).findings}
    cache = findings["cache of keys and values"]
    assert cache.found > 0.01 > cache.allowed
    assert not cache.passed
    assert "every sampled token is a pass" in cache.note.lower()


@pytest.mark.parametrize("family", ["mamba", "lfm2", "qwen3_5"])
def test_states_that_go_on_truly_pass(family, tmp_path):
    certificate = certify(opened(saved(tmp_path / family, build(family))))
    assert certificate.passed, certificate.text()


def test_numbers_that_are_not_finite_fail_with_a_reason(tmp_path):
    checkpoint = opened(save_checkpoint(tmp_path / "c"))
    with torch.no_grad():
        checkpoint.model.model.layers[1].mlp.down_proj.weight[0, 0] = float("nan")
    certificate = certify(checkpoint)
    assert not certificate.passed
    assert "is not finite" in certificate.findings[0].note
    assert json.dumps(certificate.to_json(), allow_nan=False)


def with_bos(folder, *, adds, template):
    save_checkpoint(folder)
    tokenizer = word_tokenizer(folder)
    tokenizer.bos_token = "w9"
    if adds:
        from tokenizers.processors import TemplateProcessing

        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single="w9 $A", special_tokens=[("w9", tokenizer.bos_token_id)]
        )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return folder


PLAIN = "{{ messages[0].content }}{% if add_generation_prompt %} <think>{% endif %}"


@pytest.mark.parametrize(
    ("adds", "template", "number"),
    [(False, PLAIN, 0), (True, PLAIN, 1), (False, "w9 " + PLAIN, 1), (True, "w9 " + PLAIN, 1), (True, "", 1)],
)
def test_beginning_of_text_tokens_are_what_tokenizer_and_template_define(adds, template, number, tmp_path):
    folder = with_bos(tmp_path / "c", adds=adds, template=template or None)
    finding = check_model(folder, device="cpu").findings[-1]
    assert (finding.name, finding.found, finding.allowed, finding.passed) == (LINES[5], number, number, True)


def test_two_beginning_of_text_tokens_fail(tmp_path):
    folder = with_bos(tmp_path / "c", adds=False, template="w9 w9 " + PLAIN)
    certificate = check_model(folder, device="cpu")
    assert not certificate.passed
    assert "begins with two beginning-of-text tokens" in certificate.findings[0].note


def test_the_sample_is_readable_and_the_same_each_time(tmp_path):
    checkpoint = opened(save_checkpoint(tmp_path / "c"))
    questions = sample_questions(checkpoint)
    for question in questions:
        assert question_problem(question, 64) is None
        assert all(trace_problem(question, t, STEP_RULES, vocab_size=64) is None for t in question.traces)
        assert all(len(trace.steps) > 1 for trace in question.traces)
    assert questions == sample_questions(checkpoint)
    assert questions != sample_questions(checkpoint, seed=1)


def test_the_checkpoint_is_left_as_it_was(tmp_path):
    checkpoint = opened(save_checkpoint(tmp_path / "c"))
    weights = {name: value.clone() for name, value in checkpoint.model.state_dict().items()}
    seed = torch.random.get_rng_state()
    certify(checkpoint)
    assert all(torch.equal(v, weights[name]) for name, v in checkpoint.model.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), seed)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in checkpoint.model.modules())


def test_what_is_no_checkpoint_or_too_small_is_refused(tmp_path):
    with pytest.raises(ModelError, match="holds no config"):
        check_model(tmp_path)
    tiny_model().save_pretrained(tmp_path / "bare")
    with pytest.raises(ModelError, match="holds no tokenizer"):
        check_model(tmp_path / "bare")
    config = make_model("qwen3").config
    config.max_position_embeddings = 12
    folder = saved(tmp_path / "short", AutoModelForCausalLM.from_config(config))
    assert "12 positions are too few" in check_model(folder).findings[0].note


def test_a_wrong_dtype_or_device_is_refused(tmp_path):
    folder = save_checkpoint(tmp_path / "c")
    with pytest.raises(UsageError, match="dtype 'int3': "):
        check_model(folder, dtype="int3")
    with pytest.raises(ModelError, match="'abacus' cannot be used"):
        check_model(folder, device="abacus")


def test_it_says_how_many_of_its_runs_are_done(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(selfcheck, "SELDOM", 0.0)
    checkpoint = opened(save_checkpoint(tmp_path / "c"))
    with caplog.at_level("INFO", logger="mechcot"):
        certify(checkpoint, progress=True)
    lines = [r.message for r in caplog.records if r.message.startswith("comparing the reading by trees")]
    assert len(lines) == 10
    assert re.search(r": 100 % \((\d+) of \1 runs\)$", lines[-1]), "as many runs as were counted before"
    caplog.clear()
    with caplog.at_level("INFO", logger="mechcot"):
        certify(checkpoint)
    assert not [r for r in caplog.records if r.message.startswith("comparing")]


def test_a_dtype_that_is_slow_here_is_told_with_the_faster_one():
    found = {dtype: times_float32(dtype, torch.device("cpu")) for dtype in (torch.float32, torch.float16)}
    assert found[torch.float32] == 1.0
    assert found[torch.float16] > 0
    assert dtype_advice("bfloat16", 0.6) == dtype_advice("float32", 1.0) == ""
    assert dtype_advice("bfloat16", 6.2) == (
        "bfloat16 is about 6 times slower than float32 here; --dtype float32 is faster"
    )


def test_a_certificate_loads_torch_when_it_is_made():
    code = "import sys, mechcot.reading.certificate; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_command_prints_the_certificate_and_exits_with_it(tmp_path):
    broken = make_model("qwen3")
    with torch.no_grad():
        broken.model.layers[1].mlp.down_proj.weight[0, 0] = float("nan")
    sound, unsound = save_checkpoint(tmp_path / "c"), saved(tmp_path / "broken", broken)
    call = ("check", "--device", "cpu")
    done = called(*call, sound)
    assert done.returncode == 0, done.stderr
    assert all(line in done.stdout for line in LINES)
    assert done.stdout.rstrip().endswith("PASS")
    assert done.stderr.splitlines()[0] == f"loading {sound}"
    assert "Qwen3ForCausalLM in float32 on cpu" in done.stderr
    done = called(*call, "--json", "--quiet", unsound)
    assert "loading" not in done.stderr
    assert done.returncode == 1
    assert json.loads(done.stdout)["passed"] is False
    assert "Traceback" not in done.stderr
