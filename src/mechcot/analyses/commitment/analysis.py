"""When a trace's answer is settled: forced answers after every step prefix, and the lock.

A forced answer is the reader's distribution over the options when it is made to answer after a
prefix of the author's text; one whose highest probability two options share is a tie, which is
counted and equals no answer. A *lock* is the first prefix from which the forced answer equals the
trace's own parsed answer at every later prefix, up to the last one before the answer is stated. It
is defined by the future: a finished trace without one is "never", not censored, so shares are of
all traces and the curve's plateau is 1 - never (methods, amendment 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.analyses.arms import draws_of, on_questions, pair_of
from mechcot.analyses.commitment.locks import countable, one_reading, trace_locks, with_first_claim
from mechcot.analyses.commitment.result import (
    MEASURES,
    CommitmentComparison,
    CommitmentResult,
    Effects,
    TwoByTwo,
)
from mechcot.analyses.form import INTERVAL, missing, pick
from mechcot.core.errors import AnalysisError
from mechcot.stats import Interval, interval_of_sums, rate_interval, ratio_difference_interval
from mechcot.stats.cluster import resampled_sums

if TYPE_CHECKING:
    from mechcot.study.folder import Study


FloatArray = NDArray[np.float64]


_GRID = np.round(np.linspace(0.0, 1.0, 21), 2)


def curves(
    forced: pd.DataFrame,
    traces: pd.DataFrame,
    steps: pd.DataFrame,
    verdicts: pd.DataFrame | None = None,
    *,
    draws: int = 2000,
    seed: int = 0,
) -> CommitmentResult:
    """Locks and commitment curves of one author under one reader.

    Args:
        forced: rows of `records.FORCED`; of several lead-ins, permutations and layers the first
            lead-in, the question's own order and the model's output are used.
        traces: rows of `records.TRACES`; other arms than the author are ignored.
        steps: rows of `records.STEPS`, likewise.
        verdicts: rows of `records.VERDICTS` of one instrument; a step labelled correct, erroneous or
            abstain is a claim. Without them `locked_at_first_claim` has no value.
        draws: bootstrap replicates; questions are resampled.
        seed: of the bootstrap.

    Raises:
        AnalysisError: forced rows of several readings, a prefix missing or twice, no trace left.
    """
    rows = one_reading(forced)
    author, reader = str(rows["arm"].iloc[0]), str(rows["reader"].iloc[0])
    kept, excluded = countable(traces[traces["arm"] == author], rows)
    locks, p_own, mass, tied = trace_locks(kept, rows, steps[steps["arm"] == author])
    locks, first_claim = with_first_claim(locks, steps, verdicts, author)
    by_step, by_fraction = _tables(locks, p_own, draws, seed)
    questions, sums = _question_sums(locks)
    shares = {name: rate_interval(sums[name][0], sums[name][1]) for name in MEASURES}
    return CommitmentResult(
        author, reader, len(questions), len(locks), excluded, first_claim, shares, _chance(locks), mass, tied,
        locks, by_step, by_fraction, draws, seed,
    )  # fmt: skip


def _chance(locks: pd.DataFrame) -> float:
    """Agreement at the prompt if a trace's answer did not hang on its question."""
    forced, own = (locks[name].value_counts(normalize=True) for name in ("at_prompt", "answer"))
    return float((forced * own).sum())


def compare(before: CommitmentResult, after: CommitmentResult) -> CommitmentComparison:
    """After minus before on every measure; a question is left out of both together."""
    names = _union([before.locks, after.locks])
    (_, first), (_, second) = _question_sums(before.locks, names), _question_sums(after.locks, names)
    differences = {name: ratio_difference_interval(*first[name], *second[name]) for name in MEASURES}
    return CommitmentComparison(before.author, after.author, len(names), differences)


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
    names = _union([result.locks for result in results.values()])
    measures = {}
    sums = {key: _question_sums(result.locks, names)[1] for key, result in results.items()}
    for measure in ("mean_p_own", "locked_before_answer", "locked_at_prompt", "agrees_at_prompt"):
        cells = {
            author: {reader: rate_interval(*sums[author, reader][measure]) for reader in arms}
            for author in arms
        }
        table = np.stack([part for a in arms for r in arms for part in sums[a, r][measure]], axis=1)
        measures[measure] = Effects(cells, **_effects(table))
    return TwoByTwo(before, after, len(names), measures)


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
        return interval_of_sums(table, lambda sums: np.asarray(_ratio(sums) @ factors), weight=share)

    return {name: interval(factors) for name, factors in contrasts.items()}


def _ratio(sums: FloatArray) -> FloatArray:
    den = sums[:, 1::2]
    out: FloatArray = np.divide(sums[:, 0::2], den, out=np.full(den.shape, np.nan), where=den > 0)
    return out


def _per_trace(locks: pd.DataFrame) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Each measure's numerator and denominator, [traces] each."""
    where, claim = locks["lock"].to_numpy(float), locks["claim_k"].to_numpy(float)
    ones, known = np.ones(len(locks)), (~np.isnan(claim)).astype(float)
    never = np.isnan(where)
    long_enough = locks["locked_by_count"].notna().to_numpy(float)
    return {
        "agrees_at_prompt": (locks["agrees_at_prompt"].to_numpy(float), ones),
        "locked_by_count": (locks["locked_by_count"].fillna(0).to_numpy(float), long_enough),
        "locked_by_horizon": (locks["locked_by_horizon"].fillna(0).to_numpy(float), long_enough),
        "locked_at_prompt": ((where == 0).astype(float), ones),
        "locked_at_first_claim": ((where <= claim).astype(float) * known, known),
        "locked_before_answer": ((~never).astype(float), ones),
        "never_share": (never.astype(float), ones),
        "mean_p_own": (locks["mean_p_own"].to_numpy(float), ones),
        "aoc": (locks["aoc"].to_numpy(float), ones),
    }


def _union(tables: list[pd.DataFrame]) -> list[str]:
    return sorted(set().union(*(set(table["qid"]) for table in tables)))


def _question_sums(
    locks: pd.DataFrame, names: list[str] | None = None
) -> tuple[list[str], dict[str, tuple[FloatArray, FloatArray]]]:
    """Each measure's numerator and denominator summed by question, [questions] each."""
    order = _union([locks]) if names is None else names
    index = pd.Index(order).get_indexer(pd.Index(locks["qid"]))

    def total(values: FloatArray) -> FloatArray:
        return np.bincount(index, values, minlength=len(order)).astype(np.float64)

    return order, {name: (total(num), total(den)) for name, (num, den) in _per_trace(locks).items()}


def _tables(
    locks: pd.DataFrame, p_own: list[FloatArray], draws: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The curves by step and by fraction of steps, with pointwise intervals over questions."""
    last, where = locks["last_k"].to_numpy(int), locks["lock"].to_numpy(float)
    steps = np.arange(last.max() + 1)
    at_step = np.full((len(locks), len(steps)), np.nan)
    at_fraction = np.empty((len(locks), len(_GRID)))
    for index, own in enumerate(p_own):
        at_step[index, : len(own)] = own
        at_fraction[index] = np.interp(_GRID * last[index], np.arange(len(own)), own)
    share = np.where(
        last > 0, where / np.maximum(last, 1), where
    )  # a trace without steps locks at 0 or never
    by_step = _curve(locks, where[:, None] <= steps, at_step, draws, seed)
    by_fraction = _curve(locks, share[:, None] <= _GRID + 1e-9, at_fraction, draws, seed)
    by_step.insert(0, "k", steps)
    by_fraction.insert(0, "fraction", _GRID)
    return by_step, by_fraction


def _curve(
    locks: pd.DataFrame, locked: NDArray[np.bool_], p: FloatArray, draws: int, seed: int
) -> pd.DataFrame:
    """Locked share of all traces and mean P(own answer) of those that have the point, [traces, points]."""
    index, questions = pd.factorize(locks["qid"], sort=True)
    has = ~np.isnan(p)
    columns = np.hstack([locked, np.ones_like(locked), np.where(has, p, 0.0), has]).astype(np.float64)
    table = np.zeros((len(questions), columns.shape[1]))
    np.add.at(table, index, columns)
    totals, replicates = table.sum(axis=0)[None, :], resampled_sums(table, draws, seed)
    points = locked.shape[1]
    out: dict[str, Any] = {}
    for offset, names in ((0, ("locked_share", "low", "high")), (2 * points, ("p_own", "p_low", "p_high"))):
        num, den = slice(offset, offset + points), slice(offset + points, offset + 2 * points)
        with np.errstate(invalid="ignore", divide="ignore"):
            out[names[0]] = (totals[:, num] / totals[:, den])[0]
            out[names[1]], out[names[2]] = np.nanquantile(
                replicates[:, num] / replicates[:, den], [0.025, 0.975], axis=0
            )
    return pd.DataFrame(out).assign(n_p=has.sum(axis=0))


def commitment_of(study: Study, author: str | None = None, reader: str | None = None) -> CommitmentResult:
    """When an author's traces settle on their answer, as a reader sees it.

    Args:
        study: its readings must be there.
        author: whose traces; None: the arm after.
        reader: by whose weights; None: the author's own.
    """
    author = author or study.settings.contrast.after
    questions = study.questions(study.settings.contrast.domain)
    read = study.settings.reading.traces_per_question
    traces = on_questions(questions, study.traces(author))
    return curves(
        study.forced(author, reader),
        traces[traces.cid < read],
        study.steps(author),
        study.verdicts(author),
        draws=draws_of(study),
        seed=study.settings.seed,
    )


def commitments_of(study: Study) -> dict[str, Any]:
    """Commitment of both arms, their difference, and author x reader."""
    before, after = pair_of(study)
    cells = {
        (author, reader): commitment_of(study, author, reader)
        for author in (before, after)
        for reader in (before, after)
    }
    own = {arm: cells[arm, arm] for arm in (before, after)}
    return {
        "arms": {arm: result.to_json() for arm, result in own.items()},
        "difference": compare(own[before], own[after]).to_json(),
        "two_by_two": two_by_two(cells, before=before, after=after).to_json(),
    }


_COMMITMENT = (
    "agrees_at_prompt",
    "locked_by_count",
    "locked_by_horizon",
    "locked_at_prompt",
    "locked_at_first_claim",
    "never_share",
)


def _for_summary(result: Mapping[str, Any], arm: str) -> dict[str, Any]:
    told = ("chance_at_prompt", "n_traces", "n_questions")
    if "arms" not in result:
        nothing = {name: missing(result["reason"]) for name in (*_COMMITMENT, *told)}
        return nothing | {"intervals": {name: nothing[name] for name in _COMMITMENT}}
    own = result["arms"][arm]
    ends = {name: pick(own[name], INTERVAL) for name in _COMMITMENT}
    return pick(own, (*_COMMITMENT, *told)) | {"intervals": ends}


def summarised(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    """Shares of traces that were locked, by arm, for summary.json."""
    return {arm: _for_summary(result, arm) for arm in arms.values()}
