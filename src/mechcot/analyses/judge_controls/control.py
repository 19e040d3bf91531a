"""What a control of the judge is: what it changes, what it judges, how it asks, and what it finds.

A control changes one thing. Each is judged on the same sampled questions and traces of both arms, so
that its difference of step error can be set beside the primary instrument's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechcot.analyses.judge_controls.asking import VERDICTS, Ask
from mechcot.core.records import STEP_KEY
from mechcot.core.results import Result
from mechcot.core.words import Table
from mechcot.report.parts import Part, Section

if TYPE_CHECKING:
    import pandas as pd

    from mechcot.analyses.judge_controls.counts import Arms, Estimates
    from mechcot.analyses.judge_controls.sample import Sample
    from mechcot.judging.judge_file import Judge

Json = Mapping[str, Any]
ITEM = ("variant", *STEP_KEY, "text", "complete")
"""Columns of items."""


@dataclass(frozen=True)
class Setup:
    """What all controls of a study start from.

    Attributes:
        sample: what is judged.
        judge: the primary instrument; None: the exact checker.
        rewriter: who rewrites steps, if anybody does.
        decoys: a file of decoys in place of mechcot's.
    """

    sample: Sample
    judge: Judge | None
    rewriter: Judge | None = None
    decoys: Path | None = None


@dataclass(frozen=True)
class Items:
    """What a control judges in a study.

    Attributes:
        table: `ITEM`; steps of whole traces where the judge sees earlier ones.
        changes: what is changed, where it is not what the control says anyway.
        untreated: what it cannot treat, in words, to how many of it there are by arm.
    """

    table: pd.DataFrame
    changes: str = ""
    untreated: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def sampled_steps(setup: Setup) -> Items:
    """The sampled steps as they are."""
    return Items(setup.sample.steps.assign(variant="")[list(ITEM)])


def whole_steps(setup: Setup) -> Items:
    """The sampled steps that hold a whole text."""
    return Items(setup.sample.whole.assign(variant="")[list(ITEM)])


@dataclass(frozen=True)
class Finding:
    """What a control says beside its difference of step error.

    Attributes:
        name: its key in `result.json` and `JudgeControlsResult.findings`.
        absent: why there is none where the control was not judged.
        of: `of(rows, primary, arms, estimates)`: notes what it needs of the control's and the primary's
            checked items, and returns what makes the result once that is estimated.
        section: where it stands on the page; findings of one section stand together.
        part: of `JudgeControlsResult.to_json()`: the sentence, with its figure if it has one.
        tables: of the same: its numbers, for the page and the terminal.
    """

    name: str
    absent: str
    of: Callable[[pd.DataFrame, pd.DataFrame, Arms, Estimates], Callable[[], Result]]
    section: Section
    part: Callable[[Json], Part]
    tables: Callable[[Json], tuple[Table, ...]]


@dataclass(frozen=True)
class Control:
    """One control of the judge.

    Attributes:
        name: as `--only` and the tables of items call it.
        title: in the tables of the result.
        says: what it changes, in a line.
        changes: the instrument that it makes of the judge.
        items: what it judges.
        ask: how the items are asked about.
        sample: which judgement of the same text it takes; an equal one is not paid for twice.
        variants: of its items, each to its title; none: its items have the variant "".
        matched: columns on which its items are the primary's; none: they stand in no trace.
        against: why it cannot be judged here, or "".
        unchecked: why the exact checker cannot judge it; "": it can.
        nothing: what it means when it has no items.
        counted: which of its judged items count.
        finding: what else it finds.
        family: the name under which `--only` means all like it.
        segmenter: that it cuts by; it is no control of a study that cuts so.
    """

    name: str
    title: str
    says: str
    changes: Callable[[Judge], Judge] = lambda judge: judge
    items: Callable[[Setup], Items] = sampled_steps
    ask: Ask = VERDICTS
    sample: int = 0
    variants: Mapping[str, str] = field(default_factory=dict)
    matched: tuple[str, ...] = tuple(STEP_KEY)
    against: Callable[[Setup], str] = lambda setup: ""
    unchecked: str = "the exact checker is shown nothing and told nothing but the step"
    nothing: str = "no step can be judged"
    counted: Callable[[pd.DataFrame], pd.DataFrame] = lambda rows: rows
    finding: Finding | None = None
    family: str = ""
    segmenter: str = ""

    def title_of(self, variant: str) -> str:
        """The title of a variant's rows."""
        return self.variants.get(variant, self.title)

    @property
    def has_difference(self) -> bool:
        """Whether it estimates the difference of step error anew."""
        return bool(self.matched) and self.ask.labels

    @property
    def repeats_steps(self) -> bool:
        """Whether it judges the primary's own steps once more, one by one."""
        return self.has_difference and self.matched == tuple(STEP_KEY) and not self.variants


def reason_against(control: Control, setup: Setup) -> str:
    """Why a control cannot be judged, or ""."""
    return control.unchecked if setup.judge is None else control.against(setup)


def with_changes(judge: Judge, **changes: object) -> Judge:
    """The judge with other settings, which are not checked again."""
    return judge.model_copy(update=changes)


def with_field(judge: Judge, **shown: bool) -> Judge:
    """The judge that is shown a field, or is not."""
    return with_changes(judge, fields=judge.fields.model_copy(update=shown))


def alone(judge: Judge) -> Judge:
    """The judge without the steps before: changed steps stand in no trace."""
    return with_field(judge, previous=False)
