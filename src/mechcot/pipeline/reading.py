"""The readings: an author's traces by a reader's weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from mechcot.core.manifest import load_manifest
from mechcot.core.no_weights import need_weights
from mechcot.core.plan import Expense, Plan
from mechcot.core.stages import Stage, states_of
from mechcot.pipeline.pace import Pace
from mechcot.pipeline.plan import NO_TEXTS, ON_THE_HUB, there, traces_of
from mechcot.steps.of_study import checkpoint_folder, checkpoint_of, task_of
from mechcot.study.folder import Study


def reading_stages(study: Study, progress: bool) -> list[Stage]:
    """One stage an author and reader; those along a training read themselves alone."""
    settings = study.settings
    basis = {
        "reading": settings.reading.basis(),
        "domain": settings.contrast.domain,
        "threads": settings.threads,
    }
    stages = []
    for author, reader in settings.readings():
        own, outside = checkpoint_of(study, reader)
        tables = tuple(f"arms/{author}/{name}.parquet" for name in ("traces", "steps", "claims"))
        stages.append(
            Stage(
                f"read-{author}-by-{reader}",
                2,
                basis,
                ("questions.parquet", *tables, *own),
                (f"readings/{author}/{reader}",),
                partial(read, study, author, reader, progress),
                outside=outside,
                plan=partial(plan_reading, study, author, reader),
            )
        )
    return stages


def read(study: Study, author: str, reader: str, progress: bool, work: Path) -> None:
    """Read an author's traces with a reader's weights."""
    from mechcot.reading.of_study import read_arm

    task, weights = task_of(study, author), checkpoint_folder(study, reader)
    read_arm(study, author, reader, work, task, weights, progress=progress)


def plan_reading(study: Study, author: str, reader: str) -> Expense:
    """How many tokens a reading will compute and how much it will keep, once its texts are there."""
    what = f"{author} read by {reader}"
    if not there(study, author, "traces", "steps", "claims") or not checkpoint_folder(study, reader).exists():
        settings = study.settings
        n = traces_of(study, author, settings.contrast.domain, settings.reading.traces_per_question)
        return Expense(what, n, "traces", tokens_in=None, reason=ON_THE_HUB if n is None else NO_TEXTS)
    from mechcot.reading.of_study import price

    return price(study, author, reader, task_of(study, author), checkpoint_folder(study, reader))


def plan_readings(study: Study, pairs: Sequence[tuple[str, str]]) -> Plan:
    """What some readings take, those that are there too.

    Raises:
        UsageError: the study has no weights.
        ReadingError: a layer that a reader has not; author and reader do not share a tokenizer.
    """
    need_weights(study.path, study.settings)
    stages, rows = reading_stages(study, progress=False), []
    recorded = load_manifest(study.path)["stages"]
    pace = Pace(study.path, recorded)
    of = dict(zip([stage.name for stage in stages], states_of(study.path, stages), strict=True))
    for author, reader in pairs:
        name, row = f"read-{author}-by-{reader}", plan_reading(study, author, reader)
        took = recorded[name]["seconds"] if of[name] == "cached" else None
        rows.append(pace.of(replace(row, state=of[name], seconds=took)))
    return Plan(tuple(rows), tuple(pace.notes))
