"""The committed tables on ratings: what they say, and a small part of each made again."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from mechcot.stats.ordinal_mixed import TERMS

ROOT = Path(__file__).parent.parent
COVERAGE = runpy.run_path(str(ROOT / "scripts" / "coverage_likert.py"))
CLMM = runpy.run_path(str(ROOT / "scripts" / "likert_clmm.py"))


def table(name):
    return json.loads((ROOT / "docs" / name).read_text())


def test_intervals_cover_and_a_true_null_is_rarely_rejected():
    rows = table("likert-coverage.json")["cells"]
    assert [row["name"] for row in rows] == [
        cell.name for cell in (*COVERAGE["CELLS"], COVERAGE["CONDITIONAL"])
    ]
    for row in rows:
        assert row["runs"] >= 400
        assert 0.93 <= row["covered"] <= 0.97, row
        assert 0.03 <= row["null_rejected"] <= 0.07, row


def test_the_page_quotes_the_table():
    page = (ROOT / "docs" / "likert.md").read_text()
    for row in table("likert-coverage.json")["cells"]:
        quoted = f"| {row['name']} | {row['runs']:,} | {100 * row['covered']:.1f} "
        assert quoted in page, quoted
        assert f"| {100 * row['null_rejected']:.1f} " in page.partition(quoted)[2].partition("\n")[0]


def test_a_few_runs_cover_as_the_table_says():
    """Binomial: 60 intervals of a true 95 % hold fewer than 50 once in 2,000 times."""
    cell = COVERAGE["CELLS"][1]
    row = COVERAGE["coverage"](cell, range(7_000_000, 7_000_030))
    assert row["covered"] >= 50 / 60
    assert row["null_rejected"] <= 7 / 30


def test_the_conditional_fit_is_that_of_clmm():
    cases = table("likert-clmm.json")["cases"]
    assert [(row["seed"], tuple(row["shares"])) for row in cases] == [
        (case["seed"], case["shares"]) for case in CLMM["CASES"]
    ]
    for row in cases:
        assert max(row["largest_difference"].values()) < 1e-3
    first = cases[0]
    own, other = CLMM["here"](CLMM["ratings_of"](first["seed"], first["shares"])), first["clmm"]
    assert own["effects"] == pytest.approx(other["effects"], abs=1e-3)
    assert own["se"] == pytest.approx(other["se"], abs=1e-3)
    assert [own["sd"][term] for term in TERMS] == pytest.approx(
        [other["sd"][term] for term in TERMS], abs=1e-3
    )
    assert own["log_likelihood"] == pytest.approx(other["log_likelihood"], abs=1e-3)
