"""What only a real GPU can show; `scripts/gpu_check.py` runs these. The rest is in `test_devices.py`."""

import logging

import numpy as np
import pytest
import torch

from conftest import word_tokenizer
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.core.settings import ArmSettings
from mechcot.core.training_settings import TrainSettings
from mechcot.distill.masks import IGNORED, Row, Supervised
from mechcot.models.checkpoint import Checkpoint, load
from mechcot.models.interventions import ablate, add
from mechcot.probe.factors import factor
from mechcot.probe.solver import solve
from mechcot.reading.batch import as_numbers
from mechcot.reading.reader import read
from mechcot.reading.spec import ReadingSpec
from mechcot.sampling import Prompt, sample
from mechcot.sampling.choice import choose
from reading_cases import VOCAB, make_model, make_questions, one_thread  # noqa: F401

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
]
PROMPTS = [Prompt(f"q{i}", tuple(range(6 + i, 9 + i + i % 3))) for i in range(5)]
SETTINGS = SamplingSettings(samples=4, temperature=0.9, top_p=0.95, max_new_tokens=12)


def drawn(model, folder, settings=SETTINGS):
    checkpoint = Checkpoint("tiny", model, None, (1,), 96)
    done = sample(checkpoint, PROMPTS, settings, arm="a", seed=0, work=folder, progress=False)
    return [(c.qid, c.cid, c.token_ids) for c in done]


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("family", ["qwen3", "gemma2", "mistral", "qwen3_moe"])
def test_a_reading_is_the_processors(family, attention):
    model, questions = make_model(family, attn_implementation=attention), make_questions()
    expected = list(read(model, questions, ReadingSpec(lens=True)))
    found = list(read(model.cuda(), questions, ReadingSpec(lens=True)))
    for ours, theirs in zip(found, expected, strict=True):
        for name, values in as_numbers(theirs).items():
            np.testing.assert_allclose(getattr(ours, name), values, atol=2e-3, rtol=1e-3, err_msg=name)
        for name, values in theirs.acts.items():
            assert not ours.acts[name].is_pinned()
            torch.testing.assert_close(ours.acts[name], values, atol=2e-3, rtol=1e-3, msg=name)


def test_a_reading_over_processor_and_gpu_is_the_processors():
    import accelerate

    model, questions = make_model("qwen3"), make_questions()
    expected = list(read(model, questions))
    where = {"model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.rotary_emb": 0, "model.norm": 0}
    where |= {f"model.layers.{i}": 0 for i in range(1, 3)} | {"lm_head": 0}
    model = accelerate.dispatch_model(model, where, main_device=0, force_hooks=True)
    for ours, theirs in zip(read(model, questions), expected, strict=True):
        np.testing.assert_allclose(ours.forced, theirs.forced, atol=2e-3, rtol=1e-3)


def test_weights_are_read_onto_the_gpu(tmp_path):
    word_tokenizer(tmp_path)
    make_model("qwen3").save_pretrained(tmp_path)
    model = load(ArmSettings(model=str(tmp_path)), device="cuda").model
    assert {parameter.device.type for parameter in model.parameters()} == {"cuda"}
    assert not model.training


def test_the_same_seed_gives_the_same_tokens_and_the_likeliest_are_the_processors(tmp_path):
    model = make_model("qwen3")
    greedy = SETTINGS.model_copy(update={"temperature": 0.0, "samples": 1})
    expected = drawn(model, tmp_path / "cpu", greedy)
    model.cuda()
    assert drawn(model, tmp_path / "greedy", greedy) == expected
    assert drawn(model, tmp_path / "1") == drawn(model, tmp_path / "2")


@pytest.mark.parametrize("top_p", [1.0, 0.95])
def test_a_choice_is_the_same_every_time_and_the_processors(top_p):
    logits = 3 * torch.randn(64, 151_936, generator=torch.Generator().manual_seed(0))
    draws = torch.rand(64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    asked = SamplingSettings(temperature=0.7, top_p=top_p)
    expected, _ = choose(logits, draws, asked)
    there, on = logits.cuda(), draws.float().cuda()
    found = [choose(there, on, asked)[0].cpu() for _ in range(20)]
    assert all(torch.equal(tokens, found[0]) for tokens in found)
    assert (found[0] == expected).sum() >= 63


def test_a_short_memory_halves_the_rows_and_changes_no_token(tmp_path, caplog):
    model = make_model("qwen3").cuda()
    asked = SETTINGS.model_copy(update={"samples": 200, "max_new_tokens": 4, "batch_rows": 1000})
    head = model.lm_head.weight
    wide = torch.nn.Linear(head.shape[1], 200_000, bias=False, device="cuda")
    with torch.no_grad():
        wide.weight.zero_()[: len(head)] = head
    model.lm_head = wide
    expected = drawn(model, tmp_path / "whole", asked)
    most = torch.cuda.memory_allocated() + 400 * 200_000 * 4
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(most / torch.cuda.mem_get_info()[1])
    try:
        with caplog.at_level(logging.WARNING, "mechcot"):
            found = drawn(model, tmp_path / "short", asked)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert any("memory is short" in record.message for record in caplog.records)
    # The logits of another batch shape may differ in their last bit.
    assert sum(a == b for a, b in zip(found, expected, strict=True)) > 0.99 * len(expected)


@pytest.mark.parametrize("edit", [add, ablate])
def test_edits_are_the_processors(edit):
    model, ids, vector = make_model("qwen3"), torch.arange(10, 22).reshape(2, 6), torch.linspace(-1, 1, 32)

    def logits(ids):
        with torch.no_grad(), edit(model, vector, layers=[1, 2], positions=[0, 3]):
            return model(ids).logits.cpu()

    expected = logits(ids)
    model.cuda()
    torch.testing.assert_close(logits(ids.cuda()), expected, atol=1e-3, rtol=1e-3)


def test_a_training_on_the_gpu_has_the_processors_losses(tmp_path):
    from mechcot.distill.sft import History, build_trainer
    from mechcot.distill.training import Training

    rng, rows = np.random.default_rng(0), []
    for i in range(8):
        ids = rng.integers(2, VOCAB, 6 + i).astype(np.int32)
        rows.append(Row(str(i), ids, np.where(np.arange(6 + i) < 3, IGNORED, ids).astype(np.int32), {}))
    losses = {}
    for device in ("cpu", "auto"):
        history = History()
        settings = TrainSettings(batch_size=2, epochs=1, dtype="float32", device=device)
        training = Training(tmp_path, Supervised(tuple(rows), 0, ""), settings, 0)
        tokenizer = word_tokenizer(tmp_path / "t")
        build_trainer(
            make_model("qwen3"), tokenizer, training, tmp_path / device, history, lambda *step: False
        ).train()
        losses[device] = history.losses
    assert len(losses["cpu"]) > 0
    np.testing.assert_allclose(losses["auto"], losses["cpu"], rtol=1e-3)


def test_fits_are_the_processors():
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(200, 30)), rng.random((3, 200)) < 0.5
    expected, found = (solve(factor(X, device=device, dtype="float64"), labels) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(found.coef(), expected.coef(), atol=1e-4)
