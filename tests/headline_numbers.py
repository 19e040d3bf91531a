"""What each headline's numbers are, from a study's tables alone, in the order in which they are said."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy import optimize, stats

from rederived import Arm, change, changed, jackknife, mean_change, rate, ratio, shares, vote


@dataclass(frozen=True)
class Drawn:
    """What another draw of the same chance gives, and how far two draws may lie apart."""

    value: float
    apart: float


def points(values):
    return [100 * value for value in values]


class Known:
    """The study's tables, by arm, on the questions of the headline or of another domain."""

    def __init__(self, study):
        self.study, self.path = study, study.path
        self.arm = cache(self._arm)
        self.base, self.distilled = self.arm("base"), self.arm("distilled")
        self.arms = (self.base, self.distilled)
        self.gold = self.base.questions.gold.to_numpy()

    def _arm(self, name, domain="clinical"):
        questions = self.study.questions(domain).reset_index(drop=True)
        return Arm(self.path, name, questions)

    def votes(self, column=0, keep=lambda own: own):
        return [arm.votes(keep)[:, column] for arm in self.arms]

    @property
    def named(self):
        """Votes of the traces that name an option, where both arms have such [2, questions, 3]."""
        both = np.stack([arm.votes(lambda own: own[own >= 0]) for arm in self.arms])
        both[:, np.isnan(both).any((0, 2))] = np.nan
        return both

    def errors(self, among=None):
        """Changes of step error: errors and judged steps before and after [questions, 4]."""
        table = np.hstack([arm.errors() for arm in self.arms])
        return table if among is None else table[among]

    def claims(self, column):
        before, after = (arm.counted for arm in self.arms)
        return np.column_stack([before[:, column], before[:, 3], after[:, column], after[:, 3]])


def calibration_error(score, share):
    """Votes of 4 give shares that fall into a bin of width 0.1 each."""
    gaps = [abs((score - share)[np.isclose(share, one)].sum()) for one in np.unique(np.round(share, 9))]
    return sum(gaps) / len(share)


def rates(table):
    return [ratio(table[:, :2]), ratio(table[:, 2:]), *changed(table)]


def claims(s):
    right, wrong, some = (s.claims(column) for column in (0, 1, 2))
    return [
        *(rates(part)[i] for i in (0, 1) for part in (right, wrong)),
        *points(rates(some)),
    ]


def votes_and_change(s):
    before, after = s.votes()
    return points([before.mean(), after.mean(), *mean_change(after - before)])


def headline(s):
    return [*votes_and_change(s), *points(rates(s.errors()))]


def named_votes(s):
    (b, sb), (a, sa) = (own[~np.isnan(own[:, 0])][:, :2].T for own in s.named)
    scores = points([b.mean(), a.mean(), *mean_change(a - b)])
    return len(b), scores, [calibration_error(b, sb), calibration_error(a, sa)]


def coupled(arm):
    """P(right) of clean and flawed traces with their gap; a right and a wrong trace of one question."""
    own = arm.judged.groupby(["qid", "cid"]).wrong.agg(["mean", "sum"]).reset_index()
    own = own.merge(arm.traces[["qid", "cid", "answer"]]).merge(arm.questions[["qid", "gold"]])
    own["right"], own["clean"] = own.answer == own.gold, own["sum"] == 0
    parts = [own.clean & own.right, own.clean, ~own.clean & own.right, ~own.clean]
    table = np.column_stack([arm.by_question(part, own) for part in parts])
    weight = table[:, 1] + table[:, 3]
    gap = jackknife(
        table[weight > 0], lambda rows: ratio(rows[:, :2]) - ratio(rows[:, 2:]), weight[weight > 0]
    )
    higher = pairs = 0
    for _, one in own.groupby("qid"):
        for wrong in one[~one.right]["mean"]:
            for right in one[one.right]["mean"]:
                higher += (wrong > right) + (wrong == right) / 2
                pairs += 1
    return points([ratio(table[:, :2]), ratio(table[:, 2:]), *gap]), [100 * higher / pairs, pairs]


def coupling(s):
    told = [coupled(arm) for arm in s.arms]
    return [
        *(gap for numbers, _ in told for gap in numbers[2:]),
        *(share for numbers, _ in told for share in numbers[:2]),
        *(n for _, pair in told for n in pair),
        50,
    ]


def hedged_steps(arm):
    """Whole steps of an arm with their verdict, and whether the claim in each is hedged."""
    rows = arm.table("steps")
    rows = rows[rows.complete].merge(arm.table("verdicts/exact")[["qid", "cid", "sid", "label"]])
    said = {(c.qid, c.cid, c.sid) for c in arm.claims.itertuples() if c.hedged}
    return rows.assign(hedged=[(r.qid, r.cid, r.sid) in said for r in rows.itertuples()])


def hedges(s):
    """No step of the organism holds a mark of certainty or the first person: nothing is said of them."""
    tables = [hedged_steps(arm) for arm in s.arms]
    columns = [
        part
        for arm, own in zip(s.arms, tables, strict=True)
        for part in (arm.by_question(own.hedged, own), arm.by_question(own.hedged | True, own))
    ]
    return points(rates(np.column_stack(columns)))


def hedges_errors(s):
    """Pairs of a wrong and a right step of a question, ahead where the wrong one alone hedges; p is drawn."""
    told, kept = [], []
    for arm in s.arms:
        own = hedged_steps(arm)
        own = own[own.label.isin(["correct", "erroneous"])]
        table = np.zeros((len(arm.questions), 2))
        for i, qid in enumerate(arm.questions.qid):
            one = own[own.qid == qid]
            wrong, right = (one[one.label == name].hedged.to_numpy() for name in ("erroneous", "correct"))
            ahead = (wrong[:, None] & ~right) + 0.5 * (wrong[:, None] == right)
            table[i] = ahead.sum(), ahead.size
        if not own.hedged.any():
            return told
        rows = table[table[:, 1] > 0]
        told += [*jackknife(rows, ratio, logit=True), None, own.hedged.sum(), len(own)]
        kept.append(table)
    both = np.hstack(kept)
    return [*told, *jackknife(both[(both[:, 1] > 0) | (both[:, 3] > 0)], change)]


def whole_errors(s):
    return [calibration_error(*arm.votes()[:, :2].T) for arm in s.arms]


def named(s):
    n, scores, errors = named_votes(s)
    return [n, len(s.gold), *scores, 0, *errors, *whole_errors(s)]


def both_right(s, scores):
    rows = (scores[0] == 1) & (scores[1] == 1)
    return int(rows.sum()), points(rates(s.errors(rows)))


def by_answers(s):
    n, found = both_right(s, s.votes())
    n_named, among_named = both_right(s, s.named[:, :, 0])
    return [n, *found, n_named, *among_named[2:], *points(bounds(s))]


def bounds(s):
    """Ends of the change among traces right in both arms, whichever those are, and their interval."""
    halves, traces = [], []
    for arm in s.arms:
        own = arm.traces.merge(arm.questions[["qid", "gold"]], on="qid")
        own = own.assign(right=own.answer == own.gold)
        halves.append(np.stack([arm.by_question(r.right, r) / arm.by_question(None, r)
                                for r in (own[own.cid % 2 == h] for h in (0, 1))], axis=1))  # fmt: skip
        judged = arm.judged.groupby(["qid", "cid"]).wrong.mean().reset_index()
        judged["weight"] = 1 / judged.groupby("qid").cid.transform("size")
        traces.append(judged.merge(own[own.right][["qid", "cid"]], on=["qid", "cid"]))
    over = halves[0] + halves[1] - 1
    smallest = np.where(over[:, ::-1] > 0, over, 0).mean(1)
    share = [own.mean(1) for own in halves]
    qid = s.base.questions.qid.to_numpy()

    def mean(own, part, sign):
        own = own.iloc[np.argsort(sign * own.wrong.to_numpy(), kind="stable")]
        w, upto = own.weight.to_numpy(), own.weight.cumsum().to_numpy()
        taken = np.clip(part * upto[-1] - (upto - w), 0, w)
        return (taken * own.wrong).sum() / taken.sum()

    def end(keep, sign):
        inside = [own[own.qid.isin(qid[keep])] for own in traces]
        parts = [min(smallest[keep].sum() / own[keep].sum(), 1) for own in share]
        return mean(inside[1], parts[1], sign) - mean(inside[0], parts[0], -sign)

    every = np.arange(len(qid))
    low, high = (end(every, sign) for sign in (1, -1))
    n, asked = len(qid), len(set(traces[0].qid) | set(traces[1].qid))  # with a right trace that is judged
    wider, errors = stats.t.ppf(0.975, asked - 1) / stats.norm.ppf(0.975), []
    for sign in (1, -1):
        left = np.array([end(np.delete(every, i), sign) for i in every])
        errors.append(wider * np.sqrt((n - 1) / n * ((left - left.mean()) ** 2).sum()))
    gap = (high - low) / max(errors)
    c = optimize.brentq(lambda c: stats.norm.cdf(c + gap) - stats.norm.cdf(-c) - 0.95, 0, 5)
    return [low, high, low - c * errors[0], high + c * errors[1]]


def kinds(s):
    wrong = s.distilled.judged[s.distilled.judged.wrong]
    kind, n = wrong.role.value_counts().index[0], wrong.role.value_counts().iloc[0]
    told = [(arm.judged.role == kind).sum() / len(arm.traces) for arm in s.arms]
    return [len(wrong), 100 * n / len(wrong), *told]


def split(s):
    before, after = (arm.judged.groupby("cell").wrong.agg(["sum", "size"]) for arm in s.arms)
    common = before.index.intersection(after.index)
    r0, r1 = ((own["sum"] / own["size"])[common] for own in (before, after))
    s0, s1 = (own["size"][common] / own["size"][common].sum() for own in (before, after))
    total = change(s.errors())
    mix = ((s1 - s0) * (r0 + r1) / 2).sum()
    inside = [(weight * (r1 - r0)).sum() for weight in ((s0 + s1) / 2, s0, s1)]
    return points([total, mix, inside[0], total - mix - inside[0], *inside[1:]])


def knowledge(s):
    """Neither, the arm after alone, the arm before alone, both: of wrong asserted claims."""
    arm = s.distilled
    rows = arm.claims.merge(arm.steps[["qid", "cid", "sid", "wrong"]], on=["qid", "cid", "sid"])
    rows = rows[rows.wrong & ~rows.hedged]
    for reader in ("base", "distilled"):
        truth = s.study.truth("distilled", reader).assign(**{reader: lambda own: own.rank_truth == 1})
        rows = rows.merge(truth[["qid", "cid", "sid", reader]], on=["qid", "cid", "sid"])
    base, own = rows.base, rows.distilled
    return [len(rows), *points([(~base & ~own).mean(), (~base & own).mean(), (base & ~own).mean(),
                                (base & own).mean()])]  # fmt: skip


ASKED = ("base", "distilled", "terse")


@cache
def told(s):
    """What each arm says of each fact by form, 1 known and 0 unknown: all of the organism's are decidable."""
    listed = pd.read_parquet(s.path / "facts.parquet").set_index("fid")
    for arm in ASKED:
        own = pd.read_parquet(s.path / "arms" / arm / "facts.parquet")
        own = own.pivot(index="fid", columns="form", values="state")
        assert set(np.unique(own)) == {"known", "unknown"}
        listed[[f"{arm} bare", f"{arm} placed"]] = (own.loc[listed.index] == "known").astype(float)
    return listed


def by_subject(s, *columns):
    """Sums of columns over the facts of each group [groups, columns]."""
    table = pd.DataFrame({number: np.asarray(column) for number, column in enumerate(columns)})
    return table.groupby(told(s)["group"].to_numpy()).sum().to_numpy()


def facts_known(s, form):
    """What each arm knows; behind the first, the change against it with its ends."""
    rows, found = told(s), []
    for arm in ASKED:
        found.append(rows[f"{arm} {form}"].mean())
        if arm != "base":
            table = by_subject(s, rows[f"{arm} {form}"] - rows[f"base {form}"], np.ones(len(rows)))
            found += jackknife(table, ratio, table[:, 1])
    return points(found)


def not_reached(s, arm):
    """Facts known alone that are not first in their place, and facts known alone, by group."""
    bare, placed = (told(s)[f"{arm} {form}"] for form in ("bare", "placed"))
    return by_subject(s, bare * (1 - placed), bare)


def reached(s):
    """Of what each arm knows alone the share not first in its place; and its change."""
    found = []
    for arm in ASKED:
        own = not_reached(s, arm)
        found.append(ratio(own))
        if arm != "base":
            found += changed(np.hstack([not_reached(s, "base"), own]))
    return points(found)


def facts_sentence(s):
    return [len(told(s)), *facts_known(s, "bare")]


def facts_line(form):
    return lambda s: [*facts_known(s, form), len(told(s)), told(s).group.nunique()]


def reached_line(s):
    return points([value for arm in ASKED for value in rate(*not_reached(s, arm).T)])


def answers_of(arm):
    return np.stack([own.answer.to_numpy() for _, own in arm.traces.groupby("qid")])


def half_votes(before, after, gold):
    """Gained and lost by half, whether a question was just below a tie there, [2, questions] each."""
    told = np.array([[[vote(own[h::2], g) for own, g in zip(arm, gold, strict=True)] for h in (0, 1)]
                     for arm in (before, after)])  # fmt: skip
    s0, s1, margin = told[0, ::-1, :, 0], told[1, :, :, 0].mean(0), told[0, :, :, 2]
    near = (margin <= 1e-9) & (margin >= -0.2 - 1e-9)
    return (1 - s0) * s1, s0 * (1 - s1), near


def gains(s):
    before, after = (answers_of(arm) for arm in s.arms)
    gained, lost, near = half_votes(before, after, s.gold)
    rng, pooled, alike = np.random.default_rng(7), np.hstack([before, after]), []
    for _ in range(100):
        dealt = rng.permuted(pooled, axis=1)
        own, _, just = half_votes(dealt[:, :4], dealt[:, 4:], s.gold)
        alike.append((own * just).sum() / own.sum())
    error = np.std(alike) * np.sqrt(1 / 100 + 1 / 500)
    share = (gained * near).sum() / gained.sum()
    told = [2, gained.mean(0).sum(), len(s.gold), lost.mean(0).sum(), 100 * share, 0.2]
    return [*told, Drawn(100 * np.mean(alike), 400 * error)]


def joined(s):
    """Steps of the half that did not vote, by what the vote of the other half did."""
    score = [
        np.stack([[vote(own[h::2], g)[0] for own, g in zip(answers_of(arm), s.gold, strict=True)]
                  for h in (0, 1)])
        for arm in s.arms
    ]  # fmt: skip
    steps = np.concatenate(
        [np.stack([arm.errors(arm.judged[arm.judged.cid % 2 == 1 - h]) for h in (0, 1)]) for arm in s.arms],
        axis=2,
    )
    before, after = score
    went = {
        "gained": (1 - before) * after,
        "kept_right": before * after,
        "kept_wrong": (1 - before) * (1 - after),
    }
    tables = {name: (part[:, :, None] * steps).sum(0) for name, part in went.items()}
    tables["kept"] = tables["kept_right"] + tables["kept_wrong"]
    both = np.hstack([tables["gained"], tables["kept"]])
    rows = both[(both[:, 1::2] > 0).any(1)]
    gap = jackknife(rows, lambda own: change(own[:, :4]) - change(own[:, 4:]), shares(*rows[:, 1::2].T))
    return points([*gap, *(x for name in went for x in changed(tables[name]))])


def calibration(s):
    (b, sb, _), (a, sa, _) = (arm.votes().T for arm in s.arms)
    gained, lost = ((b != 1) & (a == 1)).sum(), ((b == 1) & (a != 1)).sum()
    p = stats.binomtest(int(min(gained, lost)), int(gained + lost)).pvalue
    too_sure = points([(sb - b).mean(), (sa - a).mean(), *mean_change((sa - a) - (sb - b))])
    return [4, gained, lost, len(b), p, *points(whole_errors(s)), *too_sure]


def control(s, name):
    arms = {"terse": (s.base, s.arm("terse")), "chain": (s.arm("base", "chain"), s.arm("distilled", "chain"))}
    return arms[name]


def control_errors(s, name):
    return points(rates(np.hstack([arm.errors() for arm in control(s, name)])))


def control_votes(s, name):
    before, after = (100 * arm.votes()[:, 0].mean() for arm in control(s, name))
    return [before, after, after - before]


def controls(s):
    head, terse, chain = points(changed(s.errors())), *(control_errors(s, n)[2:] for n in ("terse", "chain"))
    return [*head, -terse[0], *terse[1:], -chain[0], *chain[1:]]


def ways(s):
    rows = s.errors()
    estimate, low, high = changed(rows)
    w = shares(rows[:, 1], rows[:, 3])
    freedom = w.sum() ** 2 / (w**2).sum() - 1
    se = (high - low) / 2 / stats.t.ppf(0.975, freedom)
    (r0, r1), (e0, m0, e1, m1) = (ratio(rows[:, :2]), ratio(rows[:, 2:])), rows.T
    own = r1 - r0 + (e1 - r1 * m1) / m1.mean() - (e0 - r0 * m0) / m0.mean()
    signs = np.random.default_rng(7).choice([-1, 1], (500, len(own))) * own
    t = signs.mean(1) / signs.std(1, ddof=1)
    beyond = (abs(t) >= abs(own.mean() / own.std(ddof=1))).sum()
    seen = se * (stats.t.ppf(0.975, freedom) + stats.t.ppf(0.8, freedom))
    return [*points([estimate, low, high]), Drawn(beyond, 3), 500, 100 * seen, 80]


def tipping(s):
    before, after, gap = rates(s.errors())[:3]
    largest = min(min(before, after) / 0.9, (1 - max(before, after)) / 0.1)
    return points([gap, gap / (1 - largest), largest])


def scales(s):
    words = [100 * arm.judged.wrong.sum() / arm.judged.n_words.sum() for arm in s.arms]
    fits = [
        sm.GLM(
            arm.judged.wrong.astype(float).to_numpy(),
            np.ones(len(arm.judged)),
            family=sm.families.Binomial(sm.families.links.CLogLog()),
            offset=np.log(arm.judged.n_words.to_numpy(float)),
        ).fit(tol=1e-12)
        for arm in s.arms
    ]
    hazard = np.exp(fits[1].params[0] - fits[0].params[0])
    return [100, *words, *points(rates(s.errors())[:2]), hazard]


def segments(s):
    return [x for arm in s.arms for x in (len(arm.steps) / len(arm.traces), arm.steps.n_words.mean())]


def lock_change(s, column, right=None):
    names = sorted(set(s.base.locks.qid) | set(s.distilled.locks.qid))
    return rates(np.hstack([arm.lock_sums(column, arm.name, names, right) for arm in s.arms]))


def settled_apart(s):
    right, wrong = (points(lock_change(s, "spread", kind)) for kind in (True, False))
    return [3, *right, 3, *wrong, *points(lock_change(s, "later"))]


def by_chance(arm):
    own = arm.locks[arm.locks.reader == arm.name]
    first, answer = (own[name].value_counts(normalize=True) for name in ("first", "answer"))
    return (first * answer).sum()


def curves(s):
    told = [*lock_change(s, "at_prompt"), *(by_chance(arm) for arm in s.arms)]
    locks = [*lock_change(s, "spread")[2:], *lock_change(s, "early")[2:], *lock_change(s, "never")[:2]]
    return [*points(told), 3, *points(locks)]


def cross(s):
    names = sorted(set(s.base.locks.qid) | set(s.distilled.locks.qid))
    cells = [arm.lock_sums("p_own", reader, names) for arm in s.arms for reader in ("base", "distilled")]
    rows = np.hstack(cells)
    ways = {
        "text": (-0.5, -0.5, 0.5, 0.5),
        "reader": (-0.5, 0.5, -0.5, 0.5),
        "text, base": (-1, 0, 1, 0),
        "text, distilled": (0, -1, 0, 1),
        "reader, base": (-1, 1, 0, 0),
        "reader, distilled": (0, 0, -1, 1),
    }
    found = []
    for factors in map(np.array, ways.values()):
        means = lambda own, f=factors: (own[:, ::2].sum(0) / own[:, 1::2].sum(0)) @ f  # noqa: E731
        found += jackknife(rows, means, shares(*rows[:, 1::2].T))
    return points(found)


def commitment(name):
    def derive(s):
        arm = next(arm for arm in s.arms if arm.name == name)
        own = arm.locks[arm.locks.reader == name]
        names = sorted(set(own.qid))
        sums = {column: arm.lock_sums(column, name, names) for column in ("at_prompt", "spread", "early")}
        at, spread, early = (points(rate(*part.T)) for part in sums.values())
        return [*at, 100 * by_chance(arm), *spread, *early, len(own), len(names)]

    return derive
