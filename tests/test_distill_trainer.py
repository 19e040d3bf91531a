from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from conftest import save_checkpoint, tiny_model, word_tokenizer
from mechcot.core.errors import ModelError, TrainingError, UsageError
from mechcot.core.files import digest
from mechcot.core.training_settings import LoraSettings, TrainSettings
from mechcot.distill import checkpoints
from mechcot.distill.masks import IGNORED, Supervised, supervised
from mechcot.distill.schedule import row_order
from mechcot.distill.trainer import CARD, train
from mechcot.distill.training import Training


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # models this small only lose by a second one
    yield
    torch.set_num_threads(threads)


def rows(n: int, tokenizer: Any, settings: TrainSettings, *, seed: int = 0) -> Supervised:
    """Examples with a prompt of their own, random reasoning of 3 to 9 words and a random answer."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        words = [f"w{k}" for k in rng.integers(0, 58, rng.integers(3, 10))]
        reasoning = " ".join(words)
        made.append(
            {
                "eid": str(i),
                "qid": "",
                "prompt": f"w{i % 58} w{i // 58} <think>",
                "completion": f"{reasoning} </think> answer w{rng.integers(58)}",
                "answer_start": len(reasoning) + 1,
            }
        )
    return supervised(pd.DataFrame(made), tokenizer, settings, context=128)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return word_tokenizer(tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module", params=["qwen3", "gpt2"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp(f"base-{request.param}"), request.param)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def difference(a: Path, b: Path) -> float:
    one, two = weights(a), weights(b)
    assert one.keys() == two.keys()
    return max(float((one[name] - two[name]).abs().max()) for name in one)


def run(base: Path, data: Supervised, folder: Path, name: str, settings: TrainSettings, seed: int = 0) -> Any:
    training = Training(base, data, settings, seed)
    return train(training, folder / name, folder / f"{name}.work", progress=False)


def losses_by_kind(folder: Path, data: Supervised) -> dict[str, float]:
    """Mean cross-entropy of the tokens of each kind, read off the plain checkpoint."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    found: dict[str, list[float]] = {}
    for row in data.rows:
        with torch.no_grad():
            logp = model(torch.tensor(row.input_ids[None].astype(np.int64))).logits[0].log_softmax(-1)
        for kind, start, end in row.spans:
            for t in range(max(start, 1), end):
                found.setdefault(kind, []).append(-float(logp[t - 1, int(row.input_ids[t])]))
    return {kind: float(np.mean(values)) for kind, values in found.items()}


def test_only_the_answer_is_learned_when_only_the_answer_is_trained(
    base: Path, tokenizer: Any, tmp_path: Path
) -> None:
    settings = TrainSettings(
        epochs=60, batch_size=8, learning_rate=5e-3, loss_on=("answer",), save_every=1000, weight_decay=0.0
    )
    data = rows(8, tokenizer, settings)
    before = losses_by_kind(base, data)
    result = run(base, data, tmp_path, "student", settings)
    after = losses_by_kind(tmp_path / "student", data)
    assert result.steps == 60
    assert after["answer"] < 0.05 * before["answer"]
    assert after["reasoning"] > 0.5 * before["reasoning"]
    assert after["end"] > 0.2 * before["end"]


def plain_loop(base: Path, data: Supervised, settings: TrainSettings, seed: int) -> tuple[Any, list[float]]:
    """The same training by hand: one optimiser step at a time, nothing but PyTorch."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base).train()
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=0.0, betas=(settings.beta1, settings.beta2))
    order = row_order(len(data.rows), settings.epochs, seed)
    per_step = settings.batch_size * settings.accumulation
    total = -(-len(order) // per_step)
    losses = []
    for i in range(total):
        fall = min(1.0, (total - i) / (settings.decay_share * total))
        rate = min(1.0, (i + 1) / settings.warmup_steps) * (0.02 + 0.98 * fall)
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * rate
        chosen = [data.rows[k] for k in order[i * per_step : (i + 1) * per_step]]
        summed, count = torch.tensor(0.0), 0
        for row in chosen:  # one row at a time: no padding at all
            ids = torch.tensor(row.input_ids[None].astype(np.int64))
            labels = torch.tensor(row.labels.astype(np.int64))
            logits = model(ids).logits[0, :-1]
            summed = summed + torch.nn.functional.cross_entropy(
                logits, labels[1:], ignore_index=IGNORED, reduction="sum"
            )
            count += int((labels[1:] != IGNORED).sum())
        (summed / count).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
        optimiser.step()
        optimiser.zero_grad()
        losses.append(float(summed.detach()) / count)
    return model, losses


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("family", ["qwen3", "llama"])
def test_trajectory_equals_a_hand_written_loop(
    family: str, accumulation: int, tokenizer: Any, tmp_path: Path
) -> None:
    base = save_checkpoint(tmp_path / "base", family)
    settings = TrainSettings(
        epochs=2.5, batch_size=4, accumulation=accumulation, warmup_steps=3, weight_decay=0.1, save_every=1000
    )
    data = rows(22, tokenizer, settings)
    result = run(base, data, tmp_path, "student", settings, seed=5)
    model, losses = plain_loop(base, data, settings, seed=5)
    assert result.losses == pytest.approx(losses, abs=2e-5)
    trained, start = weights(tmp_path / "student"), weights(base)
    own = {name: parameter.detach() for name, parameter in model.named_parameters()}
    assert max(float((trained[name] - own[name]).abs().max()) for name in trained) < 2e-5
    assert min(float((trained[name] - start[name]).abs().max()) for name in trained) > 1e-3
    order = row_order(22, 2.5, 5)
    assert result.tokens == sum(len(data.rows[i].input_ids) for i in order)
    assert result.trained_tokens == sum(int((data.rows[i].labels != IGNORED).sum()) for i in order)


def test_the_head_used_on_accelerators_gives_the_same_student(
    base: Path, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mechcot.distill import sft

    settings = TrainSettings(batch_size=4, accumulation=2, epochs=1, loss_on=("reasoning", "end"))
    data = rows(20, tokenizer, settings)
    own = run(base, data, tmp_path, "own", settings)
    monkeypatch.delattr(sft._Trainer, "compute_loss")
    theirs = run(base, data, tmp_path, "theirs", settings)
    assert theirs.losses == pytest.approx(own.losses, abs=1e-5)
    assert difference(tmp_path / "own", tmp_path / "theirs") < 1e-5


def test_bfloat16_is_written_as_such_and_learns(base: Path, tokenizer: Any, tmp_path: Path) -> None:
    settings = TrainSettings(batch_size=4, epochs=15, dtype="bfloat16", learning_rate=3e-3, save_every=9)
    data = rows(8, tokenizer, settings)
    result = run(base, data, tmp_path, "student", settings)
    assert result.final_loss < 0.9 * result.losses[0]
    assert {value.dtype for value in weights(tmp_path / "student").values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "student" / "config.json").read_text())["dtype"] == "bfloat16"


class Stopped(Exception):
    pass


def stop_after(batches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from mechcot.distill import sft

    real, seen = sft.collate, [0]

    def collate(chosen: Any) -> Any:
        seen[0] += 1
        if seen[0] > batches:
            raise Stopped
        return real(chosen)

    monkeypatch.setattr(sft, "collate", collate)


@pytest.mark.parametrize("lora", [None, LoraSettings(rank=4, dropout=0.2)])
def test_an_interrupted_run_ends_with_the_same_weights(
    base: Path, lora: LoraSettings | None, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TrainSettings(batch_size=4, accumulation=2, save_every=3, learning_rate=3e-3, lora=lora)
    data = rows(30, tokenizer, settings)
    whole = run(base, data, tmp_path, "whole", settings)
    assert whole.steps == 8
    with monkeypatch.context() as patch:
        stop_after(10, patch)
        with pytest.raises(Stopped):
            run(base, data, tmp_path, "cut", settings)
    work = tmp_path / "cut.work"
    assert not (tmp_path / "cut").exists()
    assert (work / "checkpoint-3" / checkpoints.COMPLETE).is_file()
    # A checkpoint that a kill cut short looks newer and must not be taken.
    (work / "checkpoint-6").mkdir()
    (work / "checkpoint-6" / "trainer_state.json").write_text('{"global_step": 6')
    resumed = run(base, data, tmp_path, "cut", settings)
    assert resumed.resumed_from == 3
    assert resumed.to_json() == whole.to_json()
    assert difference(tmp_path / "whole", tmp_path / "cut") == 0.0
    assert digest(tmp_path / "whole") == digest(tmp_path / "cut")
    assert not work.exists()


def test_checkpoints_of_other_settings_or_rows_are_not_gone_on_from(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = save_checkpoint(tmp_path / "base")
    settings = TrainSettings(batch_size=4, save_every=2)
    data = rows(12, tokenizer, settings)
    with monkeypatch.context() as patch:
        stop_after(4, patch)
        with pytest.raises(Stopped):
            run(base, data, tmp_path, "student", settings)
    assert (tmp_path / "student.work" / "checkpoint-2").exists()
    other = run(base, rows(12, tokenizer, settings, seed=1), tmp_path, "student", settings)
    assert other.resumed_from == 0


def test_same_seed_same_file_other_seed_another(base: Path, tokenizer: Any, tmp_path: Path) -> None:
    settings = TrainSettings(batch_size=4, epochs=1)
    data = rows(12, tokenizer, settings)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(base, data, tmp_path, name, settings, seed=seed)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert difference(tmp_path / "a", tmp_path / "c") > 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_adapter_is_merged_into_a_plain_checkpoint(
    base: Path, dtype: str, tokenizer: Any, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    settings = TrainSettings(
        batch_size=4, epochs=3, learning_rate=1e-2, lora=LoraSettings(rank=4), dtype=dtype, save_every=1000
    )
    data = rows(8, tokenizer, settings)
    run(base, data, tmp_path, "student", settings)
    out = tmp_path / "student"
    files = {path.name for path in out.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", CARD} <= files
    assert not any("adapter" in name or name.endswith((".bin", ".pt", ".pth")) for name in files)
    model = AutoModelForCausalLM.from_pretrained(out)
    assert model.dtype == getattr(torch, dtype)
    assert weights(out).keys() == weights(base).keys()
    start = AutoModelForCausalLM.from_pretrained(base)
    ids = torch.tensor([data.rows[0].input_ids.tolist()])
    with torch.no_grad():
        assert float((model(ids).logits.float() - start(ids).logits).abs().max()) > 1e-2
    assert AutoTokenizer.from_pretrained(out).eos_token_id == tokenizer.eos_token_id
    assert losses_by_kind(out, data)["answer"] < losses_by_kind(base, data)["answer"]


def test_full_training_keeps_the_bases_config(base: Path, tokenizer: Any, tmp_path: Path) -> None:
    settings = TrainSettings(batch_size=4, epochs=1)
    run(base, rows(4, tokenizer, settings), tmp_path, "student", settings)
    config = [json.loads((folder / "config.json").read_text()) for folder in (base, tmp_path / "student")]
    assert config[0] == config[1]
    ends = json.loads((tmp_path / "student" / "generation_config.json").read_text())["eos_token_id"]
    assert tokenizer.eos_token_id in (ends if isinstance(ends, list) else [ends])
    assert str(tmp_path) not in "".join(p.read_text() for p in (tmp_path / "student").glob("*.json"))


def test_the_end_of_text_is_learned_when_it_is_the_padding_too(tmp_path: Path) -> None:
    base = save_checkpoint(tmp_path / "base")
    tokenizer = word_tokenizer(base)
    for pad in (tokenizer.eos_token, None):
        tokenizer.pad_token = pad
        tokenizer.save_pretrained(base)
        settings = TrainSettings(epochs=40, batch_size=8, learning_rate=5e-3, save_every=1000)
        data = rows(8, tokenizer, settings)
        name = f"student-{pad}"
        run(base, data, tmp_path, name, settings)
        assert losses_by_kind(tmp_path / name, data)["end"] < 0.05


def poison(base: Path) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] = float("nan")
    model.save_pretrained(base)


def test_a_loss_that_is_no_number_ends_the_run_and_leaves_nothing(tokenizer: Any, tmp_path: Path) -> None:
    base = save_checkpoint(tmp_path / "base")
    poison(base)
    settings = TrainSettings(batch_size=4)
    with pytest.raises(
        TrainingError, match=r"the loss of step 1 is nan; no student was written\. Lower learning"
    ):
        run(base, rows(8, tokenizer, settings), tmp_path, "student", settings)
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_a_run_that_diverges_later_names_the_step(tokenizer: Any, tmp_path: Path) -> None:
    base = save_checkpoint(tmp_path / "base")
    settings = TrainSettings(batch_size=4, epochs=5, learning_rate=1e38, warmup_steps=0, save_every=1)
    with pytest.raises(TrainingError, match=r"the loss of step [2-9] is (nan|inf)|after step"):
        run(base, rows(8, tokenizer, settings), tmp_path, "student", settings)
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_unusable_bases_are_named(tokenizer: Any, tmp_path: Path) -> None:
    settings = TrainSettings()
    data = rows(4, tokenizer, settings)
    bare = tmp_path / "bare"
    tiny_model().save_pretrained(bare)
    with pytest.raises(ModelError, match=f"{bare}: .*tokenizer"):
        run(bare, data, tmp_path, "student", settings)
    small = tmp_path / "small"
    word_tokenizer(small)
    tiny_model(vocab=20).save_pretrained(small)
    with pytest.raises(ModelError, match="embeddings for 20 tokens"):
        run(small, data, tmp_path, "student", settings)
    cut = save_checkpoint(tmp_path / "cut")
    weights = cut / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:3000])
    with pytest.raises(ModelError, match=r"cut: its weights cannot be loaded"):
        run(cut, data, tmp_path, "student", settings)
    wrong = TrainSettings(lora=LoraSettings(targets=("no_such_module",)))
    with pytest.raises(ModelError, match=r"adapter of settings\.lora does not fit"):
        run(save_checkpoint(tmp_path / "base"), data, tmp_path, "student", wrong)
    assert not (tmp_path / "student").exists()


def test_a_foreign_folder_is_never_replaced(tokenizer: Any, tmp_path: Path) -> None:
    base = save_checkpoint(tmp_path / "base")
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "thesis.txt").write_text("mine")
    settings = TrainSettings()
    with pytest.raises(UsageError, match="no student that mechcot wrote"):
        run(base, rows(4, tokenizer, settings), tmp_path, "student", settings)
    assert (tmp_path / "student" / "thesis.txt").read_text() == "mine"


def test_nothing_is_reported_to_anyone(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from trl.trainer import base_trainer

    sent: list[Any] = []
    monkeypatch.setattr(base_trainer, "send_telemetry", lambda *args, **kwargs: sent.append(args))
    monkeypatch.delenv("CI", raising=False)
    settings = TrainSettings(batch_size=4, epochs=1, save_every=1)
    base = save_checkpoint(tmp_path / "base")
    capfd.readouterr()
    run(base, rows(4, tokenizer, settings), tmp_path, "student", settings)
    assert sent == []
    assert capfd.readouterr() == ("", "")


def test_every_weight_sampled_tells_a_changed_checkpoint_apart() -> None:
    from mechcot.distill.sft import sample_digest

    model = tiny_model()
    before = sample_digest(model)
    assert before == sample_digest(tiny_model())
    with torch.no_grad():
        model.model.layers[1].self_attn.q_proj.weight[0, 0] += 1e-6
    assert before != sample_digest(model)


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import {module} as here
here.torch.set_num_threads(1)
here.longer(Path({folder!r}), "cut")
"""


def longer(folder: Path, name: str) -> None:
    """A training of 100 steps with ten checkpoints, on the base in `folder`."""
    settings = TrainSettings(batch_size=4, epochs=10, save_every=10)
    run(folder / "base", rows(40, word_tokenizer(folder / "base"), settings), folder, name, settings)


def step_reached(work: Path) -> int:
    marks = [p.parent.name for p in work.glob("checkpoint-*/COMPLETE")]
    return max((int(name.split("-")[1]) for name in marks), default=0)


def shot_at_step(step: int, module: str, folder: Path) -> None:
    """Run `longer` of a module of tests in a process, and kill it once a checkpoint holds the step."""
    text = SCRIPT.format(tests=str(Path(__file__).parent), module=module, folder=str(folder))
    process = subprocess.Popen([sys.executable, "-c", text], env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 180
    while step_reached(folder / "cut.work") < step:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.mark.slow
def test_a_killed_process_goes_on_and_ends_with_the_same_weights(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "base")
    longer(tmp_path, "whole")
    shot_at_step(40, "test_distill_trainer", tmp_path)
    assert not (tmp_path / "cut").exists()
    assert step_reached(tmp_path / "cut.work") >= 40  # by another process, and gone on from in this one
    longer(tmp_path, "cut")
    assert difference(tmp_path / "whole", tmp_path / "cut") == 0.0
    assert digest(tmp_path / "whole") == digest(tmp_path / "cut")
