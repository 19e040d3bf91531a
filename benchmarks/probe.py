"""Probes: the shared-bound solver against scikit-learn's LogisticRegression, in one process, alternating.

    python benchmarks/probe.py [--json] [--rounds N] [--to-the-end N]

The workload is what a probe report asks of one layer: every fold of every label vector at every penalty, on
activations with a decaying spectrum, scored on all rows. One label vector is drawn from a planted direction,
the others permute it, as a null does; beside it, as many that a plane separates. Both sides train on the same
rows of the same scaled columns; mechcot's time includes scaling and factoring.
scikit-learn is at its best setting: lbfgs in float32 at its default tolerance, one thread a fit, joblib over
all cores, with the faster of worker processes and threads (a few fits decide). That stops early, so
`score_correlation` and `auroc_max_difference`, the worst of all, are measured against scikit-learn run to the
end, untimed, in float64, on 5 problems of each C and kind (all 1,050 with `--to-the-end 0`, 25 minutes of
processor time); that with the timed fits is printed beside it.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from joblib import Parallel, cpu_count, delayed
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from mechcot.probe.factors import factor
from mechcot.probe.solver import Fits, solve

GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
DECAY = 0.7  # standard deviation of the k-th direction: k ** -DECAY
CORES = cpu_count()  # those that this process may run on
Floats = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Workload:
    """One layer's problems: every C of the grid, every label vector, every fold, in this order."""

    X: Floats  # [rows, columns]
    scaled: Floats  # the same as both sides fit it, [rows, columns]
    labels: Floats  # [problems, rows]
    train: Floats  # [problems, rows]
    C: Floats  # [problems]
    fold: NDArray[np.int64]  # [problems]


def main() -> None:
    """Time both sides on both kinds of labels, and print the ratios and how far they agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--columns", type=int, default=2048)
    parser.add_argument("--labels", type=int, default=21, help="label vectors, each fitted on every fold")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--to-the-end", type=int, default=5, help="problems of each C so solved; 0: all")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(CORES)
    loads = {name: _workload(options, separable=name == "separable") for name in ("planted", "separable")}
    backend = _faster_backend(loads["planted"])
    print(f"scikit-learn: one thread a fit, {CORES} at once by joblib's {backend}")
    seconds: dict[str, float] = {}
    found: dict[str, dict[str, float]] = {}
    for name, load in loads.items():
        times, ours, peer = _time(load, backend, options.rounds)
        seconds |= {f"{side}, {name}": value for side, value in times.items()}
        found[name] = _agreement(load, ours, peer, name)
        found[f"{name}, to the end"] = _agreement_to_the_end(load, ours, options.to_the_end, name)
    ratios = {
        "vs_sklearn": seconds["scikit-learn, planted"] / seconds["mechcot, planted"],
        "vs_sklearn_separable": seconds["scikit-learn, separable"] / seconds["mechcot, separable"],
    }
    for name, value in seconds.items():
        print(f"{name:28s} {value:9.2f} s")
    exact = [found[f"{name}, to the end"] for name in loads]
    agreement = {
        "score_correlation": min(row["score_correlation"] for row in exact),
        "auroc_max_difference": max(row["auroc_max_difference"] for row in exact),
    }
    for name, value in {**ratios, **agreement}.items():
        print(f"{name:28s} {value:9.6f}" if name in agreement else f"{name:28s} {value:9.2f}")
    if options.json:
        names = ("rows", "columns", "labels", "folds", "rounds", "to_the_end")
        sizes = {name: getattr(options, name) for name in names}
        print(
            json.dumps(
                {
                    "name": "probe",
                    "sizes": {**sizes, "C": GRID, "fits": len(loads["planted"].C)},
                    "seconds": seconds,
                    "ratios": ratios,
                    **agreement,
                    "agreement": found,
                    "machine": f"{platform.machine()}, {CORES} cores, joblib's {backend}",
                }
            )
        )


def _workload(options: argparse.Namespace, *, separable: bool) -> Workload:
    """Activations with a power-law spectrum in random directions, their labels and folds."""
    rng = np.random.default_rng(0)
    rows, columns, labels = options.rows, options.columns, options.labels
    latent = rng.standard_normal((rows, columns))
    turn, _ = np.linalg.qr(rng.standard_normal((columns, columns)))
    X = ((latent * np.arange(1, columns + 1) ** -DECAY) @ turn.T + rng.standard_normal(columns)).astype(
        np.float32
    )
    part = latent[:, 2:42]
    planes = part @ rng.standard_normal((part.shape[1], labels)) / np.sqrt(part.shape[1])
    if separable:
        y = (planes > 0.5).T
    else:
        drawn = rng.random(rows) < 1 / (1 + np.exp(1.0 - 2.0 * planes[:, 0]))
        y = np.stack([drawn, *(rng.permutation(drawn) for _ in range(labels - 1))])
    fold = rng.permutation(rows) % options.folds
    train = np.stack([fold != index for index in range(options.folds)])
    scaled = ((X - X.mean(0)) / X.std(0)).astype(np.float32)
    grid, repeats = len(GRID), labels * options.folds
    return Workload(
        X,
        scaled,
        np.tile(np.repeat(y, options.folds, axis=0), (grid, 1)),
        np.tile(train, (grid * labels, 1)),
        np.repeat(GRID, repeats),
        np.tile(np.arange(options.folds), grid * labels),
    )


def _ours(load: Workload) -> Fits:
    return solve(factor(load.X, device="cpu"), load.labels, load.train, load.C)


def _peer(load: Workload, problems: NDArray[np.int64], backend: str) -> Floats:
    """Scores of all rows by scikit-learn, [problems, rows]."""
    inside = {index: load.scaled[load.train[load.fold == index][0]] for index in np.unique(load.fold)}
    with threadpool_limits(1):
        scores = Parallel(n_jobs=CORES, backend=backend)(
            delayed(_fit)(inside[load.fold[i]], load.labels[i][load.train[i]], load.scaled, load.C[i])
            for i in problems
        )
    return np.stack(scores)


def _fit(X: Floats, y: Floats, every: Floats, C: float, tol: float = 1e-4) -> Floats:
    warnings.simplefilter("ignore")  # a worker process has filters of its own
    model = LogisticRegression(C=C, tol=tol, max_iter=10_000).fit(X, y)
    return np.asarray(model.decision_function(every))


def _faster_backend(load: Workload) -> str:
    """Of worker processes and threads, what is faster on a few fits of a middling penalty."""
    few = np.flatnonzero(np.isclose(load.C, GRID[2]))[: 4 * CORES]
    seconds = {}
    for backend in ("loky", "threading"):
        _peer(load, few[:CORES], backend)  # workers start
        started = time.perf_counter()
        _peer(load, few, backend)
        seconds[backend] = time.perf_counter() - started
    return min(seconds, key=lambda name: seconds[name])


def _time(load: Workload, backend: str, rounds: int) -> tuple[dict[str, float], Fits, Floats]:
    """Median seconds of each side; the sides take turns."""
    every = np.arange(len(load.C))
    seconds: dict[str, list[float]] = {"mechcot": [], "scikit-learn": []}
    for _ in range(rounds):
        started = time.perf_counter()
        ours = _ours(load)
        between = time.perf_counter()
        peer = _peer(load, every, backend)
        seconds["mechcot"].append(between - started)
        seconds["scikit-learn"].append(time.perf_counter() - between)
    if not ours.converged.all():
        raise SystemExit(f"{int((~ours.converged).sum())} of mechcot's problems did not converge")
    return {name: statistics.median(values) for name, values in seconds.items()}, ours, peer


def _agreement_to_the_end(load: Workload, ours: Fits, few: int, name: str) -> dict[str, float]:
    """Agreement with scikit-learn in float64 at a tolerance of 1e-7, on some problems of each C (0: all)."""
    repeats = len(load.C) // len(GRID)
    spread = np.unique(np.linspace(0, repeats - 1, few or repeats).astype(np.int64))
    problems = np.concatenate([start + spread for start in range(0, len(load.C), repeats)])
    X = load.scaled.astype(np.float64)
    with threadpool_limits(1):
        peer = Parallel(n_jobs=CORES, backend="threading")(
            delayed(_fit)(X[load.train[i]], load.labels[i][load.train[i]], X, load.C[i], 1e-7)
            for i in problems
        )
    return _agreement(load, ours, np.stack(peer), f"{name}, to the end", problems)


def _agreement(
    load: Workload, ours: Fits, peer: Floats, name: str, problems: NDArray[np.int64] | None = None
) -> dict[str, float]:
    """Print by C how far scores and held-out AUROC agree, and return the worst of all."""
    problems = np.arange(len(load.C)) if problems is None else problems
    correlation, difference = np.empty(len(problems)), np.empty(len(problems))
    for place, i in enumerate(problems):
        pair, held_out = (ours.scores[i], peer[place]), ~load.train[i]
        correlation[place] = np.corrcoef(*pair)[0, 1]
        auroc = [roc_auc_score(load.labels[i][held_out], scores[held_out]) for scores in pair]
        difference[place] = abs(auroc[0] - auroc[1])
    for C in GRID:
        at = load.C[problems] == C
        print(
            f"{name:24s} C={C:<7g} correlation {correlation[at].min():.7f}   AUROC differs by "
            f"{difference[at].max():.1e}   at most {ours.iterations[problems[at]].max()} iterations"
        )
    return {
        "score_correlation": float(correlation.min()),
        "auroc_max_difference": float(difference.max()),
    }


if __name__ == "__main__":
    main()
