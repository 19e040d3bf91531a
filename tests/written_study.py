"""A study whose traces are written by hand: the organism's teacher, with errors and hedges planted by arm."""

import random
import re
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd

from mechcot.core import config, records
from mechcot.core.stages import Stage, run_stages
from mechcot.pipeline import text
from mechcot.steps.of_study import questions_by_id, task_of, world_of
from mechcot.study.writing import create_or_open
from mechcot.tasks import read_answer, reasoning_end
from mechcot.tasks.organism.questions import questions
from mechcot.tasks.organism.teacher import answers_to

ERROR = {"base": 0.2, "distilled": 0.4}
HEDGED = {"base": 0.5, "distilled": 0.0}


def written_study(folder, *overrides, n_questions=7, n_traces=2):
    """A study of two arms up to their steps, all of it recorded in the manifest."""
    sizes = (f"organism.clinical_questions={n_questions}", "organism.chain_questions=4")
    no_more = ("arms.terse=null", "controls.terse=null")
    settings = config.resolve(
        preset="organism-small", overrides=(*sizes, *no_more, "analysis.bootstrap=200", *overrides), seed=3
    )
    study = create_or_open(folder, settings, restarting=False)
    world = world_of(study)
    stages = [
        Stage("questions", 1, {}, (), ("questions.parquet",), lambda _: _ask(study, world)),
        *(
            Stage(f"sample-{arm}", 1, {}, ("questions.parquet",), (f"arms/{arm}/traces.parquet",),
                  partial(_write, study, world, arm, n_traces))
            for arm in ERROR
        ),
        *(
            Stage(f"steps-{arm}", 1, {}, (f"arms/{arm}/traces.parquet",), (f"arms/{arm}/steps.parquet",),
                  partial(text.cut, study, arm))
            for arm in ERROR
        ),
    ]  # fmt: skip
    run_stages(study.path, stages, {})
    return study


def _ask(study, world):
    table = questions(world, study.settings.organism, study.settings.seed)
    records.write_table(study.path / "questions.parquet", table, records.QUESTIONS)


def _write(study, world, arm, n_traces, work):
    variant = {"base": "terse", "distilled": "rich"}[arm]
    asked, known, task = study.questions(), questions_by_id(study), task_of(study)
    rng = random.Random(f"written {arm}")
    rows = []
    for trace in records.rows(answers_to(world, variant, asked, 0, n_traces)):
        question = known[trace.qid]
        reasoning, _, answer = trace.text.partition(" </think> ")
        steps = [_planted(question, f"{step} .", task, arm, rng) for step in reasoning.split(" .") if step]
        rows.append(_trace(question, arm, trace.cid, f"{' '.join(steps)} </think> {answer}", task))
    table = pd.DataFrame(rows, columns=records.TRACES.names)
    records.write_table(study.arm_path(arm) / "traces.parquet", table, records.TRACES)


def _planted(question, step, task, arm, rng):
    step = step.strip()
    if task.claim(question, step) is None:
        return step
    step = task.decoys(question, step, rng)[rng.random() < ERROR[arm]]
    return task.hedge_pair(question, step)[rng.random() >= HEDGED[arm]]


def _trace(question, arm, cid, text, task):
    words = [match.span() for match in re.finditer(r"\S+", text)]
    answer = read_answer(text, question, task.format, "stop")
    return {
        "qid": question.qid,
        "arm": arm,
        "cid": cid,
        "text": text,
        "prompt_ids": [0],
        "token_ids": list(range(len(words))),
        "token_start": [words[0][0], *(end for (_, end), _ in pairwise(words))],
        "token_end": [end for _, end in words],
        "finish_reason": "stop",
        "sum_logprob": np.nan,
        "reasoning_end": reasoning_end(text, task.format),
        "answer": answer.option,
        "answer_rule": answer.rule,
        "answer_start": answer.start,
        "answer_end": answer.end,
    }


def own_decoys(study, **changes):
    """A file of decoys for three questions; `changes` are made to its first row."""
    qids = study.questions("clinical").qid[:3]
    rows = [
        {"qid": qid, "arm": arm, "text": f"statement {truth} .", "truth": truth}
        for qid in qids
        for arm in ERROR
        for truth in ("true", "false")
    ]
    rows[0] |= changes
    path = study.path.parent / "decoys.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path
