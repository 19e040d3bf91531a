"""The part of the command line that is about what students are taught."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mechcot.cli.options import DryRun, Json, NewStudyPath, Quiet, is_study, show_plan, show_stages

_commands = typer.Typer()


def add_commands(app: typer.Typer) -> None:
    """Add these commands to the command line.

    Args:
        app: the command line.
    """
    app.registered_commands += _commands.registered_commands


@_commands.command(
    help="""Have a study's teacher write chains for training questions, and make examples of them.

\b
  mechcot teacher studies/mine --config study.yaml --dry-run   # calls, tokens, money at most; sends nothing
  mechcot teacher studies/mine --config study.yaml

The first stages of `mechcot run`, which trains on the examples (docs/teacher.md). Killed or stopped by its
budget, the same command goes on: what was answered is not asked again."""
)
def teacher(
    study: NewStudyPath,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (YAML). Without one: the study's own.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=C", help="Override one setting; may be given again."),
    ] = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Have a teacher write chains."""
    if config is None:
        is_study(study)
    from mechcot.pipeline.settings import settings_in

    show_stages(quiet)
    overrides = tuple(set_ or ())
    settings_in(study, config, None, None, overrides)  # wrong ones are told before all that is imported
    from mechcot.core.files import read_json
    from mechcot.core.words import counted, plain_signs
    from mechcot.pipeline import run as pipeline

    if dry_run:
        show_plan(pipeline.plan_teaching(study, config=config, overrides=overrides), as_json)
        return
    done = pipeline.teach(study, config=config, overrides=overrides, progress=not quiet)
    about = read_json(done.path / "teacher" / "about.json")
    if as_json:
        typer.echo(json.dumps(about, ensure_ascii=False))
        return
    told = ", ".join(f"{n} {name}" for name, n in about["outcomes"].items() if n)
    chains, questions, kept = (
        plain_signs(counted(about[name], what))
        for name, what in (
            ("n_chains", "chain"),
            ("n_questions", "question"),
            ("n_questions_kept", "question"),
        )
    )
    typer.echo(
        f"{chains} for {questions}: {told}\n{about['n_kept']} kept, of {kept}, {about['n_kept_hinted']} of "
        f"them with the answer shown\n\nChains: {done.path / 'teacher' / 'traces.parquet'}"
    )
