"""Answers and audit of every control."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mechcot.analyses.answers.analysis import answers_of
from mechcot.analyses.arms import contrast_of
from mechcot.analyses.audit.analysis import audit_of
from mechcot.analyses.form import INTERVAL, pick

if TYPE_CHECKING:
    from mechcot.study.folder import Study


def controls_of(study: Study) -> dict[str, Any]:
    """Answers and audit of every control."""
    found = {}
    for name in study.settings.controls:
        contrast = contrast_of(study, name)
        found[name] = {
            "contrast": contrast.model_dump(mode="json", exclude={"replicates"}),
            "answers": answers_of(study, name).to_json(),
            "audit": audit_of(study, name).to_json(),
        }
    return found


def summarised(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    """Right answers and step error under each control, for summary.json."""
    return {name: _summarised(own, arms) for name, own in result.items()}


def _summarised(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    answers, audit = result["answers"], result["audit"]
    both = {
        arm: pick(answers[role], ("sc",)) | pick(audit[role], ("error_rate",)) for role, arm in arms.items()
    }
    return both | {"delta_error": pick(audit["delta"], INTERVAL)}
