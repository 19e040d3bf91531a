"""The headline's changes again with students of other training seeds: a mean over seeds, and their spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mechcot.analyses.arms import Arms
from mechcot.analyses.form import INTERVAL, pick
from mechcot.core.results import Interval, Result
from mechcot.core.settings import Settings
from mechcot.stats.cluster import Floats, safe_ratio
from mechcot.stats.jackknife import by_text, mean_interval, ratio_difference_interval
from mechcot.stats.seeds import OverSeeds, over_seeds
from mechcot.stats.votes import shared_tie_score

if TYPE_CHECKING:
    from mechcot.study.folder import Study


@dataclass(frozen=True)
class SeedChange(Result):
    """What changed with the student of one training seed.

    Attributes:
        arm: the student.
        seed: of its training; None where the checkpoint was given.
        answers: change of the share of questions whose vote is right.
        steps: change of step error.
    """

    arm: str
    seed: int | None
    answers: Interval
    steps: Interval

    @property
    def reason(self) -> str:
        """Why there is no seed, if there is none."""
        return "its checkpoint was given"


@dataclass(frozen=True, repr=False)
class SeedsResult(Result):
    """Students of several training seeds, each against the same checkpoint before.

    Attributes:
        before: the arm before.
        students: a row a student, the headline's first.
        answers: the change of right answers in the mean of the students.
        steps: the change of step error, likewise.
    """

    before: str
    students: tuple[SeedChange, ...]
    answers: OverSeeds
    steps: OverSeeds

    table = "students"

    def __repr__(self) -> str:
        n = len(self.students)
        return f"SeedsResult({n} students: answers {self.answers.mean}, step error {self.steps.mean})"


def analyse(arms: Sequence[Arms], seeds: Sequence[int | None]) -> SeedsResult:
    """Compare students of several training seeds with the checkpoint that they come from.

    Args:
        arms: one for each student, the same questions and the same arm before in all.
        seeds: the training seed of each student; None where it is not known.

    Raises:
        AnalysisError: as `answers.analyse` and `audit.analyse`.
    """
    text = arms[0].text
    scores = np.stack([_gain(own) for own in arms], axis=1)  # [questions, students]
    counts = by_text(np.ones(len(scores)), text)[:, None]
    gains = by_text(scores, text)
    sums = np.stack([np.stack(own.sums, axis=1) for own in arms], axis=1).astype(np.float64)
    rates = _differences(sums.sum(axis=0)[None])[0]
    judged = sums[:, :, [1, 3]]
    weight = (judged / np.maximum(judged.sum(axis=0), 1)).sum(axis=(1, 2))
    return SeedsResult(
        before=arms[0].steps.before.name,
        students=tuple(
            SeedChange(own.steps.after.name, seed, mean_interval(_gain(own), text), _step_change(own))
            for own, seed in zip(arms, seeds, strict=True)
        ),
        answers=over_seeds(
            [float(one) for one in gains.sum(axis=0) / counts.sum()],
            safe_ratio(gains.sum(axis=0) - gains, counts.sum() - counts),
            counts[:, 0],
        ),
        steps=over_seeds(
            [None if np.isnan(one) else float(one) for one in rates],
            _differences(sums.sum(axis=0) - sums),
            weight,
        ),
    )


def _gain(arms: Arms) -> Floats:
    before, after = arms.ballots
    return shared_tie_score(after, arms.gold) - shared_tie_score(before, arms.gold)


def _step_change(arms: Arms) -> Interval:
    return ratio_difference_interval(*arms.sums)


def _differences(sums: Floats) -> Floats:
    """Differences of error rates [..., students] from e0, m0, e1, m1 [..., students, 4]."""
    e0, m0, e1, m1 = np.moveaxis(sums, -1, 0)
    return safe_ratio(e1, m1) - safe_ratio(e0, m0)


def seeds_of(study: Study) -> SeedsResult:
    """Whether students of other training seeds show the same change."""
    contrast = study.settings.contrast
    students = (contrast.after, *contrast.replicates)
    arms = [Arms.between(study, contrast.model_copy(update={"after": arm})) for arm in students]
    return analyse(arms, [_seed(study, arm) for arm in students])


def _seed(study: Study, arm: str) -> int | None:
    distill = study.settings.arms[arm].distill
    if distill is None:
        return None
    return study.settings.seed if distill.seed is None else distill.seed


def asked(settings: Settings) -> bool:
    """Whether a study has students of other seeds."""
    return bool(settings.contrast.replicates)


def summarised(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    """The mean over training seeds, for summary.json."""
    return {
        name: pick(result[name]["mean"], INTERVAL)
        | pick(result[name], ("sd", "smallest", "largest", "seeds"))
        for name in ("answers", "steps")
    }
