"""The last stage: summary.json and report.html."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from mechcot.analyses import registry
from mechcot.core import files
from mechcot.core.manifest import load_manifest
from mechcot.core.registration import registrations
from mechcot.core.stages import Stage
from mechcot.pipeline.controls import control_stages
from mechcot.pipeline.step_kinds import kind_files
from mechcot.pipeline.step_strata import strata_files
from mechcot.study.folder import Study


def report_stages(study: Study, progress: bool) -> list[Stage]:
    """The last stage: all results on one page."""
    from mechcot.analyses.judge_controls.study_report import result_files

    contrast, given = study.settings.contrast, study.settings.given
    tables = tuple(
        f"arms/{arm}/{name}"
        for arm in (contrast.before, contrast.after)
        for name in ("traces.parquet", "steps.parquet", f"verdicts/{study.settings.judge.kind}.parquet")
    )
    for files_of in (kind_files, strata_files):
        tables += files_of(study, (contrast.before, contrast.after))
    readings = tuple(f"readings/{arm}/{arm}" for arm in (contrast.before, contrast.after) if not given)
    results = tuple(f"results/{name}.json" for name in registry.results(study.settings))
    # Made beside the pipeline: what people said, and what the controls of a judge did.
    controls = tuple(
        name
        for stage in control_stages(study, False)
        for name in stage.outputs
        if name.endswith("/result.json")
    )
    beside = (
        *(study.path / "results" / name for name in ("sheet.json", "likert.json")),
        *study.path.glob("*/viewer.js"),  # the page links to it
        *(
            path
            for path in result_files(study.path).values()
            if str(path.relative_to(study.path)) not in controls
        ),
    )
    return [
        Stage(
            "report",
            5,
            {"settings": study.settings.model_dump(mode="json")}
            | {name: one.to_json() for name, one in registrations(study.path, study.settings).items()},
            ("questions.parquet", *tables, *readings, *results, *controls),
            ("summary.json", "report.html"),
            partial(write, study),
            outside=tuple(path for path in beside if path.exists()),
        )
    ]


def write(study: Study, work: Path) -> None:
    """Write summary.json and report.html of a study whose analyses are done."""
    write_report(study, load_manifest(study.path)["versions"])


def write_report(study: Study, versions: Mapping[str, str]) -> None:
    """Write summary.json and report.html; the same tables, results and versions give the same bytes.

    Args:
        study: with `results/*.json`, the tables of the contrast's arms and their own readings.
        versions: package to version, as they shall stand in both files.

    Raises:
        AnalysisError: a result is missing.
        DataError: a table is missing or damaged.
    """
    from mechcot.analyses.sections import page_of
    from mechcot.analyses.summary import summarise

    summary = summarise(study, versions)
    page = page_of(study, summary, versions)
    files.write_json(study.path / "summary.json", summary)
    files.write_text(study.path / "report.html", page)
