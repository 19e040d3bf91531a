"""`mechcot distill --launch FILE`: accelerate starts the processes, and the student is the same."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from conftest import save_checkpoint
from mechcot.cli import app
from mechcot.core.errors import ConfigError, MissingDependency
from mechcot.core.files import digest
from mechcot.core.training_settings import TrainSettings
from mechcot.distill.launch_file import launched_by, read_launch, with_launch
from test_distill_trainer import step_reached

CPU = {"distributed_type": "MULTI_CPU", "use_cpu": True, "num_processes": 2, "main_process_port": 0}
"""What `accelerate config` writes for two processes on processors."""


def written(path: Path, **more: Any) -> Path:
    told = {"compute_environment": "LOCAL_MACHINE", "mixed_precision": "no", "num_machines": 1, **CPU, **more}
    path.write_text(yaml.safe_dump({name: value for name, value in told.items() if value is not None}))
    return path


# --- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"distributed_type": "FSDP", "fsdp_config": {"fsdp_version": 2}},
            "distributed_type is FSDP: a model",
        ),
        ({"distributed_type": "DEEPSPEED"}, "distributed_type is DeepSpeed: a model"),
        ({"distributed_type": "NO"}, "distributed_type is NO, which starts no processes"),
        ({"distributed_type": None}, "accelerate cannot read it .*distributed_type"),
        ({"distributed_type": "MANY"}, "accelerate cannot read it .*MANY"),
        ({"learning_rate": 1.0}, r"accelerate cannot read it .*unknown keys .*learning_rate"),
        ({"mixed_precision": "bf16"}, "mixed_precision is bf16; the setting dtype says the precision"),
        ({"num_processes": 1}, "num_processes is 1; name how many processes"),
        ({"compute_environment": "AMAZON_SAGEMAKER", "distributed_type": "NO"}, "accelerate cannot read it"),
    ],
)
def test_a_file_that_starts_no_training_of_mechcot_is_refused(
    more: dict[str, Any], said: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "accelerate.yaml", **more)
    with pytest.raises(ConfigError, match=f"^{path}: {said}"):
        read_launch(path)


@pytest.mark.parametrize("text", ["", "[1, 2]", "a: [", "words"])
def test_what_is_no_configuration_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match="accelerate cannot read it"):
        read_launch(tmp_path / "a.yaml")


def test_a_missing_file_is_told_before_anything_is_read(tmp_path: Path) -> None:
    called = ["distill", "--model", "none", "--examples", "none", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*called, "--launch", str(tmp_path / "none.yaml")])
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception).startswith(f"{tmp_path / 'none.yaml'}: there is no such file")
    assert "accelerate config --config_file" in str(done.exception)


def test_without_accelerate_it_says_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mechcot.distill.launch_file.find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"accelerate.*mechcot\[train\]"):
        read_launch(written(tmp_path / "a.yaml"))


def test_the_file_and_the_settings_say_the_same(tmp_path: Path) -> None:
    path = written(tmp_path / "a.yaml")
    told = with_launch(TrainSettings(), path)
    assert (told.processes, told.device, told.launch) == (2, "cpu", str(path))
    with pytest.raises(ConfigError, match="num_processes is 2, and the setting processes is 4"):
        with_launch(TrainSettings(processes=4), path)
    with pytest.raises(ConfigError, match="compute on processors"):
        launched_by(TrainSettings(processes=2, launch=str(path)))
    gpus = written(tmp_path / "b.yaml", distributed_type="MULTI_GPU", use_cpu=False)
    assert with_launch(TrainSettings(), gpus).device == "auto"


# --- what it trains ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base and examples."""
    folder = tmp_path_factory.mktemp("given")
    save_checkpoint(folder / "base")
    rows = [
        {"prompt": f"w{i} <think>", "completion": f"w{i + 1} w3 . </think> answer w{i}", "answer_start": 8}
        for i in range(24)
    ]
    (folder / "examples.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def distilling(given: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    settings = ("batch_size=2", "epochs=10", "save_every=10", "device=cpu")
    command = [sys.executable, "-m", "mechcot", "distill", "--quiet", "--model", str(given / "base")]
    command += ["--examples", str(given / "examples.jsonl"), "--out", str(out), *more]
    for setting in settings:
        command += ["--set", setting]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def ended(process: subprocess.Popen[str]) -> None:
    said, _ = process.communicate(timeout=3600)
    assert process.returncode == 0, said


@pytest.fixture(scope="module")
def whole(given: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The student of two processes that mechcot starts itself."""
    out = tmp_path_factory.mktemp("whole") / "student"
    ended(distilling(given, out, "--set", "processes=2"))
    return out


@pytest.mark.slow
def test_accelerate_s_two_processes_killed_go_on_to_the_same_student(
    given: Path, whole: Path, tmp_path: Path
) -> None:
    launch = ("--launch", str(written(tmp_path / "accelerate.yaml")))
    process = distilling(given, tmp_path / "student", *launch)
    while step_reached(tmp_path / "student.work") < 30:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    time.sleep(3)  # its processes end with it: nothing more is written
    reached = step_reached(tmp_path / "student.work")
    time.sleep(2)
    assert step_reached(tmp_path / "student.work") == reached
    ended(distilling(given, tmp_path / "student", *launch))
    assert digest(tmp_path / "student") == digest(whole)
    assert {path.name for path in tmp_path.iterdir()} == {"accelerate.yaml", "student"}


@pytest.mark.slow
def test_the_same_command_on_each_of_two_machines_trains_the_same_student(
    given: Path, whole: Path, tmp_path: Path
) -> None:
    """Two calls stand for the machines: a folder that both see, a rank each."""
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    calls = []
    for rank in (0, 1):
        file = written(
            tmp_path / f"machine-{rank}.yaml",
            num_machines=2, machine_rank=rank, main_process_ip="127.0.0.1", main_process_port=port,
            same_network=True,
        )  # fmt: skip
        calls.append(distilling(given, tmp_path / "student", "--launch", str(file)))
    for call in calls:
        ended(call)
    assert digest(tmp_path / "student") == digest(whole)
    assert {path.suffix for path in tmp_path.iterdir()} == {".yaml", ""}
