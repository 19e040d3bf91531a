"""Two traces step by step beside each other: the alignment that the viewer draws, as a table."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

Row = tuple[int | None, int | None, float]
"""Places of a step in both traces, None where there is none, and how alike the two are."""
_WORD = re.compile(r"[^\W_]+")
SAME, OTHERWISE, ALIKE = "same claim", "claims otherwise", "words in common"
LEAST = 0.4
"""Share of words that steps without claims have in common from which on they stand in one row (Jaccard)."""


def pair_frame(question: dict[str, Any], left: tuple[str, int], right: tuple[str, int]) -> pd.DataFrame:
    """Two traces of a question, a row for each pair of steps and each step alone, in the order of both.

    Args:
        question: as `questions_of` gives it.
        left: arm and sample of one trace.
        right: of the other.

    Returns:
        `match` ("same claim", "claims otherwise", "words in common", "" for a step alone), and of each side
        `sid`, `text` and `label`, with the side's name behind: `_before` and `_after`.
    """
    traces = {(one["arm"], one["cid"]): one for one in question["traces"]}
    sides = [_steps(traces[left]), _steps(traces[right])]
    rows = []
    for i, j, score in aligned(*sides):
        claims = i is not None and j is not None and sides[0][i]["claim"]
        said = "" if i is None or j is None else ALIKE if not claims else SAME if score == 3 else OTHERWISE
        row: dict[str, Any] = {"match": said}
        for when, steps, place in (("before", sides[0], i), ("after", sides[1], j)):
            step = {} if place is None else steps[place]
            row |= {f"{name}_{when}": step.get(name) for name in ("sid", "text", "label")}
        rows.append(row)
    return pd.DataFrame(rows).astype({"sid_before": "Int64", "sid_after": "Int64"})


def _steps(trace: dict[str, Any]) -> list[dict[str, Any]]:
    """A trace's steps with their text; places are counted in UTF-16 units."""
    units = trace["text"].encode("utf-16-le", "surrogatepass")
    found = []
    for step in trace["steps"]:
        start, end = step["at"]
        text = units[2 * start : 2 * end].decode("utf-16-le", "surrogatepass")
        bag = set(_WORD.findall(text.lower()))
        found.append({**step, "text": text, "claim": step.get("claim"), "bag": bag})
    return found


def aligned(left: list[dict[str, Any]], right: list[dict[str, Any]]) -> list[Row]:
    """The alignment with the highest total in the order of both (Needleman and Wunsch 1970, gaps free).

    `trace.js` has the same; a test holds them together.
    """
    n, m = len(left), len(right)
    best = [[0.0] * (m + 1) for _ in range(n + 1)]
    for i in reversed(range(n)):
        for j in reversed(range(m)):
            score = _alike(left[i], right[j])
            taken = score + best[i + 1][j + 1] if score > 0 else 0.0
            best[i][j] = max(best[i + 1][j], best[i][j + 1], taken)
    rows: list[Row] = []
    i = j = 0
    while i < n or j < m:
        score = _alike(left[i], right[j]) if i < n and j < m else 0.0
        if score > 0 and best[i][j] == score + best[i + 1][j + 1]:
            rows.append((i, j, score))
            i, j = i + 1, j + 1
        elif j >= m or (i < n and best[i][j] == best[i + 1][j]):
            rows.append((i, None, 0.0))
            i += 1
        else:
            rows.append((None, j, 0.0))
            j += 1
    return rows


def _alike(a: dict[str, Any], b: dict[str, Any]) -> float:
    """3 for the same claim, 2 for the same thing claimed otherwise, else three times the words in common."""
    if a["claim"] and b["claim"]:
        same = a["claim"][:2] == b["claim"][:2]
        return 0.0 if not same else 3.0 if a["claim"][2] == b["claim"][2] else 2.0
    if bool(a["claim"]) != bool(b["claim"]):
        return 0.0
    both = len(a["bag"] & b["bag"])
    share = both / max(1, len(a["bag"]) + len(b["bag"]) - both)
    return 3 * share if share >= LEAST else 0.0
