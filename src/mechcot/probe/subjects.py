"""Is it the subject that the probe knows? The probe again, with the test fold's subjects held out.

Folds share no question and no gold entity, but two questions may speak of one drug, and a probe may have
learnt that claims about it are wrong. So each outer fold's probe is fitted once more, at the layer and
penalty that the fold chose, on training rows none of which is about a subject of the test fold. Purging keeps
the folds, so that every number stands on the same test steps and the same pairs. Fewer rows teach less
whatever they are about: beside it stand probes fitted to as many rows, the others left out at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mechcot.core.errors import AnalysisError
from mechcot.core.results import Result
from mechcot.probe.cross_fitting import chosen_folds, dense
from mechcot.probe.data import BoolArray, Column, IntArray, Sources, loaded
from mechcot.probe.folds import Design, purged_training_rows
from mechcot.probe.metrics import auroc_difference, auroc_interval, mean_auroc_interval
from mechcot.stats import Interval

THINNINGS = 5
"""Random choices of as many training rows."""


@dataclass(frozen=True)
class HeldOutSubjects(Result):
    """The probe without what it was told of the test fold's subjects.

    Attributes:
        auroc: of probes whose training rows share no subject with their test fold.
        thinned: mean AUROC of `THINNINGS` probes each fitted to as many training rows, chosen at random.
        difference: `auroc` minus `thinned`, paired; below 0 the probe knew subjects.
        purged_share: of the headline's training rows over folds, those that holding subjects out takes.
        seen_share: of the steps with a subject, those whose subject the headline's probe was trained on.
        n_subjects: subjects in all.
        n_steps: steps with a subject; one without stands for itself and is never purged.
    """

    auroc: Interval
    thinned: Interval
    difference: Interval
    purged_share: float
    seen_share: float
    n_subjects: int
    n_steps: int


def subject_codes(subject: Column) -> IntArray:
    """Number the subjects, -1 for none (empty or missing), [steps]."""
    column = pd.Series(list(subject), dtype=object)
    return pd.factorize(column.where(column.notna() & (column != ""), None))[0].astype(np.int64)


def held_out_subjects(
    sources: Sources, plan: Design, chosen: Sequence[Mapping[str, Any]], subject: IntArray
) -> HeldOutSubjects:
    """Fit each outer fold's probe without the test fold's subjects, and on as many rows at random.

    Args:
        sources: see `data.Sources`.
        plan: the folds.
        chosen: an outer fold's `layer` and `C`, as `fit.nested` chose them.
        subject: of each step, `subject_codes`, [steps].

    Raises:
        AnalysisError: no subject is left in any training row, or a fold's rows then lack a class.
    """
    y = plan.y
    spoken = [(plan.fold == k) & (subject >= 0) for k in range(len(plan.train))]
    purged = [
        purged_training_rows(train, test, subject) for train, test in zip(plan.train, spoken, strict=True)
    ]
    for k, rows in enumerate(purged):
        errors = int(y[rows].sum())
        if errors in (0, int(rows.sum())):
            raise AnalysisError(
                f"outer fold {k}: without the subjects of its test steps {rows.sum()} training steps are "
                f"left, {errors} of them with the label 1; both classes are needed"
            )
    out = np.zeros((1 + THINNINGS, len(y)))
    rng = np.random.default_rng(plan.settings.seed)
    masks = [
        np.stack([rows, *(_thinned(train, rows, y, rng) for _ in range(THINNINGS))])
        for train, rows in zip(plan.train, purged, strict=True)
    ]
    for name, folds in chosen_folds(chosen):
        fit = dense(loaded(sources[name]), y, dtype="float32")
        for k, C in folds:
            test = plan.fold == k
            out[:, test] = fit(masks[k], np.full(len(masks[k]), C))[:, test]
    before, after = (sum(int(rows.sum()) for rows in part) for part in (plan.train, purged))
    seen = [
        np.isin(subject[test], np.unique(subject[train]))
        for train, test in zip(plan.train, spoken, strict=True)
    ]
    return HeldOutSubjects(
        auroc=auroc_interval(out[0], plan),
        thinned=mean_auroc_interval(out[1:], plan),
        difference=auroc_difference(out[0], out[1:], plan),
        purged_share=1.0 - after / before,
        seen_share=float(np.concatenate(seen).mean()),
        n_subjects=int(subject.max()) + 1,
        n_steps=int((subject >= 0).sum()),
    )


def _thinned(train: BoolArray, like: BoolArray, y: IntArray, rng: np.random.Generator) -> BoolArray:
    """As many training rows of each label, chosen at random, [steps]."""
    out = np.zeros(len(y), dtype=np.bool_)
    for label in (0, 1):
        rows = np.flatnonzero(train & (y == label))
        out[rng.choice(rows, int((like & (y == label)).sum()), replace=False)] = True
    return out
