"""The command line inside this process: a process of its own imports for three seconds."""

from __future__ import annotations

import io
import logging
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from mechcot.cli.commands import main


@dataclass(frozen=True)
class Called:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def called(*arguments: str | Path, before: tuple[str, ...] = ()) -> Called:
    """Run `mechcot ARGUMENTS` from its door: output, messages and exit code as a shell has them.

    Args:
        arguments: what the user writes.
        before: words that `python -m mechcot.NAME` puts before them.
    """
    out, err, argv, code = io.StringIO(), io.StringIO(), sys.argv, 0
    said, root = logging.StreamHandler(err), logging.getLogger()
    root.addHandler(said)
    sys.argv = ["mechcot", *map(str, arguments)]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main(*before)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.argv = argv
        root.removeHandler(said)
    return Called(code, out.getvalue(), err.getvalue())
