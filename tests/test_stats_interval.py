from __future__ import annotations

import json

import numpy as np

from mechcot.stats import Interval, leaf


def test_leaf_never_writes_nan_or_infinity():
    for value in (None, float("nan"), float("inf"), np.float64("nan")):
        assert leaf(value, "why") == {"value": None, "reason": "why"}
    assert leaf(None)["reason"]
    assert leaf(np.float64(0.25)) == 0.25
    assert type(leaf(3)) is int


def test_interval_is_json_and_reads_as_one_line():
    whole = Interval(0.5, 0.25, 0.75, 10, "percentile")
    assert json.loads(json.dumps(whole.to_json(), allow_nan=False))["low"] == 0.25
    assert str(whole) == "0.500 [0.250, 0.750] (n=10)"
    half = Interval(0.5, None, None, 1, "percentile", "1 questions cannot be resampled")
    assert half.to_json()["estimate"] == 0.5
    assert half.to_json()["low"] == {"value": None, "reason": "1 questions cannot be resampled"}
    assert "no interval" in str(half)
    assert str(Interval(None, None, None, 0, "percentile", "no questions")) == "undefined (no questions)"
