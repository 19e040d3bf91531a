"""Arguments that several commands share, and the lines that a run prints on its way."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from mechcot.core.plan import Plan
    from mechcot.core.settings import Settings
    from mechcot.study.folder import Study

_File = TypeVar("_File", str | None, Path | None)


def is_study(study: Path | None) -> Path | None:
    """A study that an argument names: there, and with settings that can be used.

    Told before a command imports what it needs.
    """
    from mechcot.core.config import read_yaml, resolve
    from mechcot.core.manifest import SETTINGS, check_settings

    if study is not None:
        is_studys_folder(study)
        check_settings(study)
        resolve(base=read_yaml(study / SETTINGS), source=str(study / SETTINGS))
    return study


def is_studys_folder(study: Path | None) -> Path | None:
    """The same, whatever its settings are."""
    from mechcot.core.manifest import check_study

    if study is not None:
        check_study(study)
    return study


def is_judge_file(given: _File) -> _File:
    """A judge file that an option names, or one that comes with mechcot, likewise."""
    from mechcot.judging.judge_file import judge_path, read_judge

    if given is not None:
        read_judge(judge_path(given))
    return given


def warn_of_damage(study: Path) -> None:
    """Say on the side which file of a study is not as it was written, where what is shown stands without."""
    from mechcot.core.manifest import damaged

    told = damaged(study)
    if told:
        typer.echo(f"mechcot: {told}", err=True)


def with_weights(path: Path) -> Study:
    """A study that something is asked of whose weights.

    Raises:
        UsageError: it has none.
    """
    from mechcot.core.no_weights import need_weights
    from mechcot.study.folder import Study

    study = Study.open(path)
    need_weights(path, study.settings)
    return study


def are_studies(studies: list[Path]) -> list[Path]:
    """The same of several."""
    return [path for path in studies if is_study(path)]


def is_spec(given: Path | None) -> Path | None:
    """A probe's specification that an option names, or one that comes with mechcot, likewise."""
    from mechcot.probe.spec import load_spec

    if given is not None:
        load_spec(given)
    return given


def is_model(name: str) -> str:
    """A checkpoint that an argument names, likewise: a folder that is there, or a name of the Hub."""
    from mechcot.models.checkpoint import named_folder

    named_folder(name)
    return name


def is_file(path: Path) -> Path:
    """A file that an argument names, likewise."""
    from mechcot.core.files import check_file

    check_file(path)
    return path


def is_file_if(path: Path | None) -> Path | None:
    """A file that an option may name, likewise."""
    return None if path is None else is_file(path)


def study_or_file(path: Path) -> Path:
    """A study or a file, likewise."""
    if path.is_dir() or not path.suffix:
        is_study(path)
        return path
    return is_file(path)


def studies_or_files(paths: list[Path]) -> list[Path]:
    """The same of several."""
    return [study_or_file(path) for path in paths]


def told_new(study: Path, settings: Settings, *, dry_run: bool = False) -> None:
    """Say in one line that a study is not there yet, and of what one is made in its place.

    Raises:
        StudyError: none can be made there.
    """
    from mechcot.core.manifest import SETTINGS, check_place, studies_near

    check_place(study)
    if (study / SETTINGS).exists():
        return
    near = studies_near(study)
    arms = f"the arms {', '.join(settings.arms)}"
    of = "the model organism (of other models: --config FILE)" if settings.organism else arms
    logging.getLogger("mechcot").log(
        logging.WARNING if near else logging.INFO,
        "%s is no study yet: a new one of %s %s%s",
        study,
        of,
        "would be made there" if dry_run else "is made there; Ctrl-C stops it",
        f". Did you mean {' or '.join(map(str, near))}?" if near else "",
    )


NewStudyPath = Annotated[Path, typer.Argument(help="The study's folder.", show_default=False)]
StudyPath = Annotated[Path, typer.Argument(help="The study's folder.", show_default=False, callback=is_study)]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bars and stage lines.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only what it will take; runs, sends and writes nothing.")
]

Workers = Annotated[
    int | None, typer.Option(min=1, help="Share the work among so many Ray workers, here or at --cluster.")
]
AtCluster = Annotated[
    str | None,
    typer.Option("--cluster", metavar="ADDRESS", help="Those of a Ray cluster: auto, or HOST:PORT."),
]


DRAWN = "\nTime: seconds; drawing runs no model and asks no server."
"""What the dry run of drawing for people says of time."""


def show_plan(plan: Plan, as_json: bool) -> None:
    """Print what some work will take."""
    typer.echo(json.dumps(plan.to_json(), ensure_ascii=False) if as_json else plan.text())


def show_stages(quiet: bool) -> None:
    """Print what mechcot says on its way; warnings alone when quiet."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("mechcot").setLevel(logging.WARNING if quiet else logging.INFO)


def shared(workers: int | None, cluster: str | None) -> AbstractContextManager[None]:
    """While it lasts, runs are shared among the workers that a command asks for, if any."""
    from mechcot.core.engine_settings import EngineSettings
    from mechcot.pipeline.engine import shared_by

    told = {"workers": workers, "address": cluster}
    given = {name: value for name, value in told.items() if value is not None}
    return shared_by(EngineSettings.model_validate(given) if given else None)
