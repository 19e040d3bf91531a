"""The stage in which every arm answers behind traces that were put before it, where `traces` asks for it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mechcot.core.plan import Expense
from mechcot.core.stages import Stage
from mechcot.pipeline.facts import with_weights
from mechcot.steps.of_study import checkpoint_folder, checkpoint_of, task_basis, task_of
from mechcot.study.folder import Study

STAGE = "forced-traces"


def forced_trace_stages(study: Study, progress: bool) -> list[Stage]:
    """The stage; none where the settings do not ask for it."""
    settings = study.settings
    if settings.traces is None or not settings.traces.forced:
        return []
    folders = [checkpoint_of(study, arm) for arm in with_weights(study)]
    basis = {
        "forced": settings.traces.forced,
        "seed": settings.seed,
        "prompt": settings.prompt.basis(),
        "domain": settings.contrast.domain,
        "threads": settings.threads,
        "organism": None if settings.organism is None else settings.organism.model_dump(mode="json"),
    }
    return [
        Stage(
            STAGE,
            1,
            basis | task_basis(study),
            ("questions.parquet", *(name for own, _ in folders for name in own)),
            ("forced-traces/answers.parquet",),
            partial(force, study),
            outside=tuple(folder for _, outside in folders for folder in outside),
            plan=partial(plan_forcing, study),
        )
    ]


def force(study: Study, work: Path) -> None:
    """Write the answers."""
    from mechcot.analyses.traces import forcing

    forcing.make(study, task_of(study), partial(checkpoint_folder, study), work)


def plan_forcing(study: Study) -> Expense:
    """How many answers will be written, at most."""
    from mechcot.analyses.traces.forcing import TRACES

    assert study.settings.traces is not None  # else there is no stage
    n = study.settings.traces.forced * len(TRACES) * len(with_weights(study))
    return Expense(STAGE, n, "answers", tokens_in=None, reason="the traces are written as they are put")
