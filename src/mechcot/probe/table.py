"""The table that a probe is fitted on: one row a judged step, with its signals."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.errors import AnalysisError
from mechcot.records import STEP_KEY, TRACE_KEY

FloatArray = NDArray[np.float64]

SIGNALS = ("entropy_end", "surprisal_mean", "surprisal_max", "entropy_object")
"""Step signals, in nats; the last needs an oracle that knows where the object stands."""


def step_table(
    steps: pd.DataFrame,
    verdicts: pd.DataFrame,
    questions: pd.DataFrame,
    *,
    signals: pd.DataFrame | None = None,
    claims: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Join what a probe needs: one row for each step that an instrument called correct or erroneous.

    Args:
        steps: rows of `records.STEPS`, one arm.
        verdicts: rows of `records.VERDICTS`, one instrument.
        questions: rows of `records.QUESTIONS`; their `group` keeps folds apart.
        signals: rows of `records.SIGNALS`, one reader; without them the signal columns are missing values.
        claims: rows of `records.CLAIMS`; they say where the object of a claim begins.

    Returns:
        columns qid, arm, cid, sid, role, text, group, n_steps (of the trace), y (1: erroneous) and
        `SIGNALS`, sorted by key. Steps that are abstained on, hold no claim or got no verdict are left out.

    Raises:
        AnalysisError: steps judged twice, or a question that the questions' table lacks.
    """
    judged = verdicts[verdicts["label"].isin(["correct", "erroneous"])]
    twice = judged[judged.duplicated(STEP_KEY)]
    if len(twice):
        row = twice.iloc[0]
        raise AnalysisError(
            f"question {row['qid']}, arm {row['arm']}, trace {row['cid']}, step {row['sid']} has more than "
            "one verdict. Pass the verdicts of one instrument."
        )
    table = steps.copy()
    table["n_steps"] = table.groupby(TRACE_KEY)["sid"].transform("size")
    table = table.merge(judged[[*STEP_KEY, "label"]], on=STEP_KEY, validate="one_to_one")
    table = table.merge(questions[["qid", "group"]], on="qid", how="left", validate="many_to_one")
    if table["group"].isna().any():
        row = table[table["group"].isna()].iloc[0]
        raise AnalysisError(f"question {row['qid']} has steps but is not in the questions' table")
    table["y"] = (table["label"] == "erroneous").astype(np.int64)
    table = _with_signals(table, signals, claims).sort_values(STEP_KEY, ignore_index=True)
    kept = [*STEP_KEY, "role", "text", "group", "n_steps", "y", *SIGNALS]
    return table[kept]


def _with_signals(
    table: pd.DataFrame, signals: pd.DataFrame | None, claims: pd.DataFrame | None
) -> pd.DataFrame:
    out = table.copy()
    for name in SIGNALS:
        out[name] = np.nan
    if signals is None:
        return out
    if claims is not None:
        out = out.merge(claims[[*STEP_KEY, "tok_object"]], on=STEP_KEY, how="left")
    else:
        out["tok_object"] = np.nan
    keys = zip(*(signals[name] for name in TRACE_KEY), strict=True)
    pairs = zip(signals["entropy"], signals["surprisal"], strict=True)
    series = {
        key: tuple(np.asarray(part, dtype=float) for part in pair)
        for key, pair in zip(keys, pairs, strict=True)
    }
    columns = [out[name] for name in (*TRACE_KEY, "tok_start", "tok_end", "tok_object")]
    found = [
        _signals_of(series.get((qid, arm, cid)), int(start), int(end), float(tok_object))
        for qid, arm, cid, start, end, tok_object in zip(*columns, strict=True)
    ]
    out[list(SIGNALS)] = np.array(found, dtype=float).reshape(len(out), len(SIGNALS))
    return out


def _signals_of(
    series: tuple[FloatArray, ...] | None, start: int, end: int, tok_object: float
) -> tuple[float, float, float, float]:
    """Read a step's signals off its trace's series.

    The probe sees the residual stream at the step's last token, whose next-token distribution is the
    one *before* token `end`; at the end of a trace there is none, and the last one stands in.
    """
    missing = float("nan")
    if series is None or len(series[0]) == 0 or end <= start:
        return missing, missing, missing, missing
    entropy, surprisal = series
    at_end = entropy[min(end, len(entropy) - 1)]
    inside = surprisal[start:end]
    if len(inside) == 0:
        return float(at_end), missing, missing, missing
    index = -1 if np.isnan(tok_object) else int(tok_object)
    at_object = entropy[index] if 0 <= index < len(entropy) else missing
    return float(at_end), float(inside.mean()), float(inside.max()), float(at_object)
