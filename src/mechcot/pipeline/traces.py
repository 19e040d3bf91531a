"""Examples of every type of trace, and traces that somebody has checked against their questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mechcot.analyses.traces.analysis import domain_of
from mechcot.analyses.traces.read import cut
from mechcot.analyses.traces.result import TracesResult
from mechcot.core import files, records
from mechcot.core.errors import DataError, UsageError
from mechcot.core.plan import Expense
from mechcot.core.presets import PRESETS
from mechcot.core.prompt_settings import PromptSettings
from mechcot.core.results import Result
from mechcot.core.stages import Stage
from mechcot.core.trace_settings import TRACE_VARIANTS, TraceSettings
from mechcot.distill.trace_types import TYPED_EXAMPLES, Made, Writing, match, part, rows_of, typed_examples
from mechcot.steps.of_study import checkpoint_folder, questions_by_id, task_of, world_of
from mechcot.study.folder import Study
from mechcot.tasks import PromptFormat, Question, render_prompt
from mechcot.tasks.base import Verifiable
from mechcot.tasks.multiple_choice import prompt_format
from mechcot.tasks.trace_questions import cotemp_files
from mechcot.tasks.trace_table import check_rows, read_rows
from mechcot.tasks.verifiable import Written

if TYPE_CHECKING:
    from mechcot.judging.explaining import Told

ASKED_FOR = ("summary", "post-hoc")
"""Types of traces that a server writes."""


@dataclass(frozen=True)
class Wanted:
    """Which examples are wanted.

    Attributes:
        task: `cotemp` or `organism`.
        sources: files of questions, or the folder of one study.
        variants: of `TRACE_VARIANTS` and `ASKED_FOR`.
        seed: of all draws.
        by: what variants are matched on.
        held_out: share of the questions that is kept for asking.
        tokenizer: a folder: the prompts have its chat template, and completions its tokens; None: that of a
            study's arm before, where a study is named.
        skip: leave rows out that cannot be used.
        traces: what a server shortens or explains; None: nothing.
        judge: its file.
    """

    task: str
    sources: tuple[Path, ...]
    variants: tuple[str, ...]
    seed: int = 0
    by: Literal["questions", "tokens"] = "questions"
    held_out: float = 0.0
    tokenizer: Path | None = None
    skip: bool = False
    traces: Path | None = None
    judge: Path | None = None


@dataclass(frozen=True)
class Source:
    """Questions with the task that takes them apart, how they are put, and the rows left out."""

    task: Verifiable
    questions: list[Question]
    form: PromptFormat
    left_out: dict[str, str]
    tokenizer: Path | None = None
    """Of the study that they are of, where it is there."""


@dataclass(frozen=True)
class MadeTraces(Result):
    """What was written.

    Attributes:
        out: the folder.
        variants: examples, questions and tokens of each.
        matched_on: questions or tokens.
        left_out: rows and questions that have no example, and why.
        held_out: questions kept for asking, and what of them was met in training; None: none are.
    """

    out: str
    variants: dict[str, dict[str, int]]
    matched_on: str
    left_out: dict[str, str]
    held_out: dict[str, Any] | None

    table = "variants"


def source_of(task: str, sources: Sequence[Path], *, skip: bool = False) -> Source:
    """Questions to write or check traces of.

    Raises:
        UsageError: there is no such task, or what is named is not its questions.
        DataError: with file and row, a question that cannot be taken apart.
    """
    if len(sources) == 1 and (sources[0] / "study.yaml").exists():
        study = Study.open(sources[0])
        own = task_of(study)
        if own.verifiable is None or own.name != task:
            raise UsageError(f"{sources[0]}: its task is '{own.name}', not '{task}' whose traces rules check")
        folder = checkpoint_folder(study, study.settings.contrast.before)
        there = folder if folder.exists() else None
        return Source(own.verifiable, list(questions_by_id(study).values()), own.format, {}, there)
    if task == "cotemp":
        from mechcot.tasks.cotemp import VERIFIABLE

        questions, left = cotemp_files(sources, skip=skip)
        return Source(VERIFIABLE, questions, _open_form(), left)
    if task == "organism":
        raise UsageError(f"{sources[0]}: the organism's questions are those of a study; name its folder")
    raise UsageError(f"there is no task '{task}' whose traces rules write; there are cotemp, organism")


def _open_form() -> PromptFormat:
    """How open questions are put, as plain text."""
    return replace(prompt_format(PromptSettings(**PRESETS["open"]["prompt"])), chat=False, items=True)


# --- making -----------------------------------------------------------------------------------------


def make_traces(wanted: Wanted, out: Path, *, progress: bool = True) -> MadeTraces:
    """Write `OUT/VARIANT.parquet` for each variant, `OUT/report.json`, and what is held out.

    Raises:
        MechcotError: with what was expected, what came and what to do.
    """
    by_server = _check(wanted)
    source = source_of(wanted.task, wanted.sources, skip=wanted.skip)
    parts = part(source.task, source.questions, wanted.held_out, wanted.seed) if wanted.held_out else None
    questions = parts.train if parts else source.questions
    writing = _writing(source.form, wanted.tokenizer or source.tokenizer)
    by_rule = [name for name in wanted.variants if name in TRACE_VARIANTS]
    made = Made({}, {})
    if by_rule:
        made = typed_examples(source.task, questions, by_rule, writing, wanted.seed)
    if by_server:
        made = _with_told(made, _told(wanted, source, questions), wanted, (writing, out, progress))
    made = match(made, wanted.by, wanted.seed)
    for name, rows in made.examples.items():
        records.write_table(out / f"{name}.parquet", rows, TYPED_EXAMPLES)
    if parts:
        files.write_json(out / "held-out.json", [one.qid for one in parts.held_out])
    done = MadeTraces(
        str(out), made.report(), wanted.by, source.left_out | made.left_out, parts.leakage if parts else None
    )
    files.write_json(out / "report.json", done.to_json())
    return done


def _check(wanted: Wanted) -> list[str]:
    """The variants that a server writes.

    Raises:
        UsageError: a variant is unknown, or what a server needs is not named.
    """
    known = (*TRACE_VARIANTS, *ASKED_FOR)
    if unknown := [name for name in wanted.variants if name not in known]:
        raise UsageError(f"--variant: there is no '{unknown[0]}'; there are {', '.join(known)}")
    by_server = [name for name in wanted.variants if name in ASKED_FOR]
    if by_server and (wanted.traces is None or wanted.judge is None):
        raise UsageError(
            f"--variant {by_server[0]}: a server writes it; name the traces (--from) and the server (--judge)"
        )
    return by_server


def _writing(form: PromptFormat, tokenizer: Path | None) -> Writing:
    if tokenizer is None:
        return Writing(form, form.render, lambda text: len(text.split()))
    from mechcot.models.checkpoint import load_tokenizer

    loaded = load_tokenizer(tokenizer, trust_remote_code=False)
    own = replace(form, chat=bool(loaded.chat_template))
    return Writing(
        own,
        lambda question: render_prompt(question, own, loaded)[0],
        lambda text: len(loaded(text, add_special_tokens=False)["input_ids"]) + 1,
    )


def _told(wanted: Wanted, source: Source, questions: Sequence[Question]) -> list[Told]:
    """What a server is shown: the first trace of each question, and its right answer."""
    from mechcot.judging.explaining import Told

    assert wanted.traces is not None  # by _check
    asked = {one.qid: one for one in questions}
    every = {one.qid: one for one in source.questions}
    table = records.read_any(wanted.traces)
    found: dict[str, Told] = {}
    for qid, _, reasoning, _ in read_rows(str(wanted.traces), table, every, partial(_cut, source.form)):
        if qid in asked and qid not in found and reasoning.strip():
            question = asked[qid]
            found[qid] = Told(question, question.options[question.gold], reasoning)
    if not found:
        raise DataError(f"{wanted.traces}: no trace in it has reasoning before its answer")
    return list(found.values())


def _cut(form: PromptFormat, text: str, question: Question) -> tuple[str, str | None]:
    return cut(text, question, form)


def _with_told(made: Made, items: list[Told], wanted: Wanted, how: tuple[Writing, Path, bool]) -> Made:
    """With the variants that a server writes, on the questions that all of them have."""
    from mechcot.asking.session import Session
    from mechcot.judging.explaining import explain
    from mechcot.judging.judge_file import judge_path, read_judge

    writing, out, progress = how
    assert wanted.judge is not None  # by _check
    judge = read_judge(judge_path(wanted.judge))
    session = Session(judge, out / "work" / "calls", wanted.seed, progress=progress)
    questions = [item.question for item in items]
    examples, left = dict(made.examples), dict(made.left_out)
    for kind in (name for name in wanted.variants if name in ASKED_FOR):
        texts = explain(kind, items, session).texts
        told = {q.qid: Written(text, q.qid) for q, text in zip(questions, texts, strict=True) if text}
        left |= {q.qid: f"the server gave no {kind}" for q in questions if q.qid not in told}
        examples[kind] = rows_of(kind, questions, told, writing)
    shared = set.intersection(*({row["qid"] for row in rows} for rows in examples.values()))
    return Made(
        {name: [row for row in rows if row["qid"] in shared] for name, rows in examples.items()}, left
    )


# --- checking ---------------------------------------------------------------------------------------


def check_traces(task: str, path: Path, questions: Sequence[Path] = ()) -> TracesResult:
    """Verdicts on a study's traces, or on a file of them, each by its own question's id.

    Args:
        task: `cotemp` or `organism`.
        path: a study's folder; or a table with columns qid and text, and answer where texts hold none.
        questions: of such a file.

    Raises:
        MechcotError: with file and row, and what to do.
    """
    if (path / "study.yaml").exists():
        from mechcot.analyses.traces.analysis import checked_traces

        source_of(task, [path])
        return checked_traces(Study.open(path), TraceSettings())
    if not questions:
        raise UsageError(f"{path}: name the questions that its traces answer (--questions)")
    source = source_of(task, questions)
    by_id = {one.qid: one for one in source.questions}
    rows = read_rows(str(path), records.read_any(path), by_id, partial(_cut, source.form))
    own = TraceSettings()
    domain = domain_of("", {path.stem: check_rows(source.task, by_id, rows)}, source.task, "")
    return TracesResult(own.margin, own.loose, "", (domain,), 0)


# --- the organism's students ------------------------------------------------------------------------


def trace_example_stages(study: Study) -> list[Stage]:
    """Examples of the types of traces that the organism's students learn from; none where none does."""
    settings = study.settings
    taught = (arm.distill.examples for arm in settings.arms.values() if arm.distill is not None)
    names = [name for name in dict.fromkeys(taught) if name in TRACE_VARIANTS]
    if settings.organism is None or not names:
        return []
    return [
        Stage(
            "trace-examples",
            1,
            {"organism": settings.organism.model_dump(mode="json"), "seed": settings.seed, "variants": names},
            (),
            tuple(f"examples/{name}.parquet" for name in names),
            partial(_write_organism, study, names),
            frozen=True,
            plan=lambda: Expense("trace-examples", len(names) * _n_exercises(study), "traces"),
        )
    ]


def _n_exercises(study: Study) -> int:
    assert study.settings.organism is not None  # else there is no stage
    return study.settings.organism.teacher_traces


def _write_organism(study: Study, names: Sequence[str], work: Path) -> None:
    from mechcot.tasks.organism.teacher import exercises, prompt_of

    task, organism = task_of(study), study.settings.organism
    assert organism is not None  # else there is no stage
    if task.verifiable is None:
        raise UsageError(
            f"distill.examples: {names[0]}: rules write no traces where a question asks for one fact "
            "(organism.hedging); name a teacher's variant (rich, terse)"
        )
    asked = exercises(world_of(study), organism, study.settings.seed, organism.teacher_traces)
    writing = Writing(task.format, prompt_of, lambda text: len(text.split()) + 1)
    made = typed_examples(task.verifiable, asked, names, writing, study.settings.seed)
    for name, rows in made.examples.items():
        # qid says which question of the study an example answers; these answer none of them.
        table = [row | {"qid": ""} for row in rows]
        records.write_table(study.path / "examples" / f"{name}.parquet", table, TYPED_EXAMPLES)
