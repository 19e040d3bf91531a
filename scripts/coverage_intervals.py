"""How often the intervals of a study cover the truth, and how often its tests reject where nothing is.

    python scripts/coverage_intervals.py                       # all of them, 2,000 runs a cell
    python scripts/coverage_intervals.py split --runs 200 --print

Writes docs/intervals.json and the tables of docs/intervals.md. The grids were fixed before anything was run.
Every run draws new questions; all intervals are the package's own, or made of
its parts for all runs at once.

- `differences`: step error after minus before and each arm's rate; 6 to 400 questions, steps of a question
  alike by an intraclass correlation of 0 or .3, as many steps in every question or very uneven ones
  (log-normal, spread 1). Beside them the percentile bootstrap of questions, which earlier versions gave.
- `calibration`: votes of 16 that are too sure by as much as the head says, in both arms.
- `split`: composition, within and unshared; kinds of step of which some come in few questions or in one arm.
  The truth is that of the population, for the kinds that the run's data call shared.
- `mcnemar`: how often the clustered test rejects at .05 where both arms are right equally often, and where
  one is right .1 more often.
- `gee`: the grid of `differences` by estimating equations.
- `pooled`: the mean difference of three judges of unequal quality on the same steps.
- `both_right`: bounds among traces right in both arms; the population's two ends, each to be covered.
- `seeds`: the mean change over students of several training seeds, questions and seeds drawn anew; a part of
  the spread of seeds is of single questions.
- `agreement`: coefficients of three judges on three labels that have an order.
- `hedge`: the held-out direction where hedging is chance, the vectors of a claim being those of its subject.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logit, stdtrit
from scipy.stats import norm

from coverage_more import both_right, coefficients, gee, mcnemar, pooled, seeds
from coverage_parts import RATES, Floats, Row, beta_of, holds, mean_of, step_counts
from mechcot.analyses.hedge.analysis import _held_out
from mechcot.stats import (
    mean_interval,
    recalibration_slope_difference,
    resampled_sums,
    signed_gap,
    split_by_kind,
    squared_calibration_difference,
)
from mechcot.stats.decomposition import _terms
from mechcot.stats.jackknife import degrees_of_freedom, standard_error

DOCS = Path(__file__).parent.parent / "docs"


def _left_out(e: Floats, m: Floats) -> tuple[Floats, Floats]:
    """A rate of each run [runs, 1], and that without each question [runs, questions]."""
    errors, steps = e.sum(axis=1, keepdims=True), m.sum(axis=1, keepdims=True)
    return errors / steps, (errors - e) / (steps - m)


def _covered(estimate: Floats, without: Floats, weight: Floats, truth: float) -> tuple[float, float]:
    """Coverage and mean width of `jackknife_interval`, from its own parts over all runs."""
    reach = stdtrit(degrees_of_freedom(weight), 0.975) * standard_error(without)
    return float((np.abs(estimate[:, 0] - truth) <= reach).mean()), float(2 * reach.mean())


def differences(runs: int) -> list[Row]:
    """Error rates and their difference; tests/test_coverage_intervals.py holds them to the package's own."""
    rows = []
    names = ("difference", "width", "rate before", "mean of questions", "bootstrap")
    for n, icc, uneven in itertools.product((6, 8, 12, 30, 100, 400), (0.0, 0.3), (False, True)):
        rng = np.random.default_rng([n, int(10 * icc), uneven])
        e0, m0, e1, m1 = step_counts(runs, n, icc, uneven, rng)
        (r0, w0), (r1, w1) = _left_out(e0, m0), _left_out(e1, m1)
        weight = sum(m / m.sum(axis=1, keepdims=True) for m in (m0, m1))
        truth = RATES[1] - RATES[0]
        held, width = _covered(r1 - r0, w1 - w0, weight, truth)
        inside = (r0 > 0) & (r0 < 1)
        odds = np.where(inside, r0, 0.5)
        reach = stdtrit(degrees_of_freedom(m0), 0.975) * standard_error(w0) / (odds * (1 - odds))[:, 0]
        rate = np.abs(logit(odds[:, 0]) - logit(RATES[0])) <= reach
        edge = (inside | (RATES[0] <= 1 - 0.025 ** (1 / n)))[:, 0]  # at 0: Clopper and Pearson's
        own = e1 / m1 - e0 / m0
        mean, _ = _covered(own.mean(axis=1, keepdims=True), _without_mean(own), np.ones_like(own), truth)
        found = [held, width, float(np.where(inside[:, 0], rate, edge).mean()), mean]
        found.append(_bootstrapped(np.stack([e0, m0, e1, m1], axis=2), truth) if n <= 30 else float("nan"))
        steps = "uneven" if uneven else "even"
        rows.append({"questions": n, "ICC": icc, "steps": steps} | mean_of([found], names))
    return rows


def _without_mean(values: Floats) -> Floats:
    return (values.sum(axis=1, keepdims=True) - values) / (values.shape[1] - 1)


def _bootstrapped(tables: Floats, truth: float) -> float:
    """Coverage of the percentile bootstrap of questions [runs, questions, columns]."""
    held = []
    for run, one in enumerate(tables):
        sums = resampled_sums(one, 200, run)
        low, high = np.quantile(sums[:, 2] / sums[:, 3] - sums[:, 0] / sums[:, 1], [0.025, 0.975])
        held.append(low <= truth <= high)
    return float(np.mean(held))


BIASES = ((0.0, 0.0), (0.1, 0.0), (0.3, 0.0), (0.1, 0.1), (0.2, 0.1), (0.3, 0.1), (0.3, 0.3), (-0.1, 0.1))


def _votes(n: int, bias: float, common: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Vote shares of 16 and whether the vote is right, `bias` less often than its share says."""
    latent = 0.25 + 0.75 * beta_of(norm.cdf(0.6 * common + 0.8 * rng.normal(size=n)), 3.0, 1.5)
    share = np.maximum(rng.binomial(16, latent), 4) / 16
    return share, (rng.random(n) < np.clip(share - bias, 0, 1)).astype(float)


def _truths(bias: float) -> tuple[float, float, float]:
    """Squared calibration error, signed gap and slope of the population."""
    rng = np.random.default_rng(1)
    share, _ = _votes(400_000, bias, rng.normal(size=400_000), rng)
    chance = np.clip(share - bias, 0, 1)
    bins, gap = (10 * share).astype(int).clip(0, 9), chance - share
    squared = (np.bincount(bins, gap) ** 2 / np.maximum(np.bincount(bins), 1)).sum() / len(share)
    return float(squared), float(-gap.mean()), float(np.polyfit(share, chance, 1)[0])


def calibration(runs: int) -> list[Row]:
    """Differences of calibration."""
    rows = []
    names = ("squared error", "width", "signed gap", "slope")
    for n, biases in itertools.product((150, 1273), BIASES):
        truth = np.subtract(_truths(biases[1]), _truths(biases[0]))
        found = []
        for run in range(runs):
            rng = np.random.default_rng([n, run])
            common = rng.normal(size=n)
            sides = [_votes(n, bias, common, rng) for bias in biases]
            square = squared_calibration_difference(*sides[0], *sides[1])
            gap = mean_interval(signed_gap(*sides[1]) - signed_gap(*sides[0]))
            slope = recalibration_slope_difference(*sides[0], *sides[1])
            held = [holds(one, value) for one, value in zip((square, gap, slope), truth, strict=True)]
            found.append([held[0], (square.high or 0.0) - (square.low or 0.0), *held[1:]])
        rows.append({"questions": n, "off before": biases[0], "off after": biases[1]} | mean_of(found, names))
    return rows


def _world(kinds: int, alone: bool) -> list[Floats]:
    """Shares and error rates of the kinds of step, before and after; some kinds are rare, two of one arm."""
    rng = np.random.default_rng([kinds, alone])
    shares = [np.sort(rng.dirichlet(np.full(kinds, 0.7)))[::-1], rng.dirichlet(np.full(kinds, 0.7))]
    if alone:
        shares[0][-2:], shares[1][0] = 0.0, 0.0
    before = rng.uniform(0.05, 0.5, kinds)
    return [
        *(s / s.sum() for s in shares),
        before,
        np.clip(before + rng.uniform(-0.1, 0.4, kinds), 0.02, 0.95),
    ]


SPLITS = ((30, 6, (20, 60)), (60, 6, (6, 12)), (150, 12, (4, 9)), (150, 12, (17, 128)), (400, 12, (6, 10)))


def split(runs: int) -> list[Row]:
    """Composition, within and unshared."""
    rows = []
    for (n, kinds, steps), alone in itertools.product(SPLITS, (False, True)):
        f0, f1, r0, r1 = _world(kinds, alone)
        population = np.concatenate([steps[0] * f0 * r0, steps[0] * f0, steps[1] * f1 * r1, steps[1] * f1])
        found, shared = [], 0
        for run in range(runs):
            rng = np.random.default_rng([n, kinds, alone, run])
            size, hard = rng.gamma(2.0, 0.5, (n, 1)), rng.beta(2.0, 2.0, (n, 1)) * 2
            judged = [rng.poisson(m * size * f) for m, f in zip(steps, (f0, f1), strict=True)]
            # a question's hardness moves all its rates and leaves their means
            chance = [np.where(r < 0.5, r * hard, 1 - (1 - r) * hard) for r in (r0, r1)]
            wrong = [rng.binomial(m, c) for m, c in zip(judged, chance, strict=True)]
            got = split_by_kind(wrong[0], judged[0], wrong[1], judged[1], [str(i) for i in range(kinds)])
            own = np.array([kind.status == "shared" for kind in got.kinds])
            truth = _terms(population[None], own)[0]
            parts = (got.total, got.common_composition, got.common_within, got.unshared)
            found.append([holds(part, value) for part, value in zip(parts, truth, strict=True)])
            shared += int(own.sum())
        known = round(float(np.mean(~np.isnan(np.array(found)[:, 3]))), 3)
        names = ("total", "composition", "within", "unshared")
        head = {"questions": n, "kinds": kinds, "steps": steps, "some of one arm": alone}
        rows.append(head | {"shared": round(shared / runs, 1)} | mean_of(found, names) | {"known": known})
    return rows


def hedge(runs: int) -> list[Row]:
    """Share of p-values below a level, and coverage of .5, where hedging is chance."""
    rows = []
    for n, subjects in itertools.product((50, 120), (15, 60)):
        found = []
        for run in range(runs):
            rng = np.random.default_rng([n, subjects, run])
            question = np.repeat(np.arange(n), 4)
            subject = rng.integers(0, subjects, len(question))
            X = rng.normal(size=(subjects, 8))[subject] + 0.3 * rng.normal(size=(len(question), 8))
            truth = rng.random(len(question)) < np.array([0.3, 0.6])[subject % 2]
            score = _held_out(0, X, truth, subject % 2, question % 2, question, 39, rng)
            assert score.shuffled is not None
            p = score.shuffled.p
            found.append([p, *(float(p <= level) for level in (0.05, 0.1, 0.5)), holds(score.auroc, 0.5)])
        names = ("mean p", "p <= .05", "p <= .1", "p <= .5", "covers .5")
        rows.append({"questions": n, "subjects": subjects} | mean_of(found, names))
    return rows


MEASURED: dict[str, Callable[[int], list[Row]]] = {
    "differences": differences, "calibration": calibration, "split": split, "hedge": hedge,
    "mcnemar": mcnemar, "gee": gee, "pooled": pooled, "both_right": both_right, "seeds": seeds,
    "agreement": coefficients,
}  # fmt: skip


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "–"
    if isinstance(value, tuple | list):
        return " and ".join(map(str, value))
    return str(value)


def table(rows: list[Row]) -> str:
    """Rows as a Markdown table."""
    head = list(rows[0])
    lines = [head, ["---"] * len(head), *([_cell(row[name]) for name in head] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Measure, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", nargs="*", choices=[*MEASURED, []])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--print", action="store_true", help="print the tables and write nothing")
    given = parser.parse_args()
    for name in given.what or MEASURED:
        rows = MEASURED[name](given.runs)
        if given.print:
            print(f"{name}\n{table(rows)}", flush=True)
            continue
        kept, page = DOCS / "intervals.json", DOCS / "intervals.md"
        found = json.loads(kept.read_text()) if kept.exists() else {}
        found[name] = {"runs": given.runs, "rows": rows}
        kept.write_text(json.dumps(found, indent=1) + "\n")
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = page.read_text().partition(start)
        page.write_text(before + start + table(rows) + "\n" + end + rest.partition(end)[2])


if __name__ == "__main__":
    main()
