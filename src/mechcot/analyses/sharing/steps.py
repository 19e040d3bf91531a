"""A study's judged traces as rows of step labels: ProcessBench's form, or PRM800K's."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechcot.core import files, records
from mechcot.core.errors import AnalysisError, UsageError
from mechcot.tasks import Question, question_of

if TYPE_CHECKING:
    from mechcot.study.folder import Study

_RATING: Mapping[str, int | None] = {"correct": 1, "not_checkable": 0, "erroneous": -1}
_UNKNOWN = "a step before its first error, or any where it has none, was not decided"


@dataclass(frozen=True)
class StepRows:
    """What was written.

    Attributes:
        rows: a trace each.
        left_out: traces that are not among them, by reason.
    """

    rows: list[dict[str, Any]]
    left_out: dict[str, int]


@dataclass(frozen=True)
class _Trace:
    """One trace with the verdicts of its steps."""

    arm: str
    cid: int
    question: Question
    right: bool
    steps: tuple[str, ...]
    labels: tuple[str, ...]
    reasons: tuple[str, ...]
    instrument: str

    @property
    def first_error(self) -> int | None:
        """Index of the first wrong step, -1: there is none; None: what was not decided may be it."""
        for place, label in enumerate(self.labels):
            if label == "erroneous":
                return place
            if label not in ("correct", "not_checkable"):
                return None
        return -1

    @property
    def problem(self) -> str:
        """The question as it was asked, options and all."""
        asked = self.question
        shown = [] if asked.open else [asked.named(i) for i in range(len(asked.options))]
        return "\n".join([asked.stem, *shown])

    @property
    def name(self) -> str:
        return f"{self.arm}/{self.question.qid}/{self.cid}"


def step_rows_of(study: Study, form: str = "processbench") -> StepRows:
    """The traces of all arms whose steps the study's own instrument judged.

    Args:
        study: with verdicts.
        form: `processbench` (Zheng et al. 2024, arXiv 2412.06559): id, generator, problem, steps,
            final_answer_correct, and label, the index of the first wrong step or -1; traces of which that is
            not known are left out and counted. `prm800k` (Lightman et al. 2023, arXiv 2305.20050): every step
            a completion with a rating: 1 correct, 0 claims nothing, -1 wrong, null not decided. Both have
            the verdicts and the instrument beside.

    Raises:
        UsageError: there is no such form.
        AnalysisError: nothing is judged yet.
    """
    if form not in FORMS:
        raise UsageError(f"--form: there is no form '{form}'; there are {', '.join(FORMS)}")
    questions = {row.qid: question_of(row) for row in records.rows(study.questions())}
    rows: list[dict[str, Any]] = []
    left_out: Counter[str] = Counter()
    for arm in study.settings.arms:
        if study.settings.judge.kind not in study.instruments_of(arm):
            continue
        traces, n = _traces(study, arm, questions)
        left_out["no judged step"] += n - len(traces)
        made = [FORMS[form](trace) for trace in traces]
        rows += [row for row in made if row is not None]
        left_out[_UNKNOWN] += sum(row is None for row in made)
    if not rows:
        raise AnalysisError(
            f"{study.path}: no trace has steps that are judged; judge them first: mechcot run {study.path}"
        )
    return StepRows(rows, {why: n for why, n in left_out.items() if n})


def write_step_rows(path: Path, found: StepRows) -> None:
    """Write rows as JSON Lines, whole or not at all."""
    files.write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found.rows))


def _traces(study: Study, arm: str, questions: Mapping[str, Question]) -> tuple[list[_Trace], int]:
    """An arm's traces of which all steps are judged, and how many it has."""
    judged = study.verdicts(arm)[[*records.STEP_KEY, "label", "reason", "instrument"]]
    steps = study.steps(arm).merge(judged, on=records.STEP_KEY, how="inner").sort_values("sid", kind="stable")
    own = records.by_key(steps, ["qid", "cid"])
    traces, found = study.traces(arm), []
    for trace in records.rows(traces):
        part = own.get((trace.qid, trace.cid))
        if part is None:
            continue
        question = questions[trace.qid]
        found.append(
            _Trace(
                arm,
                int(trace.cid),
                question,
                bool(trace.answer == question.gold),
                tuple(part.text),
                tuple(part.label),
                tuple(part.reason),
                str(part.instrument.iloc[0]),
            )
        )
    return found, len(traces)


def _processbench(trace: _Trace) -> dict[str, Any] | None:
    label = trace.first_error
    if label is None:
        return None
    return {
        "id": trace.name,
        "generator": trace.arm,
        "problem": trace.problem,
        "steps": list(trace.steps),
        "final_answer_correct": trace.right,
        "label": label,
        "verdicts": list(trace.labels),
        "instrument": trace.instrument,
    }


def _prm800k(trace: _Trace) -> dict[str, Any]:
    steps = [
        {
            "completions": [{"text": text, "rating": _RATING.get(label), "flagged": False}],
            "human_completion": None,
            "chosen_completion": 0,
        }
        for text, label in zip(trace.steps, trace.labels, strict=True)
    ]
    asked = trace.question
    return {
        "labeler": trace.instrument,
        "id": trace.name,
        "generator": trace.arm,
        "question": {"problem": trace.problem, "ground_truth_answer": asked.options[asked.gold]},
        "label": {"steps": steps, "finish_reason": "solution"},
        "final_answer_correct": trace.right,
        "verdicts": list(trace.labels),
    }


FORMS: Mapping[str, Callable[[_Trace], dict[str, Any] | None]] = {
    "processbench": _processbench,
    "prm800k": _prm800k,
}
"""Forms of a row, by name."""
