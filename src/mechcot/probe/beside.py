"""What a report puts beside the probe, on its folds and its steps, so that differences are paired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mechcot.core.errors import AnalysisError
from mechcot.probe.baselines import BaselineScores, baseline_scores, feature_blocks
from mechcot.probe.beyond import BeyondConfounds, beyond_confounds
from mechcot.probe.cross_fit import CrossFitted
from mechcot.probe.fit import Design
from mechcot.probe.inputs import Inputs
from mechcot.probe.metrics import auroc_difference, auroc_interval, compare_auroc
from mechcot.probe.ranks import UNIT
from mechcot.probe.result import Baseline, OnTheStack
from mechcot.probe.subjects import HeldOutSubjects, subject_codes, subject_scores
from mechcot.probe.sweep import FloatArray
from mechcot.stats import Interval
from mechcot.stats.auroc import leave_one_out
from mechcot.stats.jackknife import jackknife_interval


@dataclass(frozen=True)
class Settings:
    """How a report is fitted.

    Attributes:
        grid: inverse penalties, rising.
        n_inner: inner folds.
        draws: bootstrap replicates.
        null_draws: draws of each null.
        seed: of everything random.
    """

    grid: tuple[float, ...]
    n_inner: int
    draws: int
    null_draws: int
    seed: int

    @property
    def inner(self) -> dict[str, Any]:
        """The inner folds, as arguments."""
        return {"n_inner": self.n_inner, "seed": self.seed}


@dataclass(frozen=True, eq=False)
class Scorer:
    """Scores things on one design."""

    given: Inputs
    plan: Design
    draws: int
    seed: int

    def interval(
        self,
        scores: FloatArray,
        *,
        rows: NDArray[np.bool_] | None = None,
        strata: NDArray[Any] | None = None,
        minus: FloatArray | None = None,
    ) -> Interval:
        """AUROC with interval, or one AUROC minus another's; scores are those of `rows` (None: of all)."""
        kept = np.ones(len(self.given.y), dtype=np.bool_) if rows is None else rows
        cells = None if strata is None else strata[kept]
        shared = (self.given.y[kept], self.plan.fold[kept], self.given.qid[kept].astype(str), cells)
        return auroc_interval(scores, *shared) if minus is None else auroc_difference(scores, minus, *shared)

    def mean(self, table: FloatArray, *, below: FloatArray | None = None) -> Interval:
        """Mean AUROC of several scorers [scorers, steps], or that of `below` minus it."""
        shared = (self.given.y, self.plan.fold, self.given.qid.astype(str))
        found = [leave_one_out(scores, *shared) for scores in table]
        each = [one.auroc for one in found if one.auroc is not None]
        estimate = float(np.mean(each)) if each else None
        without = np.mean([one.without for one in found], axis=0)
        if below is None:
            return jackknife_interval(estimate, without, logit=True, unit=UNIT)
        own = leave_one_out(below, *shared)
        gap = None if own.auroc is None or estimate is None else own.auroc - estimate
        return jackknife_interval(gap, own.without - without, logit=False, unit=UNIT)

    def baseline(self, item: BaselineScores, probe: FloatArray) -> Baseline:
        """A baseline's line of the report; the probe is compared on the baseline's rows."""
        kinds = self.given.column("kind")
        return Baseline(
            label=item.label,
            auroc=self.interval(item.scores, rows=item.rows),
            within_kind=self.interval(item.scores, rows=item.rows, strata=kinds),
            probe_minus=self.interval(probe[item.rows], rows=item.rows, minus=item.scores),
            n_steps=int(item.rows.sum()),
            n_features=item.n_features,
        )


def baselines_of(
    scorer: Scorer,
    probe: CrossFitted,
    scores: FloatArray,
    extra: Mapping[str, NDArray[Any]],
    settings: Settings,
) -> tuple[dict[str, Baseline], OnTheStack | None]:
    """Everything simpler that was given, and what the probe adds to all of it; nothing without confounds.

    Args:
        scorer: design.
        probe: its scores on training rows too, for the stack.
        scores: its nested scores, [steps].
        extra: features of the caller's, [steps, columns] each, by the name they are shown under.
        settings: inner folds.
    """
    given, plan = scorer.given, scorer.plan
    if not given.has_confounds and not extra:
        return {}, None
    found = baseline_scores(
        given.y,
        plan,
        **given.features(),
        text=given.text if given.has_text else None,
        question=given.question,
        extra=extra,
        probe=probe,
        **settings.inner,
    )
    both = found.pop("stack_probe")
    unknown = {"position_only": "sid", "kind_only": "kind"}
    known = {name: row for name, row in found.items() if unknown.get(name, name) in (*given.known, name)}
    added = compare_auroc(
        both.scores,
        found["stack"].scores,
        given.y,
        plan.fold,
        given.qid.tolist(),
    )
    stack = OnTheStack(scorer.interval(both.scores), added)
    return {name: scorer.baseline(item, scores) for name, item in known.items()}, stack


def beyond_of(
    scorer: Scorer, probe: CrossFitted, chosen: Sequence[Mapping[str, Any]], settings: Settings
) -> BeyondConfounds | None:
    """What the probe knows beyond the confounds of few columns; None without any."""
    given = scorer.given
    if not (given.known or given.signals or given.others is not None):
        return None
    return beyond_confounds(
        given.sources,
        np.hstack(list(feature_blocks(**given.features()).values())),
        probe,
        chosen,
        given.y,
        scorer.plan,
        qid=given.qid.tolist(),
        draws=scorer.draws,
        **settings.inner,
    )


def subjects_of(scorer: Scorer, chosen: Sequence[Mapping[str, Any]]) -> tuple[HeldOutSubjects | None, str]:
    """The probe with the test folds' subjects held out; where that cannot be done, None and why."""
    given, plan = scorer.given, scorer.plan
    codes = subject_codes(given.subject if given.subject is not None else [""] * len(given.y))
    if (codes < 0).all():
        return None, ""
    try:
        found = subject_scores(given.sources, given.y, plan, chosen, codes, seed=scorer.seed)
    except AnalysisError as error:
        return None, f"no estimate with subjects held out: {error}"
    return HeldOutSubjects(
        auroc=scorer.interval(found.held_out),
        thinned=scorer.mean(found.thinned),
        difference=scorer.mean(found.thinned, below=found.held_out),
        purged_share=found.purged_share,
        seen_share=found.seen_share,
        n_subjects=int(codes.max()) + 1,
        n_steps=int((codes >= 0).sum()),
    ), ""
