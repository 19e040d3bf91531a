"""The command line."""

from mechcot.cli.commands import app, main

__all__ = ["app", "main"]
