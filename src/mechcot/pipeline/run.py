"""The main job: which stages a study has, what each reads and writes, and running them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mechcot.analyses.summary import RESULTS
from mechcot.core.config import read_yaml, resolve
from mechcot.core.settings import TEACHER_VARIANTS, Settings
from mechcot.core.stages import Stage, forget_from, run_stages, versions
from mechcot.models.checkpoint import prepare_torch
from mechcot.pipeline import jobs
from mechcot.study.folder import Study, create_or_open, locked


def run(
    path: str | Path,
    *,
    config: str | Path | None = None,
    preset: str | None = None,
    seed: int | None = None,
    overrides: tuple[str, ...] = (),
    restart_from: str | None = None,
    progress: bool = True,
) -> Study:
    """Make a study, or go on with one: every stage that is not done, and the report.

    Args:
        path: the study's folder; made when it is not there.
        config: settings (YAML); None: the embedded organism, or an existing study's own.
        preset: a named set of defaults (`organism`, `organism-small`, `models`).
        seed: the study's seed, 0 by default.
        overrides: settings of the form `a.b=c`.
        restart_from: a stage to make again with all after it; changed settings are then taken over.
        progress: whether to draw bars.

    Returns:
        The study, finished.

    Raises:
        MechcotError: with what was expected, what came and what to do.
    """
    folder = Path(path)
    settings = _settings(folder, config, preset, seed, overrides)
    return _execute(folder, settings, lambda stage: True, restart_from, progress)


def read(
    path: str | Path,
    *,
    authors: Sequence[str] = (),
    readers: Sequence[str] = (),
    overrides: tuple[str, ...] = (),
    progress: bool = True,
) -> Study:
    """Read the traces of some arms with the weights of some arms; what that needs is made first.

    Analyses are left to the next `run`.

    Args:
        path: the study's folder.
        authors: whose traces; none: all that the settings name.
        readers: by whose weights; none: all that the settings name.
        overrides: settings of the form `a.b=c`; they stay in the study.
        progress: whether to draw bars.

    Returns:
        The study.

    Raises:
        MechcotError: with what was expected, what came and what to do.
    """
    folder = Path(path)
    settings = reading_settings(folder, authors, readers, overrides)
    wanted = {
        f"read-{author}-by-{reader}"
        for author in authors or settings.authors()
        for reader in readers or settings.readers()
    }
    ends = {"report", *RESULTS}

    def chosen(stage: Stage) -> bool:
        return stage.name in wanted or not (stage.name.startswith("read-") or stage.name in ends)

    return _execute(folder, settings, chosen, None, progress)


def reading_settings(
    folder: Path, authors: Sequence[str], readers: Sequence[str], overrides: tuple[str, ...] = ()
) -> Settings:
    """A study's settings with these arms among the readings' authors and readers.

    Raises:
        ConfigError: an unknown arm or key, or a reader without weights.
    """
    settings = _settings(folder, None, None, None, overrides)
    more = []
    for name, asked, known in (
        ("authors", authors, settings.authors()),
        ("readers", readers, settings.readers()),
    ):
        if set(asked) - set(known):
            more.append(f"reading.{name}=[{', '.join(dict.fromkeys((*known, *asked)))}]")
    return _settings(folder, None, None, None, (*overrides, *more)) if more else settings


def _execute(
    folder: Path,
    settings: Settings,
    chosen: Callable[[Stage], bool],
    restart_from: str | None,
    progress: bool,
) -> Study:
    study = create_or_open(folder, settings, restarting=restart_from is not None)
    from threadpoolctl import threadpool_limits

    with locked(folder):
        stages = stages_of(study, progress=progress)
        if restart_from is not None:
            forget_from(folder, stages, restart_from)
            study.save_settings()
            stages = stages_of(study, progress=progress)  # verdicts of steps made again are no inputs
        prepare_torch(study.settings.threads)
        # Sums depend on how many threads share them, in numpy as in torch.
        with threadpool_limits(study.settings.threads):
            run_stages(folder, [stage for stage in stages if chosen(stage)], versions())
    return study


def _settings(
    folder: Path,
    config: str | Path | None,
    preset: str | None,
    seed: int | None,
    overrides: tuple[str, ...],
) -> Settings:
    existing = folder / "study.yaml"
    if config is None and preset is None and existing.exists():
        return resolve(base=read_yaml(existing), overrides=overrides, seed=seed, source=str(existing))
    file = Path(config) if config is not None else None
    return resolve(preset=preset, file=file, overrides=overrides, seed=seed)


def stages_of(study: Study, *, progress: bool = True) -> list[Stage]:
    """All stages of a study, in order."""
    from mechcot.analyses.registry import analysis_stages

    return [
        *_question_stages(study, progress),
        *(stage for arm in study.settings.arms for stage in _training_stages(study, arm, progress)),
        *(stage for arm in study.settings.arms for stage in _text_stages(study, arm, progress)),
        _judge_stage(study, progress),
        *_reading_stages(study, progress),
        *analysis_stages(study),
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
                partial(jobs.ask, study),
                frozen=True,
                outside=(file,) if file and file.exists() else (),
            )
        ]
    own = {"organism": settings.organism.model_dump(mode="json"), "seed": settings.seed}
    variants = tuple(
        dict.fromkeys(arm.distill.examples for arm in settings.arms.values() if arm.distill is not None)
    )
    stages = [
        Stage("questions", 1, own, (), ("questions.parquet",), partial(jobs.invent, study), frozen=True),
        Stage(
            "pretrain",
            1,
            own | {"threads": settings.threads},
            (),
            ("models/base",),
            partial(jobs.pretrain_base, study, progress),
            frozen=True,
        ),
    ]
    made = tuple(f"examples/{name}.parquet" for name in variants if name in TEACHER_VARIANTS)
    if made:
        stages.append(Stage("teacher", 1, own, (), made, partial(jobs.teach, study), frozen=True))
    return stages


# --- arms -----------------------------------------------------------------------------------------


def _training_stages(study: Study, arm: str, progress: bool) -> list[Stage]:
    settings = study.settings.arms[arm].distill
    if settings is None:
        return []
    own, outside = jobs.checkpoint_of(study, settings.base)
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
            partial(jobs.distil, study, arm, progress),
            frozen=True,
            outside=outside,
        )
    ]


def _text_stages(study: Study, arm: str, progress: bool) -> list[Stage]:
    given, steps = study.settings.arms[arm].traces is not None, study.settings.steps
    window = set() if steps.segmenter == "words" else {"window"}  # means nothing to the others
    return [
        _given_stage(study, arm) if given else _sampling_stage(study, arm, progress),
        Stage(
            f"steps-{arm}",
            1,
            {"steps": steps.model_dump(mode="json", exclude=window)},
            ("questions.parquet", f"arms/{arm}/traces.parquet"),
            (f"arms/{arm}/steps.parquet", f"arms/{arm}/claims.parquet"),
            partial(jobs.cut, study, arm),
            frozen=True,
        ),
    ]


def _sampling_stage(study: Study, arm: str, progress: bool) -> Stage:
    settings = study.settings
    own, outside = jobs.checkpoint_of(study, arm)
    prompt = settings.prompt.model_dump(mode="json")
    return Stage(
        f"sample-{arm}",
        1,
        {"sampling": settings.sampling.model_dump(mode="json"), "prompt": prompt, "seed": settings.seed},
        ("questions.parquet", *own),
        (f"arms/{arm}/traces.parquet",),
        partial(jobs.sample_traces, study, arm, progress),
        frozen=True,
        outside=outside,
    )


def _given_stage(study: Study, arm: str) -> Stage:
    """Traces out of a file, or by the organism's teacher: as many then as a checkpoint writes."""
    settings, source = study.settings, study.settings.arms[arm].traces
    assert source is not None
    own, outside = jobs.checkpoint_of(study, settings.contrast.before)  # its tokenizer
    basis: dict[str, Any] = {"prompt": settings.prompt.model_dump(mode="json")}
    if source in TEACHER_VARIANTS:
        assert settings.organism is not None  # by Settings' own validation
        basis |= {"teacher": source, "samples": settings.sampling.samples, "seed": settings.seed}
        basis |= {"organism": settings.organism.model_dump(mode="json")}
    else:
        outside = (*outside, jobs.given_file(source))
    return Stage(
        f"given-{arm}",
        1,
        basis,
        ("questions.parquet", *own),
        (f"arms/{arm}/traces.parquet",),
        partial(jobs.take_traces, study, arm),
        frozen=True,
        outside=outside,
    )


def _judge_stage(study: Study, progress: bool) -> Stage:
    settings = study.settings.judge
    if settings.kind == "llm":
        from mechcot.judging.judge_file import read_judge

        assert settings.path is not None  # by JudgeSettings' own validation
        read_judge(Path(settings.path).expanduser())  # before hours of sampling, not after them
    steps = tuple(f"arms/{arm}/steps.parquet" for arm in study.settings.arms)
    verdicts = tuple(f"arms/{arm}/verdicts/{settings.kind}.parquet" for arm in study.settings.arms)
    about = ("instruments/llm.json",) if settings.kind == "llm" else ()
    return Stage(
        "judge",
        2,
        settings.model_dump(mode="json"),
        ("questions.parquet", *steps),
        (*verdicts, *about),
        partial(jobs.judge, study, progress),
        outside=(Path(settings.path).expanduser(),) if settings.path else (),
    )


# --- readings, analyses, report -------------------------------------------------------------------


def _reading_stages(study: Study, progress: bool) -> list[Stage]:
    settings = study.settings
    reading = settings.reading.model_dump(mode="json", exclude={"authors", "readers"})
    basis = {"reading": reading, "domain": settings.contrast.domain, "threads": settings.threads}
    stages = []
    for author in settings.authors():
        for reader in settings.readers():
            own, outside = jobs.checkpoint_of(study, reader)
            tables = tuple(f"arms/{author}/{name}.parquet" for name in ("traces", "steps", "claims"))
            stages.append(
                Stage(
                    f"read-{author}-by-{reader}",
                    2,
                    basis,
                    ("questions.parquet", *tables, *own),
                    (f"readings/{author}/{reader}",),
                    partial(jobs.read, study, author, reader, progress),
                    outside=outside,
                )
            )
    return stages


def _report_stage(study: Study) -> Stage:
    from mechcot.analyses.judge_controls.part import result_files

    contrast = study.settings.contrast
    tables = tuple(
        f"arms/{arm}/{name}"
        for arm in (contrast.before, contrast.after)
        for name in ("traces.parquet", "steps.parquet", f"verdicts/{study.settings.judge.kind}.parquet")
    )
    readings = tuple(f"readings/{arm}/{arm}" for arm in (contrast.before, contrast.after))
    results = tuple(f"results/{name}.json" for name in RESULTS)
    # Made beside the pipeline: what people said, and what the controls of a judge did.
    beside = (study.path / "results" / "sheet.json", *result_files(study.path).values())
    return Stage(
        "report",
        2,
        {"settings": study.settings.model_dump(mode="json")},
        ("questions.parquet", *tables, *readings, *results),
        ("summary.json", "report.html"),
        partial(jobs.write, study),
        outside=tuple(path for path in beside if path.exists()),
    )
