"""The study's teacher as an arm: its chains for the study's own questions, judged as a student's are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechcot.core import files, records
from mechcot.core.plan import Expense
from mechcot.core.teacher_settings import TeacherSettings
from mechcot.pipeline.plan import ON_THE_HUB, questions_of
from mechcot.pipeline.teacher import COST_ALONE, FOLDER
from mechcot.steps.of_study import checkpoint_folder, questions_by_id, task_of
from mechcot.study.folder import Study
from mechcot.tasks import render_prompt

if TYPE_CHECKING:
    from mechcot.asking.session import Session
    from mechcot.distill.teacher_file import Teacher


def _teacher(study: Study) -> tuple[TeacherSettings, Teacher, Path]:
    """What the settings say of the teacher, its server, and the file of that."""
    from mechcot.distill.teacher_file import read_teacher

    settings = study.settings.teacher
    assert settings is not None  # by Settings' own validation
    path = Path(settings.server or "").expanduser()
    return settings, read_teacher(path, study.settings.sampling.samples), path


def basis_of(study: Study) -> dict[str, Any]:
    """What decides the chains of such an arm."""
    settings, server, _ = _teacher(study)
    return {
        "server": server.model_dump(mode="json", exclude=COST_ALONE),
        "prompt": settings.prompt,
        "samples": study.settings.sampling.samples,
        "seed": study.settings.seed,
    }


def examined(study: Study, arm: str, progress: bool) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The teacher's chains for the study's questions (rows of `records.TRACES`), and how they came about.

    It is asked as for training, without hints, `sampling.samples` times a question. Refusals and chains
    without a text are left out and counted; the others of a question are numbered anew. They are put into the
    tokens of the contrast's arm before.

    Raises:
        MechcotError: as `distill.teacher.examine`.
    """
    from mechcot.distill.chains import counted, exercises_of
    from mechcot.distill.teacher import examine

    settings, server, path = _teacher(study)
    session = _session(study, server, _left(study, settings), progress)
    exercises = list(exercises_of(study.questions()).values())
    samples = study.settings.sampling.samples
    done = examine(exercises, samples, settings, task_of(study).format, session, path)
    rows, left_out = _traces(study, arm, done.rows)
    outcomes = counted(row["outcome"] for row in done.rows)
    return rows, {**done.about, "arm": arm, "samples": samples, "outcomes": outcomes, "left_out": left_out}


def _session(study: Study, server: Teacher, budget: float | None, progress: bool) -> Session[Teacher]:
    from mechcot.asking.session import Session
    from mechcot.asking.spending import Ledger

    work = study.path / "work" / "calls"
    return Session(server, work, study.settings.seed, ledger=Ledger(budget), progress=progress)


def _left(study: Study, settings: TeacherSettings) -> float | None:
    """The budget without what the chains for training took."""
    if settings.budget is None:
        return None
    spent = files.read_json(study.checked(study.path / FOLDER / "about.json"))["usage"]["cost"]
    return max(0.0, settings.budget - (spent or 0.0))


def _traces(
    study: Study, arm: str, chains: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    from mechcot.distill.chains import plain
    from mechcot.models.checkpoint import load_tokenizer
    from mechcot.sampling import Prompt, trace_rows
    from mechcot.tasks.tokens import turn_marks, without_end

    before, task, questions = study.settings.contrast.before, task_of(study), questions_by_id(study)
    own = study.settings.arms[before]
    tokenizer = load_tokenizer(checkpoint_folder(study, before), trust_remote_code=own.trust_remote_code)
    marks, left_out = turn_marks(tokenizer), {"refused": 0, "empty": 0, "mark": 0}
    kept: dict[str, list[tuple[str, str]]] = {}
    for chain in chains:
        text = without_end(chain["text"], marks)
        why = chain["outcome"] if chain["outcome"] in left_out else "mark" if text is None else ""
        if why or not text:
            left_out[why or "empty"] += 1
            continue
        reason = "length" if chain["outcome"] == "cut" else "stop"
        kept.setdefault(chain["qid"], []).append((text, reason))
    rendered = {qid: render_prompt(questions[qid], task.format, tokenizer) for qid in kept}
    completions = _completions(tokenizer, kept, rendered)
    prompts = [Prompt(qid, tuple(ids)) for qid, (_, ids) in rendered.items()]
    # A teacher's text has no mark behind its reasoning.
    return trace_rows(completions, prompts, questions, plain(task.format), tokenizer, arm), left_out


def _completions(
    tokenizer: Any,
    kept: Mapping[str, list[tuple[str, str]]],
    rendered: Mapping[str, tuple[str, list[int]]],
) -> list[Any]:
    """Chains as completions, none of them ended otherwise than it came."""
    from mechcot.asking.choices import Choice
    from mechcot.core.sampling_settings import SamplingSettings
    from mechcot.sampling.retold import Put, Retelling
    from mechcot.sampling.thoughts import Thoughts

    told = Retelling(tokenizer, Thoughts("", ""), SamplingSettings(), lambda _: None)
    for qid, chains in kept.items():
        text, ids = rendered[qid]
        choices = [Choice(chain, None, reason) for chain, reason in chains]
        told.completions(Put(qid, text, tuple(ids), ()), range(len(choices)), choices, None)
    return told.done


def plan_examined(study: Study, arm: str) -> Expense:
    """What asking the teacher takes."""
    from mechcot.distill.chains import exercises_of
    from mechcot.distill.teacher import plan_examining

    questions = questions_of(study)
    if questions is None:
        return Expense(arm, None, "traces", calls=None, tokens_in=None, tokens_out=None, money=None,
                       reason=ON_THE_HUB)  # fmt: skip
    settings, server, _ = _teacher(study)
    exercises, samples = list(exercises_of(questions).values()), study.settings.sampling.samples
    session = _session(study, server, None, False)
    found = plan_examining(exercises, samples, settings, task_of(study).format, session)
    known = None not in (found.cost, found.tokens_out)
    return Expense(
        arm,
        len(exercises) * samples,
        "traces",
        calls=found.calls,
        answered=found.cached,
        tokens_in=found.tokens_in,
        tokens_out=found.tokens_out,
        money=found.cost,
        reason=Expense.reason if known else "the teacher file lacks price_in, price_out or max_tokens",
        note="start-up calls come on top; tokens in are estimated (characters / 4), money is by the teacher "
        "file's prices and these tokens",
    )


def write_examined(study: Study, arm: str, progress: bool, traces: Path) -> set[str]:
    """Write the chains as traces, and `teacher.json`; which questions have one."""
    rows, about = examined(study, arm, progress)
    records.write_table(traces, rows, records.TRACES)
    files.write_json(study.arm_path(arm) / "teacher.json", about)
    return {row["qid"] for row in rows}
