"""Locks: from forced answers to one row a trace that says when its answer was settled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.core.errors import AnalysisError
from mechcot.core.records import TRACE_KEY
from mechcot.stats.frames import cut_off

FloatArray = NDArray[np.float64]

MATCHED = 3
"""Prefixes at which locks of long and short traces are compared: a lock needs agreement at every one."""
_CLAIM = ("correct", "erroneous", "abstain")


def one_reading(forced: pd.DataFrame) -> pd.DataFrame:
    """Keep the first lead-in, own option order and model output, and check that they are one reading."""
    chosen = (forced["lead_in"] == 0) & (forced["permutation"] == 0) & (forced["layer"] == -1)
    rows = forced[chosen].sort_values(["qid", "cid", "k"])
    pairs = rows[["arm", "reader"]].drop_duplicates()
    if len(pairs) != 1:
        found = [tuple(pair) for pair in pairs.to_numpy()]
        raise AnalysisError(
            f"expected the forced answers of one author and one reader (lead-in 0, permutation 0, layer -1); "
            f"got {found or 'none'}. Select one reading."
        )
    twice = rows[rows.duplicated(["qid", "cid", "k"])]
    if len(twice):
        row = twice.iloc[0]
        raise AnalysisError(
            f"question {row['qid']}, trace {row['cid']}: prefix {row['k']} has two forced answers"
        )
    return rows


def countable(traces: pd.DataFrame, forced: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Leave out traces that are cut, have no answer or were not read; count each reason once."""
    read = set(zip(forced["qid"], forced["cid"], strict=True))
    cut = cut_off(traces)
    silent = ~cut & (traces["answer"] < 0).to_numpy()
    unread = np.array([key not in read for key in zip(traces["qid"], traces["cid"], strict=True)], dtype=bool)
    unread &= ~cut & ~silent
    kept = traces[~(cut | silent | unread)].sort_values(["qid", "cid"])
    excluded = {"truncated": int(cut.sum()), "no_answer": int(silent.sum()), "no_reading": int(unread.sum())}
    if kept.empty:
        raise AnalysisError(f"no trace with an answer and forced answers is left; excluded: {excluded}")
    return kept, excluded


def trace_locks(
    traces: pd.DataFrame, forced: pd.DataFrame, steps: pd.DataFrame
) -> tuple[pd.DataFrame, list[FloatArray], float, int]:
    """The lock of each trace, P(own answer) at its prefixes that count, the mean option mass, and ties.

    A prefix whose highest probability two options share names none of them and agrees with no answer.
    """
    readings: dict[Any, pd.DataFrame] = dict(iter(forced.groupby(["qid", "cid"], sort=False)))
    stated = {
        key: group.sort_values("sid")["states_answer"].to_numpy(dtype=bool)
        for key, group in steps.groupby(["qid", "cid"], sort=False)
    }
    out, p_own, mass, tied = [], [], [], 0
    for qid, cid, answer in zip(traces["qid"], traces["cid"], traces["answer"].astype(int), strict=True):
        key = (qid, cid)
        says = stated.get(key, np.zeros(0, dtype=bool))
        last = int(np.argmax(says)) if says.any() else len(says)
        group = readings[key]
        group = group[group["k"] <= last]
        if len(group) != last + 1:
            raise AnalysisError(
                f"question {qid}, trace {cid}: forced answers after 0..{last} steps are needed, got "
                f"{group['k'].tolist()}. Read the trace again."
            )
        p = np.stack([np.asarray(item, dtype=np.float64) for item in group["p"]])
        if not 0 <= answer < p.shape[1]:
            raise AnalysisError(
                f"question {qid}, trace {cid}: answer {answer} is none of {p.shape[1]} options"
            )
        shared = (p == p.max(axis=1, keepdims=True)).sum(axis=1) > 1
        agrees = (p.argmax(axis=1) == answer) & ~shared
        tied += int(shared.sum())
        own = p[:, answer]
        p_own.append(own)
        mass.append(group["raw_mass"].to_numpy(dtype=np.float64))
        area = float(np.trapezoid(own) / last) if last else float(own[0])
        row = (qid, cid, answer, last, lock(agrees), area, 1.0 - float(agrees.mean()))
        out.append((*row, int(p[0].argmax()), float(agrees[0]), *matched(agrees)))
    names = ["qid", "cid", "answer", "last_k", "lock", "mean_p_own", "aoc", "at_prompt"]
    names += ["agrees_at_prompt", "locked_by_count", "locked_by_horizon"]
    frame = pd.DataFrame(out, columns=names).astype({"lock": "float64"})
    return frame, p_own, float(np.concatenate(mass).mean()), tied


def lock(agrees: NDArray[np.bool_]) -> int | None:
    """The first prefix from which the forced answer agrees to the end, [prefixes]; None: never."""
    if not agrees[-1]:
        return None
    apart = np.flatnonzero(~agrees)
    return int(apart[-1]) + 1 if apart.size else 0


def matched(agrees: NDArray[np.bool_]) -> tuple[float, float]:
    """Whether `MATCHED` prefixes agree, spread from the prompt to the end, and counted from the prompt.

    Neither is unbiased alone: spread, those of a long trace lie further apart; counted, they are the
    beginning of a long trace and the whole of a short one. NaN with fewer prefixes.
    """
    if len(agrees) < MATCHED:
        return float("nan"), float("nan")
    spread = np.round(np.linspace(0, len(agrees) - 1, MATCHED)).astype(int)
    return float(agrees[spread].all()), float(agrees[:MATCHED].all())


def with_first_claim(
    locks: pd.DataFrame, steps: pd.DataFrame, verdicts: pd.DataFrame | None, author: str
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Add the prefix that ends each trace's first claim; what a missing verdict hides is unknown."""
    out = locks.assign(claim_k=np.nan)
    if verdicts is None:
        return out, {"known": 0, "no_claim": 0, "unknown": len(locks)}
    own = steps.loc[steps["arm"] == author, [*TRACE_KEY, "sid"]].sort_values([*TRACE_KEY, "sid"])
    labels = own.merge(verdicts[[*TRACE_KEY, "sid", "label"]], on=[*TRACE_KEY, "sid"], how="left")
    if len(labels) != len(own):
        raise AnalysisError("a step has more than one verdict. Pass the verdicts of one instrument.")
    by_trace = {key: group["label"].tolist() for key, group in labels.groupby(["qid", "cid"], sort=False)}
    counts, found = {"known": 0, "no_claim": 0, "unknown": 0}, []
    for key in zip(out["qid"], out["cid"], strict=True):
        state, claim = "no_claim", float("nan")
        for index, label in enumerate(by_trace.get(key, [])):
            if label != "not_checkable":
                state = "known" if label in _CLAIM else "unknown"
                claim = index + 1.0 if state == "known" else claim
                break
        counts[state] += 1
        found.append(claim)
    return out.assign(claim_k=found), counts
