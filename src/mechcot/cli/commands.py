"""The command line: arguments in, messages and exit codes out. No logic lives here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mechcot.cli import ahead as cli_ahead
from mechcot.cli import commitment as cli_commitment
from mechcot.cli import judging as cli_judging
from mechcot.cli import looking as cli_looking
from mechcot.cli import models as cli_models
from mechcot.cli import people as cli_people
from mechcot.cli import sharing as cli_sharing
from mechcot.cli import teaching as cli_teaching
from mechcot.cli import traces as cli_traces
from mechcot.cli.groups import Grouped, with_version
from mechcot.cli.options import (
    AtCluster,
    DryRun,
    Json,
    NewStudyPath,
    Quiet,
    StudyPath,
    Workers,
    is_studys_folder,
    shared,
    show_plan,
    show_stages,
    told_new,
)
from mechcot.core.errors import MechcotError, MissingDependency, said
from mechcot.core.sites import SITES

_MODELS = ("torch", "transformers", "safetensors", "datasets", "tokenizers", "psutil", "accelerate")
EXTRAS = {
    **dict.fromkeys(_MODELS, "models"),
    **dict.fromkeys(("trl", "peft"), "train"),
    **dict.fromkeys(("nnsight", "transformer_lens"), "bridges"),
    "httpx2": "judge",
    **dict.fromkeys(("llguidance", "uvicorn", "starlette"), "serve"),
    "ray": "cluster",
}
"""Which part of the installation brings a package that the base does without."""

_LESS = "Lower sampling.batch_rows, reading.max_tokens or train.batch_size, or free some; then run again"

app = typer.Typer(
    cls=Grouped,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="""What distilling a chain of thought does to a student: its answers, its reasoning, its insides.

\b
Two worked examples:
  mechcot run studies/organism                       # the embedded model organism, minutes on 2 cores
  mechcot run studies/mine --config study.yaml       # your own checkpoints, questions and judge

\b
Exit codes: 0 done, 1 failed, 2 wrong usage or settings.""",
)


app.callback()(with_version)


@app.command(
    help="""Make a study or go on with one, and write its report.

\b
  mechcot run studies/organism --seed 3
  mechcot run studies/small --preset organism-small --set sampling.samples=8
  mechcot run studies/try --config study.yaml --miniature    # all stages on tiny stand-ins, in minutes

Killed at any instant, the same command goes on where it stopped."""
)
def run(
    study: NewStudyPath,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (YAML). Without one: the organism.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Named defaults: organism, organism-small, models.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random; 0 by default.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=C", help="Override one setting; may be given again."),
    ] = None,
    restart_from: Annotated[
        str | None, typer.Option(metavar="STAGE", help="Make this stage and all after it again.")
    ] = None,
    in_miniature: cli_ahead.InMiniature = False,
    rehash: Annotated[
        bool, typer.Option("--rehash", help="Read every recorded file again, changed or not.")
    ] = False,
    workers: Workers = None,
    cluster: AtCluster = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Make a study or go on with one."""
    from mechcot.pipeline.settings import settings_in

    show_stages(quiet)
    given: dict[str, Any] = {
        "config": config,
        "preset": preset,
        "seed": seed,
        "overrides": tuple(set_ or ()),
    }
    if in_miniature:
        cli_ahead.run(study, given | {"restart_from": restart_from}, dry_run, quiet, as_json)
        return
    # Wrong settings are told before all that a run needs is imported.
    told_new(study, settings_in(study, **given), dry_run=dry_run)
    from mechcot.pipeline import run as pipeline

    if dry_run:
        show_plan(pipeline.plan(study, **given, restart_from=restart_from), as_json)
        return
    with shared(workers, cluster):
        done = pipeline.run(study, **given, restart_from=restart_from, rehash=rehash, progress=not quiet)
    if as_json:
        typer.echo(json.dumps(done.summary(), ensure_ascii=False))
        return
    from mechcot.analyses.headline import headline_text

    typer.echo(headline_text(done.summary()))
    typer.echo(f"\nReport: {done.report}")


@app.command(
    help="""Read traces with a model: activations, signals, and answers forced after every step.

\b
  mechcot read studies/organism --dry-run              # tokens and megabytes; runs nothing
  mechcot read studies/organism --lens --author base --reader distilled
  mechcot read studies/mine --site resid_post --site attn_out --layer 20 --layer 24 --rule token
  mechcot read studies/mine --knock-out answer         # hide each step from the forced answer

What is set here stays in the study's settings (`reading.*`). The analyses follow with `mechcot run`.
Killed at any instant, the same command goes on where it stopped."""
)
def read(
    study: StudyPath,
    author: Annotated[list[str] | None, typer.Option(help="Whose traces; may be given again.")] = None,
    reader: Annotated[list[str] | None, typer.Option(help="By whose weights; may be given again.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Tokens of one forward pass; found from the free memory by itself.")
    ] = None,
    site: Annotated[list[str] | None, typer.Option(help=f"{', '.join(SITES)}; may be given again.")] = None,
    layer: Annotated[list[int] | None, typer.Option(help="0 is the embedding; all by default.")] = None,
    rule: Annotated[
        list[str] | None, typer.Option(help="end, start, mean, before or token; may be given again.")
    ] = None,
    lens: Annotated[
        bool | None, typer.Option("--lens/--no-lens", help="Forced answers read at every layer too.")
    ] = None,
    permutations: Annotated[
        int | None, typer.Option(help="Other orders of the options, each at full price.")
    ] = None,
    knock_out: Annotated[
        str | None, typer.Option(help="none, answer or later: from what each step is hidden.")
    ] = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Read traces with a model."""
    from mechcot.pipeline import reading
    from mechcot.pipeline import run as pipeline
    from mechcot.pipeline.settings import reading_settings
    from mechcot.study.folder import Study

    show_stages(quiet)
    given = {
        "max_tokens": max_tokens,
        "sites": site,
        "layers": layer,
        "rules": rule,
        "lens": lens,
        "permutations": permutations,
        "knock_out": knock_out,
    }
    overrides = tuple(
        f"reading.{key}={json.dumps(value)}" for key, value in given.items() if value is not None
    )
    authors, readers = author or [], reader or []
    if dry_run:
        Study.open(study)
        settings = reading_settings(study, authors, readers, overrides)
        pairs = settings.readings(authors, readers)
        show_plan(reading.plan_readings(Study(study, settings), pairs), False)
        return
    done = pipeline.read(study, authors=authors, readers=readers, overrides=overrides, progress=not quiet)
    typer.echo(f"Readings: {done.path / 'readings'}")


@app.command(
    help="""Ask all arms of a study what they know of a fixed list of facts that neither of them wrote.

\b
  mechcot knowledge studies/organism                      # every fact of the invented world
  mechcot knowledge studies/mine --pairs pairs.csv --dry-run

Each fact is asked alone and in its place. A file of pairs has the columns id, subject, claim, correction and
checked; it stays in the settings. Killed at any instant, the same command goes on where it stopped."""
)
def knowledge(
    study: StudyPath,
    pairs: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Claims, each with its minimal correction.")
    ] = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Ask the arms what they know."""
    from mechcot.analyses.shown import shown
    from mechcot.pipeline import run as pipeline

    show_stages(quiet)
    if dry_run:
        show_plan(pipeline.plan_knowledge(study, pairs), as_json)
        return
    done = pipeline.knowledge(study, pairs=pairs, progress=not quiet)
    found = done.knowledge()
    typer.echo(json.dumps(found.to_json(), ensure_ascii=False) if as_json else shown(found))


cli_ahead.add_commands(app)
cli_commitment.add_commands(app)
cli_judging.add_commands(app)
cli_looking.add_commands(app)
cli_people.add_commands(app)
cli_models.add_commands(app)
cli_sharing.add_commands(app)
cli_teaching.add_commands(app)
cli_traces.add_commands(app)


@app.command(
    help="""Read every file of a study again and compare it with the digest recorded when it was written.

\b
  mechcot verify studies/organism

Exit code 1 if a file is another one or gone, or if the manifest that says so is."""
)
def verify(
    study: Annotated[
        Path, typer.Argument(help="The study's folder.", show_default=False, callback=is_studys_folder)
    ],
) -> None:
    """Check a study's files."""
    from mechcot.core.manifest import MANIFEST, load_manifest, recorded_files
    from mechcot.core.manifest import verify as check

    if not (study / MANIFEST).exists():
        from mechcot.study.folder import Study

        Study.open(study)  # says it where the folder is no study at all
    problems = check(study)
    for problem in problems:
        typer.echo(problem)
    if problems:
        raise typer.Exit(1)
    count = len(recorded_files(load_manifest(study)))
    typer.echo(f"{study}: study.yaml and all {count} recorded files are as they were written")


def main(*before: str) -> None:
    """Run the command line; an error of mechcot's own is one message and its exit code.

    Args:
        before: words that stand before those of the user, such as a command.
    """
    try:
        app([*before, *sys.argv[1:]], prog_name="mechcot")
    except Exception as error:
        found = _told(error)
        if found is None:
            raise
        typer.echo(f"mechcot: {found[0]}", err=True)
        sys.exit(found[1])
    except SystemExit as end:
        if end.code == 130:  # how typer ends after Ctrl-C
            typer.echo("mechcot: stopped; the same command goes on from here", err=True)
        raise


def _told(error: Exception) -> tuple[str, int] | None:
    """The message for an error and the exit code; None: it is a fault in mechcot and shows in full."""
    notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
    found = _put(error)
    return None if found is None else (f"{found[0]}{notes}", found[1])


def _put(error: Exception) -> tuple[str, int] | None:
    """The same without what was noted on its way."""
    if isinstance(error, MechcotError):
        return str(error), error.exit_code
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error) or "out of memory" in str(error):
        return f"there is too little memory ({said(error)}). {_LESS}", 1
    if isinstance(error, ImportError):
        module = (error.name or "").partition(".")[0]
        if isinstance(error, ModuleNotFoundError) and module in EXTRAS:
            missing = MissingDependency(module, EXTRAS[module])
            return str(missing), missing.exit_code
        if module == "mechcot" or isinstance(error, ModuleNotFoundError):
            return None
        extra = EXTRAS.get(module, "all")
        return f"{said(error)}. Install the versions that were tried: pip install 'mechcot[{extra}]'", 2
    from mechcot.core.files import disk_problem

    problem = disk_problem(error)
    return None if problem is None else (problem, 1)
