"""Hedge directions at every layer and position, in every form, scored on questions they have not seen.

A score is of one half of the questions by the direction of the other. Two halves scored by each other turn on
how the two directions lie to one another, which an interval of fixed directions does not know (methods 0.22);
the analysis `hedge` refits them for the one direction that it reports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.analyses.arms import pair_of
from mechcot.analyses.claimed import CLAIMS, STEPS, claimed, unit_of
from mechcot.core.errors import AnalysisError
from mechcot.core.records import STEP_KEY
from mechcot.core.results import UNSTORED, Interval, Result
from mechcot.models.directions import Direction, save_directions
from mechcot.probe.spec import AFTER_THE_HEDGE
from mechcot.probe.stored import positions as rows_of
from mechcot.stats.auroc import leave_one_out
from mechcot.stats.direction_forms import FORMS
from mechcot.stats.directions import MIN_CELL, halves, tied, usable_rows
from mechcot.stats.frames import joined_groups, one_of_each
from mechcot.stats.jackknife import jackknife_interval

if TYPE_CHECKING:
    from mechcot.study.folder import Study

Floats = NDArray[np.float64]
Place = tuple[str, int, str]
"""A position, a layer and a form."""
POSITIONS = {CLAIMS: ("decision", "end"), STEPS: ("before", "end")}
"""Before the place of a hedge, or the step that holds it; and the step's last token, which has read it."""


@dataclass(frozen=True)
class PlaceScore(Result):
    """One direction.

    Attributes:
        position: where claims are read.
        layer: 0 is the embedding.
        form: of `stats.direction_forms.FORMS`.
        auroc: of "this claim is hedged", one half of the questions by the direction of the other, pairs
            within kind. The interval holds the direction fixed.
        cosine: with the difference of means at this position and layer.
        after_hedge: whether the hedge itself has been read there: an upper bound that any word gives.
    """

    position: str
    layer: int
    form: str
    auroc: Interval
    cosine: float
    after_hedge: bool


@dataclass(frozen=True, eq=False)
class HedgeDirections(Result):
    """The hedge directions of one arm.

    Attributes:
        arm: whose.
        places: every position, layer and form.
        n_hedged: claims that are hedged.
        n_asserted: the others.
        directions: the same places to [d_model], fitted on all claims used.
        card: whose they are and how they were fitted.
    """

    arm: str
    places: tuple[PlaceScore, ...]
    n_hedged: int
    n_asserted: int
    directions: Mapping[Place, Floats] = field(metadata=UNSTORED)
    card: Mapping[str, Any] = field(metadata=UNSTORED)

    table = "places"

    def __repr__(self) -> str:
        counts = f"{self.n_hedged} hedged and {self.n_asserted} asserted claims"
        return f"HedgeDirections({self.arm}: {len(self.places)} places, {counts})"

    def direction(self, *, layer: int, position: str = "decision", form: str = "means") -> Direction:
        """One of them, as `mechcot.steer` takes it; its length is the distance between the means along it.

        Raises:
            AnalysisError: there is none there.
        """
        if (position, layer, form) not in self.directions:
            known = [sorted({key[i] for key in self.directions}, key=str) for i in range(3)]
            raise AnalysisError(
                f"{self.arm} has no hedge direction at position {position}, layer {layer}, form {form}; "
                f"there are positions {known[0]}, layers {known[1]}, forms {known[2]}"
            )
        vector = self.directions[position, layer, form]
        return Direction(vector, layer, card={**self.card, "position": position, "form": form})

    def save(self, folder: str | Path) -> None:
        """Write each position and form into a folder of its own, all layers in it (`models.directions`)."""
        for position, form in dict.fromkeys((position, form) for position, _, form in self.directions):
            vectors = {
                layer: vector
                for (at, layer, kind), vector in self.directions.items()
                if (at, kind) == (position, form)
            }
            card = {**self.card, "position": position, "form": form}
            save_directions(Path(folder) / f"{position}-{form}", vectors, card)


def hedge_directions_of(
    study: Study, *, layers: Sequence[int] | None = None, positions: Sequence[str] | None = None
) -> HedgeDirections:
    """Hedge directions of the arm before at every layer and position, in three forms.

    Args:
        study: with the arm's reading of itself.
        layers: of those that were read; None: all.
        positions: of `POSITIONS`, those that are looked at; None: those of what the task hedges.

    Raises:
        AnalysisError: too few claims, or steps, are hedged or asserted.
    """
    before, _ = pair_of(study)
    store, questions = study.activations(before), study.questions(study.settings.contrast.domain)
    index = store.frame()[STEP_KEY]
    claims = claimed(study, before, index)
    rows = rows_of(index, claims)
    states = {
        (rule, layer): store.layer("resid_post", layer, rule)[rows]
        for rule in positions or POSITIONS[unit_of(study)]
        if rule in store.rules
        for layer in (store.layers if layers is None else layers)
    }
    found = scored(states, claims, joined_groups(questions), one_of_each(questions), seed=study.settings.seed)
    found.card["model_digest"] = store.meta["model_digest"]  # type: ignore[index]
    return found


def scored(
    states: Mapping[tuple[str, int], NDArray[Any]],
    claims: pd.DataFrame,
    group: Mapping[str, str] | None = None,
    same: Mapping[str, str] | None = None,
    *,
    seed: int = 0,
) -> HedgeDirections:
    """Fit and score every form at every place.

    Args:
        states: position and layer to [claims, d_model].
        claims: rows of `records.CLAIMS` of one arm.
        group: question to group; a group is never split between the halves. None: by question.
        same: question to the one it repeats, one cluster of the interval with it.
        seed: of the halves.

    Raises:
        AnalysisError: no claims, or no kind with enough of both in both halves.
    """
    if claims.empty:
        raise AnalysisError("there are no claims to fit a hedge direction on")
    arm = str(claims["arm"].iloc[0])
    kinds, names = pd.factorize(claims["relation"], sort=True)
    hedged, half = claims["hedged"].to_numpy(bool), halves(claims["qid"], group, seed)
    used, _ = usable_rows(hedged, kinds, half, list(names))
    if not used.any():
        raise AnalysisError(
            f"{arm}: no kind of claim holds {MIN_CELL} hedged and {MIN_CELL} asserted claims in both halves"
        )
    asked = claims["qid"] if same is None else claims["qid"].map(same)
    own = (hedged[used], kinds[used], half[used])
    found: dict[Place, Floats] = {}
    scores = []
    for (position, layer), table in sorted(states.items()):
        X = np.asarray(table, dtype=np.float64)[used]
        for form, fit in FORMS.items():
            found[position, layer, form] = fit(X, own[0], own[1])
            means = found[position, layer, "means"]
            auroc = _held_out(X, *own, asked.to_numpy()[used], form)
            cosine = _cosine(found[position, layer, form], means)
            scores.append(PlaceScore(position, layer, form, auroc, cosine, position in AFTER_THE_HEDGE))
    counts = (int(own[0].sum()), int((~own[0]).sum()))
    card = {
        "arm": arm,
        "site": "resid_post",
        "kinds": [str(names[k]) for k in np.unique(own[1])],
        "seed": seed,
    }
    return HedgeDirections(arm, tuple(scores), *counts, found, card)


def _held_out(
    X: Floats,
    hedged: NDArray[np.bool_],
    kinds: NDArray[np.int64],
    half: NDArray[np.int64],
    questions: NDArray[Any],
    form: str,
) -> Interval:
    """The second half by the direction of the first."""
    fit, test = half == 0, half == 1
    score = tied(X[test] @ FORMS[form](X[fit], hedged[fit], kinds[fit]))
    left = leave_one_out(score, hedged[test], kinds[test], questions[test])
    unit = "questions of one half, the direction of the other held fixed"
    return jackknife_interval(left.auroc, left.without, logit=True, unit=unit)


def _cosine(one: Floats, other: Floats) -> float:
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / lengths if lengths else 0.0
