"""The main job: which stages a study has, what each reads and writes, and running them."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from mechcot import config, records
from mechcot.errors import ConfigError
from mechcot.stages import Stage, restart_from, run_stages
from mechcot.study import Study, create_or_open, locked
from mechcot.tasks import Question, Task, question_of

VERSIONED = ("mechcot", "torch", "transformers", "trl", "numpy", "scikit-learn", "pyarrow")


def run(
    path: str | Path,
    *,
    config_file: str | Path | None = None,
    preset: str | None = None,
    seed: int | None = None,
    overrides: tuple[str, ...] = (),
    restart: str | None = None,
    progress: bool = True,
) -> Study:
    """Make a study, or go on with one: every stage that is not done, and the report.

    Args:
        path: the study's folder; made when it is not there.
        config_file: settings (YAML); None: the embedded organism, or an existing study's own.
        preset: a named set of defaults (`organism`, `organism-small`, `models`).
        seed: the study's seed, 0 by default.
        overrides: settings of the form `a.b=c`.
        restart: a stage to make again with all after it; changed settings are then taken over.
        progress: whether to draw bars.

    Returns:
        The study, finished.

    Raises:
        MechcotError: with what was expected, what came and what to do.
    """
    folder = Path(path)
    settings = _settings(folder, config_file, preset, seed, overrides)
    study = create_or_open(folder, settings, restarting=restart is not None)
    with locked(folder):
        stages = stages_of(study, progress=progress)
        if restart is not None:
            restart_from(folder, stages, restart)
        _prepare_process(study.settings)
        run_stages(folder, stages, versions())
    return study


def _settings(
    folder: Path,
    config_file: str | Path | None,
    preset: str | None,
    seed: int | None,
    overrides: tuple[str, ...],
) -> config.Settings:
    existing = folder / "study.yaml"
    if config_file is None and preset is None and existing.exists():
        return config.resolve(base=config.read_yaml(existing), overrides=overrides, seed=seed)
    file = Path(config_file) if config_file is not None else None
    return config.resolve(preset=preset, file=file, overrides=overrides, seed=seed)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for name in VERSIONED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _prepare_process(settings: config.Settings) -> None:
    """Threads and quiet libraries, before anything heavy is imported."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from mechcot.models import prepare_torch

    prepare_torch(settings.threads)


def stages_of(study: Study, *, progress: bool = True) -> list[Stage]:
    """All stages of a study, in order."""
    return [
        *_question_stages(study, progress),
        *(stage for arm in study.settings.arms for stage in _training_stages(study, arm, progress)),
        *(stage for arm in study.settings.arms for stage in _text_stages(study, arm, progress)),
        _judge_stage(study, progress),
        *_reading_stages(study, progress),
        *_analysis_stages(study),
        _report_stage(study),
    ]


# --- questions, base and examples ---------------------------------------------------------------


def _question_stages(study: Study, progress: bool) -> list[Stage]:
    settings = study.settings
    if settings.organism is None:
        from mechcot.tasks.questions import source_file

        assert settings.questions is not None  # by Settings' own validation
        file = source_file(settings.questions)
        return [
            Stage(
                "questions",
                1,
                settings.questions.model_dump(mode="json"),
                (),
                ("questions.parquet",),
                partial(_load_questions, study),
                frozen=True,
                outside=(file,) if file and file.exists() else (),
            )
        ]
    own = {"organism": settings.organism.model_dump(mode="json"), "seed": settings.seed}
    variants = tuple(
        dict.fromkeys(arm.distill.examples for arm in settings.arms.values() if arm.distill is not None)
    )
    stages = [
        Stage("questions", 1, own, (), ("questions.parquet",), partial(_invent, study), frozen=True),
        Stage(
            "pretrain",
            1,
            own | {"threads": settings.threads},
            (),
            ("models/base",),
            partial(_pretrain, study, progress),
            frozen=True,
        ),
    ]
    made = tuple(f"examples/{name}.parquet" for name in variants if name in TEACHER_VARIANTS)
    if made:
        stages.append(Stage("teacher", 1, own, (), made, partial(_teach, study), frozen=True))
    return stages


Variant = Literal["rich", "terse"]
TEACHER_VARIANTS: tuple[Variant, ...] = ("rich", "terse")


def _load_questions(study: Study, work: Path) -> None:
    from mechcot.tasks.questions import load_questions

    assert study.settings.questions is not None
    table = load_questions(study.settings.questions)
    records.write_table(study.path / "questions.parquet", table, records.QUESTIONS)


def _world(study: Study) -> Any:
    from mechcot.organism.world import build_world

    if study.settings.organism is None:
        raise ConfigError("this study has no organism; its arms name checkpoints")
    return build_world(study.settings.organism, study.settings.seed)


def _invent(study: Study, work: Path) -> None:
    from mechcot.organism.questions import questions

    assert study.settings.organism is not None
    table = questions(_world(study), study.settings.organism, study.settings.seed)
    records.write_table(study.path / "questions.parquet", table, records.QUESTIONS)


def _pretrain(study: Study, progress: bool, work: Path) -> None:
    from mechcot.organism.pretrain import pretrain

    assert study.settings.organism is not None
    pretrain(
        _world(study),
        study.settings.organism,
        study.settings.seed,
        study.path / "models" / "base",
        work,
        progress=progress,
    )


def _teach(study: Study, work: Path) -> None:
    from mechcot.organism.teacher import examples

    organism = study.settings.organism
    assert organism is not None
    used = {arm.distill.examples for arm in study.settings.arms.values() if arm.distill}
    for variant in TEACHER_VARIANTS:
        path = study.path / "examples" / f"{variant}.parquet"
        if variant in used:
            table = examples(_world(study), variant, organism, study.settings.seed, organism.teacher_traces)
            records.write_table(path, table, records.EXAMPLES)


# --- arms -----------------------------------------------------------------------------------------


def _checkpoint(study: Study, arm: str) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    """Where an arm's weights lie: (a study's own folder) or (a folder outside)."""
    settings = study.settings.arms[arm]
    if settings.model is None:
        return (f"models/{arm}",), ()
    if settings.model == "organism":
        return ("models/base",), ()
    from mechcot.models import local_folder

    return (), (local_folder(settings.model, settings.revision),)


def checkpoint_folder(study: Study, arm: str) -> Path:
    """The folder that holds an arm's weights and tokenizer."""
    own, outside = _checkpoint(study, arm)
    return study.path / own[0] if own else outside[0]


def _training_stages(study: Study, arm: str, progress: bool) -> list[Stage]:
    settings = study.settings.arms[arm].distill
    if settings is None:
        return []
    own, outside = _checkpoint(study, settings.base)
    if settings.examples in TEACHER_VARIANTS:
        own = (*own, f"examples/{settings.examples}.parquet")
    else:
        outside = (*outside, Path(settings.examples).expanduser())
    return [
        Stage(
            f"distill-{arm}",
            1,
            {"train": settings.train.model_dump(mode="json"), "seed": study.settings.seed}
            | {"threads": study.settings.threads},
            own,
            (f"models/{arm}",),
            partial(_distill, study, arm, progress),
            frozen=True,
            outside=outside,
        )
    ]


def _distill(study: Study, arm: str, progress: bool, work: Path) -> None:
    from mechcot.distill import distill

    settings = study.settings.arms[arm].distill
    assert settings is not None
    source = settings.examples
    examples = study.path / "examples" / f"{source}.parquet" if source in TEACHER_VARIANTS else Path(source)
    distill(
        checkpoint_folder(study, settings.base),
        examples,
        study.path / "models" / arm,
        settings.train,
        seed=study.settings.seed,
        work=work / "trainer",
        overwrite=True,  # a stage that was killed, then changed, leaves a student behind
        progress=progress,
    )


def _text_stages(study: Study, arm: str, progress: bool) -> list[Stage]:
    settings = study.settings
    own, outside = _checkpoint(study, arm)
    prompt = settings.prompt.model_dump(mode="json")
    return [
        Stage(
            f"sample-{arm}",
            1,
            {"sampling": settings.sampling.model_dump(mode="json"), "prompt": prompt, "seed": settings.seed},
            ("questions.parquet", *own),
            (f"arms/{arm}/traces.parquet",),
            partial(_sample, study, arm, progress),
            frozen=True,
            outside=outside,
        ),
        Stage(
            f"steps-{arm}",
            1,
            {"steps": settings.steps.model_dump(mode="json")},
            ("questions.parquet", f"arms/{arm}/traces.parquet"),
            (f"arms/{arm}/steps.parquet", f"arms/{arm}/claims.parquet"),
            partial(_cut, study, arm),
            frozen=True,
        ),
    ]


def task_of(study: Study) -> Task:
    """The study's task: the organism's, with its checker, or plain multiple choice."""
    from mechcot.tasks.multiple_choice import multiple_choice, prompt_format

    settings = study.settings
    if settings.organism is None:
        return multiple_choice(settings.prompt, settings.steps.segmenter)
    from mechcot.organism.checker import task

    return replace(
        task(_world(study)), format=prompt_format(settings.prompt), segmenter=settings.steps.segmenter
    )


def questions_by_id(study: Study) -> dict[str, Question]:
    """The study's questions by id."""
    return {row.qid: question_of(row) for row in records.rows(study.questions())}


def _sample(study: Study, arm: str, progress: bool, work: Path) -> None:
    from mechcot.models import load, render_prompt
    from mechcot.sampling import Prompt, sample, trace_rows

    settings, task, questions = study.settings, task_of(study), questions_by_id(study)
    checkpoint = load(settings.arms[arm], checkpoint_folder(study, arm), settings.device)
    prompts = [
        Prompt(qid, tuple(render_prompt(question, task.format, checkpoint.tokenizer)[1]))
        for qid, question in questions.items()
    ]
    completions = sample(
        checkpoint, prompts, settings.sampling, arm=arm, seed=settings.seed, work=work, progress=progress
    )
    rows = trace_rows(completions, prompts, questions, task.format, checkpoint, arm)
    records.write_table(study.arm_path(arm) / "traces.parquet", rows, records.TRACES)


def _cut(study: Study, arm: str, work: Path) -> None:
    import pandas as pd

    from mechcot.steps import claim_rows, step_rows

    task, questions, traces = task_of(study), questions_by_id(study), study.traces(arm)
    steps = step_rows(traces, questions, task)
    records.write_table(study.arm_path(arm) / "steps.parquet", steps, records.STEPS)
    frame = pd.DataFrame(steps, columns=records.STEPS.names)
    claims = claim_rows(frame, traces, questions, task)
    records.write_table(study.arm_path(arm) / "claims.parquet", claims, records.CLAIMS)


def _judge_stage(study: Study, progress: bool) -> Stage:
    settings = study.settings.judge
    steps = tuple(f"arms/{arm}/steps.parquet" for arm in study.settings.arms)
    return Stage(
        "judge",
        1,
        settings.model_dump(mode="json"),
        ("questions.parquet", *steps),
        tuple(f"arms/{arm}/verdicts/{settings.kind}.parquet" for arm in study.settings.arms),
        partial(_judge, study, progress),
        outside=(Path(settings.path).expanduser(),) if settings.path else (),
    )


def _judge(study: Study, progress: bool, work: Path) -> None:
    import pandas as pd

    settings, questions = study.settings.judge, questions_by_id(study)
    steps = pd.concat([study.steps(arm) for arm in study.settings.arms], ignore_index=True)
    path = Path(settings.path).expanduser() if settings.path else Path()
    if settings.kind == "exact":
        from mechcot.judging.exact import judge_exactly

        rows = judge_exactly(steps, questions, task_of(study))
    elif settings.kind == "table":
        from mechcot.judging.table import judge_by_table

        rows = judge_by_table(steps, path)
    else:
        from mechcot.judging.llm import judge_by_llm

        # Replies cost money: they outlive the stage, so that a mended judge file pays only for what changed.
        calls = study.path / "work" / "calls"
        rows = judge_by_llm(steps, questions, path, calls, seed=study.settings.seed, progress=progress)
    table = pd.DataFrame(rows, columns=records.VERDICTS.names)
    for arm in study.settings.arms:
        out = study.arm_path(arm) / "verdicts" / f"{settings.kind}.parquet"
        records.write_table(out, table[table.arm == arm], records.VERDICTS)


# --- readings, analyses, report -------------------------------------------------------------------


def _reading_stages(study: Study, progress: bool) -> list[Stage]:
    settings = study.settings
    pair = (settings.contrast.before, settings.contrast.after)
    stages = []
    for author in pair:
        for reader in pair:
            own, outside = _checkpoint(study, reader)
            tables = tuple(f"arms/{author}/{name}.parquet" for name in ("traces", "steps", "claims"))
            stages.append(
                Stage(
                    f"read-{author}-by-{reader}",
                    1,
                    {
                        "reading": settings.reading.model_dump(mode="json"),
                        "domain": settings.contrast.domain,
                        "threads": settings.threads,
                    },
                    ("questions.parquet", *tables, *own),
                    (f"readings/{author}/{reader}",),
                    partial(_read, study, author, reader, progress),
                    outside=outside,
                )
            )
    return stages


def _read(study: Study, author: str, reader: str, progress: bool, work: Path) -> None:
    from mechcot.reading import read_arm

    read_arm(study, author, reader, work, task_of(study), checkpoint_folder(study, reader), progress=progress)


def _analysis_stages(study: Study) -> list[Stage]:
    from mechcot import contrasts

    settings = study.settings
    before, after = settings.contrast.before, settings.contrast.after
    dump = settings.model_dump(mode="json")
    basis = {"contrast": dump["contrast"], "analysis": dump["analysis"], "seed": settings.seed}
    basis["judge"] = dump["judge"]
    texts = tuple(
        f"arms/{arm}/{name}"
        for arm in settings.arms
        for name in ("traces.parquet", "steps.parquet", f"verdicts/{settings.judge.kind}.parquet")
    )
    readings = tuple(
        f"readings/{author}/{reader}" for author in (before, after) for reader in (before, after)
    )
    inputs = ("questions.parquet", *texts)
    inside = (*inputs, *(f"arms/{arm}/claims.parquet" for arm in (before, after)), *readings)
    jobs: list[tuple[str, tuple[str, ...], dict[str, Any], Callable[[Study], dict[str, Any]]]] = [
        ("answers", inputs, {}, lambda s: contrasts.answers_of(s).to_json()),
        ("audit", inputs, {}, lambda s: contrasts.audit_of(s).to_json()),
        ("controls", inputs, {"controls": dump["controls"]}, contrasts.controls_of),
        ("commitment", inside, {}, lambda s: contrasts.or_reason(lambda: contrasts.commitments_of(s))),
        ("hedge", inside, {}, lambda s: contrasts.or_reason(lambda: contrasts.hedge_json(s))),
        ("probe", inside, {}, contrasts.probes_of),
        ("knowledge", inside, {}, lambda s: contrasts.or_reason(lambda: contrasts.knowledge_json(s))),
    ]
    return [
        Stage(name, 1, basis | extra, read, (f"results/{name}.json",), partial(_analyse, study, name, job))
        for name, read, extra, job in jobs
    ]


def _analyse(study: Study, name: str, job: Callable[[Study], dict[str, Any]], work: Path) -> None:
    from mechcot.files import write_json

    write_json(study.path / "results" / f"{name}.json", job(study))


RESULTS = ("answers", "audit", "controls", "commitment", "hedge", "probe", "knowledge")


def _report_stage(study: Study) -> Stage:
    contrast = study.settings.contrast
    tables = tuple(
        f"arms/{arm}/{name}"
        for arm in (contrast.before, contrast.after)
        for name in ("traces.parquet", "steps.parquet", f"verdicts/{study.settings.judge.kind}.parquet")
    )
    readings = tuple(f"readings/{arm}/{arm}" for arm in (contrast.before, contrast.after))
    results = tuple(f"results/{name}.json" for name in RESULTS)
    return Stage(
        "report",
        1,
        {"settings": study.settings.model_dump(mode="json")},
        ("questions.parquet", *tables, *readings, *results),
        ("summary.json", "report.html"),
        partial(_report, study),
    )


def _report(study: Study, work: Path) -> None:
    from mechcot.report import write_report

    write_report(study, versions())
