"""Whether right traces go with right answers, and how far answers follow traces (Bhambri et al. 2026).

That both are right is a share of all; how they go together is in P(right | trace right) against P(right |
trace not right), in phi, and in the odds ratio within categories of questions. Every trace is read against
its own question, by id. A trace that names the answer ties both by construction, which is told beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mechcot.analyses.form import INTERVAL, pick
from mechcot.analyses.traces.forcing import FORCED_TRACES, table_path
from mechcot.analyses.traces.result import Against, ArmTraces, Domain, Forced, SubStepRates, TracesResult
from mechcot.core import records
from mechcot.core.errors import AnalysisError
from mechcot.core.results import Interval
from mechcot.stats import interval_of_sums, rate_interval, ratio_difference_interval
from mechcot.stats.cluster import Floats
from mechcot.stats.two_by_two import log_mantel_haenszel, log_odds_ratio, phi
from mechcot.steps.of_study import questions_by_id, task_of
from mechcot.tasks.base import Question, Verifiable
from mechcot.tasks.trace_table import TraceRow, check_rows, misplaced
from mechcot.tasks.verifiable import CORRECT, MISSING, WRONG, readable

if TYPE_CHECKING:
    from mechcot.core.settings import Settings
    from mechcot.core.trace_settings import TraceSettings
    from mechcot.study.folder import Study

CELLS = ("both", "trace_only", "answer_only", "neither")
"""Traces by whether the trace and the answer are right."""
ENTITIES = "entities"
ONE_SIDED = 0.90
"""Level of an interval whose ends are one-sided 95 % limits."""
_FLAT = "all traces or all answers are alike"
_NOTHING = "no trace could be read"


def asked(settings: Settings) -> bool:
    """Whether a study's settings ask for it."""
    return settings.traces is not None


def trace_checks_of(study: Study) -> TracesResult:
    """Whether right traces go with right answers, sub-step by sub-step, in every arm."""
    if study.settings.traces is None:
        raise AnalysisError("the study's settings ask for no check of traces (traces: {})")
    return checked_traces(study, study.settings.traces)


def checked_traces(study: Study, own: TraceSettings) -> TracesResult:
    """The same, by settings of one's own.

    Raises:
        AnalysisError: no rule checks traces of the study's task, or no question can be taken apart.
    """
    task = task_of(study).verifiable
    if task is None:
        raise AnalysisError(f"no rule checks traces of the task '{task_of(study).name}'")
    questions, unreadable = readable(task, questions_by_id(study))
    arms = {arm: _rows_of(study, arm, task, questions) for arm in study.settings.arms}
    against = own.against or study.settings.contrast.after
    domains = []
    for name in _domains(study, questions):
        of = {
            arm: [row for row in rows if name in ("", questions[row.qid].domain)]
            for arm, rows in arms.items()
        }
        domains.append(domain_of(name, of, task, against))
    forced = _forced(study, task, questions) if own.forced else None
    return TracesResult(own.margin, own.loose, against, tuple(domains), unreadable, forced)


def _domains(study: Study, questions: Mapping[str, Question]) -> list[str]:
    """The contrast's domain first, then the others; "" for all where it names none."""
    first = study.settings.contrast.domain
    if first is None:
        return [""]
    return list(dict.fromkeys((first, *sorted({one.domain for one in questions.values()}))))


def _rows_of(study: Study, arm: str, task: Verifiable, questions: Mapping[str, Question]) -> list[TraceRow]:
    traces = study.traces(arm)
    rows = []
    for trace in records.rows(traces[traces["qid"].isin(list(questions))]):
        options = questions[trace.qid].options
        answer = options[trace.answer] if trace.answer >= 0 else None
        rows.append((trace.qid, int(trace.cid), trace.text[: trace.reasoning_end], answer))
    return check_rows(task, questions, rows)


def domain_of(name: str, arms: Mapping[str, Sequence[TraceRow]], task: Verifiable, against: str) -> Domain:
    """All arms on the same questions.

    Args:
        name: of the domain.
        arms: their traces.
        task: that read them.
        against: the arm that the others are compared with, if it is among them.
    """
    other = arms.get(against, ())
    return Domain(
        name,
        tuple(arm_traces(arm, rows, task) for arm, rows in arms.items()),
        tuple(_against(arm, rows, against, other) for arm, rows in arms.items() if arm != against and other),
    )


# --- an arm -----------------------------------------------------------------------------------------


def arm_traces(arm: str, rows: Sequence[TraceRow], task: Verifiable) -> ArmTraces:
    """Traces and answers of one arm.

    Args:
        arm: its name.
        rows: its traces.
        task: that read them.
    """
    read = [row for row in rows if row.checked.evaluable]
    code = _codes(rows)
    cells = _cells(read, code)
    both, every = cells[:, 0], cells.sum(axis=1)
    right, wrong = cells[:, 0] + cells[:, 1], cells[:, 2] + cells[:, 3]
    leading = [row for row in rows if row.follows is not None]
    elsewhere = misplaced(task, rows)
    return ArmTraces(
        arm=arm,
        n_traces=len(rows),
        n_questions=len({row.qid for row in rows}),
        n_entities=len(code),
        n_unevaluable=len(rows) - len(read),
        n_no_answer=sum(row.answer is None for row in rows),
        n_elsewhere=elsewhere.n,
        elsewhere_suspect=elsewhere.suspect,
        elsewhere=elsewhere.named,
        counts=dict(zip(CELLS, map(int, cells.sum(axis=0)), strict=True)),
        accuracy=_rate(rows, code, lambda row: row.right),
        trace_correct=rate_interval(right, every, unit=ENTITIES),
        joint=rate_interval(both, every, unit=ENTITIES),
        right_if_correct=rate_interval(both, right, unit=ENTITIES),
        right_if_not=rate_interval(cells[:, 2], wrong, unit=ENTITIES),
        phi=_tie(cells, phi),
        phi_limit=_tie(cells, phi, level=ONE_SIDED),
        log_odds_ratio=_tie(cells, log_odds_ratio),
        log_mantel_haenszel=_within(read, code),
        categories=dict(sorted(Counter(row.category for row in read).items())),
        sub_steps=_sub_steps(read, code),
        holds_answer=_rate(read, code, lambda row: row.checked.holds_answer),
        follows=_rate(leading, code, lambda row: bool(row.follows)),
        n_leading=len(leading),
    )


def _codes(rows: Sequence[TraceRow]) -> dict[str, int]:
    """The number of each entity."""
    return {name: i for i, name in enumerate(dict.fromkeys(row.entity for row in rows))}


def _sums(rows: Sequence[TraceRow], code: Mapping[str, int], values: Floats) -> Floats:
    """Sums over entities [entities, columns] of values [rows, columns]."""
    sums = np.zeros((len(code), values.shape[1]))
    np.add.at(sums, [code[row.entity] for row in rows], values)
    return sums


def _cells(rows: Sequence[TraceRow], code: Mapping[str, int]) -> Floats:
    """Traces by `CELLS` [entities, 4]."""
    values = np.zeros((len(rows), 4))
    for i, row in enumerate(rows):
        values[i, (0 if row.right else 1) if row.checked.correct else (2 if row.right else 3)] = 1
    return _sums(rows, code, values)


def _rate(
    rows: Sequence[TraceRow],
    code: Mapping[str, int],
    holds: Callable[[TraceRow], bool],
    of: Callable[[TraceRow], bool] = lambda row: True,
) -> Interval:
    values = np.array([[holds(row) and of(row), of(row)] for row in rows], dtype=float).reshape(-1, 2)
    sums = _sums(rows, code, values)
    return rate_interval(sums[:, 0], sums[:, 1], unit=ENTITIES)


def _tie(cells: Floats, statistic: Callable[[Floats], Floats], *, level: float = 0.95) -> Interval:
    used = cells[cells.sum(axis=1) > 0]
    reason = _FLAT if len(used) else _NOTHING
    return interval_of_sums(
        used, statistic, weight=used.sum(axis=1), reason=reason, level=level, unit=ENTITIES
    )


def _within(rows: Sequence[TraceRow], code: Mapping[str, int]) -> Interval:
    """The odds ratio common to the categories."""
    names = sorted({row.category for row in rows})
    table = np.hstack(
        [_cells([row for row in rows if row.category == name], code) for name in names] or [_cells((), code)]
    )
    return _tie(table, log_mantel_haenszel)


def _sub_steps(rows: Sequence[TraceRow], code: Mapping[str, int]) -> tuple[SubStepRates, ...]:
    names = dict.fromkeys(name for row in rows for name in row.checked.verdicts)
    found = []
    for name in names:
        own = [row for row in rows if name in row.checked.verdicts]

        def said(what: str, row: TraceRow, name: str = name) -> bool:
            return row.checked.verdicts[name] == what

        shares = (_rate(own, code, partial(said, what)) for what in (CORRECT, WRONG, MISSING))
        right = (_rate(own, code, lambda row: row.right, partial(said, what)) for what in (CORRECT, WRONG))
        found.append(SubStepRates(name, len(own), *shares, *right))
    return tuple(found)


def _against(arm: str, rows: Sequence[TraceRow], other: str, theirs: Sequence[TraceRow]) -> Against:
    shared = {row.qid for row in rows} & {row.qid for row in theirs}
    code = _codes([row for row in (*rows, *theirs) if row.qid in shared])

    def columns(
        of: Sequence[TraceRow], holds: Callable[[TraceRow], bool], read: bool
    ) -> tuple[Floats, Floats]:
        used = [row for row in of if row.qid in shared and (row.checked.evaluable or not read)]
        values = np.array([[holds(row), 1] for row in used], dtype=float).reshape(-1, 2)
        sums = _sums(used, code, values)
        return sums[:, 0], sums[:, 1]

    answers = (*columns(theirs, lambda r: r.right, False), *columns(rows, lambda r: r.right, False))
    traces = (
        *columns(theirs, lambda r: r.checked.correct, True),
        *columns(rows, lambda r: r.checked.correct, True),
    )
    return Against(
        arm,
        other,
        len(shared),
        accuracy=ratio_difference_interval(*answers, unit=ENTITIES),
        limit=ratio_difference_interval(*answers, level=ONE_SIDED, unit=ENTITIES),
        trace_correct=ratio_difference_interval(*traces, unit=ENTITIES),
    )


# --- verdicts on the paper's two statements -----------------------------------------------------------


def hurts(against: Mapping[str, Any], margin: float) -> str:
    """Whether an arm is worse: `no` (by less than the margin), `yes` (by more than nothing), `open`."""
    low, high = against["limit"].get("low"), against["accuracy"].get("high")
    if low is not None and low > -margin:
        return "no"
    return "yes" if high is not None and high < 0 else "open"


def tied(arm: Mapping[str, Any], loose: float) -> str:
    """Whether trace and answer go together: `loosely` (phi below `loose`), `yes` (above it), `open`."""
    low, high = (arm["phi_limit"].get(end) for end in ("low", "high"))
    if high is not None and high < loose:
        return "loosely"
    return "yes" if low is not None and low > loose else "open"


# --- answers behind other traces ------------------------------------------------------------------------


def _forced(study: Study, task: Verifiable, questions: Mapping[str, Question]) -> tuple[Forced, ...]:
    table = records.read_table(study.checked(table_path(study)), FORCED_TRACES)
    return tuple(
        _forced_arm(str(arm), str(trace), own.reset_index(drop=True), task, questions)
        for (arm, trace), own in table.groupby(["arm", "trace"], sort=False)
    )


def _forced_arm(
    arm: str, trace: str, own: pd.DataFrame, task: Verifiable, questions: Mapping[str, Question]
) -> Forced:
    entity, _ = pd.factorize(own["qid"].map(lambda qid: task.entity(questions[qid])))

    def share(flag: Any) -> Interval:
        num, den = (
            np.bincount(entity, weights=column) for column in (np.asarray(flag, float), np.ones(len(own)))
        )
        return rate_interval(num, den, unit=ENTITIES)

    none = own["answer"] == ""
    other = ~own["right"] & ~own["follows"] & ~none
    return Forced(
        arm,
        trace,
        len(own),
        int(own["leads_elsewhere"].sum()),
        share(own["right"]),
        share(own["follows"]),
        share(other),
        share(none),
    )


def summarised(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    """Each arm's traces and answers in the contrast's domain, for summary.json."""
    domain = result["domains"][result["domain"]]
    names = ("accuracy", "trace_correct", "right_if_correct", "right_if_not", "phi", "follows")
    return {
        arm: {name: pick(own[name], INTERVAL) for name in names} for arm, own in domain["arms"].items()
    } | {"against": {arm: pick(own["accuracy"], INTERVAL) for arm, own in domain["against"].items()}}
