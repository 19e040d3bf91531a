"""Answers behind traces that somebody else wrote: the right one, a wrong one, another question's.

The trace stands where the student's own would, followed by the words that force an answer; what the student
writes then, greedily, is read as any answer. Where the trace leads elsewhere than to the right answer and the
answer goes along, it follows the trace; where it stays right, it comes from elsewhere.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mechcot.analyses.traces.read import answer_of
from mechcot.core import records
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.steps.of_study import contrast_questions, task_of
from mechcot.tasks import Question, Task, render_prompt
from mechcot.tasks.answers.values import SEPARATOR
from mechcot.tasks.base import Verifiable
from mechcot.tasks.render import before_answer
from mechcot.tasks.tokens import decode, following
from mechcot.tasks.trace_table import same_answer
from mechcot.tasks.verifiable import leads_to, readable, write_variants

if TYPE_CHECKING:
    from mechcot.models.checkpoint import Checkpoint
    from mechcot.study.folder import Study

TRACES = ("correct", "incorrect", "answer-kept", "shuffled", "filler")
"""Traces that are put before a student."""

FORCED_TRACES = pa.schema(
    [
        ("arm", pa.string()),
        ("qid", pa.string()),
        ("trace", pa.string()),  # one of TRACES
        ("whose", pa.string()),  # the question whose trace it is
        ("text", pa.string()),  # what was written behind it
        ("answer", pa.string()),  # "": none
        ("right", pa.bool_()),
        ("implied", pa.string()),  # what the trace leads to; "": nothing
        ("follows", pa.bool_()),
        ("leads_elsewhere", pa.bool_()),  # the trace leads to another answer than the right one
    ]
)


@dataclass(frozen=True)
class Put:
    """A trace before a question."""

    question: Question
    trace: str
    whose: str
    reasoning: str
    implied: tuple[str, ...]
    """The answer that it leads to; empty: none."""

    @property
    def name(self) -> str:
        """A name among all."""
        return f"{self.question.qid}\0{self.trace}"

    @property
    def leads_elsewhere(self) -> bool:
        """To another answer than the right one."""
        return bool(self.implied) and not leads_to(self.implied, self.question.options[self.question.gold])


def table_path(study: Study) -> Path:
    """Where the answers of all arms lie."""
    return study.path / "forced-traces" / "answers.parquet"


def puts(task: Verifiable, questions: Sequence[Question], wanted: int, seed: int) -> list[Put]:
    """Every trace of as many questions as wanted, drawn; questions that lack one of them are left out."""
    made, left = write_variants(task, questions, TRACES, seed)
    by_id = {one.qid: one for one in questions if one.qid not in left}
    chosen = random.Random(f"forced {seed}").sample(sorted(by_id), min(wanted, len(by_id)))
    found = []
    for qid in chosen:
        for name in TRACES:
            own = made[name][qid]
            of = by_id.get(own.whose, by_id[qid])
            said = task.implied(of, task.parse(of, own.reasoning)) or ()
            found.append(Put(by_id[qid], name, own.whose, own.reasoning, said))
    return found


def answers(
    arm: str, task: Task, checkpoint: Checkpoint, asked: Sequence[Put], sampling: SamplingSettings, work: Path
) -> list[dict[str, Any]]:
    """Rows of `FORCED_TRACES` of one arm: what it writes, greedily, behind each trace and the lead-in.

    Args:
        arm: its name.
        task: of the study.
        checkpoint: of the arm.
        asked: what is put before it.
        sampling: of the study; how many rows go together, and an upper limit of tokens.
        work: folder where batches that are done are kept.
    """
    from mechcot.sampling import Prompt, Stream, complete

    tokenizer = checkpoint.tokenizer
    before = {one.name: before_answer(one.reasoning, task.format) for one in asked}
    prompts = [
        Prompt(
            one.name,
            (
                *render_prompt(one.question, task.format, tokenizer)[1],
                *following(tokenizer, before[one.name]),
            ),
        )
        for one in asked
    ]
    own = {"samples": 1, "temperature": 0.0, "top_p": 1.0, "top_k": 0, "stop": ()}
    own["max_new_tokens"] = min(_LONGEST, sampling.max_new_tokens)
    written = complete(
        checkpoint,
        prompts,
        sampling.model_copy(update=own),
        Stream(arm, 0, partial(_line_end, tokenizer), may_be_empty=True),
        work,
        progress=False,
    )
    rows = []
    for one, completion in zip(asked, written, strict=True):
        ids = completion.token_ids[:-1] if completion.finish_reason == "stop" else completion.token_ids
        text = decode(tokenizer, ids)
        rows.append(
            {"arm": arm, **_row(one, text, answer_of(before[one.name] + text, one.question, task.format))}
        )
    return rows


_LONGEST = 64


def _line_end(tokenizer: Any, _: str, ids: Sequence[int]) -> int | None:
    """An answer ends with its line."""
    return len(ids) if decode(tokenizer, ids).strip() and "\n" in decode(tokenizer, ids[-1:]) else None


def _row(one: Put, text: str, answer: str) -> dict[str, Any]:
    gold = one.question.options[one.question.gold]
    return {
        "qid": one.question.qid,
        "trace": one.trace,
        "whose": one.whose,
        "text": text,
        "answer": answer,
        "right": bool(answer) and same_answer(answer, gold, one.question),
        "implied": SEPARATOR.join(one.implied),
        "follows": bool(answer) and leads_to(one.implied, answer),
        "leads_elsewhere": one.leads_elsewhere,
    }


def make(study: Study, folder: Callable[[str], Path], work: Path) -> None:
    """Write the answers of every arm with weights."""
    from mechcot.models.checkpoint import load

    settings, task = study.settings, task_of(study).verifiable
    assert settings.traces is not None  # else there is no stage
    assert task is not None  # by Settings' own validation
    questions, _ = readable(task, contrast_questions(study))
    asked = puts(task, [*questions.values()], settings.traces.forced, settings.seed)
    rows = []
    for arm, own in settings.arms.items():
        if own.traces is None:
            checkpoint = load(own, folder(arm), settings.device)
            rows += answers(arm, task_of(study, arm), checkpoint, asked, settings.sampling, work / arm)
    records.write_table(table_path(study), rows, FORCED_TRACES)
