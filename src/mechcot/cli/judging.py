"""The part of the command line that is about judges: models, checks of them, and people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mechcot.cli.options import (
    DRAWN,
    DryRun,
    Json,
    Quiet,
    StudyPath,
    is_judge_file,
    is_model,
    show_plan,
    show_stages,
    with_weights,
)

_commands = typer.Typer()
_SHIPPED = ", or the name of one that comes with mechcot (docs/judges.md)"


def add_commands(app: typer.Typer) -> None:
    """Add these commands to the command line.

    Args:
        app: the command line.
    """
    app.registered_commands += _commands.registered_commands
    app.add_typer(_sheet, name="sheet")


@_commands.command(
    help="""Have a further judge judge a study's steps, beside the study's own.

\b
  mechcot judge studies/organism --judge kimi --dry-run   # sends nothing
  mechcot judge studies/organism --judge my-judge.yaml --budget 20

Killed or stopped by its budget, the same command goes on: what was answered is not asked again."""
)
def judge(
    study: StudyPath,
    judge_file: Annotated[
        Path,
        typer.Option("--judge", metavar="FILE", help=f"Judge file (YAML){_SHIPPED}.", callback=is_judge_file),
    ],
    dry_run: DryRun = False,
    budget: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="MONEY", help="The most that these verdicts may cost, earlier runs included."
        ),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Judge a study's steps by one more judge."""
    from mechcot.pipeline import further as instruments

    show_stages(quiet)
    if dry_run:
        show_plan(instruments.price(study, judge_file), as_json)
        return
    done = instruments.judge_study(study, judge_file, budget=budget, progress=not quiet)
    typer.echo(json.dumps(done.to_json(), ensure_ascii=False) if as_json else done.text())
    if not as_json:
        typer.echo(f"\nVerdicts: {study / 'arms' / '*' / 'verdicts' / done.instrument}.parquet")


@_commands.command(
    help="""Judge a sample of steps again under controls of the judge: does the difference hold?

\b
  mechcot judge-controls studies/organism
  mechcot judge-controls studies/mine --judge kimi --rewriter rewriter --questions 200 --dry-run
  mechcot judge-controls studies/mine --judge kimi --only answer-blind --only factor --budget 20

Each control changes one thing (docs/judge-controls.md). Writes STUDY/judge_controls/JUDGE. Killed or
stopped by its budget, the same command goes on: what was answered is not asked again.""",
)
def judge_controls(
    study: StudyPath,
    judge_file: Annotated[
        Path | None,
        typer.Option(
            "--judge",
            metavar="FILE",
            help=f"Judge file{_SHIPPED}; by default the study's own judge.",
            callback=is_judge_file,
        ),
    ] = None,
    rewriter: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Judge file of who rewrites steps; without one no tone-swap.",
            callback=is_judge_file,
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A control, or factor or segment; may be given again; a wrong name lists them.",
        ),
    ] = None,
    questions: Annotated[
        int | None, typer.Option(min=2, help="Questions drawn at random; all by default.")
    ] = None,
    traces: Annotated[int, typer.Option(min=1, help="Traces of a question and arm.")] = 1,
    decoys: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Your own decoys: qid, arm, text, truth; parquet, CSV, JSON Lines."
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(min=0, metavar="MONEY", help="The most that all calls may cost, earlier runs included."),
    ] = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Judge steps under controls of the judge."""
    from mechcot.analyses.judge_controls import run
    from mechcot.analyses.judge_controls.design import Wanted
    from mechcot.pipeline.plan import controls_plan

    show_stages(quiet)
    wanted = Wanted(
        judge_file=judge_file,
        rewriter_file=rewriter,
        only=tuple(only or ()),
        questions=questions,
        traces=traces,
        decoys=decoys,
    )
    if dry_run:
        show_plan(controls_plan(run.plan_judge_controls(study, wanted)), as_json)
        return
    done = run.run_judge_controls(study, wanted, budget=budget, progress=not quiet)
    typer.echo(json.dumps(done.to_json(), ensure_ascii=False) if as_json else done.text())
    if not as_json:
        typer.echo(f"\nPage: {done.folder / 'report.html'}")


@_commands.command(
    help="""Hand traces over: each arm writes the next step behind the text of both (docs/text-or-weights.md).

\b
  mechcot handover studies/organism --dry-run
  mechcot handover studies/mine --judge kimi

Adds it to the study (settings: handover.*), and to its report. Killed at any instant, the same command
goes on where it stopped."""
)
def handover(
    study: StudyPath,
    judge_file: Annotated[
        Path | None,
        typer.Option(
            "--judge",
            metavar="FILE",
            help=f"Judge file{_SHIPPED}; by default the study's own judge.",
            callback=is_judge_file,
        ),
    ] = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Hand traces over."""
    show_stages(quiet)
    with_weights(study)
    from mechcot.pipeline import run as pipeline

    if dry_run:
        show_plan(pipeline.plan_handover(study, judge_file=judge_file), as_json)
        return
    done = pipeline.hand_over(study, judge_file=judge_file, progress=not quiet)
    if as_json:
        typer.echo(json.dumps(done.result("handover"), ensure_ascii=False))
        return
    from mechcot.analyses.shown import shown

    typer.echo(f"{shown(done.handover())}\n\nReport: {done.report}")


@_commands.command(
    help="""Serve a checkpoint as an OpenAI-compatible chat server that holds replies to a JSON schema.

\b
  mechcot serve-local models/judge
  mechcot serve-local Qwen/Qwen3-8B --port 8001 --device cuda

For one machine without a larger server: it listens on the loopback only, and answers no page of a browser.
Other users of the machine can ask it, unless it takes a key (--api-key-env). Ends with Ctrl-C."""
)
def serve_local(
    model: Annotated[
        str, typer.Argument(help="Checkpoint folder, or OWNER/NAME on the Hub.", callback=is_model)
    ],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8000,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...; auto: cuda where there is one.")] = "auto",
    api_key_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Environment variable with the key that requests must carry."),
    ] = None,
) -> None:
    """Serve a checkpoint to a judge file."""
    from mechcot.serving import LocalServer

    with LocalServer.load(model, port=port, device=device, api_key_env=api_key_env) as server:
        typer.echo(f"base_url: {server.url}\nmodel: {server.model}\napi_key_env: {api_key_env or 'null'}")
        server.wait()


_sheet = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Blinded sheets of steps for people to judge, and what they say of the judges.",
)


@_sheet.command(
    "draw",
    help="""Draw a blinded sheet of steps: a page for keyboard or paper, a CSV, and a sealed key.

\b
  mechcot sheet draw studies/organism --dry-run         # what differences so many steps can see
  mechcot sheet draw studies/organism --steps 300 --answer-blind

Hand out sheet.html or sheet.csv; keep key.json to yourself. A sheet is never overwritten.""",
)
def draw(
    study: StudyPath,
    steps: Annotated[int, typer.Option(min=1, help="Different steps, both arms together.")] = 300,
    repeat: Annotated[
        int | None, typer.Option(min=0, help="How many of them stand there twice; a tenth by default.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the draw; the study's by default.")] = None,
    answer_blind: Annotated[bool, typer.Option("--answer-blind", help="Leave the right answer out.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to write; STUDY/sheet by default.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only what the sheet can see.")] = False,
) -> None:
    """Draw a sheet."""
    from mechcot.analyses import sheet
    from mechcot.study.folder import Study

    opened = Study.open(study)
    drawn = sheet.draw_steps(opened, steps, repeat=steps // 10 if repeat is None else repeat, seed=seed)
    typer.echo(drawn.text())
    if dry_run:
        typer.echo(DRAWN)
        return
    folder = sheet.write_sheet(opened, drawn, out or study / "sheet", answer_blind=answer_blind)
    typer.echo(f"\nHand out: {folder / 'sheet.html'} or sheet.csv\nKeep: {folder / 'key.json'}")


@_sheet.command(
    "import",
    help="""Read a filled sheet: agreement with each judge, corrected error rates, test-retest, blinding.

\b
  mechcot sheet import studies/organism filled.csv

Prints tables; writes results/sheet.json. Takes the page's export and what a spreadsheet saved as CSV.""",
)
def import_sheet(
    study: StudyPath,
    filled: Annotated[Path, typer.Argument(help="The filled sheet (CSV).", show_default=False)],
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its key; STUDY/sheet/key.json by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Read a filled sheet."""
    from mechcot.analyses import sheet
    from mechcot.study.folder import Study

    opened = Study.open(study)
    result = sheet.read_sheet(opened, filled, key or study / "sheet" / "key.json")
    path = sheet.write_result(opened, result)
    typer.echo(json.dumps(result.to_json(), ensure_ascii=False) if as_json else result.text())
    if not as_json:
        typer.echo(f"\nResult: {path}")
