"""What an analysis of commitment found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mechcot.core.results import Result
from mechcot.stats import Interval, leaf

if TYPE_CHECKING:
    pass


MEASURES = {
    "locked_at_prompt": "traces locked at the prompt",
    "locked_at_first_claim": "traces locked when the first claim ends",
    "locked_before_answer": "traces locked before the answer is stated",
    "never_share": "traces that never lock",
    "mean_p_own": "mean probability of own answer",
    "aoc": "mean share of prefixes whose forced answer differs",
}
"""What is compared between arms, and how it reads on an axis."""


@dataclass(frozen=True, eq=False)
class CommitmentResult(Result):
    """Commitment of one author's traces under one reader.

    Attributes:
        author: arm that wrote the traces.
        reader: arm whose weights gave the forced answers.
        n_questions: questions with at least one trace that counts.
        n_traces: traces that count.
        excluded: traces left out, by reason: truncated, no_answer, no_reading.
        first_claim: traces by what is known of their first claim: known, no_claim, unknown.
        shares: `MEASURES` to estimate and interval (fractions; questions resampled).
        raw_mass: mean probability that the options hold together, over prefixes that count. Small
            values mean that the lead-in puts the reader off its distribution.
        locks: one row a trace that counts: qid, cid, answer, last_k (prefixes 0..last_k count), lock
            (missing: never), claim_k (prefix that ends the first claim; missing: none or unknown),
            mean_p_own, aoc.
        by_step: k, locked_share of all traces with low and high, p_own with p_low and p_high over the n_p
            traces that have such a prefix.
        by_fraction: the same by fraction of the steps, over all traces.
        draws: bootstrap replicates.
        seed: of the bootstrap.
    """

    author: str
    reader: str
    n_questions: int
    n_traces: int
    excluded: dict[str, int]
    first_claim: dict[str, int]
    shares: dict[str, Interval]
    raw_mass: float
    locks: pd.DataFrame
    by_step: pd.DataFrame
    by_fraction: pd.DataFrame
    draws: int
    seed: int

    def to_frame(self) -> pd.DataFrame:
        """The curve by step, with author and reader."""
        return self.by_step.assign(author=self.author, reader=self.reader)

    def to_json(self) -> dict[str, Any]:
        """Everything but the per-trace locks, as JSON values."""
        return {
            "author": self.author,
            "reader": self.reader,
            "n_questions": self.n_questions,
            "n_traces": self.n_traces,
            "excluded": self.excluded,
            "first_claim": self.first_claim,
            **{name: interval.to_json() for name, interval in self.shares.items()},
            "raw_mass": leaf(self.raw_mass),
            "by_step": _rows(self.by_step),
            "by_fraction": _rows(self.by_fraction),
            "draws": self.draws,
            "seed": self.seed,
        }

    def __repr__(self) -> str:
        at_prompt, never = self.shares["locked_at_prompt"], self.shares["never_share"]
        return (
            f"CommitmentResult({self.author} read by {self.reader}: locked at the prompt {at_prompt}, "
            f"never {never}; {self.n_traces} traces)"
        )


@dataclass(frozen=True, eq=False)
class CommitmentComparison(Result):
    """After minus before, paired by question: `MEASURES` to difference and interval."""

    before: str
    after: str
    n_questions: int
    differences: dict[str, Interval]
    draws: int
    seed: int

    def __repr__(self) -> str:
        shown = "; ".join(f"{name} {value}" for name, value in self.differences.items())
        return f"CommitmentComparison({self.before} -> {self.after}, {self.n_questions} questions: {shown})"

    def to_frame(self) -> pd.DataFrame:
        """One row a measure."""
        rows = [
            {"measure": k, "estimate": v.estimate, "low": v.low, "high": v.high}
            for k, v in self.differences.items()
        ]
        return pd.DataFrame(rows)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "before": self.before,
            "after": self.after,
            "n_questions": self.n_questions,
            "differences": {name: interval.to_json() for name, interval in self.differences.items()},
            "draws": self.draws,
            "seed": self.seed,
        }


@dataclass(frozen=True, eq=False)
class TwoByTwo(Result):
    """Author x reader: how much the text moves a measure, how much the reader does, and both together.

    `effects` holds for each measure effect_text (mean over readers of after's text minus before's),
    effect_reader (mean over authors of after's weights minus before's) and interaction.
    """

    before: str
    after: str
    n_questions: int
    cells: dict[str, dict[str, dict[str, Interval]]]  # measure, author, reader
    effects: dict[str, dict[str, Interval]]
    draws: int
    seed: int

    def __repr__(self) -> str:
        shown = ", ".join(f"{name} {value}" for name, value in self.effects["mean_p_own"].items())
        return f"TwoByTwo({self.before} x {self.after}, mean P(own answer): {shown})"

    def to_frame(self) -> pd.DataFrame:
        """One row a measure and effect."""
        rows = [
            {"measure": measure, "effect": name, "estimate": v.estimate, "low": v.low, "high": v.high}
            for measure, effects in self.effects.items()
            for name, v in effects.items()
        ]
        return pd.DataFrame(rows)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values, by measure."""
        measures = {
            measure: {
                "cells": {
                    a: {r: v.to_json() for r, v in row.items()} for a, row in self.cells[measure].items()
                },
                **{name: v.to_json() for name, v in effects.items()},
            }
            for measure, effects in self.effects.items()
        }
        return {
            "before": self.before,
            "after": self.after,
            "n_questions": self.n_questions,
            "labels": {measure: MEASURES[measure] for measure in measures},
            "measures": measures,
            "draws": self.draws,
            "seed": self.seed,
        }


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Records with null for what is missing."""
    return [
        {str(k): (None if isinstance(v, float) and not np.isfinite(v) else v) for k, v in row.items()}
        for row in frame.to_dict("records")
    ]
