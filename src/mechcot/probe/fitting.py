"""Fit a linear probe and compare it with everything that might explain it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mechcot.core.errors import AnalysisError
from mechcot.core.progress import Progress
from mechcot.probe.baselines import compare_baselines, feature_blocks, position_features
from mechcot.probe.card import UNNAMED, ProbeCard
from mechcot.probe.control_task import control_job
from mechcot.probe.cost import LONG, Fits, report_cost
from mechcot.probe.cross_fitting import probe_scores
from mechcot.probe.data import LABEL, Column, Data, Sources, loaded, place
from mechcot.probe.fit import Nested, mass_mean_job, nested, nested_job
from mechcot.probe.fold_draws import fold_draws
from mechcot.probe.folds import Design, design
from mechcot.probe.incremental import beyond_position, increment
from mechcot.probe.metrics import auroc_interval, metrics_of, within_strata
from mechcot.probe.nulls import null_job
from mechcot.probe.report import ProbeReport
from mechcot.probe.settings import FitSettings
from mechcot.probe.solver import BATCH
from mechcot.probe.subjects import HeldOutSubjects, held_out_subjects, subject_codes
from mechcot.probe.sweeps import SweepJob, logistic, sweep

log = logging.getLogger("mechcot")

UNGROUPED = (
    "no groups were given, so each of the {n:,} rows is a question of its own: where rows share a question, "
    "a trace or a text, what one tells of another counts as read from the inside. Give groups against that"
)
"""Note of a report on rows without questions."""

_PARTS = 5  # of a report after its layers


def fit_report(
    X: ArrayLike | Sources,
    y: ArrayLike,
    *,
    groups: Column | None = None,
    confounds: pd.DataFrame | None = None,
    text: Column | None = None,
    settings: FitSettings | None = None,
    meaning: str = LABEL,
) -> ProbeReport:
    """Fit a linear probe on arrays and report it with its controls.

    The short way to `fit_data(Data(X, y, groups, ...), settings)`; `Data` takes more.

    Args:
        X: activations, [steps, d_model]; or source to such an array, or to a function that loads one.
        y: the label, 0 or 1, [steps].
        groups: question of each step; None: each row by itself, which the report's notes then say.
        confounds: a row a step, see `Data`.
        text: of each step.
        settings: how to fit; None: the default ones.
        meaning: what a label of 1 says, as half a sentence: "the step names a drug".

    Raises:
        AnalysisError: as `Data` and `fit_data`.
    """
    return fit_data(Data(X, y, groups, confounds, text=text, meaning=meaning), settings)


def fit_data(
    data: Data,
    settings: FitSettings | None = None,
    *,
    about: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> ProbeReport:
    """Fit a linear probe and report it with its controls.

    Sources are in memory one at a time. What it will take is logged first, where that is long.

    Args:
        data: the steps.
        settings: how to fit; None: the default ones.
        about: what the card shall say beside: `meaning` (in place of the data's), `name`, `site`, `spec`,
            `source`, `dropped` (how many steps are left out, by reason).
        progress: whether to draw a bar.

    Raises:
        AnalysisError: values are not finite, one class only in a training fold, fewer blocks than folds, or
            more confounds than steps.
    """
    about = {"meaning": data.meaning, "dropped": {}, **(about or {})}
    plan = design(data, settings or FitSettings())
    jobs, notes = _jobs(data, plan)
    if data.groups is None:
        notes = [UNGROUPED.format(n=len(plan.y)), *notes]
    _announce(data, plan, jobs)
    beside, given = data.beside or {}, data.sources
    with Progress("probe", len(given) + len(beside) + _PARTS, "part", shown=progress) as bar:
        fit, mean, nulls, *tasks = sweep(given, jobs, after_each=bar.update)
        others = nested(beside, plan, after_each=bar.update).layer_scores if beside else {}
        best, C = fit.most_chosen()
        parts, note = _compared(data, plan, fit, best, bar)
        card = _card(data, plan, best, C, about)
        bar.update()
    chosen = [(row, place(row["layer"])) for row in fit.chosen]
    rule, layer = place(best)
    return ProbeReport(
        meaning=about["meaning"],
        auroc=auroc_interval(fit.scores, plan),
        rule=rule,
        layer=layer,
        C=C,
        by_source={place(s): auroc_interval(v, plan) for s, v in {**fit.layer_scores, **others}.items()},
        **parts,
        mass_mean=auroc_interval(mean.scores, plan),
        nulls=nulls,
        control_task=tasks[0][best] if tasks else None,
        chosen=tuple({**row, "rule": where[0], "layer": where[1]} for row, where in chosen),
        n_steps=len(plan.y),
        n_errors=int(plan.y.sum()),
        n_questions=len(np.unique(plan.qid)),
        n_blocks=int(plan.block.max()) + 1,
        n_folds=len(plan.train),
        purged_share=plan.purged_share,
        n_fits=fit.n_fits,
        n_not_converged=fit.n_not_converged,
        n_iterations=fit.n_iterations,
        grid=plan.settings.grid,
        draws=plan.settings.draws,
        seed=plan.settings.seed,
        fold=plan.fold,
        scores=fit.scores,
        card=card,
        about={
            "site": card.about["probe"]["site"],
            "author": card.about["source"].get("author"),
            **{key: card.about[key] for key in ("name", "split")},
        },
        dropped=dict(about["dropped"]),
        notes=tuple(filter(None, (*notes, note, _edge(fit, plan.settings.grid)))),
    )


def _compared(data: Data, plan: Design, fit: Nested, best: Any, bar: Progress) -> tuple[dict[str, Any], str]:
    """What the nested probe is compared with, as fields of the report; and what could not be done.

    The bar moves on after each of `_PARTS` less one.
    """
    probe = probe_scores(data.sources, plan, fit.chosen)
    bar.update()
    extra = {} if data.untrained is None else {"untrained weights, same place": loaded(data.untrained[best])}
    baselines, stack = compare_baselines(data, plan, probe, fit.scores, extra)
    del extra
    bar.update()
    subjects, note = _subjects(data, plan, fit)
    bar.update()
    beyond = None
    if data.has_few:
        blocks = np.hstack(list(feature_blocks(data).values()))
        beyond = increment(data.sources, blocks, probe, fit.chosen, plan)
    bar.update()
    position = position_features(data.column("sid"), data.column("n_steps")) if "sid" in data.known else None
    within = within_strata(fit.scores, plan, data.strata())
    return {
        "within": {name: row.auroc for name, row in within.items()},
        "pairs": {name: row.n_pairs for name, row in within.items()},
        "baselines": baselines,
        "stack": stack,
        "beyond": beyond,
        "position": None if position is None else beyond_position(position, probe, plan),
        "fold_draws": fold_draws(
            loaded(data.sources[best]), data.known.get("sid"), plan, fit.most_chosen()[1]
        ),
        "subjects": subjects,
        "metrics": metrics_of(probe, plan),
    }, note


def _jobs(data: Data, plan: Design) -> tuple[list[SweepJob], list[str]]:
    """What every source is fitted for: the nested probe, the mass-mean probe, the nulls, the control task.

    A control task that cannot be set is a note.
    """
    jobs = [nested_job(plan), mass_mean_job(plan), null_job(data, plan)]
    if data.text is None:
        return jobs, ["no control task: there are no texts whose labels could be drawn at random"]
    try:
        return [*jobs, control_job(plan, data.text)], []
    except AnalysisError as error:
        return jobs, [f"no control task: {error}"]


def _announce(data: Data, plan: Design, jobs: Sequence[SweepJob]) -> None:
    """Say before work that takes long what it will take."""
    shape = np.shape(loaded(next(iter(data.sources.values()))))
    if len(shape) != 2:  # the sweep says what is wrong
        return
    beside = len(data.beside or {})
    texts = {str(one) for column in (data.text, data.question) if column is not None for one in column}
    cost = report_cost(
        (shape[0], shape[1]),
        plan.settings,
        sources=len(data.sources),
        beside=beside,
        jobs=[
            Fits(job.problems.C, job.tol, min(BATCH, len(job.problems.C) // max(len(job.stages), 1)))
            for job in jobs
            if job.score is logistic
        ],
        characters=sum(map(len, texts)),
    )
    if cost.seconds > LONG:
        log.info("probe: %d layers of %s: %s", len(data.sources) + beside, list(shape), cost)


def _subjects(data: Data, plan: Design, fit: Nested) -> tuple[HeldOutSubjects | None, str]:
    """The probe with the test folds' subjects held out; where that cannot be done, None and why."""
    codes = subject_codes([] if data.subject is None else data.subject)
    if (codes < 0).all():
        return None, ""
    try:
        return held_out_subjects(data.sources, plan, fit.chosen, codes), ""
    except AnalysisError as error:
        return None, f"no estimate with subjects held out: {error}"


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


def _card(data: Data, plan: Design, source: Any, C: float, about: Mapping[str, Any]) -> ProbeCard:
    """The probe on all rows at the source and penalty that most folds chose."""
    from mechcot.probe.factors import factor
    from mechcot.probe.solver import solve

    fits = solve(factor(loaded(data.sources[source]), dtype="float64"), plan.y, C=C, tol=1e-6)
    coef, (centre, scale) = fits.coef()[0], (fits.factor.centre, fits.factor.scale)
    rule, layer = place(source)
    settled = {"iterations": int(fits.iterations[0]), "converged": bool(fits.converged[0])}
    where = {"site": about.get("site", "given"), "rule": rule, "layer": layer, "C": C, "d_model": len(coef)}
    told = {key: value for key, value in about.items() if key not in ("site", "dropped", "meaning")}
    return ProbeCard(
        mean=centre,
        scale=scale,
        coef=np.divide(coef, scale, out=np.zeros_like(coef), where=scale > 0),
        intercept=float(fits.intercept[0] + coef @ centre),
        about={
            "name": UNNAMED,
            "source": {},
            **told,
            "meaning": about["meaning"],
            "probe": {**where, "rows": len(plan.y), **settled},
            "split": dict(zip(plan.qid.astype(str).tolist(), plan.fold.tolist(), strict=True)),
        },
    )
