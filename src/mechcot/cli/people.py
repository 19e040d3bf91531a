"""The part of the command line that is about people who rate traces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mechcot.cli.options import DRAWN, Json, StudyPath

_likert = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Forms on which people rate traces of several types, and what they make of them.",
)


def add_commands(app: typer.Typer) -> None:
    """Add these commands to the command line.

    Args:
        app: the command line.
    """
    app.add_typer(_likert, name="likert")


@_likert.command(
    "draw",
    help="""Draw a study of ratings: one form a participant, a list of them, and a sealed key.

\b
  mechcot likert draw studies/organism --dry-run            # what so many participants can see
  mechcot likert draw studies/organism --participants 100 --consent consent.txt

The arms are the trace types; a participant rates traces of one. Hand out forms/*.html; keep key.json to
yourself. Forms are never overwritten.""",
)
def draw(
    study: StudyPath,
    participants: Annotated[int, typer.Option(min=1, help="All arms together.")] = 100,
    arm: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A trace type; several times. By default all arms with traces."),
    ] = None,
    questions: Annotated[int, typer.Option(min=1, help="Different questions.")] = 12,
    each: Annotated[int, typer.Option(min=1, help="Questions that a participant rates.")] = 6,
    consent: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Consent text in place of the plain one.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the draw; the study's by default.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to write; STUDY/likert by default.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only what it can see.")] = False,
) -> None:
    """Draw forms."""
    from mechcot.analyses import likert
    from mechcot.study.folder import Study

    opened = Study.open(study)
    drawn = likert.draw_ratings(
        opened, participants, arms=arm or (), questions=questions, each=each, seed=seed
    )
    typer.echo(f"{drawn.power().text()}\n\n{drawn.text()}")
    if dry_run:
        typer.echo(DRAWN)
        return
    folder = likert.write_forms(opened, drawn, out or study / "likert", consent=consent)
    typer.echo(f"\nHand out: {folder / 'forms'} (participants.csv lists them)\nKeep: {folder / 'key.json'}")


@_likert.command(
    "import",
    help="""Read filled forms: effects between trace types, reliability, and ratings beside accuracy.

\b
  mechcot likert import studies/organism ratings.csv
  mechcot likert import studies/organism exports/*.csv

Prints tables; writes results/likert.json and likert/report.html. Takes forms' exports, one or many
participants in a file.""",
)
def import_ratings(
    study: StudyPath,
    filled: Annotated[list[Path], typer.Argument(help="Filled forms (CSV).", show_default=False)],
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Their key; STUDY/likert/key.json by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Read filled forms."""
    from mechcot.analyses import likert
    from mechcot.analyses.shown import shown
    from mechcot.study.folder import Study

    opened = Study.open(study)
    result = likert.read_ratings(opened, filled, key or study / "likert" / "key.json")
    path, page = likert.write_result(opened, result)
    typer.echo(json.dumps(result.to_json(), ensure_ascii=False) if as_json else shown(result))
    if not as_json:
        typer.echo(f"\nResult: {path}\nPage: {page}")
