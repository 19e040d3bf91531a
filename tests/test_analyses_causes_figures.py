"""Titles of the figure of swapped steps: short, and what the intervals allow."""

from __future__ import annotations

from typing import Any

import pytest

from mechcot.analyses.causes.figures import causes
from mechcot.analyses.causes.result import ALL, CORE, RATIONALE, RIGHT, TOTAL, WRONGNESS

MORE, FEWER, UNCLEAR = (0.02, 0.08), (-0.08, -0.02), (-0.03, 0.03)


def _result(**kinds: tuple[float, float]) -> dict[str, Any]:
    names = {"rationale": RATIONALE, "core": CORE, "all": ALL}
    rows = []
    for key, (low, high) in kinds.items():
        leaf = {"estimate": (low + high) / 2, "low": low, "high": high}
        rows.append(
            {"estimand": TOTAL, "measure": RIGHT, "what": WRONGNESS, "kind": names[key], "before": leaf,
             "after": leaf, "n_steps": {"before": 9, "after": 9}}
        )  # fmt: skip
    return {"effects": rows, "before": "base", "after": "distilled", "draws": 4}


@pytest.mark.parametrize(
    ("kinds", "title"),
    [
        (
            {"rationale": MORE, "core": MORE, "all": MORE},
            "With wrong steps repaired, distilled is right more often (rationale, core, all steps)",
        ),
        (
            {"rationale": UNCLEAR, "core": FEWER, "all": UNCLEAR},
            "With wrong steps repaired, distilled is right less often (core)",
        ),
        (
            {"rationale": MORE, "core": FEWER, "all": UNCLEAR},
            "With wrong steps repaired, distilled is right more often (rationale) and less often (core)",
        ),
        ({"all": UNCLEAR}, "With wrong steps repaired, no clear change of how often distilled is right"),
    ],
)
def test_the_title_says_which_way_in_one_line(kinds: dict[str, tuple[float, float]], title: str) -> None:
    assert causes(_result(**kinds)).layout.meta["statement"] == title
    assert len(title) <= 110
