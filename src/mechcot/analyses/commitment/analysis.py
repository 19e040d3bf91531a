"""When a trace's answer is settled: forced answers after every step prefix, and the lock.

A forced answer is the reader's distribution over the options when it is made to answer after a
prefix of the author's text; one whose highest probability two options share is a tie, which is
counted and equals no answer. A *lock* is the first prefix from which the forced answer equals the
trace's own parsed answer at every later prefix, up to the last one before the answer is stated. It
is defined by the future: a finished trace without one is "never", not censored, so shares are of
all traces and the curve's plateau is 1 - never (methods, amendment 4). docs/commitment.md defines
every other measure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from mechcot.analyses.arms import on_questions, pair_of
from mechcot.analyses.commitment.cross import two_by_two
from mechcot.analyses.commitment.curve_tables import BY, curve_tables
from mechcot.analyses.commitment.locks import MATCHED, first_claims, trace_table
from mechcot.analyses.commitment.measures import (
    MATCHED_MEASURES,
    chance_of,
    differences_of,
    equal_lengths,
    intervals_of,
    union,
)
from mechcot.analyses.commitment.paths import (
    FloatArray,
    NoTraceError,
    Paths,
    Selection,
    countable,
    joined,
    paths_of,
    thinned,
)
from mechcot.analyses.commitment.result import ByAnswer, CommitmentComparison, CommitmentResult
from mechcot.analyses.commitment.variants import ASKED, depth, lead_ins, orders
from mechcot.analyses.form import INTERVAL, missing, pick
from mechcot.core.errors import AnalysisError, UsageError
from mechcot.core.records import STEP_KEY, TRACE_KEY
from mechcot.core.results import Pair
from mechcot.stats.frames import plain
from mechcot.study.parts import of_questions, parts_of

if TYPE_CHECKING:
    from mechcot.study.folder import Study

__all__ = ["commitment_of", "commitments_of", "compare", "curves", "summarised", "two_by_two"]

_KINDS = {"right": 1.0, "wrong": 0.0}


def curves(
    forced: pd.DataFrame,
    traces: pd.DataFrame,
    steps: pd.DataFrame,
    verdicts: pd.DataFrame | None = None,
    questions: pd.DataFrame | None = None,
    *,
    lead_in: int = 0,
    permutation: int | None = 0,
    by: str = "step",
) -> CommitmentResult:
    """Locks and commitment curves of one author under one reader.

    Args:
        forced: rows of `records.FORCED`; the model's own output is used, not its layers.
        traces: rows of `records.TRACES`; other arms than the author are ignored.
        steps: rows of `records.STEPS`, likewise. `tok_end` and `text` may be missing: then nothing is said in
            tokens, and only the step that states the answer names it.
        verdicts: rows of `records.VERDICTS` of one instrument; a step labelled correct, erroneous or
            abstain is a claim. Without them `locked_at_first_claim` has no value.
        questions: rows of `records.QUESTIONS`. Without them nothing is said of gold, nor of right and wrong
            answers apart.
        lead_in: which lead-in forced the answers.
        permutation: which order of the options; None: probabilities averaged over all that were read.
        by: what the figure and the frame stand against: step, share or token.

    Raises:
        AnalysisError: forced rows of several readings or of none, a prefix missing or twice, an answer that
            is no option, no trace left.
        UsageError: `by` is none of these.

    Example:
        >>> found = curves(forced, traces, steps)  # doctest: +SKIP
        >>> found.shares["agrees_at_prompt"], found.locks["lock"]  # doctest: +SKIP
    """
    check_by(by)
    part = _part(forced, traces, steps, verdicts, questions, Selection(lead_in, permutation))
    options = {} if questions is None else _options(questions)
    return _found(part, lead_in, by, options, partial(_steps, steps, verdicts, str(forced["arm"].iloc[0])))


class _Part(NamedTuple):
    """Forced answers of some questions, or only why no trace of them counts."""

    excluded: dict[str, int]
    paths: Paths | None = None
    claim: FloatArray = np.zeros(0)
    first_claim: Mapping[str, int] = MappingProxyType({})


def _part(
    forced: pd.DataFrame,
    traces: pd.DataFrame,
    steps: pd.DataFrame,
    verdicts: pd.DataFrame | None,
    questions: pd.DataFrame | None,
    chosen: Selection,
) -> _Part:
    paths, excluded = paths_of(forced, traces, steps, questions, chosen)
    return _Part(excluded, paths, *first_claims(paths.traces, steps, verdicts, paths.author))


def _together(parts: Iterable[_Part]) -> _Part:
    """All questions in one."""
    excluded, first_claim = Counter[str](), Counter[str]()
    read, claims = [], []
    for part in parts:
        excluded.update(part.excluded)
        first_claim.update(part.first_claim)
        claims.append(part.claim)
        read += [part.paths] if part.paths is not None else []
    if not read:
        raise NoTraceError(dict(excluded))
    return _Part(dict(excluded), joined(read), np.concatenate(claims), dict(first_claim))


def _found(
    part: _Part,
    lead_in: int,
    by: str,
    options: dict[str, list[str]],
    steps: Callable[[str], pd.DataFrame],
) -> CommitmentResult:
    excluded, paths, claim, first_claim = part
    assert paths is not None  # else `_part` and `_together` refuse
    locks, thin = trace_table(paths, claim), thinned(paths, MATCHED)
    thin_locks = trace_table(thin, np.full(len(thin.traces), np.nan))
    shares = intervals_of(thin_locks)
    return CommitmentResult(
        author=paths.author,
        reader=paths.reader,
        lead_in=lead_in,
        by=by,
        n_questions=locks["qid"].nunique(),
        n_traces=len(locks),
        excluded=excluded,
        first_claim=dict(first_claim),
        shares=intervals_of(locks),
        chance=chance_of(paths, locks),
        matched={name: shares[name] for name in MATCHED_MEASURES},
        n_matched=len(thin_locks),
        chance_at_prompt=_chance_at_prompt(locks),
        raw_mass=float(np.nanmean(paths.mass[paths.counts])),
        n_tied=int(paths.tied.sum()),
        n_one_prefix=int((paths.last == 0).sum()),
        locks=locks,
        thin_locks=thin_locks,
        **curve_tables(paths, locks["lock"].to_numpy(float), np.ones(len(locks), dtype=bool)),
        by_answer=_by_answer(paths, locks),
        paths=paths,
        steps=steps,
        options=options,
    )


def _options(questions: pd.DataFrame) -> dict[str, list[str]]:
    return dict(zip(questions["qid"], map(list, questions["options"]), strict=True))


def check_by(by: str) -> None:
    """Refuse what a curve cannot stand against (UsageError)."""
    if by not in BY:
        raise UsageError(f"by: expected one of {', '.join(BY)}, got {by!r}")


def _by_answer(paths: Paths, locks: pd.DataFrame) -> dict[str, ByAnswer]:
    found = {}
    for kind, right in _KINDS.items():
        only = (locks["right"] == right).to_numpy()
        own = locks[only]
        if len(own):
            curve = curve_tables(paths, locks["lock"].to_numpy(float), only)
            found[kind] = ByAnswer(own["qid"].nunique(), len(own), intervals_of(own), **curve)
    return found


def _chance_at_prompt(locks: pd.DataFrame) -> float:
    """Agreement at the prompt if a trace's answer did not hang on its question."""
    forced, own = (locks[name].value_counts(normalize=True) for name in ("at_prompt", "answer"))
    return float((forced * own).sum())


def _steps(steps: pd.DataFrame, verdicts: pd.DataFrame | None, author: str, qid: str) -> pd.DataFrame:
    """The author's steps of a question with what is known of each."""
    kept = [name for name in (*STEP_KEY, "text") if name in steps.columns]
    own = steps.loc[(steps["arm"] == author) & (steps["qid"] == qid), kept]
    return own if verdicts is None else own.merge(verdicts[[*STEP_KEY, "label"]], on=STEP_KEY, how="left")


def compare(before: CommitmentResult, after: CommitmentResult) -> CommitmentComparison:
    """After minus before on every measure; a question is left out of both together."""
    by_answer = {}
    for kind, right in _KINDS.items():
        tables = [
            [table[table["right"] == right] for table in (one.locks, one.thin_locks)]
            for one in (before, after)
        ]
        if all(len(own[0]) for own in tables):
            by_answer[kind] = _differences(*tables)
    plain = _differences([before.locks, before.thin_locks], [after.locks, after.thin_locks])
    a, b = before.locks, after.locks
    same = before.author == after.author
    called = [f"{one.author} read by {one.reader}" if same else one.author for one in (before, after)]
    return CommitmentComparison(
        before=called[0],
        after=called[1],
        n_questions=len(union([a, b])),
        **plain,
        n_equal_length=Pair(
            int(a["last_k"].isin(b["last_k"]).sum()), int(b["last_k"].isin(a["last_k"]).sum())
        ),
        by_answer=by_answer,
    )


def _differences(before: Sequence[pd.DataFrame], after: Sequence[pd.DataFrame]) -> dict[str, dict[str, Any]]:
    """Differences over all prefixes, over matched ones, and over traces of equal length."""
    thin = differences_of(before[1], after[1])
    return {
        "differences": differences_of(before[0], after[0]),
        "matched": {name: thin[name] for name in MATCHED_MEASURES},
        "equal_length": equal_lengths(before[0], after[0]),
    }


def commitment_of(
    study: Study,
    author: str | None = None,
    reader: str | None = None,
    *,
    lead_in: int = 0,
    by: str = "step",
) -> CommitmentResult:
    """When an author's traces settle on their answer, as a reader sees it.

    Args:
        study: its readings must be there.
        author: whose traces; None: the arm after.
        reader: by whose weights; None: the author's own.
        lead_in: index of the lead-in that forces the answers.
        by: what its figure and its frame stand against: step, share or token.
    """
    check_by(by)
    author = author or study.settings.contrast.after
    questions = study.questions(study.settings.contrast.domain)
    files = [study.arm_path(author) / "steps.parquet", study.reading_path(author, reader) / "forced.parquet"]
    parts = parts_of(study, questions["qid"].tolist(), files)
    found = _together(_part_of(part, author, reader, Selection(lead_in)) for part in parts)
    return _found(found, lead_in, by, _options(questions), partial(_read_steps, study, author))


_FORCED = (*TRACE_KEY, "k", "reader", "lead_in", "permutation", "layer", "p", "raw_mass")
_TRACES = (*TRACE_KEY, "answer", "answer_rule", "finish_reason")


def _part_of(study: Study, author: str, reader: str | None, chosen: Selection) -> _Part:
    forced, tables = plain(study.forced(author, reader, _FORCED)), tables_of(study, author)
    if study.qids is None:
        return _part(forced, *tables, chosen)
    try:
        if forced.empty:
            countable(tables[0], forced)
        return _part(forced, *tables, chosen)
    except NoTraceError as none:
        return _Part(none.excluded)


def _read_steps(study: Study, author: str, qid: str) -> pd.DataFrame:
    own = of_questions(study, [qid])
    return _steps(own.steps(author), own.verdicts(author), author, qid)


def tables_of(study: Study, author: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """An author's traces that are read, its steps and verdicts, and the contrast's questions."""
    questions = study.questions(study.settings.contrast.domain)
    traces = on_questions(questions, plain(study.traces(author, _TRACES)))
    read = study.settings.reading.traces_per_question
    return traces[traces.cid < read], study.steps(author), study.verdicts(author), questions


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
        **asked_otherwise(study, {arm: (arm, arm) for arm in (before, after)}),
        **_others(study),
    }


def asked_otherwise(study: Study, pairs: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """`lead_ins`, `orders` and `depth` of some readings, each where it was read, as JSON values.

    Args:
        study: finished.
        pairs: names to author and reader.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, (author, reader) in pairs.items():
        traces, steps, _, questions = tables_of(study, author)
        forced = study.forced(author, reader)
        for what, of in (("lead_ins", lead_ins), ("orders", orders), ("depth", depth)):
            if (result := of(forced, traces, steps, questions)) is not None:
                found.setdefault(what, {})[name] = result.to_json()
    told: dict[str, Any] = dict(found)
    if len(pairs) == 2 and len(found.get("lead_ins", {})) == 2:
        told["lead_in_differences"] = _by_lead_in(study, list(pairs.values()), found["lead_ins"])
    return told


def _by_lead_in(
    study: Study, pairs: Sequence[tuple[str, str]], found: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The difference of `ASKED` by every lead-in that both were asked by."""
    both = set.intersection(*({way["number"] for way in own["ways"]} for own in found.values()))
    rows = []
    for number in sorted(both):
        tables = [commitment_of(study, *pair, lead_in=number).locks for pair in pairs]
        moved = differences_of(*tables)
        rows.append({"number": number} | {name: moved[name].to_json() for name in ASKED})
    return rows


def _others(study: Study) -> dict[str, Any]:
    """Measures of further authors, such as a teacher's traces, under both arms' weights."""
    arms = pair_of(study)
    found: dict[str, dict[str, Any]] = {}
    for author in study.settings.authors():
        for reader in arms if author not in arms else ():
            with suppress(AnalysisError):  # no trace of it answers
                result = commitment_of(study, author, reader)
                told = {"n_questions": result.n_questions, "n_traces": result.n_traces}
                shares = {name: interval.to_json() for name, interval in result.shares.items()}
                found.setdefault(author, {})[reader] = told | shares
    return {"others": found} if found else {}


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
