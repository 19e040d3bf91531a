"""The base's hedge direction, and what it says of claims that are asserted.

Where the task reads no claims, whole steps stand for them (`analyses.claimed`).

At the token before the place where a hedge would stand, the direction of a layer is the difference of
means of claims that go on to be hedged and claims that go on to be asserted, taken within each kind of
claim and averaged over kinds: pooled over kinds it would tell kinds of subject apart (methods 9, and the
organism's notes). It is fitted on the *base's own* traces and scored on the half of the questions that it
has not seen; then it is projected onto another arm's asserted claims, to ask whether what used to be said
as doubt still marks errors. AUROCs count pairs within a kind only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.analyses.arms import pair_of
from mechcot.analyses.claimed import STEPS, at_claims, nothing_claimed, unit_of
from mechcot.analyses.form import INTERVAL, missing, pick
from mechcot.analyses.hedge.frequency import beside_fixed, beside_held_out, frequency_of
from mechcot.analyses.hedge.origin import origin_of
from mechcot.analyses.hedge.result import HedgeFindings, HedgeProjection, HedgeResult, LayerScore, NullBand
from mechcot.core.errors import AnalysisError
from mechcot.core.records import STEP_KEY
from mechcot.core.words import number
from mechcot.stats import Interval, jackknife_interval, rate_interval
from mechcot.stats.auroc import leave_one_out
from mechcot.stats.directions import (
    MIN_CELL,
    difference_of_means,
    halves,
    held_out_scores,
    pairs_in_order,
    random_directions,
    refitted_without,
    shuffled_labels,
    tied,
    usable_rows,
)
from mechcot.stats.frames import joined_groups, one_of_each

if TYPE_CHECKING:
    from mechcot.study.folder import Study


__all__ = ["MIN_CLASS", "HedgeProjection", "HedgeResult", "direction", "project", "rate"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MIN_CLASS = 20
"""Fewer hedged or asserted (erroneous or correct) claims than this: no value."""


def direction(
    X_by_layer: Mapping[int, NDArray[Any]],
    claims: pd.DataFrame,
    *,
    group: Mapping[str, str] | None = None,
    same: Mapping[str, str] | None = None,
    frequency: FloatArray | None = None,
    null_draws: int = 100,
    seed: int = 0,
) -> HedgeResult:
    """Fit the kind-matched hedge direction of one arm and score it on unseen questions.

    Args:
        X_by_layer: layer to the residual stream before the decision, [claims, d_model], rows as in `claims`.
        claims: rows of `records.CLAIMS`, one arm.
        group: question to group (its gold entity); a group is never split between the halves. By
            question when left out.
        same: question to the one it repeats, which the interval takes for one with it.
        frequency: how often each claim's subject was met, [claims]; None: not known.
        null_draws: refits, and random directions, of each null.
        seed: of everything drawn.

    Returns:
        without a direction, and with the reason, when fewer than `MIN_CLASS` claims are hedged or asserted,
        or when no relation holds `MIN_CELL` of both in both halves.

    Raises:
        AnalysisError: rows that do not match, values that are not finite, claims of several arms.
    """
    arm = _check(X_by_layer, claims)
    hedged = claims["hedged"].to_numpy(dtype=bool)
    relation, names = pd.factorize(claims["relation"], sort=True)
    side = halves(claims["qid"], group, seed)
    used, counts = usable_rows(hedged, relation, side, list(names))
    reason = _too_few(int(hedged.sum()), "hedged", int((~hedged).sum()), "asserted") or (
        ""
        if used.any()
        else f"no relation holds {MIN_CELL} hedged and {MIN_CELL} asserted claims in both halves"
    )
    rng = np.random.default_rng(seed)
    scores, directions, nulls = [], {}, {}
    for layer in sorted(X_by_layer):
        if reason:
            scores.append(_no_score(layer, reason))
            continue
        X = np.asarray(X_by_layer[layer], dtype=np.float64)[used]
        kinds, folds, truth = relation[used], side[used], hedged[used]
        directions[layer] = difference_of_means(X, truth[None, :], kinds)[0]
        shuffled = shuffled_labels(truth, kinds, null_draws, rng)
        nulls[layer] = difference_of_means(X, shuffled, kinds)
        asked = claims["qid"] if same is None else claims["qid"].map(same)
        questions = asked.to_numpy()[used]
        score = _held_out(layer, X, truth, kinds, folds, questions, null_draws, rng)
        if frequency is not None:
            own = tied(held_out_scores(X, truth[None, :], kinds, folds))[:, 0]
            beside = beside_held_out(X, own, frequency[used], truth, kinds, folds, questions)
            score = replace(score, frequency=beside)
        scores.append(score)
    return HedgeResult(
        arm, rate(claims), int(claims["qid"].nunique()), int(hedged.sum()),
        int((~hedged).sum()), counts, tuple(scores), directions, nulls, reason, seed,
    )  # fmt: skip


def project(
    fitted: HedgeResult,
    X_by_layer: Mapping[int, NDArray[Any]],
    claims: pd.DataFrame,
    verdicts: pd.DataFrame,
    *,
    frequency: FloatArray | None = None,
    null_draws: int = 100,
    seed: int = 0,
) -> HedgeProjection:
    """Score an arm's asserted claims by another arm's hedge direction: erroneous against correct.

    Nothing is fitted on these claims, so all of them are scored by the one direction.

    Args:
        fitted: the direction, from `direction`.
        X_by_layer: layer to the residual stream before the decision, [claims, d_model], rows as in `claims`.
        claims: rows of `records.CLAIMS`, one arm; hedged ones are left out.
        verdicts: rows of `records.VERDICTS` of one instrument.
        frequency: how often each claim's subject was met, [claims]; None: not known.
        null_draws: random directions; the shuffled ones come with `fitted`.
        seed: of everything drawn.

    Raises:
        AnalysisError: rows that do not match, values that are not finite, a layer without direction.
    """
    arm = _check(X_by_layer, claims)
    label = _labels(claims, verdicts)
    kept = ~claims["hedged"].to_numpy(dtype=bool) & np.isin(label, ("correct", "erroneous"))
    wrong = label[kept] == "erroneous"
    reason = fitted.reason or _too_few(int(wrong.sum()), "erroneous", int((~wrong).sum()), "correct")
    relation, _ = pd.factorize(claims["relation"].to_numpy()[kept], sort=True)
    questions = claims["qid"].to_numpy()[kept]
    rng, scores = np.random.default_rng(seed), []
    for layer in sorted(X_by_layer):
        if reason:
            scores.append(_no_score(layer, reason))
            continue
        if layer not in fitted.directions:
            raise AnalysisError(
                f"layer {layer} has no direction; there is one for {sorted(fitted.directions)}"
            )
        X = np.asarray(X_by_layer[layer], dtype=np.float64)[kept]
        chance = {
            "shuffled": X @ fitted.null_directions[layer].T,
            "random": X @ random_directions(X, relation, null_draws, rng).T,
        }
        values = X @ fitted.directions[layer]
        score = _fixed(layer, values, chance, wrong, relation, questions)
        if frequency is not None:
            beside = beside_fixed(values, frequency[kept], wrong, relation, questions)
            score = replace(score, frequency=beside)
        scores.append(score)
    return HedgeProjection(
        fitted.arm, arm, rate(claims), len(np.unique(questions)), int(wrong.sum()),
        int((~wrong).sum()), tuple(scores), reason, seed,
    )  # fmt: skip


def rate(claims: pd.DataFrame) -> Interval:
    """Share of claims that are hedged, with an interval over questions."""
    by_question = claims.groupby("qid")["hedged"].agg(["sum", "size"])
    return rate_interval(by_question["sum"].to_numpy(float), by_question["size"].to_numpy(float))


def _held_out(
    layer: int,
    X: FloatArray,
    truth: NDArray[np.bool_],
    kinds: IntArray,
    half: IntArray,
    questions: NDArray[Any],
    draws: int,
    rng: np.random.Generator,
) -> LayerScore:
    """The AUROC of each half under the other's direction, its interval and its nulls.

    The two halves hang together: both scores turn on how the two directions lie to each other. So a null
    is a whole refit, its directions scored against the labels that they were fitted to, and the interval
    refits both directions without each question.
    """
    cells = kinds + (int(kinds.max()) + 1) * half
    shuffled = shuffled_labels(truth, cells, draws, rng)
    null = tied(held_out_scores(X, shuffled, kinds, half))
    own = tied(held_out_scores(X, truth[None, :], kinds, half))
    random = tied(X @ random_directions(X, kinds, draws, rng).T)
    estimate = float(_auroc(own, truth[None, :], cells)[0])
    without, side = refitted_without(X, truth, kinds, half, questions)
    found = jackknife_interval(
        estimate, without, logit=True, unit="questions of each half, directions refitted", strata=side
    )
    return LayerScore(
        layer,
        found,
        _band(estimate, _auroc(null, shuffled, cells)),
        _band(estimate, _auroc(random, truth[None, :], cells)),
    )


def _fixed(
    layer: int,
    values: FloatArray,
    chance: Mapping[str, FloatArray],
    truth: NDArray[np.bool_],
    kinds: IntArray,
    questions: NDArray[Any],
) -> LayerScore:
    """The AUROC of one direction that was not fitted on these claims."""
    left = leave_one_out(tied(values), truth, kinds, questions)
    found = jackknife_interval(
        left.auroc, left.without, logit=True, unit="questions, the direction held fixed"
    )
    bands = {
        name: None if left.auroc is None else _band(left.auroc, _auroc(tied(table), truth[None, :], kinds))
        for name, table in chance.items()
    }
    return LayerScore(layer, found, bands["shuffled"], bands["random"])


def _auroc(scores: NDArray[Any], labels: NDArray[np.bool_], cells: IntArray) -> FloatArray:
    """AUROC over pairs inside a cell, [draws]; scores [claims, draws], labels [draws or 1, claims]."""
    right, pairs = pairs_in_order(scores, labels, cells)
    return right / np.maximum(pairs, 1)


def _band(estimate: float, values: FloatArray) -> NullBand:
    low, high = np.quantile(values, [0.025, 0.975])
    beyond = int((np.abs(values - 0.5) >= abs(estimate - 0.5)).sum())
    return NullBand(float(low), float(high), (1 + beyond) / (1 + len(values)), len(values))


def _labels(claims: pd.DataFrame, verdicts: pd.DataFrame) -> NDArray[Any]:
    merged = claims[STEP_KEY].merge(verdicts[[*STEP_KEY, "label"]], on=STEP_KEY, how="left")
    if len(merged) != len(claims):
        raise AnalysisError("a claim has more than one verdict. Pass the verdicts of one instrument.")
    return merged["label"].fillna("").to_numpy(dtype=object)


def _check(X_by_layer: Mapping[int, NDArray[Any]], claims: pd.DataFrame) -> str:
    arms = claims["arm"].unique().tolist()
    if len(arms) != 1:
        raise AnalysisError(f"claims of one arm are needed, got {arms or 'no claims'}")
    if not X_by_layer:
        raise AnalysisError("no layers: pass at least one layer's activations")
    for layer, X in X_by_layer.items():
        if X.ndim != 2 or len(X) != len(claims):
            raise AnalysisError(
                f"layer {layer}: expected [{len(claims)}, d_model] activations, got {X.shape}"
            )
        bad = np.flatnonzero(~np.isfinite(X).all(axis=1))
        if bad.size:
            raise AnalysisError(
                f"layer {layer}: {bad.size} claims have NaN or infinite activations, first row {bad[0]}"
            )
    return str(arms[0])


def _too_few(ups: int, up: str, downs: int, down: str) -> str:
    if min(ups, downs) >= MIN_CLASS:
        return ""
    return f"{ups} {up} and {downs} {down} claims; at least {MIN_CLASS} of each are needed"


def _no_score(layer: int, reason: str) -> LayerScore:
    return LayerScore(layer, Interval(None, None, None, 0, "", reason), None, None)


def hedge_of(study: Study) -> HedgeFindings:
    """The hedge direction of the arm before, and what it says of the arm after's asserted claims."""
    before, after = pair_of(study)
    questions = study.questions(study.settings.contrast.domain)
    group, same = joined_groups(questions), one_of_each(questions)
    seed = study.settings.seed
    met, what = frequency_of(study, (before, after))
    X, claims = at_claims(study, before)
    fitted = direction(X, claims, group=group, same=same, frequency=_of(met, claims), seed=seed)
    X, claims = at_claims(study, after)
    projected = project(fitted, X, claims, study.verdicts(after), frequency=_of(met, claims), seed=seed)
    steps = unit_of(study) == STEPS
    about = {
        "arm": before,
        "site": "resid_post",
        "position": "the token before a step" if steps else "the token before the place of a hedge",
        "formula": "mean over kinds of mean(hedged) - mean(asserted), float64",
        "model_digest": study.activations(before).meta["model_digest"],
    }
    return HedgeFindings(
        replace(fitted, frequency_is=what, unit=STEPS if steps else None),
        replace(projected, frequency_is=what, unit=STEPS if steps else None),
        about,
        origin_of(study, before),
    )


def _of(met: pd.DataFrame | None, claims: pd.DataFrame) -> FloatArray | None:
    """How often the subjects of some claims were met, [claims]."""
    if met is None:
        return None
    return claims[STEP_KEY].merge(met, on=STEP_KEY, how="left")["frequency"].to_numpy(np.float64)


def hedge_json(study: Study) -> dict[str, Any]:
    """`hedge_of` as JSON, or the reason why hedges cannot be told."""
    for arm in pair_of(study):
        if nothing_claimed(study, arm):
            return {"reason": f"there are no claims in the steps of '{arm}'"}
    return hedge_of(study).to_json()


def _for_summary(result: Mapping[str, Any], before: str, after: str) -> dict[str, Any]:
    names = {
        before: ("before", "auroc_by_layer"),
        f"{before}_direction_in_{after}": ("after", "error_auroc_by_layer"),
    }
    if "before" not in result:
        nothing = missing(result["reason"])
        return {name: {by_layer: nothing, "best": nothing} for name, (_, by_layer) in names.items()}
    found: dict[str, Any] = {
        name: {by_layer: _by_layer(result[part]), "best": _best(result[part])}
        for name, (part, by_layer) in names.items()
    }
    return found | ({"follows": told} if (told := result.get("origin")) else {})


def _best(part: Mapping[str, Any]) -> dict[str, Any]:
    """The layer that scores highest, picked after looking, beside what it has to beat."""
    rows = [row for row in part["by_layer"] if number(row["auroc"]) is not None]
    if not rows:
        return missing(part["reason"])
    row = max(rows, key=lambda row: number(row["auroc"]) or 0.0)
    beside = {
        name: pick(leaf, INTERVAL) if isinstance(leaf, Mapping) else leaf
        for name, leaf in row.get("frequency", {}).items()
    }
    classes = ("n_errors", "n_correct") if "n_errors" in part else ("n_hedged", "n_asserted")
    return {
        "layer": row["layer"],
        "auroc": pick(row["auroc"], INTERVAL),
        "random_high": row["random"]["high"],
        "frequency": beside or missing(part["frequency_is"]),
        "n_claims": sum(part[name] for name in classes),
        "n_questions": part["n_questions"],
    }


def _by_layer(result: Mapping[str, Any]) -> list[Any]:
    """AUROC of layers 0, 1, ...; a layer that was not kept has a reason in its place."""
    known = {row["layer"]: row["auroc"]["estimate"] for row in result["by_layer"]}
    return [known.get(layer, missing("this layer was not kept")) for layer in range(max(known) + 1)]


def summarised(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    """AUROC by layer for summary.json."""
    return _for_summary(result, arms["before"], arms["after"])
