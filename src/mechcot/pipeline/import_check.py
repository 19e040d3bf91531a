"""What can be wrong with an import before any file is read; needs nothing that is slow to load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mechcot.core.errors import UsageError
from mechcot.core.files import check_file
from mechcot.core.manifest import SETTINGS


def check_import(path: str | Path, arms: Mapping[str, str | Path]) -> None:
    """Refuse what cannot become a study.

    Args:
        path: the new study's folder.
        arms: file by arm.

    Raises:
        UsageError: fewer than two arms, or a folder that is a study already or holds something else.
        DataError: a file is not there.
    """
    if len(arms) < 2:
        raise UsageError(
            f"a study compares two arms, and {len(arms)} is named: give --arm NAME=FILE twice, the arm "
            "before first"
        )
    folder = Path(path)
    if (folder / SETTINGS).exists():
        raise UsageError(
            f"{path} is a study already. To add an arm to it: mechcot run {path} --set arms.NAME.traces=FILE "
            "--restart-from given-NAME; else name a new folder"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{path} is not empty and no study. Name a new folder")
    for file in arms.values():
        check_file(Path(file).expanduser())
