from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from conftest import save_checkpoint
from mechcot.cli import app
from mechcot.core.errors import DataError, ModelError, UsageError
from mechcot.core.files import digest
from mechcot.core.training_settings import TrainSettings
from mechcot.distill import distill, prepare
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
    stop_after(0, monkeypatch)
    done = CliRunner().invoke(app, [
        *("distill", "--model", str(base), "--examples", str(examples), "--out", str(tmp_path / "out")),
        *("--set", "batch_size=4", "--quiet"),
    ])  # fmt: skip
    assert isinstance(done.exception, Stopped)
    assert done.stdout.startswith("12 rows, ")
    assert not (tmp_path / "out").exists()


def test_a_dry_run_reports_and_writes_nothing(base: Path, examples: Path, tmp_path: Path) -> None:
    assert "end of text trained: yes, in all 12 rows" in prepare(base, examples, SETTINGS, seed=0).report
    done = CliRunner().invoke(app, [
        *("distill", "--model", str(base), "--examples", str(examples), "--out", str(tmp_path / "out")),
        "--dry-run",
    ])  # fmt: skip
    assert done.exit_code == 0
    assert "end of text trained: yes, in all 12 rows" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["examples.jsonl"]


def test_a_killed_call_goes_on_when_it_is_made_again(
    base: Path, examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = prepare(base, examples, SETTINGS, seed=0)
    whole = distill(training, tmp_path / "whole", progress=False)
    with monkeypatch.context() as patch:
        stop_after(5, patch)
        with pytest.raises(Stopped):
            distill(training, tmp_path / "cut", progress=False)
    assert (tmp_path / "cut.work" / "checkpoint-4").exists()
    cut = distill(training, tmp_path / "cut", progress=False)
    assert (cut.resumed_from, whole.resumed_from) == (4, 0)
    assert cut.to_json() == whole.to_json()
    assert digest(tmp_path / "cut") == digest(tmp_path / "whole")
    assert not (tmp_path / "cut.work").exists()


def test_the_same_call_again_trains_nothing(
    base: Path, examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    training = prepare(base, examples, SETTINGS, seed=0)
    first = distill(training, tmp_path / "out", progress=False)
    stop_after(0, monkeypatch)
    with caplog.at_level(logging.INFO, "mechcot"):
        again = distill(training, tmp_path / "out")
    assert "already holds this student" in caplog.text
    assert again.to_json() == first.to_json()


def test_another_student_is_replaced_only_on_request(base: Path, examples: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    distill(prepare(base, examples, SETTINGS, seed=0), out, progress=False)
    before = digest(out)
    with pytest.raises(UsageError, match="holds a student of other examples, settings, seed"):
        distill(prepare(base, examples, SETTINGS, seed=1), out, progress=False)
    assert digest(out) == before
    distill(prepare(base, examples, SETTINGS, seed=1), out, overwrite=True, progress=False)
    assert digest(out) != before


def test_what_is_not_a_student_is_never_replaced(base: Path, examples: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "file").write_text("mine")
    with pytest.raises(UsageError, match="it is not touched"):
        distill(prepare(base, examples, SETTINGS, seed=0), out, overwrite=True)
    with pytest.raises(UsageError, match="is a file"):
        distill(prepare(base, examples, SETTINGS, seed=0), out / "file")
    with pytest.raises(UsageError, match="not touched"):
        distill(prepare(base, examples, SETTINGS, seed=0), base, overwrite=True)
    assert (out / "file").read_text() == "mine"


def test_an_empty_folder_may_be_filled(base: Path, examples: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    distill(prepare(base, examples, SETTINGS, seed=0), tmp_path / "out", progress=False)
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_bad_inputs_are_named(base: Path, examples: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl does not exist"):
        distill(prepare(base, tmp_path / "none.jsonl", SETTINGS, seed=0), tmp_path / "out")
    with pytest.raises(ModelError, match="no such folder"):
        distill(prepare(tmp_path / "no" / "model", examples, SETTINGS, seed=0), tmp_path / "out")
    with pytest.raises(DataError, match="max_length allows 5"):
        prepare(base, examples, SETTINGS.model_copy(update={"max_length": 5}), seed=0)


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
