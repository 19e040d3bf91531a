"""The part of the command line that looks at a finished study: its page, its traces, its analyses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mechcot.cli.options import Json, Quiet, StudyPath, are_studies, show_stages, warn_of_damage
from mechcot.core.errors import UsageError

_commands = typer.Typer()


def add_commands(app: typer.Typer) -> None:
    """Add these commands to the command line.

    Args:
        app: the command line.
    """
    app.registered_commands += _commands.registered_commands


@_commands.command(
    help="""Where a finished study's report lies: one page that needs no network.

\b
  mechcot report studies/organism --open""",
)
def report(
    study: StudyPath,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Say where the report is."""
    import webbrowser

    from mechcot.core.errors import AnalysisError
    from mechcot.study.folder import Study

    opened = Study.open(study)
    page = opened.report
    if not page.is_file():
        raise AnalysisError(f"{page} is not there yet. `mechcot run {study}` writes it")
    opened.checked(page)
    typer.echo(f"Report: {page}")
    warn_of_damage(study)
    if open_:
        webbrowser.open(page.resolve().as_uri())


@_commands.command(
    help="""Look at every trace of a study: filter, search, sort, open one, put two side by side.

\b
  mechcot view studies/organism                        # prints an address of this machine; Ctrl-C ends it
  mechcot view studies/organism --export pages/        # files that work from disk: open pages/index.html

Needs no network (docs/viewer.md)."""
)
def view(
    study: StudyPath,
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="DIR", help="Write files and serve nothing; new or empty."),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the loopback; 0: any free one.")] = 0,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    quiet: Quiet = False,
) -> None:
    """Look at traces."""
    import webbrowser

    from mechcot.analyses.viewer import data as viewer
    from mechcot.core.progress import Progress
    from mechcot.study.folder import Study

    show_stages(quiet)
    data = viewer.Data.of(Study.open(study))
    if export is not None:
        with Progress("viewer: pages", len(data.qids), "question", shown=not quiet) as bar:
            for written in viewer.export(data, export):
                bar.update(written)
        page = export / "index.html"
        typer.echo(f"Page: {page}")
        if open_:
            webbrowser.open(page.resolve().as_uri())
        return
    from mechcot.analyses.viewer.server import Viewer

    with Viewer(data, port) as served:
        typer.echo(f"Page: {served.url}\nCtrl-C ends it.")
        if open_:
            webbrowser.open(served.url)
        served.wait()


@_commands.command(
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
    from mechcot.analyses.shown import shown
    from mechcot.study.folder import Study
    from mechcot.study.readable import readable

    opened = Study.open(study)
    known = registry.shown_in(opened.settings)
    if name is not None and name not in known:
        raise UsageError(f"there is no analysis '{name}'; there are: {', '.join(known)}")
    if as_json:
        told = registry.json_of(known[name], opened) if name else registry.all_json(opened)
        typer.echo(json.dumps(told, ensure_ascii=False))
    elif name is not None:
        typer.echo(shown(readable(known[name].told or known[name].of)(opened)))
    else:
        width = max(map(len, known))
        missing: dict[str, list[str]] = {}
        for one, found in registry.all_json(opened).items():
            why = registry.not_here(found)
            typer.echo(f"{one:{width}s}  {known[one].says}{' (not here)' if why else ''}")
            if why:
                missing.setdefault(why, []).append(one)
        for why, names in missing.items():
            typer.echo(f"\nNot here: {', '.join(names)}: {why}")
    warn_of_damage(study)


@_commands.command(
    help="""Where answers rise while steps get worse and where they do not: contrasts of several studies.

Every study gives its headline and its controls; the first headline is what the others are compared with.
"No split" is right answers that rise and wrong steps that rise by less than a margin fixed in the settings
(confirmatory.smallest.steps), both by their intervals.

\b
  mechcot boundary studies/medqa studies/gsm8k studies/arc
  mechcot boundary studies/organism --figure boundary.html"""
)
def boundary(
    studies: Annotated[
        list[Path], typer.Argument(help="The studies' folders.", show_default=False, callback=are_studies)
    ],
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also draw the contrasts into this HTML file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Contrasts of several studies side by side."""
    from mechcot.analyses.boundary.analysis import boundary as compared
    from mechcot.core.files import write_text
    from mechcot.study.folder import Study

    found = compared([Study.open(path) for path in studies])
    if figure is not None:
        write_text(figure, found.figure().to_html(include_plotlyjs=True, config={"displayModeBar": False}))
    typer.echo(json.dumps(found.to_json(), ensure_ascii=False) if as_json else found.text())


@_commands.command(
    help="""Each claim of two papers, beside what a finished study says of it.

A claim holds, is reversed, cannot be told, or was not tested here; with its published number and way of
measuring, this study's number in that way where it can be had, and in a way that holds.

\b
  mechcot claims studies/organism"""
)
def claims(study: StudyPath, as_json: Json = False) -> None:
    """The ledger of published claims."""
    show(study, "ledger", as_json)


@_commands.command(
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
    from mechcot.study.folder import Study

    opened = Study.open(study)
    result, certainty = opened.audit(control), opened.certainty(control)
    if as_json:
        both = {**result.to_json(), "certainty": certainty.to_json()}
        typer.echo(json.dumps(both, ensure_ascii=False))
        return
    typer.echo(f"{result.text()}\n\n{certainty.text()}")
