"""The probe report: the nested probe beside everything that might explain it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mechcot.core.errors import AnalysisError
from mechcot.core.progress import Progress
from mechcot.core.records import STEP_KEY
from mechcot.probe.beside import Scorer, Settings, baselines_of, beyond_of, subjects_of
from mechcot.probe.beyond import probe_scores
from mechcot.probe.card import ProbeCard
from mechcot.probe.control_task import control_job
from mechcot.probe.cost import LONG, Fits, report_cost
from mechcot.probe.fit import GRID, Design, Nested, design, mass_mean_job, nested_job
from mechcot.probe.inputs import Inputs, checked, place
from mechcot.probe.metrics import metrics, within_strata
from mechcot.probe.null import null_job
from mechcot.probe.result import ProbeReport
from mechcot.probe.solver import BATCH
from mechcot.probe.sweep import FloatArray, Job, Sources, loaded, logistic, sweep
from mechcot.probe.words import in_words

log = logging.getLogger("mechcot")

ERRONEOUS = "the step is judged erroneous"

_PARTS = 5  # of a report after its layers


def fit_report(
    X: ArrayLike | Sources,
    y: Sequence[int] | NDArray[Any],
    *,
    groups: Sequence[Any],
    confounds: pd.DataFrame | None = None,
    text: Sequence[str] | None = None,
    entity: Sequence[Any] | None = None,
    question: Sequence[str] | None = None,
    subject: Sequence[Any] | None = None,
    beside: Sources | None = None,
    untrained: Sources | None = None,
    grid: Sequence[float] = GRID,
    n_folds: int = 5,
    n_inner: int = 3,
    draws: int = 1000,
    null_draws: int = 200,
    seed: int = 0,
    meaning: str = ERRONEOUS,
    about: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> ProbeReport:
    """Fit a linear probe and report it with its controls.

    Sources are in memory one at a time. What it will take is logged first, where that is long.

    Args:
        X: activations, [steps, d_model]; or source to such an array, or to a function without arguments that
            loads one. A source is a layer, or a (position rule, layer). Inner folds choose among them.
        y: the label, 0 or 1, [steps].
        groups: question of each step: no fold splits one, and intervals resample them.
        confounds: a row a step. `sid` (index in its trace), `n_steps` (of its trace), `kind`, `n_words`,
            `n_tokens`, `answer_right` (1, 0, or -1 for none) and the signals of `probe.table.SIGNALS_AT` have
            baselines and strata of their own; any other column joins the stack.
        text: of each step: training rows whose text occurs in the test fold are purged; the words baseline;
            the control task.
        entity: a second grouping that no fold splits either, such as the gold entity.
        question: text of the question.
        subject: whom or what the step is about, empty where nothing: the probe is fitted once more without
            the subjects of each test fold.
        beside: sources that are shown in the map, outside the choice.
        untrained: the same sources in untrained weights of the same architecture; a baseline.
        grid: inverse penalties C to choose from.
        n_folds: outer folds.
        n_inner: inner folds.
        draws: bootstrap replicates.
        null_draws: draws of each null.
        seed: of folds, bootstrap and nulls.
        meaning: what the label 1 says.
        about: what the card shall say beside: `name`, `site`, `spec`, `source`, `dropped`.
        progress: whether to draw a bar.

    Raises:
        AnalysisError: lengths differ, values are not finite, one class only (in all or in a training
            fold), fewer than `inputs.MIN_QUESTIONS` questions, fewer blocks than folds, or more confounds
            than steps.
    """
    given = checked(X, y, groups, confounds, text, entity, question, subject)
    settings = Settings(tuple(sorted(grid)), n_inner, draws, null_draws, seed)
    plan = design(
        given.y,
        qid=given.qid.tolist(),
        group=given.entity.tolist(),
        text=given.text,
        n_folds=n_folds,
        seed=seed,
    )
    jobs, notes = _jobs(given, plan, settings)
    _tell(given, plan, settings, jobs, len(beside or {}))
    total = len(given.sources) + len(beside or {}) + _PARTS
    with Progress("probe", total, "part", shown=progress) as bar:
        fit, mean, nulls, *task = sweep(given.sources, jobs, after_each=bar.update)
        others = _others(given, plan, beside, settings, bar)
        best, C = _most_chosen(fit, list(given.sources))
        parts = _beside_it(given, plan, settings, fit, None if untrained is None else untrained[best], bar)
        card = _fitted(given, plan, best, C, meaning, about or {})
        bar.update()
    scorer = Scorer(given, plan, draws, seed)
    notes += [*parts.pop("notes"), _edge(fit, settings.grid)]
    report = ProbeReport(
        verdict="",
        meaning=meaning,
        auroc=scorer.interval(fit.scores),
        **_named(best),
        C=C,
        map={place(key): scorer.interval(row) for key, row in {**fit.layer_scores, **others}.items()},
        **parts,
        mass_mean=scorer.interval(mean.scores),
        nulls=nulls,
        control_task=task[0] if task else None,
        chosen=tuple({**row, **_named(row["layer"])} for row in fit.chosen),
        **_counts(given, plan, fit),
        grid=settings.grid,
        draws=draws,
        seed=seed,
        fold=plan.fold,
        scores=fit.scores,
        card=card,
        dropped=dict((about or {}).get("dropped", {})),
        notes=tuple(filter(None, notes)),
    )
    words = in_words(
        report.auroc, report.within, report.baselines, report.stack, report.nulls, report.subjects
    )
    return replace(report, verdict=words)


def _beside_it(
    given: Inputs,
    plan: Design,
    settings: Settings,
    fit: Nested,
    untrained: Any | None,
    bar: Progress,
) -> dict[str, Any]:
    """What stands beside the nested probe, as fields of the report; `notes` on what could not be done.

    Args:
        given: the inputs.
        plan: outer folds.
        settings: how to fit.
        fit: the nested probe.
        untrained: its most chosen source in untrained weights, if given.
        bar: moved on after each of `_PARTS` less one.
    """
    scorer = Scorer(given, plan, settings.draws, settings.seed)
    questions, resampled = given.qid.tolist(), {"draws": settings.draws, "seed": settings.seed}
    within = within_strata(fit.scores, given.y, plan.fold, questions, given.strata())
    probe = probe_scores(given.sources, given.y, plan, fit.chosen, **settings.inner)
    bar.update()
    extra = {} if untrained is None else {"untrained weights, same place": loaded(untrained)}
    baselines, stack = baselines_of(scorer, probe, fit.scores, extra, settings)
    del extra
    bar.update()
    subjects, note = subjects_of(scorer, fit.chosen)
    bar.update()
    beyond = beyond_of(scorer, probe, fit.chosen, settings)
    bar.update()
    return {
        "within": {name: row.auroc for name, row in within.items()},
        "pairs": {name: row.n_pairs for name, row in within.items()},
        "baselines": baselines,
        "stack": stack,
        "subjects": subjects,
        "beyond": beyond,
        "metrics": metrics(probe, given.y, plan, questions, **resampled),
        "notes": [note],
    }


def _counts(given: Inputs, plan: Design, fit: Nested) -> dict[str, Any]:
    """How much the report rests on, as its fields."""
    return {
        "n_steps": len(given.y),
        "n_errors": int(given.y.sum()),
        "n_questions": len(np.unique(given.qid)),
        "n_blocks": int(plan.block.max()) + 1,
        "n_folds": len(plan.train),
        "purged_share": plan.purged_share,
        "n_fits": fit.n_fits,
        "n_not_converged": fit.n_not_converged,
        "n_iterations": fit.n_iterations,
    }


def fit_table(X: Sources, table: pd.DataFrame, **settings: Any) -> ProbeReport:
    """Do `fit_report` on the columns of `probe.step_table`; activations have its rows, [steps, d_model].

    Columns that are neither keys, labels nor texts are confounds; `tok_start` and `relative`, which say again
    what the step's index says, are left out.
    """
    spoken = [*STEP_KEY, "y", "relative", "tok_start", "text", "question", "group", "entity", "subject"]
    spoken.remove("sid")
    optional = {
        "text": "text",
        "question": "question",
        "subject": "subject",
        "entity": "group" if "group" in table else "entity",
    }
    columns: dict[str, Any] = {
        name: table[column].tolist() for name, column in optional.items() if column in table
    }
    return fit_report(
        X,
        table["y"].to_numpy(),
        groups=table["qid"].tolist(),
        confounds=table.drop(columns=[name for name in spoken if name in table]),
        **columns,
        **settings,
    )


def _jobs(given: Inputs, plan: Design, settings: Settings) -> tuple[list[Job], list[str]]:
    """What every source is fitted for: the nested probe, the mass-mean probe, the nulls, the control task.

    A control task that cannot be set is a note.
    """
    jobs = [
        nested_job(given.y, plan, grid=settings.grid, **settings.inner),
        mass_mean_job(given.y, plan, **settings.inner),
        null_job(
            given.y,
            plan,
            qid=given.qid.tolist(),
            sid=given.column("sid").tolist(),
            role=given.column("kind").tolist(),
            n_steps=given.column("n_steps").tolist(),
            draws=settings.null_draws,
            seed=settings.seed,
        ),
    ]
    if not given.has_text:
        return jobs, ["no control task: there are no texts whose labels could be drawn at random"]
    try:
        return [*jobs, control_job(given.y, plan, types=given.text, seed=settings.seed)], []
    except AnalysisError as error:
        return jobs, [f"no control task: {error}"]


def _tell(given: Inputs, plan: Design, settings: Settings, jobs: Sequence[Job], beside: int) -> None:
    """Say before work that takes long what it will take."""
    shape = np.shape(loaded(next(iter(given.sources.values()))))
    if len(shape) != 2:  # the sweep says what is wrong
        return
    texts = {*(given.text if given.has_text else ()), *(given.question or ())}
    cost = report_cost(
        (shape[0], shape[1]),
        sources=len(given.sources),
        beside=beside,
        jobs=[
            Fits(job.problems.C, job.tol, min(BATCH, len(job.problems.C) // max(len(job.stages), 1)))
            for job in jobs
            if job.score is logistic
        ],
        folds=(len(plan.train), settings.n_inner),
        grid=settings.grid,
        characters=sum(map(len, texts)),
        draws=settings.draws,
    )
    if cost.seconds > LONG:
        log.info("probe: %d layers of %s: %s", len(given.sources) + beside, list(shape), cost)


def _others(
    given: Inputs, plan: Design, beside: Sources | None, settings: Settings, bar: Progress
) -> dict[Any, FloatArray]:
    """Scores of the sources that are only shown, [steps] each."""
    if not beside:
        return {}
    job = nested_job(given.y, plan, grid=settings.grid, **settings.inner)
    found: Nested = sweep(beside, [job], after_each=bar.update)[0]
    return found.layer_scores


def _most_chosen(fit: Nested, sources: list[Any]) -> tuple[Any, float]:
    """The source that most outer folds chose, and the penalty that most of those did; the first of equals."""
    names = [row["layer"] for row in fit.chosen]
    best = max(sorted(set(names), key=sources.index), key=names.count)
    penalties = [row["C"] for row in fit.chosen if row["layer"] == best]
    return best, max(sorted(set(penalties)), key=penalties.count)


def _named(source: Any) -> dict[str, Any]:
    rule, layer = place(source)
    return {"rule": rule, "layer": layer}


def _edge(fit: Nested, grid: Sequence[float]) -> str:
    """A warning where the grid may have been too small."""
    chosen = [row["C"] for row in fit.chosen]
    told = []
    for where, C in (("strongest", min(grid)), ("weakest", max(grid))):
        folds = chosen.count(C)
        if folds and len(grid) > 1:
            told.append(
                f"{folds} of {len(chosen)} folds chose the {where} penalty of the grid, C {C:g}: a wider "
                "grid might do better"
            )
    return "; ".join(told)


def _fitted(
    given: Inputs, plan: Design, source: Any, C: float, meaning: str, about: Mapping[str, Any]
) -> ProbeCard:
    """The probe on all rows at the source and penalty that most folds chose."""
    from mechcot.probe.factor import factor
    from mechcot.probe.solver import solve

    fits = solve(factor(loaded(given.sources[source]), dtype="float64"), given.y, C=C, tol=1e-6)
    coef, (centre, scale) = fits.coef()[0], (fits.factor.centre, fits.factor.scale)
    rule, layer = place(source)
    settled = {"iterations": int(fits.iterations[0]), "converged": bool(fits.converged[0])}
    where = {"site": about.get("site", "given"), "rule": rule, "layer": layer, "C": C, "d_model": len(coef)}
    split = dict(zip(given.qid.astype(str).tolist(), plan.fold.tolist(), strict=True))
    told = {key: value for key, value in about.items() if key not in ("site", "dropped")}
    return ProbeCard(
        mean=centre,
        scale=scale,
        coef=np.divide(coef, scale, out=np.zeros_like(coef), where=scale > 0),
        intercept=float(fits.intercept[0] + coef @ centre),
        about={
            "name": "probe",
            "source": {},
            **told,
            "meaning": meaning,
            "probe": {**where, "rows": len(given.y), **settled},
            "split": split,
        },
    )
