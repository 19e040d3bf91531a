"""A study that is killed with SIGKILL inside its stages ends as one that never was."""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from pathlib import Path

import pytest

from mechcot.core import files
from mechcot.core.manifest import load_manifest

SMALL = (
    "organism.pretrain_steps=40",
    "organism.save_every=8",
    "organism.teacher_traces=128",
    "organism.clinical_questions=16",
    "organism.chain_questions=4",
    "arms.distilled.distill.train.save_every=4",
    "arms.terse=null",  # one student: no stage that is killed is another kind of stage for it
    "controls.terse=null",
    "sampling.batch_rows=32",
    "reading.max_tokens=1024",
    "analysis={bootstrap: 100, permutations: 0, folds: 2, traces_shown: 1}",
)
STAGES = ("pretrain", "distill-distilled", "sample-distilled", "read-base-by-distilled", "report")
"""Each keeps its unfinished work in its own way; scripts/kills.py kills three times inside every stage."""
PRELOAD = [
    "mechcot.pipeline.run",
    "mechcot.analyses.registry",
    "sklearn.linear_model",
    "trl.trainer.sft_trainer",
    "transformers.models.qwen3.modeling_qwen3",
]


def _run(path: str) -> None:
    """A whole run in a process of its own."""
    from mechcot.pipeline import run as pipeline

    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    pipeline.run(path, preset="organism-small", overrides=SMALL, seed=3, progress=False)


def _results(study: Path) -> dict[str, str]:
    """Digest of every file that a run leaves, but for seconds."""
    kept = [p for p in files.files_in(study) if p.name != "manifest.json" and "work" not in p.parts]
    return {p.relative_to(study).as_posix(): files.digest(p) for p in kept}


def _killed_inside(
    context: multiprocessing.context.BaseContext, study: Path, stage: str, after: float
) -> bool:
    """Start a run and kill it `after` seconds into a stage; whether that stage was still under way."""
    process = context.Process(target=_run, args=(str(study),))
    process.start()
    mark = study / "work" / stage / "key"
    was = mark.stat().st_mtime_ns if mark.exists() else 0
    while process.is_alive() and not (mark.exists() and mark.stat().st_mtime_ns > was):
        time.sleep(0.001)
    time.sleep(after)
    process.kill()  # SIGKILL; a run that ended just before is no error
    process.join()
    return stage not in load_manifest(study)["stages"]


@pytest.mark.slow
def test_killed_inside_its_stages_it_ends_with_the_same_files(tmp_path: Path) -> None:
    # The server imports the heavy libraries once; every run is forked from it.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = context.Process(target=_run, args=(str(whole),))
    process.start()
    process.join()
    assert process.exitcode == 0
    stages = load_manifest(whole)["stages"]
    rng = random.Random(5)
    for stage in STAGES:
        for _ in range(10):
            after = rng.uniform(0, 0.9 * stages[stage]["seconds"])
            if _killed_inside(context, killed, stage, after):
                break
            _forget(killed, stage)  # it got through before the signal: let it run again
        else:
            pytest.fail(f"{stage} was never hit")
    process = context.Process(target=_run, args=(str(killed),))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert _results(killed) == _results(whole)
    kept = ("lock", "digests.json")
    assert not [p for p in (killed / "work").rglob("*") if p.is_file() and p.name not in kept]


def _forget(study: Path, stage: str) -> None:
    manifest = load_manifest(study)
    outputs = manifest["stages"].pop(stage)["outputs"]
    files.write_json(study / "manifest.json", manifest)
    for output in outputs:
        files.remove(study / output)
