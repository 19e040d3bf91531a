"""Ray's workers against plain processes: sampling, reading and probe, one thread each, in one run.

    python benchmarks/workers.py [--study studies/organism] [--rounds 3] [--only sampling ...] [--json]
    python benchmarks/workers.py --out docs/workers.json       # and the table of docs/scale.md

Four sides take turns, each in processes of its own that are warm when the clock starts: one process of one
thread; two plain processes, each with the whole work, at once; one Ray worker; two Ray workers. Printed are
the seconds of a round (medians), and of two workers how much faster than one process they are, beside what
two plain processes reach. What it takes until a side is warm (imports, models, Ray) stands apart.

Where other programs run, all sides are disturbed, and rounds differ: the load is printed. So are processor
seconds of driver and workers together, which other programs disturb little.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

JOBS = ("sampling", "reading", "probe")
SIDES = {"one process": (0, 1), "two processes": (0, 2), "one worker": (1, 1), "two workers": (2, 1)}
"""Workers of a process, and how many such processes."""
PAGE = Path(__file__).parent.parent / "docs" / "scale.md"
BEGIN, END = "<!-- workers -->", "<!-- /workers -->"
LEAST, MOST = 0.9, 1.05
"""Two workers reach so much of what two processes do, at least; one worker takes so much longer, at most."""


def main() -> None:
    """Time all sides and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--study", type=Path, default=Path("studies/organism"))
    parser.add_argument("--questions", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=JOBS, nargs="*", default=JOBS)
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.add_argument("--out", type=Path, help="a JSON file that gets the result, and its page the table")
    parser.add_argument("--side", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side is not None:
        answer(given.study, given.questions, given.side)
        return
    found = measured(given)
    for job, own in found["jobs"].items():
        told = "   ".join(f"{side} {seconds:6.2f} s" for side, seconds in own["seconds"].items())
        print(f"{job:9s} {told}")
        print(
            f"{'':9s} two workers are {own['workers']:.2f} times as fast as one process, two processes "
            f"{own['processes']:.2f} times: {own['share']:.2f} of that (at least {LEAST}); one worker takes "
            f"{own['over']:.3f} times one process (at most {MOST}), {own['over, processor']:.3f} times its "
            "processor seconds"
        )
    print("until warm: " + "   ".join(f"{side} {s:.1f} s" for side, s in found["start"].items()))
    print(f"load {found['load'][0]} before, {found['load'][1]} after, on {os.cpu_count()} cores")
    if given.json:
        print(json.dumps(found))
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n")
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(before + BEGIN + page(found) + END + rest.partition(END)[2])


def page(found: dict[str, Any]) -> str:
    """The table as the page has it."""
    heads = [*(f"{side}, s" for side in SIDES), "two workers, of two processes", "one worker"]
    heads.append("its processor time")
    lines = ["", f"| | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    for job, own in found["jobs"].items():
        seconds = " | ".join(f"{own['seconds'][side]:.2f}" for side in SIDES)
        lines.append(
            f"| {job} | {seconds} | {own['workers']:.2f} of {own['processes']:.2f} times: {own['share']:.2f} "
            f"| {own['over']:.2f} times | {own['over, processor']:.2f} times |"
        )
    start = ", ".join(f"{side} {seconds:.0f} s" for side, seconds in found["start"].items())
    machine, rounds, load = found["machine"], found["sizes"]["rounds"], found["load"]
    told = (
        f"Medians of {rounds} rounds; {machine}, load {load[0]:g} before and {load[1]:g} after. Until a side "
        f"is warm, apart: {start}."
    )
    return "\n".join([*lines, "", told, ""])


def measured(given: argparse.Namespace) -> dict[str, Any]:
    """Seconds of every side and job."""
    load = [round(os.getloadavg()[0], 2)]
    with ExitStack() as stack:
        sides, start = {}, {}
        for side, (workers, many) in SIDES.items():
            began = time.perf_counter()
            sides[side] = [stack.enter_context(Side(given, workers)) for _ in range(many)]
            for one in sides[side]:
                for job in given.only:
                    one.ask(job)
            for one in sides[side]:
                for _ in given.only:
                    one.told()
            start[side] = round(time.perf_counter() - began, 1)
        rounds: dict[str, list[dict[str, float]]] = {job: [] for job in given.only}
        for _ in range(given.rounds):
            for job in given.only:
                own = {}
                for side, processes in sides.items():
                    for one in processes:
                        one.ask(job)
                    told = [one.told() for one in processes]
                    own[side] = statistics.mean(seconds for seconds, _ in told)
                    own[f"{side}, processor"] = statistics.mean(busy for _, busy in told)
                rounds[job].append(own)
    load.append(round(os.getloadavg()[0], 2))
    return {
        "name": "workers",
        "sizes": {"questions": given.questions, "rounds": given.rounds},
        "jobs": {job: ratios(own) for job, own in rounds.items()},
        "start": start,
        "load": load,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def ratios(rounds: list[dict[str, float]]) -> dict[str, Any]:
    """Medians over the rounds; ratios are of one round, whose sides ran beside the same programs."""

    def median(of: Callable[[dict[str, float]], float]) -> float:
        return statistics.median(of(one) for one in rounds)

    return {
        "seconds": {side: median(lambda one, side=side: one[side]) for side in SIDES},  # type: ignore[misc]
        "workers": median(lambda one: one["one process"] / one["two workers"]),
        "processes": median(lambda one: 2 * one["one process"] / one["two processes"]),
        "share": median(lambda one: one["two processes"] / 2 / one["two workers"]),
        "over": median(lambda one: one["one worker"] / one["one process"]),
        "over, processor": median(lambda one: one["one worker, processor"] / one["one process, processor"]),
        "rounds": rounds,
    }


class Side:
    """A process that does a job when it is told to."""

    def __init__(self, given: argparse.Namespace, workers: int) -> None:
        command = [sys.executable, __file__, "--study", str(given.study), "--side", str(workers)]
        self._process = subprocess.Popen(
            [*command, "--questions", str(given.questions)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait()

    def ask(self, job: str) -> None:
        """Begin a job."""
        self._process.stdin.write(f"{job}\n")  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]

    def told(self) -> tuple[float, float]:
        """Wait for it; its seconds, and processor seconds."""
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            sys.exit("a side ended before its time")
        seconds, busy = line.split()
        return float(seconds), float(busy)


# --- a side's own process --------------------------------------------------------------------------


def answer(path: Path, questions: int, workers: int) -> None:
    """Do the jobs that stdin names, and say how long each took."""
    from mechcot import Study
    from mechcot.core.engine_settings import EngineSettings
    from mechcot.pipeline.engine import prepare, shared_by

    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        work = Path(folder)
        study = Study.open(path)
        study = Study(path, study.settings.model_copy(update={"threads": 1, "device": "cpu"}))
        stack.enter_context(shared_by(EngineSettings(workers=workers) if workers else None))
        prepare(study, stack)
        jobs = {
            "sampling": sampling(study, questions, work / "sampling"),
            "reading": reading(study, questions, work / "reading"),
            "probe": probe(study),
        }
        for line in sys.stdin:
            for old in work.iterdir():
                shutil.rmtree(old)
            started, before = time.perf_counter(), processor_seconds()
            jobs[line.strip()]()
            print(time.perf_counter() - started, processor_seconds() - before, flush=True)


def processor_seconds() -> float:
    """Of this process and of its workers so far."""
    import psutil

    own = psutil.Process()
    workers = [child for child in own.children(recursive=True) if "ray::Worker" in child.name()]
    return sum(sum(one.cpu_times()[:2]) for one in (own, *workers))


def sampling(study: Any, count: int, work: Path) -> Callable[[], Any]:
    """The student's first questions, 16 samples each in batches of 48."""
    from mechcot.core import records
    from mechcot.core.sampling_settings import SamplingSettings
    from mechcot.models.checkpoint import load
    from mechcot.sampling import Prompt, sample
    from mechcot.steps.of_study import checkpoint_folder, task_of
    from mechcot.tasks import question_of, render_prompt

    arm = study.settings.contrast.after
    checkpoint = load(study.settings.arms[arm], checkpoint_folder(study, arm), "cpu")
    form = task_of(study).format
    rows = records.rows(study.questions("clinical").head(count))
    prompts = [
        Prompt(row.qid, tuple(render_prompt(question_of(row), form, checkpoint.tokenizer)[1])) for row in rows
    ]
    settings = SamplingSettings(samples=16, temperature=0.7, max_new_tokens=90, batch_rows=48)
    return partial(sample, checkpoint, prompts, settings, arm=arm, seed=0, work=work, progress=False)


def reading(study: Any, count: int, work: Path) -> Callable[[], Any]:
    """The student reads its own traces; groups of few tokens, so that there are enough of them to share."""
    from mechcot.models.checkpoint import load
    from mechcot.reading import groups
    from mechcot.reading.folder import read_to_folder
    from mechcot.reading.of_study import question_inputs, spec_of, with_lead_ins
    from mechcot.reading.spec import Reader, ReadingFolder
    from mechcot.steps.of_study import checkpoint_folder, task_of

    groups.SHARD_TOKENS = 2**12
    arm = study.settings.contrast.after
    checkpoint = load(study.settings.arms[arm], checkpoint_folder(study, arm), "cpu")
    task = with_lead_ins(study, task_of(study, arm))
    inputs = question_inputs(study, arm, task, checkpoint.tokenizer)[:count]

    def read() -> None:
        reader = Reader(checkpoint.model, arm, "of the benchmark")
        folder = ReadingFolder(work / "out", work / "work")
        read_to_folder(reader, inputs, spec_of(study, arm), folder, check=False, progress=False)

    return read


def probe(study: Any) -> Callable[[], Any]:
    """The probe on the student's own reading, all layers and rules, with a quarter of the nulls' draws."""
    from mechcot.analyses.probe.analysis import default_spec, probe_of

    arm = study.settings.contrast.after
    spec = default_spec(study).model_copy(
        update={"ablate": 0, "transfer": False, "untrained": False, "null_draws": 50}
    )
    return partial(probe_of, study, arm, None, spec, progress=False)


if __name__ == "__main__":
    main()
