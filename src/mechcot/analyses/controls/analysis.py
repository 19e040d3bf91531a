"""Answers and audit of every control."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mechcot.analyses.answers.analysis import answers_of
from mechcot.analyses.arms import contrast_of
from mechcot.analyses.audit.analysis import audit_of

if TYPE_CHECKING:
    from mechcot.study.folder import Study


def controls_of(study: Study) -> dict[str, Any]:
    """Answers and audit of every control."""
    found = {}
    for name in study.settings.controls:
        contrast = contrast_of(study, name)
        found[name] = {
            "contrast": contrast.model_dump(mode="json"),
            "answers": answers_of(study, name).to_json(),
            "audit": audit_of(study, name).to_json(),
        }
    return found
