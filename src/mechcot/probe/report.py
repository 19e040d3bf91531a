"""The probe report: the nested probe beside everything that might explain it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.errors import AnalysisError
from mechcot.probe.baselines import LABELS, BaselineScores, baseline_scores
from mechcot.probe.fit import Design, FloatArray, Nested, design, nested
from mechcot.probe.folds import IntArray
from mechcot.probe.null import PermutationNull, permutation_null
from mechcot.probe.table import SIGNALS
from mechcot.shown import Shown
from mechcot.stats import Interval, auroc_replicates, cluster_bootstrap_auroc, percentile_interval

GRID = (0.001, 0.01, 0.1)
MIN_QUESTIONS = 10


@dataclass(frozen=True)
class Baseline:
    """One baseline: its AUROC, its AUROC within kind, and the probe minus it on the same rows."""

    label: str
    auroc: Interval
    within_kind: Interval
    probe_minus: Interval
    n_steps: int
    n_features: int

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "label": self.label,
            "auroc": self.auroc.to_json(),
            "within_kind": self.within_kind.to_json(),
            "probe_minus": self.probe_minus.to_json(),
            "n_steps": self.n_steps,
            "n_features": self.n_features,
        }


@dataclass(frozen=True, eq=False)
class ProbeReport(Shown):
    """What a linear probe knows of a step's verdict, and what simpler knowledge does.

    Attributes:
        verdict: in words, what the probe is worth.
        auroc: the nested estimate: layer and penalty chosen in inner folds; pairs inside an outer fold.
            The interval resamples questions with the fitted probes held fixed.
        layer: the layer that most outer folds chose.
        C: the penalty that most of those folds chose.
        by_layer: each layer's AUROC on the same test folds; the best of them is optimistic.
        within: AUROC of the nested scores among steps of one kind, position or question.
        baselines: on identical folds.
        null: relabelling within question, position and kind.
        chosen: an outer fold's layer, C and inner AUROC.
        purged_share: of training rows, dropped because their claim occurs in the test fold.
        n_not_converged: fits that reached the iteration limit, of `n_fits`.
        fold: outer fold of each step, [steps].
        scores: nested scores, [steps]; comparable inside a fold only.
    """

    verdict: str
    auroc: Interval
    layer: int
    C: float
    by_layer: dict[int, Interval]
    within: dict[str, Interval]
    baselines: dict[str, Baseline]
    null: PermutationNull
    chosen: tuple[dict[str, float], ...]
    n_steps: int
    n_errors: int
    n_questions: int
    n_blocks: int
    n_folds: int
    purged_share: float
    n_fits: int
    n_not_converged: int
    grid: tuple[float, ...]
    draws: int
    seed: int
    fold: IntArray
    scores: FloatArray

    def to_frame(self) -> pd.DataFrame:
        """One row a measure: the probe, within, by layer, and the baselines."""
        rows = [("probe", self.auroc, self.n_steps)]
        rows += [(f"probe within {name}", value, self.n_steps) for name, value in self.within.items()]
        rows += [(row.label, row.auroc, row.n_steps) for row in self.baselines.values()]
        rows += [(f"layer {key} (optimistic)", value, self.n_steps) for key, value in self.by_layer.items()]
        return pd.DataFrame(
            [
                {"measure": name, "auroc": value.estimate, "low": value.low, "high": value.high, "n_steps": n}
                for name, value, n in rows
            ]
        )

    def to_json(self) -> dict[str, Any]:
        """Everything but the scores, as JSON values."""
        return {
            "verdict": self.verdict,
            "auroc": self.auroc.to_json(),
            "layer": self.layer,
            "C": self.C,
            "by_layer": [{"layer": key, "auroc": value.to_json()} for key, value in self.by_layer.items()],
            "within": {name: value.to_json() for name, value in self.within.items()},
            "baselines": {name: row.to_json() for name, row in self.baselines.items()},
            "null": self.null.to_json(),
            "chosen": [dict(row) for row in self.chosen],
            "n_steps": self.n_steps,
            "n_errors": self.n_errors,
            "n_questions": self.n_questions,
            "n_blocks": self.n_blocks,
            "n_folds": self.n_folds,
            "purged_share": self.purged_share,
            "n_fits": self.n_fits,
            "n_not_converged": self.n_not_converged,
            "grid": list(self.grid),
            "draws": self.draws,
            "seed": self.seed,
        }

    def __repr__(self) -> str:
        return f"ProbeReport({self.verdict} {self.n_steps} steps, {self.n_errors} erroneous)"


def fit_report(
    X_by_layer: Mapping[int, NDArray[Any]],
    y: Sequence[int] | NDArray[Any],
    *,
    qid: Sequence[Any],
    group: Sequence[Any],
    text: Sequence[str],
    role: Sequence[str],
    sid: Sequence[int],
    n_steps: Sequence[int],
    signals: Mapping[str, NDArray[Any]] | None = None,
    grid: Sequence[float] = GRID,
    n_folds: int = 5,
    n_inner: int = 3,
    draws: int = 1000,
    null_draws: int = 200,
    seed: int = 0,
) -> ProbeReport:
    """Fit a linear probe for "this step is judged erroneous" and report it with its controls.

    Args:
        X_by_layer: layer to the residual stream at each step's last token, [steps, d_model].
        y: 1 where the step is erroneous, 0 where it is correct, [steps].
        qid: question of each step.
        group: its gold entity or template; neither a question nor a group is ever split over folds.
        text: the step's claim; training steps whose text occurs in the test fold are purged.
        role: kind of the step.
        sid: index of the step in its trace.
        n_steps: number of steps of its trace.
        signals: any of `probe.table.SIGNALS`, nats, [steps]; missing values allowed.
        grid: inverse penalties C to choose from.
        n_folds: outer folds.
        n_inner: inner folds.
        draws: bootstrap replicates.
        null_draws: permutations.
        seed: of folds, bootstrap and permutations.

    Raises:
        AnalysisError: lengths differ, values are not finite, one class only (in all or in a
            training fold), fewer than `MIN_QUESTIONS` questions, fewer blocks than folds, or more
            confounds than steps.
    """
    truth = _labels(y)
    columns = {"qid": qid, "group": group, "text": text, "role": role, "sid": sid, "n_steps": n_steps}
    layers = _check(X_by_layer, truth, {**columns, **(signals or {})})
    plan = design(truth, qid=qid, group=group, text=text, n_folds=n_folds, seed=seed)
    found = baseline_scores(truth, plan, role=role, sid=sid, n_steps=n_steps, signals=signals or {})
    fit = nested(layers, truth, plan, grid=grid, n_inner=n_inner, seed=seed)
    judge = _Judge(truth, plan, np.asarray(qid, dtype=object), np.asarray(role, dtype=object), draws, seed)
    strata = {"kind": role, "position": sid, "question": qid}
    within = {
        name: judge.interval(fit.scores, strata=np.asarray(column, dtype=object))
        for name, column in strata.items()
    }
    headline = judge.interval(fit.scores)
    baselines = {name: judge.baseline(name, item, fit.scores) for name, item in found.items()}
    layer, C = _most_chosen(fit)
    return ProbeReport(
        verdict=in_words(headline, within, baselines),
        auroc=headline,
        layer=layer,
        C=C,
        by_layer={key: judge.interval(value) for key, value in sorted(fit.layer_scores.items())},
        within=within,
        baselines=baselines,
        null=permutation_null(layers, truth, plan, qid=qid, sid=sid, role=role, draws=null_draws, seed=seed),
        chosen=fit.chosen,
        n_steps=len(truth),
        n_errors=int(truth.sum()),
        n_questions=len(set(qid)),
        n_blocks=int(plan.block.max()) + 1,
        n_folds=n_folds,
        purged_share=plan.purged_share,
        n_fits=fit.n_fits,
        n_not_converged=fit.n_not_converged,
        grid=tuple(grid),
        draws=draws,
        seed=seed,
        fold=plan.fold,
        scores=fit.scores,
    )


def fit_table(X_by_layer: Mapping[int, NDArray[Any]], table: pd.DataFrame, **settings: Any) -> ProbeReport:
    """Do `fit_report` on the columns of `probe.step_table`; activations have its rows, [steps, d_model]."""
    names = ("qid", "group", "text", "role", "sid", "n_steps")
    columns: dict[str, Any] = {name: table[name].tolist() for name in names}
    signals = {
        name: table[name].to_numpy(dtype=np.float64)
        for name in SIGNALS
        if name in table and np.isfinite(table[name].to_numpy(dtype=np.float64)).any()
    }
    return fit_report(X_by_layer, table["y"].to_numpy(), **columns, signals=signals, **settings)


@dataclass(frozen=True, eq=False)
class _Judge:
    """Scores things on one design with one bootstrap, so that differences are paired."""

    y: IntArray
    plan: Design
    qid: NDArray[Any]
    role: NDArray[Any]
    draws: int
    seed: int

    def interval(
        self, scores: FloatArray, *, rows: NDArray[np.bool_] | None = None, strata: NDArray[Any] | None = None
    ) -> Interval:
        """AUROC with interval; `scores` are those of `rows`, of all rows when left out."""
        kept = np.ones(len(self.y), dtype=bool) if rows is None else rows
        cells = None if strata is None else strata[kept]
        return cluster_bootstrap_auroc(
            scores, self.y[kept], self.plan.fold[kept], self.qid[kept], self.draws, self.seed, strata=cells
        )

    def baseline(self, name: str, item: BaselineScores, probe: FloatArray) -> Baseline:
        """A baseline's line of the report; the probe is compared on the baseline's rows."""
        rows = item.rows
        own, within = (
            self.interval(item.scores, rows=rows),
            self.interval(item.scores, rows=rows, strata=self.role),
        )
        other = self.interval(probe[rows], rows=rows)
        gap, replicates = None, np.full(self.draws, np.nan)
        if own.estimate is not None and other.estimate is not None:
            gap = other.estimate - own.estimate
            shared = (self.y[rows], self.plan.fold[rows], self.qid[rows], self.draws, self.seed)
            replicates = auroc_replicates(probe[rows], *shared) - auroc_replicates(item.scores, *shared)
        unit = "questions, scores held fixed"
        difference = percentile_interval(gap, replicates, own.n, reason=own.reason, unit=unit)
        return Baseline(LABELS[name], own, within, difference, int(rows.sum()), item.n_features)


_COMPARED = {
    "kind_only": ("knowing the kind of step", "kind"),
    "position_only": ("knowing the step's position", "position"),
    "entropy_end": ("the model's own entropy at the step's end", "kind"),
    "stack": ("position, kind and uncertainty together", "kind"),
}
"""Comparators fixed in advance: how they read, and within what the probe is then looked at."""


def in_words(headline: Interval, within: Mapping[str, Interval], baselines: Mapping[str, Baseline]) -> str:
    """Say what the probe is worth: against chance, against what is simpler, and within kind or position."""
    if headline.estimate is None:
        return f"The probe cannot be scored: {headline.reason}."
    if headline.high is not None and headline.high < 0.5:
        return f"The probe does worse than chance: {_numbers(headline)}."
    if headline.low is None or headline.high is None or headline.low <= 0.5:
        return f"The probe is not distinguishable from chance: {_numbers(headline)}."
    known = {
        name: row for name in _COMPARED if (row := baselines.get(name)) and row.auroc.estimate is not None
    }
    unbeaten = {k: r for k, r in known.items() if r.probe_minus.low is None or r.probe_minus.low <= 0}
    pool = unbeaten or known
    if not pool:
        return f"The probe scores {_numbers(headline)}; nothing simpler could be scored."
    # one comparator explains more than their stack, which is named first only when it stands alone
    singles = {name: row for name, row in pool.items() if name != "stack"} or pool
    name = max(singles, key=lambda key: singles[key].auroc.estimate or 0.0)
    best, (phrase, where) = singles[name].auroc.estimate or 0.0, _COMPARED[name]
    relation = "better than"
    if unbeaten:  # ahead without an interval that bears it out is neither a lead nor a tie
        ahead = (singles[name].probe_minus.estimate or 0.0) > 0
        relation = "not clearly better than" if ahead else "no better than"
    inside = within[where]
    tail = f"Within one {where} it cannot be scored."
    if inside.estimate is not None and inside.low is not None and inside.high is not None:
        found = "still separates" if inside.low > 0.5 else "cannot be told from chance"
        found = "does worse than chance" if inside.high < 0.5 else found
        tail = f"Within one {where} it {found}: {_numbers(inside)}."
    stack = baselines.get("stack")
    if stack and stack.auroc.estimate is not None and (stack.probe_minus.high or 0.0) < 0:
        tail += f" Position, kind and uncertainty together do better: {stack.auroc.estimate:.2f}."
    return f"The probe is {relation} {phrase}: {headline.estimate:.2f} against {best:.2f}. {tail}"


def _numbers(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return f"{interval.estimate:.2f}"
    return f"{interval.estimate:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def _most_chosen(fit: Nested) -> tuple[int, float]:
    layers = [int(row["layer"]) for row in fit.chosen]
    layer = max(sorted(set(layers)), key=layers.count)
    penalties = [row["C"] for row in fit.chosen if row["layer"] == layer]
    return layer, max(sorted(set(penalties)), key=penalties.count)


def _labels(y: Sequence[int] | NDArray[Any]) -> IntArray:
    values = np.asarray(y)
    if values.ndim != 1 or not np.isin(values, (0, 1)).all():
        raise AnalysisError("y must be one 0 (correct) or 1 (erroneous) a step, [steps]")
    return values.astype(np.int64)


def _check(
    X_by_layer: Mapping[int, NDArray[Any]], y: IntArray, columns: Mapping[str, Sequence[Any] | NDArray[Any]]
) -> dict[int, NDArray[Any]]:
    """Refuse what cannot give an honest number; return the layers as float32 arrays, sorted."""
    for name, values in columns.items():
        if len(values) != len(y):
            raise AnalysisError(f"{name} has {len(values)} values for {len(y)} labels")
    errors, questions = int(y.sum()), len(set(columns["qid"]))
    if questions < MIN_QUESTIONS:
        raise AnalysisError(f"{questions} questions; grouped folds need at least {MIN_QUESTIONS}")
    if errors in (0, len(y)):
        raise AnalysisError(f"{errors} of {len(y)} steps are erroneous; a probe needs both classes")
    if not X_by_layer:
        raise AnalysisError("no layers: pass at least one layer's activations")
    for layer, X in X_by_layer.items():
        if np.ndim(X) != 2 or len(X) != len(y):
            raise AnalysisError(f"layer {layer}: expected [{len(y)}, d_model] activations, got {np.shape(X)}")
        bad = np.flatnonzero(~np.isfinite(X).all(axis=1))
        if bad.size:
            raise AnalysisError(
                f"layer {layer}: {bad.size} of {len(y)} steps have NaN or infinite activations, the first is "
                f"row {bad[0]}. Leave those steps out or read them again."
            )
    return {layer: np.asarray(X_by_layer[layer], dtype=np.float32) for layer in sorted(X_by_layer)}
