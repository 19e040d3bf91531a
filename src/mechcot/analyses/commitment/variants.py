"""Other ways to ask: further lead-ins, other orders of the options, earlier layers of the same reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from mechcot.analyses.commitment.locks import trace_table
from mechcot.analyses.commitment.measures import intervals_of
from mechcot.analyses.commitment.paths import OWN, FloatArray, IntArray, Paths, Selection, paths_of
from mechcot.core.results import SPREAD, Interval, Result
from mechcot.stats import rate_interval
from mechcot.stats.bands import band

LITTLE_MASS = 0.5
"""What the options hold together below which a lead-in is off the reader's distribution."""
ASKED = ("agrees_at_prompt", "locked_at_prompt", "locked_by_count", "locked_before_answer", "mean_p_own")
"""Measures that are shown for every way to ask."""


@dataclass(frozen=True)
class Variant(Result):
    """One way to ask.

    Attributes:
        number: of the lead-in or of the order; -1: probabilities averaged over all orders.
        raw_mass: what the options hold together, over prefixes that count.
        little_mass: whether that is less than one half.
        differs: share of prefixes at which it gives another forced answer than the first way.
        shares: `ASKED` to estimate and interval.
    """

    number: int
    raw_mass: Interval
    little_mass: bool
    differs: Interval
    shares: dict[str, Interval] = field(metadata=SPREAD)


@dataclass(frozen=True, eq=False)
class Variants(Result):
    """Several ways to ask for the answers of one author's traces under one reader.

    Attributes:
        author: who wrote them.
        reader: who answers.
        what: "lead-in" or "order" of the options.
        n_questions: questions.
        n_traces: traces that count.
        ways: one for each.
        spread: highest less lowest P(own answer) among the ways, mean over prefixes.
        by_step: number, k, p_own with p_low and p_high, over the n_p traces that have such a prefix.
        spread_by_step: k, spread with low and high.
    """

    author: str
    reader: str
    what: str
    n_questions: int
    n_traces: int
    ways: tuple[Variant, ...]
    spread: Interval
    by_step: pd.DataFrame
    spread_by_step: pd.DataFrame

    table = "ways"

    def __repr__(self) -> str:
        return (
            f"Variants({self.author} read by {self.reader}: {len(self.ways)} {self.what}s, P(own answer) "
            f"spreads by {self.spread}; {self.n_traces} traces)"
        )


def lead_ins(
    forced: pd.DataFrame, traces: pd.DataFrame, steps: pd.DataFrame, questions: pd.DataFrame | None = None
) -> Variants | None:
    """What hangs on the text that forces the answer; None where one lead-in was read.

    Args:
        forced: rows of `records.FORCED` of one author and one reader.
        traces: rows of `records.TRACES`.
        steps: rows of `records.STEPS`.
        questions: rows of `records.QUESTIONS`.
    """
    numbers = sorted(int(one) for one in forced["lead_in"].unique())
    ways = {number: replace(OWN, lead_in=number) for number in numbers}
    return _variants("lead-in", ways, (forced, traces, steps, questions))


def orders(
    forced: pd.DataFrame, traces: pd.DataFrame, steps: pd.DataFrame, questions: pd.DataFrame | None = None
) -> Variants | None:
    """What hangs on the order in which the prompt shows the options; None where one order was read.

    Args:
        forced: as of `lead_ins`.
        traces: likewise.
        steps: likewise.
        questions: likewise.
    """
    numbers = sorted(int(one) for one in forced["permutation"].unique())
    ways = {number: replace(OWN, permutation=number) for number in numbers}
    return _variants(
        "order", {**ways, -1: replace(OWN, permutation=None)}, (forced, traces, steps, questions)
    )


_Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame | None]


def _variants(what: str, ways: dict[int, Selection], tables: _Tables) -> Variants | None:
    if sum(number >= 0 for number in ways) < 2:
        return None
    paths = {number: paths_of(*tables, chosen)[0] for number, chosen in ways.items()}
    first = paths[min(number for number in paths if number >= 0)]
    own = np.stack([path.own for number, path in paths.items() if number >= 0])
    width = np.where(first.counts, own.max(axis=0) - own.min(axis=0), np.nan)
    questions = _codes(first)
    found = [_way(number, path, first, questions) for number, path in paths.items()]
    steps = [_by_step(path.own, questions).assign(number=number) for number, path in paths.items()]
    spread = _by_step(width, questions).rename(columns={"p_own": "spread", "p_low": "low", "p_high": "high"})
    names = ["number", "k", "p_own", "p_low", "p_high", "n_p"]
    return Variants(
        author=first.author,
        reader=first.reader,
        what=what,
        n_questions=int(questions.max()) + 1,
        n_traces=len(first.traces),
        ways=tuple(found),
        spread=_mean(width, questions),
        by_step=pd.concat(steps, ignore_index=True)[names],
        spread_by_step=spread,
    )


def _codes(paths: Paths) -> IntArray:
    """The number of each trace's question, [traces]."""
    return np.asarray(pd.factorize(paths.traces["qid"], sort=True)[0], np.int64)


def _way(number: int, path: Paths, first: Paths, questions: IntArray) -> Variant:
    table = trace_table(path, np.full(len(path.traces), np.nan))
    shares = intervals_of(table)
    mass = _mean(np.where(path.counts, path.mass, np.nan), questions)
    apart = np.where(path.counts, (path.choice != first.choice).astype(np.float64), np.nan)
    return Variant(
        number,
        mass,
        mass.estimate is not None and mass.estimate < LITTLE_MASS,
        _mean(apart, questions),
        {name: shares[name] for name in ASKED},
    )


def _sums(values: FloatArray, questions: IntArray) -> tuple[FloatArray, FloatArray]:
    """Sums and counts [questions, prefixes] of values [traces, prefixes] with gaps."""
    there = ~np.isnan(values)
    sums = [np.zeros((int(questions.max()) + 1, values.shape[1])) for _ in range(2)]
    np.add.at(sums[0], questions, np.where(there, values, 0.0))
    np.add.at(sums[1], questions, there.astype(np.float64))
    return sums[0], sums[1]


def _mean(values: FloatArray, questions: IntArray) -> Interval:
    """Over all prefixes that count; they may add to a rounding above 1."""
    num, den = (part.sum(axis=1) for part in _sums(np.clip(values, 0.0, 1.0), questions))
    return rate_interval(num, den)


def _by_step(values: FloatArray, questions: IntArray) -> pd.DataFrame:
    found = band(*_sums(values, questions), rate=True)
    n = (~np.isnan(values)).sum(axis=0)
    columns = {"k": np.arange(values.shape[1]), "p_own": found.estimate, "p_low": found.low}
    return pd.DataFrame({**columns, "p_high": found.high, "n_p": n})


@dataclass(frozen=True, eq=False)
class Depth(Result):
    """Commitment in depth and in time: what each layer would answer after each step, through the lens.

    Attributes:
        author: who wrote the traces.
        reader: whose layers.
        n_questions: questions.
        n_traces: traces that count.
        cells: a row a layer (-1: the model's own output) and prefix k: P(own answer) as p_own with p_low and
            p_high, agrees (share whose first choice is the trace's own), over n_p traces.
    """

    author: str
    reader: str
    n_questions: int
    n_traces: int
    cells: pd.DataFrame

    table = "cells"

    def __repr__(self) -> str:
        layers = self.cells["layer"].nunique()
        return f"Depth({self.author} read by {self.reader}: {layers} layers, {self.n_traces} traces)"


def depth(
    forced: pd.DataFrame, traces: pd.DataFrame, steps: pd.DataFrame, questions: pd.DataFrame | None = None
) -> Depth | None:
    """P(own answer) by layer and step; None where no layer was read (`reading.lens`).

    Args:
        forced: as of `lead_ins`.
        traces: likewise.
        steps: likewise.
        questions: likewise.
    """
    layers = _deepest_last(sorted(int(one) for one in forced["layer"].unique()))
    if len(layers) < 2:
        return None
    parts = []
    for layer in layers:
        path, _ = paths_of(forced, traces, steps, questions, replace(OWN, layer=layer))
        code = _codes(path)
        right = np.where(path.counts, path.chosen(path.traces["answer"].to_numpy(np.int64)), np.nan)
        agrees = band(*_sums(right, code), rate=True).estimate
        parts.append(_by_step(path.own, code).assign(layer=layer, agrees=agrees))
    cells = pd.concat(parts, ignore_index=True)
    names = ["layer", "k", "p_own", "p_low", "p_high", "agrees", "n_p"]
    return Depth(path.author, path.reader, int(code.max()) + 1, len(path.traces), cells[names])


def _deepest_last(layers: Sequence[int]) -> list[int]:
    return [layer for layer in layers if layer >= 0] + [layer for layer in layers if layer < 0]
