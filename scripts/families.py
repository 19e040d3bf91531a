"""Which families of transformers mechcot is true to: docs/families.json, and docs/families.md made of it.

    python scripts/families.py                      # every family that is not done with this code
    python scripts/families.py --only llama gpt2    # these, anew

A tiny random checkpoint of every family with a causal LM head (`family_models.py`) goes through each column
(`family_checks.py`) in a process of its own, two at a time. What is done is kept: the same command goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import platform
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULT, PAGE = ROOT / "docs" / "families.json", ROOT / "docs" / "families.md"
ROOMS = ("models", "reading", "sampling")
LIBRARIES = ("torch", "transformers", "nnsight", "transformer-lens")
PRELOADED = [
    "family_checks",
    "nnsight",
    "transformer_lens.model_bridge",
    "transformers.models.qwen3.modeling_qwen3",
]
"""Imported once, before the processes part: it takes longer than a family."""
AT_ONCE, SECONDS, CLOCK = 2, 60, 1200.0
"""Processes, and how long a family may take: seconds of processor time, and on a busy machine's clock."""

ENDED = {-signal.SIGXCPU: f"not done after {SECONDS} s", -signal.SIGKILL: f"not done after {SECONDS} s"}


def source() -> str:
    """A digest of the code that the table is about, and of the code that makes it."""
    files = [path for room in ROOMS for path in (ROOT / "src" / "mechcot" / room).glob("*.py")]
    files += Path(__file__).parent.glob("famil*.py")
    told = "".join(path.name + hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files))
    versions = "".join(version(name) for name in LIBRARIES)
    return hashlib.sha256((told + versions).encode()).hexdigest()[:16]


def families() -> list[str]:
    """Every `model_type` of the installed transformers that has a causal LM head."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def _row(name: str, pipe: Any) -> None:
    """In a process of its own: one family's row."""
    import logging
    import warnings

    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    # What libraries print is not ours.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    import torch

    from family_checks import cells_of

    torch.set_num_threads(1)
    cells = {column: vars(cell) for column, cell in cells_of(name).items()}
    pipe.send({"cells": cells, "seconds": round(time.process_time(), 1)})


def rows(names: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each family's row, as they are done; one that dies or takes too long has crashed."""
    from family_checks import COLUMNS, CRASH, Cell

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    waiting, running = list(names), {}
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_row, args=(waiting[0], theirs))
            process.start()
            theirs.close()
            running[waiting.pop(0)] = process, ours, time.monotonic() + CLOCK
        multiprocessing.connection.wait([ours for _, ours, _ in running.values()], timeout=1)
        for name, (process, ours, deadline) in list(running.items()):
            row = why = None
            if ours.poll():
                try:
                    row = ours.recv()
                except EOFError:
                    process.join()
                    why = ENDED.get(process.exitcode, f"the process ended with {process.exitcode}")
            elif time.monotonic() > deadline:
                process.kill()
                why = f"not done after {CLOCK:.0f} s on the clock"
            if row is None and why is None:
                continue
            process.join()
            del running[name]
            cell = vars(Cell(CRASH, says=why or ""))
            yield name, row or {"cells": dict.fromkeys(COLUMNS, cell), "seconds": SECONDS}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is not done, write the result after each family and the page at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these families (model_type), anew")
    parser.add_argument("--out", type=Path, default=RESULT, help="the result, JSON; the page goes beside it")
    asked = parser.parse_args(arguments)
    known, now = families(), source()
    if unknown := set(asked.only or ()) - {*known}:
        parser.error(f"no such family: {', '.join(sorted(unknown))}")
    kept = json.loads(asked.out.read_text())["families"] if asked.out.exists() else {}
    found = {name: row for name, row in kept.items() if name in known}
    todo = asked.only or [name for name in known if found.get(name, {}).get("source") != now]
    for number, (name, row) in enumerate(rows(todo), 1):
        found[name] = {"source": now, **row}
        counts = Counter(cell["outcome"] for cell in row["cells"].values())
        said = ", ".join(f"{n} {outcome}" for outcome, n in counts.items())
        print(f"{number}/{len(todo)} {name}: {said} ({row['seconds']:.0f} s)", flush=True)
        _write(asked.out, found)
    wrong = [name for name, row in found.items() for c in row["cells"].values() if c["outcome"] == "MISMATCH"]
    print(f"{asked.out.with_suffix('.md')}: {len(found)} families, {len(wrong)} mismatches")
    return 1 if wrong else 0


def _write(out: Path, found: Mapping[str, Any]) -> None:
    from family_page import page_of
    from mechcot.core import files

    made = {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}
    left = [name for name in families() if name not in found]
    result = {
        "made": made,
        "source": source(),
        "left": left,
        "families": {name: found[name] for name in sorted(found)},
    }
    files.write_text(out, json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    files.write_text(out.with_suffix(".md"), page_of(result))


if __name__ == "__main__":
    sys.exit(main())
