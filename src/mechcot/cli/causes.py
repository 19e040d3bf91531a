"""What `mechcot commitment --steps` does: it asks which steps of a trace matter to its answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mechcot.cli.options import show_plan, show_stages, with_weights

if TYPE_CHECKING:
    from mechcot.core.settings import Settings


def which_steps(
    study: Path,
    steps: str,
    overrides_of: Callable[[Settings], tuple[str, ...]],
    *,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Change or hide steps of a finished study, or say what that takes, and print what it did."""
    from mechcot.pipeline import run as pipeline
    from mechcot.pipeline.causes import SWAPS

    show_stages(quiet)
    overrides = overrides_of(with_weights(study).settings)
    if dry_run:
        begins = ("causes-",) if steps == SWAPS else ("read-",)
        show_plan(pipeline.plan_added(study, overrides, begins), as_json)
        return
    done = pipeline.run(study, overrides=overrides, progress=not quiet)
    result = done.causes()
    typer.echo(json.dumps(result.to_json(), ensure_ascii=False) if as_json else result.text())
    if not as_json:
        typer.echo(f"\nReport: {done.report}")
