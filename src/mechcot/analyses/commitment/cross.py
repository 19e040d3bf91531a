"""Whose text, whose weights: two authors crossed with two readers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mechcot.analyses.commitment.measures import question_sums, union
from mechcot.analyses.commitment.paths import FloatArray
from mechcot.analyses.commitment.result import CommitmentResult, Effects, TwoByTwo
from mechcot.core.errors import AnalysisError
from mechcot.stats import Interval, interval_of_sums, rate_interval
from mechcot.stats.cluster import safe_ratio

CROSSED = ("mean_p_own", "locked_before_answer", "locked_at_prompt", "agrees_at_prompt")
"""Measures that are crossed."""
Cells = Mapping[tuple[str, str], pd.DataFrame]


def two_by_two(
    results: Mapping[tuple[str, str], CommitmentResult],
    *,
    before: str,
    after: str,
) -> TwoByTwo:
    """Cross author and reader: `results` maps (author, reader) to a result, all four of them.

    Raises:
        AnalysisError: a cell is missing or holds another reading.
    """
    arms = (before, after)
    for key in [(author, reader) for author in arms for reader in arms]:
        found = results.get(key)
        if found is None or (found.author, found.reader) != key:
            held = "no result" if found is None else f"{found.author} read by {found.reader}"
            raise AnalysisError(f"author x reader cell {key} holds {held}; all four readings are needed")
    tables = {key: result.locks for key, result in results.items()}
    names = union(list(tables.values()))
    by_answer = {}
    for kind, right in (("right", 1.0), ("wrong", 0.0)):
        own = {key: table[table["right"] == right] for key, table in tables.items()}
        if all(len(table) for table in own.values()):
            by_answer[kind] = _crossed(own, arms, ("mean_p_own",))["mean_p_own"]
    return TwoByTwo(before, after, len(names), _crossed(tables, arms, CROSSED), by_answer)


def _crossed(tables: Cells, arms: tuple[str, str], measures: tuple[str, ...]) -> dict[str, Effects]:
    names = union(list(tables.values()))
    sums = {key: question_sums(table, names) for key, table in tables.items()}
    found = {}
    for measure in measures:
        cells = {
            author: {reader: rate_interval(*sums[author, reader][measure]) for reader in arms}
            for author in arms
        }
        table = np.stack([part for a in arms for r in arms for part in sums[a, r][measure]], axis=1)
        found[measure] = Effects(cells, **_effects(table))
    return found


def _effects(table: FloatArray) -> dict[str, Interval]:
    """Text, reader and interaction from [questions, (author, reader) x (sum, count)]."""
    contrasts = {
        "effect_text": np.array([-0.5, -0.5, 0.5, 0.5]),
        "effect_reader": np.array([-0.5, 0.5, -0.5, 0.5]),
        "interaction": np.array([1.0, -1.0, -1.0, 1.0]),
        "text_read_by_before": np.array([-1.0, 0.0, 1.0, 0.0]),
        "text_read_by_after": np.array([0.0, -1.0, 0.0, 1.0]),
        "reader_of_before": np.array([-1.0, 1.0, 0.0, 0.0]),
        "reader_of_after": np.array([0.0, 0.0, -1.0, 1.0]),
    }
    share = (table[:, 1::2] / table[:, 1::2].sum(axis=0)).sum(axis=1)

    def interval(factors: FloatArray) -> Interval:
        def effect(sums: FloatArray) -> FloatArray:
            return np.asarray(safe_ratio(sums[:, 0::2], sums[:, 1::2]) @ factors)

        return interval_of_sums(table, effect, weight=share)

    return {name: interval(factors) for name, factors in contrasts.items()}
