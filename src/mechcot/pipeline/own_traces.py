"""The right traces that the organism's base itself writes for its teacher's prompts, as examples."""

from __future__ import annotations

import logging
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechcot.core import records
from mechcot.core.errors import DataError
from mechcot.core.plan import Expense
from mechcot.core.stages import Stage
from mechcot.steps.of_study import checkpoint_folder, checkpoint_of, world_of

if TYPE_CHECKING:
    import pandas as pd

    from mechcot.sampling import Completion
    from mechcot.study.folder import Study

log = logging.getLogger("mechcot")

DRAWS = 4
"""Traces that the base writes for a prompt, of which the right ones are kept."""


def organism_own_stages(study: Study, progress: bool) -> list[Stage]:
    """The stage, in a study of the organism with a student that learns from its base's own traces."""
    settings = study.settings
    students = [
        arm.distill for arm in settings.arms.values() if arm.distill and arm.distill.examples == "own"
    ]
    if settings.organism is None or not students:
        return []
    base = students[0].base
    if other := next((one.base for one in students if one.base != base), None):
        raise DataError(
            f"distill.examples: own traces are of one base, and students start from {base} and {other}"
        )
    own, outside = checkpoint_of(study, base)
    basis = {
        "organism": settings.organism.model_dump(mode="json"),
        "seed": settings.seed,
        "draws": DRAWS,
        "sampling": settings.sampling_of(base).model_dump(mode="json", exclude={"samples", "greedy"}),
        "threads": settings.threads,
    }
    return [
        Stage(
            "own-traces",
            1,
            basis,
            own,
            ("examples/own.parquet",),
            partial(write_own, study, base, progress),
            frozen=True,
            outside=outside,
            plan=partial(plan_own, study),
        )
    ]


def plan_own(study: Study) -> Expense:
    """How many traces the base writes."""
    assert study.settings.organism is not None
    n = DRAWS * study.settings.organism.teacher_traces
    most = n * study.settings.sampling.max_new_tokens
    return Expense(
        "own-traces", n, "traces", tokens_in=None, tokens_out=most, reason="prompts are not made yet"
    )


def write_own(study: Study, base: str, progress: bool, work: Path) -> None:
    """Write the base's right traces, the first of every prompt before any second one.

    There are as many as the teacher writes: where fewer are right, they are repeated in the same order.

    Raises:
        DataError: none is right.
    """
    from mechcot.models.checkpoint import load
    from mechcot.sampling import Prompt, sample
    from mechcot.tasks.organism.teacher import examples

    settings, organism = study.settings, study.settings.organism
    assert organism is not None
    asked = examples(world_of(study), "terse", organism, settings.seed, organism.teacher_traces)
    checkpoint = load(settings.arms[base], checkpoint_folder(study, base), settings.device)
    tokenizer = checkpoint.tokenizer
    prompts = [
        Prompt(row.eid, tuple(tokenizer(row.prompt, add_special_tokens=False)["input_ids"]))
        for row in records.rows(asked)
    ]
    sampling = settings.sampling_of(base).model_copy(update={"samples": DRAWS})
    done = sample(checkpoint, prompts, sampling, arm="own", seed=settings.seed, work=work, progress=progress)
    right = right_traces(asked, done, tokenizer)
    if not right:
        raise DataError(f"arm {base}: of {len(done)} traces none is right, so it cannot be taught on its own")
    log.info(
        "own traces: %d of %d are right, of %d prompts", len(right), len(done), len({r["eid"] for r in right})
    )
    rows = [
        {**row, "eid": f"own-{number:05d}"}
        for number, row in enumerate(islice(cycle(right), organism.teacher_traces))
    ]
    records.write_table(study.path / "examples" / "own.parquet", rows, records.EXAMPLES)


def right_traces(asked: pd.DataFrame, done: list[Completion], tokenizer: Any) -> list[dict[str, Any]]:
    """Traces that end by themselves with the teacher's answer, rows of `records.EXAMPLES`.

    Args:
        asked: the teacher's traces, whose prompts were given.
        done: completions, `qid` an `eid` of these.
        tokenizer: of the base.
    """
    from mechcot.tasks.organism.tokenizer import END_OF_THINK
    from mechcot.tasks.tokens import decode

    wanted = {row.eid: (row.prompt, row.completion[row.answer_start :]) for row in records.rows(asked)}
    rows = []
    for completion in sorted(done, key=lambda one: one.cid):
        prompt, answer = wanted[completion.qid]
        text = decode(tokenizer, completion.token_ids[:-1])
        start = text.find(END_OF_THINK)
        if completion.finish_reason == "stop" and start >= 0 and text[start:] == answer:
            rows.append(
                {
                    "eid": completion.qid,
                    "qid": "",
                    "prompt": prompt,
                    "completion": text,
                    "answer_start": start,
                }
            )
    return rows
