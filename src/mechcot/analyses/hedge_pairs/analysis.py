"""What a hedge changes inside, read behind the word, and how much of that is the word itself.

A claim with a hedge and without it are the same tokens up to the hedge's place, so nothing can differ there;
behind it everything may, the hedge's own embedding first of all. The direction from one to the other counts
as more than the word where, without the plane of the word's embedding and unembedding, it still foretells
hedges before they are said, on questions that it was not fitted on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.analyses.arms import pair_of
from mechcot.analyses.claimed import at_claims, nothing_claimed
from mechcot.analyses.hedge_pairs.design import PAIRS, POSITIONS, WORD_IN, WORD_OUT, key_of
from mechcot.analyses.hedge_pairs.result import Chance, HedgePairs, PairCosine, PairPlace
from mechcot.core import files, records
from mechcot.core.errors import AnalysisError
from mechcot.core.records import STEP_KEY
from mechcot.core.results import Interval
from mechcot.core.settings import Settings
from mechcot.stats import jackknife_interval, rate_interval
from mechcot.stats.auroc import leave_one_out
from mechcot.stats.directions import difference_of_means, halves, tied
from mechcot.stats.frames import joined_groups, one_of_each

if TYPE_CHECKING:
    from mechcot.study.folder import Study

Floats = NDArray[np.float64]
Key = tuple[str, str, int]
DRAWS = 200
MIN_CLASS = 20
"""Fewer claims of either class than this: no AUROC."""
_NOT_READ = "the reading holds no states before the place of a hedge"


@dataclass(frozen=True)
class Claims:
    """An arm's own claims before the place of a hedge.

    Attributes:
        X: layer to [claims, d_model].
        kind: of each, [claims].
        question: of each, equal texts one, [claims].
        half: of each, [claims].
        hedged: whether it goes on to be hedged, [claims].
        label: of its verdict, "" without one, [claims].
    """

    X: Mapping[int, NDArray[Any]]
    kind: NDArray[np.int64]
    question: NDArray[Any]
    half: NDArray[np.int64]
    hedged: NDArray[np.bool_]
    label: NDArray[Any]


def asked(settings: Settings) -> bool:
    """Whether a study's settings ask for it."""
    return settings.localisation is not None


def hedge_pairs_of(study: Study) -> HedgePairs:
    """The same claims with a hedge and without: what changes behind the word, and what of that is the word.

    Raises:
        AnalysisError: too few claims can be written both ways.
    """
    folder, (before, after) = study.path / "hedge-pairs", pair_of(study)
    about = files.read_json(study.checked(folder / "about.json"))
    if "reason" in about:
        raise AnalysisError(about["reason"])
    pairs = records.read_table(study.checked(folder / "pairs.parquet"), PAIRS)
    questions = study.questions(study.settings.contrast.domain)
    group, same = joined_groups(questions), one_of_each(questions)
    arms = [arm for arm in dict.fromkeys((before, after)) if arm not in about["no_states"]]
    states = {arm: _loaded(study.checked(folder / f"{arm}.safetensors")) for arm in arms}
    claims = {arm: claims_of(study, arm, group, same) for arm in arms}
    return analyse(pairs, states, claims, about, (before, after), group, same, seed=study.settings.seed)


def _loaded(path: Path) -> dict[str, NDArray[Any]]:
    from safetensors.numpy import load_file

    return load_file(path)


def claims_of(study: Study, arm: str, group: Mapping[str, str], same: Mapping[str, str]) -> Claims | None:
    """An arm's own claims; None where there are none."""
    if nothing_claimed(study, arm):
        return None
    X, claims = at_claims(study, arm)
    claims = claims.merge(study.verdicts(arm)[[*STEP_KEY, "label"]], on=STEP_KEY, how="left")
    return Claims(
        X,
        pd.factorize(claims.relation, sort=True)[0],
        claims.qid.map(same).to_numpy(),
        halves(claims.qid, group, study.settings.seed),
        claims.hedged.to_numpy(bool),
        claims.label.fillna("").to_numpy(),
    )


def analyse(
    pairs: pd.DataFrame,
    states: Mapping[str, Mapping[str, NDArray[Any]]],
    claims: Mapping[str, Claims | None],
    about: Mapping[str, Any],
    arms: tuple[str, str],
    group: Mapping[str, str] | None = None,
    same: Mapping[str, str] | None = None,
    *,
    seed: int = 0,
) -> HedgePairs:
    """Fit and score a direction at every place of each arm.

    Args:
        pairs: rows of `design.PAIRS`.
        states: arm to tensors of `making.states_of`, rows as in `pairs`.
        claims: arm to its own claims.
        about: `hedge-pairs/about.json`.
        arms: whose claims the pairs are, and the other one.
        group: question to group; a group is never split between the halves.
        same: question to the one it repeats.
        seed: of the halves, those of the claims too, and of everything drawn.
    """
    before, after = arms
    kinds, names = pd.factorize(pairs.kind, sort=True)
    half = halves(pairs.qid, group, seed)
    question = (pairs.qid if same is None else pairs.qid.map(same)).to_numpy()
    rng = np.random.default_rng(seed)
    signs = _signs(question, DRAWS, rng)
    places, cosines = [], []
    whole: dict[Key, Floats] = {}
    rest: dict[Key, Floats] = {}
    drawn: dict[Key, Floats] = {}
    for arm, tensors in states.items():
        words = np.stack([tensors[name].astype(np.float64) for name in (WORD_IN, WORD_OUT)])
        plane = _plane(words)
        for position in POSITIONS:
            for layer in about["layers"]:
                D = tensors[key_of(position, layer)].astype(np.float64)
                key = (arm, position, layer)
                whole[key] = by_kind(D, kinds)
                rest[key] = without(whole[key], plane)
                drawn[key] = without(by_kind(D, kinds, signs), plane)
                fitted = [by_kind(D[half == side], kinds[half == side]) for side in (0, 1)]
                places.append(_place(key, D, whole[key], words, fitted, half, question, claims.get(arm)))
    for position in POSITIONS:
        for layer in about["layers"]:
            one, other = (before, position, layer), (after, position, layer)
            if before != after and other in rest:
                cosines.append(_cosine("arms", position, layer, rest[one], rest[other], drawn[other]))
            own = claims.get(before)
            if own is not None and layer in own.X and own.hedged.any() and not own.hedged.all():
                X = np.asarray(own.X[layer], dtype=np.float64)
                said = difference_of_means(X, own.hedged[None], own.kind)[0]
                cosines.append(_cosine("claims", position, layer, said, rest[one], drawn[one]))
    return HedgePairs(
        before, after, len(pairs), int(pairs.was_hedged.sum()), len(np.unique(question)),
        {str(name): int((kinds == code).sum()) for code, name in enumerate(names)},
        about["source"], dict(about["lost"]), tuple(places), tuple(cosines), dict(about["no_states"]),
        whole, rest,
    )  # fmt: skip


def _place(
    key: Key,
    D: Floats,
    whole: Floats,
    words: Floats,
    fitted: list[Floats],
    half: NDArray[np.int64],
    question: NDArray[Any],
    claims: Claims | None,
) -> PairPlace:
    arm, position, layer = key
    plane = _plane(words)
    side = np.where(half == 0, D @ fitted[1], D @ fitted[0])
    counts = pd.DataFrame({"q": question, "right": side > 0, "tie": side == 0}).groupby("q")
    right = (counts.right.sum() + counts.tie.sum() / 2).to_numpy(float)
    length = float(whole @ whole)
    inside = 1.0 - float(without(whole, plane) @ without(whole, plane)) / length if length else 0.0
    rests = [without(one, plane) for one in fitted]
    return PairPlace(
        arm,
        position,
        layer,
        rate_interval(right, counts.size().to_numpy(float)),
        _cos(whole, words[0]),
        _cos(whole, words[1]),
        inside,
        _foretold(claims, layer, fitted),
        _foretold(claims, layer, rests),
        _errors(claims, layer, rests),
    )


def by_kind(D: Floats, kinds: NDArray[np.int64], signs: Floats | None = None) -> Floats:
    """The mean over kinds of the mean difference, [d_model]; for each row of signs, [draws, d_model].

    Args:
        D: hedged less plain, [pairs, d_model].
        kinds: [pairs].
        signs: of each pair, [draws, pairs].
    """
    weight = np.zeros(len(D))
    present = np.unique(kinds)
    for kind in present:
        weight[kinds == kind] = 1.0 / ((kinds == kind).sum() * len(present))
    found: Floats = (weight if signs is None else weight * signs) @ D
    return found


def _signs(question: NDArray[Any], draws: int, rng: np.random.Generator) -> Floats:
    """Hedged and plain exchanged at random, all pairs of a question together, [draws, pairs]."""
    names, code = np.unique(question, return_inverse=True)
    found: Floats = rng.choice([-1.0, 1.0], (draws, len(names)))[:, code]
    return found


def _plane(words: Floats) -> Floats:
    """Orthonormal rows that span the words' embedding and unembedding, [0 to 2, d_model]."""
    _, values, rows = np.linalg.svd(words, full_matrices=False)
    found: Floats = rows[values > 1e-6 * max(values.max(), 1e-300)]
    return found


def without(vector: Floats, plane: Floats) -> Floats:
    """A vector, or rows of them, without its part in a plane."""
    found: Floats = vector - vector @ plane.T @ plane
    return found


def _foretold(claims: Claims | None, layer: int, fitted: list[Floats]) -> Interval:
    """Hedged against asserted claims of each half by the other's direction, pairs within kind and half."""
    if claims is None:
        return _nothing("the task reads no claims")
    return _told(
        claims, layer, fitted, claims.hedged, np.ones(len(claims.hedged), dtype=bool), "hedged", "asserted"
    )


def _errors(claims: Claims | None, layer: int, fitted: list[Floats]) -> Interval:
    if claims is None:
        return _nothing("the task reads no claims")
    kept = ~claims.hedged & np.isin(claims.label, ("correct", "erroneous"))
    return _told(claims, layer, fitted, claims.label == "erroneous", kept, "wrong", "right asserted")


def _told(
    claims: Claims,
    layer: int,
    fitted: list[Floats],
    truth: NDArray[np.bool_],
    kept: NDArray[np.bool_],
    up: str,
    down: str,
) -> Interval:
    if layer not in claims.X:
        return _nothing(_NOT_READ)
    n_up, n_down = int(truth[kept].sum()), int((~truth[kept]).sum())
    if min(n_up, n_down) < MIN_CLASS:
        return _nothing(f"{n_up} {up} and {n_down} {down} claims; at least {MIN_CLASS} of each are needed")
    X, half = np.asarray(claims.X[layer][kept], dtype=np.float64), claims.half[kept]
    values = np.where(half == 0, X @ fitted[1], X @ fitted[0])
    cells = claims.kind[kept] * 2 + half
    left = leave_one_out(tied(values), truth[kept], cells, claims.question[kept])
    return jackknife_interval(
        left.auroc, left.without, logit=True, unit="questions, the other half's direction held fixed"
    )


def _nothing(reason: str) -> Interval:
    return Interval(None, None, None, 0, "", reason)


def _cosine(of: str, position: str, layer: int, one: Floats, other: Floats, drawn: Floats) -> PairCosine:
    value, null = _cos(one, other), np.array([_cos(one, own) for own in drawn])
    low, high = np.quantile(null, [0.025, 0.975])
    p = (1 + int((np.abs(null) >= abs(value)).sum())) / (1 + len(null))
    return PairCosine(of, position, layer, value, Chance(float(low), float(high), p, len(null)))


def _cos(one: Floats, other: Floats) -> float:
    """Of two vectors; 0 where either has no length."""
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / lengths if lengths else 0.0
