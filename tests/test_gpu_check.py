"""The script for whoever has a GPU, tried where there is none."""

import json
import runpy
import signal
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parent.parent / "scripts" / "gpu_check.py"


@pytest.fixture
def run(monkeypatch):
    """The script from its door, in this process."""
    ended = signal.getsignal(signal.SIGALRM)

    def run(*given):
        monkeypatch.setattr("sys.argv", [str(SCRIPT), *given])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        return end.value.code

    yield run
    signal.signal(signal.SIGALRM, ended)


@pytest.mark.slow
def test_a_dry_run_goes_through_every_part(run, tmp_path, capsys):
    code = run("--dry", "--out", str(tmp_path / "found.json"))
    told = capsys.readouterr()
    assert code == 0, told.out + told.err
    found = json.loads((tmp_path / "found.json").read_text())
    assert found == json.loads(told.out)
    for part in ("reading", "sampling", "training"):
        assert {"tokens_per_second", "mfu", "peak_gb"} <= found[part].keys()
        assert found[part]["tokens"] > 0
    assert found["sampling"]["repeats"]
    assert len(found["training"]["losses"]) == 6


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_without_a_gpu_it_says_so_in_one_line_and_fails(run, tmp_path, capsys):
    assert run("--out", str(tmp_path / "found.json")) == 2
    told = capsys.readouterr().out
    assert told.count("\n") == 1
    assert "no CUDA device" in told
    assert not (tmp_path / "found.json").exists()
