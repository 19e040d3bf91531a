"""The part of the command line that is about when answers are settled."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from mechcot.cli.options import Json, StudyPath

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

Prints every measure (docs/commitment.md) with chance and equal lengths beside the locks; writes the page
and the numbers into STUDY/commitment. Runs no model: the study's readings hold the answers."""
)
def commitment(
    study: StudyPath,
    author: Annotated[
        str | None, typer.Option(metavar="ARM", help="Whose traces; then both arms' weights read them.")
    ] = None,
    reader: Annotated[
        str | None, typer.Option(metavar="ARM", help="Whose weights; then they read both arms' traces.")
    ] = None,
    lead_in: Annotated[int, typer.Option(min=0, help="Which of prompt.lead_in forces the answers.")] = 0,
    by: Annotated[str, typer.Option(help="What curves stand against: step, share or token.")] = "step",
    as_json: Json = False,
) -> None:
    """When answers are settled."""
    from mechcot.analyses.commitment.contrast import contrast
    from mechcot.analyses.commitment.contrast_page import write_contrast
    from mechcot.study.folder import Study

    opened = Study.open(study)
    found = contrast(opened, author, reader, lead_in, by)
    folder = write_contrast(opened, found)
    typer.echo(json.dumps(found.to_json(), ensure_ascii=False) if as_json else found.text())
    if not as_json:
        typer.echo(f"\nPage: {folder / 'report.html'}")
