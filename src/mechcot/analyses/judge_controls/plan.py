"""What the judge controls would cost: calls, tokens and money of each. Sends and writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from mechcot.analyses.judge_controls.asking import PlanRow
from mechcot.analyses.judge_controls.design import Design
from mechcot.asking.spending import Plan, total
from mechcot.core.results import Result
from mechcot.core.words import aligned


@dataclass(frozen=True, repr=False)
class ControlsPlan(Result):
    """What the judge controls would take.

    Attributes:
        controls: a row for each kind of call of each control, in order.
        left_out: controls that cannot be judged, and why.
        n_questions: sampled.
    """

    controls: tuple[PlanRow, ...]
    left_out: Mapping[str, str]
    n_questions: int

    table = "controls"
    derived = ("total",)

    @property
    def total(self) -> Plan:
        """All rows together."""
        return total(row.plan for row in self.controls if row.plan is not None)

    def text(self) -> str:
        """A table, a line for each control that is left out, and what the figures rest on."""
        lines = [("control", "asked for", "items", "calls", "answered", "tokens in", "money at most")]
        lines += [
            (row.control, row.calls + ("*" if row.estimated else ""), f"{row.n_items:,}", *_cells(row.plan))
            for row in self.controls
        ]
        lines.append(("all", "", f"{sum(row.n_items for row in self.controls):,}", *_cells(self.total)))
        notes = left_out_lines(self.left_out)
        notes.append(
            f"{self.n_questions} questions. Start-up calls ({self.total.start_ups} at most) and re-asks of "
            "unreadable replies come on top; tokens in are characters / 4."
        )
        if any(row.estimated for row in self.controls):
            notes.append("* not rewritten yet: counted on the original steps, as if every claim were kept.")
        return "\n".join([*aligned(lines), "", *notes])


def left_out_lines(left_out: Mapping[str, str]) -> list[str]:
    """Controls that are left out, a line a reason.

    Args:
        left_out: reasons by control.
    """
    reasons: dict[str, list[str]] = {}
    for name, why in left_out.items():
        reasons.setdefault(why, []).append(name)
    return [f"left out: {', '.join(names)}: {why}" for why, names in reasons.items()]


def _cells(found: Plan | None) -> tuple[str, str, str, str]:
    if found is None:
        return ("0", "", "", "0.00")
    money = "unknown" if found.cost is None else f"{found.cost:.2f}"
    return f"{found.calls:,}", f"{found.cached:,}", f"{found.tokens_in:,}", money


def plan_rows(design: Design) -> Iterator[PlanRow]:
    """What the controls would take, in order: a call that an earlier one makes is answered by then."""
    planned: dict[tuple[str, int], set[tuple[str, str]]] = {}
    for control, items in design.controls:
        for row in control.ask.plan(items.table, design.calls(control, planned=planned)):
            yield replace(row, control=control.name)
