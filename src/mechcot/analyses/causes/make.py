"""Making causes/ARM of a study: claims swapped, prefixes replaced, and continuations written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechcot.analyses.causes.cases import Case, cases_of
from mechcot.analyses.causes.design import CONTROLS, PLACES, SWAPS_OF, TABLES
from mechcot.analyses.causes.forced import Answers, Reading, controls_of, swaps_of
from mechcot.analyses.causes.result import REWRITTEN
from mechcot.analyses.causes.rewritten import refusals
from mechcot.analyses.causes.writing import Writer, continued, drawn, first_jobs, free_jobs, step_jobs
from mechcot.core import files, records
from mechcot.core.cause_settings import CauseSettings
from mechcot.core.journal import Journal
from mechcot.core.plan import Expense
from mechcot.core.progress import Progress
from mechcot.core.work import WorkUnit, content_key, done_of, map_tasks
from mechcot.models.checkpoint import load, load_tokenizer
from mechcot.steps.of_study import questions_by_id
from mechcot.study.folder import Study
from mechcot.tasks import Task

OF_STEPS = "steps are swapped for those of other traces: the task knows no objects of claims (docs/causes.md)"
TOGETHER = 8
"""Traces whose texts are read in one go."""


@dataclass(frozen=True)
class Bench:
    """All that changed traces are read with.

    Attributes:
        reading: by whom.
        cases: of the arm, in order.
        seed: of what is drawn.
    """

    reading: Reading
    cases: Sequence[Case]
    seed: int


def read_changed(bench: Bench, task: WorkUnit) -> dict[str, Any]:
    """Swaps, controls and the answers of the traces as written, of some of the cases."""
    first, stop = task.arguments
    cases, lost = bench.cases[first:stop], Counter[str]()
    swaps, written = swaps_of(bench.reading, cases, lost)
    controls = controls_of(bench.reading, cases, bench.cases, bench.seed, lost)
    own = {name: rows.tolist() for (name, _), rows in written.items()}
    return {"swaps": swaps, "controls": controls, "written": own, "lost": dict(lost)}


def read_all(bench: Bench, journal: Journal, *, progress: bool) -> dict[str, Any]:
    """`read_changed` of all cases, put together."""
    tasks = []
    for first in range(0, len(bench.cases), TOGETHER):
        part = bench.cases[first : first + TOGETHER]
        key = content_key(first, bench.seed, [(case.name, list(case.trace.token_ids)) for case in part])
        tasks.append(WorkUnit(key, (first, first + TOGETHER), len(part)))
    with Progress(
        "changed traces", len(bench.cases), "trace", shown=progress, done=done_of(tasks, journal)
    ) as bar:
        map_tasks(read_changed, tasks, bench, journal=journal, bar=bar)
    found: dict[str, Any] = {"swaps": [], "controls": [], "written": {}, "lost": Counter()}
    for task in tasks:
        part = journal.results[task.key]
        found["swaps"] += part["swaps"]
        found["controls"] += part["controls"]
        found["written"] |= part["written"]
        found["lost"] += Counter(part["lost"])
    return found


def make(study: Study, arm: str, task: Task, folder: Path, work: Path, *, progress: bool) -> None:
    """Write causes/ARM: an arm's own traces, changed, read and gone on from by its own weights.

    Args:
        study: its traces, steps, claims and verdicts must be there.
        arm: whose.
        task: of the study.
        folder: of its weights.
        work: work in flight; what is done is kept there.
        progress: whether to draw bars.

    Raises:
        ModelError: the weights cannot be loaded.
        ReadingError: as `reading.of_study.question_inputs`.
        SamplingError: as `sampling.complete`.
    """
    settings = study.settings
    asked = settings.causes
    assert asked is not None  # else there is no stage
    checkpoint = load(settings.arms[arm], folder, settings.device)
    cases, excluded = cases_of(study, arm, task, checkpoint.tokenizer, asked.traces)
    reading = Reading(checkpoint.model, checkpoint.tokenizer, settings.reading.max_tokens)
    with closing(Journal(work / "changed.jsonl")) as journal:
        found = read_all(Bench(reading, cases, settings.seed), journal, progress=progress)
    sampling = settings.sampling_of(arm).model_copy(update={"samples": asked.draws})
    writer = Writer(checkpoint, task, questions_by_id(study), sampling, arm, settings.seed)
    rows = found | written_of(writer, cases, found, asked, work, progress=progress)
    out = study.path / "causes" / arm
    for name, schema in TABLES.items():
        records.write_table(out / f"{name}.parquet", rows[name], schema)
    lost = {reason: n for reason, n in found["lost"].items() if n}
    files.write_json(
        out / "about.json", {"traces": len(cases), "left_out": excluded | lost | refusals(study, arm)}
    )


def written_of(
    writer: Writer,
    cases: Sequence[Case],
    found: dict[str, Any],
    asked: CauseSettings,
    work: Path,
    *,
    progress: bool,
) -> dict[str, Any]:
    """Rows of `CONTINUED` and `FORCED_FREE`; what is left out is counted in `found`."""
    import numpy as np

    lost = found["lost"]
    written: Answers = {(name, 0): np.array(rows) for name, rows in found["written"].items()}
    tokenizer = writer.checkpoint.tokenizer
    jobs = step_jobs(tokenizer, cases, found["swaps"], written, asked.regenerated, writer.seed)
    some = one_a_question(cases)[: asked.questions]
    free, forced = free_jobs(writer, some, written)
    jobs += [*first_jobs(writer, some, lost), *free]
    rows = continued(writer, jobs, work / "continuations", lost, progress=progress)
    return {"continuations": rows, "forced": forced}


def one_a_question(cases: Sequence[Case]) -> list[Case]:
    """The first case of each question, in their order."""
    found: dict[str, Case] = {}
    for case in cases:
        found.setdefault(case.qid, case)
    return list(found.values())


def price(study: Study, arm: str, task: Task, folder: Path) -> Expense:
    """What `make` will take at most; nothing is run."""
    asked = study.settings.causes
    assert asked is not None  # else there is no stage
    trusted = study.settings.arms[arm].trust_remote_code
    tokenizer = load_tokenizer(folder, trust_remote_code=trusted)
    cases, _ = cases_of(study, arm, task, tokenizer, asked.traces)
    chosen = drawn(cases, asked.regenerated, study.settings.seed)
    steps = sum(1 + (len(SWAPS_OF[item.label]) if item.start > 0 else 1) for _, item in chosen)
    some = len(one_a_question(cases)[: asked.questions])
    jobs = steps + (3 + len(PLACES)) * some
    longest = study.settings.sampling_of(arm).max_new_tokens
    swaps = sum(len(SWAPS_OF[item.label]) for case in cases for item in case.items if item.start > 0)
    prompts = [len(case.prompt.prompt_ids) + case.trace.cut(case.k - 1) for case in cases]
    told = f"{swaps:,} swaps at most" + (f", {_of_steps(asked)}" if task.objects is None else "")
    return Expense(
        f"causes-of-{arm}",
        len(cases),
        "traces",
        tokens_in=sum(_tokens_of(case) for case in cases) + jobs * max(prompts, default=0),
        tokens_out=jobs * asked.draws * longest,
        note=f"{told}; {steps:,} texts of changed steps and {jobs - steps:,} others are gone on from "
        f"{asked.draws} times, {longest} tokens at most each",
    )


def _of_steps(asked: CauseSettings) -> str:
    return OF_STEPS if asked.rewriter is None else REWRITTEN


def _tokens_of(case: Case) -> int:
    """Tokens read of a case at most: as written, with each swap from there on, and its controls."""
    cut = case.trace.cut(case.k - 1)
    lead = sum(len(option) for option in case.prompt.forced[0].options) + len(case.prompt.forced[0].ids)
    whole = len(case.prompt.prompt_ids) + cut
    slots = [item for item in case.items if item.start > 0]
    swapped = sum(len(SWAPS_OF[item.label]) * (cut - item.start + lead) for item in slots)
    others = sum(len(ids) - 1 for item in slots for _, ids in item.objects)
    return whole + case.k * lead + swapped + others + len(slots) * whole + len(CONTROLS) * (cut + lead)
