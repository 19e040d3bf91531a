"""The steps that a sheet stands for: both arms of a contrast, with every instrument's label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from mechcot.core.errors import AnalysisError
from mechcot.core.records import LABELS, STEP_KEY
from mechcot.stats.frames import require_unique

if TYPE_CHECKING:
    from mechcot.study.folder import Study

VERDICTS = LABELS[:4]
"""The labels that are verdicts; the others say that an instrument failed."""
JUDGED = ("correct", "erroneous")
"""The labels that an error rate is made of."""


@dataclass(frozen=True)
class Cell:
    """Steps that are drawn with one chance.

    Attributes:
        arm: whose.
        label: the first instrument's verdict.
        disputed: whether another instrument's verdict differs.
        population: steps in the study.
        drawn: steps on the sheet.
    """

    arm: str
    label: str
    disputed: bool
    population: int
    drawn: int

    @property
    def weight(self) -> float:
        """One over the chance of being drawn."""
        return self.population / self.drawn


def label_column(instrument: str) -> str:
    """The column that holds an instrument's labels."""
    return f"label {instrument}"


def population(
    study: Study, arms: Sequence[str], domain: str | None, instruments: Sequence[str]
) -> pd.DataFrame:
    """All steps of some arms on a domain's questions, in the order of their tables.

    Args:
        study: with steps and verdicts of these arms.
        arms: whose steps.
        domain: of the questions; None: all of them.
        instruments: whose labels; the first one's sorts the steps into cells.

    Returns:
        The step key, `text`, `complete` and, for each instrument, `label_column(instrument)`: its
        verdict, "" where it gave none or failed.

    Raises:
        AnalysisError: no instruments, nothing judged, or an instrument has two verdicts of a step.
    """
    if not instruments:
        raise AnalysisError(
            f"{study.path}: {' and '.join(arms)} have no verdicts of one judge; make them with mechcot run"
        )
    asked = study.questions(domain).qid
    parts = []
    for arm in arms:
        steps = study.steps(arm)
        steps = steps[steps.qid.isin(asked)][[*STEP_KEY, "text", "complete"]]
        for name in instruments:
            verdicts = study.verdicts(arm, name)[[*STEP_KEY, "label"]]
            require_unique(verdicts, STEP_KEY, f"verdicts of {name} on {arm}")
            verdicts = verdicts[verdicts.label.isin(VERDICTS)]
            verdicts = verdicts.rename(columns={"label": label_column(name)})
            steps = steps.merge(verdicts, on=STEP_KEY, how="left", validate="one_to_one")
        parts.append(steps)
    table = pd.concat(parts, ignore_index=True)
    columns = [label_column(name) for name in instruments]
    table[columns] = table[columns].astype(object).fillna("")
    if not table[columns[0]].isin(JUDGED).any():
        raise AnalysisError(
            f"{study.path}: {instruments[0]} called no step of {' or '.join(arms)} correct or erroneous; "
            "judge the steps first"
        )
    return table


def cells(table: pd.DataFrame, instruments: Sequence[str]) -> pd.DataFrame:
    """The cell of each row of `population`: arm, the first instrument's label, whether another differs.

    Returns:
        Columns `arm`, `label` ("" where the first instrument gave no verdict: such steps are in no
        cell) and `disputed`, rows as in the table.
    """
    first, *others = (table[label_column(name)] for name in instruments)
    disputed = pd.Series(False, index=table.index)
    for other in others:
        disputed |= (other != "") & (other != first)
    return pd.DataFrame({"arm": table["arm"], "label": first, "disputed": disputed & (first != "")})
