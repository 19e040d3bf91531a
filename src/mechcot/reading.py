"""From a study's tables to a reading: which tokens of which traces a reader is asked about."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from mechcot import records
from mechcot.files import write_json
from mechcot.internals.folder import read_to_folder
from mechcot.internals.inputs import LeadIn, QuestionInput, Target, TraceInput
from mechcot.models import load
from mechcot.study import Study
from mechcot.tasks import Question, Task, forced_ids, question_of

log = logging.getLogger("mechcot")

RULES = ("end", "decision")
"""Position rules: a step's last token; the last token before the place of a hedge (for a step
without a claim, the token before the step)."""


def read_arm(
    study: Study, author: str, reader: str, work: Path, task: Task, folder: Path, *, progress: bool
) -> None:
    """Read an author's traces with a reader's weights into the study."""
    settings = study.settings
    checkpoint = load(settings.arms[reader], folder, settings.device)
    inputs = question_inputs(study, author, task, checkpoint.tokenizer)
    out = study.reading_path(author, reader)
    done = read_to_folder(
        checkpoint.model,
        inputs,
        out,
        work,
        reader=reader,
        model_digest=_recorded_digest(study, folder),
        rules=RULES,
        max_tokens=settings.reading.max_tokens,
        skip_unreadable=True,
        progress=progress,
    )
    for reason in done.skipped:
        log.warning("left out of the reading: %s", reason)
    counts = ("questions", "traces", "steps", "text_tokens", "tree_tokens", "skipped")
    told = {name: value for name, value in asdict(done).items() if name in counts}
    write_json(out / "reading.json", told | {"skipped": list(done.skipped)})


def question_inputs(study: Study, author: str, task: Task, tokenizer: Any) -> list[QuestionInput]:
    """What is read of an author's traces: the first few of each question of the contrast's domain."""
    limit = study.settings.reading.traces_per_question
    traces, steps, claims = study.traces(author), study.steps(author), study.claims(author)
    traces = traces[traces.cid < limit]
    by_question = records.by_key(traces, ["qid"])
    steps_of = records.by_key(steps[steps.cid < limit], ["qid", "cid"])
    claims_of = records.by_key(claims[claims.cid < limit], ["qid", "cid"])
    no_claims = claims.iloc[:0]
    inputs = []
    for row in records.rows(study.questions(study.settings.contrast.domain)):
        question = question_of(row)
        found = by_question[question.qid]
        read = tuple(
            _trace_input(trace, steps_of[key], claims_of.get(key, no_claims), tokenizer)
            for trace in records.rows(found)
            if (key := (trace.qid, trace.cid)) in steps_of
        )
        prompt_ids = tuple(int(i) for i in found.prompt_ids.iloc[0])
        inputs.append(QuestionInput(question.qid, prompt_ids, read, _lead_ins(question, task, tokenizer)))
    return inputs


def _lead_ins(question: Question, task: Task, tokenizer: Any) -> tuple[LeadIn, ...]:
    return tuple(LeadIn(*forced_ids(question, text, task.format, tokenizer)) for text in task.format.lead_in)


def _trace_input(trace: Any, steps: pd.DataFrame, claims: pd.DataFrame, tokenizer: Any) -> TraceInput:
    decision = dict(zip(claims.sid, claims.tok_decision, strict=True))
    ids = [int(i) for i in trace.token_ids]
    targets = (_target(claim, ids, tokenizer) for claim in records.rows(claims))
    return TraceInput(
        qid=trace.qid,
        arm=trace.arm,
        cid=int(trace.cid),
        token_ids=ids,
        steps=[(int(s.sid), int(s.tok_end)) for s in records.rows(steps)],
        positions={
            "end": [int(s.tok_end) - 1 for s in records.rows(steps)],
            "decision": [int(decision.get(s.sid, s.tok_start - 1)) for s in records.rows(steps)],
        },
        targets=[target for target in targets if target is not None],
    )


def _target(claim: Any, token_ids: Sequence[int], tokenizer: Any) -> Target | None:
    """The claim's object token and the first tokens of the true objects.

    True objects are tokenised as the said one was, with or without a blank before it. A said object
    that the tokenizer would not begin with the token written has no such form: no target.
    """
    said = token_ids[claim.tok_object]
    for blank in ("", " "):
        if _first_token(tokenizer, blank + claim.object) == said:
            true = dict.fromkeys(_first_token(tokenizer, blank + text) for text in claim.truth)
            return Target(int(claim.sid), int(claim.tok_object), tuple(true), said)
    return None


def _first_token(tokenizer: Any, text: str) -> int:
    return int(tokenizer(text, add_special_tokens=False)["input_ids"][0])


def _recorded_digest(study: Study, folder: Path) -> str:
    """The digest that the study's manifest has for a checkpoint."""
    from mechcot.stages import load_manifest

    for record in load_manifest(study.path)["stages"].values():
        for name, digest in record["outputs"].items():
            if study.path / name == folder:
                return str(digest)
        if str(folder) in record["outside"]:
            return str(record["outside"][str(folder)]["digest"])
    from mechcot.files import digest as digest_of

    return digest_of(folder)
