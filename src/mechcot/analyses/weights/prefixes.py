"""Where two checkpoints and all models between them are asked: fixed prefixes of both authors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mechcot.core import records
from mechcot.core.errors import AnalysisError
from mechcot.reading.inputs import QuestionInput, Target, TraceInput
from mechcot.stats.frames import cut_off, text_codes
from mechcot.steps.hedge_places import hedge_token
from mechcot.study.folder import Study
from mechcot.tasks import Question, Task, question_of

Span = tuple[int, int]


@dataclass(frozen=True)
class Prefix:
    """One trace and what is asked at it.

    Attributes:
        question: the prompt with this one trace, whose one step (or none) is the last before the answer is
            stated: there, and at the prompt, answers are forced. Its targets are claims, then hedges.
        gold: the right option.
        own: the option that the trace answers.
        claims: how many of the targets are claims.
        right: tokens of the steps judged correct, where no claims are read; first and one past the last.
        wrong: likewise of those judged erroneous.
        steps: the same prompt and trace with all steps, and no answers.
    """

    question: QuestionInput
    gold: int
    own: int
    claims: int
    right: tuple[Span, ...]
    wrong: tuple[Span, ...]
    steps: QuestionInput

    @property
    def trace(self) -> TraceInput:
        """Its trace."""
        return self.question.traces[0]


def prefixes_of(
    study: Study, authors: Sequence[str], task: Task, tokenizer: Any
) -> tuple[dict[str, list[Prefix]], dict[str, int]]:
    """For each author one trace of each question of a sample, the same questions in the same order.

    A trace counts that was finished, answers and has steps; of a question's the first. Questions of equal
    text are one. The sample is drawn from the study's seed.

    Returns:
        The prefixes by author, and how many questions are left out and why.

    Raises:
        AnalysisError: fewer than six questions are left.
        ReadingError: see `reading.of_study.question_inputs`.
    """
    asked = study.settings.weights
    assert asked is not None  # else there is no stage
    questions = study.questions(study.settings.contrast.domain)
    alone = questions[~pd.Series(text_codes(questions), index=questions.index).duplicated()]
    kept = {author: _usable(study, author) for author in authors}
    both = alone[[all(qid in kept[author] for author in authors) for qid in alone.qid]]
    left_out = {
        "text stands twice": len(questions) - len(alone),
        "no finished trace with steps and an answer by both": len(alone) - len(both),
    }
    rng = np.random.default_rng([study.settings.seed, 1])
    chosen = both.iloc[np.sort(rng.permutation(len(both))[: asked.questions])]
    if len(chosen) < 6:
        raise AnalysisError(
            f"{len(chosen)} questions of {len(questions)} have a finished trace with steps and an answer "
            f"by both arms ({', '.join(f'{n} left out: {why}' for why, n in left_out.items() if n)}); six "
            "are needed"
        )
    found = {author: _of_author(study, author, chosen, kept[author], task, tokenizer) for author in authors}
    return found, {why: n for why, n in left_out.items() if n}


def _usable(study: Study, author: str) -> dict[str, int]:
    """The first trace of each question that can be asked: question to sample."""
    traces = study.traces(author)
    steps = set(zip(*(study.steps(author)[name] for name in ("qid", "cid")), strict=True))
    fit = (traces.answer >= 0) & ~cut_off(traces) & (traces.cid < study.settings.reading.traces_per_question)
    keys = zip(traces.qid[fit], traces.cid[fit], strict=True)
    found: dict[str, int] = {}
    for qid, cid in sorted((qid, int(cid)) for qid, cid in keys if (qid, cid) in steps):
        found.setdefault(qid, cid)
    return found


def _of_author(
    study: Study, author: str, chosen: pd.DataFrame, kept: dict[str, int], task: Task, tokenizer: Any
) -> list[Prefix]:
    from mechcot.reading.of_study import question_inputs

    inputs = {q.qid: q for q in question_inputs(study, author, task, tokenizer) if not q.permutation}
    key = ["qid", "cid"]
    steps = records.rows_by_key(study.steps(author), key)
    claims = records.rows_by_key(study.claims(author), key)
    labels = study.verdicts(author).set_index(records.STEP_KEY).label.to_dict()
    answers = study.traces(author).set_index(key).answer.to_dict()
    found = []
    for row in records.rows(chosen):
        question, at = question_of(row), (row.qid, kept[row.qid])
        trace = next(t for t in inputs[row.qid].traces if t.cid == at[1])
        own = steps[at]
        hedges = _hedges(task, question, own, claims.get(at, []), trace, tokenizer)
        spans = {
            label: tuple(
                (int(s.tok_start), int(s.tok_end))
                for s in own
                if labels.get((s.qid, author, s.cid, s.sid)) == label
            )
            for label in ("correct", "erroneous")
            if task.claim is None
        }
        said = next((number for number, step in enumerate(own) if step.states_answer), len(own))
        bare = replace(inputs[row.qid], prior_ids=())
        found.append(
            Prefix(
                question=replace(bare, traces=(_cut(trace, said, hedges),)),
                gold=question.gold,
                own=int(answers[at]),
                claims=len(trace.targets),
                right=spans.get("correct", ()),
                wrong=spans.get("erroneous", ()),
                steps=replace(bare, forced=(), traces=(_bare(trace),)),
            )
        )
    return found


def _cut(trace: TraceInput, said: int, hedges: Sequence[Target]) -> TraceInput:
    """The trace with the last of its first `said` steps as its only step."""
    last = said - 1
    return replace(
        trace,
        steps=(trace.steps[last],) if said else (),
        seams={0: trace.seams[last]} if last in trace.seams else {},
        positions={},
        targets=(*trace.targets, *hedges),
        knock_outs=(),
    )


def _bare(trace: TraceInput) -> TraceInput:
    return replace(trace, seams={}, positions={}, targets=(), knock_outs=())


def _hedges(
    task: Task,
    question: Question,
    steps: Sequence[Any],
    claims: Sequence[Any],
    trace: TraceInput,
    tokenizer: Any,
) -> list[Target]:
    """Where claims could be hedged: the first token of the task's hedge, for what stands there."""
    text, found = {step.sid: step.text for step in steps}, []
    for row in claims:
        token, place = hedge_token(task, question, text[row.sid], tokenizer), int(row.tok_decision) + 1
        if token is None or place >= len(trace.token_ids):
            continue
        found.append(Target(int(row.sid), place, (token,), int(trace.token_ids[place])))
    return found
