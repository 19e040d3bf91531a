"""Traces to read oneself: pairs of both arms on one question, typical of what happened to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mechcot.core import records
from mechcot.core.words import counted, percent
from mechcot.stats.frames import plain
from mechcot.study.parts import of_questions, parts_of
from mechcot.tasks.base import LETTERS, question_of

if TYPE_CHECKING:
    from mechcot.study.folder import Study

PAIR = ["qid", "cid"]


@dataclass(frozen=True)
class StepView:
    """One step: its text, its verdict and what the model that wrote it made of it.

    Attributes:
        text: as written.
        role: its kind.
        label: its verdict, "" without one.
        reason: what the instrument said.
        p_own: probability of the trace's own answer when forced after this step; None if not read.
        surprisal: mean over its tokens, nats; None if not read.
        complete: False when the token limit cut it.
    """

    text: str
    role: str
    label: str
    reason: str
    p_own: float | None
    surprisal: float | None
    complete: bool


@dataclass(frozen=True)
class TraceView:
    """One trace.

    Attributes:
        arm: who wrote it.
        when: "before" or "after".
        answer: the option it answers, with its letter; "" when it answers none of them.
        written: what stands where the answer should, when that is no option.
        right: whether the answer is the right one.
        truncated: whether the token limit cut it.
        n_wrong: its steps judged erroneous.
        p_start: probability of its own answer when forced before the first step; None if not read.
        steps: in order.
    """

    arm: str
    when: str
    answer: str
    written: str
    right: bool
    truncated: bool
    n_wrong: int
    p_start: float | None
    steps: tuple[StepView, ...]


@dataclass(frozen=True)
class PairView:
    """Both arms' traces of one question and sample.

    Attributes:
        qid: the question.
        cid: which of its samples.
        group: what happened to it, in words, with how often that happened.
        stem: the question's text.
        options: its options, with letters.
        gold: the right one, with its letter.
        traces: before and after.
    """

    qid: str
    cid: int
    group: str
    stem: str
    options: tuple[str, ...]
    gold: str
    traces: tuple[TraceView, TraceView]


def pairs(study: Study, n_traces: int) -> tuple[PairView, ...]:
    """Choose pairs of traces that were read, two traces a pair, the same way for the same tables.

    Every pair (question, sample) falls into one of six groups by which answers are right and which arm
    has wrong steps. The groups are gone through in turn; in each the pair is taken whose number of wrong
    steps after is closest to the group's median, on a question not shown before if there is one, ties by
    id. So a pair is typical of its group and none is picked by hand.

    Args:
        study: with traces, steps, verdicts and the arms' own readings.
        n_traces: how many traces to show; an odd number is rounded up.
    """
    if n_traces <= 0:
        return ()
    contrast = study.settings.contrast
    names = (contrast.before, contrast.after)
    questions = study.questions(contrast.domain).set_index("qid", drop=False)
    files = [study.arm_path(arm) / "steps.parquet" for arm in names]
    tables = [_table(questions, part) for part in parts_of(study, questions.qid.tolist(), files)]
    table = pd.concat(tables)
    chosen = _chosen(table, (n_traces + 1) // 2)
    shown = of_questions(study, [qid for qid, _, _ in chosen])
    arms = tuple(_Arm.of(shown, arm) for arm in names)
    sizes = table.group.value_counts()
    return tuple(
        _pair(questions.loc[qid], int(cid), _words(group, names, int(sizes[group]), len(table)), arms)
        for qid, cid, group in chosen
    )


@dataclass(frozen=True)
class _Arm:
    """An arm's tables, cut by trace."""

    name: str
    traces: pd.DataFrame
    steps: dict[Any, pd.DataFrame]
    forced: dict[Any, pd.DataFrame]
    surprisal: dict[Any, Any]

    @classmethod
    def of(cls, study: Study, arm: str) -> _Arm:
        kept = study.settings.reading.traces_per_question
        traces, steps = study.traces(arm), study.steps(arm)
        verdicts = study.verdicts(arm)[[*records.STEP_KEY, "label", "reason"]]
        steps = steps[steps.cid < kept].merge(verdicts, on=records.STEP_KEY, how="left")
        steps[["label", "reason"]] = steps[["label", "reason"]].fillna("")
        cut = records.by_key(steps.sort_values("sid", kind="stable"), PAIR)
        if study.settings.given:
            return cls(arm, traces[traces.cid < kept], cut, {}, {})
        forced = records.plainly_forced(study.forced(arm))
        signals = study.signals(arm)
        return cls(
            arm,
            traces[traces.cid < kept],
            cut,
            records.by_key(forced, PAIR),
            dict(zip(zip(signals.qid, signals.cid, strict=True), signals.surprisal, strict=True)),
        )


def _table(questions: pd.DataFrame, study: Study) -> pd.DataFrame:
    """One row a pair that both arms have: who is right, how many steps are wrong, its group."""
    contrast, kept = study.settings.contrast, study.settings.reading.traces_per_question
    parts = []
    for arm in (contrast.before, contrast.after):
        traces = plain(study.traces(arm, [*records.TRACE_KEY, "answer"]))
        own = traces[traces.qid.isin(questions.index) & (traces.cid < kept)][[*PAIR, "answer"]]
        steps = plain(study.cut_steps(arm, records.STEP_KEY))
        verdicts = plain(study.verdicts(arm, only=[*records.STEP_KEY, "label"]))
        judged = steps[steps.cid < kept].merge(verdicts, on=records.STEP_KEY, how="left")
        wrong = (judged.label == "erroneous").groupby([judged.qid, judged.cid]).sum().rename("wrong")
        own = own.join(wrong, on=PAIR, how="inner")
        right = own.answer.to_numpy() == questions.gold.loc[own.qid].to_numpy()
        parts.append(own.assign(right=right).drop(columns="answer"))
    table = parts[0].merge(parts[1], on=PAIR, suffixes=("_before", "_after"))
    both, erred = table.right_before & table.right_after, table.wrong_after > 0
    cases = [
        both & erred & (table.wrong_before == 0),
        ~table.right_before & table.right_after,
        table.right_before & ~table.right_after,
        both & ~erred,
        both,
    ]
    return table.assign(group=np.select(cases, range(5), 5)).sort_values(PAIR, kind="stable")


def _words(group: int, names: tuple[str, str], size: int, total: int) -> str:
    before, after = names
    said = (
        f"Both answers are right; only {after} has wrong steps",
        f"{before} answers wrong, {after} right",
        f"{before} answers right, {after} wrong",
        f"Both answers are right; {after} has no wrong step",
        "Both answers are right, and both have wrong steps",
        "Both answers are wrong",
    )[group]
    return f"{said} ({percent(size / total, 0)} of {counted(total, 'pair')})"


def _chosen(table: pd.DataFrame, n: int) -> list[tuple[str, int, int]]:
    """Question, sample and group of `n` pairs, or of all if there are fewer."""
    queues = []
    for group, part in table.groupby("group"):
        far = (part.wrong_after - part.wrong_after.median()).abs()
        order = part.assign(far=far).sort_values(["far", *PAIR], kind="stable")
        queues.append((int(str(group)), list(zip(order.qid, order.cid, strict=True))))
    shown: list[tuple[str, int, int]] = []
    while len(shown) < n and any(queue for _, queue in queues):
        for group, queue in queues:
            if queue and len(shown) < n:
                seen = {qid for qid, _, _ in shown}
                best = next((pair for pair in queue if pair[0] not in seen), queue[0])
                queue.remove(best)
                shown.append((str(best[0]), int(best[1]), group))
    return shown


def _pair(question: Any, cid: int, group: str, arms: tuple[_Arm, ...]) -> PairView:
    named = question_of(question)
    options = tuple(text if named.open else f"{LETTERS[i]}: {text}" for i, text in enumerate(named.options))
    before, after = (
        _trace(arm, when, question, cid, options) for arm, when in zip(arms, ("before", "after"), strict=True)
    )
    gold = options[int(question.gold)]
    return PairView(str(question.qid), cid, group, str(question.stem), options, gold, (before, after))


def _trace(arm: _Arm, when: str, question: Any, cid: int, options: tuple[str, ...]) -> TraceView:
    key = (question.qid, cid)
    trace = next(records.rows(arm.traces[(arm.traces.qid == question.qid) & (arm.traces.cid == cid)]))
    answer = int(trace.answer)
    p_own: dict[int, float] = {}
    if answer >= 0 and key in arm.forced:
        read = arm.forced[key]
        p_own = {int(k): float(p[answer]) for k, p in zip(read.k, read.p, strict=True)}
    surprisal = np.asarray(arm.surprisal.get(key, ()), dtype=np.float64)
    steps = tuple(
        StepView(
            str(step.text),
            str(step.role),
            str(step.label),
            str(step.reason),
            p_own.get(int(step.sid) + 1),
            _mean(surprisal[int(step.tok_start) : int(step.tok_end)]),
            bool(step.complete),
        )
        for step in records.rows(arm.steps[key])
    )
    written = str(trace.text)[trace.answer_start : trace.answer_end] if trace.answer_start >= 0 else ""
    return TraceView(
        arm=arm.name,
        when=when,
        answer=options[answer] if answer >= 0 else "",
        written=written,
        right=answer == int(question.gold),
        truncated=trace.answer_rule == "truncated",
        n_wrong=sum(step.label == "erroneous" for step in steps),
        p_start=p_own.get(0),
        steps=steps,
    )


def _mean(values: Any) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None
