"""The part of the command line that takes in what other tools wrote, and gives a study out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mechcot.cli.options import (
    DryRun,
    Json,
    NewStudyPath,
    Quiet,
    StudyPath,
    is_file,
    is_judge_file,
    show_plan,
    show_stages,
)
from mechcot.core.errors import UsageError
from mechcot.core.words import counted, plain_signs

if TYPE_CHECKING:
    from mechcot.analyses.sharing.push import Parcel

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
        str | None,
        typer.Option(
            "--judge",
            metavar="FILE",
            help="Judge file of the study; kimi by default.",
            callback=is_judge_file,
        ),
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
    help="""Give a study out: cards for the Hugging Face Hub, labelled steps, or all of it put there.

\b
  mechcot export studies/organism --card cards/             # cards/model/README.md, cards/dataset/README.md
  mechcot export studies/organism --steps steps.jsonl       # ProcessBench rows: problem, steps, label
  mechcot export studies/organism --steps steps.jsonl --form prm800k
  mechcot export studies/organism --push jane/organism --dry-run   # every file and its size; sends nothing
  mechcot export studies/organism --push jane/organism

Every number of a card is read from the study's results, with its interval; no licence is set. Of the steps, a
trace whose first wrong step is not known (an abstention before it) is left out and counted. --push makes the
repositories private and needs a token: HF_TOKEN, or hf auth login (docs/sharing.md)."""
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
    push: Annotated[
        str | None,
        typer.Option(
            "--push",
            metavar="OWNER/NAME",
            help="Put cards, tables (with --steps, these too) and the trained model onto the Hub.",
        ),
    ] = None,
    kind: Annotated[
        list[str] | None, typer.Option(help="Of --push: dataset or model alone; what there is by default.")
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Of --push: for everybody to read; private by default.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Of --push: only what would go up; sends and writes nothing.")
    ] = False,
) -> None:
    """Give a study out."""
    _check_export((card, steps), push, of_push=bool(kind) or public or dry_run)
    from mechcot.analyses.sharing.push import check_access, check_name, parcels

    if push is not None:
        check_name(push)
        if not dry_run:
            check_access()
    from mechcot.analyses.sharing.card import write_cards
    from mechcot.analyses.sharing.steps import step_rows_of, write_step_rows
    from mechcot.study.folder import Study

    opened = Study.open(study)
    if card is not None and not dry_run:
        model, dataset = write_cards(opened, card)
        typer.echo(f"Model card: {model}\nData card: {dataset}")
    found = None if steps is None else step_rows_of(opened, form)
    if steps is not None and found is not None and not dry_run:
        write_step_rows(steps, found)
        typer.echo(f"Steps: {steps} ({_n(len(found.rows), 'trace')})")
        for why, n in found.left_out.items():
            typer.echo(f"Left out: {_n(n, 'trace')}: {why}")
    if push is not None:
        made = parcels(opened, kind or (), None if found is None else found.rows)
        _push(push, made, public=public, dry_run=dry_run)


def _check_export(written: tuple[Path | None, Path | None], push: str | None, *, of_push: bool) -> None:
    """Refuse a call that asks for nothing, or for a part of nothing.

    Raises:
        UsageError: likewise.
    """
    if push is None and of_push:
        raise UsageError("--kind, --public and --dry-run are of --push; add --push OWNER/NAME")
    if push is None and written == (None, None):
        raise UsageError("say what to write: --card DIR, --steps FILE, --push OWNER/NAME, or several")


def _push(name: str, made: Sequence[Parcel], *, public: bool, dry_run: bool) -> None:
    """Say what goes up, then send it."""
    from mechcot.analyses.sharing.push import listing, push, token

    for parcel in made:
        typer.echo(listing(name, parcel, public=public))
    if dry_run:
        there = (
            "a token is set"
            if token()
            else "no token is set, and pushing needs one (HF_TOKEN, or hf auth login)"
        )
        typer.echo(f"\nNothing was sent; {there}.")
        return
    for parcel in made:
        typer.echo(f"On the Hub: {push(name, parcel, public=public)}")


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
            "--judge",
            metavar="FILE",
            help="Judge file, or the name of one that comes with mechcot.",
            callback=is_judge_file,
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
