"""Whether wrong steps and wrong answers go together, on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mechcot.analyses.coupling import figures
from mechcot.core.words import change, direction, number, percent, points, score, why
from mechcot.report.parts import Findings, Part, Table

Json = Mapping[str, Any]
_ROLES = ("before", "after")


def coupling(found: Findings) -> Part:
    """Right answers of clean and flawed traces, and the traces of one question."""
    result = found.results["coupling"]
    if "contrasts" not in result:
        return Part(
            "coupling", "Whether wrong steps and answers go together is not known.", reason=result["reason"]
        )
    head = result["contrasts"]["headline"]
    sentence = " ".join([_gaps(head), *(_told(head[role]) for role in _ROLES), _same(head)])
    return Part(
        "coupling",
        sentence,
        figures.coupling(found.coloured(result)),
        tables=(_table(result), _cells(result)),
    )


def _gaps(head: Json) -> str:
    """How much oftener clean traces are right, in both arms."""
    told = [f"{points(head[role]['gap'])} ({head[role]['arm']})" for role in _ROLES]
    return f"Right answers of clean minus flawed traces: {' and '.join(told)}."


def _told(arm: Json) -> str:
    if number(arm["gap"]) is None:
        return f"In {arm['arm']} clean and flawed traces cannot be compared ({why(arm['gap'])})."
    lead = {"up": "go together", "down": "go apart"}.get(direction(arm["gap"]), "do not clearly go together")
    return (
        f"In {arm['arm']} wrong claims and wrong answers {lead}: clean traces are right in "
        f"{percent(arm['right_if_clean'])}, flawed ones in {percent(arm['right_if_flawed'])}."
    )


def _same(head: Json) -> str:
    told = []
    for role in _ROLES:
        arm = head[role]
        if number(arm["auroc_same_question"]) is not None:
            pairs = f"{arm['n_pairs_same_question']:,} pairs"
            told.append(f"{percent(arm['auroc_same_question'])} for {arm['arm']} ({pairs})")
    if not told:
        return "No question has a right and a wrong trace to compare."
    return (
        "Of a right and a wrong trace of one question, the wrong one has the larger share of wrong claims in "
        f"{' and '.join(told)}; 50 % says that they have nothing to do with each other."
    )


_LINES = (
    ("P(right answer), clean", "right_if_clean", percent),
    ("P(right answer), flawed", "right_if_flawed", percent),
    ("clean minus flawed", "gap", points),
    ("phi", "phi", lambda leaf: change(leaf, 2)),
    ("log odds ratio", "log_odds_ratio", lambda leaf: change(leaf, 2)),
    ("wrong one has more wrong claims, all pairs", "auroc", score),
    ("the same, pairs of one question", "auroc_same_question", score),
    ("P(right answer) from no to all claims wrong, one question", "slope", points),
)


def _table(result: Json) -> Table:
    """Every number, a line a contrast and measure."""
    rows: list[tuple[str, ...]] = []
    for name, own in figures.in_order(result):
        arms = " → ".join(own[role]["arm"] for role in _ROLES)
        rows.append((f"{name}: {arms}", "", "", ""))
        for label, key, write in _LINES:
            cells = [write(own[role][key]) for role in _ROLES]
            moved = own["change"].get(key)
            rows.append((f"  {label}", *cells, "" if moved is None else write(moved)))
    note = (
        "Clean: no judged claim is wrong. A trace without an answer counts as wrong, one without a judged "
        "claim is left out. Pairs: one right and one wrong trace; ties count half. The log odds ratio has "
        "half a trace added to every cell."
    )
    return Table("Wrong claims and wrong answers", ("", *_ROLES, "after minus before"), tuple(rows), note)


def _cells(result: Json) -> Table:
    """The traces behind it."""
    rows = []
    for name, own in figures.in_order(result):
        for role in _ROLES:
            arm, n = own[role], own[role]["counts"]
            rows.append(
                (
                    f"{name}: {arm['arm']}",
                    *(
                        f"{n[cell]:,}"
                        for cell in ("right_clean", "wrong_clean", "right_flawed", "wrong_flawed")
                    ),
                    percent(arm["right_and_clean"]),
                    f"{arm['n_no_answer']:,}",
                    f"{arm['n_unjudged']:,}",
                )
            )
    head = (
        "", "right, clean", "wrong, clean", "right, flawed", "wrong, flawed", "share right and clean",
        "no answer", "left out: no judged claim",
    )  # fmt: skip
    return Table("Traces by answer and claims", head, tuple(rows))
