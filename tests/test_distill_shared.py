"""Rows behind each other, processes that share a training, a base in four bits: the same student."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import save_checkpoint, word_tokenizer
from mechcot.core.errors import MissingDependency, ModelError, TrainingError
from mechcot.core.files import digest
from mechcot.core.training_settings import LoraSettings, TrainSettings
from mechcot.distill.student import four_bits
from mechcot.distill.trainer import train, train_along
from mechcot.distill.training import Training
from mechcot.models.weights import load_weights
from test_distill_trainer import difference, rows, run, shot_at_step, step_reached


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return word_tokenizer(tmp_path_factory.mktemp("words"))


@pytest.mark.parametrize("family", ["qwen3", "llama", "gpt2"])
def test_rows_behind_each_other_give_the_student_of_padded_rows(
    family: str, tokenizer: Any, tmp_path: Path
) -> None:
    base = save_checkpoint(tmp_path / "base", family)
    config = json.loads((base / "config.json").read_text())
    still = {name: 0.0 for name in config if name.endswith("_pdrop")}  # its draws would fall on other places
    (base / "config.json").write_text(json.dumps(config | still))
    settings = TrainSettings(batch_size=4, accumulation=2, epochs=2)
    data = rows(20, tokenizer, settings)
    padded = run(base, data, tmp_path, "padded", settings)
    packed = run(base, data, tmp_path, "packed", settings.model_copy(update={"packing": True}))
    assert packed.losses == pytest.approx(padded.losses, abs=1e-5)
    assert difference(tmp_path / "padded", tmp_path / "packed") < 2e-5


def test_a_model_whose_rows_see_each_other_is_not_packed(tokenizer: Any, tmp_path: Path) -> None:
    from transformers import MambaConfig, MambaForCausalLM

    torch.manual_seed(0)
    config = MambaConfig(vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, state_size=4)
    MambaForCausalLM(config).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    settings = TrainSettings(batch_size=4, packing=True)
    with pytest.raises(ModelError, match=r"see each other.*Set packing=false"):
        run(tmp_path / "base", rows(8, tokenizer, settings), tmp_path, "student", settings)


def shared(batch: int, processes: int, **others: Any) -> TrainSettings:
    return TrainSettings(batch_size=batch, processes=processes, device="cpu", **others)


@pytest.mark.slow
def test_two_processes_train_the_student_of_one_with_twice_the_rows(tokenizer: Any, tmp_path: Path) -> None:
    base = save_checkpoint(tmp_path / "base")
    # 21 rows: the last step has 5, three for one process and two for the other.
    data = rows(21, tokenizer, shared(8, 1))
    one = run(base, data, tmp_path, "one", shared(8, 1, epochs=1))
    training = Training(base, data, shared(4, 2, epochs=1), 0)
    two = train(training, tmp_path / "two", tmp_path / "w", along={tmp_path / "half": 0.5}, progress=False)
    assert (two.steps, two.resumed_from) == (3, 0)
    assert two.losses == pytest.approx(one.losses, abs=1e-5)
    assert difference(tmp_path / "one", tmp_path / "two") < 2e-5
    kept = digest(tmp_path / "half")
    assert train_along(training, tmp_path / "two", tmp_path / "w", {tmp_path / "half": 0.5}) == 0
    assert digest(tmp_path / "half") == kept
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "half", "one", "two"]


@pytest.mark.slow
def test_an_error_of_a_process_is_told_in_its_own_words(tokenizer: Any, tmp_path: Path) -> None:
    base = save_checkpoint(tmp_path / "base")
    settings = shared(4, 2, learning_rate=1e30, warmup_steps=0)
    with pytest.raises(TrainingError, match=r"in 2 processes: .*no student was written"):
        run(base, rows(24, tokenizer, settings), tmp_path, "student", settings)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base"]


def test_a_start_by_others_fits_the_settings(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, settings = save_checkpoint(tmp_path / "base"), shared(4, 2)
    data = rows(8, tokenizer, settings)
    for processes in (1, 3):
        monkeypatch.setenv("WORLD_SIZE", "2")
        with pytest.raises(TrainingError, match=r"2 processes were started.*Set processes=2"):
            run(base, data, tmp_path, "student", shared(4, processes))
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(TrainingError, match=r"3 processes were started.*Set processes=3"):
        run(base, data, tmp_path, "student", settings)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(TrainingError, match=r"ACCELERATE_USE_FSDP is set"):
        run(base, data, tmp_path, "student", settings)


def test_students_that_use_nothing_of_this_keep_their_keys() -> None:
    told = TrainSettings(lora=LoraSettings()).model_dump(mode="json")
    assert not {"packing", "processes", "launch"} & {*told}
    assert "base" not in told["lora"]
    assert TrainSettings(processes=2).model_dump(mode="json")["processes"] == 2


def longer(folder: Path, name: str) -> None:
    settings = shared(2, 2, epochs=10, save_every=10)
    run(folder / "base", rows(40, word_tokenizer(folder / "base"), settings), folder, name, settings)


@pytest.mark.slow
def test_two_processes_killed_go_on_and_end_with_the_same_weights(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "base")
    longer(tmp_path, "whole")
    shot_at_step(40, "test_distill_shared", tmp_path)
    time.sleep(3)  # its processes end with it: nothing more is written
    reached = step_reached(tmp_path / "cut.work")
    time.sleep(2)
    assert step_reached(tmp_path / "cut.work") == reached
    longer(tmp_path, "cut")
    assert digest(tmp_path / "whole") == digest(tmp_path / "cut")


def test_four_bits_say_what_they_need(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = save_checkpoint(tmp_path / "base")
    settings = TrainSettings(lora=LoraSettings(base="nf4"))
    monkeypatch.setattr("mechcot.distill.trainer.find_spec", lambda name: name != "bitsandbytes" or None)
    with pytest.raises(MissingDependency, match=r"mechcot\[qlora\]"):
        run(base, rows(8, tokenizer, settings), tmp_path, "student", settings)


def test_an_adapter_over_four_bits_is_put_on_the_base_as_it_was_saved(tokenizer: Any, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    base = save_checkpoint(tmp_path / "base", "llama")
    settings = TrainSettings(
        batch_size=4, epochs=8, learning_rate=5e-3, save_every=5, lora=LoraSettings(base="nf4", dropout=0.0)
    )
    data = rows(16, tokenizer, settings)
    result = run(base, data, tmp_path, "student", settings)
    assert result.final_loss < 0.9 * result.losses[0]
    held = load_weights(base, torch.float32, quantised=four_bits(torch.float32))
    assert "Linear4bit" in {type(one).__name__ for one in held.modules()}
    # What changed is of the adapter's rank alone: nothing of the base was rounded.
    from safetensors.torch import load_file

    before, after = (load_file(folder / "model.safetensors") for folder in (base, tmp_path / "student"))
    assert before.keys() == after.keys()
    for name in before:
        change = (after[name] - before[name]).float()
        if change.ndim == 2 and change.abs().max() > 0:
            assert torch.linalg.matrix_rank(change, rtol=1e-4) <= settings.lora.rank
        elif "norm" in name:
            assert change.abs().max() == 0
