"""The script for whoever has a GPU, tried where there is none."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent


def run(*given):
    command = [sys.executable, str(ROOT / "scripts" / "gpu_check.py"), *given]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
def test_a_dry_run_goes_through_every_part(tmp_path):
    done = run("--dry", "--out", str(tmp_path / "found.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found == json.loads(done.stdout)
    for part in ("reading", "sampling", "training"):
        assert {"tokens_per_second", "mfu", "peak_gb"} <= found[part].keys()
        assert found[part]["tokens"] > 0
    assert found["sampling"]["repeats"]
    assert len(found["training"]["losses"]) == 6


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_without_a_gpu_it_says_so_in_one_line_and_fails(tmp_path):
    done = run("--out", str(tmp_path / "found.json"))
    assert done.returncode != 0
    assert done.stdout.count("\n") == 1
    assert "no CUDA device" in done.stdout
    assert not (tmp_path / "found.json").exists()
