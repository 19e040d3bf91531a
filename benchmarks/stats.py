"""Statistics: the paired bootstrap and exact SC@k against the plain ways to compute the same.

    python benchmarks/stats.py [--json]

Bootstrap: a difference of two ratios from `resampled_sums`, 10,000 draws of a study of 1273 questions,
against a loop with one numpy step per replicate, at the better of two ways to write that step. Both sides
make the interval.
SC@k: `sc_at_k`, every k from 64 votes over five classes, against numpy enumeration of all vote compositions
of a question at once. The enumeration is timed on a few questions, drawn at random, and its seconds are
multiplied up to the study: questions do not share work. One thread; the sides alternate; medians.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy reads it

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import comb

from mechcot.stats import percentile_interval, resampled_sums, sc_at_k

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def main() -> None:
    """Time both pairs of sides, check that they agree, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--questions", type=int, default=1273)
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--votes", type=int, default=64)
    parser.add_argument("--classes", type=int, default=5, help="with the no-answer class")
    parser.add_argument(
        "--enumerated", type=int, default=200, help="questions that the enumeration is timed on"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    study = _study(rng, options.questions)
    shares = rng.dirichlet(np.ones(options.classes), options.questions)
    table = rng.multinomial(options.votes, shares)
    gold = rng.integers(0, options.classes - 1, options.questions)
    few = rng.choice(options.questions, min(options.enumerated, options.questions), replace=False)
    sides: dict[str, Callable[[], Any]] = {
        "bootstrap, mechcot": lambda: _bootstrap(study, options.draws),
        "bootstrap, loop that indexes": lambda: _loop(study, options.draws, counted=False),
        "bootstrap, loop that counts": lambda: _loop(study, options.draws, counted=True),
        "sc_at_k, mechcot": lambda: sc_at_k(table, gold),
        "sc_at_k, enumeration": lambda: [_enumerate(table[q], int(gold[q])) for q in few],
    }
    _check(sides, few)
    seconds = _time(sides, options.rounds)
    enumerated = f"sc_at_k, enumeration of {len(few)}"
    seconds[enumerated] = seconds["sc_at_k, enumeration"]
    seconds["sc_at_k, enumeration"] *= options.questions / len(few)
    loop = min(seconds["bootstrap, loop that indexes"], seconds["bootstrap, loop that counts"])
    ratios = {
        "bootstrap_vs_loop": loop / seconds["bootstrap, mechcot"],
        "sc_at_k_vs_enumeration": seconds["sc_at_k, enumeration"] / seconds["sc_at_k, mechcot"],
    }
    for name, value in seconds.items():
        scaled = ", scaled up" if name == "sc_at_k, enumeration" else ""
        print(f"{name:32s} {value:10.3f} s{scaled}")
    for name, ratio in ratios.items():
        print(f"{name:32s} {ratio:10.2f}")
    if options.json:
        sizes = {name: getattr(options, name) for name in ("questions", "draws", "votes", "classes")}
        print(
            json.dumps(
                {
                    "name": "stats",
                    "sizes": {**sizes, "enumerated": len(few), "rounds": options.rounds},
                    "seconds": seconds,
                    "ratios": ratios,
                    "machine": f"{platform.machine()}, {os.cpu_count()} cores, 1 thread",
                }
            )
        )


def _study(rng: np.random.Generator, questions: int) -> Ints:
    """Errors and judged steps before, errors and judged steps after [questions, 4]."""
    judged = rng.integers(3, 10, (questions, 2))
    errors = rng.binomial(judged, rng.beta([2, 3], [5, 3], (questions, 2)))
    return np.stack([errors[:, 0], judged[:, 0], errors[:, 1], judged[:, 1]], axis=1)


def _bootstrap(study: Floats, draws: int) -> Any:
    sums = resampled_sums(study, draws, 0)
    total = study.sum(axis=0)
    return percentile_interval(
        float(total[2] / total[3] - total[0] / total[1]),
        sums[:, 2] / sums[:, 3] - sums[:, 0] / sums[:, 1],
        len(study),
    )


def _loop(study: Ints, draws: int, *, counted: bool) -> tuple[float, float]:
    """The percentile interval, one replicate after the other."""
    rng, n = np.random.default_rng(0), len(study)
    table = study.astype(np.float64)
    found = np.empty(draws)
    for draw in range(draws):
        picks = rng.integers(0, n, n)
        sums = np.bincount(picks, minlength=n) @ table if counted else table[picks].sum(axis=0)
        found[draw] = sums[2] / sums[3] - sums[0] / sums[1]
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def _enumerate(votes: Ints, gold: int) -> Floats:
    """SC@k of one question for every k, from all compositions of its votes."""
    total = int(votes.sum())
    parts = np.indices([int(v) + 1 for v in votes]).reshape(len(votes), -1)[:, 1:]  # not the empty one
    ways = np.ones(parts.shape[1])
    for taken, available in zip(parts, votes, strict=True):
        ways *= comb(available, np.arange(available + 1))[taken]
    most = parts.max(axis=0)
    score = (parts[gold] == most) / (parts == most).sum(axis=0)
    size = parts.sum(axis=0)
    won = np.bincount(size, weights=ways * score, minlength=total + 1)[1:]
    return np.asarray(won / comb(total, np.arange(1, total + 1)), dtype=np.float64)


def _check(sides: dict[str, Callable[[], Any]], few: Ints) -> None:
    """Both ways must give the same numbers, or the times compare nothing."""
    ours = sides["bootstrap, mechcot"]()
    for name in ("bootstrap, loop that indexes", "bootstrap, loop that counts"):
        gap = np.abs(np.array([ours.low, ours.high]) - sides[name]()).max()
        if gap > 0.1 * (ours.high - ours.low):  # the draws differ
            raise SystemExit(f"{name}: its interval differs by {gap}")
    gap = np.abs(sides["sc_at_k, mechcot"]()[few] - np.stack(sides["sc_at_k, enumeration"]())).max()
    if gap > 1e-9:
        raise SystemExit(f"sc_at_k differs from the enumeration by {gap}")


def _time(sides: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each side; the sides take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


if __name__ == "__main__":
    main()
