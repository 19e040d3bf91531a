"""What the judge controls find: the difference under each of them, and what they say of the judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from mechcot.analyses.judge_controls.parts import (
    ControlRow,
    Decoys,
    FlipRow,
    GuessArm,
    HedgeFlip,
    Paired,
    ToneSwap,
)
from mechcot.analyses.strata import SubsetDelta
from mechcot.core.offers import figure_of, text_of
from mechcot.core.records import LABELS
from mechcot.core.results import Result, leaf

if TYPE_CHECKING:
    import plotly.graph_objects as go

TEST_NOTE = (
    "The tests flip signs of whole questions: each control's difference minus the primary's on the same "
    "steps; p in the family is adjusted for all of the controls together (step-down max-T)."
)


@dataclass(frozen=True)
class JudgeControlsResult(Result):
    """One difference of step error under an instrument and under all changes to it.

    Attributes:
        arms: before and after.
        controls: the primary first, then each control and variant in the order of the items.
        flips: how often labels change on the primary's own steps.
        tone_swap: None where nothing was rewritten.
        hedge_flip: None without hedged pairs.
        decoys: None without decoys.
        guess: None where the judge guessed no arm.
        strata: the primary on questions by whose plurality is right, as `AuditResult.strata`.
        strata_weighted: the same by shares of votes, as `AuditResult.strata_weighted`.
        n_questions: questions with an item of the primary.
        draws: bootstrap replicates and sign vectors.
        seed: of both.
    """

    arms: tuple[str, str]
    controls: tuple[ControlRow, ...]
    flips: tuple[FlipRow, ...]
    tone_swap: ToneSwap | None
    hedge_flip: HedgeFlip | None
    decoys: Decoys | None
    guess: GuessArm | None
    strata: tuple[SubsetDelta, ...]
    strata_weighted: tuple[SubsetDelta, ...]
    n_questions: int
    draws: int
    seed: int

    @property
    def primary(self) -> ControlRow:
        """The instrument itself."""
        return self.controls[0]

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        parts = {
            "tone_swap": (self.tone_swap, "no step was rewritten"),
            "hedge_flip": (self.hedge_flip, "no hedge was put in or taken out"),
            "decoys": (self.decoys, "no decoys were judged"),
            "guess_arm": (self.guess, "no arm was guessed"),
        }
        return {
            "arms": dict(zip(("before", "after"), self.arms, strict=True)),
            "controls": [row.to_json() for row in self.controls],
            "flips": [row.to_json() for row in self.flips],
            **{name: part.to_json() if part else leaf(None, why) for name, (part, why) in parts.items()},
            "strata": {part.name: part.to_json() for part in self.strata},
            "strata_weighted": {part.name: part.to_json() for part in self.strata_weighted},
            "n_questions": self.n_questions,
            "draws": self.draws,
            "seed": self.seed,
            "note": TEST_NOTE,
        }

    def to_frame(self) -> pd.DataFrame:
        """One row per control: both error rates, counts, difference, and difference minus primary."""
        return pd.DataFrame(_control_cells(row) for row in self.controls)

    def flips_frame(self) -> pd.DataFrame:
        """One row per control and label set: share of labels that differ from the primary's."""
        columns = ["control", "labels", *_PAIRED, "n_before", "n_after"]
        rows = [
            {
                "control": row.control,
                "labels": row.labels,
                **_paired_cells(row.share),
                "n_before": row.n_steps[0],
                "n_after": row.n_steps[1],
            }
            for row in self.flips
        ]
        return pd.DataFrame(rows, columns=columns)

    def decoys_frame(self) -> pd.DataFrame:
        """One row per arm and truth: decoys by label, and the share that the judge got right."""
        columns = ["arm", "truth", "right", "low", "high", "n_judged", *LABELS]
        if self.decoys is None:
            return pd.DataFrame(columns=columns)
        rows = []
        for (arm, truth), counts in self.decoys.counts.items():
            rates = self.decoys.specificity if truth == "true" else self.decoys.sensitivity
            rate = rates.after if arm == self.arms[1] else rates.before
            judged = counts["correct"] + counts["erroneous"]
            cells = {"right": rate.estimate, "low": rate.low, "high": rate.high, "n_judged": judged}
            own = {label: counts[label] for label in LABELS}
            rows.append({"arm": arm, "truth": truth, **cells, **own})
        return pd.DataFrame(rows, columns=columns)

    def text(self) -> str:
        """The result as tables for a terminal."""
        return text_of(self)

    def figure(self) -> go.Figure:
        """Every control's difference beside the primary's, and minus it."""
        return figure_of(self)

    def __repr__(self) -> str:
        others = [
            row.error.difference for row in self.controls[1:] if row.error.difference.estimate is not None
        ]
        spread = ""
        if others:
            values = [value.estimate or 0.0 for value in others]
            spread = f"; under {len(others)} controls {min(values):.3f} to {max(values):.3f}"
        return (
            f"JudgeControlsResult({' -> '.join(self.arms)}, {self.n_questions} questions: difference "
            f"{self.primary.error.difference}{spread})"
        )


_PAIRED = ("before", "after", "difference", "low", "high")


def _paired_cells(found: Paired) -> dict[str, float | None]:
    difference = found.difference
    values = (
        found.before.estimate,
        found.after.estimate,
        difference.estimate,
        difference.low,
        difference.high,
    )
    return dict(zip(_PAIRED, values, strict=True))


def _control_cells(row: ControlRow) -> dict[str, Any]:
    return {
        "control": row.control,
        "variant": row.variant,
        "error_before": row.error.before.estimate,
        "error_after": row.error.after.estimate,
        "n_erroneous_before": row.counts[0]["erroneous"],
        "n_judged_before": row.judged(False),
        "n_erroneous_after": row.counts[1]["erroneous"],
        "n_judged_after": row.judged(True),
        "abstain_before": row.abstained(False),
        "abstain_after": row.abstained(True),
        "n_questions": row.n_questions,
        "difference": row.error.difference.estimate,
        "low": row.error.difference.low,
        "high": row.error.difference.high,
        "minus_primary": row.minus_primary.estimate,
        "minus_low": row.minus_primary.low,
        "minus_high": row.minus_primary.high,
        "p": row.p,
        "p_family": row.p_family,
        "reason": row.error.difference.reason,
    }
