"""What a study's stages will take, told before the first of them runs; nothing is sent or written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mechcot.core import files
from mechcot.core.manifest import load_manifest
from mechcot.core.plan import Expense, Plan
from mechcot.core.settings import TEACHER_VARIANTS
from mechcot.core.stages import Stage, states_of
from mechcot.core.teacher_settings import OWN_TEACHER
from mechcot.core.words import counted, listed, plain_signs
from mechcot.pipeline.pace import Pace
from mechcot.study.folder import Study

if TYPE_CHECKING:
    import pandas as pd

    from mechcot.analyses.judge_controls.plan import ControlsPlan
    from mechcot.asking.spending import Plan as Calls
    from mechcot.probe import ProbeSpec
    from mechcot.probe.cost import Cost

_AGAIN = "What is made anew is counted on what is there now; seconds not foretold are those of its last run."
ON_THE_HUB = "the questions are on the Hub and not yet fetched"
NO_TEXTS = "the texts are not there yet"
SKIPPED = "skipped.json"
"""Which rows of the questions file are left out, and why."""


def plan_stages(root: Path, stages: Sequence[Stage], restart_from: str | None = None) -> Plan:
    """What `run_stages` would do, and what that takes.

    A stage whose inputs will be made anew is done again only if they come out another way. Where nothing
    better is known, the seconds are those of its last run with the same settings.

    Args:
        root: the study's folder.
        stages: all of them, in order.
        restart_from: a stage that is made again with all after it.

    Raises:
        UsageError: there is no such stage to restart from.
        StudyError: a stage whose outputs are kept was made from something else.
    """
    recorded, rows = load_manifest(root)["stages"], []
    pace = Pace(root, recorded)
    for stage, state in zip(stages, states_of(root, stages, restart_from), strict=True):
        row = Expense(stage.name, 1, "stage", state)
        last = recorded.get(stage.name, {})
        if state == "cached":
            rows.append(row.done(float(last["seconds"])))
            continue
        if stage.plan is not None:
            row = replace(stage.plan(), what=stage.name, state=state)
        if row.seconds is None and last.get("settings") == stage.settings:
            row = replace(row, seconds=float(last["seconds"]))
        rows.append(pace.of(row))
    again = any(row.state != "cached" and row.what in recorded for row in rows)
    return Plan(tuple(rows), (*([_AGAIN] if again else []), *pace.notes))


def skipped_ids(study: Study) -> tuple[str, ...]:
    """The ids of the rows of the questions file that are left out, or will be.

    Raises:
        DataError: the file of questions cannot be used.
    """
    from mechcot.tasks.question_files import source_file
    from mechcot.tasks.questions import read_questions

    asked, path = study.settings.questions, study.path / SKIPPED
    if path.exists():
        return tuple(files.read_json(path).get("qids", ()))
    if asked is None or not asked.leaves_out or source_file(asked) is None:
        return ()
    return read_questions(asked).skipped_ids


def questions_of(study: Study) -> pd.DataFrame | None:
    """A study's questions: those it has, or will have; None: they are on the Hub.

    Raises:
        DataError: the file of questions cannot be used.
    """
    from mechcot.steps.of_study import world_of
    from mechcot.tasks.question_files import source_file
    from mechcot.tasks.questions import load_questions

    settings = study.settings
    if (study.path / "questions.parquet").exists():
        return study.questions()
    if settings.organism is not None:
        from mechcot.tasks.organism.questions import questions

        return questions(world_of(study), settings.organism, settings.seed)
    assert settings.questions is not None  # by Settings' own validation
    return load_questions(settings.questions) if source_file(settings.questions) else None


def there(study: Study, arm: str, *tables: str) -> bool:
    """Whether an arm has these tables."""
    return all((study.arm_path(arm) / f"{name}.parquet").exists() for name in tables)


def traces_of(study: Study, arm: str, domain: str | None = None, each: int | None = None) -> int | None:
    """How many traces an arm has or will have; None: its questions are on the Hub.

    Args:
        study: the study.
        arm: whose.
        domain: of which questions; None: all.
        each: how many of each question, the first; None: all.

    Raises:
        DataError: a file of questions or traces that cannot be used.
    """
    questions, source = questions_of(study), study.settings.arms[arm].traces
    if questions is None:
        return None
    asked = questions if domain is None else questions[questions.domain == domain]
    if there(study, arm, "traces"):
        traces = study.traces(arm)
    elif source is not None and source not in (*TEACHER_VARIANTS, OWN_TEACHER):
        from mechcot.sampling.given import load_given

        traces = load_given(Path(source).expanduser(), list(questions.qid), skipped_ids(study))
    else:
        samples = study.settings.sampling_of(arm).samples
        return len(asked) * (samples if each is None else min(each, samples))
    traces = traces[traces.qid.isin(asked.qid)]
    return len(traces if each is None else traces[traces.cid < each])


def calls_expense(what: str, n: int, unit: str, found: Calls) -> Expense:
    """Calls to a judge's server as a row of a plan."""
    free = None not in (found.cost, found.tokens_out)
    return Expense(
        what,
        n,
        unit,
        calls=found.calls,
        answered=found.cached,
        tokens_in=found.tokens_in,
        tokens_out=found.tokens_out,
        money=found.cost,
        reason=Expense.reason if free else "the judge file lacks price_in, price_out or max_tokens",
        note=_CALLS.format(start_ups=found.start_ups) if found.calls else "",
    )


def no_calls_yet(what: str, unit: str, missing: str) -> Expense:
    """Calls about things that are not there yet; `missing` names them."""
    return Expense(
        what, None, unit, calls=None, tokens_in=None, tokens_out=None, money=None,
        reason=f"{missing} are not there yet",
    )  # fmt: skip


_CALLS = (
    "start-up calls ({start_ups} at most) and re-asks of unreadable replies come on top; tokens in are "
    "estimated (characters / 4), money is by the judge file's prices and these tokens"
)


def controls_plan(found: ControlsPlan) -> Plan:
    """What the controls of a judge will take, control by control."""
    rows = []
    for row in found.controls:
        what = f"{row.control} {row.calls}"
        if row.plan is None:
            rows.append(Expense(what, row.n_items, "items", note="the exact checker sends nothing"))
        else:
            stand_in = "counted on the original steps, which are not rewritten yet" if row.estimated else ""
            rows.append(replace(calls_expense(what, row.n_items, "items", row.plan), note=stand_in))
    sent = [_CALLS.format(start_ups=found.total.start_ups)] if found.total.calls else []
    left_out = (f"left out: {name}: {why}" for name, why in found.left_out.items())
    return Plan(tuple(rows), (plain_signs(counted(found.n_questions, "question")), *sent, *left_out))


def probe_expense(study: Study, spec: ProbeSpec, author: str, reader: str) -> Expense:
    """What a probe on an author's steps as a reader sees them will take; transfer and ablation apart."""
    from mechcot.probe.stored import places

    what = f"probe {author} read by {reader}"
    if not (study.reading_path(author, reader) / "activations" / "meta.json").exists():
        return Expense(what, None, "fits", reason="the reading is not there yet")
    store = study.activations(author, reader)
    chosen, shown = places(store, spec)
    steps = study.steps(author)
    asked = study.questions(spec.domain)
    cost, fits = probe_cost(
        spec,
        (len(store), int(store.meta["d_model"])),
        len(chosen),
        len(shown),
        int(steps.text.drop_duplicates().str.len().sum() + asked.stem.str.len().sum()),
        study.settings.seed,
    )
    error = spec.label == "step_error"
    extra = [
        name for name, asked in (("transfer", spec.transfer), ("ablation", spec.ablate)) if asked and error
    ]
    read = files.read_json(study.checked(study.reading_path(author, reader) / "reading.json"))["bare_tokens"]
    return Expense(
        what,
        fits,
        "fits",
        tokens_in=None if "ablation" in extra else int(read) * spec.untrained,
        seconds=cost.seconds,
        memory=cost.bytes,
        reason="an ablation reads the traces 22 times; how many tokens those are is not counted"
        if "ablation" in extra
        else Expense.reason,
        note=f"{len(chosen)} places are fitted, {len(shown)} only shown; seconds and memory are within a "
        f"factor of about two{f', without {listed(extra)}' if extra else ''}",
    )


def probe_cost(
    spec: ProbeSpec, shape: tuple[int, int], sources: int, beside: int, characters: int, seed: int
) -> tuple[Cost, int]:
    """What a probe takes, transfer and ablation apart, and how many fits that is.

    Args:
        spec: what is fitted.
        shape: steps and width of the activations.
        sources: layers, or (rule, layer), that are chosen from.
        beside: those that are only shown.
        characters: of the distinct texts of steps and questions.
        seed: the study's.
    """
    from mechcot.probe.control_task import LABELLINGS
    from mechcot.probe.cost import Fits, report_cost
    from mechcot.probe.nulls import NULL_C, NULL_TOL

    nested = np.tile(np.array(spec.grid), spec.folds * (spec.inner_folds + 1))
    fixed = np.full((2 + 2 * spec.null_draws + LABELLINGS) * spec.folds, NULL_C)
    cost = report_cost(
        shape,
        spec.settings(seed),
        sources=sources,
        beside=beside,
        jobs=[Fits(nested), Fits(fixed, NULL_TOL)],
        characters=characters,
    )
    return cost, len(nested) * (sources + beside) + len(fixed) * sources
