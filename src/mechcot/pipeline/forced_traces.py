"""The stage in which every arm answers behind traces that were put before it, where `traces` asks for it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mechcot.core.plan import Expense
from mechcot.core.stages import Stage
from mechcot.pipeline.facts import with_weights
from mechcot.steps.of_study import checkpoint_folder, checkpoints_of, task_basis
from mechcot.study.folder import Study

STAGE = "forced-traces"


def forced_trace_stages(study: Study, progress: bool) -> list[Stage]:
    """The stage; none where the settings do not ask for it."""
    settings = study.settings
    if settings.traces is None or not settings.traces.forced:
        return []
    weights, outside = checkpoints_of(study, with_weights(study))
    basis = {
        "forced": settings.traces.forced,
        "seed": settings.seed,
        "prompts": {arm: settings.prompt_of(arm).basis() for arm in with_weights(study)},
        "domain": settings.contrast.domain,
        "threads": settings.threads,
        "organism": None if settings.organism is None else settings.organism.model_dump(mode="json"),
    }
    return [
        Stage(
            STAGE,
            1,
            basis | task_basis(study),
            ("questions.parquet", *weights),
            ("forced-traces/answers.parquet",),
            partial(force, study),
            outside=outside,
            plan=partial(plan_forcing, study),
        )
    ]


def force(study: Study, work: Path) -> None:
    """Write the answers."""
    from mechcot.analyses.traces import forcing

    forcing.make(study, partial(checkpoint_folder, study), work)


def plan_forcing(study: Study) -> Expense:
    """How many answers will be written, at most."""
    from mechcot.analyses.traces.forcing import TRACES

    assert study.settings.traces is not None  # else there is no stage
    n = study.settings.traces.forced * len(TRACES) * len(with_weights(study))
    return Expense(STAGE, n, "answers", tokens_in=None, reason="the traces are written as they are put")
