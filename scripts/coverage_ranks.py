"""How often the intervals of what a probe is good for cover the truth, with the scorers held fixed.

    python scripts/coverage_ranks.py --write    # docs/coverage-ranks.json, a table in docs/probes.md; minutes

Every run draws questions of four traces of five steps in five folds; how often they err, and the level of
their scores, differ from question to question. The truth is the mean over 4,000 further studies of as many
questions. Average precision, the area under the risk-coverage curve of the mean score and that of a second
score less it: by the jackknife that reports give, and by the percentile bootstrap of questions that earlier
ones gave. Recall at 5 % of false alarms: by the bootstrap, which reports give.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mechcot.core.files import read_json, write_json, write_text
from mechcot.probe.folds import Rows
from mechcot.probe.ranks import UNIT, _Ranked, _resampled, average_precision_interval
from mechcot.probe.use import _risk_coverage
from mechcot.stats import Interval, jackknife_interval, percentile_interval, resampled_counts
from mechcot.stats.jackknife import left_out_counts

DOCS = Path(__file__).parent.parent / "docs"
OUT, PAGE = DOCS / "coverage-ranks.json", DOCS / "probes.md"
QUESTIONS, TRACES, STEPS, FOLDS, DRAWS, TRUE = (12, 30), 4, 5, 5, 400, 4000
LABEL = {
    "precision": "average precision",
    "precision, bootstrap": "by bootstrap",
    "area": "area",
    "area, bootstrap": "by bootstrap",
    "difference": "difference of areas",
    "difference, bootstrap": "by bootstrap",
    "recall": "recall at .05, bootstrap",
}
Arrays = dict[str, NDArray[Any]]


def study(n: int, rng: np.random.Generator) -> Arrays:
    """Labels, folds, questions and a score of steps [questions * traces * steps]; two scores of traces."""
    shape = (n, TRACES, STEPS)
    hard, level = rng.normal(-1.2, 1.0, (n, 1, 1)), rng.normal(0, 0.7, (n, 1, 1))
    y = (rng.random(shape) < 1 / (1 + np.exp(-hard))).astype(int)
    score = 1.2 * y + level + rng.normal(size=shape)
    return {
        "y": y.ravel(),
        "score": score.ravel(),
        "qid": np.repeat(np.arange(n), TRACES * STEPS),
        "fold": np.repeat(np.arange(n) % FOLDS, TRACES * STEPS),
        "bad": y.any(axis=2).ravel(),
        "risk": score.mean(axis=2).ravel(),
        "other": (0.4 * y.any(axis=2) + rng.normal(size=shape[:2])).ravel(),
        "owner": np.repeat(np.arange(n), TRACES),
        "trace_fold": np.repeat(np.arange(n) % FOLDS, TRACES),
    }


def areas(own: Arrays, counts: NDArray[Any]) -> NDArray[np.float64]:
    """The first score's area, and the second's less it, [2, rows], under counts [rows, questions]."""
    weight = counts[:, own["owner"]].astype(np.float64)
    first, second = (
        _risk_coverage(own[name], own["bad"], own["trace_fold"], weight)[:, 0] for name in ("risk", "other")
    )
    return np.stack([first, second - first])


def points(own: Arrays) -> dict[str, float]:
    """The statistics of one study."""
    ranked = _Ranked.of(own["score"], Rows(own["y"], own["qid"], own["fold"]))
    ones = np.ones((1, len(own["y"])))
    area, difference = areas(own, np.ones((1, int(own["qid"].max()) + 1)))[:, 0]
    precision, recall = ranked.precision(ones)[0], ranked.recall(ones, 0.05)[0][0]
    return {"precision": precision, "area": area, "difference": difference, "recall": recall}


def intervals(own: Arrays, seed: int) -> dict[str, Interval]:
    """What reports give, and what earlier ones gave."""
    rows, n, found = Rows(own["y"], own["qid"], own["fold"]), int(own["qid"].max()) + 1, points(own)
    ranked = _Ranked.of(own["score"], rows)
    drawn = [
        _resampled(statistic, own["qid"], DRAWS, seed)[0]
        for statistic in (ranked.precision, lambda counts: ranked.recall(counts, 0.05)[0])
    ]
    left = np.concatenate([areas(own, counts) for counts in left_out_counts(n, 1)], axis=1)
    again = np.concatenate([areas(own, counts) for counts in resampled_counts(n, DRAWS, seed)], axis=1)
    told = {
        "precision": average_precision_interval(own["score"], rows),
        "precision, bootstrap": percentile_interval(found["precision"], drawn[0], n, unit=UNIT),
        "recall": percentile_interval(found["recall"], drawn[1], n, unit=UNIT),
    }
    for i, name in enumerate(("area", "difference")):
        told[name] = jackknife_interval(found[name], left[i], logit=name == "area", unit="questions")
        told[f"{name}, bootstrap"] = percentile_interval(found[name], again[i], n)
    return told


def measured(n: int, runs: int, seed: int = 0) -> dict[str, Any]:
    """Share of runs in which each interval holds the truth; without an interval it does not."""
    rng = np.random.default_rng([seed, n])
    told = [points(study(n, rng)) for _ in range(max(TRUE * runs // 2000, 10))]
    truth = {name: float(np.nanmean([one[name] for one in told])) for name in told[0]}
    held = dict.fromkeys(LABEL, 0)
    for run in range(runs):
        for name, one in intervals(study(n, rng), run).items():
            if one.low is not None and one.high is not None:
                held[name] += int(one.low <= truth[name.partition(",")[0]] <= one.high)
    return {"questions": n, "runs": runs, **{name: round(count / runs, 4) for name, count in held.items()}}


def table(rows: list[dict[str, Any]]) -> str:
    """As on the page."""
    lines = [["questions", *LABEL.values()], ["---"] * (1 + len(LABEL))]
    lines += [[str(row["questions"]), *(f"{row[name]:.3f}" for name in LABEL)] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Measure, and write what was measured; without --write the page from the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--write", action="store_true", help="measure all, and put it into docs/")
    given = parser.parse_args()
    if given.write:
        write_json(OUT, [measured(n, given.runs) for n in QUESTIONS])
    rows = read_json(OUT)
    print(table(rows))
    marks = r"(?s)(<!-- coverage-ranks -->\n).*?(\n<!-- /coverage-ranks -->)"
    page = PAGE.read_text(encoding="utf-8")
    write_text(PAGE, re.sub(marks, lambda found: f"{found[1]}{table(rows)}{found[2]}", page))


if __name__ == "__main__":
    main()
