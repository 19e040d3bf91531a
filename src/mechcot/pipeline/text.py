"""The arms' texts: sampled or given, then cut into steps."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from mechcot.core import files, records
from mechcot.core.errors import DataError
from mechcot.core.plan import Expense
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.core.settings import TEACHER_VARIANTS
from mechcot.core.stages import Stage
from mechcot.core.teacher_settings import OWN_TEACHER
from mechcot.pipeline.plan import ON_THE_HUB, questions_of, skipped_ids, traces_of
from mechcot.pipeline.prompts import check_asked
from mechcot.pipeline.served import plan_served, served, server_basis
from mechcot.pipeline.teacher_arm import basis_of, plan_examined, write_examined
from mechcot.pipeline.votes import asked_file, traces_file, vote_stages
from mechcot.steps.of_study import (
    checkpoint_folder,
    checkpoint_of,
    questions_by_id,
    task_basis,
    task_of,
    world_of,
)
from mechcot.study.folder import Study
from mechcot.tasks import question_of, render_prompt

log = logging.getLogger("mechcot")


def text_stages(study: Study, progress: bool) -> list[Stage]:
    """Each arm's traces and their steps; open questions are voted on between the two."""
    arms = study.settings.arms
    if study.settings.open_questions:
        traces = [_traces_stage(study, arm, progress) for arm in arms]
        return [*traces, *vote_stages(study), *(_steps_stage(study, arm) for arm in arms)]
    return [
        stage for arm in arms for stage in (_traces_stage(study, arm, progress), _steps_stage(study, arm))
    ]


def _traces_stage(study: Study, arm: str, progress: bool) -> Stage:
    given = study.settings.arms[arm].traces is not None
    return _given_stage(study, arm, progress) if given else _sampling_stage(study, arm, progress)


def _steps_stage(study: Study, arm: str) -> Stage:
    steps = study.settings.steps
    window = set() if steps.segmenter == "words" else {"window"}  # means nothing to the others
    return Stage(
        f"steps-{arm}",
        _version(study),
        {"steps": steps.model_dump(mode="json", exclude=window)} | task_basis(study),
        ("questions.parquet", f"arms/{arm}/traces.parquet"),
        (f"arms/{arm}/steps.parquet", f"arms/{arm}/claims.parquet"),
        partial(cut, study, arm),
        frozen=True,
        plan=partial(plan_traces, study, arm),
    )


def _version(study: Study) -> int:
    """Version of the stages of texts: since 2 the rules of `tasks.answers` read and cut them.

    Since 3 a bare value is no option. The organism is read by its pattern, as it was.
    """
    return 1 if study.settings.organism else 3


def _sampling_stage(study: Study, arm: str, progress: bool) -> Stage:
    settings = study.settings
    own, outside = checkpoint_of(study, arm)
    prompt = settings.prompt_of(arm).basis()
    # Means nothing to the organism, whose texts end by themselves.
    unused = (
        {"stop_at_answer", *(() if settings.sampling.stop else ("stop",))} if settings.organism else set()
    )
    # The greedy traces are another stage's.
    sampling = settings.sampling_of(arm).model_dump(mode="json", exclude={"greedy", *unused})
    basis: dict[str, Any] = {"sampling": sampling, "prompt": prompt, "seed": settings.seed}
    at_server = settings.arms[arm].server is not None
    if at_server:
        sampling.pop("batch_rows")
        basis["server"] = server_basis(study, arm)
    return Stage(
        f"sample-{arm}",
        _version(study),
        basis,
        (asked_file(study), *own),
        (traces_file(study, arm), *((f"arms/{arm}/server.json",) if at_server else ())),
        partial(sample_traces, study, arm, progress),
        frozen=True,
        outside=outside,
        plan=partial(plan_sampling, study, arm),
    )


def _given_stage(study: Study, arm: str, progress: bool) -> Stage:
    """Traces out of a file, or by a teacher of the study: as many then as a checkpoint writes."""
    settings, source = study.settings, study.settings.arms[arm].traces
    assert source is not None
    own, outside = checkpoint_of(study, settings.contrast.before)  # its tokenizer
    basis: dict[str, Any] = {"prompt": settings.prompt.basis()}
    if source == OWN_TEACHER:
        return Stage(
            f"given-{arm}",
            _version(study),
            basis | {"teacher": basis_of(study)},
            (asked_file(study), "teacher/about.json", *own),
            (traces_file(study, arm), f"arms/{arm}/teacher.json"),
            partial(examine, study, arm, progress),
            frozen=True,
            outside=outside,
            plan=partial(plan_examined, study, arm),
        )
    if source in TEACHER_VARIANTS:
        assert settings.organism is not None  # by Settings' own validation
        basis |= {"teacher": source, "samples": settings.sampling.samples, "seed": settings.seed}
        basis |= {"organism": settings.organism.model_dump(mode="json")}
    else:
        outside = (*outside, given_file(source))
    return Stage(
        f"given-{arm}",
        _version(study),
        basis,
        (asked_file(study), *own),
        (traces_file(study, arm),),
        partial(take_traces, study, arm),
        frozen=True,
        outside=outside,
        plan=partial(plan_traces, study, arm),
    )


def plan_traces(study: Study, arm: str) -> Expense:
    """How many traces of an arm there are to take, or to cut."""
    return Expense(arm, traces_of(study, arm), "traces", reason=ON_THE_HUB)


def plan_sampling(study: Study, arm: str) -> Expense:
    """How many traces of an arm there are to sample, and how many tokens at most."""
    return plan_prompts(study, arm, study.settings.sampling_of(arm))


def plan_prompts(study: Study, arm: str, sampling: SamplingSettings) -> Expense:
    """What the completions of all questions take."""
    if study.settings.arms[arm].server is not None:
        return plan_served(study, arm, sampling)
    settings, questions = study.settings, questions_of(study)
    if questions is None:
        return Expense(arm, None, "traces", tokens_in=None, tokens_out=None, reason=ON_THE_HUB)
    n = len(questions) * sampling.samples
    folder, read = checkpoint_folder(study, arm), None
    if folder.exists():
        from mechcot.models.checkpoint import load_tokenizer

        tokenizer = load_tokenizer(folder, trust_remote_code=settings.arms[arm].trust_remote_code)
        form = task_of(study, arm).format
        read = sum(
            len(render_prompt(question_of(row), form, tokenizer)[1]) for row in records.rows(questions)
        )
    return Expense(
        arm,
        n,
        "traces",
        tokens_in=read,
        tokens_out=n * sampling.max_new_tokens,
        reason="the arm's weights are not made yet" if read is None else Expense.reason,
    )


def sample_traces(study: Study, arm: str, progress: bool, work: Path) -> None:
    """Sample an arm's traces and read their answers off."""
    if study.settings.arms[arm].server is not None:
        rows, about = served(study, arm, study.settings.sampling_of(arm), progress)
        files.write_json(study.arm_path(arm) / "server.json", about)
    else:
        rows = sampled(study, arm, study.settings.sampling_of(arm), progress, work)
    records.write_table(study.path / traces_file(study, arm), rows, records.TRACES)


def sampled(
    study: Study, arm: str, sampling: SamplingSettings, progress: bool, work: Path
) -> list[dict[str, Any]]:
    """Traces of all questions by an arm's weights, here or at its server, rows of `records.TRACES`."""
    if study.settings.arms[arm].server is not None:
        return served(study, arm, sampling, progress)[0]
    from mechcot.models.checkpoint import load
    from mechcot.sampling import Prompt, sample, stop_of, trace_rows

    settings, task, questions = study.settings, task_of(study, arm), questions_by_id(study)
    checkpoint = load(settings.arms[arm], checkpoint_folder(study, arm), settings.device)
    prompts = [
        Prompt(qid, tuple(render_prompt(question, task.format, checkpoint.tokenizer)[1]))
        for qid, question in questions.items()
    ]
    check_asked(study, arm, {prompt.qid: prompt.ids for prompt in prompts})
    completions = sample(
        checkpoint,
        prompts,
        sampling,
        arm=arm,
        seed=settings.seed,
        work=work,
        stop=stop_of(sampling, questions, task.format, checkpoint.tokenizer),
        progress=progress,
    )
    return trace_rows(completions, prompts, questions, task.format, checkpoint.tokenizer, arm)


def given_file(traces: str) -> Path:
    """The file that an arm's `traces` name."""
    return Path(traces).expanduser()


def take_traces(study: Study, arm: str, work: Path) -> None:
    """Take an arm's traces as they are given, in the tokens of the contrast's arm before."""
    from mechcot.models.checkpoint import load_tokenizer
    from mechcot.sampling import Prompt, completions_of, trace_rows

    before, task, questions = study.settings.contrast.before, task_of(study), questions_by_id(study)
    source = study.settings.arms[arm].traces
    assert source is not None
    given = given_traces(study, arm, source)
    _tell_unanswered(study, arm, set(given.qid))
    tokenizer = load_tokenizer(
        checkpoint_folder(study, before), trust_remote_code=study.settings.arms[before].trust_remote_code
    )
    rendered = {qid: render_prompt(questions[qid], task.format, tokenizer) for qid in given.qid.unique()}
    prompts = [Prompt(qid, tuple(ids)) for qid, (_, ids) in rendered.items()]
    completions = completions_of(given, tokenizer, source, rendered)
    rows = trace_rows(completions, prompts, questions, task.format, tokenizer, arm)
    records.write_table(study.path / traces_file(study, arm), rows, records.TRACES)


def examine(study: Study, arm: str, progress: bool, work: Path) -> None:
    """Ask the study's teacher the study's questions, as an arm."""
    answered = write_examined(study, arm, progress, study.path / traces_file(study, arm))
    _tell_unanswered(study, arm, answered)


def given_traces(study: Study, arm: str, source: str) -> pd.DataFrame:
    """What an arm's file holds, or what the organism's teacher writes: as many traces as a checkpoint."""
    from mechcot.sampling import load_given

    settings, questions = study.settings, study.questions()
    if source in TEACHER_VARIANTS:
        from mechcot.tasks.organism.teacher import answers_to

        table = answers_to(world_of(study), source, questions, settings.seed, settings.sampling.samples)
        table = table.assign(finish_reason="stop", row=range(1, len(table) + 1))
    else:
        table = load_given(given_file(source), list(questions.qid), skipped_ids(study))
    asked = study.questions(settings.contrast.domain).qid
    if arm in settings.authors() and not asked.isin(table.qid).any():
        raise DataError(
            f"{source}: no trace answers a question of the contrast's domain '{settings.contrast.domain}': "
            f"nothing of the arm '{arm}' can be read. Give such traces, or set reading.authors without it"
        )
    return table


def _tell_unanswered(study: Study, arm: str, answered: set[str]) -> None:
    """Name the contrast's questions that an arm has no trace of."""
    asked = list(study.questions(study.settings.contrast.domain).qid)
    missing = [qid for qid in asked if qid not in answered]
    if missing:
        log.warning(
            "arm %s: %d of the contrast's %d questions have no trace (first: %s): nothing of them is read, "
            "and a control cannot compare this arm on them",
            arm, len(missing), len(asked), missing[0],
        )  # fmt: skip


def cut(study: Study, arm: str, work: Path) -> None:
    """Cut an arm's traces into steps, and read their claims."""
    cut_into(study, arm, study.traces(arm), study.arm_path(arm))


def cut_into(study: Study, arm: str, traces: pd.DataFrame, folder: Path) -> None:
    """Write the steps and claims of some of an arm's traces into a folder."""
    from mechcot.steps import claim_rows, step_rows

    task, questions = task_of(study, arm), questions_by_id(study)
    steps = step_rows(traces, questions, task, study.settings.steps.window)
    _tell_empty(arm, traces, steps, needed=arm in study.settings.authors())
    records.write_table(folder / "steps.parquet", steps, records.STEPS)
    frame = pd.DataFrame(steps, columns=records.STEPS.names)
    claims = claim_rows(frame, traces, questions, task)
    records.write_table(folder / "claims.parquet", claims, records.CLAIMS)


def _tell_empty(arm: str, traces: Any, steps: list[dict[str, Any]], *, needed: bool) -> None:
    """Name traces without steps; an arm that is read and has none at all cannot be studied.

    One that is not may have none where its traces answer at once, as those of a student that was taught
    answers alone.
    """
    found = {(step["qid"], step["cid"]) for step in steps}
    empty = [key for key in zip(traces.qid, traces.cid, strict=True) if key not in found]
    outright = all(not row.text[: row.reasoning_end].strip() for row in records.rows(traces))
    if len(empty) == len(traces) and (needed or not outright):
        raise DataError(
            f"arm {arm}: none of its {len(traces)} traces has a step. Look at the texts in "
            f"arms/{arm}/traces.parquet; then fix prompt.reasoning_end, prompt.answer_pattern or "
            "steps.segmenter"
        )
    if empty:
        log.warning(
            "arm %s: %d of %d traces have no steps (first: question %s, sample %d); "
            "they count among the answers, and nothing of them is judged or read",
            arm, len(empty), len(traces), *empty[0],
        )  # fmt: skip
