from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import save_checkpoint
from mechcot.core.errors import DataError, ModelError, UsageError
from mechcot.core.files import digest
from mechcot.core.training_settings import TrainSettings
from mechcot.distill import distill
from mechcot.distill.job import context_of
from test_distill_trainer import Stopped, stop_after

SETTINGS = TrainSettings(batch_size=4, save_every=2)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("base"))


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    rows = [
        {"prompt": f"w{i} <think>", "completion": f"w{i + 1} w3 . </think> answer w{i}", "answer_start": 8}
        for i in range(12)
    ]
    path = tmp_path / "examples.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_the_report_comes_before_the_training(
    base: Path, examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    with monkeypatch.context() as patch:
        stop_after(0, patch)
        with pytest.raises(Stopped):
            distill(base, examples, tmp_path / "out", SETTINGS, seed=0, say=said.append, progress=False)
    assert len(said) == 1
    assert said[0].startswith("12 rows, ")
    assert not (tmp_path / "out").exists()


def test_a_dry_run_reports_and_writes_nothing(base: Path, examples: Path, tmp_path: Path) -> None:
    said: list[str] = []
    done = distill(base, examples, tmp_path / "out", SETTINGS, seed=0, dry_run=True, say=said.append)
    assert done.result is None
    assert said == [done.report]
    assert "end of text trained: yes, in all 12 rows" in done.report
    assert [path.name for path in tmp_path.iterdir()] == ["examples.jsonl"]


def test_a_killed_call_goes_on_when_it_is_made_again(
    base: Path, examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = distill(base, examples, tmp_path / "whole", SETTINGS, seed=0, progress=False)
    with monkeypatch.context() as patch:
        stop_after(5, patch)
        with pytest.raises(Stopped):
            distill(base, examples, tmp_path / "cut", SETTINGS, seed=0, progress=False)
    assert (tmp_path / "cut.work" / "checkpoint-4").exists()
    cut = distill(base, examples, tmp_path / "cut", SETTINGS, seed=0, progress=False)
    assert cut.result is not None
    assert whole.result is not None
    assert (cut.result.resumed_from, whole.result.resumed_from) == (4, 0)
    assert cut.result.to_json() == whole.result.to_json()
    assert digest(tmp_path / "cut") == digest(tmp_path / "whole")
    assert not (tmp_path / "cut.work").exists()


def test_the_same_call_again_trains_nothing(
    base: Path, examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = distill(base, examples, tmp_path / "out", SETTINGS, seed=0, progress=False)
    stop_after(0, monkeypatch)
    said: list[str] = []
    again = distill(base, examples, tmp_path / "out", SETTINGS, seed=0, say=said.append)
    assert "already holds this student" in said[1]
    assert first.result is not None
    assert again.result is not None
    assert again.result.to_json() == first.result.to_json()


def test_another_student_is_replaced_only_on_request(base: Path, examples: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    distill(base, examples, out, SETTINGS, seed=0, progress=False)
    before = digest(out)
    with pytest.raises(UsageError, match="holds a student of other examples, settings, seed"):
        distill(base, examples, out, SETTINGS, seed=1, progress=False)
    assert digest(out) == before
    distill(base, examples, out, SETTINGS, seed=1, overwrite=True, progress=False)
    assert digest(out) != before


def test_what_is_not_a_student_is_never_replaced(base: Path, examples: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "file").write_text("mine")
    with pytest.raises(UsageError, match="it is not touched"):
        distill(base, examples, out, SETTINGS, seed=0, overwrite=True)
    with pytest.raises(UsageError, match="is a file"):
        distill(base, examples, out / "file", SETTINGS, seed=0)
    with pytest.raises(UsageError, match="not touched"):
        distill(base, examples, base, SETTINGS, seed=0, overwrite=True)
    assert (out / "file").read_text() == "mine"


def test_an_empty_folder_may_be_filled(base: Path, examples: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    distill(base, examples, tmp_path / "out", SETTINGS, seed=0, progress=False)
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_bad_inputs_are_named(base: Path, examples: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl does not exist"):
        distill(base, tmp_path / "none.jsonl", tmp_path / "out", SETTINGS, seed=0)
    with pytest.raises(ModelError, match="no such folder"):
        distill(tmp_path / "no" / "model", examples, tmp_path / "out", SETTINGS, seed=0)
    with pytest.raises(DataError, match="max_length allows 5"):
        distill(base, examples, tmp_path / "out", SETTINGS.model_copy(update={"max_length": 5}), seed=0)


def test_context_comes_from_the_config(base: Path, tmp_path: Path) -> None:
    assert context_of(base) == 128
    assert context_of(save_checkpoint(tmp_path / "gpt2", "gpt2")) == 128
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"its config\.json cannot be used"):
        context_of(tmp_path)


def test_importing_it_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'trl', 'peft', 'datasets'} & set(sys.modules)"
    code = f"import sys, mechcot.distill, mechcot.distill.trainer; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
