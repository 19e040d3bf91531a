import logging
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from mechcot.core.errors import TrainingError
from mechcot.core.files import digest
from mechcot.core.training_settings import OrganismSettings
from mechcot.distill import pretrain as module
from mechcot.distill.pretrain import STATE, pretrain, rate
from mechcot.tasks.organism.world import build_world

TINY = OrganismSettings(
    diseases=12,
    chain_nodes=12,
    pretrain_steps=12,
    hidden_size=32,
    layers=1,
    fact_rows=8,
    post_rows=4,
    save_every=4,
)
WORLD = build_world(TINY, 7)


class Killed(BaseException):
    """Stands for the end of the process: nothing after it runs."""


def train(folder: Path, settings: OrganismSettings = TINY, seed: int = 7) -> Path:
    pretrain(WORLD, settings, seed, folder / "base", folder / "work", progress=False)
    return folder / "base"


def train_until(step: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killing(at: int, steps: int) -> float:
        if at == step:
            raise Killed
        return rate(at, steps)

    with monkeypatch.context() as patch:
        patch.setattr(module, "rate", killing)
        with pytest.raises(Killed):
            train(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("step", [3, 6, 11])
def test_a_killed_training_ends_at_the_same_bytes(whole, step, tmp_path, monkeypatch) -> None:
    train_until(step, tmp_path, monkeypatch)
    assert not (tmp_path / "base").exists()
    assert (tmp_path / "work" / STATE).exists() == (step >= 4)
    resumed = train(tmp_path)
    assert digest(resumed) == digest(whole)
    assert not (tmp_path / "work" / STATE).exists()


_TRAIN = """
import sys
from pathlib import Path
import torch
from mechcot.core.training_settings import OrganismSettings
from mechcot.distill.pretrain import pretrain
from mechcot.tasks.organism.world import build_world
torch.set_num_threads(1)
settings = OrganismSettings.model_validate_json(sys.argv[1])
folder = Path(sys.argv[2])
pretrain(build_world(settings, 7), settings, 7, folder / "base", folder / "work", progress=False)
"""


@pytest.mark.slow
def test_a_training_shot_dead_ends_at_the_same_bytes(tmp_path) -> None:
    settings = TINY.model_copy(update={"pretrain_steps": 160, "save_every": 7})
    whole = train(tmp_path / "whole", settings)
    command = [sys.executable, "-c", _TRAIN, settings.model_dump_json(), str(tmp_path / "shot")]
    shot = subprocess.Popen(command)
    state = tmp_path / "shot" / "work" / STATE
    before = state.stat().st_mtime_ns if state.exists() else 0
    while not (state.exists() and state.stat().st_mtime_ns > before):
        assert shot.poll() is None
        time.sleep(0.01)
    time.sleep(0.2)
    shot.kill()
    assert shot.wait() == -signal.SIGKILL
    assert state.exists()  # the work of another process, gone on from in this one
    assert digest(train(tmp_path / "shot", settings)) == digest(whole)


def test_a_resumed_training_does_not_repeat_saved_steps(tmp_path, monkeypatch) -> None:
    train_until(10, tmp_path, monkeypatch)
    asked = []
    monkeypatch.setattr(module, "rate", lambda step, steps: asked.append(step) or rate(step, steps))
    train(tmp_path)
    assert asked == [8, 9, 10, 11]


def test_the_state_of_another_training_is_not_used(whole, tmp_path, monkeypatch, caplog) -> None:
    train_until(6, tmp_path, monkeypatch)
    with caplog.at_level(logging.WARNING):
        other = train(tmp_path, seed=8)
    assert "another training" in caplog.text
    assert digest(other) == digest(train(tmp_path / "fresh", seed=8)) != digest(whole)


def test_a_damaged_state_is_refused(tmp_path) -> None:
    state = tmp_path / "work" / STATE
    state.parent.mkdir()
    state.write_bytes(b"damaged")
    with pytest.raises(TrainingError, match="damaged"):
        train(tmp_path)


def test_callers_random_state_is_untouched(tmp_path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    train(tmp_path)
    assert torch.equal(torch.rand(1), expected)


def test_checkpoint_is_an_ordinary_one(whole) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(whole)
    tokenizer = AutoTokenizer.from_pretrained(whole)
    assert model.config.model_type == "qwen3"
    assert model.config.vocab_size == len(tokenizer)
    assert model.generation_config.eos_token_id == model.config.eos_token_id == tokenizer.eos_token_id
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id != tokenizer.eos_token_id
    assert model.generation_config.do_sample
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert not list(whole.glob("*.bin"))
    ids = tokenizer("case . options <think>", return_tensors="pt")
    written = model.generate(**ids, max_new_tokens=3)
    assert written.shape[1] > ids["input_ids"].shape[1]


def test_training_lowers_the_loss(tmp_path) -> None:
    settings = TINY.model_copy(update={"pretrain_steps": 60, "save_every": 60})
    from transformers import AutoModelForCausalLM

    from mechcot.tasks.organism.corpus import Corpus
    from mechcot.tasks.organism.tokenizer import vocabulary

    ids = {word: i for i, word in enumerate(vocabulary(WORLD))}
    held = Corpus(WORLD, settings, 7).posts(10_000)
    before = module._new_model(WORLD, settings, 7)
    after = AutoModelForCausalLM.from_pretrained(train(tmp_path, settings))
    with torch.no_grad():
        assert module._loss(after, held, ids) < 0.7 * module._loss(before, held, ids)


def test_a_loss_that_is_not_finite_is_an_error(tmp_path) -> None:
    with pytest.raises(TrainingError, match=r"learning_rate"):
        train(tmp_path, TINY.model_copy(update={"learning_rate": 1e30}))
    assert not (tmp_path / "base").exists()


def test_rate_warms_up_stays_and_falls() -> None:
    rates = [rate(step, 650) for step in range(650)]
    assert rates[0] == pytest.approx(1 / 40)
    assert rates[39:326] == [1.0] * 287
    assert rates[-1] == pytest.approx(0.02 + 0.98 / 325)
    assert all(a >= b for a, b in pairwise(rates[325:]))
