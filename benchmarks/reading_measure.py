"""How the reading benchmark measures: processor time of sides that take turns, memory in fresh processes.

Processor time on one thread: what else runs on the machine disturbs it little, and alternating sides alike.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from reading_texts import GEMMA, LARGE, ORGANISM

SLOW = 4
_GIVES_BACK = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**18),
    "MALLOC_TRIM_THRESHOLD_": str(2**18),
}
"""Settings of glibc's allocator, read as a process begins."""

Sides = Mapping[str, Mapping[str, Callable[[], Any]]]


def spent() -> float:
    """Processor seconds of this process so far, and of those that it waited for."""
    return sum(os.times()[:4])


@dataclass(frozen=True)
class Options:
    """The command line, and what is left of the time.

    Attributes:
        rounds: in which the sides take turns, at most.
        small: whether the models are tiny.
        until: up to when, by `spent`, a part of a job may begin.
        left_out: parts for which there was no time; named in the end.
    """

    rounds: int
    small: bool
    until: float = float("inf")
    left_out: list[str] = field(default_factory=list)

    def part(self, name: str, share: float = 1.0) -> Options | None:
        """A part with its share of the time that is left; None: there is none left, and it is left out."""
        left = self.until - spent()
        if left <= 0:
            print(f"  {name}: left out, the time is up", flush=True)
            self.left_out.append(name)
            return None
        return replace(self, until=spent() + share * left)

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
    sides: Sides,
    rounds: int,
    check: Callable[[dict[str, Any]], None],
    options: Options,
    whole: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Processor seconds of each side at its fastest setting: the least of some rounds, in turns.

    Every setting runs once; each side's fastest goes on, for as many rounds as fit into the time by what that
    first one took, one at least. A side that took more than `SLOW` times as long as the first side goes on no
    further: no bound lies that near. What else runs on the machine can only add to a run, so the least of
    several says most.

    Args:
        sides: for each side its settings, each a way to run it.
        rounds: how many at most.
        check: what the sides' outputs must satisfy.
        options: how long a race may take.
        whole: what the seconds of a side are times that ran a part of the work.
    """
    fastest: dict[str, str] = {}
    seconds: dict[str, float] = {}
    outputs: dict[str, Any] = {}
    for name, settings in sides.items():
        first = {}
        for setting, run in settings.items():
            outputs[name], first[setting] = _timed(run)
        fastest[name] = min(first, key=first.__getitem__)
        seconds[name] = first[fastest[name]] * (whole or {}).get(name, 1)
        if len(first) > 1:
            tried = ", ".join(f"{setting} {taken:.2f} s" for setting, taken in first.items())
            print(f"  {name}, tried once: {tried}", flush=True)
    check(outputs)
    outputs.clear()
    again = [name for name, taken in seconds.items() if taken <= SLOW * next(iter(seconds.values()))]
    left = (options.until - spent()) / sum(seconds[name] for name in again)
    fit = rounds if left > rounds else max(1, int(left))
    once = len(seconds) - len(again)
    print(f"  {fit} of {rounds} rounds; {once} sides by their first run alone", flush=True)
    for _ in range(fit):
        for name in again:
            seconds[name] = min(seconds[name], _timed(sides[name][fastest[name]])[1])
    return seconds


def _timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """What a run gives, and its processor seconds."""
    started = time.process_time()
    found = run()
    return found, time.process_time() - started


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
    """Measure in a fresh process, whose memory nobody has used before, and which gives back what it frees.

    What the allocator keeps for later differs by a third from run to run.
    """
    with (
        patch.dict(os.environ, _GIVES_BACK),
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool,
    ):
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
