"""One control's findings each: the difference under it, flips, the two by two of manner, decoys, guesses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mechcot.core.records import LABELS
from mechcot.core.results import Interval, leaf

LABEL_SETS = {"four": LABELS[:4], "two": LABELS[:2]}
"""Which labels are compared: all verdicts, or correct and erroneous."""

DECOY_NOTE = "Decoys describe the judge; no error rate is corrected with them."
FLAT_NOTE = (
    "An interval of no width: no question differs from the others there. It says that none was seen, not "
    "that there is none; with n questions, up to about 3/n of all such questions may differ (95 %)."
)
GUESS_NOTE = "0.5: the judge cannot tell whose step it reads, so it is blinded; 1: it always can."
_NAMES = {
    "primary": "the judge as it is",
    "again": "judged again",
    "again-warm": "judged again, temperature 0.7",
    "answer-blind": "answer hidden and masked",
    "tone-swap own": "rewritten, own manner",
    "tone-swap other": "rewritten, other manner",
    "hedge-flip hedged": "hedge put in",
    "hedge-flip plain": "hedge taken out",
    "factor:gold": "right answer switched",
    "factor:options": "options switched",
    "factor:question": "question switched",
    "factor:previous": "previous steps switched",
    "factor:examples": "examples switched",
    "factor:tone": "rule on tone switched",
    "factor:alternatives": "rule on alternatives switched",
    "factor:answer-use": "rule on use of the answer switched",
    "factor:partial": "rule on partly right steps switched",
    "factor:labels": "label not_checkable switched",
}
"""Switched: shown or said where the judge was not told, left out where it was."""


def name_of(control: str, variant: str = "") -> str:
    """A control in words; one that has none is called by its own name."""
    key = f"{control} {variant}".strip()
    if control.startswith("segment:"):
        return f"cut by {control.removeprefix('segment:')}"
    return _NAMES.get(key, key)


def is_flat(low: float | None, high: float | None) -> bool:
    """Whether an interval has no width: in every resampled study the value is the same."""
    return low is not None and high is not None and high - low <= 1e-12


@dataclass(frozen=True)
class Paired:
    """A rate in both arms and its difference, after - before, from the same resampled questions."""

    before: Interval
    after: Interval
    difference: Interval

    def to_json(self) -> dict[str, Any]:
        """The three intervals as JSON values."""
        three = {"before": self.before, "after": self.after, "difference": self.difference}
        return {name: value.to_json() for name, value in three.items()}


@dataclass(frozen=True)
class ControlRow:
    """The difference of step error under one control.

    Attributes:
        control: its name, `primary` for the instrument itself.
        variant: of it, or "".
        error: erroneous / (correct + erroneous).
        counts: label to its items, before and after; failures among them, "" for items without one.
        n_questions: questions with a correct or erroneous item in an arm.
        primary: the primary's difference on the same steps; where steps were cut anew, on the questions
            that the control judged of each arm.
        minus_primary: the control's difference minus that one.
        p: that it is 0, by flipping signs of questions; None for the primary, or without a difference.
        p_family: the same, adjusted for all the controls.
    """

    control: str
    variant: str
    error: Paired
    counts: tuple[dict[str, int], dict[str, int]]
    n_questions: int
    primary: Interval
    minus_primary: Interval
    p: float | None
    p_family: float | None

    @property
    def name(self) -> str:
        """The control in words."""
        return name_of(self.control, self.variant)

    def judged(self, late: bool) -> int:
        """Correct and erroneous items of the arm before or after."""
        return self.counts[late]["correct"] + self.counts[late]["erroneous"]

    def abstained(self, late: bool) -> float | None:
        """Share of claims that the judge abstained on; None without a claim."""
        claims = self.judged(late) + self.counts[late]["abstain"]
        return self.counts[late]["abstain"] / claims if claims else None

    def to_json(self) -> dict[str, Any]:
        """The intervals and counts as JSON values."""
        alone = "it is the primary itself" if self.control == "primary" else "no difference in both arms"
        arms = (("before", False), ("after", True))
        return {
            "control": self.control,
            "variant": self.variant,
            "name": self.name,
            "error": self.error.to_json(),
            "counts": {arm: self.counts[late] for arm, late in arms},
            "n_judged": {arm: self.judged(late) for arm, late in arms},
            "abstain_rate": {
                arm: leaf(self.abstained(late), "no claim was judged or abstained on") for arm, late in arms
            },
            "n_questions": self.n_questions,
            "primary": self.primary.to_json(),
            "minus_primary": self.minus_primary.to_json(),
            "p": leaf(self.p, alone),
            "p_family": leaf(self.p_family, alone),
        }


@dataclass(frozen=True)
class FlipRow:
    """How often a control and the primary give one step another label.

    Attributes:
        control: its name.
        labels: "four" for all verdicts, "two" for steps that both called correct or erroneous.
        share: of steps whose label differs.
        n_flipped: such steps, before and after.
        n_steps: steps that both gave such a label, before and after.
    """

    control: str
    labels: str
    share: Paired
    n_flipped: tuple[int, int]
    n_steps: tuple[int, int]

    def to_json(self) -> dict[str, Any]:
        """The shares and counts as JSON values."""
        both = ("before", "after")
        return {
            "control": self.control,
            "name": name_of(self.control),
            "labels": self.labels,
            **self.share.to_json(),
            "n_flipped": dict(zip(both, self.n_flipped, strict=True)),
            "n_steps": dict(zip(both, self.n_steps, strict=True)),
        }


@dataclass(frozen=True)
class ToneSwap:
    """Whose claims, and in whose manner: steps that both rewritings left their claim.

    Attributes:
        cells: (origin, manner), each "before" or "after", to the error rate.
        n: the same to erroneous and judged items.
        origin: error of the claims of the arm after minus those of the arm before, mean of both manners.
        manner: error in the manner of the arm after minus that of the arm before, mean of both origins.
        interaction: origin's effect in the manner after minus that in the manner before.
        drift: error of the rewriting in the own manner minus the primary's on the same steps.
        fidelity: (variant, arm) to fidelity and its items; only preserved ones are used anywhere.
    """

    cells: dict[tuple[str, str], Interval]
    n: dict[tuple[str, str], tuple[int, int]]
    origin: Interval
    manner: Interval
    interaction: Interval
    drift: Paired
    fidelity: dict[tuple[str, str], dict[str, int]]

    def to_json(self) -> dict[str, Any]:
        """The cells, effects and counts as JSON values."""
        cells = [
            {
                "origin": origin,
                "manner": manner,
                **rate.to_json(),
                "n_erroneous": self.n[origin, manner][0],
                "n_judged": self.n[origin, manner][1],
            }
            for (origin, manner), rate in self.cells.items()
        ]
        effects = {"origin": self.origin, "manner": self.manner, "interaction": self.interaction}
        return {
            "cells": cells,
            **{name: value.to_json() for name, value in effects.items()},
            "drift": self.drift.to_json(),
            "fidelity": [
                {"variant": variant, "arm": arm, **counts} for (variant, arm), counts in self.fidelity.items()
            ],
        }


@dataclass(frozen=True)
class HedgeFlip:
    """What a hedge alone does to the verdict on a claim.

    Attributes:
        flips: share of pairs whose two labels differ, of all four verdicts.
        shift: erroneous with the hedge minus erroneous without, pairs that are judged both times.
        n_pairs: pairs with two verdicts, before and after.
        n_decided: pairs with two verdicts correct or erroneous.
    """

    flips: Paired
    shift: Paired
    n_pairs: tuple[int, int]
    n_decided: tuple[int, int]

    def to_json(self) -> dict[str, Any]:
        """The shares and counts as JSON values."""
        both = ("before", "after")
        return {
            "flips": self.flips.to_json(),
            "shift": self.shift.to_json(),
            "n_pairs": dict(zip(both, self.n_pairs, strict=True)),
            "n_decided": dict(zip(both, self.n_decided, strict=True)),
        }


@dataclass(frozen=True)
class Decoys:
    """The judge on planted statements of known truth, in each arm's own words.

    Attributes:
        sensitivity: false ones called erroneous, of those called correct or erroneous.
        specificity: true ones called correct, of those called correct or erroneous.
        counts: (arm, "true" or "false") to label and its decoys.
    """

    sensitivity: Paired
    specificity: Paired
    counts: dict[tuple[str, str], dict[str, int]]

    def to_json(self) -> dict[str, Any]:
        """The rates, their counts and what they are not for, as JSON values."""
        return {
            "sensitivity": self.sensitivity.to_json(),
            "specificity": self.specificity.to_json(),
            "counts": [{"arm": arm, "truth": truth, **own} for (arm, truth), own in self.counts.items()],
            "note": DECOY_NOTE,
        }


@dataclass(frozen=True)
class GuessArm:
    """Whether the judge can tell whose step it reads.

    Attributes:
        auroc: of its probability that the arm after wrote the step.
        n_steps: steps with a guess, before and after.
        n_failed: steps without one.
    """

    auroc: Interval
    n_steps: tuple[int, int]
    n_failed: int

    def to_json(self) -> dict[str, Any]:
        """The AUROC and counts as JSON values."""
        steps = dict(zip(("before", "after"), self.n_steps, strict=True))
        return {
            "auroc": self.auroc.to_json(),
            "n_steps": steps,
            "n_failed": self.n_failed,
            "note": GUESS_NOTE,
        }
