"""Measures of single traces: when the forced answer settles, in steps, tokens and probability.

All arrays are [traces, prefixes] or [traces]. A measure of the future (a lock, a hold) asks for agreement at
several prefixes, so that long traces pass it more rarely; `matched` asks at equally many.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.analyses.commitment.paths import BoolArray, FloatArray, IntArray, Paths
from mechcot.core.errors import AnalysisError
from mechcot.core.records import TRACE_KEY

MATCHED = 3
"""Prefixes at which locks of long and short traces are compared: a lock needs agreement at every one."""
HOLDS = (2, 3)
"""Prefixes in a row for which an answer is held; 1 is the first agreement."""
_CLAIM = ("correct", "erroneous", "abstain")


def lock(agrees: NDArray[np.bool_], last: IntArray) -> FloatArray:
    """The first prefix from which the forced answer agrees up to the last one, [traces]; NaN: never."""
    counts = np.arange(agrees.shape[1]) <= last[:, None]
    apart = ~agrees & counts
    behind = agrees.shape[1] - apart[:, ::-1].argmax(axis=1)  # one past the last disagreement
    first = np.where(apart.any(axis=1), behind, 0)
    return np.where(first <= last, first.astype(np.float64), np.nan)


def held(agrees: BoolArray, last: IntArray, length: int) -> FloatArray:
    """The first prefix from which the forced answer agrees `length` times in a row, [traces]; NaN: never."""
    n = agrees.shape[1]
    run = agrees.copy()
    for ahead in range(1, length):
        run[:, : n - ahead] &= agrees[:, ahead:]
        run[:, max(0, n - ahead) :] = False
    run &= np.arange(n) + length - 1 <= last[:, None]
    return np.where(run.any(axis=1), run.argmax(axis=1).astype(np.float64), np.nan)


def matched(agrees: BoolArray, start: FloatArray, last: IntArray) -> tuple[FloatArray, FloatArray]:
    """Whether `MATCHED` prefixes agree, spread from `start` to the end, or the first from it, [traces] each.

    Neither is unbiased alone: spread, those of a long trace lie further apart; counted, they are the
    beginning of a long trace and the whole of a short one. NaN with fewer prefixes, or without a start.
    """
    enough = last - start + 1 >= MATCHED
    first = np.where(enough, start, 0.0)
    rows = np.arange(len(last))[:, None]
    spread = np.round(first[:, None] + (last - first)[:, None] * np.linspace(0, 1, MATCHED)).astype(int)
    counted = np.minimum(first[:, None].astype(int) + np.arange(MATCHED), agrees.shape[1] - 1)
    found = [np.where(enough, agrees[rows, at].all(axis=1), np.nan) for at in (spread, counted)]
    return found[0], found[1]


def lock_table(agrees: BoolArray, last: IntArray, claim: FloatArray) -> dict[str, FloatArray]:
    """Whatever says of a trace whether an answer is settled, 0, 1 or NaN (it does not apply), [traces] each.

    Args:
        agrees: whether the forced answer is the one asked about, [traces, prefixes].
        last: the last prefix that counts, [traces].
        claim: the prefix that ends the first claim, [traces]; NaN: none, or not known.
    """
    where = lock(agrees, last)
    by_count, by_horizon = matched(agrees, np.zeros(len(last)), last)
    claim_count, claim_horizon = matched(agrees, claim, last)
    locked = ~np.isnan(where)
    return {
        "agrees_at_prompt": agrees[:, 0].astype(np.float64),
        "locked_at_prompt": (where == 0).astype(np.float64),
        "locked_by_count": by_count,
        "locked_by_horizon": by_horizon,
        "locked_at_first_claim": np.where(np.isnan(claim), np.nan, where <= claim),
        "claim_by_count": claim_count,
        "claim_by_horizon": claim_horizon,
        "locked_before_answer": locked.astype(np.float64),
        "never_share": (~locked).astype(np.float64),
        "ever_agrees": (~np.isnan(held(agrees, last, 1))).astype(np.float64),
        **{
            f"held_{n}": np.where(last + 1 >= n, ~np.isnan(held(agrees, last, n)), np.nan).astype(np.float64)
            for n in HOLDS
        },
    }


def trace_table(paths: Paths, claim: FloatArray) -> pd.DataFrame:
    """One row a trace: what `result.CommitmentResult.locks` lists."""
    agrees, last = paths.chosen(paths.traces["answer"].to_numpy(np.int64)), paths.last
    rows, ends = np.arange(len(last)), np.maximum(last, 1)
    own, choice = paths.own, paths.choice
    where = lock(agrees, last)
    middles = (own[:, :-1] + own[:, 1:]) / 2
    area = np.where(last > 0, np.nansum(middles, axis=1) / ends, own[:, 0])
    differs = (choice[:, 1:] != choice[:, :-1]) & paths.counts[:, 1:]
    changed = differs.any(axis=1)
    change = (
        np.where(changed, choice.shape[1] - 1 - differs[:, ::-1].argmax(axis=1), 0) if differs.size else 0
    )
    change = np.broadcast_to(np.asarray(change, dtype=np.int64), last.shape)
    gold = paths.traces["gold"].to_numpy(np.int64)
    first_choice = np.where(np.isnan(paths.p[:, 0]), -1.0, paths.p[:, 0]).argmax(axis=1)
    table = paths.traces.assign(
        right=np.where(gold >= 0, paths.traces["answer"].to_numpy() == gold, np.nan),
        claim_k=claim,
        lock=where,
        at_prompt=first_choice,
        mean_p_own=area,
        aoc=1.0 - (agrees & paths.counts).sum(axis=1) / (last + 1),
        first_agreement=held(agrees, last, 1),
        **{f"held_from_{n}": held(agrees, last, n) for n in HOLDS},
        n_changes=differs.sum(axis=1),
        last_change=change,
        steps_after_change=last - change,
        tokens=paths.tokens[rows, last],
        tokens_after_change=paths.tokens[rows, last] - paths.tokens[rows, change],
        lag=paths.traces["named_k"].to_numpy(np.float64) - where,
        **_moves(own, last),
    )
    return table.assign(**lock_table(agrees, last, claim))


def _moves(own: FloatArray, last: IntArray) -> dict[str, FloatArray]:
    """The largest rise of P(own answer) in one step, and how deep it falls before it ends."""
    if own.shape[1] < 2:
        nothing = np.full(len(own), np.nan)
        return dict.fromkeys(("jump", "jump_k", "jump_margin", "lowest", "dip"), nothing)
    rise = np.diff(own, axis=1)
    ordered = np.sort(np.where(np.isnan(rise), -np.inf, rise), axis=1)
    jump = np.where(last >= 1, ordered[:, -1], np.nan)
    second = ordered[:, -2] if rise.shape[1] > 1 else np.full(len(own), -np.inf)
    at = np.where(np.isnan(rise), -np.inf, rise).argmax(axis=1) + 1.0
    inner = (np.arange(own.shape[1]) > 0) & (np.arange(own.shape[1]) < last[:, None])
    lowest = np.where(inner, own, np.inf).min(axis=1)
    lowest = np.where(last >= 2, lowest, np.nan)
    ends = np.minimum(own[:, 0], own[np.arange(len(own)), last])
    return {
        "jump": jump,
        "jump_k": np.where(last >= 1, at, np.nan),
        "jump_margin": np.where(last >= 2, jump - np.where(last >= 2, second, 0.0), np.nan),
        "lowest": lowest,
        "dip": np.maximum(ends - lowest, 0.0),
    }


def first_claims(
    traces: pd.DataFrame, steps: pd.DataFrame, verdicts: pd.DataFrame | None, author: str
) -> tuple[FloatArray, dict[str, int]]:
    """The prefix that ends each trace's first claim [traces]; what a missing verdict hides is not known.

    Args:
        traces: qid and cid of the traces that count.
        steps: rows of `records.STEPS`.
        verdicts: rows of `records.VERDICTS` of one instrument; None: no claim is known.
        author: whose.

    Raises:
        AnalysisError: a step with several verdicts.
    """
    claim = np.full(len(traces), np.nan)
    if verdicts is None:
        return claim, {"known": 0, "no_claim": 0, "unknown": len(traces)}
    own = steps.loc[steps["arm"] == author, [*TRACE_KEY, "sid"]].sort_values([*TRACE_KEY, "sid"])
    labels = own.merge(verdicts[[*TRACE_KEY, "sid", "label"]], on=[*TRACE_KEY, "sid"], how="left")
    if len(labels) != len(own):
        raise AnalysisError("a step has more than one verdict. Pass the verdicts of one instrument.")
    place = labels.groupby(["qid", "cid"], sort=False).cumcount().to_numpy()
    open_ = labels["label"].to_numpy() != "not_checkable"
    first = labels.assign(place=place)[open_].drop_duplicates(["qid", "cid"])
    row = pd.MultiIndex.from_frame(first[["qid", "cid"]]).get_indexer(
        pd.MultiIndex.from_frame(traces[["qid", "cid"]])
    )
    found = row >= 0
    known = np.zeros(len(traces), dtype=bool)
    known[found] = first["label"].isin(_CLAIM).to_numpy()[row[found]]
    claim[known] = first["place"].to_numpy()[row[known]] + 1.0
    counts = {"known": known.sum(), "no_claim": (~found).sum(), "unknown": (found & ~known).sum()}
    return claim, {name: int(n) for name, n in counts.items()}
