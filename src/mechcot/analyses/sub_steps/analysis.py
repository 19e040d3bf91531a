"""Does a model compute a question's sub-steps, whatever its traces say?

The right sub-step follows from the question, so that the question's words and the model before decode it
too: what counts is how much better it is read from an arm than from these, and from an arm that was taught
answers alone. A state that holds the answer says much of the sub-step that leads to it, so that what the
answer's code tells of the sub-step's is taken out. Whether a sub-step that is said is used is seen by a swap:
a trace ends with another value of it, and the answer follows or does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.analyses.form import INTERVAL, missing, pick
from mechcot.analyses.sub_steps.design import (
    BEYOND,
    BEYOND_WORDS,
    BY_ANSWER,
    DECODED,
    OWN,
    SWAPS,
    UNTRAINED,
    WORDS,
)
from mechcot.analyses.sub_steps.result import Decoded, Over, SubStepsResult, Swapped
from mechcot.core import files, records
from mechcot.core.errors import AnalysisError
from mechcot.core.results import Interval
from mechcot.core.words import number
from mechcot.stats import rate_interval, ratio_difference_interval, ratio_interval
from mechcot.steps.of_study import questions_by_id, task_of

if TYPE_CHECKING:
    from mechcot.core.settings import Settings
    from mechcot.study.folder import Study

Floats = NDArray[np.float64]
ENTITIES = "entities"
KEYS = ["arm", "sub_step", "place"]


def asked(settings: Settings) -> bool:
    """Whether a study's settings ask for it."""
    return settings.traces is not None and settings.traces.inside > 0


def sub_steps_of(study: Study) -> SubStepsResult:
    """Whether the right sub-steps stand inside every arm, and whether answers follow them.

    Raises:
        AnalysisError: there was nothing to read, and why.
    """
    folder, task = study.path / "sub-steps", task_of(study).verifiable
    about = files.read_json(study.checked(folder / "about.json"))
    if "reason" in about:
        raise AnalysisError(about["reason"])
    assert task is not None  # by Settings' own validation
    decoded, swaps = (
        records.read_table(study.checked(folder / f"{name}.parquet"), schema)
        for name, schema in (("decoded", DECODED), ("swaps", SWAPS))
    )
    questions = questions_by_id(study)
    entity = {qid: task.entity(questions[qid]) for qid in decoded["qid"].unique()}
    return analyse(
        decoded, swaps, entity, study.settings.contrast.before, answers_alone(study.settings), about
    )


def answers_alone(settings: Settings) -> tuple[str, ...]:
    """Arms taught answers alone: by rule, out of a file of that name, or of chains without reasoning."""
    taught = {name: arm.distill.examples for name, arm in settings.arms.items() if arm.distill is not None}
    bare = {name for name, made in settings.examples.items() if made.reasoning == "none"}
    return tuple(
        name for name, examples in taught.items() if examples in bare or Path(examples).stem == "answer-only"
    )


def analyse(
    decoded: pd.DataFrame,
    swaps: pd.DataFrame,
    entity: Mapping[str, str],
    before: str,
    alone: tuple[str, ...],
    about: Mapping[str, Any],
) -> SubStepsResult:
    """Shares and differences with intervals over entities.

    Args:
        decoded: rows of `design.DECODED`.
        swaps: rows of `design.SWAPS`.
        entity: by question.
        before: the arm before.
        alone: arms that were taught answers alone.
        about: `sub-steps/about.json`.
    """
    code = {name: i for i, name in enumerate(sorted(set(entity.values())))}
    decoded, swaps = (table.assign(entity=table["qid"].map(entity).map(code)) for table in (decoded, swaps))
    sums = {key: _sums(own, len(code)) for key, own in decoded.groupby([*KEYS, "source"], sort=False)}
    return SubStepsResult(
        before,
        alone,
        about["n_questions"],
        about["n_entities"],
        about["n_left_out"],
        tuple(
            _decoded(cast("tuple[str, str, str]", key), own, sums, (before, *alone), len(code))
            for key, own in decoded[decoded["source"] == OWN].groupby(KEYS, sort=False)
        ),
        tuple(
            _swapped(cast("tuple[str, str]", key), own, len(code))
            for key, own in swaps.groupby(KEYS[:2], sort=False)
        ),
    )


Sums = tuple[Floats, Floats]
"""A column summed over each entity's questions, [draws, entities], and how many these are, [entities]."""


def _sums(own: pd.DataFrame, n: int, column: str = "beats") -> Sums:
    found = np.zeros((int(own["draw"].max()) + 1, n))
    np.add.at(found, (own["draw"], own["entity"]), own[column].to_numpy(np.float64))
    return found, np.bincount(own["entity"][own["draw"] == 0], minlength=n).astype(np.float64)


def share(sums: Sums) -> Interval:
    """A share with its interval on the log odds scale; see `_widened`."""
    num, den = sums
    plain = ratio_interval(num.mean(axis=0), den, unit=ENTITIES)
    if plain.estimate in (None, 0.0, 1.0):
        return rate_interval(num.mean(axis=0), den, unit=ENTITIES)
    return _widened(plain, num.sum(axis=1) / den.sum(), logit=True)


def less(one: Sums, other: Sums) -> Interval:
    """A share less another of the same questions and folds; see `_widened`."""
    plain = ratio_difference_interval(
        other[0].mean(axis=0), other[1], one[0].mean(axis=0), one[1], unit=ENTITIES
    )
    return _widened(plain, (one[0] - other[0]).sum(axis=1) / one[1].sum(), logit=False)


def _widened(plain: Interval, draws: Floats, *, logit: bool) -> Interval:
    """An interval of entities with the maps held, widened by what another draw of the folds would change.

    Maps of one fold are shared by all that it tests, which no leaving out of a tested entity shows: without
    it a 95 % interval of states that say nothing holds one half in 87 to 90 %
    (`scripts/coverage_sub_steps.py`).
    """
    if plain.estimate is None or plain.se is None or plain.freedom is None:
        return plain
    from scipy.special import expit, stdtrit
    from scipy.special import logit as log_odds

    method = f"jackknife of {ENTITIES} and {len(draws)} draws of the folds, Student's t, level 0.95"
    error = float(np.hypot(plain.se, draws.std(ddof=1)))
    reach, middle = float(stdtrit(plain.freedom, 0.975)) * error, plain.estimate
    if not logit:
        return replace(plain, low=middle - reach, high=middle + reach, method=method, se=error)
    centre, reach = float(log_odds(middle)), reach / (middle * (1 - middle))
    low, high = float(expit(centre - reach)), float(expit(centre + reach))
    return replace(plain, low=low, high=high, method=f"{method}, log odds", se=None, freedom=None)


def _decoded(
    key: tuple[str, str, str], own: pd.DataFrame, sums: Mapping[Any, Sums], others: tuple[str, ...], n: int
) -> Decoded:
    arm, name, place = key
    mine, words, untrained = (sums[*key, source] for source in (OWN, WORDS, UNTRAINED))
    said, apart = own[own["beats_said"].notna()], (*key, BEYOND) in sums
    return Decoded(
        arm,
        name,
        place,
        own["qid"].nunique(),
        share(mine),
        share(words),
        share(untrained),
        less(mine, words),
        less(mine, untrained),
        tuple(
            Over(other, less(mine, sums[other, name, place, OWN]), _less_beyond(key, other, sums))
            for other in others
            if other != arm and (other, name, place, OWN) in sums
        ),
        share(sums[*key, BEYOND]) if apart else None,
        less(sums[*key, BEYOND], sums[*key, BEYOND_WORDS]) if apart else None,
        share(sums[arm, name, "", BY_ANSWER]) if apart else None,
        share(_sums(said, n, "beats_said")) if len(said) else None,
        tuple(int(layer) for layer in own["layer"].value_counts().index),
    )


def _less_beyond(key: tuple[str, str, str], other: str, sums: Mapping[Any, Sums]) -> Interval | None:
    if (*key, BEYOND) not in sums:
        return None
    return less(sums[*key, BEYOND], sums[other, *key[1:], BEYOND])


def _swapped(key: tuple[str, str], own: pd.DataFrame, n: int) -> Swapped:
    own = own.assign(moved=own["other"] - own["right"], control=own["third"] - own["right"])
    own = own.assign(gained=own["moved"] - own["control"])
    den = np.bincount(own["entity"], minlength=n)

    def summed(column: str) -> Floats:
        return np.bincount(own["entity"], weights=own[column].astype(float), minlength=n).astype(np.float64)

    means = (
        ratio_interval(summed(what), den, unit=ENTITIES) for what in ("right", "moved", "control", "gained")
    )
    shares = (rate_interval(summed(what), den, unit=ENTITIES) for what in ("follows", "follows_third"))
    return Swapped(*key, len(own), *means, *shares)


def read(one: Mapping[str, Any]) -> str:
    """What is read: `yes` (the sub-step, beyond words and its answer), `answer` (that alone), `open`.

    Args:
        one: of `SubStepsResult.to_json()["decoded"]`.
    """

    def beyond(share: str, words: str) -> bool:
        low, over = (number(one[name].get("low")) for name in (share, words))
        return low is not None and over is not None and low > 0.5 and over > 0

    if "beyond" in one and beyond("beyond", "beyond_over_words"):
        return "yes"
    if beyond("beats", "over_words"):
        return "answer" if "beyond" in one else "yes"
    return "open"


def summarised(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    """How far right sub-steps are read from every arm behind a wrong trace, for summary.json."""
    if "decoded" not in result:
        return missing(result["reason"])
    found: dict[str, Any] = {}
    for one in result["decoded"]:
        found.setdefault(one["arm"], {}).setdefault(one["sub_step"], {})[one["place"]] = pick(
            one["beats"], INTERVAL
        )
    return found
