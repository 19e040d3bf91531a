"""The page on scale has the rows of the committed measurement."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_page_has_the_committed_rows() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "table_scale.py"))
    rows = json.loads((ROOT / "docs" / "table-scale.json").read_text())["rows"]
    page = script["PAGE"].read_text()
    assert script["BEGIN"] + script["table"](rows) + script["END"] in page
    assert script["PLOT"].read_text() == script["plot"](rows)
    large = {row["analysis"]: row["peak_bytes"] for row in rows if row["traces"] == 1_000_000}
    assert {"audit", "commitment", "report"} <= large.keys()
    assert max(large.values()) < 4 * 2**30
