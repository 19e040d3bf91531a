"""Arguments that several commands share, and the lines that a run prints on its way."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mechcot.core.plan import Plan


def _is_study(study: Path) -> Path:
    from mechcot.core.manifest import check_study

    check_study(study)  # before a command imports what it needs of one
    return study


NewStudyPath = Annotated[Path, typer.Argument(help="The study's folder.", show_default=False)]
StudyPath = Annotated[
    Path, typer.Argument(help="The study's folder.", show_default=False, callback=_is_study)
]
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
