"""The headline numbers without the noise of sampling, on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mechcot.analyses.greedy import figures
from mechcot.core.words import DIFFERENCE, change, listed, number, percent, points
from mechcot.report.parts import Findings, Part, Table

Json = Mapping[str, Any]
_COUNTED = ("right claims a trace", "wrong claims a trace")


def greedy(found: Findings) -> Part:
    """The change of wrong steps by greedy traces, and every number in a table."""
    result = found.results["greedy"]
    if "contrasts" not in result:
        return Part("greedy", "What sampling adds cannot be told.", reason=result["reason"])
    wrong = result["contrasts"]["headline"]["numbers"]["wrong steps"]
    sentence = (
        f"Without the noise of sampling, by one trace a question at temperature 0, wrong steps change by "
        f"{points(wrong['greedy']['difference'])}, by samples {points(wrong['sampled']['difference'])}; "
        f"sampling adds {points(wrong['noise_in_change'])} to the change."
    )
    return Part("greedy", sentence, figures.greedy(result), tables=(_table(found, result),))


def _table(found: Findings, result: Json) -> Table:
    rows = []
    for name, own in result["contrasts"].items():
        for what, one in own["numbers"].items():
            for way in ("sampled", "greedy"):
                label = f"{name}: {what}" if way == "sampled" else "  greedy"
                rows.append((label, *_cells(what, one[way]), _change(what, one[way]["difference"])))
    cut = listed(
        [
            f"{name}: {' and '.join(str(own['n_cut'][role]) for role in ('before', 'after'))}"
            for name, own in result["contrasts"].items()
        ]
    )
    note = (
        "A greedy trace votes nowhere. Its steps are judged as the others are. “Both right” is by the vote "
        f"of the samples, and by the greedy traces themselves. Greedy traces cut by the token limit, {cut}."
    )
    left = [f"{control} ({arm} is given as traces)" for control, arm in result["left_out"].items()]
    if left:
        note += f" Left out: {listed(left)}."
    return Table("With and without sampling", ("", found.before, found.after, DIFFERENCE), tuple(rows), note)


def _cells(what: str, pair: Json) -> tuple[str, ...]:
    leaves = [pair[role] for role in ("before", "after")]
    if what not in _COUNTED:
        return tuple(percent(leaf) for leaf in leaves)
    return tuple("–" if (value := number(leaf)) is None else f"{value:.2f}" for leaf in leaves)


def _change(what: str, leaf: Any) -> str:
    return change(leaf, 2) if what in _COUNTED else points(leaf)
