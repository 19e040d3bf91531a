"""Planted knowledge: what the intervals of the fixed list say where only one thing has changed.

    python scripts/planted_knowledge.py --write   # docs/planted-knowledge.json

Tables of a list of facts are drawn: subjects differ in how well they are known, and a fact that is known
alone is first in its place with a chance of its own. Then the arm after differs in nothing, in what is known
alone, or in what is reached in its place. An interval of what did not change should cover 0 in .95 of the
draws; one of what did should lie off it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from mechcot.analyses.knowledge.facts import ALL, cell_of
from mechcot.core.fact_records import FORMS

OUT = Path(__file__).parent.parent / "docs" / "planted-knowledge.json"
SUBJECTS, RELATIONS, RUNS = 60, 12, 2000
WORLDS = {
    # chance that a fact is known alone, and that a known one is first in its place: before, after
    "nothing changed": ((0.6, 0.6), (0.7, 0.7)),
    "only knowledge changed": ((0.6, 0.4), (0.7, 0.7)),
    "only knowledge changed, no gap": ((0.6, 0.4), (1.0, 1.0)),
    "only the form changed": ((0.6, 0.6), (0.7, 0.4)),
}
GROUPS = pd.Series(np.repeat(np.arange(SUBJECTS), RELATIONS))


def drawn(rng: np.random.Generator, known: float, reached: float) -> dict[str, npt.NDArray[np.int8]]:
    """Whether each fact is known alone and in its place, [facts] each; subjects differ by a beta of sum 4."""
    own = rng.beta(4 * known, 4 * (1 - known), (SUBJECTS, 1))
    alone = rng.random((SUBJECTS, RELATIONS)) < own
    placed = alone & (rng.random(alone.shape) < reached)
    return dict(zip(FORMS, (own.ravel().astype(np.int8) for own in (alone, placed)), strict=True))


def run(world: str, runs: int, seed: int = 0) -> dict[str, float]:
    """Shares of draws in which intervals of changes cover 0, and mean shares of the classes.

    An interval that does not exist, because nothing differs between subjects, covers what it should: 0.
    """
    (known0, known1), (reached0, reached1) = WORLDS[world]
    rng = np.random.default_rng([seed, *world.encode()])
    counts: dict[str, float] = defaultdict(float)
    for _ in range(runs):
        before, after = drawn(rng, known0, reached0), drawn(rng, known1, reached1)
        cell = cell_of(ALL, GROUPS, after, before)
        changes = {
            "known alone": cell.bare.change,
            "known in place": cell.placed.change,
            "gap": cell.change_gap,
            "not reached": cell.change_not_reached,
        }
        for name, one in changes.items():
            assert one is not None
            covers = one.estimate == 0 if one.low is None or one.high is None else one.low <= 0 <= one.high
            counts[f"covers 0: {name}"] += covers / runs
        for name, share in (cell.bare.classes or {}).items():
            counts[f"mean share: {name}"] = (
                counts.get(f"mean share: {name}", 0) + (share.estimate or 0) / runs
            )
    return {name: round(value, 4) for name, value in counts.items()}


def main() -> None:
    """Draw all worlds; print what was found, or write it."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--write", action="store_true", help=f"write {OUT.name}")
    options.add_argument("--runs", type=int, default=RUNS)
    given = options.parse_args()
    found = {
        "runs": given.runs,
        "subjects": SUBJECTS,
        "facts_each": RELATIONS,
        "worlds": {world: run(world, given.runs) for world in WORLDS},
    }
    text = json.dumps(found, indent=1) + "\n"
    if given.write:
        OUT.write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
