"""The stage that makes models of the contrast's two checkpoints and asks each, where `weights` is set."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from mechcot.core.config import resolve
from mechcot.core.plan import Expense, Plan
from mechcot.core.settings import Settings
from mechcot.core.stages import Stage
from mechcot.core.weight_settings import THOROUGH
from mechcot.pipeline.plan import NO_TEXTS, there
from mechcot.steps.of_study import checkpoint_folder, checkpoints_of, task_of
from mechcot.study.folder import Study

STAGE = "weights-hybrids"


def weights_stages(study: Study, progress: bool) -> list[Stage]:
    """The stage; none where the settings do not ask for it."""
    settings = study.settings
    if settings.weights is None:
        return []
    pair = (settings.contrast.before, settings.contrast.after)
    tables = tuple(f"arms/{arm}/{name}.parquet" for arm in pair for name in ("traces", "steps", "claims"))
    verdicts = tuple(f"arms/{arm}/verdicts/{settings.judge.kind}.parquet" for arm in pair)
    weights, outside = checkpoints_of(study, pair)
    reading = settings.reading
    basis = {
        "weights": settings.weights.model_dump(mode="json"),
        "contrast": settings.contrast.model_dump(mode="json"),
        "traces_per_question": reading.traces_per_question,
        "max_tokens": reading.max_tokens,
        "seed": settings.seed,
        "threads": settings.threads,
    }
    return [
        Stage(
            STAGE,
            2,
            basis,
            ("questions.parquet", *tables, *verdicts, *weights),
            ("weights",),
            partial(make, study, progress),
            outside=outside,
            plan=partial(price, study),
        )
    ]


def make(study: Study, progress: bool, work: Path) -> None:
    """Make the models and ask them."""
    from mechcot.analyses.weights import hybrids

    hybrids.make(study, task_of(study), partial(checkpoint_folder, study), work, progress=progress)


def price(study: Study) -> Expense:
    """What it will take, once the texts are there."""
    pair = (study.settings.contrast.before, study.settings.contrast.after)
    kind = study.settings.judge.kind
    ready = all(there(study, arm, "traces", "steps", "claims", f"verdicts/{kind}") for arm in pair)
    if not ready or not all(checkpoint_folder(study, arm).exists() for arm in pair):
        return Expense(STAGE, None, "models", tokens_in=None, reason=NO_TEXTS)
    from mechcot.analyses.weights import hybrids

    return hybrids.price(study, task_of(study), partial(checkpoint_folder, study))


def overrides_of(settings: Settings, *, thorough: bool) -> tuple[str, ...]:
    """What asks a study for it: the defaults where its settings do not yet, or a thorough search."""
    if thorough:
        return tuple(f"weights.{key}={'null' if value is None else value}" for key, value in THOROUGH.items())
    return () if settings.weights else ("weights={}",)


def plan_weights(study: Study, overrides: tuple[str, ...]) -> Plan:
    """What the stage of a study will take with these overrides, as if it were not there."""
    settings = resolve(base=study.settings.model_dump(mode="json"), overrides=overrides)
    return Plan((replace(price(Study(study.path, settings)), what=STAGE),))
