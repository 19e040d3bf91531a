"""How the reading benchmark measures: sides that take turns, memory in fresh processes."""

from __future__ import annotations

import multiprocessing
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from reading_texts import GEMMA, LARGE, ORGANISM

Sides = Mapping[str, Mapping[str, Callable[[], Any]]]


@dataclass(frozen=True)
class Options:
    """The command line.

    Attributes:
        rounds: in which the sides take turns, at most.
        threads: of torch.
        small: whether the models are tiny.
        clock: wall time, or processor time where others use the machine too.
        seconds: after which a race begins no further round.
    """

    rounds: int
    threads: int
    small: bool
    clock: Callable[[], float] = time.perf_counter
    seconds: float = float("inf")

    @property
    def large_vocabulary(self) -> dict[str, int]:
        """The model of the job `vocabulary`."""
        return GEMMA if not self.small else {**ORGANISM, "vocab_size": 2000}

    @property
    def shape(self) -> dict[str, int]:
        """The model of all jobs but the organism's."""
        return LARGE if not self.small else {**ORGANISM, "vocab_size": 2000}


@dataclass
class Result:
    """What a job found."""

    seconds: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    megabytes: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, Any] = field(default_factory=dict)


def race(
    sides: Sides, rounds: int, check: Callable[[dict[str, Any]], None], options: Options
) -> dict[str, float]:
    """Median seconds of each side at its fastest setting; the sides take turns.

    Every setting runs once; those within a tenth of their side's fastest run in every round.

    Args:
        sides: for each side its settings, each a way to run it.
        rounds: how many, as long as there is time.
        check: what the sides' outputs must satisfy.
        options: the clock, and how long a race may take.
    """
    clock, begun = options.clock, time.perf_counter()
    chosen: dict[tuple[str, str], Callable[[], Any]] = {}
    outputs: dict[str, Any] = {}
    for name, settings in sides.items():
        first = {}
        for setting, run in settings.items():
            started = clock()
            outputs[name] = run()
            first[setting] = clock() - started
        fast = [setting for setting in settings if first[setting] <= 1.1 * min(first.values())]
        chosen |= {(name, setting): settings[setting] for setting in fast}
        if len(first) > 1:
            tried = ", ".join(f"{setting} {seconds:.2f} s" for setting, seconds in first.items())
            print(f"  {name}, tried once: {tried}", flush=True)
    check(outputs)
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in chosen}
    for number in range(rounds):
        if number and time.perf_counter() - begun > options.seconds:
            print(f"  {number} of {rounds} rounds: the time is up", flush=True)
            break
        for key, run in chosen.items():
            started = clock()
            run()
            seconds[key].append(clock() - started)
    median = {key: statistics.median(values) for key, values in seconds.items()}
    return {name: min(value for key, value in median.items() if key[0] == name) for name in sides}


def machine() -> dict[str, Any]:
    """What this runs on."""
    told = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.+)", told.read_text()) if told.exists() else []
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
    }


def apart(measure: Callable[..., float], *given: Any) -> float:
    """Measure in a fresh process, whose memory nobody has used before."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *given).result()


def peak(run: Callable[[], Any]) -> float:
    """Highest resident size in `run` above that before it, in MB."""
    Path("/proc/self/clear_refs").write_text("5")  # the highest so far is forgotten
    before = _status("VmRSS")
    run()
    return (_status("VmHWM") - before) / 1e3


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(name)))
