"""Where in the weights does a change sit? Units swapped between the checkpoints, beside random changes.

*Sufficient in the background before*: putting one unit's change into the model before moves an outcome
the way
training did. *Necessary in the background after*: taking it out of the model after moves it back. Effects of
units need not add up, so neither is a share of the whole. A unit is given as a place only where its
effect lies
beyond what random changes of its own size do, and is ahead of every other unit's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import factorial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mechcot.analyses.arms import pair_of
from mechcot.analyses.form import missing
from mechcot.analyses.weights.design import (
    DRIFT,
    HYBRIDS,
    LINE,
    OUTCOMES,
    VALUES,
    groups_of,
    joined,
)
from mechcot.analyses.weights.result import (
    Change,
    Drift,
    LinePoint,
    Place,
    ShapleyValue,
    UnitEffect,
    WeightsResult,
)
from mechcot.core import files, records
from mechcot.core.errors import AnalysisError
from mechcot.core.results import Interval
from mechcot.stats import mean_interval

if TYPE_CHECKING:
    from mechcot.study.folder import Study

Floats = npt.NDArray[np.float64]
PLACED = OUTCOMES[:-2]
"""Outcomes that a place is looked for; divergences have none."""
BACKGROUNDS = {"before": "in", "after": "out"}
"""Background to the role of a unit in it."""
ALPHA = 0.05


@dataclass(frozen=True, eq=False)
class Measured:
    """Outcomes of all hybrids, as arrays.

    Attributes:
        values: (hybrid, outcome, author) to one value a question, nan where there is none, [questions].
        roles: rows of `HYBRIDS` as (role, unit, draw, share) to hybrid.
        authors: whose texts.
    """

    values: Mapping[tuple[str, str, str], Floats]
    roles: Mapping[tuple[str, str, int, float], str]
    authors: tuple[str, ...]

    @classmethod
    def of(cls, roles: pd.DataFrame, values: pd.DataFrame) -> Measured:
        """Out of the tables of the folder weights/.

        Raises:
            AnalysisError: a role whose model was not asked.
        """
        wide = values.pivot_table(
            index=["hybrid", "outcome", "author"], columns="qid", values="value", dropna=False, observed=True
        )
        found = dict(zip(wide.index, wide.to_numpy(np.float64), strict=True))
        lost = set(roles.hybrid) - set(values.hybrid)
        if lost:
            raise AnalysisError(f"{len(lost)} models have no outcome; make weights/ anew")
        keys = zip(roles.role, roles.unit, roles.draw, roles.share, strict=True)
        by_role = {
            (role, unit, int(draw), float(share)): hybrid
            for (role, unit, draw, share), hybrid in zip(keys, roles.hybrid, strict=True)
        }
        return cls(found, by_role, tuple(dict.fromkeys(values.author)))

    def at(
        self, outcome: str, author: str, role: str, unit: str, draw: int = 0, share: float = 1.0
    ) -> Floats:
        """One value a question of the model of a role, [questions]."""
        if role in ("out",) or (role, unit) == ("parent", "before"):
            share = 0.0
        return self.values[self.roles[role, unit, draw, share], outcome, author]

    @cached_property
    def asked(self) -> list[tuple[str, str]]:
        """The (outcome, author) that some question has under both parents."""
        return [
            (outcome, author)
            for outcome in PLACED
            for author in self.authors
            if all(
                not np.isnan(self.values.get((self.roles[key], outcome, author), np.array([np.nan]))).all()
                for key in (("parent", "before", 0, 0.0), ("parent", "after", 0, 1.0))
            )
        ]

    @cached_property
    def draws(self) -> int:
        """Random changes of each unit."""
        return max((draw for _, _, draw, _ in self.roles), default=0)

    def effect(self, outcome: str, author: str, unit: str, background: str, draw: int = 0) -> Floats:
        """What a unit's change does, or a random one of its size, towards the parent after, [questions]."""
        parent = self.at(outcome, author, "parent", background)
        made = self.at(outcome, author, BACKGROUNDS[background], unit, draw)
        return made - parent if background == "before" else parent - made


def mean_of(values: Floats) -> Interval:
    """Mean over the questions that have a value."""
    return mean_interval(values[~np.isnan(values)])


def apart(interval: Interval, sign: float) -> bool:
    """Whether an interval lies on one side of 0, where `sign` says."""
    if interval.low is None or interval.high is None:
        return False
    return interval.low > 0 if sign > 0 else interval.high < 0


def null_of(means: Floats, n_units: int) -> tuple[float, float] | None:
    """Where one more draw falls in all but .05 / units of cases, by Student's t; None of fewer than three."""
    from scipy.special import stdtrit

    means = means[~np.isnan(means)]
    if len(means) < 3:
        return None
    n = len(means)
    reach = stdtrit(n - 1, 1 - ALPHA / n_units / 2) * means.std(ddof=1) * np.sqrt(1 + 1 / n)
    return float(means.mean() - reach), float(means.mean() + reach)


def effects_of(measured: Measured, units: Sequence[str]) -> list[UnitEffect]:
    """Every unit's effect on every outcome in both backgrounds, with its null."""
    found = []
    for outcome, author in measured.asked:
        whole = mean_of(_whole(measured, outcome, author))
        for background, role in BACKGROUNDS.items():
            for unit in units:
                effect = mean_of(measured.effect(outcome, author, unit, background))
                drawn = [
                    _mean(measured.effect(outcome, author, unit, background, draw))
                    for draw in range(1, measured.draws + 1)
                ]
                null = null_of(np.array(drawn), len(units))
                beyond = null is not None and effect.estimate is not None and _beyond(effect.estimate, null)
                kl = [
                    _mean(np.concatenate([measured.at(name, a, role, unit) for a in measured.authors]))
                    if (measured.roles["parent", "before", 0, 0.0], name, author) in measured.values
                    else None
                    for name in OUTCOMES[-2:]
                ]
                found.append(
                    UnitEffect(
                        unit,
                        outcome,
                        author,
                        background,
                        effect,
                        _share(effect, whole),
                        None if null is None else null[0],
                        None if null is None else null[1],
                        beyond,
                        kl[0],
                        kl[1],
                    )
                )
    return found


def _whole(measured: Measured, outcome: str, author: str) -> Floats:
    after, before = (measured.at(outcome, author, "parent", which) for which in ("after", "before"))
    return after - before


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _beyond(value: float, null: tuple[float, float]) -> bool:
    return value < null[0] or value > null[1]


def _share(effect: Interval, whole: Interval) -> float | None:
    if effect.estimate is None or whole.estimate is None or not apart(whole, whole.estimate):
        return None
    return effect.estimate / whole.estimate


def places_of(measured: Measured, effects: Sequence[UnitEffect]) -> list[Place]:
    """Where each change sits, or why it has no place."""
    found = []
    for outcome, author in measured.asked:
        whole = mean_of(_whole(measured, outcome, author))
        for background in BACKGROUNDS:
            own = [e for e in effects if (e.outcome, e.author, e.background) == (outcome, author, background)]
            found.append(_place(measured, outcome, author, background, whole, own))
    return found


def _place(
    measured: Measured,
    outcome: str,
    author: str,
    background: str,
    whole: Interval,
    own: Sequence[UnitEffect],
) -> Place:
    nothing = Interval(None, None, None, whole.n, "", "there is no change to place")
    if whole.estimate is None or not apart(whole, whole.estimate):
        why = "the whole change is not apart from 0"
        return Place(outcome, author, background, "", "", nothing, why)
    sign = 1.0 if whole.estimate > 0 else -1.0
    ranked = sorted(own, key=lambda one: -sign * (one.effect.estimate or 0.0))
    leader = ranked[0]
    first = measured.effect(outcome, author, leader.unit, background)
    leads = [
        mean_of(sign * (first - measured.effect(outcome, author, other.unit, background)))
        for other in ranked[1:]
    ] or [mean_of(sign * first)]
    if not apart(leader.effect, sign):
        why = f"no unit moves it that way (most: {leader.unit})"
    elif not leader.outside or not _towards(leader, sign):
        why = f"the most, {leader.unit}, does no more than random changes of its size"
    elif not all(apart(lead, 1.0) for lead in leads):
        why = f"{leader.unit} is not ahead of every other unit"
    else:
        why = ""
    return Place(outcome, author, background, "" if why else leader.unit, leader.unit, leads[0], why)


def _towards(one: UnitEffect, sign: float) -> bool:
    """Whether an effect lies beyond its null on the side of the change."""
    if one.effect.estimate is None or one.null_low is None or one.null_high is None:
        return False
    return one.effect.estimate > one.null_high if sign > 0 else one.effect.estimate < one.null_low


def shapley_of(measured: Measured, groups: Mapping[str, Sequence[str]]) -> list[ShapleyValue]:
    """Exact Shapley values of groups: every set of them was put in."""
    names, n = list(groups), len(groups)
    found = []
    for outcome, author in measured.asked:
        for group in names:
            others = [name for name in names if name != group]
            total: Floats = np.zeros(1)
            for size in range(n):
                weight = factorial(size) * factorial(n - size - 1) / factorial(n)
                for chosen in combinations(others, size):
                    members = [name for name in names if name in (*chosen, group)]
                    with_it = measured.at(outcome, author, "groups", joined(members))
                    total = total + weight * (
                        with_it - measured.at(outcome, author, "groups", joined(chosen))
                    )
            found.append(ShapleyValue(group, outcome, author, mean_of(total), 0.0))
    return found


def orders_of_units(
    measured: Measured, units: Sequence[str], orders: Sequence[Sequence[str]]
) -> list[ShapleyValue]:
    """Shapley values of single units over sampled orders; an order and its reverse count as one draw."""
    found = []
    for outcome, author in measured.asked if orders else ():
        gains: dict[str, list[Floats]] = {unit: [] for unit in units}
        for number, order in enumerate(orders):
            states = [measured.at(outcome, author, "order", f"{number}.{i}") for i in range(len(order) + 1)]
            for place, unit in enumerate(order):
                gains[unit].append(states[place + 1] - states[place])
        for unit, rows in gains.items():
            pairs = [_mean(np.mean(rows[i : i + 2], axis=0)) for i in range(0, len(rows), 2)]
            error = float(np.std(pairs, ddof=1) / np.sqrt(len(pairs))) if len(pairs) > 1 else None
            found.append(ShapleyValue(unit, outcome, author, mean_of(np.mean(rows, axis=0)), error))
    return found


def line_of(measured: Measured) -> Iterator[LinePoint]:
    """Outcomes between the parents, both ends included."""
    for outcome, author in measured.asked:
        for share in (0.0, *LINE, 1.0):
            role, unit = ("line", "") if share in LINE else ("parent", "before" if share == 0 else "after")
            value = measured.at(outcome, author, role, unit, share=share)
            yield LinePoint(outcome, author, share, mean_of(value))


def found_in(
    measured: Measured, pair: tuple[str, str], about: Mapping[str, Any], drift: pd.DataFrame
) -> WeightsResult:
    """The result of the outcomes of all hybrids.

    Args:
        measured: the outcomes.
        pair: arms before and after.
        about: `weights/about.json`.
        drift: rows of `DRIFT`.
    """
    units = tuple(about["changed"])
    effects = effects_of(measured, units)
    changes = []
    for outcome, author in measured.asked:
        ends = [measured.at(outcome, author, "parent", which) for which in ("before", "after")]
        changes.append(
            Change(outcome, author, mean_of(ends[0]), mean_of(ends[1]), mean_of(ends[1] - ends[0]))
        )
    groups = groups_of(units)
    rows: list[dict[str, Any]] = [
        {str(name): None if value != value else value for name, value in row.items()}
        for row in drift.to_dict("records")
    ]
    return WeightsResult(
        before=pair[0],
        after=pair[1],
        n_questions=len(next(iter(measured.values.values()))),
        units=units,
        unchanged=tuple(name for name in about["units"] if name not in units),
        draws=measured.draws,
        n_models=len({key for key, _, _ in measured.values}),
        excluded=dict(about["excluded"]),
        changes=tuple(changes),
        effects=tuple(effects),
        places=tuple(places_of(measured, effects)),
        groups=groups,
        shapley=tuple(shapley_of(measured, groups)),
        orders=tuple(orders_of_units(measured, units, about["orders"])),
        line=tuple(line_of(measured)),
        drift=tuple(Drift(**row) for row in rows),
    )


def weights_of(study: Study) -> WeightsResult:
    """Where in the weights the changes sit: units swapped in and out, beside random changes of their size.

    Raises:
        AnalysisError: the settings do not ask for it, or it has not been made yet.
    """
    if study.settings.weights is None:
        raise AnalysisError(
            "the study's settings do not ask where in the weights it is. Make it: mechcot weights "
            f"{study.path}"
        )
    folder = study.path / "weights"
    if not (folder / "about.json").exists():
        raise AnalysisError(f"{folder} is not there yet. Make it: mechcot weights {study.path}")
    for file in files.files_in(folder):
        study.checked(file)
    tables = [
        records.read_table(folder / f"{name}.parquet", schema)
        for name, schema in (("hybrids", HYBRIDS), ("outcomes", VALUES), ("drift", DRIFT))
    ]
    measured = Measured.of(tables[0], tables[1])
    return found_in(measured, pair_of(study), files.read_json(folder / "about.json"), tables[2])


def asked(settings: Any) -> bool:
    """Whether a study's settings ask where in the weights it is."""
    return settings.weights is not None


def summarised(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    """Where each change sits in each background, for summary.json."""
    if "places" not in result:
        return {"places": missing(result["reason"])}
    told: dict[str, Any] = {}
    for place in result["places"]:
        author = told.setdefault(place["outcome"], {}).setdefault(place["author"], {})
        author[place["background"]] = place["unit"] or None
    return {"places": told, "n_questions": result["n_questions"], "n_models": result["n_models"]}
