"""All measures of commitment from the table of forced answers: how long they take.

    python benchmarks/commitment.py [--traces 1000] [--steps 15] [--rounds 3] [--json]

The tables are drawn at random: traces of `--steps` steps, four of a question, four options. Two results and
their comparison are made: curves by steps, share and tokens, right and wrong answers apart, chance and
matched levels, all intervals. One thread; the least processor time of the rounds counts.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy reads it

import argparse
import json
import platform
import time
from typing import Any

import numpy as np
import pandas as pd

import mechcot


def main() -> None:
    """Time the measures and print seconds of processor time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--traces", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    tables = [_tables(options.traces, options.steps, seed) for seed in (0, 1)]
    seconds: dict[str, list[float]] = {"one result": [], "two and their comparison": []}
    for _ in range(options.rounds):
        start = time.process_time()
        first = mechcot.commitment.curves(*tables[0])
        seconds["one result"].append(time.process_time() - start)
        mechcot.commitment.compare(first, mechcot.commitment.curves(*tables[1]))
        seconds["two and their comparison"].append(time.process_time() - start)
    found: dict[str, Any] = {what: round(min(each), 2) for what, each in seconds.items()}
    found |= {"traces": options.traces, "steps": options.steps, "machine": platform.machine()}
    lines = [f"{what}: {value}" for what, value in found.items()]
    print(json.dumps(found) if options.json else "\n".join(lines))


def _tables(n: int, steps: int, seed: int) -> tuple[pd.DataFrame, ...]:
    """Forced answers, traces, steps, verdicts and questions of `n` traces."""
    rng = np.random.default_rng(seed)
    arm, keys = f"arm-{seed}", [(f"q{i // 4:05}", i % 4) for i in range(n)]
    traces = pd.DataFrame(keys, columns=["qid", "cid"]).assign(
        arm=arm, answer=rng.integers(0, 4, n), finish_reason="stop"
    )
    forced = pd.DataFrame([(q, c, k) for q, c in keys for k in range(steps + 1)], columns=["qid", "cid", "k"])
    forced = forced.assign(arm=arm, reader=arm, lead_in=0, permutation=0, layer=-1, raw_mass=0.5)
    forced["p"] = list(rng.dirichlet(np.full(4, 0.5), len(forced)).astype(np.float32))
    cut = pd.DataFrame([(q, c, s) for q, c in keys for s in range(steps)], columns=["qid", "cid", "sid"])
    cut = cut.assign(arm=arm, text="it may be drug b", tok_end=5 * (cut["sid"] + 1), states_answer=False)
    label = rng.choice(["correct", "erroneous", "not_checkable"], len(cut))
    names = sorted(set(traces["qid"]))
    asked = pd.DataFrame({"qid": names, "options": [["drug a", "drug b", "drug c", "drug d"]] * len(names)})
    return forced, traces, cut, cut.assign(label=label), asked.assign(gold=rng.integers(0, 4, len(names)))


if __name__ == "__main__":
    main()
