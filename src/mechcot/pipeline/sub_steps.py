"""The stage in which every arm is read for the right sub-steps, where `traces.inside` asks for it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mechcot.core.plan import Expense
from mechcot.core.stages import Stage
from mechcot.pipeline.facts import with_weights
from mechcot.steps.of_study import checkpoint_folder, checkpoints_of, task_basis
from mechcot.study.folder import Study

STAGE = "sub-steps"


def sub_step_stages(study: Study, progress: bool) -> list[Stage]:
    """The stage; none where the settings do not ask for it."""
    settings = study.settings
    if settings.traces is None or not settings.traces.inside:
        return []
    weights, outside = checkpoints_of(study, with_weights(study))
    basis = {
        "inside": settings.traces.inside,
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
            ("sub-steps",),
            partial(look, study, progress),
            outside=outside,
            plan=partial(plan_looking, study),
        )
    ]


def look(study: Study, progress: bool, work: Path) -> None:
    """Read every arm."""
    from mechcot.analyses.sub_steps import making

    making.make(study, partial(checkpoint_folder, study), work, progress=progress)


def plan_looking(study: Study) -> Expense:
    """How many questions will be read, at most."""
    assert study.settings.traces is not None  # else there is no stage
    n = study.settings.traces.inside * len(with_weights(study))
    return Expense(
        STAGE,
        n,
        "questions",
        tokens_out=None,
        reason="each is read behind a handful of short texts, which are written as they are put",
    )
