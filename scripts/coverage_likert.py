"""How often intervals of effects on ratings cover planted effects, and how often a test rejects none.

    python scripts/coverage_likert.py --out docs/likert-coverage.json

Population-averaged effects (`stats.ordinal`, what `mechcot likert import` prints) are simulated on their own
scale: a rating by itself is exactly logistic (`stats.rating_draws`), whatever raters, items and texts share.
Conditional effects (`stats.ordinal_mixed`) are simulated on theirs: normal shared parts plus logistic noise.
Raters, items and texts are new in every run. Of four conditions one is the reference, two have effects of
+0.8 and -0.8, and one has none: the first two say what is covered, the last how often the test at 5 % rejects
what is true. Monte-Carlo errors stand beside (2,000 runs: 0.5 points).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mechcot.analyses.likert.design import plan_of
from mechcot.analyses.likert.power import MARGINAL, SHARES
from mechcot.core import files
from mechcot.core.errors import AnalysisError
from mechcot.stats.ordinal import Ratings, fit_ordinal
from mechcot.stats.ordinal_mixed import fit_mixed
from mechcot.stats.rating_draws import Plan, Shares, draw_ratings

EFFECTS = np.array([0.0, 0.8, -0.8, 0.0])
ALPHA = 0.05


@dataclass(frozen=True)
class Cell:
    """A study of ratings.

    Attributes:
        name: of the row.
        participants: all conditions together.
        questions: different ones.
        scales: ratings of one effect that a participant gives of a question.
        shares: what is shared.
        model: "margin", or "conditional" with standard deviations in place of shares.
    """

    name: str
    participants: int = 100
    questions: int = 12
    scales: int = 3
    shares: Shares = SHARES
    model: str = "margin"


CELLS = (
    Cell("as assumed by the power, three scales"),
    Cell("one scale", scales=1),
    Cell("24 questions", questions=24),
    Cell("raters share 0.5", shares=Shares(0.5, 0.05, 0.05, 0.2)),
    Cell("texts share 0.15", shares=Shares(0.25, 0.05, 0.15, 0.2)),
    Cell("texts share nothing", shares=Shares(0.25, 0.05, 0.0, 0.2)),
    Cell("48 participants", participants=48),
    Cell("200 participants", participants=200),
)
CONDITIONAL = Cell(
    "conditional, SD 1, 0.4 and 0.4", scales=1, shares=Shares(1.0, 0.4, 0.4, 0.0), model="conditional"
)
Held = tuple[int, int, int, int]


def one_run(cell: Cell, seed: int) -> Held:
    """Intervals that hold their effect, intervals, rejections of no effect, tests."""
    rng = np.random.default_rng(seed)
    plan = plan_of(cell.participants, len(EFFECTS), cell.questions, 6)
    if cell.model == "conditional":
        return _conditional(plan, cell.shares, rng)
    fit = fit_ordinal(draw_ratings(plan, EFFECTS, cell.shares, MARGINAL, rng, scales=cell.scales))
    held = 0
    for group in (1, 2):
        found = fit.contrast(group, 0).log_odds
        held += found.low is not None and found.high is not None and found.low <= EFFECTS[group] <= found.high
    p = fit.contrast(3, 0).p
    return held, 2, int(p is not None and p < ALPHA), 1


def _conditional(plan: Plan, sd: Shares, rng: np.random.Generator) -> Held:
    try:
        fit = fit_mixed(_drawn(plan, sd, rng))
    except AnalysisError:
        return 0, 2, 0, 1
    ends = [fit.contrast(group, 0) for group in (1, 2, 3)]
    held = [
        one.low is not None and one.high is not None and one.low <= EFFECTS[number] <= one.high
        for number, one in enumerate(ends, start=1)
    ]
    return int(held[0]) + int(held[1]), 2, int(not held[2]), 1


def _drawn(plan: Plan, sd: Shares, rng: np.random.Generator) -> Ratings:
    """Ratings of one scale with normal raters, items and texts, standard deviations in place of shares."""
    empty = draw_ratings(plan, EFFECTS, Shares(0, 0, 0, 0), MARGINAL, rng)
    texts = plan.group * (int(plan.item.max()) + 1) + plan.item
    latent = EFFECTS[plan.group] + rng.logistic(size=len(plan.rater))
    for size, level in ((sd.rater, plan.rater), (sd.item, plan.item), (sd.text, texts)):
        latent = latent + size * rng.normal(size=int(level.max()) + 1)[level]
    cuts = np.cumsum(MARGINAL)[:-1]
    value = np.searchsorted(np.log(cuts / (1 - cuts)), latent).astype(np.int64)
    return replace(empty, value=value)


def coverage(cell: Cell, seeds: range, each: Callable[..., Any] = map) -> dict[str, Any]:
    """A row of the table."""
    sums = np.sum(list(each(partial(one_run, cell), seeds)), axis=0)
    held, rejected = float(sums[0] / sums[1]), float(sums[2] / sums[3])
    runs = len(seeds)
    return {
        "name": cell.name,
        "runs": runs,
        "covered": held,
        "covered_error": float(np.sqrt(held * (1 - held) / runs)),  # two intervals a run: at most this
        "null_rejected": rejected,
        "null_error": float(np.sqrt(rejected * (1 - rejected) / runs)),
    }


def main() -> None:
    """Run all cells and write the table."""
    os.environ["OMP_NUM_THREADS"] = "1"
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=2000, help="of each population-averaged cell")
    parser.add_argument("--conditional-runs", type=int, default=400)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True, help="the table to write")
    arguments = parser.parse_args()
    rows = []
    with ProcessPoolExecutor(arguments.processes) as pool:
        each = partial(pool.map, chunksize=25)
        for number, cell in enumerate((*CELLS, CONDITIONAL)):
            runs = arguments.conditional_runs if cell.model == "conditional" else arguments.runs
            row = coverage(cell, range(1_000_000 * number, 1_000_000 * number + runs), each)
            print(row, flush=True)
            rows.append(row)
    files.write_json(arguments.out, {"effects": EFFECTS.tolist(), "cells": rows})


if __name__ == "__main__":
    main()
