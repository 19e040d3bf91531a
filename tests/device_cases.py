"""Device discipline on two emulated devices, in a process of its own: run by `test_devices.py`."""

import logging

import accelerate
import numpy as np
import pytest
import torch

import emulated
from emulated import DeviceMismatchError
from mechcot.core.errors import SamplingError
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.core.training_settings import TrainSettings
from mechcot.models.anatomy import anatomy_of
from mechcot.models.checkpoint import Checkpoint
from mechcot.models.interventions import ablate, add, patch, replace
from mechcot.models.ways import way_of
from mechcot.probe.factors import factor
from mechcot.probe.solver import solve
from mechcot.reading.batch import as_numbers
from mechcot.reading.reader import read
from mechcot.reading.selfcheck import usable
from mechcot.reading.spec import ReadingSpec, recipe_for
from mechcot.sampling import Prompt, sample, sampler
from mechcot.sampling.choice import choose
from reading_cases import VOCAB, make_model, make_questions, one_thread  # noqa: F401

QUESTIONS = make_questions(sizes=((3,), (0, 4)))
PROMPTS = [Prompt(f"q{i}", tuple(range(6 + i, 9 + i + i % 3))) for i in range(5)]
SETTINGS = SamplingSettings(samples=3, temperature=0.9, max_new_tokens=9, batch_rows=8)


def placed(model, way):
    """A model on one device, on two, or with its embedding and first block on none until they are needed."""
    if way == "one":
        return model.to("emu:0")
    first = "cpu" if way == "offloaded" else "emu:0"
    blocks = {f"model.layers.{i}": first if i == 0 else "emu:1" for i in range(len(model.model.layers))}
    tied = model.config.tie_word_embeddings
    ends = {"model.embed_tokens": first, "model.rotary_emb": "emu:0", "model.norm": "emu:1"}
    where = {**ends, **blocks, "lm_head": first if tied else "emu:1"}
    return accelerate.dispatch_model(model, where, main_device="emu:0", force_hooks=True)


@pytest.mark.parametrize(
    ("family", "attention", "way"),
    [
        ("qwen3", "sdpa", "one"),
        ("qwen3", "sdpa", "two"),  # a head of its own
        ("gemma2", "eager", "two"),  # two kinds of window; the head's weights are the embedding's
        ("mistral", "sdpa", "two"),
        ("qwen3", "eager", "offloaded"),
    ],
)
def test_a_reading_is_the_processors_own(family, attention, way):
    model = make_model(family, attn_implementation=attention)
    spec = ReadingSpec(lens=True)
    expected = list(read(model, QUESTIONS, spec))
    with emulated.emulated(float64=False):
        model = placed(model, way)
        assert str(anatomy_of(model).device) == "emu:0"
        if family == "gemma2":  # its own runs, one by one, are slow here
            assert usable(model, QUESTIONS[:1], recipe_for(anatomy_of(model), spec))[1].way == "trees"
        found = list(read(model, QUESTIONS, spec))
    for ours, theirs in zip(found, expected, strict=True):
        for name, values in as_numbers(theirs).items():
            np.testing.assert_array_equal(getattr(ours, name), values, err_msg=name)
        assert ours.acts.keys() == theirs.acts.keys()
        for name, values in theirs.acts.items():
            assert type(ours.acts[name]) is torch.Tensor
            assert torch.equal(ours.acts[name], values), name


def test_weights_go_straight_to_the_device(tmp_path, monkeypatch):
    from conftest import word_tokenizer
    from mechcot.core.settings import ArmSettings
    from mechcot.models.checkpoint import load

    monkeypatch.setenv("HF_DEACTIVATE_ASYNC_LOAD", "1")  # the emulation is not there in other threads
    word_tokenizer(tmp_path)
    model = make_model("gemma2")
    model.save_pretrained(tmp_path)
    with emulated.emulated():
        loaded = load(ArmSettings(model=str(tmp_path)), device="emu:1").model
        assert {str(parameter.device) for parameter in loaded.parameters()} == {"emu:1"}
        assert loaded.lm_head.weight is loaded.model.embed_tokens.weight
        for name, parameter in loaded.named_parameters():
            assert torch.equal(parameter.detach().cpu(), model.get_parameter(name).detach()), name


def drawn(model, folder, settings=SETTINGS):
    done = sample(
        Checkpoint("tiny", model, None, (1,), 96),
        PROMPTS,
        settings,
        arm="a",
        seed=0,
        work=folder,
        progress=False,
    )
    return [(c.qid, c.cid, c.token_ids, c.finish_reason) for c in done]


@pytest.mark.parametrize(
    ("way", "settings"),
    [
        ("one", {"top_p": 0.9}),
        ("one", {"top_k": 5, "top_p": 0.8}),
        ("one", {"temperature": 0.0}),
        ("two", {}),
        ("offloaded", {}),
    ],
)
def test_the_same_seed_gives_the_processors_tokens(tmp_path, way, settings):
    asked = SETTINGS.model_copy(update=settings)
    model = make_model("qwen3")
    expected = drawn(model, tmp_path / "cpu", asked)
    assert {reason for *_, reason in expected} <= {"stop", "length"}
    with emulated.emulated(float64=False):
        assert drawn(placed(model, way), tmp_path / "emu", asked) == expected


def test_the_host_waits_once_a_token(tmp_path):
    model = make_model("qwen3")
    # One batch, no row dropped, no end: as many waits as tokens, and those of transformers' own.
    asked = SETTINGS.model_copy(update={"batch_rows": 64})
    with emulated.emulated() as watch:
        placed(model, "one")
        waits = []
        for tokens in (4, 8):
            watch.waits.clear()
            drawn(model, tmp_path / str(tokens), asked.model_copy(update={"max_new_tokens": tokens}))
            waits.append(sum(watch.waits.values()))
    assert waits[1] - waits[0] == 4


def test_a_short_memory_halves_the_rows_and_changes_no_token(tmp_path, caplog, monkeypatch):
    model = make_model("qwen3")
    expected = drawn(model, tmp_path / "cpu")
    with emulated.emulated() as watch, caplog.at_level(logging.WARNING, "mechcot"):
        placed_model = placed(model, "one")
        found = way_of(placed_model, [(10, 11), (12, 13, 14)], 4)
        watch.most = 200
        with pytest.raises(SamplingError, match="memory is short even for the four texts"):
            drawn(placed_model, tmp_path / "untried")
        monkeypatch.setattr(sampler, "way_of", lambda *_: found)
        watch.most = 2000  # bytes: the keys of two rows at the end of their text
        assert drawn(placed_model, tmp_path / "emu") == expected
        assert [r.args[2] for r in caplog.records if "memory is short" in r.message] == [3, 1]
        watch.most = 16
        with pytest.raises(SamplingError, match=r"question 'q\d': memory is short even for one completion"):
            drawn(placed_model, tmp_path / "none")


@pytest.mark.parametrize("top_p", [1.0, 0.95])
def test_a_large_vocabulary_is_drawn_from_in_blocks_and_never_at_no_weight(top_p):
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(60, 5003)).astype(np.float32)) * 2
    draws = np.concatenate([rng.random(58), [0.0, 1 - 2**-53]])
    asked = SamplingSettings(temperature=1.1, top_p=top_p, top_k=2000)
    expected, logprobs = choose(logits, torch.from_numpy(draws), asked)
    with emulated.emulated(float64=False):
        on = torch.from_numpy(draws.astype(np.float32)).to("emu:1")
        tokens, found = (part.cpu() for part in choose(logits.to("emu:1"), on, asked))
    # float32 puts a draw beside its token once in some hundred thousand.
    assert (tokens == expected).float().mean() > 0.99
    same = tokens == expected
    assert torch.equal(found[same], logprobs[same])
    least = logits.topk(2000).values[:, -1]
    assert bool((logits.gather(1, tokens[:, None])[:, 0] >= least).all())


@pytest.mark.parametrize("way", ["one", "two"])
@pytest.mark.parametrize("positions", [None, [0, 3], "prompt"])
def test_edits_follow_their_layer(way, positions):
    model = make_model("qwen3")
    ids = torch.arange(10, 22).reshape(2, 6)
    vector = torch.linspace(-1, 1, 32)
    given = {"positions": positions, "prompt_length": [2, 3]}

    def edited(ids):
        runs = []
        for edit in (add, ablate, replace):
            with torch.no_grad(), edit(model, vector, layers=[1, 3], **given):
                runs.append(model(ids).logits.cpu())
        with torch.no_grad(), patch(model, vector.repeat(2, 2, 1), layers=[2], positions=[[0, 4], [1, 2]]):
            runs.append(model(ids).logits.cpu())
        return torch.stack(runs)

    expected = edited(ids)
    with emulated.emulated():
        model = placed(model, way)
        found = edited(ids.to("emu:0"))
        vector = vector.to("emu:0")  # and where it is given on another layer's device
        again = edited(ids.to("emu:0"))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert torch.equal(found, again)


def test_the_loss_on_a_device_is_the_processors(tmp_path):
    from conftest import word_tokenizer
    from mechcot.distill.masks import IGNORED, Row, Supervised
    from mechcot.distill.sft import History, build_trainer, collate
    from mechcot.distill.training import Training

    rng = np.random.default_rng(0)
    rows = []
    for length in (9, 6, 7):
        ids = rng.integers(2, VOCAB, length).astype(np.int32)
        rows.append(Row("e", ids, np.where(np.arange(length) < 3, IGNORED, ids).astype(np.int32), {}))
    data = Supervised(tuple(rows), 0, "")
    model = make_model("qwen3").train()
    batch = collate(rows)
    total = (batch["labels"][:, 1:] != IGNORED).sum()
    trainer = build_trainer(
        model, word_tokenizer(tmp_path / "t"),
        Training(tmp_path, data, TrainSettings(batch_size=3, device="cpu"), 0),
        tmp_path, History(), lambda *step: False,
    )  # fmt: skip
    plain = trainer.compute_loss(model, dict(batch), num_items_in_batch=total)
    plain.backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    with emulated.emulated():
        model.to("emu:0")
        there = {name: values.to("emu:0") for name, values in batch.items()}
        loss = trainer.compute_loss(model, there, num_items_in_batch=total.to("emu:0"))
        assert loss.device.type == "emu"
        loss.backward()
        torch.testing.assert_close(loss.detach().cpu(), plain.detach(), rtol=1e-6, atol=1e-6)
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(parameter.grad.cpu(), expected[name], rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("shape", [(60, 8), (20, 90)])
def test_fits_on_a_device_are_the_processors(shape):
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=shape), rng.random((5, shape[0])) < 0.5
    labels[:, :2] = [True, False]
    rows = np.ones(labels.shape, bool)
    rows[:, 5:9] = False
    expected = solve(factor(X, device="cpu", dtype="float64"), labels, rows, C=0.1)
    with emulated.emulated():
        found = solve(factor(X, device="emu:1", dtype="float64"), labels, rows, C=0.1)
        np.testing.assert_allclose(found.coef(), expected.coef(), rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(found.converged, expected.converged)


def test_the_emulation_itself_refuses_what_a_gpu_refuses():
    with emulated.emulated(float64=False, most=4096):
        a, b = (torch.ones(3, device=f"emu:{i}") for i in range(2))
        for mixed in (
            lambda: a + b,
            lambda: a + torch.ones(3),
            lambda: a.index_select(0, torch.tensor([0])),
            lambda: a[torch.tensor([0], device="emu:1")],
            lambda: torch.where(b > 0, a, a),
            lambda: torch.nn.functional.embedding(torch.tensor([0]), a[:, None]),
        ):
            with pytest.raises(DeviceMismatchError):
                mixed()
        assert (a + torch.tensor(1.0)).tolist() == [2.0, 2.0, 2.0]
        assert a[torch.tensor([0, 1])].device == a.device
        assert a.to("emu:1").device == b.device
        with pytest.raises(RuntimeError, match="numpy"):
            a.numpy()
        with pytest.raises(TypeError, match="no float64"):
            a.double()
        with pytest.raises(torch.OutOfMemoryError):
            torch.ones(1025, device="emu:0")
