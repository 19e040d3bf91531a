"""Commands of mechcot as processes of their own, forked from one that has the libraries loaded.

What `kills.py` and `damage.py` share: a small study, starting a command on it, and comparing two studies.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from mechcot.core import files

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "study-folder.md"
SMALL = (
    "organism.pretrain_steps=60",
    "organism.save_every=12",
    "organism.teacher_traces=192",
    "organism.clinical_questions=24",
    "organism.chain_questions=8",
    "arms.distilled.distill.train.save_every=4",
    "arms.terse.distill.train.save_every=4",
    "sampling.batch_rows=32",
    "sampling.greedy=true",
    "handover.prefixes=8",
    "weights.questions=6",
    "weights.draws=3",
    "causes={traces: 12, regenerated: 3, questions: 4}",
    "localisation={slots: 1, sets: 6, tokens: 2}",
    "steering={questions: 12, samples: 1, scales: [1.0], random: 3}",
    "reading.max_tokens=1024",
    "analysis.bootstrap=200",
    "analysis.permutations=2",
)
"""The smallest organism, with what a kill may leave of every stage: checkpoints, batches, shards."""

NEW = ("--preset", "organism-small", *(word for setting in SMALL for word in ("--set", setting)))
IN_FLIGHT = ("work/lock", "work/digests.json")
"""What a finished study still holds of its work."""

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "mechcot.cli.commands",
        "mechcot.pipeline.run",
        "mechcot.analyses.registry",
        "mechcot.distill.sft",
        "sklearn.linear_model",
        "transformers.models.qwen3.modeling_qwen3",
    ]
)


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: its exit code, below 0: the signal that ended it.
        said: all that it wrote to its terminal.
    """

    code: int
    said: str

    @property
    def line(self) -> str:
        """The message of its error."""
        lines = [line for line in self.said.splitlines() if line.startswith("mechcot: ")]
        return lines[-1].removeprefix("mechcot: ") if lines else ""


class Command:
    """A command of mechcot that runs.

    Args:
        words: of its command line.
        limit: most bytes that a file of its may have; None: any number.
        function: is called with the words in place of the command line.
    """

    def __init__(
        self, *words: str | Path, limit: int | None = None, function: Callable[..., None] | None = None
    ) -> None:
        handle, name = tempfile.mkstemp()
        os.close(handle)
        self._out = Path(name)
        told = [str(word) for word in words]
        work = (told, str(self._out), limit, function)
        self.process: BaseProcess = _CONTEXT.Process(target=_command, args=work)
        self.process.start()

    def end(self) -> Ended:
        """Wait until it ends."""
        self.process.join()
        said = self._out.read_text(encoding="utf-8", errors="replace")
        self._out.unlink()
        return Ended(self.process.exitcode or 0, said)


def command(*words: str | Path, limit: int | None = None) -> Ended:
    """Run a command to its end."""
    return Command(*words, limit=limit).end()


def call(function: Callable[..., None], *words: str) -> Ended:
    """Call a function with some words in a process of its own; it prints."""
    return Command(*words, function=function).end()


def _command(words: list[str], out: str, limit: int | None, function: Callable[..., None] | None) -> None:
    sink = os.open(out, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(sink, stream)
    if limit is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if function is not None:
        function(*words)
        return
    from mechcot.cli.commands import main

    sys.argv = ["mechcot", *words]
    main()


def file_digests(study: Path) -> dict[str, str]:
    """Digest of every file of a study but work in flight and the manifest, which holds seconds."""
    kept = [p for p in files.files_in(study) if p.name != "manifest.json" and "work" not in p.parts]
    return {p.relative_to(study).as_posix(): files.file_digest(p) for p in kept}


def left_over(study: Path) -> list[str]:
    """Files of work in flight, and of unfinished writes, that a finished study should not hold."""
    found = (p.relative_to(study).as_posix() for p in study.rglob("*") if p.is_file())
    return sorted(
        name
        for name in found
        if (name.startswith("work/") and name not in IN_FLIGHT) or Path(name).name.startswith(".")
    )


def differing(found: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """Names of files that differ, or that only one of the two has."""
    return sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))


def write_block(name: str, text: str) -> None:
    """Put a text between the marks of a script in docs/study-folder.md."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(page.split(begin)[0] + begin + text + end + page.split(end)[1], encoding="utf-8")


def seconds_since(began: float) -> int:
    """Whole seconds."""
    return round(time.monotonic() - began)
