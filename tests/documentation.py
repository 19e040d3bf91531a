"""What README and docs show: their blocks of Python, and the commands in their indented blocks."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = ("mechcot", "python", "make", "pip")


@dataclass(frozen=True)
class Block:
    """A fenced block of Python."""

    page: str
    line: int
    code: str


@dataclass(frozen=True)
class Command:
    """A command as a reader would type it, comments and prompt taken off."""

    page: str
    line: int
    words: tuple[str, ...]


def python_blocks() -> list[Block]:
    """Every fenced block; one in another language is refused, as nothing would run it."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in re.finditer(r"^```(\w*)\n(.*?)^```", text, re.M | re.S):
            line = text[: match.start()].count("\n") + 2
            assert match[1] == "python", (
                f"{page.name}:{line}: a block of {match[1]!r}; indent what is not Python"
            )
            found.append(Block(page.name, line, match[2]))
    return found


def commands() -> list[Command]:
    """Every line of an indented block that begins with a program."""
    return [command for page in PAGES for command in _commands(page)]


def _commands(page: Path) -> Iterator[Command]:
    text = re.sub(
        r"^```.*?^```", lambda block: "\n" * block[0].count("\n"), page.read_text(), flags=re.M | re.S
    )
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        match = re.match(rf"    (?:\$ )?((?:{'|'.join(PROGRAMS)}) .*)", line)
        if match:
            typed, last = match[1], number
            while typed.endswith("\\"):
                typed, last = typed[:-1] + lines[last].strip(), last + 1
            yield Command(page.name, number, tuple(shlex.split(typed, comments=True)))
