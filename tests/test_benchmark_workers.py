"""What the benchmark of workers makes of its rounds."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_ratios_are_of_one_round() -> None:
    script = runpy.run_path(str(ROOT / "benchmarks" / "workers.py"))
    one = {"one process": 4.0, "two processes": 5.0, "one worker": 4.1, "two workers": 2.6}
    busy = {f"{side}, processor": seconds for side, seconds in one.items()}
    found = script["ratios"]([one | busy])
    assert found["share"] == 5.0 / 2 / 2.6
    assert found["processes"] == 2 * 4.0 / 5.0
    assert abs(found["over"] - 1.025) < 1e-9
