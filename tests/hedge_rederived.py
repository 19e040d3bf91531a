"""The hedge direction of a study and what it is compared with, from activations and claims alone."""

from functools import cache

import numpy as np
from scipy.stats import rankdata

from mechcot.steps.of_study import questions_by_id, task_of
from rederived import STEP, jackknife


@cache
def read(s, arm):
    """Claims that were read, with kind, label and exposure, and the states at their decisions by layer."""
    activations = s.study.activations(arm)
    index = activations.frame()[STEP].assign(row=lambda own: np.arange(len(own)))
    own = next(one for one in s.arms if one.name == arm)
    texts = own.steps[[*STEP, "text", "wrong", "label"]]
    claims = s.study.claims(arm).merge(index, on=STEP).merge(texts, on=STEP)
    asked, frequency = questions_by_id(s.study), task_of(s.study).frequency
    met = [frequency(asked[qid], text) for qid, text in zip(claims.qid, claims.text, strict=True)]
    claims["rarity"] = -np.array(met, float)
    X = {n: activations.layer("resid_post", n, "decision")[claims.row].astype(float) for n in (0, 1, 2)}
    return claims, X


def auroc(score, truth, cells):
    """Share of pairs inside a cell in the right order."""
    right, pairs = 0.0, 0
    for cell in np.unique(cells):
        rows = cells == cell
        up, down = int(truth[rows].sum()), int((~truth[rows]).sum())
        right += rankdata(score[rows])[truth[rows]].sum() - up * (up + 1) / 2
        pairs += up * down
    return right / pairs


def pairs(truth, cells):
    return sum(int(truth[cells == c].sum()) * int((~truth[cells == c]).sum()) for c in np.unique(cells))


def direction(X, truth, kind):
    """Mean over kinds of the difference of means."""
    parts = [(X[(kind == k) & truth].mean(0) - X[(kind == k) & ~truth].mean(0)) for k in np.unique(kind)]
    return np.mean(parts, axis=0)


def crossed(*columns):
    return np.array(["/".join(map(str, row)) for row in zip(*columns, strict=True)])


def third(rarity):
    """The often met are at or above the upper third of exposure; equals stay together."""
    return np.searchsorted(np.quantile(-rarity, [1 / 3, 2 / 3]), -rarity, side="left")


@cache
def before(s):
    """The base's claims of kinds with 5 of both in both halves."""
    claims, X = read(s, "base")
    groups = np.unique(claims.qid.map(s.base.questions.set_index("qid").group))
    turn = np.random.default_rng(s.study.settings.seed).permutation(len(groups))
    half = dict(zip(groups[turn], np.arange(len(groups)) % 2, strict=True))
    claims["half"] = claims.qid.map(s.base.questions.set_index("qid").group).map(half)
    counts = claims.groupby(["relation", "half", "hedged"]).size().unstack(["half", "hedged"], fill_value=0)
    rows = claims.relation.isin(counts.index[(counts >= 5).all(axis=1)]).to_numpy()
    used = claims[rows].assign(third=lambda own: third(own.rarity))
    return claims, used.reset_index(drop=True), {layer: x[rows] for layer, x in X.items()}


def held_out(X, used):
    """Each half scored by the direction of the other."""
    out, half = np.empty(len(X)), used.half.to_numpy()
    for side in (0, 1):
        own = half == side
        w = direction(X[~own], used.hedged.to_numpy()[~own], used.relation.to_numpy()[~own])
        out[own] = X[own] @ w
    return out.astype(np.float32)


@cache
def of_before(s):
    """Best layer; direction, rarity and gap among all and among equally met, with intervals; pairs; n."""
    claims, used, X = before(s)
    truth, cells = used.hedged.to_numpy(), crossed(used.relation, used.half)
    best = max(X, key=lambda layer: auroc(held_out(X[layer], used), truth, cells))
    questions = np.array(sorted(set(used.qid)))
    part = used.drop_duplicates("qid").set_index("qid").half[questions].to_numpy()

    @cache
    def scored(kinds, names):
        rows = used.qid.isin(names).to_numpy()
        own, x = used[rows], X[best][rows]
        told, inside = own.hedged.to_numpy(), crossed(*(own[name] for name in kinds))
        return [auroc(score, told, inside) for score in (held_out(x, own), own.rarity.to_numpy())]

    def interval(kinds, which, logit):
        def statistic(names):
            return picked(scored(kinds, tuple(names)), which)

        return jackknife(questions, statistic, logit=logit, part=part)

    return best, *_both(interval, ("relation", "half")), pairs(truth, crossed(used.relation, used.half,
                                                                            used.third)), claims  # fmt: skip


def picked(found, which):
    """The AUROC of the direction or of rarity, or how far the first is above the second."""
    of_direction, of_rarity = found
    return {"direction": of_direction, "rarity": of_rarity, "gap": of_direction - of_rarity}[which]


def _both(interval, kinds):
    return [
        {which: interval(names, which, which != "gap") for which in ("direction", "rarity", "gap")}
        for names in (kinds, (*kinds, "third"))
    ]


@cache
def of_after(s):
    """The same of the other arm's asserted claims, the direction held fixed; and by layer."""
    _, used, X = before(s)
    claims, states = read(s, "distilled")
    rows = (~claims.hedged & claims.label.isin(["correct", "erroneous"])).to_numpy()
    own = claims[rows].assign(third=lambda part: third(part.rarity)).reset_index(drop=True)
    scores, truth = {}, own.wrong.to_numpy()
    for layer, x in X.items():
        w = direction(x, used.hedged.to_numpy(), used.relation.to_numpy())
        scores[layer] = (states[layer][rows] @ w).astype(np.float32)
    kind = own.relation.to_numpy()
    value = {layer: auroc(score, truth, kind) for layer, score in scores.items()}
    best, far = max(value, key=value.get), max(value, key=lambda layer: abs(value[layer] - 0.5))
    questions = np.array(sorted(set(own.qid)))

    @cache
    def scored(kinds, names, layer):
        keep = own.qid.isin(names).to_numpy()
        inside, told = crossed(*(own[name][keep] for name in kinds)), truth[keep]
        return [auroc(score[keep], told, inside) for score in (scores[layer], own.rarity.to_numpy())]

    def interval(kinds, which, logit, layer=best):
        def statistic(names):
            return picked(scored(kinds, tuple(names), layer), which)

        return jackknife(questions, statistic, logit=logit)

    lowest = interval(("relation",), "direction", True, far)
    met_alike = pairs(truth, crossed(own.relation, own.third))
    return best, *_both(interval, ("relation",)), met_alike, own, (far, lowest)


def _beside(found):
    best, everywhere, inside, n_pairs = found[:4]
    told = [*everywhere["rarity"], best, *everywhere["gap"]]
    return [*told, n_pairs, *inside["direction"], *inside["rarity"], *inside["gap"]]


def hedge(s):
    found = of_before(s)
    rates = [100 * read(s, arm)[0].hedged.mean() for arm in ("base", "distilled")]
    return [*found[1]["direction"], found[0], *rates, *_beside(found)]


def projection(s):
    found = of_after(s)
    layer, value = found[5]
    return [*value, layer, *_beside(found)]


def line_before(s):
    found = of_before(s)
    return [*found[1]["direction"], found[0], None, len(found[4]), found[4].qid.nunique()]


def line_after(s):
    found = of_after(s)
    return [*found[1]["direction"], found[0], None, len(found[4]), found[4].qid.nunique()]


def beside_before(s):
    found = of_before(s)
    return [*found[1]["rarity"], *found[1]["gap"], *found[2]["gap"]]


def beside_after(s):
    found = of_after(s)
    return [*found[1]["rarity"], *found[1]["gap"], *found[2]["gap"]]
