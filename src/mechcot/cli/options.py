"""Arguments that several commands share, and the lines that a run prints on its way."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

StudyPath = Annotated[Path, typer.Argument(help="The study's folder.", show_default=False)]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bars and stage lines.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]


def show_stages(quiet: bool) -> None:
    """Print what mechcot says on its way; warnings alone when quiet."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("mechcot").setLevel(logging.WARNING if quiet else logging.INFO)
