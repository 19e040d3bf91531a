r"""A study of 8-billion-weight students on many GPUs, played through event by event: where it stops scaling.

    python scripts/simulate_scale.py measure STUDY     # what driver and traces take, on a finished study
    python scripts/simulate_scale.py play              # docs/scale-simulation.json, .svg, docs/scale.md

The study: 1273 questions of MedQA, 64 samples in both arms, 2 x 2 readings of one trace a question, a panel
of three judges. The tasks are the engine's (`core/cluster.py`): a driver hands out and notes one task at a
time, workers do them. A task's seconds on a GPU are the cost model's, whose GPUs are assumed; how far tasks
differ, what the driver takes for a result, for a trace and for a step is measured on the finished study.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import pickle
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
MEASURED, OUT = ROOT / "docs" / "scale-measured.json", ROOT / "docs" / "scale-simulation.json"
PAGE, PLOT = ROOT / "docs" / "scale.md", ROOT / "docs" / "scale-simulation.svg"
BEGIN, END = "<!-- simulation -->", "<!-- /simulation -->"
GPUS = (1, 8, 64, 512)
QUESTIONS, SAMPLES, PROMPT, TRACE, STEPS = 1273, 64, 280.0, 350.0, 7.3
ROWS, TOGETHER, SHARD = 64, 4096, 2**15
"""Traces of a task of sampling, tokens of a pass and of a group of a reading."""
PIECE = 256
"""Traces whose texts are made at a time (`sampling/traces.py`)."""
MODEL = "Qwen/Qwen3-8B"
SHARED_FOLDER = 2e9
"""Bytes a second that the study's file system gives a worker that loads a model, assumed."""
GIVE = 0.005
"""Seconds of the driver to send a task to a worker, assumed."""
JUDGES, CONCURRENCY, REPLY = 3, 64, 60.0
"""Of the panel; calls in flight at each; tokens of a reply. Assumed."""


# --- the engine ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Engine:
    """How tasks are handed out.

    Attributes:
        give: seconds of the driver for a task that it sends.
        keep: for a result that it notes.
        start: of a worker before its first task: it loads its model.
        ahead: tasks that a worker has at most, the one it does included.
        hold_last: whether workers get tasks to wait with to the end; else the last ones, one a worker, go to
            whoever is free first.
    """

    give: float = 0.0
    keep: float = 0.0
    start: float = 0.0
    ahead: int = 2
    hold_last: bool = True


@dataclass(frozen=True)
class Played:
    """What came of it: seconds on the wall, the share of them that workers work, and the driver."""

    wall: float
    workers: float
    driver: float


def play(tasks: Sequence[float], workers: int, engine: Engine) -> Played:
    """Some tasks by some workers.

    A driver does one thing at a time: it notes what came back before it hands out more.

    Args:
        tasks: seconds of each.
        workers: how many.
        engine: how tasks are handed out.
    """
    waiting = list(tasks)[::-1]  # the last is next
    has = [0] * workers
    free = [engine.start] * workers  # when a worker has done all that it has
    came: list[tuple[float, int]] = []  # results under way
    driver = busy = 0.0

    def hand_out(now: float) -> float:
        for room in range(engine.ahead):
            for worker in sorted(range(workers), key=has.__getitem__) if waiting else ():
                if not waiting or has[worker] > room:
                    break
                if room and not engine.hold_last and len(waiting) <= workers:
                    break
                now += engine.give
                free[worker] = max(free[worker], now) + waiting.pop()
                has[worker] += 1
                heapq.heappush(came, (free[worker], worker))
        return now

    driver = hand_out(0.0)
    busy = driver
    while came:
        at, worker = heapq.heappop(came)
        began = max(driver, at)
        has[worker] -= 1
        driver = hand_out(began + engine.keep)
        busy += driver - began
    wall = max(driver, max(free) if tasks else 0.0)
    return Played(wall, sum(tasks) / (workers * wall) if wall else 1.0, busy / wall if wall else 0.0)


# --- the study -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stage:
    """Part of the study: tasks that workers share, and seconds that the driver, or a server, takes alone."""

    name: str
    tasks: tuple[float, ...]
    alone: float
    why: str
    keep: float | None = None
    """Seconds of the driver for a result, where it is no journal's."""


def stages(measured: dict[str, Any], rows: int = ROWS, texts_shared: bool = True) -> list[Stage]:
    """The study's, in order; the texts of traces are made by the driver, or shared."""
    from mechcot.pipeline.estimate import load
    from mechcot.pipeline.estimate.machines import machines
    from mechcot.pipeline.estimate.weights import weights_of

    gpu, weights = machines("gpu")[0], weights_of(None, MODEL)
    assert weights is not None
    spread = measured["batches"]
    n, found = QUESTIONS * SAMPLES, []
    loading = 2 * weights.parameters / SHARED_FOLDER
    for arm in ("base", "distilled"):
        count = -(-n // rows)
        task = load.sampling(
            weights, 2, rows=rows, together=rows, prompts=max(1, rows / SAMPLES), prompt=PROMPT, trace=TRACE,
            longest=1.5 * TRACE,
        ).seconds(gpu)  # fmt: skip
        tasks = tuple(task * spread[i % len(spread)] for i in range(count))
        found.append(Stage(f"sample-{arm}", tasks, loading, "driver: loads a model"))
        piece = PIECE * TRACE * measured["seconds a token as text"]
        texts = (piece,) * -(-n // PIECE)
        why = "texts of the traces, where each token lies in them"
        if texts_shared:
            found.append(Stage(f"texts-{arm}", texts, 0.0, why, measured["seconds to get a piece's rows"]))
        else:
            found.append(Stage(f"texts-{arm}", (), sum(texts), f"driver: {why}"))
    steps = 2 * n * STEPS
    found.append(Stage("steps", (), steps * measured["seconds a step cut"], "driver: cuts traces into steps"))
    judged = 2 * QUESTIONS * STEPS * (0.5 + REPLY / 50) / CONCURRENCY
    found += [Stage(f"judge {i + 1}", (), judged, "a judge's limit of calls") for i in range(JUDGES)]
    tokens = QUESTIONS * (PROMPT + TRACE) * 1.2
    whole = load.reading(weights, 2, tokens=tokens, context=PROMPT + TRACE, together=TOGETHER).seconds(gpu)
    groups = int(tokens // SHARD)
    sizes = (*(SHARD / tokens,) * groups, 1 - groups * SHARD / tokens)
    for pair in ("base by base", "base by distilled", "distilled by base", "distilled by distilled"):
        index = loading + tokens * measured["seconds a token read"]
        tasks = tuple(whole * size for size in sizes)
        found.append(Stage(f"read {pair}", tasks, index, "driver: loads a model, merges the index"))
    return found


def walls(
    measured: dict[str, Any], gpus: int, engine: Engine, rows: int, texts_shared: bool
) -> list[dict[str, Any]]:
    """Seconds of each stage on so many GPUs."""
    found = []
    for stage in stages(measured, rows, texts_shared):
        own = engine if stage.keep is None else replace(engine, keep=stage.keep, start=0.0)
        done = play(stage.tasks, gpus, own)
        found.append(
            {"stage": stage.name, "tasks": len(stage.tasks), "shared": done.wall, "alone": stage.alone,
             "work": sum(stage.tasks), "longest": max(stage.tasks, default=0.0), "workers": done.workers,
             "driver": done.driver, "why": stage.why}
        )  # fmt: skip
    return found


def engine_of(measured: dict[str, Any]) -> Engine:
    """The engine, by what its parts take."""
    from mechcot.pipeline.estimate.weights import weights_of

    weights = weights_of(None, MODEL)
    assert weights is not None
    start = 2 * weights.parameters / SHARED_FOLDER
    return Engine(GIVE, measured["seconds to keep a result"], start)


def played(measured: dict[str, Any]) -> dict[str, Any]:
    """All sizes, as it was, as it is, with the last tasks held back, and with more traces in a task."""
    now = engine_of(measured)
    held = replace(now, hold_last=False)
    ways = {
        "as it was": (now, ROWS, False),
        "as it is": (now, ROWS, True),
        "last tasks held back": (held, ROWS, True),
        "batch_rows 256": (now, 256, True),
    }
    return {way: {str(gpus): walls(measured, gpus, *own) for gpus in GPUS} for way, own in ways.items()}


# --- what is measured ------------------------------------------------------------------------------


def measure(path: Path) -> dict[str, Any]:
    """What the driver takes, and how far batches differ, on a finished study."""
    import numpy as np

    from mechcot import Study
    from mechcot.core.manifest import load_manifest
    from mechcot.models.checkpoint import load_tokenizer
    from mechcot.sampling.traces import token_offsets
    from mechcot.steps.of_study import checkpoint_folder
    from mechcot.tasks.tokens import decode

    study = Study.open(path)
    arm = study.settings.contrast.after
    traces, seconds = study.traces(arm), load_manifest(path)["stages"]
    traces = traces[traces.qid.isin(study.questions(study.settings.contrast.domain).qid)]
    lengths = traces.token_ids.map(len).to_numpy()
    batches = [lengths[i : i + ROWS].max() for i in range(0, len(lengths) - ROWS + 1, ROWS)]
    sizes = {"token_ids": 350, "token_start": 350, "token_end": 350, "prompt_ids": 280}
    long = {name: range(n) for name, n in sizes.items()}
    sent = [
        pickle.dumps(one | {name: list(value) for name, value in long.items()} | {"text": "x" * 1500})
        for one in traces.head(PIECE).to_dict("records")
    ]
    began = time.process_time()
    for one in sent:
        pickle.loads(one)  # noqa: S301 - its own bytes
    got = time.process_time() - began
    tokenizer = load_tokenizer(checkpoint_folder(study, arm), trust_remote_code=False)
    some = traces.token_ids.head(300)
    began = time.process_time()
    for ids in some:
        token_offsets(tokenizer, list(ids), decode(tokenizer, list(ids)))
    text = (time.process_time() - began) / some.map(len).sum()
    index = study.reading_path(arm, arm) / "reading.json"
    read = json.loads(index.read_text())["tree_tokens"]
    return {
        "study": f"the organism, seed {study.settings.seed}",
        "batches": [round(float(one), 3) for one in np.array(batches) / np.mean(batches)],
        "seconds a token as text": float(text),
        "seconds a step cut": seconds[f"steps-{arm}"]["seconds"] / len(study.steps(arm)),
        "seconds a token read": _merge(study, arm) / read,
        "seconds to get a piece's rows": got,
        "seconds to keep a result": _kept(),
        "load": round(os.getloadavg()[0], 1),
    }


def _merge(study: Any, arm: str) -> float:
    """Processor seconds of opening all that a reading keeps, an upper end of what merging its index takes."""
    began = time.process_time()
    study.activations(arm, arm)
    for name in ("forced", "signals"):
        if (study.reading_path(arm, arm) / f"{name}.parquet").exists():
            (study.reading_path(arm, arm) / f"{name}.parquet").read_bytes()
    return time.process_time() - began


def _kept(times: int = 50) -> float:
    """Processor seconds of the driver to note the result of a task of sampling in the journal."""
    from mechcot.core.journal import Journal

    result = [
        {"qid": "q", "cid": i, "token_ids": list(range(10_000, 10_350)), "finish_reason": "stop",
         "sum_logprob": -1.0}
        for i in range(ROWS)
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "kept")
        began = time.process_time()
        for i in range(times):
            journal.keep(str(i), result)
        journal.close()
        return (time.process_time() - began) / times


# --- the page --------------------------------------------------------------------------------------


def total(rows: list[dict[str, Any]]) -> float:
    """Seconds of all stages."""
    return sum(row["shared"] + row["alone"] for row in rows)


def page(told: dict[str, Any]) -> str:
    """The tables as the page has them."""
    lines = ["", "| GPUs | " + " | ".join(f"{way}, hours (share of GPU time used)" for way in told) + " |"]
    lines += ["|---|" + "---|" * len(told)]
    for gpus in GPUS:
        cells = []
        for ways in told.values():
            rows = ways[str(gpus)]
            work = sum(row["work"] for row in rows)
            cells.append(f"{total(rows) / 3600:.2f} ({100 * work / (gpus * total(rows)):.0f} %)")
        lines.append(f"| {gpus} | " + " | ".join(cells) + " |")
    lines += ["", "| stage, as it is | tasks | longest, s | " + " | ".join(f"{g} GPUs, s" for g in GPUS)
              + " | driver or server, s | |", "|---|---|---|" + "---|" * (len(GPUS) + 2)]  # fmt: skip
    now = told["as it is"]
    for place, row in enumerate(now[str(GPUS[0])]):
        shared = " | ".join(f"{now[str(gpus)][place]['shared']:,.0f}" for gpus in GPUS)
        lines.append(
            f"| {row['stage']} | {row['tasks']} | {row['longest']:.0f} | {shared} | {row['alone']:.0f} | "
            f"{row['why']} |"
        )
    return "\n".join([*lines, ""])


def drawn(told: dict[str, Any]) -> str:
    """Hours by GPUs on logarithmic axes, as SVG; in grey what perfect sharing would take."""
    import math

    width, height, edge = 560, 340, 56
    ways = {way: [total(rows[str(g)]) / 3600 for g in GPUS] for way, rows in told.items()}
    first = next(iter(ways.values()))[0]
    ways = {"perfect": [first / g for g in GPUS], **ways}
    colours = {
        "perfect": "#999999",
        "as it was": "#4c6a92",
        "as it is": "#e07b39",
        "batch_rows 256": "#3a8f5d",
    }
    values = [value for way in ways.values() for value in way]
    low, high = math.log10(min(values)), math.log10(max(values))

    def at(gpus: int, hours: float) -> str:
        x = edge + (width - 2 * edge) * math.log(gpus) / math.log(GPUS[-1])
        y = height - edge - (height - 2 * edge) * (math.log10(hours) - low) / (high - low)
        return f"{x:.1f},{y:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        '<text x="56" y="24" font-size="14">The driver and the judges set the least time</text>',
        f'<text x="{width / 2}" y="{height - 12}" text-anchor="middle">GPUs (assumed H100)</text>',
        f'<text x="14" y="{height / 2}" transform="rotate(-90 14 {height / 2})">hours</text>',
    ]
    for gpus in GPUS:
        x = at(gpus, 10**low).split(",")[0]
        parts.append(f'<text x="{x}" y="{height - edge + 18}" text-anchor="middle">{gpus}</text>')
    for power in range(math.ceil(low), math.floor(high) + 1):
        y = at(1, 10.0**power).split(",")[1]
        parts.append(f'<text x="{edge - 8}" y="{y}" text-anchor="end">{10.0**power:g}</text>')
        parts.append(f'<line x1="{edge}" x2="{width - edge}" y1="{y}" y2="{y}" stroke="#dddddd"/>')
    for number, (way, hours) in enumerate(ways.items()):
        colour = colours.get(way, "#8c6bb1")
        line = " ".join(at(*pair) for pair in zip(GPUS, hours, strict=True))
        dash = ' stroke-dasharray="4 3"' if way != "as it is" else ""
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        parts.append(f'<text x="{width - 230}" y="{48 + 16 * number}" fill="{colour}">{way}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    """Measure, or play."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("measure", "play"))
    parser.add_argument("study", type=Path, nargs="?")
    given = parser.parse_args()
    if given.what == "measure":
        MEASURED.write_text(json.dumps(measure(given.study), indent=1) + "\n")
        return
    measured = json.loads(MEASURED.read_text())
    told = played(measured)
    OUT.write_text(json.dumps({"engine": asdict(engine_of(measured)), "ways": told}, indent=1) + "\n")
    PLOT.write_text(drawn(told))
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + BEGIN + page(told) + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()
