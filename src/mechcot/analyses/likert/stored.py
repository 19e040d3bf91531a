"""What people made of a study's traces: the last imported ratings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mechcot.analyses.likert.result import LikertResult
from mechcot.core import files
from mechcot.core.errors import AnalysisError
from mechcot.core.read_back import read_back

if TYPE_CHECKING:
    from mechcot.study.folder import Study

RESULT = "results/likert.json"


def ratings_of(study: Study) -> LikertResult:
    """What people made of the traces: the last imported ratings.

    Raises:
        AnalysisError: none were imported, or of other traces than these.
    """
    result = found(study)
    if result is None:
        raise AnalysisError(
            f"{study.path}: no ratings of its traces as they are were imported. Forms: mechcot likert draw "
            f"{study.path}; what comes back: mechcot likert import {study.path} FILE"
        )
    return read_back(LikertResult, result)


def found(study: Study) -> Mapping[str, Any] | None:
    """The last imported ratings, if they belong to the study's traces as they are; else None."""
    path = study.path / RESULT
    if not path.exists():
        return None
    result: dict[str, Any] = files.read_json(study.checked(path))
    there = {name: study.path / name for name in result["sources"]}
    same = all(
        file.exists() and files.digest(file) == result["sources"][name] for name, file in there.items()
    )
    return result if same else None
