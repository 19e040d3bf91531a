"""The stage that says how seldom the arm before meets what each step is about, where no task knows it.

A student may err more because it speaks of rarer things. On the organism each claim has its exposure; a step
of any other questions has its least probable word to the arm before, and thirds of that are the strata of
the split (methods 14: kind x subject frequency). A hedge is not what a step is about and is left out. It
reads steps and weights, never a verdict.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from mechcot.core import records
from mechcot.core.plan import Expense
from mechcot.core.stages import Stage
from mechcot.core.stratum_records import FREQUENT, MIDDLE, RARE, STRATA
from mechcot.pipeline.plan import there
from mechcot.steps.content_words import content_words
from mechcot.steps.hedge_words import unhedged
from mechcot.steps.of_study import checkpoint_folder, checkpoint_of, task_of
from mechcot.study.folder import Study

STAGE = "step-strata"


def step_strata_stages(study: Study, progress: bool) -> list[Stage]:
    """The stage, for all arms in one go; none where a task's claims have strata, or there are no weights."""
    arms = study.settings.arms
    if not strata_files(study, arms):
        return []
    before = study.settings.contrast.before
    own, outside = checkpoint_of(study, before)
    return [
        Stage(
            STAGE,
            2,
            {"before": before, "after": study.settings.contrast.after, "threads": study.settings.threads},
            (*(f"arms/{arm}/steps.parquet" for arm in arms), *own),
            strata_files(study, arms),
            partial(sort, study),
            outside=outside,
            plan=partial(plan_sorting, study),
        )
    ]


def strata_files(study: Study, arms: Iterable[str]) -> tuple[str, ...]:
    """Where the strata of these arms' steps lie; none where there are none."""
    settings = study.settings
    if settings.organism is not None or not task_of(study).kinds:
        return ()
    if settings.arms[settings.contrast.before].traces is not None:
        return ()  # it has no weights to ask
    return tuple(f"arms/{arm}/strata.parquet" for arm in arms)


def plan_sorting(study: Study) -> Expense:
    """How many words there are to ask about."""
    missing = [arm for arm in study.settings.arms if not there(study, arm, "steps")]
    if missing:
        return Expense(STAGE, None, "words", reason=f"the steps of {', '.join(missing)} are not there yet")
    words = {word for arm in study.settings.arms for word in _words(study.cut_steps(arm))}
    return Expense(STAGE, len(words), "words")


def _words(steps: pd.DataFrame) -> set[str]:
    return {word for text in steps.text for word in _about(text)}


def _about(text: str) -> tuple[str, ...]:
    """The words that a step may be about."""
    return content_words(unhedged(text))


def sort(study: Study, work: Path) -> None:
    """Write `arms/ARM/strata.parquet` of every arm."""
    from mechcot.models.checkpoint import load
    from mechcot.reading.words import words_alone

    settings = study.settings
    tables = {arm: study.cut_steps(arm) for arm in settings.arms}
    words = {word for own in tables.values() for word in _words(own)}
    before, after = settings.contrast.before, settings.contrast.after
    checkpoint = load(settings.arms[before], checkpoint_folder(study, before), settings.device)
    alone = words_alone(checkpoint, words)
    found = {arm: _rarest(own, alone) for arm, own in tables.items()}
    both = pd.concat([found[before], found[after]]).frequency.dropna()
    thirds = np.quantile(both, [1 / 3, 2 / 3]) if len(both) else np.zeros(2)
    names = np.array([RARE, MIDDLE, FREQUENT])
    for arm, own in found.items():
        place = np.searchsorted(thirds, own.frequency.to_numpy(), side="left").clip(max=2)
        stratum = np.where(own.frequency.isna(), "", names[place])
        records.write_table(study.arm_path(arm) / "strata.parquet", own.assign(stratum=stratum), STRATA)


def _rarest(steps: pd.DataFrame, alone: dict[str, float]) -> pd.DataFrame:
    subjects = [min(_about(text), key=alone.__getitem__, default="") for text in steps.text]
    frequency = np.array([alone.get(subject, np.nan) for subject in subjects], np.float32)
    return steps[records.STEP_KEY].assign(subject=subjects, frequency=frequency)
