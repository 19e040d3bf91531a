"""What people made of a study's traces: the last imported ratings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mechcot.core import files

if TYPE_CHECKING:
    from mechcot.study.folder import Study

RESULT = "results/likert.json"


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
