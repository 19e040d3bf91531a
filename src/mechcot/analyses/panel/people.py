"""What people said of a study's steps: the last imported sheet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mechcot.core import files

if TYPE_CHECKING:
    from mechcot.study.folder import Study


@dataclass(frozen=True)
class People:
    """The last imported sheet, or why there is none that speaks of the study as it is.

    Attributes:
        sheet: `results/sheet.json`; empty without a usable one.
        reason: why it is empty, else "".
    """

    sheet: Mapping[str, Any]
    reason: str = ""

    def judge(self, name: str) -> Mapping[str, Any] | None:
        """What the sheet says of a judge; None where it says nothing."""
        return self.sheet["judges"].get(name) if self.sheet else None


def people_of(study: Study) -> People:
    """What people said, if the sheet was read against the tables as they are now."""
    path, contrast = study.path / "results" / "sheet.json", study.settings.contrast
    if not path.exists():
        return People({}, "no sheet was filled; mechcot sheet draw STUDY makes one")
    sheet = files.read_json(study.checked(path))
    same = (sheet["arms"], sheet.get("domain")) == (
        {"before": contrast.before, "after": contrast.after},
        contrast.domain,
    )
    sources = sheet.get("sources", {})
    there = {name: study.path / name for name in sources}
    current = all(file.exists() and files.digest(file) == sources[name] for name, file in there.items())
    if not (same and sources and current):
        return People(
            {},
            "the sheet that people filled was read against other steps or verdicts; import it again "
            "(mechcot sheet import)",
        )
    return People(sheet)
