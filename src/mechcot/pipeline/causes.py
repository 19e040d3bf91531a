"""The stages that change traces and ask for their answers, an arm each, where `causes` is set."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mechcot.analyses.arms import pair_of
from mechcot.core.cause_settings import THOROUGH
from mechcot.core.errors import UsageError
from mechcot.core.plan import Expense
from mechcot.core.settings import Settings
from mechcot.core.stages import Stage
from mechcot.pipeline.plan import NO_TEXTS, there
from mechcot.pipeline.step_kinds import kind_files
from mechcot.steps.of_study import checkpoint_folder, checkpoint_of, task_basis, task_of
from mechcot.study.folder import Study


def cause_stages(study: Study, progress: bool) -> list[Stage]:
    """A stage an arm of the contrast; none where the settings do not ask for it."""
    if study.settings.causes is None:
        return []
    return [_stage(study, arm, progress) for arm in pair_of(study)]


def _stage(study: Study, arm: str, progress: bool) -> Stage:
    settings = study.settings
    own, outside = checkpoint_of(study, arm)
    tables = tuple(f"arms/{arm}/{name}.parquet" for name in ("traces", "steps", "claims"))
    tables += kind_files(study, (arm,))
    dump = settings.model_dump(mode="json")
    names = ("causes", "contrast", "sampling", "seed", "threads")
    basis = {name: dump[name] for name in names} | task_basis(study)
    basis["prompt"] = settings.prompt.whole()
    basis |= {"own sampling": settings.sampling_of(arm).model_dump(mode="json")}
    basis |= {name: dump["reading"][name] for name in ("traces_per_question", "max_tokens")}
    return Stage(
        f"causes-of-{arm}",
        1,
        basis,
        ("questions.parquet", *tables, f"arms/{arm}/verdicts/{settings.judge.kind}.parquet", *own),
        (f"causes/{arm}",),
        partial(make, study, arm, progress),
        outside=outside,
        plan=partial(price, study, arm),
    )


def make(study: Study, arm: str, progress: bool, work: Path) -> None:
    """Change an arm's traces, and ask its weights."""
    from mechcot.analyses.causes.make import make

    make(study, arm, task_of(study), checkpoint_folder(study, arm), work, progress=progress)


def price(study: Study, arm: str) -> Expense:
    """What it will take, once the texts are there."""
    ready = there(study, arm, "traces", "steps", "claims", f"verdicts/{study.settings.judge.kind}")
    if not ready or not checkpoint_folder(study, arm).exists():
        return Expense(f"causes-of-{arm}", None, "traces", tokens_in=None, tokens_out=None, reason=NO_TEXTS)
    from mechcot.analyses.causes import make

    return make.price(study, arm, task_of(study), checkpoint_folder(study, arm))


SWAPS, KNOCKOUTS = "swaps", "knockouts"
"""What `mechcot commitment --steps` may ask for."""


def overrides_of(settings: Settings, steps: str, *, thorough: bool) -> tuple[str, ...]:
    """What asks a study for it.

    Args:
        settings: of the study.
        steps: SWAPS, or KNOCKOUTS: of readings that hide steps from the answer.
        thorough: all traces and questions that are read, and more continuations.

    Raises:
        UsageError: neither of the two, or thorough knock-outs: these hide every step that is read.
    """
    if steps not in (SWAPS, KNOCKOUTS):
        raise UsageError(f"--steps is {SWAPS} or {KNOCKOUTS}, not '{steps}'")
    if steps == KNOCKOUTS:
        if thorough:
            raise UsageError(f"--thorough goes with --steps {SWAPS}; knock-outs hide every step that is read")
        return () if settings.reading.knock_out != "none" else ("reading.knock_out=answer",)
    if thorough:
        return tuple(f"causes.{key}={value}" for key, value in THOROUGH.items())
    return () if settings.causes else ("causes={}",)
