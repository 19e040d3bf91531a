"""A study of text in miniature: questions with options, traces written by hand, verdicts from a file."""

import json
import random
import re
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd

from conftest import tiny_model
from mechcot.core import config, records
from mechcot.core.files import write_text
from mechcot.core.stages import Stage, run_stages
from mechcot.pipeline import run as pipeline
from mechcot.pipeline import text
from mechcot.steps.of_study import task_of
from mechcot.study.writing import create_or_open
from mechcot.tasks import Question, read_answer, reasoning_end
from mechcot.tasks.questions import load_questions

ARMS = ("base", "distilled")
OPTIONS = ("gout", "lupus", "malaria")
SENTENCES = {
    "finding": "The patient has had fever for {n} days.",
    "mechanism": "Fever number {n} is caused by proteins of the body.",
    "elimination": "Cause number {n} is unlikely.",
    "conclusion": "These findings suggest cause number {n}.",
    "other": "Let's look at point {n}.",
}
MIX = {"base": (5, 3, 1, 2, 1), "distilled": (2, 3, 3, 3, 1)}
"""How often an arm writes which kind."""
WRONG = {"base": 0.2, "distilled": 0.4}
VERDICTS = "verdicts.csv"


def written_text(folder, *overrides, n_questions=12, n_traces=2):
    """The study's stages up to its steps, recorded; and a table of verdicts beside it for its judge."""
    beside = folder.parent
    beside.mkdir(parents=True, exist_ok=True)
    questions = pd.DataFrame(
        [
            {"qid": f"q{i}", "question": f"Patient {i} has had fever for {i} days. Which cause?",
             "A": OPTIONS[0], "B": OPTIONS[1], "C": OPTIONS[2], "gold": "ABC"[i % 3]}
            for i in range(n_questions)
        ]
    )  # fmt: skip
    letters_checkpoint(beside / ARMS[0])
    (beside / ARMS[1]).mkdir(exist_ok=True)  # no weights: what is tested here loads none of its
    write_text(beside / ARMS[1] / "config.json", json.dumps({"model_type": "gpt2"}))
    questions.to_csv(beside / "questions.csv", index=False)
    named = (f"questions.path={beside / 'questions.csv'}", f"judge.path={beside / VERDICTS}")
    settings = config.resolve(
        base={
            "preset": "models",
            "questions": {
                "path": str(beside / "questions.csv"),
                "columns": {"options": list("ABC"), "gold": "gold"},
            },
            "arms": {name: {"model": str(beside / name)} for name in ARMS},
            "judge": {"kind": "table", "path": str(beside / VERDICTS)},
            "analysis": {"bootstrap": 200},
        },
        overrides=(*named, *overrides),
        seed=3,
    )
    study = create_or_open(folder, settings, restarting=False)
    stages = [
        Stage("questions", 1, {}, (), ("questions.parquet",), lambda _: _ask(study)),
        *(
            Stage(f"sample-{arm}", 1, {}, ("questions.parquet",), (f"arms/{arm}/traces.parquet",),
                  partial(_write, study, arm, n_traces))
            for arm in ARMS
        ),
        *(
            Stage(f"steps-{arm}", 1, {}, ("questions.parquet", f"arms/{arm}/traces.parquet"),
                  (f"arms/{arm}/steps.parquet", f"arms/{arm}/claims.parquet"), partial(text.cut, study, arm))
            for arm in ARMS
        ),
    ]  # fmt: skip
    run_stages(study.path, stages, {})
    verdicts = pd.concat([_judged(study.cut_steps(arm), WRONG[arm]) for arm in ARMS])
    verdicts.to_csv(beside / VERDICTS, index=False)
    return study


def letters_checkpoint(folder):
    """A random tiny checkpoint whose tokens are bytes, so that any two words differ to it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={"<eos>": 0, **{c: 1 + i for i, c in enumerate(alphabet)}}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<eos>", pad_token="<eos>")
    tokenizer.chat_template = "{{ messages[0].content }}"
    tokenizer.save_pretrained(folder)
    tiny_model("llama", vocab=257).save_pretrained(folder)


def _ask(study):
    table = load_questions(study.settings.questions)
    records.write_table(study.path / "questions.parquet", table, records.QUESTIONS)


def _said(kind, n):
    """A sentence of a kind; where there are several ways to say it, each in turn."""
    ways = [SENTENCES[kind]] if isinstance(SENTENCES[kind], str) else SENTENCES[kind]
    return ways[n % len(ways)].format(n=n)


def _write(study, arm, n_traces, work):
    task, rng = task_of(study), random.Random(f"text of {arm}")
    rows = []
    for row in records.rows(study.questions()):
        question = Question(row.qid, row.domain, row.stem, tuple(row.options), int(row.gold), row.group)
        for cid in range(n_traces):
            kinds = rng.choices(list(SENTENCES), MIX[arm], k=7)
            said = [_said(kind, 10 * i + cid) for i, kind in enumerate(kinds)]
            rows.append(
                _trace(question, arm, cid, "\n".join([*said, f"The answer is ({rng.choice('ABC')})."]), task)
            )
    table = pd.DataFrame(rows, columns=records.TRACES.names)
    records.write_table(study.arm_path(arm) / "traces.parquet", table, records.TRACES)


def _trace(question, arm, cid, text, task):
    words = [match.span() for match in re.finditer(r"\S+", text)]
    answer = read_answer(text, question, task.format, "stop")
    return {
        "qid": question.qid, "arm": arm, "cid": cid, "text": text, "prompt_ids": [0],
        "token_ids": list(range(len(words))),
        "token_start": [words[0][0], *(end for (_, end), _ in pairwise(words))],
        "token_end": [end for _, end in words], "finish_reason": "stop", "sum_logprob": np.nan,
        "reasoning_end": reasoning_end(text, task.format), "answer": answer.option,
        "answer_rule": answer.rule, "answer_start": answer.start, "answer_end": answer.end,
    }  # fmt: skip


def _judged(steps, share):
    rng = np.random.default_rng(len(steps))
    wrong = np.where(rng.random(len(steps)) < share, "erroneous", "correct")
    return steps[records.STEP_KEY].assign(instrument="people", label=wrong, reason="")


def stages_named(study, *names):
    """Stages of the pipeline by name, in its order."""
    return [stage for stage in pipeline.stages_of(study, progress=False) if stage.name in names]
