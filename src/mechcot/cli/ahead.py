"""Before anything is spent: `mechcot plan`, and `mechcot run --miniature`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mechcot.cli.options import Json, study_or_file
from mechcot.core.errors import UsageError

_commands = typer.Typer()

InMiniature = Annotated[
    bool,
    typer.Option(
        "--miniature", help="Every stage on tiny checkpoints, invented questions and a judge of this machine."
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Add these commands to the command line.

    Args:
        app: the command line.
    """
    app.registered_commands += _commands.registered_commands


def run(study: Path, given: dict[str, Any], dry_run: bool, quiet: bool, as_json: bool) -> None:
    """Run a settings file in miniature.

    Args:
        study: the new study's folder.
        given: the arguments of `pipeline.run.run`.
        dry_run: whether a plan was asked for.
        quiet: whether to draw no bars.
        as_json: whether to print the result as JSON.

    Raises:
        UsageError: there is no settings file, or what else was given has no meaning here.
    """
    from mechcot.pipeline.miniature.run import run_miniature

    if given["config"] is None or given["preset"] or given["restart_from"] or dry_run:
        raise UsageError(
            "--miniature runs a settings file in a new folder: give --config FILE, and leave out --preset, "
            "--restart-from and --dry-run"
        )
    overrides, seed = given["overrides"], given["seed"]
    done = run_miniature(study, given["config"], overrides=overrides, seed=seed, progress=not quiet)
    typer.echo(json.dumps(done.to_json(), ensure_ascii=False) if as_json else done.text())


@_commands.command(
    help="""What `mechcot run` would do, stage by stage, and what that takes: calls, hours, bytes, money.

\b
  mechcot plan studies/organism           # a study, begun or finished
  mechcot plan study.yaml                 # a new study with these settings
  mechcot plan study.yaml --workers 8     # shared among eight workers

Below the stages stands what those that are to do are expected to take, by counts and by a cost model whose
constants are listed (docs/scale.md), which stage takes longest and what it waits for, the same on GPUs, and
the smallest differences that the study could find. Nothing is run, fetched, sent or written."""
)
def plan(
    study: Annotated[
        Path, typer.Argument(help="The study's folder, or a settings file (YAML).", show_default=False)
    ],
    workers: Annotated[
        int | None, typer.Option(min=1, help="So many share it; on GPUs, one each.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Plan a study."""
    study_or_file(study)
    if study.is_file():
        from mechcot.pipeline.settings import settings_in

        settings_in(study, study, None, None, ())  # wrong ones are told before all that is imported
    from mechcot.pipeline import run as pipeline

    found = pipeline.foretell(study, workers=workers)
    if as_json:
        both = {**found.plan.to_json(), "estimate": found.estimate.to_json()}
        typer.echo(json.dumps(both, ensure_ascii=False))
        return
    typer.echo(found.plan.text())
    if found.estimate.rows:
        typer.echo(f"\n{found.estimate.text()}")
