"""What a study found: summary.json for programs, report.html for people, tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mechcot.core import files

if TYPE_CHECKING:
    from mechcot.study.folder import Study

__all__ = ["write_report"]


def write_report(study: Study, versions: Mapping[str, str]) -> None:
    """Write summary.json and report.html of a study whose analyses are done.

    The same tables, results and versions give the same bytes.

    Args:
        study: with `results/*.json`, the tables of the contrast's arms and their own readings.
        versions: package to version, as they shall stand in both files.

    Raises:
        AnalysisError: a result is missing.
        DataError: a table is missing or damaged.
    """
    from mechcot.analyses.sections import render
    from mechcot.analyses.summary import summarise

    summary = summarise(study, versions)
    page = render(study, summary, versions)
    files.write_json(study.path / "summary.json", summary)
    files.write_text(study.path / "report.html", page)
