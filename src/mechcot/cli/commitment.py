"""The part of the command line that is about when answers are settled."""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated

import typer

from mechcot.cli.causes import which_steps
from mechcot.cli.options import DryRun, Json, Quiet, StudyPath, is_judge_file
from mechcot.core.errors import UsageError

_commands = typer.Typer()


def add_commands(app: typer.Typer) -> None:
    """Add these commands to the command line.

    Args:
        app: the command line.
    """
    app.registered_commands += _commands.registered_commands


@_commands.command(
    help="""When does a trace's answer settle, by the answers forced after each of its steps?

\b
  mechcot commitment studies/organism                       # each arm's traces by its own weights
  mechcot commitment studies/organism --reader base         # both arms' text, the same weights
  mechcot commitment studies/organism --author distilled --by token
  mechcot commitment studies/organism --steps swaps --dry-run   # which steps matter; what that takes
  mechcot commitment studies/mine --steps swaps --rewriter kimi   # steps written anew by a server

Prints every measure (docs/commitment.md) with chance and equal lengths beside the locks; writes the page
and the numbers into STUDY/commitment. Runs no model: the study's readings hold the answers.

With --steps: which steps matter to the answer, and whether it matters that they are wrong (docs/causes.md).
Claims are swapped and all behind them is written anew (swaps), or each step is hidden from the answer
(knockouts). Kept in the study, and a section of its report; killed, the same command goes on."""
)
def commitment(
    study: StudyPath,
    author: Annotated[
        str | None, typer.Option(metavar="ARM", help="Whose traces; then both arms' weights read them.")
    ] = None,
    reader: Annotated[
        str | None, typer.Option(metavar="ARM", help="Whose weights; then they read both arms' traces.")
    ] = None,
    lead_in: Annotated[int, typer.Option(min=0, help="Which lead-in forces the answers.")] = 0,
    by: Annotated[str, typer.Option(help="What curves stand against: step, share or token.")] = "step",
    steps: Annotated[
        str | None, typer.Option(metavar="swaps|knockouts", help="Which steps matter, in place of all that.")
    ] = None,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="With --steps swaps: every trace read, more continuations.")
    ] = False,
    rewriter: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="With --steps swaps: a judge file whose server writes the swaps.",
            callback=is_judge_file,
        ),
    ] = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """When answers are settled, or which steps matter."""
    if steps is not None:
        from mechcot.pipeline.causes import overrides_of

        if author or reader or lead_in or by != "step":
            raise UsageError("--steps takes none of --author, --reader, --lead-in and --by")
        overrides = partial(overrides_of, steps=steps, thorough=thorough, rewriter=rewriter)
        which_steps(study, steps, overrides, dry_run=dry_run, quiet=quiet, as_json=as_json)
        return
    if thorough or dry_run or rewriter:
        raise UsageError("--thorough, --rewriter and --dry-run go with --steps: without it no model is run")
    from mechcot.analyses.commitment.contrast import contrast
    from mechcot.analyses.commitment.contrast_page import write_contrast
    from mechcot.study.folder import Study

    opened = Study.open(study)
    found = contrast(opened, author, reader, lead_in, by)
    folder = write_contrast(opened, found)
    typer.echo(json.dumps(found.to_json(), ensure_ascii=False) if as_json else found.text())
    if not as_json:
        typer.echo(f"\nPage: {folder / 'report.html'}")
