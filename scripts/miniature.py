"""Run the example files in miniature, and write what the stages took into docs/real-models.md.

    python scripts/miniature.py medqa-qwen3-8b gsm8k-qwen3-8b     # these; without a name all of them

Each runs in a process of its own. Seconds are told twice: on the wall clock, and of the processor, which
other programs lengthen less. Tiny checkpoints are made in a cache of their own, and timed apart.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE, NUMBERS = ROOT / "docs" / "real-models.md", ROOT / "docs" / "miniature.json"
BEGIN, END = "<!-- miniature times -->\n", "<!-- /miniature times -->\n"
NAMES = ("medqa-qwen3-8b", "gsm8k-qwen3-8b", "arc-qwen3-8b", "medqa-qwen3-1.7b", "medqa-llama-3.1-8b")
KINDS = {
    "teacher, examples": ("teacher", "examples", "given"),
    "training": ("distill",),
    "sampling": ("sample",),
    "judges": ("judge", "judge_controls"),
    "readings, localisation": ("read", "localisation-patches", "localisation-pairs"),
}
_ONE = """
import json, sys, time
from mechcot.core import stages
from mechcot.pipeline.miniature.checkpoints import checkpoint
from mechcot.pipeline.miniature import run
spent, inner, made = {}, stages._run, [0.0]
def timed(root, stage, key):
    started = time.process_time()
    inner(root, stage, key)
    spent[stage.name] = time.process_time() - started
def tiny(one):
    started = time.process_time()
    found = checkpoint(one)
    made[0] += time.process_time() - started
    return found
stages._run, run.checkpoint = timed, tiny
done = run.run_miniature(sys.argv[1], sys.argv[2], progress=False)
wall = {one.stage: one.seconds for one in done.stages}
tiny = {"processor": made[0], "wall": done.checkpoints}
print(json.dumps({"processor": spent, "wall": wall, "checkpoints": tiny,
                  "asked": done.asked, "counts": [[one.arm, one.what, one.n] for one in done.counts]}))
"""


def measured(name: str, folder: Path) -> dict[str, Any]:
    """What an example took, in a process of its own."""
    env = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    words = [sys.executable, "-c", _ONE, str(folder / name), str(ROOT / "examples" / f"{name}.yaml")]
    done = subprocess.run(words, env=env, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def by_kind(seconds: dict[str, float]) -> dict[str, float]:
    """Seconds of the stages by kind, analyses and all else together."""
    found = {**dict.fromkeys(KINDS, 0.0), "steps, analyses, report": 0.0}
    for stage, own in seconds.items():
        begin = stage if stage in KINDS["readings, localisation"] else stage.partition("-")[0]
        kind = next((kind for kind, begins in KINDS.items() if begin in begins), "steps, analyses, report")
        found[kind] += own
    return found


def table(found: dict[str, Any]) -> str:
    """Seconds of the processor by kind of stage, a row an example; and the least of what came out."""
    kinds = list(by_kind({}))
    head = ["example", *kinds, "all stages", "on the wall", "tiny checkpoints", "calls"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, one in found["examples"].items():
        own = by_kind(one["processor"])
        cells = [name, *(f"{own[kind]:.1f}" for kind in kinds), f"{sum(own.values()):.1f}"]
        cells += [f"{sum(one['wall'].values()):.0f}", f"{one['checkpoints']['processor']:.1f}"]
        lines.append("| " + " | ".join([*cells, f"{sum(one['asked'].values()):,}"]) + " |")
    return "\n".join(lines) + f"\n\n{found['said']}\n"


def main() -> None:
    """Run them, and write numbers and table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=NAMES, help="of example files, without their ending")
    names = parser.parse_args().names
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            one = measured(name, Path(folder))
        print(name, by_kind(one["processor"]), flush=True)
        write(name, one)


def write(name: str, one: dict[str, Any]) -> None:
    """Put what an example took beside that of the others."""
    found = json.loads(NUMBERS.read_text()) if NUMBERS.exists() else {"examples": {}}
    found["examples"][name] = one
    found["said"] = (
        "Seconds of the processor, one thread, but for the column that says otherwise: other programs ran, "
        f"and the load was {os.getloadavg()[1]:.0f} on {os.cpu_count()} cores. `scripts/miniature.py` writes "
        "this."
    )
    found["examples"] = {name: found["examples"][name] for name in NAMES if name in found["examples"]}
    NUMBERS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    page = PAGE.read_text(encoding="utf-8")
    head, tail = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(head + BEGIN + table(found) + END + tail, encoding="utf-8")


if __name__ == "__main__":
    main()
