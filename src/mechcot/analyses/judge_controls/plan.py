"""What the judge controls would cost: calls, tokens and money of each. Sends and writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from mechcot.analyses.judge_controls.items import Control
from mechcot.analyses.judge_controls.judged import in_both_manners, writers
from mechcot.analyses.judge_controls.sample import Sample
from mechcot.core.words import aligned
from mechcot.judging.guessing import plan_guesses
from mechcot.judging.judge_file import Judge
from mechcot.judging.llm import plan
from mechcot.judging.rewriting import plan_fidelity, plan_rewriting
from mechcot.judging.spending import Plan, total


@dataclass(frozen=True)
class PlanRow:
    """What one kind of call of a control would take.

    Attributes:
        control: its name.
        calls: what is asked for: verdicts, rewritings, comparisons or guesses.
        n_items: texts that it is asked of.
        plan: what would be sent; None: the exact checker sends nothing.
        estimated: the texts do not exist yet; the original steps stand in for them.
    """

    control: str
    calls: str
    n_items: int
    plan: Plan | None
    estimated: bool = False


@dataclass(frozen=True)
class ControlsPlan:
    """What the judge controls would take.

    Attributes:
        rows: of the controls, in order.
        left_out: controls that cannot be judged, and why.
        n_questions: sampled.
    """

    rows: tuple[PlanRow, ...]
    left_out: Mapping[str, str]
    n_questions: int

    @property
    def total(self) -> Plan:
        """All rows together."""
        return total(row.plan for row in self.rows if row.plan is not None)

    def text(self) -> str:
        """A table, a line for each control that is left out, and what the figures rest on."""
        lines = [("control", "asked for", "items", "calls", "answered", "tokens in", "money at most")]
        lines += [
            (row.control, row.calls + ("*" if row.estimated else ""), f"{row.n_items:,}", *_cells(row.plan))
            for row in self.rows
        ]
        lines.append(("all", "", f"{sum(row.n_items for row in self.rows):,}", *_cells(self.total)))
        notes = left_out_lines(self.left_out)
        notes.append(
            f"{self.n_questions} questions. Start-up calls ({self.total.start_ups} at most) and re-asks of "
            "unreadable replies come on top; tokens in are characters / 4."
        )
        if any(row.estimated for row in self.rows):
            notes.append("* not rewritten yet: counted on the original steps, as if every claim were kept.")
        return "\n".join([*aligned(lines), "", *notes])

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "controls": [
                asdict(row) | {"plan": None if row.plan is None else row.plan.to_json()} for row in self.rows
            ],
            "total": self.total.to_json(),
            "left_out": dict(self.left_out),
            "n_questions": self.n_questions,
        }


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


def plan_rows(
    controls: Sequence[Control], sample: Sample, rewriter: Judge | None, work: Path
) -> tuple[PlanRow, ...]:
    """What the controls would take, in order: a call that an earlier one makes is answered by then.

    Args:
        controls: to judge.
        sample: what is judged.
        rewriter: who rewrites steps, if anybody does.
        work: folder of kept replies.
    """
    seen: dict[tuple[str, int], set[tuple[str, str]]] = {}
    return tuple(row for control in controls for row in _rows(control, sample, rewriter, work, seen))


def _rows(
    control: Control,
    sample: Sample,
    rewriter: Judge | None,
    work: Path,
    seen: dict[tuple[str, int], set[tuple[str, str]]],
) -> list[PlanRow]:
    seed, n = sample.seed, len(control.items)
    if control.judge is None:
        return [PlanRow(control.name, "verdicts", n, None)]
    if control.kind == "guess":
        found = plan_guesses(control.items, writers(sample), sample.after, control.judge, work, seed=seed)
        return [PlanRow(control.name, "guesses", n, found)]
    if control.kind == "rewriting":
        assert rewriter is not None  # else the control is left out
        return _rewriting_rows(control, sample, rewriter, work)
    whole = control.items[control.items.complete.astype(bool) & (control.items.text.str.strip() != "")]
    texts = list(zip(whole.qid, whole.text, strict=True))
    made = set(texts) & seen.get((control.judge.model_dump_json(), control.sample), set())
    if control.judge.fields.previous:
        made = set()  # the same words behind others are another call
    own = whole[[text not in made for text in texts]]
    found = plan(own, sample.questions, control.judge, work, seed=seed, sample=control.sample)
    seen.setdefault((control.judge.model_dump_json(), control.sample), set()).update(texts)
    return [PlanRow(control.name, "verdicts", n, replace(found, cached=found.cached + len(made)))]


def _rewriting_rows(control: Control, sample: Sample, rewriter: Judge, work: Path) -> list[PlanRow]:
    assert control.judge is not None
    items = in_both_manners(control, sample)
    manners = {arm: tuple(steps.text) for arm, steps in sample.manners().items()}
    made = plan_rewriting(items, sample.questions, manners, rewriter, work, seed=sample.seed)
    # A text for each manner that differs from the original, so that no two calls are counted as one.
    stand_ins = items.assign(text=items.text + items["style"].map({sample.before: " .", sample.after: " !"}))
    pairs = pd.DataFrame({"qid": items.qid, "original": items.text, "rewritten": stand_ins.text})
    compared = plan_fidelity(pairs, control.judge, None, seed=sample.seed)
    verdicts = plan(stand_ins, sample.questions, control.judge, None, seed=sample.seed)
    n = len(items)
    return [
        PlanRow(control.name, "rewritings", n, made),
        PlanRow(control.name, "comparisons", n, compared, estimated=True),
        PlanRow(control.name, "verdicts", n, verdicts, estimated=True),
    ]
