"""What the stages do: each job reads the study, does one thing, and writes its files.

A job's last argument is the folder for its work in flight.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mechcot.core import files, records
from mechcot.core.errors import DataError
from mechcot.core.settings import TEACHER_VARIANTS
from mechcot.core.stages import load_manifest
from mechcot.reading.of_study import checkpoint_folder
from mechcot.steps.of_study import questions_by_id, task_of, world_of
from mechcot.study.folder import Study
from mechcot.tasks import render_prompt

log = logging.getLogger("mechcot")


def ask(study: Study, work: Path) -> None:
    """Load the questions that the settings name."""
    from mechcot.tasks.questions import load_questions

    assert study.settings.questions is not None
    table = load_questions(study.settings.questions)
    records.write_table(study.path / "questions.parquet", table, records.QUESTIONS)
    _refuse_early(study)


def _refuse_early(study: Study) -> None:
    """Refuse a contrast of a domain that no question has, and bad files of traces, before hours of work."""
    domains = [study.settings.contrast.domain, *(c.domain for c in study.settings.controls.values())]
    for domain in domains:
        study.questions(domain)
    for name, arm in study.settings.arms.items():
        if arm.traces is not None:
            _given(study, name, arm.traces)


def invent(study: Study, work: Path) -> None:
    """Write the organism's questions."""
    from mechcot.tasks.organism.questions import questions

    assert study.settings.organism is not None
    table = questions(world_of(study), study.settings.organism, study.settings.seed)
    records.write_table(study.path / "questions.parquet", table, records.QUESTIONS)
    _refuse_early(study)


def pretrain_base(study: Study, progress: bool, work: Path) -> None:
    """Train the organism's base from scratch."""
    from mechcot.distill.pretrain import pretrain

    assert study.settings.organism is not None
    pretrain(
        world_of(study),
        study.settings.organism,
        study.settings.seed,
        study.path / "models" / "base",
        work,
        progress=progress,
    )


def teach(study: Study, work: Path) -> None:
    """Write the organism's teacher traces, each variant that an arm learns from."""
    from mechcot.tasks.organism.teacher import examples

    organism = study.settings.organism
    assert organism is not None
    used = {arm.distill.examples for arm in study.settings.arms.values() if arm.distill}
    for variant in TEACHER_VARIANTS:
        path = study.path / "examples" / f"{variant}.parquet"
        if variant in used:
            table = examples(world_of(study), variant, organism, study.settings.seed, organism.teacher_traces)
            records.write_table(path, table, records.EXAMPLES)


def checkpoint_of(study: Study, arm: str) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    """Where an arm's weights lie: (a study's own folder) or (a folder outside)."""
    folder = checkpoint_folder(study, arm)
    if folder.is_relative_to(study.path / "models"):
        return (folder.relative_to(study.path).as_posix(),), ()
    return (), (folder,)


def distil(study: Study, arm: str, progress: bool, work: Path) -> None:
    """Distil an arm's examples into its base."""
    from mechcot.distill import distill

    settings = study.settings.arms[arm].distill
    assert settings is not None
    source = settings.examples
    own = study.path / "examples" / f"{source}.parquet"
    examples = own if source in TEACHER_VARIANTS else Path(source).expanduser()
    distill(
        checkpoint_folder(study, settings.base),
        examples,
        study.path / "models" / arm,
        settings.train,
        seed=study.settings.seed,
        work=work / "trainer",
        overwrite=True,  # a stage that was killed, then changed, leaves a student behind
        progress=progress,
    )


def sample_traces(study: Study, arm: str, progress: bool, work: Path) -> None:
    """Sample an arm's traces and read their answers off."""
    from mechcot.models.checkpoint import load
    from mechcot.sampling import Prompt, sample, trace_rows

    settings, task, questions = study.settings, task_of(study), questions_by_id(study)
    checkpoint = load(settings.arms[arm], checkpoint_folder(study, arm), settings.device)
    prompts = [
        Prompt(qid, tuple(render_prompt(question, task.format, checkpoint.tokenizer)[1]))
        for qid, question in questions.items()
    ]
    completions = sample(
        checkpoint, prompts, settings.sampling, arm=arm, seed=settings.seed, work=work, progress=progress
    )
    rows = trace_rows(completions, prompts, questions, task.format, checkpoint.tokenizer, arm)
    records.write_table(study.arm_path(arm) / "traces.parquet", rows, records.TRACES)


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
    given = _given(study, arm, source)
    _tell_unanswered(study, arm, set(given.qid))
    tokenizer = load_tokenizer(
        checkpoint_folder(study, before), trust_remote_code=study.settings.arms[before].trust_remote_code
    )
    prompts = [
        Prompt(qid, tuple(render_prompt(questions[qid], task.format, tokenizer)[1]))
        for qid in given.qid.unique()
    ]
    completions = completions_of(given, tokenizer, source)
    rows = trace_rows(completions, prompts, questions, task.format, tokenizer, arm)
    records.write_table(study.arm_path(arm) / "traces.parquet", rows, records.TRACES)


def _given(study: Study, arm: str, source: str) -> pd.DataFrame:
    """What an arm's file holds, or what the organism's teacher writes: as many traces as a checkpoint."""
    from mechcot.sampling import load_given

    settings, questions = study.settings, study.questions()
    if source in TEACHER_VARIANTS:
        from mechcot.tasks.organism.teacher import answers_to

        table = answers_to(world_of(study), source, questions, settings.seed, settings.sampling.samples)
        table = table.assign(finish_reason="stop", row=range(1, len(table) + 1))
    else:
        table = load_given(given_file(source), list(questions.qid))
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
    from mechcot.steps import claim_rows, step_rows

    task, questions, traces = task_of(study), questions_by_id(study), study.traces(arm)
    steps = step_rows(traces, questions, task, study.settings.steps.window)
    _tell_empty(arm, traces, steps)
    records.write_table(study.arm_path(arm) / "steps.parquet", steps, records.STEPS)
    frame = pd.DataFrame(steps, columns=records.STEPS.names)
    claims = claim_rows(frame, traces, questions, task)
    records.write_table(study.arm_path(arm) / "claims.parquet", claims, records.CLAIMS)


def _tell_empty(arm: str, traces: Any, steps: list[dict[str, Any]]) -> None:
    """Name traces without steps; an arm that has none at all cannot be studied."""
    found = {(step["qid"], step["cid"]) for step in steps}
    empty = [key for key in zip(traces.qid, traces.cid, strict=True) if key not in found]
    if len(empty) == len(traces):
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


def judge(study: Study, progress: bool, work: Path) -> None:
    """Judge the steps of all arms, in one go: a judge may shuffle them."""
    settings, questions = study.settings.judge, questions_by_id(study)
    steps = pd.concat([study.steps(arm) for arm in study.settings.arms], ignore_index=True)
    path = Path(settings.path).expanduser() if settings.path else Path()
    if settings.kind == "exact":
        from mechcot.judging.exact import judge_exactly

        rows = judge_exactly(steps, questions, task_of(study))
    elif settings.kind == "table":
        from mechcot.judging.table import judge_by_table

        rows = judge_by_table(steps, path)
    else:
        from mechcot.judging.judge_file import read_judge
        from mechcot.judging.llm import judge_by_llm

        # Replies cost money: they outlive the stage, so that a mended judge file pays only for what changed.
        judgement = judge_by_llm(
            steps,
            questions,
            read_judge(path),
            study.path / "work" / "calls",
            name=path.stem,
            seed=study.settings.seed,
            progress=progress,
        )
        rows = judgement.rows
        files.write_json(study.path / "instruments" / f"{settings.kind}.json", judgement.about)
    table = pd.DataFrame(rows, columns=records.VERDICTS.names)
    for arm in study.settings.arms:
        out = study.arm_path(arm) / "verdicts" / f"{settings.kind}.parquet"
        records.write_table(out, table[table.arm == arm], records.VERDICTS)


def read(study: Study, author: str, reader: str, progress: bool, work: Path) -> None:
    """Read an author's traces with a reader's weights."""
    from mechcot.reading.of_study import read_arm

    read_arm(study, author, reader, work, task_of(study), checkpoint_folder(study, reader), progress=progress)


def prices(study: Study, authors: Sequence[str], readers: Sequence[str]) -> list[str]:
    """What the readings will cost, a line each; traces and steps must be there.

    Raises:
        DataError: an author's traces or steps are not there yet.
    """
    from mechcot.reading.of_study import price

    task = task_of(study)
    return [
        price(study, author, reader, task, checkpoint_folder(study, reader)).text()
        for author in authors
        for reader in readers
    ]


def analyse(study: Study, name: str, job: Callable[[Study], dict[str, Any]], work: Path) -> None:
    """Write an analysis' result."""
    files.write_json(study.path / "results" / f"{name}.json", job(study))


def write(study: Study, work: Path) -> None:
    """Write summary and report."""
    from mechcot.report import write_report

    write_report(study, load_manifest(study.path)["versions"])
