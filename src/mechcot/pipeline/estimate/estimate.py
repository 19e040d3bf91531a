"""What a study is expected to take, and what differences it could see."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mechcot.core.engine_settings import EngineSettings
from mechcot.core.manifest import load_manifest
from mechcot.core.plan import Expense, Plan
from mechcot.pipeline.estimate.load import item_bytes
from mechcot.pipeline.estimate.machines import Machine, machine_here, machines, table
from mechcot.pipeline.estimate.result import Detectable, Estimate, OnGpu, Work, time_words
from mechcot.pipeline.estimate.rows import rows_of
from mechcot.pipeline.estimate.sizes import Sizes
from mechcot.pipeline.pace import Pace
from mechcot.stats.inference import detectable_difference
from mechcot.study.folder import Study


def estimate_of(study: Study, planned: Plan, workers: int = 1) -> Estimate:
    """What the stages that a plan has to do are expected to take.

    The cost model is in `load`; what is counted in tables or files of the study is; the rest is measured,
    fitted or assumed, and listed as such.

    Args:
        study: with its settings; nothing of it need be there.
        planned: which stages are done (`pipeline.plan.plan_stages`).
        workers: that share the tasks of a stage; on this machine no more than its cores help.
    """
    threads = study.settings.threads or os.cpu_count() or 1
    here = machine_here(gpu=not study.settings.given).cores(threads)
    sizes = Sizes(study, here, Pace(study.path, load_manifest(study.path)["stages"]))
    foretold = rows_of(sizes)
    to_do = [row for row in planned.rows if row.state != "cached"]
    alone = [foretold[row.what]() if row.what in foretold else _by_tokens(sizes, row) for row in to_do]
    together = _room(workers, threads, here)
    rows = tuple(replace(row, wall=_shared(row, together)) for row in alone if row is not None)
    detectable = _detectable(sizes)
    left_out = tuple(row.what for row, own in zip(to_do, alone, strict=True) if own is None)
    if workers > 1:
        sizes.tell("seconds until workers are there", table()["workers start"], "s", "measured")
    return Estimate(
        rows,
        left_out,
        workers,
        f"{here.name}, {threads} threads" if here.kind == "processor" else here.name,
        _bottleneck(rows, together),
        tuple(_on(gpu, rows, workers) for gpu in machines("gpu")) if any(row.load for row in rows) else (),
        tuple(sizes.told.values()),
        detectable,
    )


def timed_plan(planned: Plan, estimate: Estimate) -> Plan:
    """A plan whose stages have the estimate's seconds where none are known, but for servers."""
    known = {row.stage: row for row in estimate.rows}

    def told(row: Expense) -> Expense:
        own = known.get(row.what)
        if row.state == "cached" or row.seconds is not None or row.calls != 0 or own is None:
            return row
        return replace(row, seconds=own.seconds)

    rows = tuple(map(told, planned.rows))
    changed = rows != planned.rows
    return Plan(rows, (*planned.notes, *([_MODEL] if changed else [])))


_MODEL = (
    "Seconds of what has never run: by the cost model, of one process on this machine that nothing disturbs; "
    "`mechcot plan` says what they rest on."
)


def _by_tokens(sizes: Sizes, row: Expense) -> Work | None:
    """A stage without a row of its own: by the tokens that its plan counts, at the study's own pace."""
    if row.n is None or row.calls or row.tokens_in is None or row.tokens_out is None:
        return None
    read = sizes.pace.seconds("reading", row.tokens_in, 0) if row.tokens_in else 0.0
    written = sizes.pace.seconds("sampling", 0, row.tokens_out) if row.tokens_out else 0.0
    if read is None or written is None or not read + written:
        return None
    return Work(
        row.what, row.n, row.unit, tokens_in=row.tokens_in, tokens_out=row.tokens_out, seconds=read + written
    )


def _room(workers: int, threads: int, here: Machine) -> int:
    """So many workers of so many threads have cores of their own here."""
    return max(1, min(workers, (os.cpu_count() or 1) // threads)) if here.kind == "processor" else workers


def _shared(row: Work, workers: int) -> float | None:
    """Seconds on the wall: the tasks of a stage are shared, the rest is one process's."""
    return None if row.seconds is None else row.seconds / max(1.0, min(workers, row.tasks))


def _bottleneck(rows: Sequence[Work], workers: int) -> str:
    known = [row for row in rows if row.wall]
    if not known:
        return ""
    longest = max(known, key=lambda row: row.wall or 0.0)
    whole = sum(row.wall or 0.0 for row in known)
    alone = sum(row.wall or 0.0 for row in known if row.tasks <= 1)
    more = (
        f" Workers cannot share {time_words(alone)} of all: so long it takes with any number of them."
        if alone
        else ""
    )
    return (
        f"Bottleneck: {longest.stage}, {100 * (longest.wall or 0) / whole:.0f} % of the time, which waits "
        f"for {longest.bound or 'its model'}.{more}"
    )


def _on(gpu: Machine, rows: Sequence[Work], workers: int) -> OnGpu:
    """All of it where each worker has such a GPU; a training has one."""
    hours, held = 0.0, 0.0
    for row in rows:
        if row.load is None:
            hours += (row.wall or 0.0) / 3600
            continue
        own = row.load(item_bytes(gpu))
        hours += own.seconds(gpu) / max(1.0, min(workers, row.tasks)) / 3600
        held = max(held, own.held)
    return OnGpu(gpu.name, gpu.status, hours, held <= gpu.memory)


def workers_of(asked: EngineSettings | None) -> int:
    """The workers that the settings ask for; 1 where the cluster decides."""
    return (asked.workers if asked is not None else None) or 1


def _detectable(sizes: Sizes) -> tuple[Detectable, ...]:
    """The smallest differences of answers and of steps, and on a sheet for people."""
    settings = sizes.study.settings
    n = sizes.questions()
    turned = sizes.tell("share of questions whose answer differs between the arms", 0.25, "", "assumed")
    found = [_found("answers by vote, paired", n, "questions", turned / n)]
    wrong = sizes.tell("share of steps that are wrong", 0.4, "", "assumed")
    alike = sizes.tell("correlation of steps of one question (ICC)", 0.15, "", "assumed")
    each = sizes.judged(settings.contrast.before) * sizes.steps()  # those of the arm after are as many
    spread = 2 * wrong * (1 - wrong)
    steps = n * each
    found.append(
        _found(
            "wrong steps, pairing left out", steps, "steps an arm", spread * (1 + (each - 1) * alike) / steps
        )
    )
    if settings.sheet is not None:
        half = settings.sheet.steps / 2
        on_sheet = 1 + max(half / n - 1, 0) * alike
        found.append(_found("wrong steps, by people alone", half, "steps an arm", spread * on_sheet / half))
    return tuple(found)


def _found(what: str, n: float, unit: str, variance: float) -> Detectable:
    return Detectable(what, n, unit, detectable_difference(float(np.sqrt(variance))))
