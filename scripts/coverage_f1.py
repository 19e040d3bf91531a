"""How often the interval of a judge's F1 on step labels holds the truth (docs/sharing.md).

    python scripts/coverage_f1.py --write

Problems have several solutions, half of them with an error. A judge finds the first error of a solution with
one probability and calls nothing in a right solution with another, both moved by an effect of the problem
that its solutions share. The truth is the harmonic mean of the two means over all problems. Prints a table;
with --write it stands in docs/sharing.md.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from mechcot.analyses.judge_accuracy.analysis import f1_interval

PAGE = Path(__file__).parent.parent / "docs" / "sharing.md"
BLOCK = re.compile(r"<!-- coverage_f1\.py -->\n.*?<!-- /coverage_f1\.py -->", re.S)
CELLS = ((20, 2), (20, 8), (50, 2), (50, 8), (200, 2), (200, 8))
"""Problems, and solutions of each."""
FOUND, CLEAN, SPREAD = 0.0, 2.0, 1.0
"""Log odds of the two, and the problems' standard deviation around them."""


def truth() -> float:
    """F1 over all problems, by Gauss and Hermite."""
    points, weights = np.polynomial.hermite_e.hermegauss(60)
    means = [float((weights * expit(at + SPREAD * points)).sum() / weights.sum()) for at in (FOUND, CLEAN)]
    return 2 * means[0] * means[1] / sum(means)


def drawn(problems: int, each: int, rng: np.random.Generator) -> pd.DataFrame:
    """Counts by problem; half of a problem's solutions have an error."""
    effect = SPREAD * rng.standard_normal(problems)
    half = each // 2
    return pd.DataFrame(
        {
            "found": rng.binomial(half, expit(FOUND + effect)),
            "wrong": half,
            "clean": rng.binomial(each - half, expit(CLEAN + effect)),
            "right": each - half,
        }
    )


def coverage(problems: int, each: int, draws: int, seed: int = 0) -> tuple[float, float, int]:
    """Share of intervals that hold the truth, their median width, and draws without an interval."""
    rng, wanted = np.random.default_rng([seed, problems, each]), truth()
    found = [f1_interval(drawn(problems, each, rng)) for _ in range(draws)]
    ends = np.array([(one.low, one.high) for one in found if one.low is not None and one.high is not None])
    inside = (ends[:, 0] <= wanted) & (wanted <= ends[:, 1])
    return float(inside.mean()), float(np.median(ends[:, 1] - ends[:, 0])), draws - len(ends)


def table(draws: int) -> str:
    """The table of all cells."""
    lines = [
        f"| problems | solutions of each | 95 % interval holds, of {draws:,} draws | median width "
        "| no interval |",
        "|---|---|---|---|---|",
    ]
    for problems, each in CELLS:
        share, width, none = coverage(problems, each, draws)
        lines.append(f"| {problems} | {each} | {100 * share:.1f} % | {width:.2f} | {none} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table, or write it into the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--write", action="store_true", help="into docs/sharing.md")
    asked = parser.parse_args()
    made = table(asked.draws)
    print(made)
    if asked.write:
        block = f"<!-- coverage_f1.py -->\n{made}\n<!-- /coverage_f1.py -->"
        PAGE.write_text(BLOCK.sub(lambda _: block, PAGE.read_text()))


if __name__ == "__main__":
    main()
