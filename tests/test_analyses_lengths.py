"""Two readers that agree equally often at every prefix of short and of long traces commit equally early."""

import numpy as np
import pandas as pd
import pytest

from mechcot.analyses.commitment.analysis import compare, curves
from mechcot.analyses.commitment.locks import matched


def author(arm, steps, seed):
    return curves(*tables(arm, steps, seed))


def tables(arm, steps, seed, name="q"):
    rng = np.random.default_rng(seed)
    keys = [(f"{name}{q:03}", cid) for q in range(150) for cid in range(4)]
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
    return forced, traces, cut


def test_arms_that_differ_only_in_length_differ_only_in_the_lock_over_all_prefixes():
    found = compare(author("base", 3, 0), author("new", 9, 1))
    moved = found.differences
    assert moved["locked_at_prompt"].high < -0.2  # 0.9^4 against 0.9^10: length, and nothing else
    for name in ("agrees_at_prompt", "locked_by_count", "locked_by_horizon"):
        assert abs(moved[name].estimate) < 0.05
        assert moved[name].low < 0.0 < moved[name].high
    matched_lock = found.matched["locked_at_prompt"]
    assert matched_lock.low < 0.0 < matched_lock.high
    assert matched_lock.estimate == pytest.approx(moved["locked_by_count"].estimate)
    for held in ("held_2", "changes"):  # over as many prefixes, holds are no more frequent either
        assert found.matched[held].low < 0.0 < found.matched[held].high
    assert moved["held_3"].low > 0.03  # over all of them they are: more prefixes, more chances
    assert found.n_equal_length == (0, 0)
    assert found.equal_length["locked_at_prompt"].difference.estimate is None


def test_over_traces_of_equal_length_what_length_alone_moves_does_not_move():
    mixed = [curves(*(pd.concat(parts) for parts in zip(*pair, strict=True))) for pair in (
        (tables("base", 3, 0, "a"), tables("base", 6, 1, "b")),
        (tables("new", 6, 2, "b"), tables("new", 9, 3, "c")),
    )]  # fmt: skip
    found = compare(*mixed)
    assert found.differences["locked_at_prompt"].high < -0.05
    equal = found.equal_length["locked_at_prompt"]
    assert equal.difference.low < 0.0 < equal.difference.high
    assert found.n_equal_length == (600, 600)
    own = [
        one.locks[one.locks["last_k"] == 6] for one in mixed
    ]  # one length is shared: it is all that counts
    for side, table in zip((equal.before, equal.after), own, strict=True):
        assert side.estimate == pytest.approx((table["lock"] == 0).mean())


def test_matched_prefixes_are_the_spread_and_the_first_ones():
    agrees = np.array([[1, 0, 1, 0, 1], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [0, 1, 1, 0, 1]], bool)
    spread, first = matched(agrees, np.array([0.0, 0, 0, 1]), np.array([4, 4, 1, 4]))
    assert spread[:2].tolist() == [1.0, 0.0]
    assert first[:2].tolist() == [0.0, 1.0]
    assert np.isnan([spread[2], first[2]]).all()
    assert (spread[3], first[3]) == (1.0, 0.0)  # from prefix 1: 1, 2 (2.5 is rounded to even), 4
