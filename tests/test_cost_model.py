"""The page on scale has the committed errors of the cost model, and they are of that size."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

from mechcot.pipeline.estimate.machines import table

ROOT = Path(__file__).parent.parent
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "cost_model.py"))
TOLD = json.loads(SCRIPT["OUT"].read_text())


def test_the_page_has_the_committed_rows() -> None:
    assert SCRIPT["BEGIN"] + SCRIPT["page"](TOLD) + SCRIPT["END"] in SCRIPT["PAGE"].read_text()


def test_what_it_was_fitted_on_is_not_what_it_is_held_against() -> None:
    assert TOLD["study"] not in TOLD["fitted on"]
    assert TOLD["fitted on"] == table()["fitted on"]
    assert TOLD["not foretold"] == []


def test_the_whole_is_foretold_within_a_factor_of_one_and_a_half_and_a_stage_within_three() -> None:
    rows = [row for row in TOLD["rows"] if row["took"] >= 2.0]
    whole = sum(row["predicted"] for row in rows) / sum(row["took"] for row in rows)
    assert 1 / 1.5 < whole < 1.5
    assert all(1 / 3 < row["predicted"] / row["took"] < 3 for row in rows)


def test_another_model_on_another_machine_is_foretold_within_a_factor_of_five() -> None:
    assert all(1 / 5 < row["predicted"] / row["took"] < 5 for row in TOLD["real"])
