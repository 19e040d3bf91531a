"""The ledger of claims, as a table of the page's end and for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from mechcot.analyses.claims.analysis import VERDICTS, ClaimsResult
from mechcot.core.words import change, listed, plain_signs, points
from mechcot.report.parts import Findings, Table

Json = Mapping[str, Any]
_WRITE: Mapping[str, Callable[[Any], str]] = {"points": points, "change": lambda leaf: change(leaf, 3)}


def ledger(found: Findings) -> Table:
    """Each claim, its published number, this study's and the verdict."""
    return _table(found.results["ledger"], whole=True)


def _table(result: Json, *, whole: bool) -> Table:
    rows = []
    for one in result["claims"].values():
        here = one["reason"] if one["verdict"] == "not tested here" else _WRITE[one["kind"]](one["estimate"])
        cells = [f"{one['claim']} ({one['paper']})", one["published"], one["as_published"] or "–", here]
        if whole:
            cells[1] = f"{one['published']} ({one['published_way']})"
            cells[3] = f"{here} ({one['way']})" if one["verdict"] != "not tested here" else here
        rows.append((*cells, one["verdict"]))
    note = (
        "Claims of “Better Accuracies, Worse Reasoning” and “Interpretable Traces, Unexpected Outcomes”. "
        "Verdicts are on these two checkpoints: a claim holds where the interval lies on its side of no "
        "effect, is reversed on the other, and cannot be distinguished where it covers it."
    )
    head = ("claim", "published", "so measured here", "measured here", "verdict")
    return Table("What became of published claims", head, tuple(rows), note)


def terminal_text(result: ClaimsResult) -> str:
    """Claim by claim, for a terminal."""
    told = result.to_json()["claims"].values()
    counts = [
        f"{n} {verdict}" for verdict in VERDICTS if (n := sum(one["verdict"] == verdict for one in told))
    ]
    lines = [f"{len(told)} claims of two papers on this study: {listed(counts)}."]
    for one in told:
        here = f"{_WRITE[one['kind']](one['estimate'])}: {one['way']}" if one["kind"] else ""
        said = {
            "published": f"{one['published']}: {one['published_way']}",
            "that way": one["as_published"],
            "here": one["reason"] or here,
        }
        lines += ["", f"{one['verdict'].upper()}  {one['claim']} ({one['paper']})"]
        lines += [_indented(name, text) for name, text in said.items() if text]
    return "\n".join(plain_signs(line) for line in "\n".join(lines).split("\n"))


def _indented(name: str, text: str) -> str:
    return textwrap.fill(text, 98, initial_indent=f"  {name:9s}  ", subsequent_indent=" " * 13)
