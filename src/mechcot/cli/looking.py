"""The part of the command line that shows traces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mechcot.cli.options import Quiet, StudyPath, show_stages

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

    page = Study.open(study).report
    if not page.is_file():
        raise AnalysisError(f"{page} is not there yet. `mechcot run {study}` writes it")
    typer.echo(f"Report: {page}")
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
