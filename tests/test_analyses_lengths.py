"""Two readers that agree equally often at every prefix of short and of long traces commit equally early."""

import numpy as np
import pandas as pd

from mechcot.analyses.commitment.analysis import compare, curves
from mechcot.analyses.commitment.locks import matched


def author(arm, steps, seed):
    rng = np.random.default_rng(seed)
    keys = [(f"q{q:03}", cid) for q in range(150) for cid in range(4)]
    traces = pd.DataFrame(
        [{"qid": q, "arm": arm, "cid": c, "answer": 0, "finish_reason": "stop"} for q, c in keys]
    )
    cut = pd.DataFrame(
        [
            {"qid": q, "arm": arm, "cid": c, "sid": sid, "states_answer": False}
            for q, c in keys
            for sid in range(steps)
        ]
    )
    forced = pd.DataFrame(
        [
            {
                "qid": q, "arm": arm, "cid": c, "k": k, "reader": arm, "lead_in": 0, "permutation": 0,
                "layer": -1, "p": [0.8, 0.2] if rng.random() < 0.9 else [0.2, 0.8], "raw_mass": 1.0,
            }
            for q, c in keys
            for k in range(steps + 1)
        ]
    )  # fmt: skip
    return curves(forced, traces, cut, draws=300)


def test_arms_that_differ_only_in_length_differ_only_in_the_lock_over_all_prefixes():
    moved = compare(author("base", 3, 0), author("new", 9, 1)).differences
    assert moved["locked_at_prompt"].high < -0.2  # 0.9^4 against 0.9^10: length, and nothing else
    for name in ("agrees_at_prompt", "locked_by_count", "locked_by_horizon"):
        assert abs(moved[name].estimate) < 0.05
        assert moved[name].low < 0.0 < moved[name].high


def test_matched_prefixes_are_the_spread_and_the_first_ones():
    assert matched(np.array([1, 0, 1, 0, 1], bool)) == (1.0, 0.0)
    assert matched(np.array([1, 1, 1, 0, 0], bool)) == (0.0, 1.0)
    assert np.isnan(matched(np.array([1, 1], bool))).all()
