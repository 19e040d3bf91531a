"""Does the probe buy anything: abstaining on traces, and choosing among a question's traces.

A trace's score is the maximum or the mean of the out-of-fold scores of its judged steps; both are fixed in
advance, and so is the direction of what they are compared with (high entropy, long, few votes: risky).
Out-of-fold scores are comparable inside a fold only, so a share of the traces is kept *of each fold*, and
everything that is compared is treated alike. What is tied stays tied: values are expectations over
breaking ties at random, hence a constant score does exactly as well as random order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from mechcot.core.errors import AnalysisError
from mechcot.core.records import TRACE_KEY
from mechcot.probe.data import BoolArray, FloatArray, IntArray
from mechcot.probe.use_result import COVERAGES, Abstention, Choice, Difference, Rule, UseResult
from mechcot.stats import Interval, jackknife_interval, mean_interval
from mechcot.stats.frames import describe, one_arm, require_columns, require_unique
from mechcot.stats.jackknife import QUESTIONS, left_out_counts

PROBES = ("probe_max", "probe_mean")
LABELS = {
    "probe_max": "probe, highest step",
    "probe_mean": "probe, mean over steps",
    "entropy": "mean token entropy",
    "length": "length in tokens",
    "vote_share": "vote share of the answer",
    "random": "random order",
    "oracle": "oracle",
}
"""Scores for abstaining; the oracle knows the outcome."""

CHOICES = {
    "probe_max": "lowest probe score, highest step",
    "probe_mean": "lowest probe score, mean over steps",
    "vote_probe_max": "vote weighted by the probe, highest step",
    "vote_probe_mean": "vote weighted by the probe, mean over steps",
    "entropy": "lowest mean token entropy",
    "random": "a random trace",
    "plurality": "plurality vote",
    "oracle": "any trace right (upper bound)",
}
"""Rules for choosing an answer. A probe's vote weighs a trace by 1 - p, p the logistic of its score."""


def trace_table(
    traces: pd.DataFrame, questions: pd.DataFrame, signals: pd.DataFrame | None = None
) -> pd.DataFrame:
    """What is known of each trace without a probe.

    Args:
        traces: rows of `records.TRACES`, one arm.
        questions: rows of `records.QUESTIONS`; traces of other questions are left out.
        signals: rows of `records.SIGNALS`, one reader; without them the entropy is missing.

    Returns:
        columns qid, arm, cid, answer (-1: none), gold, length (tokens), entropy (nats, mean over tokens)
        and vote_share (of the trace's answer among all traces of its question, "no answer" being one).
    """
    table = traces.merge(questions[["qid", "gold"]], on="qid", validate="many_to_one")
    table["length"] = [float(len(ids)) for ids in table["token_ids"]]
    votes = table.groupby(["qid", "answer"])["cid"].transform("size")
    table["vote_share"] = votes / table.groupby("qid")["cid"].transform("size")
    table["entropy"] = np.nan
    if signals is not None:
        mean = [float(np.mean(values)) if len(values) else np.nan for values in signals["entropy"]]
        known = signals[TRACE_KEY].assign(entropy=mean)
        table = table.drop(columns="entropy").merge(known, on=TRACE_KEY, how="left", validate="one_to_one")
    return table[[*TRACE_KEY, "answer", "gold", "length", "entropy", "vote_share"]]


def use_of(
    steps: pd.DataFrame,
    scores: Sequence[float] | FloatArray,
    fold: Sequence[int] | IntArray,
    traces: pd.DataFrame,
) -> UseResult:
    """Compare abstaining and choosing by a probe with what needs none.

    The area under the risk-coverage curve (AURC; Geifman & El-Yaniv 2017) is the mean error rate of the
    kept traces over all shares kept, from the least risky on. Intervals leave out question by question.

    Args:
        steps: `probe.step_table`, one arm.
        scores: out-of-fold score of each row, higher is riskier, [steps].
        fold: outer fold of each row, [steps].
        traces: `trace_table` of the same arm. Traces without a scored step vote in `vote_share`; they are
            otherwise left out and counted.

    Raises:
        AnalysisError: lengths differ, a score is not finite, a question in two folds, steps of a trace
            that the table lacks, or an entropy for some of the scored traces only.
    """
    table, n_unscored = _scored(steps, scores, fold, traces)
    risk = _risks(table)
    outcomes = {
        "wrong_answer": (table["answer"] != table["gold"]).to_numpy(),
        "erroneous_step": (table["errors"] > 0).to_numpy(),
    }
    abstain = {name: _abstain(table, risk, bad) for name, bad in outcomes.items()}
    return UseResult(
        abstain=abstain,
        choose=_choose(table),
        n_traces=len(table),
        n_unscored=n_unscored,
        n_no_answer=int((table["answer"] < 0).sum()),
        n_questions=table["qid"].nunique(),
    )


def _scored(
    steps: pd.DataFrame,
    scores: Sequence[float] | FloatArray,
    fold: Sequence[int] | IntArray,
    traces: pd.DataFrame,
) -> tuple[pd.DataFrame, int]:
    """Traces with their step scores and fold, sorted, and how many had no scored step."""
    require_columns(steps, [*TRACE_KEY, "y"], "steps")
    require_columns(traces, [*TRACE_KEY, "answer", "gold", "length", "entropy", "vote_share"], "traces")
    require_unique(traces, TRACE_KEY, "traces")
    one_arm(traces, "traces")
    if not len(steps) == len(scores) == len(fold):
        raise AnalysisError(
            f"{len(steps)} steps, {len(scores)} scores and {len(fold)} folds: one of each a step"
        )
    frame = steps[[*TRACE_KEY, "y"]].assign(score=np.asarray(scores, dtype=np.float64), fold=np.asarray(fold))
    bad = np.flatnonzero(~np.isfinite(frame["score"]))
    if bad.size:
        raise AnalysisError(f"{describe(frame.iloc[bad], TRACE_KEY)}: a step's score is not a finite number")
    split = frame.groupby("qid")["fold"].nunique()
    if (split > 1).any():
        raise AnalysisError(
            f"question {split.idxmax()} lies in {split.max()} folds; scores must be out of fold"
        )
    own = frame.groupby(TRACE_KEY, as_index=False).agg(
        probe_max=("score", "max"), probe_mean=("score", "mean"), errors=("y", "sum"), fold=("fold", "first")
    )
    table = own.merge(traces, on=TRACE_KEY, how="left", validate="one_to_one", indicator=True)
    lost = table[table["_merge"] == "left_only"]
    if len(lost):
        raise AnalysisError(f"{describe(lost, TRACE_KEY)} has scored steps but is not in the table of traces")
    missing = table["entropy"].isna()
    if missing.any() and not missing.all():
        raise AnalysisError(
            f"{describe(table[missing], TRACE_KEY)} has no entropy ({missing.sum()} of {len(table)}). "
            "Pass the signals of the reading that the scores come from."
        )
    return table.sort_values(TRACE_KEY, ignore_index=True), len(traces) - len(table)


def _risks(table: pd.DataFrame) -> dict[str, FloatArray]:
    """What each rule orders traces by, higher is riskier, [traces]; entropy only where it was read."""
    risk = {name: table[name].to_numpy(dtype=np.float64) for name in (*PROBES, "entropy", "length")}
    risk["vote_share"] = -table["vote_share"].to_numpy(dtype=np.float64)
    risk["random"] = np.zeros(len(table))
    return {name: values for name, values in risk.items() if np.isfinite(values).all()}


def _abstain(table: pd.DataFrame, risk: Mapping[str, FloatArray], bad: BoolArray) -> Abstention:
    """Areas and curves of every score, and the probe's areas minus the others'."""
    owner, names = pd.factorize(table["qid"], sort=True)
    fold = table["fold"].to_numpy()
    ordered = {**risk, "oracle": bad.astype(np.float64)}
    found: dict[str, list[FloatArray]] = {name: [] for name in ordered}
    ones = np.ones((1, len(names)), dtype=np.int64)
    for counts in (ones, *left_out_counts(len(names), len(table))):
        weight = counts[:, owner].astype(np.float64)
        for name, values in ordered.items():
            found[name].append(_risk_coverage(values, bad, fold, weight))
    all_of = {name: np.concatenate(parts) for name, parts in found.items()}  # [1 + questions, 1 + coverages]

    def interval(values: FloatArray, *, logit: bool) -> Interval:
        return jackknife_interval(float(values[0]), values[1:], logit=logit, unit=QUESTIONS)

    rules = tuple(
        Rule(name, LABELS[name], own[0], own[1:])
        for name, v in all_of.items()
        for own in [tuple(interval(column, logit=True) for column in v.T)]
    )
    differences = tuple(
        Difference(probe, other, interval(all_of[probe][:, 0] - all_of[other][:, 0], logit=False))
        for probe in PROBES
        for other in risk
        if other not in PROBES
    )
    return Abstention(rules, differences, len(table), int(bad.sum()), len(names))


def _risk_coverage(risk: FloatArray, bad: BoolArray, fold: NDArray[Any], weight: FloatArray) -> FloatArray:
    """Area under the curve, then the error rate at each of `COVERAGES`, [rows, 1 + coverages].

    Between two distinct scores W traces with E errors are kept and g tied ones with h errors follow; the
    area adds the integral of (E + h t/g) / (W + t) over t in 0..g, h + (E - h W/g) log((W + g) / W).

    Args:
        risk: [traces].
        bad: whether the trace is in error, [traces].
        fold: [traces].
        weight: how often each trace counts, [rows, traces].
    """
    area, errors, kept = np.zeros(len(weight)), np.zeros((len(weight), len(COVERAGES))), np.zeros(len(weight))
    for number in np.unique(fold):
        rows = np.flatnonzero(fold == number)
        rows = rows[np.argsort(risk[rows], kind="stable")]
        starts = np.flatnonzero(np.diff(risk[rows], prepend=np.nan) != 0)
        g = np.add.reduceat(weight[:, rows], starts, axis=1)
        h = np.add.reduceat(weight[:, rows] * bad[rows], starts, axis=1)
        W, E = np.cumsum(g, axis=1), np.cumsum(h, axis=1)
        before, wrong = W - g, E - h
        rate = np.divide(h, g, out=np.zeros_like(h), where=g > 0)
        growth = np.divide(W, before, out=np.ones_like(W), where=before > 0)
        area += (h + (wrong - rate * before) * np.log(growth)).sum(axis=1)
        total = W[:, -1]
        kept += total
        for place, coverage in enumerate(COVERAGES):
            wanted = coverage * total
            at = np.argmax(wanted[:, None] * (1 - 1e-12) <= W, axis=1)[:, None]
            there, missed, share = (np.take_along_axis(a, at, axis=1)[:, 0] for a in (before, wrong, rate))
            errors[:, place] += missed + share * (wanted - there)
    return np.column_stack([area / kept, errors / (kept[:, None] * np.array(COVERAGES))])


def _choose(table: pd.DataFrame) -> Choice:
    """Accuracy of each rule over questions with at least two scored traces."""
    found = [_chosen(part) for _, part in table.groupby("qid", sort=True) if len(part) > 1]
    sizes = [len(part) for _, part in table.groupby("qid") if len(part) > 1]
    values = pd.DataFrame(found)
    names = [name for name in CHOICES if name in values]
    rules = tuple(Rule(name, CHOICES[name], mean_interval(values[name].to_numpy()), ()) for name in names)
    probes = [name for name in names if "probe" in name]
    differences = tuple(
        Difference(probe, other, mean_interval((values[probe] - values[other]).to_numpy()))
        for probe in probes
        for other in names
        if other not in (*probes, "oracle")
    )
    single = int(table["qid"].nunique()) - len(found)
    return Choice(rules, differences, len(found), single, float(np.mean(sizes)) if sizes else None)


def _chosen(part: pd.DataFrame) -> dict[str, float]:
    """How right each rule is on one question, ties shared."""
    answer, right = part["answer"].to_numpy(), (part["answer"] == part["gold"]).to_numpy()
    out = {"random": float(right.mean()), "oracle": float(right.any())}
    out["plurality"] = _vote(answer, right, np.ones(len(part)))
    for name in (*PROBES, "entropy"):
        values = part[name].to_numpy(dtype=np.float64)
        if np.isfinite(values).all():
            out[name] = float(right[values == values.min()].mean())
    for name in PROBES:
        out[f"vote_{name}"] = _vote(answer, right, expit(-part[name].to_numpy(dtype=np.float64)))
    return out


def _vote(answer: IntArray, right: BoolArray, weight: FloatArray) -> float:
    """Score of the heaviest answer, ties shared; "no answer" can win and is wrong."""
    classes, first, number = np.unique(answer, return_index=True, return_inverse=True)
    mass = np.bincount(number, weights=weight, minlength=len(classes))
    winners = mass >= mass.max() * (1 - 1e-12)
    return float(right[first][winners].mean())
