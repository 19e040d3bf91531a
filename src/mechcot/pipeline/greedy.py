"""One more trace a question and arm, at temperature 0: what the arms say without the noise of sampling.

They lie apart and vote nowhere; the study's own judge judges their steps.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd

from mechcot.core import files, records
from mechcot.core.plan import Expense
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.core.stages import Stage
from mechcot.pipeline.facts import with_weights
from mechcot.pipeline.judge import judge_file, judged, plan_of
from mechcot.pipeline.served import server_basis
from mechcot.pipeline.text import cut_into, plan_prompts, sampled
from mechcot.steps.of_study import checkpoint_of, task_basis, task_of
from mechcot.study.folder import Study


def greedy_stages(study: Study, progress: bool) -> list[Stage]:
    """The greedy trace of each arm with weights, its steps, and their verdicts; none where not asked for."""
    if not study.settings.sampling.greedy:
        return []
    arms = with_weights(study)
    kind = study.settings.judge.kind
    steps = tuple(f"arms/{arm}/greedy/steps.parquet" for arm in arms)
    verdicts = tuple(f"arms/{arm}/greedy/verdicts.parquet" for arm in arms)
    judge = Stage(
        "greedy-verdicts",
        1,
        study.settings.judge.basis() | task_basis(study),
        ("questions.parquet", *steps),
        (*verdicts, *(("instruments/greedy.json",) if kind == "llm" else ())),
        partial(judge_greedy, study, progress),
        outside=judge_file(study),
        plan=partial(plan_verdicts, study),
    )
    return [*(_decoding(study, arm, progress) for arm in arms), judge]


def _decoding(study: Study, arm: str, progress: bool) -> Stage:
    settings = study.settings
    own, outside = checkpoint_of(study, arm)
    used = {"max_new_tokens", "stop", "stop_at_answer"}
    served = {"server": server_basis(study, arm)} if settings.arms[arm].server is not None else {}
    return Stage(
        f"greedy-{arm}",
        1,
        {
            "sampling": settings.sampling_of(arm).model_dump(mode="json", include=used),
            "cid": settings.sampling_of(arm).samples,
            "prompt": settings.prompt_of(arm).basis(),
            "steps": settings.steps.model_dump(mode="json"),
            "threads": settings.threads,
        }
        | task_basis(study)
        | served,
        ("questions.parquet", *own),
        tuple(f"arms/{arm}/greedy/{name}.parquet" for name in ("traces", "steps", "claims")),
        partial(decode, study, arm, progress),
        outside=outside,
        plan=partial(plan_decoding, study, arm),
    )


def _settings(study: Study, arm: str) -> SamplingSettings:
    return study.settings.sampling_of(arm).model_copy(
        update={"samples": 1, "temperature": 0.0, "top_p": 1.0, "top_k": 0}
    )


def decode(study: Study, arm: str, progress: bool, work: Path) -> None:
    """Write an arm's likeliest trace of each question, numbered behind its samples, and cut it into steps.

    An answer to an open question that no sample gave is none of its options.
    """
    rows = pd.DataFrame(sampled(study, arm, _settings(study, arm), progress, work))
    rows["cid"] = study.settings.sampling_of(arm).samples
    questions = study.questions()
    if study.settings.open_questions:
        from mechcot.sampling.votes import among

        rows["answer"] = among(questions, rows, task_of(study).format)
    folder = study.arm_path(arm) / "greedy"
    records.write_table(folder / "traces.parquet", rows, records.TRACES)
    cut_into(study, arm, records.read_table(folder / "traces.parquet", records.TRACES), folder)


def judge_greedy(study: Study, progress: bool, work: Path) -> None:
    """Judge the greedy steps of all arms, as the study's own are judged."""
    arms = with_weights(study)
    steps = pd.concat([study.greedy_table(arm, "steps") for arm in arms], ignore_index=True)
    rows, about = judged(study, steps, progress)
    if about is not None:
        files.write_json(study.path / "instruments" / "greedy.json", about)
    table = pd.DataFrame(rows, columns=records.VERDICTS.names)
    for arm in arms:
        own = table[table.arm == arm]
        records.write_table(study.arm_path(arm) / "greedy" / "verdicts.parquet", own, records.VERDICTS)


def plan_decoding(study: Study, arm: str) -> Expense:
    """One trace a question, and how many tokens at most."""
    return plan_prompts(study, arm, _settings(study, arm))


def plan_verdicts(study: Study) -> Expense:
    """What judging the greedy steps takes, once they are there."""
    arms = with_weights(study)
    missing = [arm for arm in arms if not (study.arm_path(arm) / "greedy" / "steps.parquet").exists()]
    steps = None
    if not missing:
        steps = pd.concat([study.greedy_table(arm, "steps") for arm in arms], ignore_index=True)
    return plan_of(study, "greedy-verdicts", steps, f"the greedy steps of {', '.join(missing)}")
