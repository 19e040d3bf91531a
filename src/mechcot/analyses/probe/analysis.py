"""From a study's tables and readings to its probes: whose steps, whose insides, which labels."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mechcot import probe
from mechcot.analyses.arms import on_questions
from mechcot.analyses.form import INTERVAL, missing, pick
from mechcot.analyses.probe.ablate import Rereading, ablation, own_answers
from mechcot.analyses.probe.untrained import in_untrained_weights
from mechcot.core import files
from mechcot.core.errors import AnalysisError
from mechcot.core.records import STEP_KEY
from mechcot.core.results import remembered
from mechcot.probe.transfer import transfer_matrix
from mechcot.probe.transfer_result import TransferResult
from mechcot.probe.use import trace_table, use_of
from mechcot.steps.of_study import task_of
from mechcot.study.readable import names_of

if TYPE_CHECKING:
    from mechcot.probe.ablation_result import AblationResult
    from mechcot.study.activations import Activations
    from mechcot.study.folder import Study

log = logging.getLogger("mechcot")


def probe_of(
    study: Study,
    author: str | None = None,
    reader: str | None = None,
    spec: probe.ProbeSpec | None = None,
    *,
    progress: bool = True,
) -> probe.ProbeReport:
    """A probe on an author's steps as a reader sees them; of step errors by default.

    Args:
        study: its readings must be there.
        author: whose steps; None: the arm after.
        reader: whose insides; None: the author's own.
        spec: what to fit; None: `default_spec`.
        progress: whether to draw bars.

    Raises:
        AnalysisError: the tables do not carry it: one class, too few questions, a layer that was not kept.
    """
    author, spec = author or study.settings.contrast.after, spec or default_spec(study)
    asked = _Asked(study, author, reader or author, spec, progress)
    store = study.activations(author, reader)
    table, dropped = _table(asked, store)
    with in_untrained_weights(study, author, asked.reader, spec, progress) as (untrained, notes):
        about = {
            "meaning": probe.MEANINGS[spec.label],
            "dropped": dropped,
            "source": {"author": author, "instrument": _instrument(asked)},
        }
        report = probe.fit_stored(
            store, table, spec, about, untrained=untrained, seed=study.settings.seed, progress=progress
        )
    report = replace(report, notes=(*report.notes, *notes))
    found = _with_worth(asked, report, table) if spec.label == "step_error" else report
    return remembered(found, names_of(study))


@dataclass(frozen=True)
class _Asked:
    """One probe of a study."""

    study: Study
    author: str
    reader: str
    spec: probe.ProbeSpec
    progress: bool

    @property
    def settings(self) -> probe.FitSettings:
        return self.spec.settings(self.study.settings.seed)


def _with_worth(asked: _Asked, report: probe.ProbeReport, table: pd.DataFrame) -> probe.ProbeReport:
    """The report with what the probe is good for: its use, and where asked transfer and ablation."""
    study, author, spec = asked.study, asked.author, asked.spec
    known = trace_table(
        study.traces(author), study.questions(spec.domain), study.signals(author, asked.reader)
    )
    bought = use_of(table, report.scores, report.fold, known)
    found: dict[str, Any] = {"use": bought}
    notes = []
    if spec.transfer:
        try:
            found["transfer"] = _transfer(asked, report)
        except AnalysisError as error:
            notes.append(f"no transfer: {error}")
    if spec.ablate and not report.card.coef.any():
        notes.append("no ablation: the probe's coefficients are all 0, it has no direction")
    elif spec.ablate and spec.site == "resid_post":
        found["ablation"] = _ablation(asked, report)
    elif spec.ablate:
        notes.append(f"no ablation: the probe reads {spec.site}, and directions are taken out of resid_post")
    return replace(report, **found, notes=(*report.notes, *notes))


def probes_of(study: Study) -> dict[str, Any]:
    """The probe of each arm of the contrast on its own traces; where one cannot be fitted, the reason.

    Transfer, which has both arms in it, stands with the arm after. Ablating takes 22 readings and is left
    to `mechcot probe`.
    """
    found: dict[str, Any] = {}
    for arm in (study.settings.contrast.before, study.settings.contrast.after):
        last = arm == study.settings.contrast.after
        spec = default_spec(study).model_copy(update={"transfer": last, "ablate": 0})
        try:
            found[arm] = probe_of(study, arm, None, spec, progress=False).to_json()
        except AnalysisError as error:
            found[arm] = {"reason": str(error)}
    return found


def specified_probe(
    path: Path,
    file: Path | None,
    *,
    author: str | None = None,
    reader: str | None = None,
    progress: bool = True,
) -> tuple[probe.ProbeReport, Path]:
    """The probe that a file specifies on a study, and the folder where it belongs.

    Args:
        path: the study.
        file: a specification; None: the default one.
        author: an arm or a role of the contrast, in place of the specification's.
        reader: likewise.
        progress: whether to draw bars.
    """
    from mechcot.study.folder import Study

    study = Study.open(path)
    spec, whose, by = specified(study, file, author, reader)
    return probe_of(study, whose, by, spec, progress=progress), path / "probes" / spec.name / whose / by


def specified(
    study: Study, file: Path | None, author: str | None, reader: str | None
) -> tuple[probe.ProbeSpec, str, str]:
    """A specification, whose steps it is about, and by whose weights they are read."""
    spec = probe.load_spec(file) if file else default_spec(study)
    roles = {"before": study.settings.contrast.before, "after": study.settings.contrast.after}

    def arm(name: str) -> str:
        return name if name in study.settings.arms else roles.get(name, name)

    whose = arm(author or spec.author)
    return spec, whose, arm(reader or spec.reader or whose)


def probe_of_store(
    activations: Path,
    labels: Path,
    file: Path | None,
    *,
    untrained: Path | None = None,
    progress: bool = True,
) -> tuple[probe.ProbeReport, Path]:
    """A probe on activations and labels that somebody brings along, and a folder for it.

    Args:
        activations: a store, see docs/activations.md.
        labels: a row a step, see `probe.read_labels`.
        file: a specification; None: the default one, named `own`.
        untrained: a store of the same steps in untrained weights of the same architecture: a baseline.
        progress: whether to draw a bar.

    Raises:
        DataError: the labels cannot be used.
        StudyError: a store cannot be.
        AnalysisError: they do not carry a probe, or a store lacks a layer, a rule or a step.
    """
    from mechcot.study.activations import Activations

    spec = probe.load_spec(file) if file else probe.ProbeSpec(name="own")
    store = Activations.open(activations)
    table, dropped = probe.read_labels(labels, store)
    told = files.digest(labels)
    about = {
        "meaning": f"the label in {labels.name} is 1",
        "dropped": dropped,
        "source": {"activations": activations.name, "labels": labels.name, "labels_digest": told},
    }
    fresh = None if untrained is None else Activations.open(untrained)
    report = probe.fit_stored(store, table, spec, about, untrained=fresh, progress=progress)
    return report, Path("probes") / spec.name


def default_spec(study: Study) -> probe.ProbeSpec:
    """Step errors of the arm after, with the study's folds and draws."""
    settings = study.settings.analysis
    return probe.ProbeSpec(
        folds=settings.folds, bootstrap=min(settings.bootstrap, 1000), null_draws=settings.permutations
    )


def _table(asked: _Asked, store: Activations) -> tuple[pd.DataFrame, dict[str, int]]:
    """The rows of a probe with their confounds, and how many steps are left out by reason."""
    study, author, spec = asked.study, asked.author, asked.spec
    index = store.frame()[STEP_KEY]
    steps, labels, left_out = _labelled(asked, index)
    table = probe.step_table(
        steps,
        labels,
        study.questions(spec.domain),
        signals=study.signals(author, asked.reader),
        claims=study.claims(author),
        traces=study.traces(author),
        stored=index,
    )
    dropped = probe.dropped(steps, labels, index).to_json() | left_out
    return table.drop(columns=list(probe.LEAKS[spec.label])), dropped


def _labelled(asked: _Asked, stored: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, int]]:
    """An author's steps, their labels as verdicts, and stored steps that the label leaves out, by reason."""
    study, author, spec = asked.study, asked.author, asked.spec
    questions = study.questions(spec.domain)
    steps = on_questions(questions, study.steps(author))
    if spec.label == "answer_correct":
        labels, left_out = probe.answer_labels(steps, study.traces(author), questions, stored)
        return probe.prefixes(steps), labels, {**left_out, "unjudged": 0}
    if spec.label == "hedged":
        claims = on_questions(questions, study.claims(author))
        return probe.unhedged(steps, claims), probe.hedge_labels(claims), {}
    return steps, on_questions(questions, study.verdicts(author, spec.instrument)), {}


def _instrument(asked: _Asked) -> str:
    """Who gave the labels, by the name that verdicts bear."""
    if asked.spec.label != "step_error":
        return asked.spec.label
    names = asked.study.verdicts(asked.author, asked.spec.instrument)["instrument"].unique()
    return ", ".join(sorted(map(str, names)))


def _transfer(asked: _Asked, report: probe.ProbeReport) -> TransferResult:
    """Both arms' steps under both readers, and the same steps judged by the study's other instruments.

    Only layers that the headline's folds chose are fitted, at its rule.
    """
    study, spec = asked.study, asked.spec
    layers = sorted({row["layer"] for row in report.chosen})
    cells = {}
    for whose, by, judge in _sides(asked):
        store = study.activations(whose, by)
        other = spec.model_copy(update={"instrument": judge})
        table, _ = _table(replace(asked, author=whose, reader=by, spec=other), store)
        rows = probe.positions(store.frame()[STEP_KEY], table)
        X = {layer: store.layer(spec.site, layer, report.rule)[rows] for layer in layers}
        told = f", judged by {judge}" if judge not in (None, spec.instrument) else ""
        cells[f"{whose} read by {by}{told}"] = (X, table)
    log.info("probe: transfer between %d sides", len(cells))
    return transfer_matrix(cells, asked.settings, progress=asked.progress)


def _sides(asked: _Asked) -> list[tuple[str, str, str | None]]:
    """Author, reader and instrument (None: the study's own) of each side of the transfer."""
    study, here, instrument = asked.study, (asked.author, asked.reader), asked.spec.instrument
    pair = (study.settings.contrast.before, study.settings.contrast.after)
    places = [(arm, by) for arm in dict.fromkeys((*pair, asked.author)) for by in pair]
    sides = [(*place, instrument) for place in dict.fromkeys((*places, here))]
    own = instrument or study.settings.judge.kind
    there = {path.stem for path in (study.arm_path(asked.author) / "verdicts").glob("*.parquet")}
    return sides + [(*here, judge) for judge in study.instruments() if judge != own and judge in there]


def _ablation(asked: _Asked, report: probe.ProbeReport) -> AblationResult:
    """What changes in the reader when the probe's direction is taken out of its residual stream."""
    from mechcot.models.checkpoint import load
    from mechcot.reading.of_study import question_inputs
    from mechcot.steps.of_study import whole_checkpoint

    study, author, reader, spec = asked.study, asked.author, asked.reader, asked.spec
    settings = study.settings
    checkpoint = load(settings.arms[reader], whole_checkpoint(study, reader), settings.device)
    inputs = question_inputs(study, author, task_of(study, author), checkpoint.tokenizer)
    some = [item for item in inputs if item.traces and not item.permutation][: spec.ablate]
    log.info("probe: ablating its direction, %d questions, 22 readings", len(some))
    answers = own_answers(study.traces(author), study.steps(author))
    given = Rereading(checkpoint.model, some, int(report.layer), answers, settings.reading.max_tokens)
    fit, direction = asked.settings, report.card.coef * report.card.scale
    return ablation(given, direction, draws=fit.draws, seed=fit.seed, progress=asked.progress)


def _for_summary(report: Mapping[str, Any]) -> dict[str, Any]:
    names = ("layer", "auroc", "position_only", "kind_only", "entropy", "within_kind", "stack", "stack_gain")
    counts = ("n_steps", "n_questions")
    if "auroc" not in report:
        nothing = {name: missing(report["reason"]) for name in (*names, *counts)}
        return nothing | {"intervals": {name: nothing[name] for name in ("auroc", "stack", "stack_gain")}}
    baselines = report["baselines"]

    def baseline(name: str) -> Any:
        if name not in baselines:
            return missing(f"the baseline '{name}' could not be fitted on this study's folds")
        return baselines[name]["auroc"]

    both = {
        "auroc": report["auroc"],
        "position_only": baseline("position_only"),
        "kind_only": baseline("kind_only"),
        "entropy": baseline("entropy_end"),
        "within_kind": report["within"]["kind"],
        "stack": baseline("stack"),
        "stack_gain": report["stack"]["gain"] if "stack" in report else missing("there are no confounds"),
    }
    ends = {
        name: pick(leaf, INTERVAL) if "estimate" in (leaf := both[name]) else leaf
        for name in ("auroc", "stack", "stack_gain")
    }
    return {"layer": report["layer"], **pick(both, list(both)), **pick(report, counts), "intervals": ends}


def summarised(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    """The probe of each arm beside simple baselines, for summary.json."""
    return {arm: _for_summary(result[arm]) for arm in arms.values()}
