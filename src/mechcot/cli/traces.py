"""The part of the command line that is about traces that rules write and check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mechcot.cli.options import Json, Quiet, is_judge_file, show_stages, studies_or_files, study_or_file

_traces = typer.Typer(
    no_args_is_help=True,
    help="Traces that rules write and check, sub-step by sub-step: cotemp (CoTempQA) and the organism.",
)
_Task = Annotated[str, typer.Option(help="cotemp or organism.")]


def add_commands(app: typer.Typer) -> None:
    """Add these commands to the command line.

    Args:
        app: the command line.
    """
    app.add_typer(_traces, name="traces")


@_traces.command(
    help="""Write examples of several types of traces for the same questions, the answer always right.

\\b
  mechcot traces make --task cotemp equal.jsonl mix.jsonl --variant correct,incorrect --out examples
  mechcot traces make --task cotemp mix.jsonl --variant summary --from traces.parquet --judge kimi --out made
  mechcot traces make --task organism studies/organism --variant correct,shuffled --out examples

By rule: correct, incorrect, partial, answer-only, shuffled, class-only, facts-only, length-matched,
answer-kept, filler, brief; by a server: summary, post-hoc (docs/traces.md)."""
)
def make(
    questions: Annotated[
        list[Path],
        typer.Argument(
            help="Files of questions, or a study's folder.", show_default=False, callback=studies_or_files
        ),
    ],
    task: _Task,
    variant: Annotated[str, typer.Option(help="Types of traces, with commas between them.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where VARIANT.parquet and report.json go.")],
    from_: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Traces that a server shortens: qid, text.")
    ] = None,
    judge: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Judge file of that server.", callback=is_judge_file),
    ] = None,
    by: Annotated[
        str, typer.Option(help="Matched on questions, or on tokens of the first variant.")
    ] = "questions",
    held_out: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of questions kept for asking, by entity and fact.")
    ] = 0.0,
    tokenizer: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Its chat template is put around prompts.")
    ] = None,
    on_bad_row: Annotated[str, typer.Option(help="refuse or skip.")] = "refuse",
    seed: Annotated[int, typer.Option(min=0, help="Seed of all draws.")] = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write examples of several types of traces."""
    from mechcot.analyses.shown import shown
    from mechcot.core.errors import UsageError
    from mechcot.pipeline.traces import Wanted, make_traces

    show_stages(quiet)
    for name, value, known in (
        ("by", by, ("questions", "tokens")),
        ("on-bad-row", on_bad_row, ("refuse", "skip")),
    ):
        if value not in known:
            raise UsageError(f"--{name}: {value!r} is none of {', '.join(known)}")
    names = tuple(dict.fromkeys(name.strip() for name in variant.split(",") if name.strip()))
    given: dict[str, Any] = {"by": by, "held_out": held_out, "tokenizer": tokenizer, "seed": seed}
    given |= {"traces": from_, "judge": judge, "skip": on_bad_row == "skip"}
    done = make_traces(Wanted(task, tuple(questions), names, **given), out, progress=not quiet)
    if as_json:
        typer.echo(json.dumps(done.to_json(), ensure_ascii=False))
        return
    typer.echo(shown(done))
    typer.echo(f"\nMatched on {done.matched_on}; {len(done.left_out):,} rows left out: {out / 'report.json'}")


@_traces.command(
    help="""Check every trace of a study or a file against its own question, sub-step by sub-step.

\\b
  mechcot traces check --task cotemp studies/mine
  mechcot traces check --task cotemp outputs.jsonl --questions equal.jsonl --questions mix.jsonl

A file has the columns qid and text, and answer where its texts hold none."""
)
def check(
    source: Annotated[
        Path,
        typer.Argument(
            help="A study's folder, or a file of traces.", show_default=False, callback=study_or_file
        ),
    ],
    task: _Task,
    questions: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Questions of a file; may be given again.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check traces."""
    from mechcot.analyses.shown import shown
    from mechcot.pipeline.traces import check_traces

    found = check_traces(task, source, tuple(questions or ()))
    typer.echo(json.dumps(found.to_json(), ensure_ascii=False) if as_json else shown(found))
