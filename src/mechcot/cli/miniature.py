"""`mechcot run --miniature`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mechcot.core.errors import UsageError

InMiniature = Annotated[
    bool,
    typer.Option(
        "--miniature", help="Every stage on tiny checkpoints, invented questions and a judge of this machine."
    ),
]


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
    from mechcot.pipeline.miniature.run import miniature

    if given["config"] is None or given["preset"] or given["restart_from"] or dry_run:
        raise UsageError(
            "--miniature runs a settings file in a new folder: give --config FILE, and leave out --preset, "
            "--restart-from and --dry-run"
        )
    overrides, seed = given["overrides"], given["seed"]
    done = miniature(study, given["config"], overrides=overrides, seed=seed, progress=not quiet)
    typer.echo(json.dumps(done.to_json(), ensure_ascii=False) if as_json else done.text())
