"""The command line: arguments in, messages and exit codes out. No logic lives here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mechcot.cli import judging as cli_judging
from mechcot.cli.options import DryRun, Json, Quiet, StudyPath, show_plan, show_stages
from mechcot.core.errors import MechcotError, MissingDependency, UsageError
from mechcot.core.files import disk_problem
from mechcot.core.sites import SITES

EXTRAS = {
    **dict.fromkeys(("torch", "transformers", "safetensors", "datasets", "tokenizers", "psutil"), "models"),
    **dict.fromkeys(("trl", "peft", "accelerate"), "train"),
    **dict.fromkeys(("nnsight", "transformer_lens"), "bridges"),
    "openai": "judge",
    "llguidance": "serve",
}
"""Which part of the installation brings a package that the base does without."""

app = typer.Typer(
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


@app.command(
    help="""Make a study or go on with one, and write its report.

\b
  mechcot run studies/organism --seed 3
  mechcot run studies/small --preset organism-small --set sampling.samples=8

Killed at any instant, the same command goes on where it stopped."""
)
def run(
    study: StudyPath,
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
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Make a study or go on with one."""
    from mechcot.pipeline import run as pipeline

    show_stages(quiet)
    given: dict[str, Any] = {
        "config": config,
        "preset": preset,
        "seed": seed,
        "overrides": tuple(set_ or ()),
        "restart_from": restart_from,
    }
    if dry_run:
        show_plan(pipeline.plan(study, **given), as_json)
        return
    done = pipeline.run(study, **given, progress=not quiet)
    if as_json:
        typer.echo(json.dumps(done.summary(), ensure_ascii=False))
        return
    from mechcot.analyses.headline import headline_text

    typer.echo(headline_text(done.summary()))
    typer.echo(f"\nReport: {done.report}")


@app.command(
    help="""What `mechcot run` would do, stage by stage, and what that takes: tokens, calls, bytes, money.

\b
  mechcot plan studies/organism           # a study, begun or finished
  mechcot plan study.yaml                 # a new study with these settings

Nothing is run, sent or written; what cannot be known yet is said to be unknown."""
)
def plan(
    study: Annotated[
        Path, typer.Argument(help="The study's folder, or a settings file (YAML).", show_default=False)
    ],
    as_json: Json = False,
) -> None:
    """Plan a study."""
    from mechcot.pipeline import run as pipeline

    show_plan(pipeline.plan(study), as_json)


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
        settings = pipeline.reading_settings(study, authors, readers, overrides)
        arms = (authors or settings.authors(), readers or settings.readers())
        show_plan(reading.plan_readings(Study(study, settings), *arms), False)
        return
    done = pipeline.read(study, authors=authors, readers=readers, overrides=overrides, progress=not quiet)
    typer.echo(f"Readings: {done.path / 'readings'}")


@app.command(
    help="""Show what a finished study found: which analyses it has, or one of them in full.

\b
  mechcot show studies/organism                 # its analyses, a line each
  mechcot show studies/organism answers         # made anew from the study's tables
  mechcot show studies/organism answers --json  # as it stands in results/answers.json"""
)
def show(
    study: StudyPath,
    name: Annotated[str | None, typer.Argument(help="An analysis.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Show an analysis."""
    from mechcot.analyses import registry
    from mechcot.study.folder import Study

    opened = Study.open(study)
    known = {analysis.name: analysis for analysis in registry.ANALYSES if analysis.version is not None}
    if name is not None and name not in known:
        raise UsageError(f"there is no analysis '{name}'; there are: {', '.join(known)}")
    if as_json:
        found = {one: opened.result(one) for one in ([name] if name else known)}
        typer.echo(json.dumps(found[name] if name else found, ensure_ascii=False))
    elif name is not None:
        typer.echo(registry.shown(known[name].of(opened)))
    else:
        width = max(map(len, known))
        for one, analysis in known.items():
            missing = str(opened.result(one).get("reason", ""))
            typer.echo(f"{one:{width}s}  {analysis.says}{f' (not here: {missing})' if missing else ''}")


@app.command(
    help="""The step audit of a finished study: how many steps are wrong before and after.

\b
  mechcot audit studies/organism
  mechcot audit studies/organism --control terse --json"""
)
def audit(
    study: StudyPath,
    control: Annotated[str | None, typer.Option(help="A control in place of the headline.")] = None,
    as_json: Json = False,
) -> None:
    """The step audit."""
    from mechcot.analyses.headline import audit_text
    from mechcot.study.folder import Study

    opened = Study.open(study)
    result, certainty = opened.audit(control), opened.certainty(control)
    if as_json:
        both = {**result.to_json(), "certainty": certainty.to_json()}
        typer.echo(json.dumps(both, ensure_ascii=False))
        return
    typer.echo(f"{audit_text(result)}\n\n{certainty.text()}")


cli_judging.add_commands(app)


@app.command(
    help="""Distil traces into any causal-LM checkpoint; prints what the loss covers first.

\b
  mechcot distill --model base/ --examples traces.jsonl --out student/ --dry-run
  mechcot distill --model base/ --examples traces.jsonl --out student/ --set epochs=3 --set lora.rank=16

The examples hold `prompt` and `completion` (parquet, JSON Lines or CSV), and may hold `answer_start`,
the character of the completion where the answer begins. Killed, the same command goes on."""
)
def distill(
    model: Annotated[str, typer.Option(help="Checkpoint folder, or OWNER/NAME on the Hub.")],
    examples: Annotated[Path, typer.Option(help="Examples file.")],
    out: Annotated[Path, typer.Option(help="Folder of the student: new or empty.")],
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Seed of the order of examples and of dropout.")
    ] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A=B", help="A training setting, such as epochs=3 or lora.rank=16."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only the mask report; trains nothing.")] = False,
    quiet: Quiet = False,
) -> None:
    """Distil traces into a checkpoint."""
    from mechcot.core.config import train_settings
    from mechcot.distill import distill as train
    from mechcot.models.checkpoint import local_folder

    show_stages(quiet)
    settings = train_settings(tuple(set_ or ()))
    train(
        local_folder(model),
        examples,
        out,
        settings,
        seed=seed,
        dry_run=dry_run,
        progress=not quiet,
        say=typer.echo,
    )
    if not dry_run:
        typer.echo(f"\nStudent: {out}")


@app.command(
    help="""Fit a linear probe on a study's readings, and everything that might explain what it finds.

\b
  mechcot probe studies/organism
  mechcot probe studies/organism --spec hedged --reader distilled --author base
  mechcot probe --activations store/ --labels steps.parquet --out probes/mine

Prints the table; writes the report (JSON and a page) and the fitted probe with its card into
STUDY/probes/NAME/AUTHOR/READER. `python -m mechcot.probe` is the same."""
)
def probe(
    study: Annotated[
        Path | None, typer.Argument(help="The study's folder; none with --activations.", show_default=False)
    ] = None,
    spec: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Specification (YAML), or the name of one of mechcot's: step-error (the default), "
            "answer-correct, hedged.",
        ),
    ] = None,
    author: Annotated[str | None, typer.Option(metavar="ARM", help="Whose steps, over the spec's.")] = None,
    reader: Annotated[
        str | None, typer.Option(metavar="ARM", help="Whose insides while reading them, over the spec's.")
    ] = None,
    activations: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Your own store of activations, without a study.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its labels: qid, sid, label; parquet, CSV or JSON Lines."),
    ] = None,
    untrained: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A store of the same steps in untrained weights: a baseline."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to write; probes/NAME for your own activations."),
    ] = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Fit a probe and report it beside what it has to beat."""
    from mechcot.analyses.probe import analysis as probes
    from mechcot.analyses.probe.report_page import write_probe
    from mechcot.pipeline import analyses as pipeline

    show_stages(quiet)
    if dry_run:
        if study is None:
            raise UsageError("--dry-run plans the probe of a study; name one")
        show_plan(pipeline.plan_probe(study, spec, author, reader), as_json)
        return
    if study is not None and activations is None and labels is None and untrained is None:
        result, folder = probes.specified_probe(study, spec, author=author, reader=reader, progress=not quiet)
    elif study is None and activations is not None and labels is not None and author is reader is None:
        result, folder = probes.probe_of_store(
            activations, labels, spec, untrained=untrained, progress=not quiet
        )
    else:
        raise UsageError(
            "name a study, or --activations with --labels (and perhaps --untrained; no --author or --reader)"
        )
    folder = out or folder
    write_probe(result, folder)
    typer.echo(json.dumps(result.to_json(), ensure_ascii=False) if as_json else result.text())
    if not as_json:
        typer.echo(f"\nPage: {folder / 'report.html'}\nCard: {folder / 'card.json'}")


@app.command(
    help="""Re-read every file of a study and compare it with the digest recorded when it was written.

\b
  mechcot verify studies/organism"""
)
def verify(study: StudyPath) -> None:
    """Check a study's files."""
    from mechcot.core.stages import load_manifest
    from mechcot.core.stages import verify as check
    from mechcot.study.folder import Study

    Study.open(study)
    problems = check(study)
    for problem in problems:
        typer.echo(problem)
    if problems:
        raise typer.Exit(1)
    outputs = sum(len(record["outputs"]) for record in load_manifest(study)["stages"].values())
    typer.echo(f"{study}: all {outputs} recorded outputs are as they were written")


@app.command(
    help="""Compare mechcot's reading of a checkpoint with the checkpoint's own plain runs.

\b
  mechcot check models/mine
  mechcot check Qwen/Qwen3-0.6B --dtype float32 --json

Questions are made of words of its own vocabulary, so nothing else is needed. Prints the differences beside
what is allowed for its dtype; exit code 1 if one is larger, or if the model cannot be read (and why)."""
)
def check(
    model: Annotated[str, typer.Argument(help="Checkpoint folder, or OWNER/NAME on the Hub.")],
    device: Annotated[str, typer.Option(help="cpu, cuda, ...; auto: cuda where there is one.")] = "auto",
    dtype: Annotated[
        str, typer.Option(help="float32, bfloat16, float16; auto: the checkpoint's own.")
    ] = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check that a checkpoint is read truly."""
    from mechcot.reading.certificate import check_model

    show_stages(quiet)
    certificate = check_model(model, device=device, dtype=dtype, progress=not quiet)
    typer.echo(json.dumps(certificate.to_json(), ensure_ascii=False) if as_json else certificate.text())
    if not certificate.passed:
        raise typer.Exit(1)


def main(*before: str) -> None:
    """Run the command line; an error of mechcot's own is one message and its exit code.

    Args:
        before: words that stand before those of the user, such as a command.
    """
    try:
        app([*before, *sys.argv[1:]], prog_name="mechcot")
    except MechcotError as error:
        typer.echo(f"mechcot: {error}", err=True)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in EXTRAS:
            raise
        missing = MissingDependency(module, EXTRAS[module])
        typer.echo(f"mechcot: {missing}", err=True)
        sys.exit(missing.exit_code)
    except Exception as error:
        problem = disk_problem(error)
        if problem is None:
            raise
        typer.echo(f"mechcot: {problem}", err=True)
        sys.exit(1)
    except SystemExit as end:
        if end.code == 130:  # how typer ends after Ctrl-C
            typer.echo("mechcot: stopped; the same command goes on from here", err=True)
        raise
