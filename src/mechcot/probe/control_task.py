"""How much of a probe's AUROC could be memory of types: the control task of Hewitt & Liang.

Every type (a normalised step text, or what the caller takes for one, such as the subject of its claim) gets
a random label, the same wherever it occurs (2019, arXiv 1909.03368). Only memory answers such a task. The
probe learns the true and the random labels from the same training rows, not purged, and both are scored
on the test steps whose type was seen in training; selectivity is the difference.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mechcot.core.errors import AnalysisError
from mechcot.core.results import Result, because
from mechcot.probe.data import Column, FloatArray
from mechcot.probe.folds import Design, text_codes
from mechcot.probe.nulls import NULL_C, labellings_job
from mechcot.probe.sweeps import Effort, SweepJob

MIN_TYPES = 200
MIN_STEPS = 50
LABELLINGS = 20


@dataclass(frozen=True)
class ControlTask(Result):
    """The true labels beside random labels of types, on the same rows and folds, at one source.

    Attributes:
        task: AUROC on the true labels; None without a pair to compare.
        control: mean AUROC on the random labels.
        selectivity: task minus control; None where either is missing.
        n_types: types in all.
        n_steps: test steps whose type was seen in training; only these are scored.
        labellings: number of random labellings.
        C: inverse penalty of both.
    """

    task: float | None = field(metadata=because(""))
    control: float | None = field(metadata=because(""))
    selectivity: float | None = field(metadata=because(""))
    n_types: int
    n_steps: int
    labellings: int
    C: float

    @property
    def reason(self) -> str:
        """Why there is no AUROC."""
        return f"{self.n_steps} steps are of a type seen in training, and no two of them can be compared"


def control_job(plan: Design, types: Column, labellings: int = LABELLINGS) -> SweepJob:
    """Compare the probe with itself on random labels of types, as a job of a `sweep`.

    Its `finish` gives a `ControlTask` of each source.

    Args:
        plan: outer folds; their purging is not used.
        types: text of each step, or a coarser type such as its subject, [steps].
        labellings: random labellings, each with the prevalence of the labels.

    Raises:
        AnalysisError: fewer than `MIN_TYPES` types, or than `MIN_STEPS` steps of a type seen in training.
    """
    y, codes = plan.y, text_codes(types)
    n_types = int(codes.max()) + 1
    if n_types < MIN_TYPES:
        raise AnalysisError(
            f"{n_types} types of steps; a control task needs at least {MIN_TYPES}: with few, random labels "
            "resemble the true ones by chance. Use more questions or finer types."
        )
    train = plan.fold[None, :] != np.arange(len(plan.train))[:, None]
    seen = np.zeros(len(y), dtype=np.bool_)
    for rows in train:
        seen |= ~rows & np.isin(codes, codes[rows])
    if seen.sum() < MIN_STEPS:
        raise AnalysisError(
            f"{int(seen.sum())} steps are of a type that their training folds have too; a control task needs "
            f"at least {MIN_STEPS} to be scored on. Use coarser types, such as the subject of the claim."
        )
    random = np.random.default_rng(plan.settings.seed).random((labellings, n_types)) < y.mean()
    labels = np.vstack([y[None, :], random[:, codes]]).astype(np.int8)

    def compared(aurocs: FloatArray) -> ControlTask:
        drawn = aurocs[1:][~np.isnan(aurocs[1:])]
        task = None if np.isnan(aurocs[0]) else float(aurocs[0])
        control = float(drawn.mean()) if drawn.size else None
        gap = None if task is None or control is None else task - control
        return ControlTask(task, control, gap, n_types, int(seen.sum()), labellings, NULL_C)

    def finish(parts: dict[Any, FloatArray], _effort: Effort) -> dict[Any, ControlTask]:
        return {source: compared(aurocs) for source, aurocs in parts.items()}

    return labellings_job(labels, train, plan.fold, finish, scored=seen)
