"""Weights that a study makes: the organism's base and its teacher's traces, and distilled students."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mechcot.core import files, records
from mechcot.core.along_arms import kept_along
from mechcot.core.errors import TrainingError
from mechcot.core.plan import Expense
from mechcot.core.settings import TEACHER_VARIANTS
from mechcot.core.stages import Stage
from mechcot.core.training_settings import DistillSettings
from mechcot.distill.schedule import n_steps, steps_along
from mechcot.pipeline.traces import trace_example_stages
from mechcot.steps.of_study import checkpoint_folder, checkpoint_of, questions_by_id, task_of, world_of
from mechcot.study.folder import Study

if TYPE_CHECKING:
    from mechcot.distill.training import Training


def training_stages(study: Study, progress: bool) -> list[Stage]:
    """The organism's base and its teacher's traces; then every student."""
    arms = study.settings.arms
    students = [stage for arm in arms for stage in _distil_stages(study, arm, progress)]
    return [*_organism_stages(study, progress), *students]


def _organism_stages(study: Study, progress: bool) -> list[Stage]:
    settings = study.settings
    if settings.organism is None:
        return []
    own = {"organism": settings.organism.model_dump(mode="json"), "seed": settings.seed}
    stages = [
        Stage(
            "pretrain",
            1,
            own | {"threads": settings.threads},
            (),
            ("models/base",),
            partial(pretrain_base, study, progress),
            frozen=True,
            plan=partial(plan_pretraining, study),
        )
    ]
    variants = dict.fromkeys(
        arm.distill.examples for arm in settings.arms.values() if arm.distill is not None
    )
    made = tuple(f"examples/{name}.parquet" for name in variants if name in TEACHER_VARIANTS)
    if made:
        stages.append(Stage("teacher", 1, own, (), made, partial(teach, study), frozen=True,
                            plan=partial(plan_teacher, study, len(made))))  # fmt: skip
    return [*stages, *trace_example_stages(study)]


def _distil_stages(study: Study, arm: str, progress: bool) -> list[Stage]:
    settings = study.settings.arms[arm].distill
    if settings is None or settings.at is not None:  # one along a training is kept by that
        return []
    own, outside = checkpoint_of(study, settings.base)
    if study.settings.made_here(settings.examples):
        own = (*own, f"examples/{settings.examples}.parquet")
    else:
        outside = (*outside, Path(settings.examples).expanduser())
    basis = {"train": settings.train.model_dump(mode="json"), "seed": training_seed(study, settings)}
    basis |= {"threads": study.settings.threads}
    stages = [
        Stage(
            f"distill-{arm}",
            1,
            basis,
            own,
            (f"models/{arm}",),
            partial(distil, study, arm, progress),
            frozen=True,
            outside=outside,
            plan=partial(plan_distilling, study, arm),
        )
    ]
    along = shares_along(study, arm)
    if not along:
        return stages
    if study.settings.organism is not None:  # before its base is trained
        _steps_along(study, arm)
    # A stage of its own: a finished study takes further shares, and its student stays.
    keeping = Stage(
        f"along-{arm}",
        1,
        basis | {"along": along},
        (*own, f"models/{arm}"),
        tuple(f"models/{name}" for name in along),
        partial(keep_along, study, arm, progress),
        outside=outside,
        plan=partial(plan_along, study, arm),
    )
    return [*stages, keeping]


def shares_along(study: Study, arm: str) -> dict[str, float]:
    """The arms kept along a student's training, and the share of its steps after which each is kept."""
    kept = kept_along({name: own.distill for name, own in study.settings.arms.items()}, arm)
    return {name: share for name, share in kept.items() if name != arm}


def _steps_along(study: Study, arm: str) -> dict[str, int]:
    """The optimiser step after which each of them is kept; none while the examples are not there.

    Raises:
        TrainingError: shares of this training that lie on one step, or at an end.
    """
    settings = study.settings.arms[arm].distill
    assert settings is not None
    rows = _rows(study, settings)
    if rows is None:
        return {}
    total = n_steps(max(1, round(rows * settings.train.epochs)), settings.train)
    try:
        return steps_along(shares_along(study, arm), total)
    except TrainingError as error:
        raise TrainingError(f"arm '{arm}', along its training: {error}") from error


def training_seed(study: Study, settings: DistillSettings) -> int:
    """The seed of a student's training."""
    return study.settings.seed if settings.seed is None else settings.seed


def plan_pretraining(study: Study) -> Expense:
    """How long the organism's base is trained."""
    assert study.settings.organism is not None
    steps = study.settings.organism.pretrain_steps
    reason = "the texts are written as it is trained"
    return Expense("base", steps, "optimiser steps", tokens_in=None, reason=reason)


def plan_teacher(study: Study, variants: int) -> Expense:
    """How many traces the organism's teacher writes."""
    assert study.settings.organism is not None
    return Expense("teacher", variants * study.settings.organism.teacher_traces, "traces")


def plan_distilling(study: Study, arm: str) -> Expense:
    """How many examples a student is trained on, each as often as it is seen."""
    settings = study.settings.arms[arm].distill
    assert settings is not None
    rows = _rows(study, settings)
    if rows is None:
        return Expense(arm, None, "examples", tokens_in=None, reason=_NOT_MADE)
    return Expense(arm, round(rows * settings.train.epochs), "examples", tokens_in=None, reason=_COUNTED)


_NOT_MADE, _COUNTED = "the examples are not made yet", "`mechcot distill --dry-run` counts them"


def _rows(study: Study, settings: DistillSettings) -> int | None:
    """How many examples a student learns from; None: they are not made yet."""
    made = study.path / "examples" / f"{settings.examples}.parquet"
    if not study.settings.made_here(settings.examples):
        return len(records.read_any(Path(settings.examples).expanduser()))
    if study.settings.organism is not None:
        return study.settings.organism.teacher_traces
    return len(records.read_table(made)) if made.exists() else None


def plan_along(study: Study, arm: str) -> Expense:
    """What keeping checkpoints takes: nothing while the student trains, else its examples up to the last."""
    settings, shares = study.settings.arms[arm].distill, shares_along(study, arm)
    assert settings is not None
    rows, steps, student = _rows(study, settings), _steps_along(study, arm), study.path / "models" / arm
    if rows is None:
        return Expense(f"along-{arm}", len(shares), "checkpoints", tokens_in=None, reason=_NOT_MADE)
    told = ", ".join(f"{name} after step {step}" for name, step in steps.items())
    if not student.is_dir():
        note = f"kept as {arm} is trained: {told}"
        return Expense(f"along-{arm}", len(shares), "checkpoints", note=note)
    seen = max(steps.values()) * settings.train.batch_size * settings.train.accumulation
    disk = len(shares) * sum(file.stat().st_size for file in files.files_in(student))
    note = f"{arm} is there; trained again up to the last: {told}"
    return Expense(f"along-{arm}", seen, "examples", tokens_in=None, disk=disk, reason=_COUNTED, note=note)


def pretrain_base(study: Study, progress: bool, work: Path) -> None:
    """Train the organism's base from scratch."""
    from mechcot.distill.pretrain import pretrain

    assert study.settings.organism is not None
    pretrain(
        world_of(study),
        study.settings.organism,
        study.settings.seed,
        study.path / "models" / "base",
        work,
        progress=progress,
    )


def teach(study: Study, work: Path) -> None:
    """Write the organism's teacher traces, each variant that an arm learns from."""
    from mechcot.tasks.organism.teacher import examples

    organism = study.settings.organism
    assert organism is not None
    used = {arm.distill.examples for arm in study.settings.arms.values() if arm.distill}
    for variant in TEACHER_VARIANTS:
        path = study.path / "examples" / f"{variant}.parquet"
        if variant in used:
            table = examples(world_of(study), variant, organism, study.settings.seed, organism.teacher_traces)
            records.write_table(path, table, records.EXAMPLES)


def distil(study: Study, arm: str, progress: bool, work: Path) -> None:
    """Distil an arm's examples into its base, and keep what is to be kept along it."""
    from mechcot.distill import distill

    refuse_prompts(study)
    # A stage that was killed, then changed, leaves another student behind.
    out, along = study.path / "models" / arm, _folders_along(study, arm)
    training = _training(study, arm)
    distill(training, out, work=work / "trainer", along=along, overwrite=True, progress=progress)


def keep_along(study: Study, arm: str, progress: bool, work: Path) -> None:
    """Keep checkpoints along a training: those that it wrote, or by training up to the last once more."""
    from mechcot.distill.trainer import train_along

    out, along = study.path / "models" / arm, _folders_along(study, arm)
    train_along(_training(study, arm), out, work / "trainer", along, progress=progress)


def _folders_along(study: Study, arm: str) -> dict[Path, float]:
    return {study.path / "models" / name: share for name, share in shares_along(study, arm).items()}


def _training(study: Study, arm: str) -> Training:
    """What an arm is taught."""
    from mechcot.distill import prepare

    settings = study.settings.arms[arm].distill
    assert settings is not None
    source = settings.examples
    own = study.path / "examples" / f"{source}.parquet"
    return prepare(
        checkpoint_folder(study, settings.base),
        own if study.settings.made_here(source) else Path(source).expanduser(),
        settings.train,
        seed=training_seed(study, settings),
        trust_remote_code=study.settings.arms[settings.base].trust_remote_code,
    )


def refuse_prompts(study: Study) -> None:
    """Refuse arms that cannot be asked, or are taught on other prompts than they are asked with.

    Raises:
        ModelError: a checkpoint has no tokenizer, or none with the chat template that is wanted.
        DataError: an examples file whose prompts are not the study's.
    """
    from mechcot.distill.examples import load_examples
    from mechcot.distill.prompts import check_prompts
    from mechcot.models.checkpoint import load_tokenizer
    from mechcot.tasks.render import check_thinking, render_prompt

    settings, questions = study.settings, questions_by_id(study)
    first, tokenizers = next(iter(questions.values())), {}
    for name, arm in settings.arms.items():
        form = task_of(study, name).format
        folder = None if arm.model is None else checkpoint_folder(study, name)
        if folder is not None and folder.exists():  # the organism's is made later
            tokenizers[name] = load_tokenizer(folder, trust_remote_code=arm.trust_remote_code)
            render_prompt(first, form, tokenizers[name])
            check_thinking(first, form, tokenizers[name])
    for name, arm in settings.arms.items():
        taught = arm.distill is not None and not settings.made_here(arm.distill.examples)
        if arm.distill is not None and taught and arm.distill.base in tokenizers:
            path = Path(arm.distill.examples).expanduser()
            asked = task_of(study, name).format
            check_prompts(load_examples(path), questions, asked, tokenizers[arm.distill.base], path)
