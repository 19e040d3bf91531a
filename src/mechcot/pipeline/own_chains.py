"""Chains that a student's base writes for the teacher's questions: what self-distillation learns from."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from mechcot.core import records
from mechcot.core.plan import Expense
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.core.stages import Stage
from mechcot.core.teacher_records import CHAINS
from mechcot.pipeline.examples import own_bases, own_file
from mechcot.steps.of_study import checkpoint_folder, checkpoint_of, task_of
from mechcot.study.folder import Study
from mechcot.tasks import render_prompt

log = logging.getLogger("mechcot")


def own_stages(study: Study, progress: bool) -> list[Stage]:
    """A stage for each base whose own chains examples are made of."""
    return [_stage(study, base, progress) for base in own_bases(study)]


def _stage(study: Study, base: str, progress: bool) -> Stage:
    settings, teacher = study.settings, study.settings.teacher
    assert teacher is not None  # by Settings' own validation
    own, outside = checkpoint_of(study, base)
    kept = {name: getattr(teacher, name) for name in ("chains", "distinct")}
    basis = {
        "sampling": _sampling(study, base).model_dump(mode="json", exclude={"greedy"}),
        "prompt": settings.prompt_of(base).basis(),
        "seed": settings.seed,
        **kept,
    }
    return Stage(
        f"own-{base}",
        1,
        basis,
        ("teacher/questions.parquet", *own),
        (own_file(base),),
        partial(write_chains, study, base, progress),
        frozen=True,
        outside=outside,
        plan=partial(plan_chains, study, base),
    )


def _sampling(study: Study, base: str) -> SamplingSettings:
    """As the base is sampled, `teacher.attempts` a question."""
    teacher = study.settings.teacher
    assert teacher is not None
    return study.settings.sampling_of(base).model_copy(update={"samples": teacher.attempts})


def plan_chains(study: Study, base: str) -> Expense:
    """How many chains the base writes, once the teacher's questions are there."""
    path, sampling = study.path / "teacher" / "questions.parquet", _sampling(study, base)
    if not path.exists():
        return Expense(
            base, None, "chains", tokens_in=None, reason="the teacher's questions are not there yet"
        )
    n = len(records.read_any(path)) * sampling.samples
    most = n * sampling.max_new_tokens
    return Expense(base, n, "chains", tokens_in=None, tokens_out=most, reason="prompts are not counted")


def write_chains(study: Study, base: str, progress: bool, work: Path) -> None:
    """Sample the base on the teacher's questions, read its answers off, and keep right chains as a teacher's.

    Raises:
        DataError: none is right.
    """
    from mechcot.distill.chains import exercises_of, graded, judged, refuse_useless
    from mechcot.models.checkpoint import load
    from mechcot.sampling import Prompt, sample, stop_of
    from mechcot.tasks.tokens import decode

    settings, form, teacher = study.settings, task_of(study, base).format, study.settings.teacher
    assert teacher is not None
    exercises = exercises_of(records.read_table(study.path / "teacher" / "questions.parquet"))
    checkpoint, sampling = (
        load(settings.arms[base], checkpoint_folder(study, base), settings.device),
        _sampling(study, base),
    )
    questions = {qid: one.question for qid, one in exercises.items()}
    prompts = [
        Prompt(qid, tuple(render_prompt(question, form, checkpoint.tokenizer)[1]))
        for qid, question in questions.items()
    ]
    stop = stop_of(sampling, questions, form, checkpoint.tokenizer)
    done = sample(
        checkpoint,
        prompts,
        sampling,
        arm=f"own {base}",
        seed=settings.seed,
        work=work,
        stop=stop,
        progress=progress,
    )
    rows: dict[str, list[dict[str, Any]]] = {}
    for one in done:
        ids = one.token_ids[:-1] if one.finish_reason == "stop" else one.token_ids
        text, before = decode(checkpoint.tokenizer, ids), rows.setdefault(one.qid, [])
        own = {
            "qid": one.qid,
            "cid": one.cid,
            "attempt": one.cid + 1,
            "hinted": False,
            "text": text,
            "finish_reason": one.finish_reason,
            **graded(text, exercises[one.qid], form, one.finish_reason),
            "prompt_tokens": None,
            "completion_tokens": len(ids),
        }
        before.append(own | judged(own, before, teacher.chains, teacher.distinct))
    table = pd.DataFrame([row for own in rows.values() for row in own], columns=CHAINS.names)
    refuse_useless(list(table.outcome), ("right",), f"arm {base}", "is right")
    log.info(
        "arm %s: %d of its %d own chains are right, %d are kept",
        base,
        int(table.outcome.eq("right").sum()),
        len(table),
        int(table.kept.sum()),
    )
    records.write_table(study.path / own_file(base), table, CHAINS)
