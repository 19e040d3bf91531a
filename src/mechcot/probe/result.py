"""What a probe report holds, as a table for a notebook, JSON for a program and text for a terminal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from mechcot.core.offers import figure_of, text_of
from mechcot.core.results import Result
from mechcot.probe.ablate_result import AblationResult
from mechcot.probe.beyond import BeyondConfounds
from mechcot.probe.card import ProbeCard
from mechcot.probe.control_task import ControlTask
from mechcot.probe.folds import IntArray
from mechcot.probe.inputs import place
from mechcot.probe.metrics import Comparison, Metrics
from mechcot.probe.null import Nulls
from mechcot.probe.subjects import HeldOutSubjects
from mechcot.probe.sweep import FloatArray
from mechcot.probe.transfer_result import TransferResult
from mechcot.probe.use_result import UseResult
from mechcot.stats import Interval

if TYPE_CHECKING:
    import plotly.graph_objects as go

Source = tuple[Any, Any]
"""A position rule and a layer."""


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


@dataclass(frozen=True)
class OnTheStack:
    """What the probe adds to the comparator fixed in advance, the stack of all baselines.

    Attributes:
        with_probe: AUROC of the stack that has the probe's score as one more column.
        added: that compared with the AUROC of the stack alone, paired by question.
    """

    with_probe: Interval
    added: Comparison

    @property
    def gain(self) -> Interval:
        """AUROC with the probe minus AUROC without it."""
        return self.added.difference

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        told = self.added.to_json()
        return {"with_probe": self.with_probe.to_json(), "gain": told.pop("difference"), **told}


@dataclass(frozen=True, eq=False)
class ProbeReport(Result):
    """What a linear probe knows of a label, and what simpler knowledge does.

    Attributes:
        verdict: in words, what the probe is worth.
        meaning: what the label 1 says.
        auroc: the nested estimate: source and penalty chosen in inner folds; pairs inside an outer fold.
            The interval resamples questions with the fitted probes held fixed.
        rule: the position rule of the source that most outer folds chose.
        layer: its layer.
        C: the penalty that most of those folds chose.
        map: each source's AUROC on the same test folds; the best of them is optimistic.
        within: AUROC of the nested scores among steps of one kind, position, ...
        pairs: how many pairs each of these rests on.
        baselines: on identical folds.
        stack: what the probe adds to all of them together; None without confounds.
        beyond: bits beyond the confounds, Wald test, residualised probe; None without confounds.
        subjects: the probe with the subjects of each test fold held out; None without a column of subjects.
        mass_mean: AUROC of the difference of class means, its source chosen inside.
        nulls: relabelling that leaves place, kind and question.
        control_task: a random label for each text; None without texts.
        metrics: prevalence, average precision, recalls, calibration, minimum detectable difference.
        use: abstaining and choosing among traces; None where it was not asked.
        transfer: training side by test side; None where it was not asked.
        ablation: what changes when its direction is taken out; None where it was not asked.
        chosen: an outer fold's rule, layer, C and inner AUROC.
        n_steps: rows.
        n_errors: rows with the label 1.
        n_questions: questions.
        n_blocks: of questions and entities that no fold splits.
        n_folds: outer folds.
        purged_share: of training rows, dropped because their text occurs in the test fold.
        n_fits: logistic fits of the nested estimate.
        n_not_converged: those that reached the iteration limit.
        n_iterations: of the fit that took most.
        dropped: steps that are not among the rows, by reason.
        grid: inverse penalties.
        draws: bootstrap replicates.
        seed: of folds, bootstrap and nulls.
        notes: what could not be done, in sentences.
        fold: outer fold of each row, [steps].
        scores: nested scores, [steps]; comparable inside a fold only.
        card: the probe fitted on all rows.
    """

    verdict: str
    meaning: str
    auroc: Interval
    rule: Any
    layer: Any
    C: float
    map: dict[Source, Interval]
    within: dict[str, Interval]
    pairs: dict[str, int]
    baselines: dict[str, Baseline]
    stack: OnTheStack | None
    beyond: BeyondConfounds | None
    subjects: HeldOutSubjects | None
    mass_mean: Interval
    nulls: Nulls
    control_task: ControlTask | None
    metrics: Metrics
    chosen: tuple[dict[str, Any], ...]
    n_steps: int
    n_errors: int
    n_questions: int
    n_blocks: int
    n_folds: int
    purged_share: float
    n_fits: int
    n_not_converged: int
    n_iterations: int
    grid: tuple[float, ...]
    draws: int
    seed: int
    fold: IntArray
    scores: FloatArray
    card: ProbeCard
    use: UseResult | None = None
    transfer: TransferResult | None = None
    ablation: AblationResult | None = None
    dropped: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def source(self) -> Any:
        """The chosen source by the key that it was given under."""
        return next(key for key in self.nulls.by_source if place(key) == (self.rule, self.layer))

    @property
    def by_layer(self) -> dict[Any, Interval]:
        """Each layer's AUROC at the chosen rule."""
        return {layer: value for (rule, layer), value in self.map.items() if rule == self.rule}

    def lines(self) -> list[tuple[str, str, Interval]]:
        """(section, measure, value) of every AUROC and difference, as the tables show them."""
        rows = [("probe", "nested estimate", self.auroc)]
        rows += [("probe", f"within one {name}", value) for name, value in self.within.items()]
        if self.beyond:
            rows.append(("probe", "confounds removed from activations", self.beyond.residualised))
        rows.append(("probe", "mass-mean direction", self.mass_mean))
        if self.subjects:
            rows.append(("probe", "subjects of the test steps held out", self.subjects.auroc))
            rows.append(("probe", "as many training steps left out at random", self.subjects.thinned))
            rows.append(("probe", "... subjects minus random", self.subjects.difference))
        rows += [("without the probe", row.label, row.auroc) for row in self.baselines.values()]
        if self.stack:
            rows.append(("together", "all of these and the probe", self.stack.with_probe))
            rows.append(("together", "... minus all of these", self.stack.gain))
        if self.beyond:
            rows.append(("together", "bits a step beyond the confounds", self.beyond.bits.gain))
        return rows

    def to_frame(self) -> pd.DataFrame:
        """One row a measure: the probe and its controls, the baselines, what is added, and every source."""
        rows = [*self.lines()]
        rows += [("probe minus", row.label, row.probe_minus) for row in self.baselines.values()]
        rows += [
            ("by source (the best is optimistic)", f"layer {layer}, {rule}", value)
            for (rule, layer), value in self.map.items()
        ]
        return pd.DataFrame(
            [
                {"part": part, "measure": name, "value": v.estimate, "low": v.low, "high": v.high}
                for part, name, v in rows
            ]
        )

    def text(self) -> str:
        """The table that a person reads in a terminal."""
        return text_of(self)

    def figure(self) -> go.Figure:
        """The probe beside its controls and baselines."""
        return figure_of(self)

    def to_json(self) -> dict[str, Any]:
        """Everything but the rows' folds and scores, as JSON values."""
        cells = [
            {"rule": rule, "layer": layer, "auroc": value.to_json()}
            for (rule, layer), value in self.map.items()
        ]
        found: dict[str, Any] = {
            "verdict": self.verdict,
            "meaning": self.meaning,
            "auroc": self.auroc.to_json(),
            "rule": self.rule,
            "layer": self.layer,
            "C": self.C,
            "map": cells,
            "by_layer": [{"layer": key, "auroc": value.to_json()} for key, value in self.by_layer.items()],
            "within": {name: value.to_json() for name, value in self.within.items()},
            "pairs": dict(self.pairs),
            "baselines": {name: row.to_json() for name, row in self.baselines.items()},
            "mass_mean": self.mass_mean.to_json(),
            "nulls": self.nulls.to_json(),
            "metrics": self.metrics.to_json(),
            "chosen": [dict(row) for row in self.chosen],
            "grid": list(self.grid),
            "dropped": dict(self.dropped),
            "notes": list(self.notes),
        }
        for name in ("stack", "beyond", "subjects", "use", "transfer", "ablation"):
            part = getattr(self, name)
            if part is not None:
                found[name] = part.to_json()
        if self.control_task is not None:
            found["control_task"] = self.control_task.to_json(self.source)
        return found | {name: getattr(self, name) for name in _COUNTS}

    def __repr__(self) -> str:
        return f"ProbeReport({self.verdict} {self.n_steps} steps, {self.n_errors} with the label 1)"


_COUNTS = (
    "n_steps", "n_errors", "n_questions", "n_blocks", "n_folds", "purged_share", "n_fits", "n_not_converged",
    "n_iterations", "draws", "seed",
)  # fmt: skip
