"""What the coverage script puts together is the package's own, and its table is whole."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from mechcot.stats import ratio_difference_interval

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "coverage_intervals.py"))


def test_all_runs_at_once_are_each_run_by_itself():
    e0, m0, e1, m1 = SCRIPT["step_counts"](20, 9, 0.3, True, np.random.default_rng(0))
    weight = sum(m / m.sum(axis=1, keepdims=True) for m in (m0, m1))
    (r0, w0), (r1, w1) = SCRIPT["_left_out"](e0, m0), SCRIPT["_left_out"](e1, m1)
    held, width = SCRIPT["_covered"](r1 - r0, w1 - w0, weight, 0.25)
    found = [ratio_difference_interval(*arms) for arms in zip(e0, m0, e1, m1, strict=True)]
    assert held == np.mean([one.low <= 0.25 <= one.high for one in found])
    assert width == pytest.approx(np.mean([one.high - one.low for one in found]))


def test_a_small_run_of_every_experiment_finds_shares():
    for name in ("calibration", "split", "hedge", "mcnemar", "pooled"):
        rows = SCRIPT["MEASURED"][name](1)
        shares = [
            v for row in rows for name_, v in row.items() if name_.startswith(("p <", "total", "difference"))
        ]
        assert all(0 <= value <= 1 for value in shares)
        assert SCRIPT["table"](rows).count("\n") == len(rows) + 1


def test_what_is_committed_keeps_to_its_limits_and_stands_on_the_page():
    found = json.loads((ROOT / "docs" / "intervals.json").read_text())
    page = (ROOT / "docs" / "intervals.md").read_text()
    for name, own in found.items():
        assert own["runs"] == 2000
        assert SCRIPT["table"](own["rows"]) in page, name
    for row in found["differences"]["rows"]:
        assert 0.93 <= row["difference"] <= 0.97
    for row in found.get("calibration", {"rows": []})["rows"]:
        assert row["squared error"] >= 0.93
        if min(abs(row["off before"]), abs(row["off after"])) >= 0.1:
            assert row["squared error"] <= 0.97
        assert 0.93 <= row["signed gap"] <= 0.97
        assert 0.93 <= row["slope"] <= 0.97
    for row in found.get("split", {"rows": []})["rows"]:
        assert all(0.93 <= row[term] <= 0.97 for term in ("total", "composition", "within"))
        assert row["unshared"] >= 0.93
    for row in found.get("mcnemar", {"rows": []})["rows"]:
        assert row["p <= .05"] <= 0.07
        assert row["questions"] < 30 or row["p <= .05"] >= 0.03
    for name in ("gee", "pooled"):
        for row in found.get(name, {"rows": []})["rows"]:
            assert row["difference"] >= 0.93
    for row in found.get("agreement", {"rows": []})["rows"]:
        least = 0.92 if row["questions"] < 12 else 0.93  # AC2 of six questions: 0.924
        assert min(value for cell, value in row.items() if cell != "questions") >= least
    for row in found.get("both_right", {"rows": []})["rows"]:
        if row["questions"] >= 30:
            assert min(value for cell, value in row.items() if cell.endswith("end")) >= 0.93
    for row in found.get("hedge", {"rows": []})["rows"]:
        assert 0.03 <= row["p <= .05"] <= 0.07
        assert 0.46 <= row["p <= .5"] <= 0.54
        assert row["covers .5"] >= 0.93
