"""Settings of what a study sets out to confirm, written down before its verdicts are read."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mechcot.core.section import Section

FindingName = Literal[
    "answers", "steps", "calibration", "within", "commitment", "probe_bits", "probe_over_stack"
]
"""What may be confirmed; `analyses.confirmatory.analysis.FINDINGS` says where each number stands."""


def _once(family: tuple[FindingName, ...]) -> tuple[FindingName, ...]:
    twice = next((name for name in family if family.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"'{twice}' stands there twice; a family names each finding once")
    return family


class SmallestEffects(Section):
    """The smallest change of each finding that matters, as a fraction: .05 is 5 points."""

    answers: float = Field(0.05, gt=0)
    steps: float = Field(0.05, gt=0)
    calibration: float = Field(0.05, gt=0)
    within: float = Field(0.05, gt=0)
    commitment: float = Field(0.05, gt=0)
    probe_bits: float = Field(0.05, gt=0, description="share of the entropy of the labels")
    probe_over_stack: float = Field(0.02, gt=0, description="of an AUROC")


class ConfirmatorySettings(Section):
    """The family of confirmatory findings; whatever else the report says is exploratory."""

    family: Annotated[tuple[FindingName, ...], AfterValidator(_once)] = (
        "answers",
        "steps",
        "calibration",
        "within",
        "commitment",
        "probe_bits",
        "probe_over_stack",
    )
    smallest: SmallestEffects = SmallestEffects()
    cells: Literal["kind", "kind x stratum", "kind x stratum x subject"] = Field(
        "kind x stratum",
        description="what a cell of the split is; by kind alone where steps carry no strata",
    )
