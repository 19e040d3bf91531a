"""The part of the command line that is about models: training, checking and probing them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mechcot.cli.options import (
    DryRun,
    Json,
    Quiet,
    StudyPath,
    is_file,
    is_file_if,
    is_model,
    is_spec,
    is_study,
    show_plan,
    show_stages,
    with_weights,
)
from mechcot.core.errors import UsageError

_commands = typer.Typer()


def add_commands(app: typer.Typer) -> None:
    """Add these commands to the command line.

    Args:
        app: the command line.
    """
    app.registered_commands += _commands.registered_commands


@_commands.command(
    help="""Distil traces into any causal-LM checkpoint; prints what the loss covers first.

\b
  mechcot distill --model base/ --examples traces.jsonl --out student/ --dry-run
  mechcot distill --model base/ --examples traces.jsonl --out student/ --set epochs=3 --set lora.rank=16
  mechcot distill --model base/ --examples traces.jsonl --out student/ --launch accelerate.yaml

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
    launch: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Start the training by `accelerate launch --config_file FILE`: many processes.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only the mask report, and the time; trains nothing.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Distil traces into a checkpoint."""
    from mechcot.core.config import train_settings

    show_stages(quiet)
    settings = train_settings(tuple(set_ or ()))
    if launch is not None:
        from mechcot.distill.launch_file import with_launch

        settings = with_launch(settings, launch)
    is_model(model)
    is_file(examples)
    from mechcot.distill import distill as train
    from mechcot.distill import prepare
    from mechcot.distill.trainer import check_out

    check_out(out)
    training = prepare(model, examples, settings, seed=seed)
    typer.echo(training.report)
    if dry_run:
        from mechcot.pipeline.estimate.training import time_of

        typer.echo(f"\n{time_of(training)}")
        return
    train(training, out, progress=not quiet)
    typer.echo(f"\nStudent: {out}")


@_commands.command(
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
        Path | None,
        typer.Argument(
            help="The study's folder; none with --activations.", show_default=False, callback=is_study
        ),
    ] = None,
    spec: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Specification (YAML), or the name of one of mechcot's: step-error (the default), "
            "answer-correct, hedged.",
            callback=is_spec,
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
        typer.Option(
            metavar="FILE",
            help="Its labels: qid, sid, label; parquet, CSV or JSON Lines.",
        ),
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
    if dry_run and study is None:
        raise UsageError("--dry-run plans the probe of a study; name one")
    own = activations is not None and labels is not None and author is reader is None
    if not dry_run and not (activations is labels is untrained is None if study is not None else own):
        raise UsageError(
            "name a study, or --activations with --labels (and perhaps --untrained; no --author or --reader)"
        )
    show_stages(quiet)
    is_file_if(labels)
    from mechcot.analyses.probe import analysis as probes
    from mechcot.analyses.probe.report_page import write_probe
    from mechcot.pipeline import analyses as pipeline

    if dry_run and study is not None:
        show_plan(pipeline.plan_probe(study, spec, author, reader), as_json)
        return
    if study is not None:
        result, folder = probes.specified_probe(study, spec, author=author, reader=reader, progress=not quiet)
    else:
        assert activations is not None
        assert labels is not None
        result, folder = probes.probe_of_store(
            activations, labels, spec, untrained=untrained, progress=not quiet
        )
    folder = out or folder
    write_probe(result, folder)
    typer.echo(json.dumps(result.to_json(), ensure_ascii=False) if as_json else result.text())
    if not as_json:
        typer.echo(f"\nPage: {folder / 'report.html'}\nCard: {folder / 'card.json'}")


@_commands.command(
    help="""Where in the weights the changes sit: units swapped between the contrast's two checkpoints.

\b
  mechcot weights studies/organism --dry-run
  mechcot weights studies/organism
  mechcot weights studies/mine --thorough      # more random changes, each layer by itself, sampled orders

Made of a finished study and kept in it: STUDY/weights, results/weights.json, a section of the report
(docs/weights.md). Killed at any instant, the same command goes on where it stopped."""
)
def weights(
    study: StudyPath,
    thorough: Annotated[
        bool,
        typer.Option(
            "--thorough", help="More random changes, each layer by itself, sampled orders of units."
        ),
    ] = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Look for the place of the changes in the weights."""
    from mechcot.pipeline import run as pipeline
    from mechcot.pipeline.weights import overrides_of, plan_weights

    show_stages(quiet)
    opened = with_weights(study)
    overrides = overrides_of(opened.settings, thorough=thorough)
    plan_weights(opened, overrides)  # what cannot be swapped is refused before it stands in the study
    if dry_run:
        show_plan(pipeline.plan_added(study, overrides, ("weights-",)), as_json)
        return
    done = pipeline.run(study, overrides=overrides, progress=not quiet)
    result = done.weights()
    typer.echo(json.dumps(result.to_json(), ensure_ascii=False) if as_json else result.text())
    if not as_json:
        typer.echo(f"\nReport: {done.report}")


@_commands.command(
    help="""Where a hedge is lost, and whether putting hedging back changes what is claimed.

\b
  mechcot hedge studies/organism --dry-run
  mechcot hedge studies/organism
  mechcot hedge studies/mine --thorough        # more questions, traces and random directions

States of one checkpoint are put into the other in front of a hedge's place, beside sets of other tokens;
claims are read with a hedge and without. Then both arms write while the hedge direction of the arm before is
added or taken out, over a range of strengths and beside random directions. Made of a finished study and kept
in it: STUDY/localisation, STUDY/hedge-pairs, STUDY/steering, results of these names, sections of the report
(docs/hedge.md). Where nothing can be put back (a task without a checker of what is written, too few hedges),
it says why and does the rest. Killed at any instant, the same command goes on where it stopped."""
)
def hedge(
    study: StudyPath,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="More questions, traces and random directions.")
    ] = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Look for the place of the hedge, and put it back."""
    from mechcot.analyses.shown import shown
    from mechcot.pipeline import hedge_pairs, localisation, steering
    from mechcot.pipeline import run as pipeline

    show_stages(quiet)
    opened = with_weights(study)
    cannot = steering.refusal(opened)  # then the study is not asked for it
    overrides = localisation.overrides_of(opened.settings, thorough=thorough)
    if not cannot:
        overrides += steering.overrides_of(opened.settings, thorough=thorough)
    if dry_run:
        stages = (localisation.STAGE, hedge_pairs.STAGE, steering.STAGE)
        planned = pipeline.plan_added(study, overrides, stages)
        notes = (f"nothing is put back: {cannot}",) if cannot else ()
        show_plan(replace(planned, notes=(*planned.notes, *notes)), as_json)
        return
    done = pipeline.run(study, overrides=overrides, progress=not quiet)
    found = {name: done.result(name) for name in ("hedge", "localisation", "hedge_pairs")}
    found["steering"] = {"reason": cannot} if cannot else done.result("steering")
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    for name, own in found.items():
        if name != "hedge":
            typer.echo(own["reason"] if "reason" in own else shown(getattr(done, name)()), nl=True)
            typer.echo()
    if not cannot:
        typer.echo(f"Directions: {done.path / 'steering' / 'directions'}")
    typer.echo(f"Report: {done.report}")


@_commands.command(
    help="""Compare mechcot's reading of a checkpoint with the checkpoint's own plain runs.

\b
  mechcot check models/mine
  mechcot check Qwen/Qwen3-0.6B --dtype float32 --json

Questions are made of words of its own vocabulary, so nothing else is needed. Prints the differences beside
what is allowed for its dtype; exit code 1 if one is larger, or if the model cannot be read (and why)."""
)
def check(
    model: Annotated[
        str, typer.Argument(help="Checkpoint folder, or OWNER/NAME on the Hub.", callback=is_model)
    ],
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
