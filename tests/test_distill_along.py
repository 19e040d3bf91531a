"""Checkpoints kept along a training: the student's own bytes stay, and a kill changes none of theirs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import save_checkpoint, word_tokenizer
from mechcot.core import files
from mechcot.core.errors import TrainingError, UsageError
from mechcot.core.files import digest
from mechcot.core.training_settings import LoraSettings, TrainSettings
from mechcot.distill import distill
from mechcot.distill.masks import Supervised
from mechcot.distill.schedule import steps_along
from mechcot.distill.trainer import CARD, train, train_along
from mechcot.distill.training import Training
from test_distill_trainer import Stopped, difference, rows, stop_after, weights

SHARES = {"early": 0.25, "late": 0.625}
"""Steps 2 and 5 of 8."""


def kept(base: Path, data: Supervised, folder: Path, settings: TrainSettings, shares: Any = SHARES) -> Any:
    along = {folder / name: share for name, share in shares.items()}
    training = Training(base, data, settings, 0)
    return train(training, folder / "student", folder / "work", along=along, progress=False)


@pytest.mark.parametrize(
    ("lora", "dtype"),
    [(None, "float32"), (None, "bfloat16"), (LoraSettings(rank=4, dropout=0.2), "float32")],
    ids=["full", "bfloat16", "lora"],
)
def test_what_is_kept_is_the_training_as_it_was_and_leaves_it_alone(
    lora: LoraSettings | None, dtype: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = save_checkpoint(tmp_path / "base")
    tokenizer = word_tokenizer(base)
    settings = TrainSettings(
        batch_size=4, accumulation=2, save_every=5, learning_rate=3e-3, lora=lora, dtype=dtype
    )
    data = rows(30, tokenizer, settings)
    plain = kept(base, data, tmp_path / "plain", settings, {})
    assert plain.steps == 8
    with monkeypatch.context() as patch:
        stop_after(12, patch)  # behind step 5, whose checkpoint the trainer itself writes
        with pytest.raises(Stopped):
            kept(base, data, tmp_path / "along", settings)
    saved = tmp_path / "along" / "work" / "checkpoint-5"
    late = tmp_path / "along" / "late"
    assert_same_weights(saved, late, base, settings)
    resumed = kept(base, data, tmp_path / "along", settings)
    assert resumed.resumed_from == 5
    assert resumed.to_json() == plain.to_json()
    assert digest(tmp_path / "along" / "student") == digest(tmp_path / "plain" / "student")
    once = kept(base, data, tmp_path / "once", settings)
    assert once.resumed_from == 0
    for name in ("early", "late", "student"):
        assert digest(tmp_path / "once" / name) == digest(tmp_path / "along" / name)
    assert difference(base, late) > difference(base, tmp_path / "along" / "early") > 0
    card = files.read_json(late / CARD)
    assert card["kept"] == {"run": files.read_json(tmp_path / "plain" / "student" / CARD)["run"],
                            "step": 5, "steps": 8}  # fmt: skip
    assert files.read_json(late / "config.json") == files.read_json(tmp_path / "plain/student/config.json")


def assert_same_weights(saved: Path, kept_at: Path, base: Path, settings: TrainSettings) -> None:
    """What TRL saved at a step, its adapter merged by peft alone, against what was kept at it."""
    from transformers import AutoModelForCausalLM

    if settings.lora is None:
        found = weights(saved)
    else:
        from peft import PeftModel

        from mechcot.distill.sft import quiet_libraries

        with quiet_libraries():  # peft asks transformers for a deprecated name
            model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), saved)
        found = model.merge_and_unload().state_dict()
    own = weights(kept_at)
    assert {*own} <= {*found}
    assert all(torch.equal(found[name].to(own[name].dtype), own[name]) for name in own)
    assert {one.dtype for one in own.values()} == {getattr(torch, settings.dtype)}


def test_a_share_asked_for_behind_the_last_checkpoint_is_trained_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = save_checkpoint(tmp_path / "base")
    settings = TrainSettings(batch_size=4, save_every=3)
    data = rows(16, word_tokenizer(base), settings)
    with monkeypatch.context() as patch:
        stop_after(4, patch)
        with pytest.raises(Stopped):
            kept(base, data, tmp_path / "one", settings, {"late": 0.625})
    done = kept(base, data, tmp_path / "one", settings)
    assert done.resumed_from == 0  # step 2 lies before step 3, the last checkpoint, and was not kept
    kept(base, data, tmp_path / "two", settings)
    for name in ("early", "late", "student"):
        assert digest(tmp_path / "one" / name) == digest(tmp_path / "two" / name)


def test_a_finished_student_is_trained_again_only_for_what_is_not_kept(tmp_path: Path) -> None:
    base = save_checkpoint(tmp_path / "base")
    settings = TrainSettings(batch_size=4)
    training = Training(base, rows(16, word_tokenizer(base), settings), settings, 0)
    out, early = tmp_path / "student", tmp_path / "early"
    distill(training, out, progress=False)
    before = digest(out)
    done = distill(training, out, along={early: 0.25}, progress=False)
    assert (done.resumed_from, digest(out)) == (0, before)
    assert distill(training, out, along={early: 0.25}, progress=False).resumed_from == 8
    assert distill(training, out, along={early: 0.5}, progress=False).resumed_from == 0  # another step
    late, work = tmp_path / "late", tmp_path / "work"
    kept = digest(early)
    assert train_along(training, out, work, {early: 0.5, late: 0.75}, progress=False) == 6
    assert train_along(training, out, work, {early: 0.5, late: 0.75}, progress=False) == 0
    assert (digest(out), digest(early), work.exists()) == (before, kept, False)
    distill(training, tmp_path / "again", along={tmp_path / "again-late": 0.75}, progress=False)
    assert digest(tmp_path / "again-late") == digest(late)
    with pytest.raises(TrainingError, match="does not lie on its way"):
        train_along(replace(training, seed=1), out, work, {tmp_path / "other": 0.5}, progress=False)
    with pytest.raises(UsageError, match="holds a student of other examples"):
        distill(training, early, progress=False)  # what is kept on the way is not the end
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(UsageError, match="is no student that mechcot wrote; it is not touched"):
        distill(training, out, along={tmp_path / "mine": 0.5}, progress=False)


def test_shares_lie_on_steps_of_their_own() -> None:
    assert steps_along({"a": 0.1, "b": 0.25, "c": 0.5}, 250) == {"a": 25, "b": 63, "c": 125}
    for shares, total, message in (
        ({"a": 0.01}, 20, "0.01 of 20 optimiser steps lies before the first step"),
        ({"a": 0.99}, 20, "0.99 of 20 optimiser steps lies at the last step, which is the student itself"),
        ({"a": 0.5, "b": 0.52}, 20, r"0.52 of 20 optimiser steps is step 10, and so is the share 0\.5"),
    ):
        with pytest.raises(TrainingError, match=message):
            steps_along(shares, total)


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
import test_distill_along as here
from pathlib import Path
base = Path({base!r})
settings = here.TrainSettings(batch_size=4, epochs=10, save_every=10)
data = here.rows(40, here.word_tokenizer(base), settings)
here.torch.set_num_threads(1)
here.kept(base, data, Path({out!r}), settings)
"""


@pytest.mark.slow
def test_a_killed_training_goes_on_and_keeps_the_same_bytes(tmp_path: Path) -> None:
    base = save_checkpoint(tmp_path / "base")

    def start(name: str) -> subprocess.Popen[bytes]:
        tests, out = str(Path(__file__).parent), str(tmp_path / name)
        text = SCRIPT.format(tests=tests, base=str(base), out=out)
        return subprocess.Popen([sys.executable, "-c", text], env={**os.environ, "OMP_NUM_THREADS": "1"})

    assert start("whole").wait(timeout=300) == 0
    for wanted in ("early", "late"):
        process = start("cut")
        deadline = time.monotonic() + 120
        while not (tmp_path / "cut" / wanted).is_dir():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not (tmp_path / "cut" / "student").exists()
    assert start("cut").wait(timeout=300) == 0
    for name in ("early", "late", "student"):
        assert digest(tmp_path / "whole" / name) == digest(tmp_path / "cut" / name)
