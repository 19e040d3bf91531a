"""Weights that a study makes: the organism's base and its teacher's traces, and distilled students."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mechcot.core import records
from mechcot.core.plan import Expense
from mechcot.core.settings import TEACHER_VARIANTS, DistillSettings
from mechcot.core.stages import Stage
from mechcot.steps.of_study import checkpoint_folder, checkpoint_of, questions_by_id, task_of, world_of
from mechcot.study.folder import Study


def training_stages(study: Study, progress: bool) -> list[Stage]:
    """The organism's base and its teacher's traces; then every student."""
    students = [stage for arm in study.settings.arms for stage in _distil_stages(study, arm, progress)]
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
    return stages


def _distil_stages(study: Study, arm: str, progress: bool) -> list[Stage]:
    settings = study.settings.arms[arm].distill
    if settings is None:
        return []
    own, outside = checkpoint_of(study, settings.base)
    if study.settings.made_here(settings.examples):
        own = (*own, f"examples/{settings.examples}.parquet")
    else:
        outside = (*outside, Path(settings.examples).expanduser())
    return [
        Stage(
            f"distill-{arm}",
            1,
            {"train": settings.train.model_dump(mode="json"), "seed": training_seed(study, settings)}
            | {"threads": study.settings.threads},
            own,
            (f"models/{arm}",),
            partial(distil, study, arm, progress),
            frozen=True,
            outside=outside,
            plan=partial(plan_distilling, study, arm),
        )
    ]


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
    made = study.path / "examples" / f"{settings.examples}.parquet"
    if not study.settings.made_here(settings.examples):
        rows = len(records.read_any(Path(settings.examples).expanduser()))
    elif study.settings.organism is not None:
        rows = study.settings.organism.teacher_traces
    elif made.exists():
        rows = len(records.read_table(made))
    else:
        return Expense(arm, None, "examples", tokens_in=None, reason="the examples are not made yet")
    seen, reason = round(rows * settings.train.epochs), "`mechcot distill --dry-run` counts them"
    return Expense(arm, seen, "examples", tokens_in=None, reason=reason)


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
    """Distil an arm's examples into its base."""
    from mechcot.distill import distill, prepare

    settings = study.settings.arms[arm].distill
    assert settings is not None
    refuse_prompts(study)
    source = settings.examples
    own = study.path / "examples" / f"{source}.parquet"
    examples = own if study.settings.made_here(source) else Path(source).expanduser()
    training = prepare(
        checkpoint_folder(study, settings.base),
        examples,
        settings.train,
        seed=training_seed(study, settings),
        trust_remote_code=study.settings.arms[settings.base].trust_remote_code,
    )
    # A stage that was killed, then changed, leaves another student behind.
    out = study.path / "models" / arm
    distill(training, out, work=work / "trainer", overwrite=True, progress=progress)


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

    settings, form, questions = study.settings, task_of(study).format, questions_by_id(study)
    first = next(iter(questions.values()))
    tokenizers = {}
    for name, arm in settings.arms.items():
        folder = None if arm.model is None else checkpoint_folder(study, name)
        if folder is not None and folder.exists():  # the organism's is made later
            tokenizers[name] = load_tokenizer(folder, trust_remote_code=arm.trust_remote_code)
            render_prompt(first, form, tokenizers[name])
            check_thinking(first, form, tokenizers[name])
    for arm in settings.arms.values():
        taught = arm.distill is not None and not settings.made_here(arm.distill.examples)
        if arm.distill is not None and taught and arm.distill.base in tokenizers:
            path = Path(arm.distill.examples).expanduser()
            check_prompts(load_examples(path), questions, form, tokenizers[arm.distill.base], path)
