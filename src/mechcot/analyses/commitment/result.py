"""What an analysis of commitment found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from mechcot.core.results import SPREAD, UNSTORED, Interval, Result, because, cells

MEASURES = {
    "agrees_at_prompt": "traces whose forced answer at the prompt is their own",
    "locked_at_prompt": "traces locked at the prompt",
    "locked_at_first_claim": "traces locked when the first claim ends",
    "locked_before_answer": "traces locked before the answer is stated",
    "never_share": "traces that never lock",
    "locked_by_count": "traces that agree at the prompt and at two more prefixes spread to the end",
    "locked_by_horizon": "traces that agree at the prompt and after the first two steps",
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
        chance_at_prompt: agreement at the prompt if own answers did not hang on the question: the
            shares of options among forced and among own answers, multiplied and summed over options.
        raw_mass: mean probability that the options hold together, over prefixes that count. Small
            values mean that the lead-in puts the reader off its distribution.
        n_tied: prefixes that count whose highest probability two options share: they agree with no answer.
        locks: one row a trace that counts: qid, cid, answer, last_k (prefixes 0..last_k count), lock
            (missing: never), claim_k (prefix that ends the first claim; missing: none or unknown),
            mean_p_own, aoc, at_prompt (first choice there), agrees_at_prompt, locked_by_count and
            locked_by_horizon (missing: fewer than `locks.MATCHED` prefixes).
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
    shares: dict[str, Interval] = field(metadata=SPREAD)
    chance_at_prompt: float = field(metadata=because(""))
    raw_mass: float = field(metadata=because(""))
    n_tied: int
    locks: pd.DataFrame = field(metadata=UNSTORED)
    by_step: pd.DataFrame
    by_fraction: pd.DataFrame
    draws: int
    seed: int

    table = "curve"

    @property
    def curve(self) -> pd.DataFrame:
        """`by_step` with author and reader."""
        return self.by_step.assign(author=self.author, reader=self.reader)

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

    table = "differences"

    def __repr__(self) -> str:
        shown = "; ".join(f"{name} {value}" for name, value in self.differences.items())
        return f"CommitmentComparison({self.before} -> {self.after}, {self.n_questions} questions: {shown})"


@dataclass(frozen=True)
class Effects(Result):
    """One measure under two authors and two readers.

    Attributes:
        cells: author to reader to its value.
        effect_text: mean over readers of after's text minus before's.
        effect_reader: mean over authors of after's weights minus before's.
        text_read_by_before: after's text minus before's, under the reader before.
        text_read_by_after: the same under the reader after.
        reader_of_before: after's weights minus before's, on the text before.
        reader_of_after: the same on the text after.
        interaction: how much more the reader after gains from after's text than the reader before.
    """

    cells: dict[str, dict[str, Interval]]
    effect_text: Interval
    effect_reader: Interval
    interaction: Interval
    text_read_by_before: Interval
    text_read_by_after: Interval
    reader_of_before: Interval
    reader_of_after: Interval


@dataclass(frozen=True, eq=False)
class TwoByTwo(Result):
    """Author x reader: how much the text moves a measure, how much the reader does, and both together."""

    before: str
    after: str
    n_questions: int
    measures: dict[str, Effects]

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{name} {value}" for name, value in vars(self.measures["mean_p_own"]).items() if name != "cells"
        )
        return f"TwoByTwo({self.before} x {self.after}, mean P(own answer): {shown})"

    derived = ("labels",)
    table = "rows"

    @property
    def labels(self) -> dict[str, str]:
        """How each measure reads on an axis."""
        return {measure: MEASURES[measure] for measure in self.measures}

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row per measure and effect."""
        return [
            {"measure": name, "effect": effect, **cells(getattr(own, effect))}
            for name, own in self.measures.items()
            for effect in ("effect_text", "effect_reader", "interaction")
        ]
