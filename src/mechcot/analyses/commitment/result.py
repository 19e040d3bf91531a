"""What an analysis of commitment found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from mechcot.analyses.commitment.curve_tables import BY
from mechcot.analyses.commitment.measures import MEASURES
from mechcot.analyses.commitment.paths import Paths
from mechcot.analyses.commitment.traces import TraceCommitment, trace_of
from mechcot.core.results import SPREAD, UNSTORED, Interval, Pair, Paired, Result, because, cells


@dataclass(frozen=True, eq=False)
class ByAnswer(Result):
    """Traces that answer rightly, or those that do not.

    Attributes:
        n_questions: with such a trace.
        n_traces: such traces.
        shares: `MEASURES` to estimate and interval.
        by_step: as of all traces.
        by_fraction: likewise.
        by_token: likewise.
    """

    n_questions: int
    n_traces: int
    shares: dict[str, Interval] = field(metadata=SPREAD)
    by_step: pd.DataFrame
    by_fraction: pd.DataFrame
    by_token: pd.DataFrame


@dataclass(frozen=True, eq=False)
class CommitmentResult(Result):
    """Commitment of one author's traces under one reader (docs/commitment.md defines every measure).

    Attributes:
        author: arm that wrote the traces.
        reader: arm whose weights gave the forced answers.
        lead_in: which lead-in forced them.
        by: what its figure and its frame stand against: step, share or token.
        n_questions: questions with at least one trace that counts.
        n_traces: traces that count.
        excluded: traces left out, by reason: truncated, no_answer, no_reading.
        first_claim: traces by what is known of their first claim: known, no_claim, unknown.
        shares: `MEASURES` to estimate and interval (questions left out one by one).
        chance: of each lock, what it would be if own answers did not hang on the question.
        matched: measures over `locks.MATCHED` prefixes of each trace, spread from the prompt to the last.
        n_matched: traces that have so many.
        chance_at_prompt: that of agreement at the prompt: the shares of options among forced and among own
            answers, multiplied and summed over options.
        raw_mass: mean probability that the options hold together, over prefixes that count. Small
            values mean that the lead-in puts the reader off its distribution.
        n_tied: prefixes that count whose highest probability two options share: they agree with no answer.
        n_one_prefix: traces without a step before the answer is stated: the prompt is all that counts.
        locks: one row a trace that counts: qid, cid, answer, gold, right (missing: gold is not known), last_k
            (prefixes 0..last_k count), lock (missing: never), claim_k (prefix that ends the first claim;
            missing: none or unknown), named_k, and what `locks.trace_table` adds.
        thin_locks: the same over `locks.MATCHED` prefixes of each trace.
        by_step: k, locked_share of all traces with low and high, p_own with p_low and p_high over the n_p
            traces that have such a prefix; p_gold, entropy (nats) and margin likewise.
        by_fraction: the same by fraction of the steps, over all traces.
        by_token: the same by tokens read; empty where steps do not say where their tokens end.
        by_answer: all of it of right and of wrong traces; empty where gold is not known.
        paths: the forced answers as arrays.
        steps: gives those of a question: qid, cid, sid, and where known text and label.
        options: of each question, where known.
    """

    author: str
    reader: str
    lead_in: int
    by: str
    n_questions: int
    n_traces: int
    excluded: dict[str, int]
    first_claim: dict[str, int]
    shares: dict[str, Interval] = field(metadata=SPREAD)
    chance: dict[str, Interval]
    matched: dict[str, Interval]
    n_matched: int
    chance_at_prompt: float = field(metadata=because(""))
    raw_mass: float = field(metadata=because(""))
    n_tied: int
    n_one_prefix: int
    locks: pd.DataFrame = field(metadata=UNSTORED)
    thin_locks: pd.DataFrame = field(metadata=UNSTORED)
    by_step: pd.DataFrame
    by_fraction: pd.DataFrame
    by_token: pd.DataFrame
    by_answer: dict[str, ByAnswer]
    paths: Paths = field(metadata=UNSTORED)
    steps: Callable[[str], pd.DataFrame] = field(metadata=UNSTORED)
    options: dict[str, list[str]] = field(metadata=UNSTORED)

    table = "curve"

    @property
    def curve(self) -> pd.DataFrame:
        """The curve against `by`, with author and reader."""
        rows: pd.DataFrame = getattr(self, BY[self.by])
        return rows.assign(author=self.author, reader=self.reader)

    def trace(self, qid: str, cid: int = 0) -> TraceCommitment:
        """One trace: what the reader answers after each of its steps.

        Raises:
            DataError: there is no such trace among those that count.
        """
        return trace_of(self.paths, self.steps(qid), self.options, qid, cid)

    def __repr__(self) -> str:
        at_prompt, never = self.shares["locked_at_prompt"], self.shares["never_share"]
        return (
            f"CommitmentResult({self.author} read by {self.reader}: locked at the prompt {at_prompt}, "
            f"never {never}; {self.n_traces} traces)"
        )


@dataclass(frozen=True, eq=False)
class CommitmentComparison(Result):
    """After minus before, paired by question.

    Attributes:
        before: what is compared: the author's name, with the reader's where it is another.
        after: likewise.
        n_questions: of either.
        differences: `MEASURES` to difference and interval, all traces.
        matched: differences over `locks.MATCHED` prefixes of each trace.
        equal_length: both values and the difference over traces with equally many prefixes.
        n_equal_length: traces whose number of prefixes the other arm has too.
        by_answer: "right" and "wrong" to the same three of such traces; empty where gold is not known.
    """

    before: str
    after: str
    n_questions: int
    differences: dict[str, Interval]
    matched: dict[str, Interval]
    equal_length: dict[str, Paired]
    n_equal_length: Pair[int]
    by_answer: dict[str, dict[str, dict[str, Any]]]

    table = "differences"

    def over_matched(self, name: str) -> Interval | None:
        """A measure's difference over as many prefixes of every trace; None where it has no such form."""
        matched = {**self.matched, "locked_at_first_claim": self.differences["claim_by_count"]}
        return matched.get(name)

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
    by_answer: dict[str, Effects]
    """Mean P(own answer) among traces that answer rightly and among those that do not."""

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
        return {measure: MEASURES[measure].says for measure in self.measures}

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row per measure and effect."""
        return [
            {"measure": name, "effect": effect, **cells(getattr(own, effect))}
            for name, own in self.measures.items()
            for effect in ("effect_text", "effect_reader", "interaction")
        ]
