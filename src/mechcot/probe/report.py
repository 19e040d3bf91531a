"""What a probe report holds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mechcot.core.errors import UsageError
from mechcot.core.results import OPTIONAL, UNSTORED, Result
from mechcot.probe.ablation_result import AblationResult
from mechcot.probe.baselines import Baseline, OnTheStack
from mechcot.probe.card import ProbeCard
from mechcot.probe.control_task import ControlTask
from mechcot.probe.data import FloatArray, IntArray
from mechcot.probe.fold_draws import FoldDraws
from mechcot.probe.incremental import BeyondPosition, Increment
from mechcot.probe.metrics import Metrics
from mechcot.probe.nulls import Nulls
from mechcot.probe.subjects import HeldOutSubjects
from mechcot.probe.transfer_result import TransferResult
from mechcot.probe.use_result import UseResult
from mechcot.probe.verdict import Evidence, verdict_of
from mechcot.stats import Interval

if TYPE_CHECKING:
    import pandas as pd

Source = tuple[Any, Any]
"""A position rule and a layer."""

TABLE = ("probe", "without the probe", "together")
"""Parts of a report that stand in its table, for a terminal and on its page."""

DIFFERENCES = (
    "... subjects minus random",
    "... minus all of these",
    "bits a step beyond the confounds",
    "bits a step beyond position",
)
"""Lines of the table where 0, and not 0.5, says nothing."""


@dataclass(frozen=True)
class Measure:
    """A line of the report's table: an AUROC, or a difference of two."""

    part: str
    measure: str
    value: Interval

    @property
    def is_difference(self) -> bool:
        """Whether 0, and not 0.5, says nothing."""
        return self.measure in DIFFERENCES


@dataclass(frozen=True, eq=False, repr=False)
class ProbeReport(Result):
    """What a linear probe knows of a label, and what simpler knowledge does.

    Attributes:
        meaning: what the label 1 says.
        auroc: the nested estimate: source and penalty chosen in inner folds; pairs inside an outer fold.
            The interval resamples questions with the fitted probes held fixed.
        rule: the position rule of the source that most outer folds chose.
        layer: its layer.
        C: the penalty that most of those folds chose.
        by_source: each (rule, layer)'s AUROC on the same test folds; the best of them is optimistic.
        within: AUROC of the nested scores among steps of one kind, position, ...
        pairs: how many pairs each of these rests on.
        baselines: on identical folds.
        stack: what the probe adds to all of them together; None without confounds.
        beyond: what it adds to the confounds: bits, Wald test, residualised probe; None without confounds.
        position: what it adds to the step's position alone; None where positions are not known.
        fold_draws: the probe on other deals of the folds; None where none could be made.
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
        draws: bootstrap replicates, of recalls and of the ablation.
        seed: of folds, bootstrap and nulls.
        notes: what could not be done, in sentences.
        fold: outer fold of each row, [steps].
        scores: nested scores, [steps]; comparable inside a fold only.
        card: the probe fitted on all rows.
        rows: which step each row is (`records.STEP_KEY`) and its label `y`; None where that is not known.
        about: `name` of the probe, the `site` that it reads, `split`, the outer fold of each question, and
            `author`, whose steps these are; None where nobody said.

    A report that was opened from a file has no `fold`, `scores` or `card` where those were not kept beside
    it; to ask for them is a UsageError that says what keeps them.
    """

    derived: ClassVar[tuple[str, ...]] = ("verdict", "map", "by_layer", "folds")
    table: ClassVar[str] = "lines"

    meaning: str
    auroc: Interval
    rule: Any
    layer: Any
    C: float
    by_source: dict[Source, Interval] = field(metadata=UNSTORED)
    within: dict[str, Interval]
    pairs: dict[str, int]
    baselines: dict[str, Baseline]
    stack: OnTheStack | None = field(metadata=OPTIONAL)
    beyond: Increment | None = field(metadata=OPTIONAL)
    position: BeyondPosition | None = field(metadata=OPTIONAL)
    fold_draws: FoldDraws | None = field(metadata=OPTIONAL)
    subjects: HeldOutSubjects | None = field(metadata=OPTIONAL)
    mass_mean: Interval
    nulls: Nulls
    control_task: ControlTask | None = field(metadata=OPTIONAL)
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
    fold: IntArray = field(metadata=UNSTORED)
    scores: FloatArray = field(metadata=UNSTORED)
    card: ProbeCard = field(metadata=UNSTORED)
    use: UseResult | None = field(default=None, metadata=OPTIONAL)
    transfer: TransferResult | None = field(default=None, metadata=OPTIONAL)
    ablation: AblationResult | None = field(default=None, metadata=OPTIONAL)
    dropped: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    rows: pd.DataFrame | None = field(default=None, metadata=UNSTORED)
    about: dict[str, Any] = field(default_factory=dict, metadata=UNSTORED)

    if not TYPE_CHECKING:  # or every attribute would pass for one

        def __getattr__(self, name: str) -> Any:
            """What is asked for where the file that this was opened from does not hold it."""
            if name in ("fold", "scores", "card"):
                raise UsageError(
                    f"results/probe.json holds the probe's numbers and not its {name}. `mechcot probe "
                    "STUDY`, or study.probe(..., refit=True), fits it anew and keeps that too"
                )
            raise AttributeError(f"a probe's report has no '{name}'")

    def drawn_with(self) -> dict[str, Any]:
        """Whose steps these are, where that is known: the figure has the arm's colour."""
        return {"author": self.about.get("author")}

    @property
    def verdict(self) -> str:
        """In words, what the probe is worth."""
        return verdict_of(
            Evidence(
                self.auroc, self.within, self.baselines, self.stack, self.nulls, self.subjects, self.position
            )
        )

    @property
    def folds(self) -> dict[str, int]:
        """The outer fold of each question."""
        return dict(self.about["split"])

    @property
    def map(self) -> list[dict[str, Any]]:
        """Each source's AUROC on the same test folds; the best of them is optimistic."""
        return [{"rule": rule, "layer": layer, "auroc": v} for (rule, layer), v in self.by_source.items()]

    @property
    def by_layer(self) -> list[dict[str, Any]]:
        """Each layer's AUROC at the chosen rule."""
        return [
            {"layer": row["layer"], "auroc": row["auroc"]} for row in self.map if row["rule"] == self.rule
        ]

    @property
    def lines(self) -> list[Measure]:
        """The probe and its controls, the baselines, what is added, and every source."""
        alone = {"nested estimate": self.auroc}
        alone |= {
            f"within one {name} ({self.pairs[name]:,} pairs)": value for name, value in self.within.items()
        }
        together = {}
        if self.beyond:
            alone["confounds removed from activations"] = self.beyond.residualised
        alone["mass-mean direction"] = self.mass_mean
        if self.subjects:
            alone["subjects of the test steps held out"] = self.subjects.auroc
            alone["as many training steps left out at random"] = self.subjects.thinned
            alone[DIFFERENCES[0]] = self.subjects.difference
        if self.stack:
            together["all of these and the probe"] = self.stack.with_probe
            together[DIFFERENCES[1]] = self.stack.gain
        if self.beyond:
            together[DIFFERENCES[2]] = self.beyond.bits.gain
        if self.position:
            together[DIFFERENCES[3]] = self.position.gain
        parts = {
            TABLE[0]: alone,
            TABLE[1]: {row.label: row.auroc for row in self.baselines.values()},
            TABLE[2]: together,
            "probe minus": {row.label: row.probe_minus for row in self.baselines.values()},
            "by source (the best is optimistic)": {
                f"layer {layer}, {rule}": value for (rule, layer), value in self.by_source.items()
            },
        }
        return [Measure(part, name, value) for part, rows in parts.items() for name, value in rows.items()]

    def __repr__(self) -> str:
        return f"ProbeReport({self.verdict} {self.n_steps} steps, in {self.n_errors} {self.meaning})"


def _card_words(report: ProbeReport) -> dict[str, str]:
    """What the signal of a card is, and what it is not."""
    probe = report.card.about["probe"]
    return {
        "is": (
            f"The log odds that {report.meaning}, by one linear rule on {probe['site']} at layer "
            f"{report.layer}, position rule {report.rule!r}. {report.verdict}"
        ),
        "is_not": (
            "No evidence that the model uses what is read, or knows it. The rule was fitted on all rows, so "
            "its scores of the questions in `split` are not out of fold; `metrics` are those of the nested "
            "folds. Its log odds are calibrated to no other share of such steps, model, judge or way of "
            "cutting steps."
        ),
    }


def save_card(report: ProbeReport, folder: Path) -> None:
    """Write `probe.safetensors` and `card.json`, all numbers of the report included."""
    about = {**report.card.about, "words": _card_words(report), "metrics": report.to_json()}
    replace(report.card, about=about).save(folder)
