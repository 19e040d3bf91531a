"""From traces to shares: every measure of commitment as a ratio of sums over questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from mechcot.analyses.commitment.locks import HOLDS, MATCHED, lock_table
from mechcot.analyses.commitment.paths import BoolArray, FloatArray, Paths
from mechcot.core.results import Interval, Paired
from mechcot.stats import interval_of_sums, rate_interval, ratio_difference_interval
from mechcot.stats.cluster import safe_ratio
from mechcot.stats.jackknife import ratio_interval

Sums = tuple[FloatArray, FloatArray]
"""Numerator and denominator of each question, [questions] each."""

ADJUSTED = "aoc_adjusted"
"""The one measure whose denominator is no count of traces."""
LEAST_TO_GAIN = 0.05
"""1 - agreement at the prompt below which an area is not divided by it (methods 0.16)."""
_LITTLE = (
    f"at the prompt, fewer than {100 * LEAST_TO_GAIN:.0f} % of forced answers are another than the trace's"
)


@dataclass(frozen=True)
class Measure:
    """A number of traces.

    Attributes:
        says: how it reads on an axis.
        short: the same for a narrow table; an indented one belongs to the one above it.
        rate: whether it lies between 0 and 1.
        column: of the trace table; NaN where it does not apply to a trace.
        lock: whether it depends on agreement alone, so that chance has a level of it.
        unit: "share", "p" (probability), "steps", "tokens".
    """

    says: str
    short: str
    rate: bool = True
    column: str = ""
    lock: bool = False
    unit: str = "share"


_lock = partial(Measure, lock=True)
_mean = partial(Measure, rate=False)
MEASURES: dict[str, Measure] = {
    "agrees_at_prompt": _lock(
        "traces whose forced answer at the prompt is their own", "own answer at prompt"
    ),
    "locked_at_prompt": _lock("traces locked at the prompt", "locked at the prompt"),
    "locked_by_count": _lock(
        f"traces that agree at the prompt and at {MATCHED - 1} more prefixes spread to the end",
        f"  over {MATCHED}, spread",
    ),
    "locked_by_horizon": _lock(
        f"traces that agree at the prompt and after the first {MATCHED - 1} steps",
        f"  over the first {MATCHED}",
    ),
    "locked_at_first_claim": _lock("traces locked when the first claim ends", "locked at 1st claim"),
    "claim_by_count": _lock(
        f"traces that agree when the first claim ends and at {MATCHED - 1} more prefixes spread to the end",
        f"  over {MATCHED}, spread",
    ),
    "claim_by_horizon": _lock(
        f"traces that agree when the first claim ends and after the next {MATCHED - 1} steps",
        f"  over the next {MATCHED}",
    ),
    "locked_before_answer": _lock("traces locked before the answer is stated", "locked before answer"),
    "never_share": _lock("traces that never lock", "never lock"),
    "ever_agrees": _lock("traces whose forced answer is ever their own", "ever agree"),
    **{f"held_{n}": _lock(f"traces that agree at {n} prefixes in a row", f"  {n} in a row") for n in HOLDS},
    "mean_p_own": Measure("mean probability of own answer", "mean P(own answer)", unit="p"),
    "aoc": Measure("mean share of prefixes whose forced answer differs", "area over the curve"),
    ADJUSTED: _mean("area over the curve, of what differed at the prompt", "  chance-adjusted"),
    "changes": Measure("traces whose forced answer changes", "answer changes"),
    "steps_after_change": _mean(
        "steps after the last change", "  steps after", column="steps_after_change", unit="steps"
    ),
    "tokens_after_change": _mean(
        "tokens after the last change", "  tokens after", column="tokens_after_change", unit="tokens"
    ),
    "first_agreement": _mean(
        "steps read at the first agreement", "1st agreement, steps", column="first_agreement", unit="steps"
    ),
    "lock_step": _mean(
        "steps read at the lock, of locked traces", "lock, steps", column="lock", unit="steps"
    ),
    "named_after_lock": Measure("locked traces that name their answer only later", "  named only later"),
    "lag": _mean(
        "steps from the lock to the first that names the answer",
        "  steps to naming it",
        column="lag",
        unit="steps",
    ),
    "jump": _mean(
        "largest rise of P(own answer) in one step", "largest rise, P(own)", column="jump", unit="p"
    ),
    "jump_margin": _mean(
        "the same less the second largest", "  less the second", column="jump_margin", unit="p"
    ),
    "lowest": Measure(
        "lowest P(own answer) between both ends", "lowest P(own) inside", column="lowest", unit="p"
    ),
    "dip": Measure("how far that lies under both ends", "  under both ends", column="dip", unit="p"),
}
"""What is compared between arms, and how it reads on an axis."""

LOCKS = tuple(name for name, measure in MEASURES.items() if measure.lock)
"""Those that have a chance level."""
MATCHED_MEASURES = (
    "agrees_at_prompt",
    "locked_at_prompt",
    "locked_before_answer",
    "never_share",
    "ever_agrees",
    *(f"held_{n}" for n in HOLDS),
    "mean_p_own",
    "aoc",
    ADJUSTED,
    "changes",
)
"""Those that mean something over `MATCHED` prefixes of every trace: the prompt, the middle and the last."""


def per_trace(table: pd.DataFrame) -> dict[str, Sums]:
    """Each measure's numerator and denominator, [traces] each."""
    ones, locked = np.ones(len(table)), np.asarray(table["lock"].notna(), np.float64)
    special: dict[str, Sums] = {
        "aoc_adjusted": (
            table["aoc"].to_numpy(np.float64),
            1.0 - table["agrees_at_prompt"].to_numpy(np.float64),
        ),
        "changes": (np.asarray(table["n_changes"] > 0, np.float64), ones),
        "named_after_lock": (np.asarray(table["lag"] > 0, np.float64) * locked, locked),
    }
    found = {}
    for name, measure in MEASURES.items():
        if name in special:
            found[name] = special[name]
            continue
        values = table[measure.column or name].to_numpy(float)
        known = ~np.isnan(values)
        found[name] = (np.where(known, values, 0.0), known.astype(float))
    return found


def union(tables: Sequence[pd.DataFrame]) -> list[str]:
    """The questions of several tables, in order."""
    return sorted(set().union(*(set(table["qid"]) for table in tables)))


def question_sums(table: pd.DataFrame, order: Sequence[str] | None = None) -> dict[str, Sums]:
    """Each measure's numerator and denominator summed by question, [questions] each."""
    total = _adder(table, union([table]) if order is None else order)
    return {name: (total(num), total(den)) for name, (num, den) in per_trace(table).items()}


def _adder(table: pd.DataFrame, order: Sequence[str]) -> Callable[[FloatArray], FloatArray]:
    index = pd.Index(order).get_indexer(pd.Index(table["qid"]))

    def total(values: FloatArray) -> FloatArray:
        return np.bincount(index, values, minlength=len(order)).astype(np.float64)

    return total


def intervals_of(table: pd.DataFrame) -> dict[str, Interval]:
    """Every measure with its interval; questions are left out one by one."""
    sums, found = question_sums(table), {}
    for name, (num, den) in sums.items():
        found[name] = _explained(name, (rate_interval if MEASURES[name].rate else ratio_interval)(num, den))
    return found | {ADJUSTED: _adjusted([sums])}


def _adjusted(arms: Sequence[Mapping[str, Sums]]) -> Interval:
    """The area over the curve by what differed at the prompt, of one arm or after minus before.

    A question whose answers all stand at the prompt adds to the area and nothing to what it is divided by, so
    none is left out.
    """
    table = np.stack([part for arm in arms for part in arm[ADJUSTED]], axis=1)
    counts = np.stack([arm["aoc"][1] for arm in arms], axis=1)
    enough = (table[:, 1::2].sum(axis=0) >= LEAST_TO_GAIN * counts.sum(axis=0)).all() and len(table)

    def level(sums: FloatArray) -> FloatArray:
        ratio = (
            safe_ratio(sums[:, 0::2], sums[:, 1::2]) if enough else np.full((len(sums), len(arms)), np.nan)
        )
        return np.asarray(ratio[:, -1] - (ratio[:, 0] if len(arms) > 1 else 0.0))

    weight = (counts / np.maximum(counts.sum(axis=0), 1)).sum(axis=1)
    return interval_of_sums(table, level, weight=weight, reason=_LITTLE)


def _explained(name: str, interval: Interval) -> Interval:
    """Why there is no such number, in the measure's own words."""
    if interval.estimate is not None:
        return interval
    reasons = {
        "tokens_after_change": "the steps do not say where their tokens end",
        "lock_step": "no trace locks",
        "named_after_lock": "no trace locks",
        "lag": "no trace locks",
        "first_agreement": "no forced answer is a trace's own",
    }
    short = "no trace has so many prefixes"
    default = (
        short if name in {"jump", "jump_margin", "lowest", "dip", "held_2", "held_3"} else interval.reason
    )
    return replace(interval, reason=reasons.get(name, default))


def differences_of(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, Interval]:
    """After minus before of every measure."""
    names = union([before, after])
    sums = [question_sums(table, names) for table in (before, after)]
    plain = {name: ratio_difference_interval(*sums[0][name], *sums[1][name]) for name in MEASURES}
    return {name: _explained(name, one) for name, one in plain.items()} | {ADJUSTED: _adjusted(sums)}


def equal_lengths(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, Paired]:
    """Both values and the difference over traces with equally many prefixes.

    Each number of prefixes weighs as much as in the arm that has fewer traces of it.
    """
    names = union([before, after])
    shared = np.intersect1d(before["last_k"], after["last_k"])
    parts = []
    for length in shared:
        cut = [table[table["last_k"] == length] for table in (before, after)]
        add = [_adder(table, names) for table in cut]
        parts.append([(each, one) for each, one in zip(add, map(per_trace, cut), strict=True)])
    found = {}
    for name in [name for name in MEASURES if name != ADJUSTED]:
        columns = [add(part) for pair in parts for add, one in pair for part in one[name]]
        table = np.stack(columns, axis=1) if columns else np.zeros((len(names), 0))
        found[name] = _standardised(table, MEASURES[name].rate)
    return found


def _standardised(table: FloatArray, rate: bool) -> Paired:
    """Both arms' values and the difference from [questions, lengths x (num, den before, num, den after)]."""
    dens = table[:, 1::2].reshape(len(table), -1, 2)
    usable = (dens.sum(axis=0) > 0).all(axis=1) if dens.size else np.zeros(0, dtype=bool)
    table = table[:, np.repeat(usable, 4)]
    rows = table[table[:, 1::2].sum(axis=1) > 0] if table.size else table[:0]
    reason = "no trace of one arm has as many prefixes as one of the other"

    def arms(sums: FloatArray) -> tuple[FloatArray, FloatArray]:
        cells = sums.reshape(len(sums), -1, 2, 2)
        if not cells.shape[1]:
            return np.full(len(sums), np.nan), np.full(len(sums), np.nan)
        weight = cells[..., 1].min(axis=2)
        ratio = np.where(weight[..., None] > 0, safe_ratio(cells[..., 0], cells[..., 1]), 0.0)
        total = safe_ratio((weight[..., None] * ratio).sum(axis=1), weight.sum(axis=1)[:, None] + np.zeros(2))
        return total[:, 0], total[:, 1]

    statistics: tuple[Callable[[FloatArray], FloatArray], ...] = (
        lambda sums: arms(sums)[0],
        lambda sums: arms(sums)[1],
        lambda sums: arms(sums)[1] - arms(sums)[0],
    )
    if not len(rows):
        nothing = Interval(None, None, None, 0, "jackknife of questions", reason)
        return Paired(nothing, nothing, nothing)
    share = (rows[:, 1::2] / np.maximum(rows[:, 1::2].sum(axis=0), 1e-300)).sum(axis=1)
    found = [
        interval_of_sums(rows, statistic, weight=share, logit=rate and place < 2, reason=reason)
        for place, statistic in enumerate(statistics)
    ]
    return Paired(*found)


def chance_of(paths: Paths, table: pd.DataFrame) -> dict[str, Interval]:
    """What each lock would be if a trace's answer did not hang on its question.

    Every trace's forced answers are held against every option in turn; an option weighs as much as the share
    of traces that answer it.
    """
    names = union([table])
    add = _adder(table, names)
    options, claim = paths.p.shape[2], table["claim_k"].to_numpy(float)
    own = np.stack(
        [add(np.asarray(table["answer"] == option, np.float64)) for option in range(options)], axis=1
    )
    as_if = [_numbers(paths.chosen(option), paths, claim) for option in range(options)]
    found = {}
    for name in LOCKS:
        known = add((~np.isnan(as_if[0][name])).astype(np.float64))
        hits = np.stack([add(np.nan_to_num(one[name])) for one in as_if], axis=1)
        columns = np.hstack([own, hits, known[:, None]])

        def level(sums: FloatArray) -> FloatArray:
            answers, agreed, n = sums[:, :options], sums[:, options:-1], sums[:, -1]
            return safe_ratio((answers * agreed).sum(axis=1), answers.sum(axis=1) * n)

        weight = own.sum(axis=1)
        found[name] = interval_of_sums(columns, level, weight=weight, reason="nothing to divide by")
    return found


def _numbers(agrees: BoolArray, paths: Paths, claim: FloatArray) -> Mapping[str, FloatArray]:
    return lock_table(agrees, paths.last, claim)
