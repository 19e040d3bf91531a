"""The table that a probe is fitted on: one row a judged step, with its signals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.core.errors import AnalysisError
from mechcot.core.records import LABELS, STEP_KEY, TRACE_KEY
from mechcot.core.results import Result
from mechcot.stats.frames import joined_groups

FloatArray = NDArray[np.float64]

_WHOLE = ("entropy_end", "entropy_mean", "entropy_max", "surprisal_end", "surprisal_mean", "surprisal_max")

SIGNALS_AT = {
    "end": _WHOLE,
    "mean": _WHOLE,
    "start": ("entropy_start", "surprisal_start"),
    "before": ("entropy_before", "surprisal_before"),
    "decision": ("entropy_decision", "surprisal_decision"),
}
"""Position rule of a probe to the step signals, in nats, of what the model has read by then.

Entropies are those of the next-token distribution at the tokens that the rule reads, surprisals those of
these tokens. At a step's end, and for the mean over it, the whole step has been read: last, mean, maximum.
"""

ORACLE = "entropy_object"
"""Entropy of the distribution before the claim's object: an oracle has to say where the object stands."""

SIGNALS = (*_WHOLE, ORACLE)
"""The signals of a probe at step ends, the oracle's included."""

_COLUMNS = (*dict.fromkeys(name for names in SIGNALS_AT.values() for name in names), ORACLE)


@dataclass(frozen=True)
class Dropped(Result):
    """Where the steps of an arm went; each is counted once, by the first of these that holds.

    Attributes:
        steps: of the arm.
        not_stored: steps without activations, most often of traces that were not read.
        unjudged: steps that the instrument never saw.
        abstain: verdicts "abstain".
        not_checkable: verdicts "not_checkable": the step makes no claim.
        api_failure: the instrument could not be asked.
        parse_failure: its reply could not be read.
        kept: steps called correct or erroneous.
        without_step: verdicts on steps that the arm does not have; not among `steps`.
    """

    steps: int
    not_stored: int
    unjudged: int
    abstain: int
    not_checkable: int
    api_failure: int
    parse_failure: int
    kept: int
    without_step: int


def dropped(steps: pd.DataFrame, verdicts: pd.DataFrame, stored: pd.DataFrame | None = None) -> Dropped:
    """Count what `step_table` leaves out of the same tables, and why.

    Args:
        steps: rows of `records.STEPS`, one arm.
        verdicts: rows of `records.VERDICTS`, one instrument.
        stored: the steps that have activations, by `records.STEP_KEY`; None: all.

    Raises:
        AnalysisError: a step is there twice, judged twice or stored twice.
    """
    table = _judged(steps, verdicts, stored)
    found = table.loc[table["stored"], "label"].value_counts(dropna=False)
    known = set(map(tuple, steps[STEP_KEY].to_numpy(dtype=object)))
    given = map(tuple, verdicts[STEP_KEY].to_numpy(dtype=object))
    counts = {name: int(found.get(name, 0)) for name in LABELS}
    return Dropped(
        steps=len(table),
        not_stored=int((~table["stored"]).sum()),
        unjudged=int(table.loc[table["stored"], "label"].isna().sum()),
        kept=counts.pop("correct") + counts.pop("erroneous"),
        without_step=sum(key not in known for key in given),
        **counts,
    )


def step_table(
    steps: pd.DataFrame,
    verdicts: pd.DataFrame,
    questions: pd.DataFrame,
    *,
    signals: pd.DataFrame | None = None,
    claims: pd.DataFrame | None = None,
    traces: pd.DataFrame | None = None,
    stored: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Join what a probe needs: one row for each step that an instrument called correct or erroneous.

    Args:
        steps: rows of `records.STEPS`, one arm, all steps of each of its traces.
        verdicts: rows of `records.VERDICTS`, one instrument.
        questions: rows of `records.QUESTIONS`; their `group` keeps folds apart.
        signals: rows of `records.SIGNALS`, one reader; without them the signal columns are missing values.
        claims: rows of `records.CLAIMS`; they say what a claim is about, and where its decision and its
            object stand.
        traces: rows of `records.TRACES`; without them `answer_right` is -1.
        stored: the steps that have activations, by `records.STEP_KEY`; the others are left out.

    Returns:
        columns qid, arm, cid, sid, role, text, group, n_steps (of the trace), relative (0 the trace's first
        step, 1 its last), n_words, n_tokens, tok_start, answer_right (1 the trace's final answer is gold, 0
        it is not, -1 it has none), question (stem and options), subject (the entity that the step's claim is
        about, empty where there is none), y (1: erroneous) and every signal of
        `SIGNALS_AT` and `ORACLE`, sorted by key. `dropped` counts what is left out.

    Raises:
        AnalysisError: a step is there twice, judged twice or stored twice, or its question or its trace is
            not in the table given.
    """
    table = _judged(steps, verdicts, stored)
    table["n_steps"] = table.groupby(TRACE_KEY)["sid"].transform("size")
    table = table[table["stored"] & table["label"].isin(["correct", "erroneous"])]
    table = _with_questions(table, questions)
    table["y"] = (table["label"] == "erroneous").astype(np.int64)
    table["relative"] = table["sid"] / np.maximum(table["n_steps"] - 1, 1)
    table["n_tokens"] = table["tok_end"] - table["tok_start"]
    table["answer_right"] = _answers(table, traces)
    table["subject"] = _subjects(table, claims)
    table = _with_signals(table, signals, claims).sort_values(STEP_KEY, ignore_index=True)
    told = ["role", "text", "group", "n_steps", "relative", "n_words", "n_tokens", "tok_start"]
    return table[[*STEP_KEY, *told, "answer_right", "question", "subject", "y", *_COLUMNS]]


def _judged(steps: pd.DataFrame, verdicts: pd.DataFrame, stored: pd.DataFrame | None) -> pd.DataFrame:
    """All steps with their label, a missing value where they have none, and whether they are stored."""
    _once(steps, "is in the table of steps more than once")
    _once(verdicts, "has more than one verdict. Pass the verdicts of one instrument")
    table = steps.merge(verdicts[[*STEP_KEY, "label"]], on=STEP_KEY, how="left")
    if stored is None:
        return table.assign(stored=True)
    _once(stored, "has more than one row of activations")
    table = table.merge(stored[STEP_KEY], on=STEP_KEY, how="left", indicator="stored")
    return table.assign(stored=table["stored"] == "both")


def _once(frame: pd.DataFrame, complaint: str) -> None:
    twice = frame[frame.duplicated(STEP_KEY)]
    if len(twice):
        row = twice.iloc[0]
        raise AnalysisError(
            f"question {row['qid']}, arm {row['arm']}, trace {row['cid']}, step {row['sid']} {complaint}."
        )


def _with_questions(table: pd.DataFrame, questions: pd.DataFrame) -> pd.DataFrame:
    text = [_joined(row) for row in zip(questions["stem"], questions["options"], strict=True)]
    known = questions[["qid", "gold"]].assign(
        group=questions["qid"].map(joined_groups(questions)), question=text
    )
    out = table.merge(known, on="qid", how="left", validate="many_to_one")
    if out["group"].isna().any():
        row = out[out["group"].isna()].iloc[0]
        raise AnalysisError(f"question {row['qid']} has steps but is not in the questions' table")
    return out


def _joined(question: tuple[str, Iterable[str] | None]) -> str:
    stem, options = question
    return "\n".join([stem, *(() if options is None else options)])


def _answers(table: pd.DataFrame, traces: pd.DataFrame | None) -> NDArray[Any]:
    """1 where the trace's final answer is gold, 0 where it is another, -1 where there is none."""
    if traces is None:
        return np.full(len(table), -1, dtype=np.int64)
    found = table[TRACE_KEY].merge(
        traces[[*TRACE_KEY, "answer"]], on=TRACE_KEY, how="left", validate="many_to_one"
    )
    missing = np.flatnonzero(found["answer"].isna())
    if missing.size:
        row = found.iloc[missing[0]]
        raise AnalysisError(
            f"question {row['qid']}, arm {row['arm']}, trace {row['cid']} has steps but is not in the traces'"
            " table"
        )
    answer = found["answer"].to_numpy(dtype=np.int64)
    return np.where(answer < 0, -1, answer == table["gold"].to_numpy(dtype=np.int64))


def _subjects(table: pd.DataFrame, claims: pd.DataFrame | None) -> NDArray[Any]:
    """The entity that each step's claim is about; "this", the question's own case, is none."""
    if claims is None:
        return np.full(len(table), "", dtype=object)
    found = table[STEP_KEY].merge(
        claims[[*STEP_KEY, "subject"]], on=STEP_KEY, how="left", validate="one_to_one"
    )["subject"]
    return found.where(found.notna() & (found != "this"), "").to_numpy(dtype=object)


def _with_signals(
    table: pd.DataFrame, signals: pd.DataFrame | None, claims: pd.DataFrame | None
) -> pd.DataFrame:
    if signals is None:
        return table.assign(**dict.fromkeys(_COLUMNS, np.nan))
    places = ["tok_decision", "tok_object"]
    if claims is None:
        out = table.assign(**dict.fromkeys(places, np.nan))
    else:
        out = table.merge(claims[[*STEP_KEY, *places]], on=STEP_KEY, how="left", validate="one_to_one")
    keys = zip(*(signals[name] for name in TRACE_KEY), strict=True)
    pairs = zip(signals["entropy"], signals["surprisal"], strict=True)
    series = {
        key: tuple(np.asarray(part, dtype=float) for part in pair)
        for key, pair in zip(keys, pairs, strict=True)
    }
    columns = [out[name] for name in (*TRACE_KEY, "tok_start", "tok_end", *places)]
    found = [
        _signals_of(series.get((qid, arm, cid)), int(start), int(end), float(decision), float(target))
        for qid, arm, cid, start, end, decision, target in zip(*columns, strict=True)
    ]
    values = np.array([[row.get(name, np.nan) for name in _COLUMNS] for row in found], dtype=float)
    return out.assign(**dict(zip(_COLUMNS, values.reshape(len(out), len(_COLUMNS)).T, strict=True)))


def _signals_of(
    series: tuple[FloatArray, ...] | None, start: int, end: int, decision: float, target: float
) -> dict[str, float]:
    """Read a step's signals off its trace's series; what does not exist is left out.

    The series hold what stands *before* each completion token. The residual stream at token i gives the
    distribution before token i + 1, so a site at i has the entropy of place i + 1 and has seen the
    surprisal of place i. A trace that was cut has no distribution after its last token.
    """
    if series is None or len(series[0]) == 0 or end <= start:
        return {}
    entropy, surprisal = series
    at = {"end": end - 1, "start": start, "before": start - 1}
    at["decision"] = start - 1 if np.isnan(decision) else int(decision)  # as the reading places it
    out = {}
    for rule, token in at.items():
        if 0 <= token + 1 < len(entropy):
            out[f"entropy_{rule}"] = entropy[token + 1]
        if 0 <= token < len(surprisal):
            out[f"surprisal_{rule}"] = surprisal[token]
    for name, inside in (("entropy", entropy[start + 1 : end + 1]), ("surprisal", surprisal[start:end])):
        if len(inside):
            out[f"{name}_mean"], out[f"{name}_max"] = inside.mean(), inside.max()
    if not np.isnan(target) and 0 <= int(target) < len(entropy):
        out[ORACLE] = entropy[int(target)]
    return out
