"""The readings: an author's traces by a reader's weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mechcot.core.stages import Stage
from mechcot.steps.of_study import checkpoint_folder, checkpoint_of, task_of
from mechcot.study.folder import Study


def reading_stages(study: Study, progress: bool) -> list[Stage]:
    """One stage an author and reader."""
    settings = study.settings
    reading = settings.reading.model_dump(mode="json", exclude={"authors", "readers"})
    basis = {"reading": reading, "domain": settings.contrast.domain, "threads": settings.threads}
    stages = []
    for author in settings.authors():
        for reader in settings.readers():
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
                )
            )
    return stages


def read(study: Study, author: str, reader: str, progress: bool, work: Path) -> None:
    """Read an author's traces with a reader's weights."""
    from mechcot.reading.of_study import read_arm

    read_arm(study, author, reader, work, task_of(study), checkpoint_folder(study, reader), progress=progress)


def prices(study: Study, authors: Sequence[str], readers: Sequence[str]) -> list[str]:
    """What the readings will cost, a line each; traces and steps must be there.

    Raises:
        DataError: an author's traces or steps are not there yet.
    """
    from mechcot.reading.of_study import price

    task = task_of(study)
    return [
        price(study, author, reader, task, checkpoint_folder(study, reader)).text()
        for author in authors
        for reader in readers
    ]
