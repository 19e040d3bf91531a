"""The probe report: the nested probe beside everything that might explain it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mechcot.errors import AnalysisError
from mechcot.probe.baselines import BaselineScores, baseline_scores, feature_blocks
from mechcot.probe.beyond import BeyondConfounds, beyond_confounds, probe_scores
from mechcot.probe.card import ProbeCard
from mechcot.probe.control_task import ControlTask, control_job
from mechcot.probe.cross_fit import CrossFitted
from mechcot.probe.fit import GRID, Design, Nested, design, mass_mean_job, nested_job
from mechcot.probe.inputs import Inputs, checked, place
from mechcot.probe.metrics import compare_auroc, metrics, within_strata
from mechcot.probe.null import Nulls, null_job
from mechcot.probe.result import Baseline, OnTheStack, ProbeReport
from mechcot.probe.sweep import FloatArray, Sources, sweep
from mechcot.probe.words import in_words
from mechcot.records import STEP_KEY
from mechcot.stats import (
    Interval,
    auroc_replicates,
    percentile_interval,
    stratified_auroc,
)

ERRONEOUS = "the step is judged erroneous"


def fit_report(
    X: ArrayLike | Sources,
    y: Sequence[int] | NDArray[Any],
    *,
    groups: Sequence[Any],
    confounds: pd.DataFrame | None = None,
    text: Sequence[str] | None = None,
    entity: Sequence[Any] | None = None,
    question: Sequence[str] | None = None,
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
) -> ProbeReport:
    """Fit a linear probe and report it with its controls.

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

    Raises:
        AnalysisError: lengths differ, values are not finite, one class only (in all or in a training
            fold), fewer than `inputs.MIN_QUESTIONS` questions, fewer blocks than folds, or more confounds
            than steps.
    """
    given = checked(X, y, groups, confounds, text, entity, question)
    plan = design(
        given.y,
        qid=given.qid.tolist(),
        group=given.entity.tolist(),
        text=given.text,
        n_folds=n_folds,
        seed=seed,
    )
    fit, mean, nulls, task, note = _swept(given, plan, grid, n_inner, null_draws, seed)
    sources = [(row["layer"]) for row in fit.chosen]
    best = max(sorted(set(sources), key=list(given.sources).index), key=sources.count)
    penalties = [row["C"] for row in fit.chosen if row["layer"] == best]
    C = max(sorted(set(penalties)), key=penalties.count)
    judge = _Judge(given, plan, draws, seed)
    probe = probe_scores(given.sources, given.y, plan, fit.chosen, n_inner=n_inner, seed=seed)
    extra = {} if untrained is None else {"untrained weights, same place": _loaded(untrained[best])}
    found = _baselines(given, plan, probe, extra, n_inner, seed)
    both = found.pop("stack_probe")
    if not given.has_confounds:
        found = {}
    baselines = {name: judge.baseline(item, fit.scores) for name, item in found.items()}
    others = _others(given, plan, beside, grid, n_inner, seed)
    within = within_strata(
        fit.scores, given.y, plan.fold, given.qid.tolist(), given.strata(), draws=draws, seed=seed
    )
    report = ProbeReport(
        verdict="",
        meaning=meaning,
        auroc=judge.interval(fit.scores),
        rule=place(best)[0],
        layer=place(best)[1],
        C=C,
        map={place(key): judge.interval(v) for key, v in {**fit.layer_scores, **others}.items()},
        within={name: row.auroc for name, row in within.items()},
        pairs={name: row.n_pairs for name, row in within.items()},
        baselines=baselines,
        stack=_on_the_stack(given, plan, both, found, judge) if given.has_confounds else None,
        beyond=_beyond(given, plan, probe, fit, draws, seed, n_inner),
        mass_mean=judge.interval(mean.scores),
        nulls=nulls,
        control_task=task,
        metrics=metrics(probe, given.y, plan, given.qid.tolist(), draws=draws, seed=seed),
        chosen=tuple(
            {**row, **dict(zip(("rule", "layer"), place(row["layer"]), strict=True))} for row in fit.chosen
        ),
        n_steps=len(given.y),
        n_errors=int(given.y.sum()),
        n_questions=len(np.unique(given.qid)),
        n_blocks=int(plan.block.max()) + 1,
        n_folds=n_folds,
        purged_share=plan.purged_share,
        n_fits=fit.n_fits,
        n_not_converged=fit.n_not_converged,
        n_iterations=fit.n_iterations,
        grid=tuple(grid),
        draws=draws,
        seed=seed,
        fold=plan.fold,
        scores=fit.scores,
        card=_fitted(given, plan, best, C, meaning, about or {}),
        dropped=dict((about or {}).get("dropped", {})),
        notes=tuple(item for item in (note, _edge(C, grid)) if item),
    )
    words = in_words(report.auroc, report.within, report.baselines, report.stack, report.nulls)
    return replace(report, verdict=words)


def fit_table(X: Sources, table: pd.DataFrame, **settings: Any) -> ProbeReport:
    """Do `fit_report` on the columns of `probe.step_table`; activations have its rows, [steps, d_model].

    Columns that are neither keys, labels nor texts are confounds; `tok_start` and `relative`, which say again
    what the step's index says, are left out.
    """
    spoken = [*STEP_KEY, "y", "text", "question", "group", "entity", "relative", "tok_start"]
    spoken.remove("sid")
    optional = {
        "text": "text",
        "question": "question",
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


def _swept(
    given: Inputs, plan: Design, grid: Sequence[float], n_inner: int, null_draws: int, seed: int
) -> tuple[Nested, Nested, Nulls, ControlTask | None, str | None]:
    """Everything that one pass over the sources gives; a control task that cannot be set is a note."""
    folds: dict[str, Any] = {"n_inner": n_inner, "seed": seed}
    null = null_job(
        given.y,
        plan,
        qid=given.qid.tolist(),
        sid=given.column("sid").tolist(),
        role=given.column("kind").tolist(),
        n_steps=given.column("n_steps").tolist(),
        draws=null_draws,
        seed=seed,
    )
    jobs = [nested_job(given.y, plan, grid=grid, **folds), mass_mean_job(given.y, plan, **folds), null]
    note = "no control task: there are no texts whose labels could be drawn at random"
    if given.has_text:
        try:
            jobs.append(control_job(given.y, plan, types=given.text, seed=seed))
        except AnalysisError as error:
            note = f"no control task: {error}"
    found = sweep(given.sources, jobs)
    if len(found) < 4:
        return found[0], found[1], found[2], None, note
    return found[0], found[1], found[2], found[3], None


def _baselines(
    given: Inputs,
    plan: Design,
    probe: CrossFitted,
    extra: Mapping[str, NDArray[Any]],
    n_inner: int,
    seed: int,
) -> dict[str, BaselineScores]:
    """Scores of what was given to compare with; position and kind only where they are known."""
    found = baseline_scores(
        given.y,
        plan,
        **given.features(),
        text=given.text if given.has_text else None,
        question=given.question,
        extra=extra,
        probe=probe,
        n_inner=n_inner,
        seed=seed,
    )
    unknown = {"position_only": "sid", "kind_only": "kind"}
    return {name: row for name, row in found.items() if unknown.get(name, name) in (*given.known, name)}


def _edge(C: float, grid: Sequence[float]) -> str:
    """A warning where the grid may have been too small."""
    if len(grid) < 2 or min(grid) < C < max(grid):
        return ""
    where = "weakest" if max(grid) == C else "strongest"
    return f"most folds chose the {where} penalty of the grid, C {C:g}; a wider grid might do better"


def _on_the_stack(
    given: Inputs, plan: Design, both: BaselineScores, found: Mapping[str, BaselineScores], judge: _Judge
) -> OnTheStack:
    """What the probe adds to the comparator fixed in advance."""
    added = compare_auroc(
        both.scores,
        found["stack"].scores,
        given.y,
        plan.fold,
        given.qid.tolist(),
        draws=judge.draws,
        seed=judge.seed,
    )
    return OnTheStack(judge.interval(both.scores), added)


def _others(
    given: Inputs, plan: Design, beside: Sources | None, grid: Sequence[float], n_inner: int, seed: int
) -> dict[Any, FloatArray]:
    """Scores of the sources that are only shown, [steps] each."""
    if not beside:
        return {}
    job = nested_job(given.y, plan, grid=grid, n_inner=n_inner, seed=seed)
    found: Nested = sweep(beside, [job])[0]
    return found.layer_scores


def _beyond(
    given: Inputs, plan: Design, probe: CrossFitted, fit: Nested, draws: int, seed: int, n_inner: int
) -> BeyondConfounds | None:
    if not (given.known or given.signals or given.others is not None):
        return None
    return beyond_confounds(
        given.sources,
        np.hstack(list(feature_blocks(**given.features()).values())),
        probe,
        fit.chosen,
        given.y,
        plan,
        qid=given.qid.tolist(),
        draws=draws,
        seed=seed,
        n_inner=n_inner,
    )


def _fitted(
    given: Inputs, plan: Design, source: Any, C: float, meaning: str, about: Mapping[str, Any]
) -> ProbeCard:
    """The probe on all rows at the source and penalty that most folds chose."""
    from mechcot.probe.solver import factor, solve

    fits = solve(factor(_loaded(given.sources[source]), dtype="float64"), given.y, C=C, tol=1e-6)
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


def _loaded(source: Any) -> NDArray[Any]:
    return np.asarray(source() if callable(source) else source)


@dataclass(frozen=True, eq=False)
class _Judge:
    """Scores things on one design with one bootstrap, so that differences are paired."""

    given: Inputs
    plan: Design
    draws: int
    seed: int

    def interval(
        self,
        scores: FloatArray,
        *,
        rows: NDArray[np.bool_] | None = None,
        strata: NDArray[Any] | None = None,
        minus: FloatArray | None = None,
    ) -> Interval:
        """AUROC with interval, or one AUROC minus another's; scores are those of `rows` (None: of all)."""
        kept = np.ones(len(self.given.y), dtype=np.bool_) if rows is None else rows
        y, fold, qid = self.given.y[kept], self.plan.fold[kept], self.given.qid[kept].astype(str)
        cells = None if strata is None else strata[kept]
        point = stratified_auroc(scores, y, fold, cells).auroc
        replicates = auroc_replicates(scores, y, fold, qid, self.draws, self.seed, cells)
        if minus is not None:
            other = stratified_auroc(minus, y, fold, cells).auroc
            point = None if point is None or other is None else point - other
            replicates -= auroc_replicates(minus, y, fold, qid, self.draws, self.seed, cells)
        reason = "no pair of one step of each label to compare"
        n, unit = len(np.unique(qid)), "questions, scores held fixed"
        return percentile_interval(point, replicates, n, reason=reason, unit=unit)

    def baseline(self, item: BaselineScores, probe: FloatArray) -> Baseline:
        """A baseline's line of the report; the probe is compared on the baseline's rows."""
        kinds = self.given.column("kind")
        return Baseline(
            label=item.label,
            auroc=self.interval(item.scores, rows=item.rows),
            within_kind=self.interval(item.scores, rows=item.rows, strata=kinds),
            probe_minus=self.interval(probe[item.rows], rows=item.rows, minus=item.scores),
            n_steps=int(item.rows.sum()),
            n_features=item.n_features,
        )
