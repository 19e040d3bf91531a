"""The list of commands in `mechcot --help`: by what one wants, what comes first at the top."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

GROUPS = {
    "Make a study": ("run", "plan", "check", "teacher", "distill", "read", "import"),
    "Look at it": ("report", "view", "show", "audit", "probe", "commitment", "handover", "knowledge",
                   "weights", "hedge", "boundary", "claims"),
    "Judge its steps": ("judge", "judge-controls", "judge-accuracy", "sheet", "serve-local"),
    "Traces by rule, and people on traces": ("traces", "likert"),
    "Keep it and share it": ("verify", "export"),
}  # fmt: skip
"""Every command once; tests/test_cli.py holds it to what there is."""


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"mechcot {version('mechcot')}")
        raise typer.Exit


def with_version(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """What distilling a chain of thought does to a student."""


class Grouped(TyperGroup):
    """Commands under headings, each with its whole first sentence."""

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order of the headings."""
        return [name for names in GROUPS.values() for name in names if name in self.commands]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the headings."""
        widest = max(len(name) for name in self.commands)
        for heading, names in GROUPS.items():
            told = [(name, self.commands[name].get_short_help_str(limit=200)) for name in names]
            rows = [(f"{name:<{widest}}", sentence) for name, sentence in told]
            with formatter.section(heading):
                formatter.write_dl(rows)
