"""One of the processes that share a training.

python -m torch.distributed.run --nproc-per-node=2 -m mechcot.distill.process JOB
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from mechcot.core import files
from mechcot.core.errors import MechcotError
from mechcot.distill import ranks
from mechcot.distill.launched import START, read_job
from mechcot.distill.trainer import train, train_along
from mechcot.models.checkpoint import prepare_torch

_DIES_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


def _end_with_parent() -> None:
    """A launcher whose caller is killed stops its processes: they would train beside the next call."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGTERM)


def main(job: Path) -> None:
    """What each process does with a job."""
    prepare_torch(1)
    training, told = read_job(job)
    if ranks.started() != training.settings.processes:  # else this would start others in its turn
        raise SystemExit(f"{ranks.started()} processes were started for {training.settings.processes}")
    along = {Path(folder): share for folder, share in told["along"].items()}
    out, work, progress = Path(told["out"]), Path(told["work"]), told["progress"] and ranks.is_first()
    try:
        if told["only_along"]:
            steps = train_along(training, out, work, along, progress=progress)
        else:
            steps = train(training, out, work, along=along, progress=progress).resumed_from
        end: dict[str, Any] = {"steps": steps}
    except MechcotError as error:
        end = {"error": str(error)}
    if ranks.local() == 0 or "error" in end:  # one of each machine tells its caller
        files.write_text(job / "told.json", json.dumps(end))
    if "error" in end:
        raise SystemExit(1)


if __name__ == "__main__":
    _end_with_parent()
    if sys.argv[1] == START:
        os.execv(sys.executable, [sys.executable, "-m", *sys.argv[2:]])
    main(Path(sys.argv[1]))
