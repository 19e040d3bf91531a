"""Starting the processes that share a training.

What is to be trained is written into a folder, the job, which every process reads (`process`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mechcot.core import files
from mechcot.core.errors import TrainingError
from mechcot.core.training_settings import TrainSettings
from mechcot.distill.launch_file import launched_by
from mechcot.distill.masks import Row, Supervised
from mechcot.distill.training import Training

START = "--start"
_EACH = "mechcot.distill.process"


def launch(
    training: Training,
    out: Path,
    work: Path,
    along: Mapping[Path, float],
    *,
    only_along: bool,
    progress: bool,
) -> int:
    """Train by `settings.processes` processes, and wait for their end.

    Args:
        training: what is to be taught.
        out: folder of the student.
        work: folder for checkpoints and the job.
        along: folders of further checkpoints, and the share of the steps after which each is kept.
        only_along: whether the student is there and only these are to be written.
        progress: whether the first process draws a bar.

    Returns:
        The step that the processes went on from, or for `only_along` the steps that they trained again.

    Raises:
        ConfigError: the configuration of accelerate that the settings name cannot be used.
        TrainingError: a process failed; its own message where it left one.
    """
    settings = training.settings
    by_file = launched_by(settings)
    rank = by_file.rank if by_file else 0  # machines that share the folder have a job each
    job = work.with_name(f"{work.name}.job-{rank}" if rank else f"{work.name}.job")
    files.remove(job)
    job.mkdir(parents=True)
    told = {"out": str(out), "work": str(work), "only_along": only_along, "progress": progress}
    _write_job(job, training, told | {"along": {str(folder): share for folder, share in along.items()}})
    # accelerate's own launcher starts one process where there is no GPU; torch's starts as many as asked.
    alone = ["torch.distributed.run", "--standalone", f"--nproc-per-node={settings.processes}"]
    starter = by_file.command if by_file else alone
    command = [sys.executable, "-m", _EACH, START, *starter, "-m", _EACH, str(job)]
    here = {**os.environ, "TMPDIR": str(job), "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    done = subprocess.run(command, check=False, env=here)
    end = files.read_json(job / "told.json") if (job / "told.json").exists() else {}
    files.remove(job)
    if done.returncode or "steps" not in end:
        why = end.get("error", f"{starter[0]} ended with {done.returncode}; what it wrote stands above")
        raise TrainingError(f"training in {settings.processes} processes: {why}")
    return int(end["steps"])


def _write_job(job: Path, training: Training, told: dict[str, Any]) -> None:
    rows = training.data.rows
    np.savez(
        job / "rows.npz",
        lengths=np.array([len(row.input_ids) for row in rows]),
        ids=np.concatenate([row.input_ids for row in rows]),
        labels=np.concatenate([row.labels for row in rows]),
    )
    about = {
        "base": str(training.base),
        "settings": training.settings.model_dump(mode="json"),
        "seed": training.seed,
        "trust_remote_code": training.trust_remote_code,
        "digest": training.data.digest,
        "n_truncated": training.data.n_truncated,
    }
    files.write_json(job / "job.json", about | told)


def read_job(job: Path) -> tuple[Training, dict[str, Any]]:
    """What is to be trained, and where to."""
    told = files.read_json(job / "job.json")
    with np.load(job / "rows.npz", allow_pickle=False) as held:
        ends = np.cumsum(held["lengths"])[:-1]
        parts = zip(np.split(held["ids"], ends), np.split(held["labels"], ends), strict=True)
        rows = tuple(Row(str(i), ids, labels, ()) for i, (ids, labels) in enumerate(parts))
    training = Training(
        Path(told["base"]),
        Supervised(rows, told["n_truncated"], told["digest"]),
        TrainSettings.model_validate(told["settings"]),
        told["seed"],
        trust_remote_code=told["trust_remote_code"],
    )
    return training, told
