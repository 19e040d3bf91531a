"""How a control's items are asked about, what that would send, and that one model answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from mechcot.analyses.judge_controls.sample import Sample
from mechcot.asking.session import Session
from mechcot.asking.spending import Ledger, Plan
from mechcot.core.errors import JudgeError
from mechcot.judging.exact import judge_exactly
from mechcot.judging.judge_file import Judge
from mechcot.judging.llm import judge_by_llm, plan

Texts = set[tuple[str, str]]


@dataclass(frozen=True)
class Calls:
    """How the calls of one control are made.

    Attributes:
        sample: what is judged.
        judge: the control's instrument; None: the exact checker.
        rewriter: who rewrites steps, if anybody does.
        repeat: which judgement of the same text is wanted.
        name: of the judge file, for messages.
        work: folder of kept replies.
        ledger: of the money for all controls together.
        progress: whether to draw bars.
        planned: (question, text) by instrument and repeat: what earlier controls of a plan ask.
    """

    sample: Sample
    judge: Judge | None
    rewriter: Judge | None
    repeat: int
    name: str
    work: Path
    ledger: Ledger = field(default_factory=Ledger)
    progress: bool = False
    planned: dict[tuple[str, int], Texts] = field(default_factory=dict)

    def session(self, judge: Judge, sample: int = 0) -> Session[Judge]:
        """The calls to one server; only verdicts are asked for more than once (`repeat`)."""
        return Session(judge, self.work, self.sample.seed, sample, self.ledger, self.progress)


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
class Ask:
    """One way of asking about items.

    Attributes:
        send: the items with what was said of them (label, reason, fidelity, score; missing ones are
            empty), and for each kind of call what it was and what it took.
        plan: what that would send, a row for each kind of call (its control is filled in later).
        labels: whether items get labels.
    """

    send: Callable[[pd.DataFrame, Calls], tuple[pd.DataFrame, dict[str, Any]]]
    plan: Callable[[pd.DataFrame, Calls], list[PlanRow]]
    labels: bool = True


def verdicts(items: pd.DataFrame, calls: Calls) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A verdict on each item."""
    if calls.judge is None:
        rows, about = judge_exactly(items, calls.sample.questions, calls.sample.task), {}
    else:
        judgement = judge_by_llm(
            items, calls.sample.questions, calls.session(calls.judge, calls.repeat), name=calls.name
        )
        rows, about = judgement.rows, {"verdicts": judgement.about}
    found = {column: [row[column] for row in rows] for column in ("label", "reason")}
    return items.assign(**found), about


def _plan_verdicts(items: pd.DataFrame, calls: Calls) -> list[PlanRow]:
    """A call that an earlier control makes is answered by then."""
    if calls.judge is None:
        return [PlanRow("", "verdicts", len(items), None)]
    whole = items[items.complete.astype(bool) & (items.text.str.strip() != "")]
    texts = list(zip(whole.qid, whole.text, strict=True))
    before = calls.planned.setdefault((calls.judge.model_dump_json(), calls.repeat), set())
    # With the steps before, the same words behind others are another call.
    made = set() if calls.judge.fields.previous else set(texts) & before
    own = whole[[text not in made for text in texts]]
    seed, repeat = calls.sample.seed, calls.repeat
    found = plan(own, calls.sample.questions, calls.judge, calls.work, seed=seed, sample=repeat)
    before.update(texts)
    return [PlanRow("", "verdicts", len(items), replace(found, cached=found.cached + len(made)))]


VERDICTS = Ask(verdicts, _plan_verdicts)


def one_model(abouts: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse verdicts of two models behind one server: a difference between controls would be theirs.

    Args:
        abouts: what `Ask.send` says of the calls, by control.

    Raises:
        JudgeError: the server answered as another model on the way.
    """
    models = {
        (call["endpoint"], call["model"], call["returned_model"])
        for calls in abouts.values()
        for call in calls.values()
        if call["returned_model"]
    }
    for endpoint, model, returned in sorted(models):
        others = {r for e, m, r in models if (e, m) == (endpoint, model)} - {returned}
        if others:
            raise JudgeError(
                f"the server {endpoint} answered as '{returned}' and as '{min(others)}': two judges, whose "
                "controls cannot be compared. Run again: all is asked of the model that answers then"
            )
