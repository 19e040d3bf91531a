"""What the study's own report says of the judge controls: a row a judge, and where its page lies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mechcot.analyses.judge_controls.page import apart, others, verdict
from mechcot.analyses.judge_controls.wording import ALPHA
from mechcot.core import files
from mechcot.core.stages import current_stages
from mechcot.core.words import number, points, signed
from mechcot.report.parts import Findings, Part, Table

if TYPE_CHECKING:
    from mechcot.study.folder import Study

STAGE = "judge_controls-"
"""How the stages of judge controls are named in a study's manifest; the judge's name follows."""


def result_files(root: Path) -> dict[str, Path]:
    """The results of judge controls that belong to the steps as they are now, by judge, in sorted order."""
    return {
        name: root / "judge_controls" / name / "result.json" for name in sorted(current_stages(root, STAGE))
    }


def results_of(study: Study) -> dict[str, Mapping[str, Any]]:
    """The judge controls of the contrast's arms, by judge."""
    contrast = study.settings.contrast
    arms = {"before": contrast.before, "after": contrast.after}
    found = {name: files.read_json(study.checked(path)) for name, path in result_files(study.path).items()}
    return {name: result for name, result in found.items() if result["arms"] == arms}


def controls_part(found: Findings) -> Part:
    """What the controls of each judge say of the change."""
    results = found.results["judge_controls"]
    if not results:
        reason = "no control of the judge was run; mechcot judge-controls STUDY runs them"
        return Part("controlled", "The judge was not put to the test.", reason=reason, undone=True)
    own = found.settings.judge.kind
    first = own if own in results else next(iter(results))
    rows = tuple(_row(name, result) for name, result in results.items())
    head = ("judge", "as it is", "controls", "under them", f"apart (p < {ALPHA}, family)", "page")
    note = (
        "Changes of wrong steps in percentage points. Each judge is compared with itself on the sample of "
        "steps that its controls were given, so “as it is” may differ from the number at the top of the page."
    )
    table = Table("Controls of the judge", head, rows, note)
    return Part("controlled", f"Controls of the judge “{first}”: {verdict(results[first])}", tables=(table,))


def _row(name: str, result: Mapping[str, Any]) -> tuple[str, ...]:
    beside = others(result)
    ends = [100 * (number(row["error"]["difference"]) or 0.0) for row in beside]
    return (
        name,
        points(result["controls"][0]["error"]["difference"]),
        str(len(beside)),
        f"{signed(min(ends))} to {signed(max(ends))}" if ends else "–",
        ", ".join(row["name"] for row in apart(result)) or "none",
        Markup('<a href="judge_controls/{name}/report.html">open</a>').format(name=name),
    )
