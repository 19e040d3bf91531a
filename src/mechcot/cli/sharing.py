"""The part of the command line that takes in what other tools wrote, and gives a study out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mechcot.cli.options import DryRun, Json, NewStudyPath, Quiet, StudyPath, is_file, show_plan, show_stages
from mechcot.core.errors import UsageError
from mechcot.core.words import counted, plain_signs

_commands = typer.Typer()


def add_commands(app: typer.Typer) -> None:
    """Add these commands to the command line.

    Args:
        app: the command line.
    """
    app.registered_commands += _commands.registered_commands


@_commands.command(
    "import",
    help="""Make a study of answers that other tools logged: no models, one arm a file.

\b
  mechcot import studies/logs --arm base=base.eval --arm distilled=distilled.eval
  mechcot import studies/batch --arm base=a.jsonl --arm distilled=b.jsonl --questions questions.csv

Reads logs of Inspect (.eval, .json), samples of lm-evaluation-harness (samples_*.jsonl), output of OpenAI
batches and of vLLM (JSONL), and tables of traces (docs/sharing.md). Sends nothing. `mechcot run STUDY` then
judges the steps and writes the report; what needs weights is left out, and says so.""",
)
def import_(
    study: NewStudyPath,
    arm: Annotated[
        list[str],
        typer.Option(metavar="NAME=FILE", help="An arm and its file; the arm before first, then the after."),
    ],
    questions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Questions with right answers, where the logs have none."),
    ] = None,
    judge_file: Annotated[
        str | None, typer.Option("--judge", metavar="FILE", help="Judge file of the study; kimi by default.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=C", help="Override one setting; may be given again."),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Make a study of other tools' logs."""
    from mechcot.pipeline.import_check import check_import

    arms = _named(arm)
    check_import(study, arms)
    from mechcot.analyses.shown import shown
    from mechcot.pipeline.imported import import_arms

    show_stages(quiet)
    done = import_arms(
        study,
        arms,
        questions=questions,
        judge=judge_file,
        overrides=tuple(set_ or ()),
        progress=not quiet,
    )
    answers = done.answers()
    if as_json:
        typer.echo(json.dumps(answers.to_json(), ensure_ascii=False))
        return
    typer.echo(shown(answers))
    asked, steps = len(done.questions()), sum(len(done.steps(name)) for name in done.settings.arms)
    typer.echo(
        f"\n{_n(asked, 'question')}, {_n(steps, 'step')}. Next: mechcot run {study} judges them "
        f"({done.settings.judge.path}) and writes the report; mechcot plan {study} says what that takes"
    )


@_commands.command(
    help="""Give a study out: cards for the Hugging Face Hub, or its steps with their labels.

\b
  mechcot export studies/organism --card cards/             # cards/model/README.md, cards/dataset/README.md
  mechcot export studies/organism --steps steps.jsonl       # ProcessBench rows: problem, steps, label
  mechcot export studies/organism --steps steps.jsonl --form prm800k

Every number of a card is read from the study's results, with its interval; no licence is set. Of the steps, a
trace whose first wrong step is not known (an abstention before it) is left out and counted
(docs/sharing.md)."""
)
def export(
    study: StudyPath,
    card: Annotated[
        Path | None, typer.Option("--card", metavar="DIR", help="Write a model card and a data card.")
    ] = None,
    steps: Annotated[
        Path | None, typer.Option("--steps", metavar="FILE", help="Write a row a judged trace (JSON Lines).")
    ] = None,
    form: Annotated[str, typer.Option(help="Of --steps: processbench or prm800k.")] = "processbench",
) -> None:
    """Give a study out."""
    from mechcot.analyses.sharing.card import write_cards
    from mechcot.analyses.sharing.steps import step_rows_of, write_step_rows
    from mechcot.study.folder import Study

    if card is None and steps is None:
        raise UsageError("say what to write: --card DIR, --steps FILE, or both")
    opened = Study.open(study)
    if card is not None:
        model, dataset = write_cards(opened, card)
        typer.echo(f"Model card: {model}\nData card: {dataset}")
    if steps is not None:
        found = step_rows_of(opened, form)
        write_step_rows(steps, found)
        typer.echo(f"Steps: {steps} ({_n(len(found.rows), 'trace')})")
        for why, n in found.left_out.items():
            typer.echo(f"Left out: {_n(n, 'trace')}: {why}")


@_commands.command(
    help="""How often a judge finds the first wrong step that people marked, by ProcessBench's F1.

\b
  mechcot judge-accuracy gsm8k.json --judge kimi --out cards/kimi --dry-run   # calls and money; sends nothing
  mechcot judge-accuracy gsm8k.json --judge kimi --out cards/kimi --solutions 200
  mechcot judge-accuracy prm800k.jsonl --judge my-judge.yaml --out cards/mine --budget 20

Reads rows of ProcessBench and of PRM800K (JSON, JSON Lines). Writes card.md, accuracy.json and every verdict.
Killed or stopped by its budget, the same command goes on: what was answered is not asked again."""
)
def judge_accuracy(
    labels: Annotated[
        Path, typer.Argument(help="A file of step labels.", show_default=False, callback=is_file)
    ],
    judge_file: Annotated[
        Path,
        typer.Option(
            "--judge", metavar="FILE", help="Judge file, or the name of one that comes with mechcot."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the card goes, and replies are kept.")],
    solutions: Annotated[
        int | None, typer.Option(min=2, help="Solutions drawn at random; all by default.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 0,
    budget: Annotated[
        float | None,
        typer.Option(min=0, metavar="MONEY", help="The most that all calls may cost, earlier runs included."),
    ] = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """A judge's accuracy on public labels."""
    from mechcot.analyses import judge_accuracy as accuracy
    from mechcot.analyses.judge_accuracy.card import terminal_text
    from mechcot.core.plan import Plan
    from mechcot.pipeline.plan import calls_expense

    show_stages(quiet)
    if dry_run:
        found = accuracy.plan_labels(labels, judge_file, out, solutions=solutions, seed=seed)
        show_plan(
            Plan((calls_expense(judge_file.stem, found.calls + found.cached, "steps", found),)), as_json
        )
        return
    done = accuracy.judge_labels(
        labels, judge_file, out, solutions=solutions, seed=seed, budget=budget, progress=not quiet
    )
    typer.echo(json.dumps(done.to_json(), ensure_ascii=False) if as_json else terminal_text(done))
    if not as_json:
        typer.echo(f"\nCard: {out / 'card.md'}")


def _n(count: int, what: str) -> str:
    return plain_signs(counted(count, what))


def _named(given: list[str]) -> dict[str, str]:
    """Arms by name, as they were typed.

    Raises:
        UsageError: one without a name or a file, or a name twice.
    """
    found: dict[str, str] = {}
    for text in given:
        name, equals, file = text.partition("=")
        if not equals or not name or not file:
            raise UsageError(f"--arm takes NAME=FILE, for example --arm base=base.eval; got '{text}'")
        if name in found:
            raise UsageError(f"--arm: '{name}' is named twice; every arm is one file")
        found[name] = file
    return found
