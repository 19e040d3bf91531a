"""The stages between the readings and the report: one for each analysis."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mechcot.analyses import registry
from mechcot.analyses.form import Analysis
from mechcot.core import files
from mechcot.core.judging_settings import instrument_of
from mechcot.core.manifest import load_manifest, save_manifest
from mechcot.core.plan import Expense, Plan
from mechcot.core.stages import Stage
from mechcot.pipeline.causes import cause_stages
from mechcot.pipeline.facts import fact_stages
from mechcot.pipeline.forced_traces import forced_trace_stages
from mechcot.pipeline.greedy import greedy_stages
from mechcot.pipeline.judge import verdict_files
from mechcot.pipeline.plan import probe_expense
from mechcot.pipeline.step_kinds import kind_files
from mechcot.pipeline.step_strata import strata_files
from mechcot.study.folder import Study


def analysis_stages(study: Study, progress: bool) -> list[Stage]:
    """The analyses of a study, each writing `results/NAME.json`."""
    settings = study.settings
    dump = settings.model_dump(mode="json")
    basis = {"contrast": dump["contrast"], "analysis": dump["analysis"], "seed": settings.seed}
    basis["judge"] = settings.judge.basis()
    inputs = _inputs(study)
    outside = {"panel": _verdicts(study), "kinds": _labels(study)}
    return [
        Stage(
            analysis.name,
            analysis.version,
            basis | {section: dump[section] for section in analysis.settings},
            inputs[analysis.reads],
            (f"results/{analysis.name}.json",),
            partial(_analyse, study, analysis),
            outside=outside.get(analysis.reads, ()),
            plan=partial(plan_analysis, study, analysis),
        )
        for analysis in registry.ANALYSES
        if analysis.version is not None and registry.made(analysis, settings)
    ]


RENAMED = {"inference": "certainty", "margins": "gains"}
"""Analyses under the names that they had in version 1 of the results, and their names now."""


def forget_renamed(root: Path) -> None:
    """Take away results under a name that no analysis has any more; they are made again under the new one."""
    manifest = load_manifest(root)
    for name in RENAMED.keys() & manifest["stages"].keys():
        for output in manifest["stages"].pop(name)["outputs"]:
            files.remove(root / output)
        save_manifest(root, manifest)


def plan_analysis(study: Study, analysis: Analysis) -> Expense:
    """What an analysis will take; only a probe's fits are foretold."""
    if analysis.name != "probe" or study.settings.given:
        return Expense(analysis.name, 1, "analysis")
    from mechcot.analyses.probe.analysis import default_spec

    pair = (study.settings.contrast.before, study.settings.contrast.after)
    spec = default_spec(study).model_copy(update={"ablate": 0})
    return Plan(tuple(probe_expense(study, spec, arm, arm) for arm in pair)).total


def plan_probe(path: Path, file: Path | None, author: str | None, reader: str | None) -> Plan:
    """What a specified probe of a study will take; the arguments are those of `specified_probe`."""
    from mechcot.analyses.probe.analysis import specified

    study = Study.open(path)
    spec, whose, by = specified(study, file, author, reader)
    return Plan((probe_expense(study, spec, whose, by),))


def _inputs(study: Study) -> dict[str, tuple[str, ...]]:
    """The files that an analysis reads, by what it says it reads."""
    settings = study.settings
    pair = (settings.contrast.before, settings.contrast.after)
    cut = tuple(f"arms/{arm}/{name}.parquet" for arm in settings.arms for name in ("traces", "steps"))
    cut += kind_files(study, settings.arms) + strata_files(study, settings.arms)
    own = verdict_files(study, settings.judge.kind)
    claims = tuple(f"arms/{arm}/claims.parquet" for arm in pair)
    readings = tuple(
        f"readings/{author}/{reader}" for author in pair for reader in pair if not settings.given
    )
    judged = ("questions.parquet", *cut, *own)
    read = tuple(f"arms/{arm}/{name}.parquet" for arm in pair for name in ("traces", "answers"))
    handed = tuple(
        f"handover/{arm}/{name}.parquet" for arm in pair for name in ("places", "steps", "verdicts")
    )
    inside = (*judged, *claims, *readings)
    panel = tuple(map(instrument_of, settings.panel))
    listed = [name for stage in fact_stages(study, False) for name in stage.outputs]
    changed = [name for stage in cause_stages(study, False) for name in stage.outputs]
    decoded = [name for stage in greedy_stages(study, False) for name in stage.outputs]
    forced = [name for stage in forced_trace_stages(study, False) for name in stage.outputs]
    along = tuple(
        f"readings/{arm}/{arm}"
        for arm in dict.fromkeys(a for run in settings.trainings().values() for a in run)
    )
    return {
        "answers": ("questions.parquet", *read),
        "along": (*judged, *_all_claims(study), *along),
        "cut": ("questions.parquet", *cut),
        "judged": judged,
        "panel": (*judged, *(file for name in panel for file in verdict_files(study, name))),
        "handover": ("questions.parquet", *handed),
        "weights": ("weights",),
        "localisation": ("questions.parquet", "localisation"),
        "steering": ("questions.parquet", "steering"),
        "pairs": (*inside, "hedge-pairs"),
        "across": (*inside, *(name for name in ("localisation", "steering") if getattr(settings, name))),
        "causes": (*inside, *changed),
        "inside": inside,
        "traces": ("questions.parquet", *cut, *forced),
        "sub-steps": ("questions.parquet", "sub-steps"),
        "greedy": (*judged, *_all_claims(study), *decoded),
        "kinds": judged,
        "known": tuple(dict.fromkeys((*inside, *_all_claims(study), *listed))),
    }


def _all_claims(study: Study) -> tuple[str, ...]:
    """What all arms claim: those without weights too."""
    return tuple(f"arms/{arm}/claims.parquet" for arm in study.settings.arms)


def _verdicts(study: Study) -> tuple[Path, ...]:
    """Verdicts of further instruments that no stage makes: of `mechcot judge`, or put there by hand."""
    pair = (study.settings.contrast.before, study.settings.contrast.after)
    return tuple(
        study.arm_path(arm) / "verdicts" / f"{name}.parquet"
        for name in study.instruments()
        if name not in (study.settings.judge.kind, *map(instrument_of, study.settings.panel))
        for arm in pair
    )


def _labels(study: Study) -> tuple[Path, ...]:
    """The file with kinds that people gave to steps, if the settings name one."""
    labels = study.settings.kinds.labels
    return () if labels is None else (Path(labels).expanduser(),)


def _analyse(study: Study, analysis: Analysis, work: Path) -> None:
    files.write_json(study.path / "results" / f"{analysis.name}.json", analysis.result(study))
