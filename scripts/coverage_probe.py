"""How often the intervals of a probe's AUROC cover the truth, with the scorers held fixed.

    python scripts/coverage_probe.py --runs 2000

Every run draws new questions of unequal size, 1 to about 60 steps and 12 on average, divides them into five
folds and asks whether the interval covers. The grid was fixed before anything was run: 40 and 150 questions;
10, 30 and 50 % of the steps erroneous; an AUROC of .6, .8 and .95; questions that differ in nothing (but
size), in how many of their steps are erroneous, in the level of their scores, or in both and in how well the
scorer works. The truth is the share of right pairs over 2,000 further studies of the design.

Columns: the interval that reports give (jackknife of questions on the log odds scale); that of the difference
to a second scorer; the percentile bootstrap of questions, which earlier reports gave (--draws 0 leaves it
out); and the first one with steps in the place of questions.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm

from mechcot.probe.folds import Rows
from mechcot.probe.metrics import auroc_difference, auroc_interval
from mechcot.stats import Interval, cluster_bootstrap_auroc, stratified_auroc

N_FOLDS = 5
QUESTIONS = (40, 150)
PREVALENCE = (0.1, 0.3, 0.5)
AUROC = (0.6, 0.8, 0.95)
EFFECTS = {
    "none": (0.0, 0.0, 0.0),
    "labels": (1.5, 0.0, 0.0),
    "scores": (0.0, 1.0, 0.0),
    "all": (1.0, 0.7, 0.5),
}
"""What questions differ in: standard deviations of the log odds of an error, the level and the gain."""

COLUMNS = ("interval", "difference", "bootstrap", "by step")


@dataclass(frozen=True)
class Design:
    """One cell of the grid."""

    n_questions: int
    prevalence: float
    auroc: float
    effect: str

    def study(self, rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
        """Two scorers [2, steps], labels, folds and questions [steps] of one study."""
        difficulty, level, gain = EFFECTS[self.effect]
        size = 1 + rng.poisson(rng.gamma(2.0, 5.5, self.n_questions))
        question = np.repeat(np.arange(self.n_questions), size)
        own = rng.normal(size=(4, self.n_questions))[:, question]
        y = (rng.random(len(question)) < expit(self._intercept() + difficulty * own[0])).astype(np.int64)
        noise = rng.normal(size=(2, len(question)))
        better = norm.ppf(self.auroc) * np.sqrt(2 * (1 + level**2)) + gain * own[1]
        worse = 0.5 * norm.ppf(self.auroc) * np.sqrt(2 * (1 + level**2))
        first = better * y + level * own[2] + noise[0]
        second = worse * y + level * own[3] + 0.7 * noise[0] + np.sqrt(1 - 0.7**2) * noise[1]
        fold = rng.permutation(self.n_questions)[question] % N_FOLDS
        return np.stack([first, second]), y, fold, question

    def _intercept(self) -> float:
        """Log odds of an error in the middling question, for the prevalence over all of them."""
        points, weights = np.polynomial.hermite_e.hermegauss(40)
        low, high = -10.0, 10.0
        for _ in range(50):
            middle = (low + high) / 2
            rate = (expit(middle + EFFECTS[self.effect][0] * points) * weights).sum() / weights.sum()
            low, high = (middle, high) if rate < self.prevalence else (low, middle)
        return low


def coverage(design: Design, runs: int, *, draws: int = 0, by_step: bool = True) -> dict[str, float]:
    """Share of runs whose interval holds the truth, by `COLUMNS`.

    Args:
        design: what is drawn.
        runs: how often.
        draws: of the bootstrap; 0 leaves it out.
        by_step: whether to resample steps too.
    """
    truth = _truth(design, runs)
    held: dict[str, list[bool]] = {name: [] for name in COLUMNS}
    for run in range(runs):
        scores, y, fold, question = design.study(np.random.default_rng([0, run]))
        if stratified_auroc(scores[0], y, fold, None).n_pairs == 0:
            continue
        held["interval"].append(_holds(auroc_interval(scores[0], Rows(y, question, fold)), truth[0]))
        gap = auroc_difference(scores[0], scores[1], Rows(y, question, fold))
        held["difference"].append(_holds(gap, truth[0] - truth[1]))
        if draws:
            found = cluster_bootstrap_auroc(scores[0], y, fold, question, draws, run)
            held["bootstrap"].append(_holds(found, truth[0]))
        if by_step:
            found = auroc_interval(scores[0], Rows(y, np.arange(len(y)), fold))
            held["by step"].append(_holds(found, truth[0]))
    return {name: float(np.mean(values)) for name, values in held.items() if values}


def _truth(design: Design, runs: int) -> NDArray[np.float64]:
    """Right pairs over pairs in as many further studies, of both scorers."""
    right, pairs = np.zeros(2), 0
    for run in range(runs):
        scores, y, fold, _ = design.study(np.random.default_rng([1, run]))
        for index, one in enumerate(scores):
            found = stratified_auroc(one, y, fold, None)
            right[index] += (found.auroc or 0.0) * found.n_pairs
        pairs += found.n_pairs
    return np.asarray(right / pairs)


def _holds(found: Interval, truth: float) -> bool:
    return found.low is not None and found.high is not None and bool(found.low <= truth <= found.high)


def main() -> None:
    """Measure the grid and print it as a Markdown table, with the range of every column."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=300, help="of the percentile bootstrap; 0: without it")
    parser.add_argument("--questions", type=int, nargs="+", default=QUESTIONS, help="of a study")
    given = parser.parse_args()
    names = COLUMNS if given.draws else tuple(name for name in COLUMNS if name != "bootstrap")
    print("| questions | erroneous | AUROC | questions differ in | " + " | ".join(names) + " |")
    print("|---|---|---|---|" + "---|" * len(names))
    rows = []
    for cell in itertools.product(given.questions, PREVALENCE, AUROC, EFFECTS):
        found = coverage(Design(*cell), given.runs, draws=given.draws)
        rows.append([found[name] for name in names])
        told = " | ".join([*map(str, cell), *(f"{value:.3f}" for value in rows[-1])])
        print(f"| {told} |", flush=True)
    low, high = np.min(rows, axis=0), np.max(rows, axis=0)
    ranges = " | ".join(f"{a:.3f} to {b:.3f}" for a, b in zip(low, high, strict=True))
    print(f"| | | | all | {ranges} |")


if __name__ == "__main__":
    main()
