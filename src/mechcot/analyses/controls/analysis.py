"""Answers and audit of every control."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from mechcot.analyses.answers.analysis import AnswersResult, answers_of
from mechcot.analyses.arms import contrast_of
from mechcot.analyses.audit.analysis import audit_of
from mechcot.analyses.audit.result import AuditResult
from mechcot.analyses.form import INTERVAL, pick
from mechcot.core.columns import Head, told
from mechcot.core.results import SPREAD, Result, cells

if TYPE_CHECKING:
    from mechcot.study.folder import Study


@dataclass(frozen=True, repr=False)
class ControlResult(Result):
    """Answers and audit of one control.

    Attributes:
        contrast: the arms and questions that it compares.
        answers: their answers.
        audit: their step error.
    """

    contrast: Mapping[str, Any]
    answers: AnswersResult
    audit: AuditResult


@dataclass(frozen=True, repr=False)
class ControlsResult(Result):
    """Answers and audit of every control.

    Attributes:
        controls: by name.
    """

    controls: dict[str, ControlResult] = field(metadata=SPREAD)

    table = "rows"

    @property
    def rows(self) -> tuple[dict[str, Any], ...]:
        """A row a control: what it compares, and both changes (after - before)."""
        return tuple(
            {
                "control": name,
                "before": own.answers.before.arm,
                "after": own.answers.after.arm,
                "right_answers": own.answers.delta_sc,
                "wrong_steps": own.audit.delta,
            }
            for name, own in self.controls.items()
        )

    def __repr__(self) -> str:
        told = "; ".join(f"{name} {own.audit.delta}" for name, own in self.controls.items())
        return f"ControlsResult(change of wrong steps: {told or 'no controls'})"


def controls_of(study: Study) -> ControlsResult:
    """Answers and audit of every control."""
    return ControlsResult(
        {
            name: ControlResult(
                contrast_of(study, name).model_dump(mode="json", exclude={"replicates"}),
                answers_of(study, name),
                audit_of(study, name),
            )
            for name in study.settings.controls
        }
    )


def summarised(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    """Right answers and step error under each control, for summary.json."""
    return {name: _summarised(own, arms) for name, own in result.items()}


def _summarised(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    answers, audit = result["answers"], result["audit"]
    both = {
        arm: pick(answers[role], ("sc",)) | pick(audit[role], ("error_rate",)) for role, arm in arms.items()
    }
    return both | {"delta_error": pick(audit["delta"], INTERVAL)}


def terminal_text(study: Study) -> str:
    """Right answers by vote and wrong steps under every control: before, after and their difference."""
    rows = []
    for name in study.settings.controls:
        found, audit = answers_of(study, name), audit_of(study, name)
        row: dict[str, Any] = {"control": name, "arms": f"{found.before.arm} to {found.after.arm}"}
        row |= {"right_before": found.before.votes.sc, "right_after": found.after.votes.sc}
        row |= {"right": found.delta_sc, "wrong_before": audit.before.error_rate.estimate}
        row |= {"wrong_after": audit.after.error_rate.estimate, "wrong": audit.delta}
        rows.append(cells(row))
    return told(pd.DataFrame(rows), _HEADS, {}) if rows else "the study has no controls"


_HEADS = {
    "right_before": Head("right before", "share"),
    "right_after": Head("right after", "share"),
    "right": Head("change [95 % interval]", "points"),
    "wrong_before": Head("wrong steps before", "share"),
    "wrong_after": Head("wrong steps after", "share"),
    "wrong": Head("their change", "points"),
}
