"""What the judge controls find: the difference under each of them, and what they say of the judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from mechcot.analyses.strata import SubsetDelta
from mechcot.core.results import SPREAD, Interval, Pair, Paired, Result, because, cells, keyed


@dataclass(frozen=True, repr=False)
class ControlRow(Result):
    """The difference of step error under one control.

    Attributes:
        control: its name, `primary` for the instrument itself.
        variant: of it, or "".
        name: the control in words.
        error: erroneous / (correct + erroneous).
        counts: label to its items; failures among them, "" for items without one.
        n_judged: correct and erroneous items.
        abstain_rate: share of claims that the judge abstained on.
        n_questions: questions with a correct or erroneous item in an arm.
        primary: the primary's difference on the same steps; where steps were cut anew, on the questions
            that the control judged of each arm.
        minus_primary: the control's difference minus that one.
        p: that it is 0, by flipping signs of questions; None for the primary, or without a difference.
        p_family: the same, adjusted for all the controls.
    """

    control: str
    variant: str
    name: str
    error: Paired
    counts: Pair[dict[str, int]]
    n_judged: Pair[int]
    abstain_rate: Pair[float | None] = field(metadata=because("no claim was judged or abstained on"))
    n_questions: int
    primary: Interval
    minus_primary: Interval
    p: float | None = field(metadata=because(""))
    p_family: float | None = field(metadata=because(""))

    @property
    def reason(self) -> str:
        """Why it has no p."""
        return self.minus_primary.reason if self.control == "primary" else "no difference in both arms"


@dataclass(frozen=True, repr=False)
class FlipRow(Result):
    """How often a control and the primary give one step another label.

    Attributes:
        control: its name.
        name: the control in words.
        labels: "four" for all verdicts, "two" for steps that both called correct or erroneous.
        share: of steps whose label differs.
        n_flipped: such steps.
        n_steps: steps that both gave such a label.
    """

    control: str
    name: str
    labels: str
    share: Paired = field(metadata=SPREAD)
    n_flipped: Pair[int]
    n_steps: Pair[int]


@dataclass(frozen=True, repr=False)
class Missing(Result):
    """The place of a finding that there is none of."""

    reason: str
    value: None = None


@dataclass(frozen=True, repr=False)
class JudgeControlsResult(Result):
    """One difference of step error under an instrument and under all changes to it.

    Attributes:
        arms: before and after.
        controls: the primary first, then each control and variant.
        flips: how often labels change on the primary's own steps.
        findings: what controls find beside, by `Finding.name`; `Missing` where one was not judged.
        strata: the primary on questions by whose plurality is right, as `AuditResult.strata`.
        strata_weighted: the same by shares of votes, as `AuditResult.strata_weighted`.
        n_questions: questions with an item of the primary.
        draws: sign vectors of the tests.
        seed: of both.
    """

    arms: Pair[str]
    controls: tuple[ControlRow, ...]
    flips: tuple[FlipRow, ...]
    findings: Mapping[str, Result] = field(metadata=SPREAD)
    strata: tuple[SubsetDelta, ...] = field(metadata=keyed("name"))
    strata_weighted: tuple[SubsetDelta, ...] = field(metadata=keyed("name"))
    n_questions: int
    draws: int
    seed: int

    table = "controls"
    note = (
        "The tests flip signs of whole questions: each control's difference minus the primary's on the same "
        "steps; p in the family is adjusted for all of the controls together (step-down max-T)."
    )
    derived = ("note",)

    @property
    def primary(self) -> ControlRow:
        """The instrument itself."""
        return self.controls[0]

    def flips_frame(self) -> pd.DataFrame:
        """One row per control and label set: share of labels that differ from the primary's."""
        return pd.DataFrame([cells(row) for row in self.flips])

    def __repr__(self) -> str:
        found = [row.error.difference.estimate for row in self.controls[1:]]
        values = [value for value in found if value is not None]
        spread = ""
        if values:
            spread = f"; under {len(values)} controls {min(values):.3f} to {max(values):.3f}"
        return (
            f"JudgeControlsResult({' -> '.join(self.arms)}, {self.n_questions} questions: difference "
            f"{self.primary.error.difference}{spread})"
        )
