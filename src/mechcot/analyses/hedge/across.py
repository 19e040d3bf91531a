"""Hedge directions of both arms beside each other, and what each of them says.

Whether two arms mark hedges along one direction is a cosine, which noise in either direction draws to 0:
beside it stands how alike the directions of an arm's own two halves are. Directions of one arm refitted on
shuffled labels, and random ones with its claims' covariance, say what nothing looks like.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.analyses.arms import pair_of
from mechcot.analyses.claimed import at_claims, nothing_claimed
from mechcot.analyses.hedge.across_result import (
    ArmReads,
    HedgeAcross,
    LayerCosine,
    OwnDirection,
    ReadAndSteer,
)
from mechcot.analyses.hedge.analysis import direction, project, rate
from mechcot.analyses.hedge.places import hedge_directions_of
from mechcot.analyses.hedge.result import HedgeProjection, HedgeResult, NullBand
from mechcot.core import files, records
from mechcot.core.errors import AnalysisError
from mechcot.core.results import Pair
from mechcot.core.settings import Settings
from mechcot.models.directions import load_direction
from mechcot.stats.directions import difference_of_means, halves, has_length, random_directions, usable_rows
from mechcot.stats.frames import joined_groups, one_of_each

if TYPE_CHECKING:
    from mechcot.study.folder import Study

Floats = NDArray[np.float64]
States = Mapping[int, NDArray[Any]]
ASK = "mechcot hedge STUDY makes it"


def asked(settings: Settings) -> bool:
    """Whether a study's settings ask for the passes that it gathers from."""
    return settings.localisation is not None or settings.steering is not None


def hedge_across_of(study: Study) -> HedgeAcross:
    """Hedge directions of both arms: how alike, what they say of errors, read and steered with.

    Raises:
        AnalysisError: an arm claims nothing.
    """
    arms = pair_of(study)
    for arm in arms:
        if nothing_claimed(study, arm):
            raise AnalysisError(f"there are no claims in the steps of '{arm}'")
    questions = study.questions(study.settings.contrast.domain)
    read = [at_claims(study, arm) for arm in arms]
    found = across(
        Pair(*(states for states, _ in read)),
        Pair(*(claims for _, claims in read)),
        Pair(*(study.verdicts(arm) for arm in arms)),
        group=joined_groups(questions),
        same=one_of_each(questions),
        seed=study.settings.seed,
    )
    reads, no_reads = _reads(study, found)
    steered, no_steered = _steered(study, *read[0])
    return replace(found, reads=reads, no_reads=no_reads, steered=steered, no_steered=no_steered)


def across(
    states: Pair[States],
    claims: Pair[pd.DataFrame],
    verdicts: Pair[pd.DataFrame],
    *,
    group: Mapping[str, str] | None = None,
    same: Mapping[str, str] | None = None,
    null_draws: int = 100,
    seed: int = 0,
) -> HedgeAcross:
    """Fit each arm's own direction, compare them layer by layer, and score both arms' errors by the first.

    Args:
        states: layer to the residual stream before the decision, [claims, d_model], of each arm.
        claims: rows of `records.CLAIMS` of each arm.
        verdicts: rows of `records.VERDICTS` of each arm, one instrument.
        group: see `analysis.direction`.
        same: see `analysis.direction`.
        null_draws: of each null.
        seed: of everything drawn.
    """
    fitted = Pair(
        *(
            direction(own, rows, group=group, same=same, null_draws=null_draws, seed=seed)
            for own, rows in zip(states, claims, strict=True)
        )
    )
    names = Pair(*(one.arm for one in fitted))
    split = Pair(
        *(_halves(own, rows, group, seed) for own, rows in zip(states, claims, strict=True)),
    )
    rng = np.random.default_rng(seed)
    layers = tuple(
        _compared(layer, fitted, states, claims, split, null_draws, rng)
        for layer in sorted(set(states.before) | set(states.after))
    )
    errors = Pair(
        *(
            _errors(fitted.before, own, rows, judged, seed)
            for own, rows, judged in zip(states, claims, verdicts, strict=True)
        )
    )
    own = Pair(*(OwnDirection(one.arm, one.n_hedged, one.n_asserted, one.reason) for one in fitted))
    return HedgeAcross(*names, own, layers, errors, (), ASK, (), ASK)


def _compared(
    layer: int,
    fitted: Pair[HedgeResult],
    states: Pair[States],
    claims: Pair[pd.DataFrame],
    split: Pair[dict[int, float]],
    draws: int,
    rng: np.random.Generator,
) -> LayerCosine:
    first, second = (own.get(layer) for own in split)
    why = _not_alike(layer, fitted, states)
    if why:
        return LayerCosine(layer, None, None, None, first, second, why)
    one, other = (own.directions[layer] for own in fitted)
    value = cosine(one, other)
    kinds, _ = pd.factorize(claims.after["relation"], sort=True)
    random = random_directions(np.asarray(states.after[layer], dtype=np.float64), kinds, draws, rng)
    shuffled = fitted.after.null_directions[layer]
    return LayerCosine(
        layer,
        value,
        band(value, [cosine(one, own) for own in shuffled]),
        band(value, [cosine(one, own) for own in random]),
        first,
        second,
        "",
    )


def _not_alike(layer: int, fitted: Pair[HedgeResult], states: Pair[States]) -> str:
    """Why two directions of a layer have no cosine; "" if they have."""
    for one, own in zip(fitted, states, strict=True):
        if one.reason:
            return f"{one.arm} has no hedge direction of its own: {one.reason}"
        if layer not in own:
            return f"{one.arm} has no layer {layer}"
        if not has_length(one.directions[layer], own[layer]):
            return f"the direction of {one.arm} at layer {layer} has length 0"
    widths = [own[layer].shape[1] for own in states]
    if widths[0] != widths[1]:
        return f"{fitted.before.arm} is {widths[0]} wide and {fitted.after.arm} {widths[1]}"
    return ""


def _errors(
    fitted: HedgeResult, states: States, claims: pd.DataFrame, verdicts: pd.DataFrame, seed: int
) -> HedgeProjection:
    """Wrong against right among an arm's asserted claims, along the direction of the arm before."""
    if fitted.reason:
        return project(fitted, states, claims, verdicts, seed=seed)
    known = {
        layer: own
        for layer, own in states.items()
        if layer in fitted.directions and own.shape[1] == len(fitted.directions[layer])
    }
    if not known:
        width = len(next(iter(fitted.directions.values())))
        reason = f"no layer of it is {width} wide, as the direction of {fitted.arm} is"
        arm = str(claims["arm"].iloc[0])
        return HedgeProjection(fitted.arm, arm, rate(claims), claims.qid.nunique(), 0, 0, (), reason, seed)
    return project(fitted, known, claims, verdicts, seed=seed)


def _halves(
    states: States, claims: pd.DataFrame, group: Mapping[str, str] | None, seed: int
) -> dict[int, float]:
    """Layer to the cosine of an arm's directions fitted on one and on the other half of the questions."""
    kinds, names = pd.factorize(claims["relation"], sort=True)
    hedged, half = claims["hedged"].to_numpy(bool), halves(claims["qid"], group, seed)
    used, _ = usable_rows(hedged, kinds, half, list(names))
    found = {}
    for layer, X in states.items():
        rows = [
            difference_of_means(
                np.asarray(X[used & (half == side)], dtype=np.float64),
                hedged[None, used & (half == side)],
                kinds[used & (half == side)],
            )[0]
            for side in (0, 1)
            if used.any()
        ]
        if rows and all(has_length(row, X) for row in rows):
            found[layer] = cosine(rows[0], rows[1])
    return found


def _reads(study: Study, found: HedgeAcross) -> tuple[tuple[ArmReads, ...], str]:
    """What each arm's direction says by itself, from the localisation's passes; or why that is not known."""
    if study.settings.localisation is None:
        return (), ASK
    about = files.read_json(study.checked(study.path / "localisation" / "about.json"))
    if "reason" in about:
        return (), about["reason"]
    table = pd.read_parquet(study.checked(study.path / "localisation" / "reads.parquet"))
    fitted = {one.arm for one in found.own if not one.reason}
    return tuple(
        ArmReads(
            row.arm, int(row.layer), float(row.cosine), float(row.low), float(row.high), tuple(row.tokens)
        )
        for row in records.rows(table)
        if row.arm in fitted
    ), ""


def _steered(study: Study, states: States, claims: pd.DataFrame) -> tuple[tuple[ReadAndSteer, ...], str]:
    """The direction that reads best beside the one that steers, of both arms; or why there is none."""
    if study.settings.steering is None:
        return (), ASK
    folder = study.path / "steering"
    about = files.read_json(study.checked(folder / "about.json"))
    if "reason" in about:
        return (), about["reason"]
    try:
        scored = hedge_directions_of(study, positions=("decision",))
    except AnalysisError as error:
        return (), str(error)
    best = max(scored.places, key=lambda one: one.auroc.estimate or 0.0)
    read = scored.direction(layer=best.layer, form=best.form)
    kinds, _ = pd.factorize(claims["relation"], sort=True)
    rng = np.random.default_rng(study.settings.seed)
    random = random_directions(np.asarray(states[best.layer], dtype=np.float64), kinds, 100, rng)
    found = []
    for arm, told in about["arms"].items():
        steers = load_direction(folder / "directions" / told["direction"], layer=told["layer"]).vector
        found.append(
            ReadAndSteer(
                arm,
                best.layer,
                best.form,
                best.auroc.estimate,
                told["layer"],
                cosine(read.vector, steers),
                band(cosine(read.vector, steers), [cosine(one, steers) for one in random]),
            )
        )
    return tuple(found), ""


def cosine(one: Floats, other: Floats) -> float:
    """Of two vectors, [d_model]; 0 where either has no length."""
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / lengths if lengths else 0.0


def band(value: float, null: list[float]) -> NullBand:
    """Where cosines of nothing fall, and how many are as far from 0."""
    low, high = np.quantile(null, [0.025, 0.975])
    beyond = int((np.abs(null) >= abs(value)).sum())
    return NullBand(float(low), float(high), (1 + beyond) / (1 + len(null)), len(null))
