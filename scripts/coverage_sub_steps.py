"""How often the intervals of what is read of sub-steps hold the truth, the maps fitted anew in every run.

    python scripts/coverage_sub_steps.py --runs 300 --write    # docs/sub-steps-coverage.json, docs/traces.md

Every run draws entities with random codes, questions about them and states. *Nothing*: states that belong to
the entity and say nothing of its code, so that the truth is one half; and two arms with such states, whose
difference is 0. *A difference*: one arm whose states hold the code under noise, and one in which they hold
less of it; the truth is the mean over all runs. *Maps held*: the interval of entities alone, no draws of
folds in it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mechcot.analyses.sub_steps.analysis import less, share
from mechcot.analyses.sub_steps.decoding import Values, read_values, values_of
from mechcot.core import files
from mechcot.core.words import percent
from mechcot.stats import ratio_interval

DOCS = Path(__file__).parent.parent / "docs"
OUT, PAGE = DOCS / "sub-steps-coverage.json", DOCS / "traces.md"
START, END = "<!-- sub-steps-coverage -->", "<!-- /sub-steps-coverage -->"
SIZES = ((40, 40), (120, 80))
"""Questions, and entities that they are about."""
WIDTH, OTHERS = 24, 3
NOISE = (2.0, 4.0)
"""Of the two arms that differ, against codes of standard deviation 1."""
Floats = NDArray[np.float64]


def drawn(n: int, entities: int, rng: np.random.Generator) -> tuple[Values, Floats, NDArray[np.int64]]:
    """Values that compete, the codes of the right ones, and whom questions are about."""
    codes, who = rng.standard_normal((entities, WIDTH)), np.arange(n) % entities
    apart = rng.permuted(np.tile(np.arange(1, 20), (n, 1)), axis=1)[:, :OTHERS]
    ways = [(one, *more) for one, more in zip(who, (who[:, None] + apart) % entities, strict=True)]
    return values_of([[codes[i] for i in own] for own in ways], ways), codes[who], who


def sums_of(states: Floats, values: Values, who: NDArray[np.int64], seed: int) -> tuple[Floats, Floats]:
    """What the analysis makes its intervals of."""
    qid = [str(i) for i in range(len(who))]
    found = read_values({0: states}, values, qid, [str(one) for one in who], said=False, seed=seed)
    n = int(who.max()) + 1
    num = np.stack([np.bincount(who, weights=draw, minlength=n) for draw in found.beats])
    return num, np.bincount(who, minlength=n).astype(np.float64)


def run(n: int, entities: int, seed: int) -> dict[str, Any]:
    """The intervals of one study: estimate, low and high."""
    rng = np.random.default_rng(seed)
    values, codes, who = drawn(n, entities, rng)
    empty = [rng.standard_normal((entities, WIDTH))[who] + rng.standard_normal((n, WIDTH)) for _ in range(2)]
    turn = np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))[0]
    holds = [codes @ turn + noise * rng.standard_normal((n, WIDTH)) for noise in NOISE]
    none, other, more, fewer = (sums_of(states, values, who, seed) for states in (*empty, *holds))
    found = {
        "nothing": share(none),
        "nothing, maps held": ratio_interval(none[0].mean(axis=0), none[1]),
        "nothing, difference": less(none, other),
        "a difference": less(more, fewer),
    }
    return {name: (one.estimate, one.low, one.high) for name, one in found.items()}


def measured(runs: int) -> list[dict[str, Any]]:
    """How often each interval holds, by size."""
    rows = []
    for n, entities in SIZES:
        every = [run(n, entities, 1000 + seed) for seed in range(runs)]
        for name in every[0]:
            values = np.array([one[name] for one in every], dtype=np.float64)
            truth = {"nothing": 0.5, "nothing, maps held": 0.5, "nothing, difference": 0.0}.get(
                name, float(values[:, 0].mean())
            )
            holds = (values[:, 1] <= truth) & (truth <= values[:, 2])
            rows.append(
                {
                    "questions": n, "entities": entities, "what": name, "runs": runs,
                    "mean": round(float(values[:, 0].mean()), 4), "holds": round(float(holds.mean()), 4),
                }
            )  # fmt: skip
            print(rows[-1], flush=True)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The outcomes in Markdown."""
    lines = [
        "| simulated | questions, entities | runs | mean | 95 % interval holds it |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        error = 100 * np.sqrt(row["holds"] * (1 - row["holds"]) / row["runs"])
        lines.append(
            f"| {row['what']} | {row['questions']}, {row['entities']} | {row['runs']} | {row['mean']:.3f} | "
            f"{percent(row['holds'])} (± {error:.1f}) |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--write", action="store_true", help="put the table into docs/traces.md")
    given = parser.parse_args()
    rows = measured(given.runs)
    if given.write:
        files.write_json(OUT, {"rows": rows})
        head, _, rest = files.read_text(PAGE).partition(START)
        files.write_text(PAGE, f"{head}{START}\n{table(rows)}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
