"""How much of a probe's AUROC could be memory of types: the control task of Hewitt & Liang.

Every type (a normalised step text, or what the caller takes for one, such as the subject of its claim) gets
a random label, the same wherever it occurs (2019, arXiv 1909.03368). Only memory answers such a task. The
probe learns the true and the random labels from the same training rows, not purged, and both are scored
on the test steps whose type was seen in training; selectivity is the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mechcot.core.errors import AnalysisError
from mechcot.probe.fit import Design
from mechcot.probe.folds import IntArray, text_codes
from mechcot.probe.null import NULL_C, labellings_job
from mechcot.probe.sweep import Effort, FloatArray, Job, Sources, sweep
from mechcot.stats import leaf

MIN_TYPES = 200
MIN_STEPS = 50
LABELLINGS = 20


@dataclass(frozen=True)
class ControlTask:
    """The true labels beside random labels of types, on the same rows and folds.

    Attributes:
        task: AUROC on the true labels, by source; None without a pair to compare.
        control: mean AUROC on the random labels, by source.
        n_types: types in all.
        n_steps: test steps whose type was seen in training; only these are scored.
        labellings: number of random labellings.
        C: inverse penalty of both.
    """

    task: dict[Any, float | None]
    control: dict[Any, float | None]
    n_types: int
    n_steps: int
    labellings: int
    C: float

    def selectivity(self, source: Any) -> float | None:
        """Task minus control; None where either is missing."""
        task, control = self.task[source], self.control[source]
        return None if task is None or control is None else task - control

    def to_json(self, source: Any) -> dict[str, Any]:
        """One source's fields as JSON values."""
        reason = f"{self.n_steps} steps are of a type seen in training, and no two of them can be compared"
        return {
            "task": leaf(self.task[source], reason),
            "control": leaf(self.control[source], reason),
            "selectivity": leaf(self.selectivity(source), reason),
            "n_types": self.n_types,
            "n_steps": self.n_steps,
            "labellings": self.labellings,
            "C": self.C,
        }


def control_task(
    sources: Sources,
    y: IntArray,
    plan: Design,
    *,
    types: Sequence[str],
    labellings: int = LABELLINGS,
    seed: int = 0,
    C: float = NULL_C,
) -> ControlTask:
    """Compare the probe with itself on random labels of types.

    Args:
        sources: source to activations [steps, d_model], or to a function that loads them.
        y: 1 where the step is erroneous, [steps].
        plan: outer folds; their purging is not used.
        types: text of each step, or a coarser type such as its subject, [steps].
        labellings: random labellings, each with the prevalence of `y`.
        seed: of the labels.
        C: inverse penalty, fixed in advance.

    Raises:
        AnalysisError: fewer than `MIN_TYPES` types, or than `MIN_STEPS` steps of a type seen in training.
    """
    job = control_job(y, plan, types=types, labellings=labellings, seed=seed, C=C)
    found: ControlTask = sweep(sources, [job])[0]
    return found


def control_job(
    y: IntArray,
    plan: Design,
    *,
    types: Sequence[str],
    labellings: int = LABELLINGS,
    seed: int = 0,
    C: float = NULL_C,
) -> Job:
    """`control_task` as a job of a `sweep`."""
    codes = text_codes(types)
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
    random = np.random.default_rng(seed).random((labellings, n_types)) < y.mean()
    labels = np.vstack([y[None, :], random[:, codes]]).astype(np.int8)

    def finish(parts: dict[Any, FloatArray], _effort: Effort) -> ControlTask:
        means = {source: part[1:][~np.isnan(part[1:])] for source, part in parts.items()}
        return ControlTask(
            {source: None if np.isnan(part[0]) else float(part[0]) for source, part in parts.items()},
            {source: float(part.mean()) if part.size else None for source, part in means.items()},
            n_types,
            int(seen.sum()),
            labellings,
            C,
        )

    return labellings_job(labels, train, plan.fold, C, finish, scored=seen)
