"""The numbers of a study's headlines, from its tables alone: another reading of the same definitions.

Nothing here is of `mechcot.stats` or `mechcot.analyses`. Of mechcot come the study's activations as arrays
and how often the organism's training text names a subject, neither of which stands in a table.
"""

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import stats

STEP = ["qid", "arm", "cid", "sid"]
TRACE = ["qid", "cid"]
JUDGED = ["correct", "erroneous"]


def jackknife(rows, statistic, weight=None, *, logit=False, part=None):
    """Estimate and 95 % ends: leave out question by question, Student's t on the effective questions."""
    keep = np.ones(len(rows), bool)
    estimate, left = statistic(rows), np.empty(len(rows))
    for i in range(len(rows)):
        keep[i] = False
        left[i] = statistic(rows[keep])
        keep[i] = True
    part = np.zeros(len(rows)) if part is None else part
    variances = [
        (len(own) - 1) / len(own) * ((own - own.mean()) ** 2).sum()
        for own in (left[part == one] for one in np.unique(part))
    ]
    w = np.ones(len(rows)) if weight is None else np.asarray(weight, float)
    reach = stats.t.ppf(0.975, w.sum() ** 2 / (w**2).sum() - 1) * np.sqrt(sum(variances))
    if not logit:
        return [estimate, estimate - reach, estimate + reach]
    centre, reach = np.log(estimate / (1 - estimate)), reach / (estimate * (1 - estimate))
    return [estimate, *(1 / (1 + np.exp(-(centre + sign * reach))) for sign in (-1, 1))]


def ratio(rows):
    """Of columns (numerator, denominator)."""
    return rows[:, 0].sum() / rows[:, 1].sum()


def change(rows):
    """Of columns (n0, d0, n1, d1): the ratio after minus that before."""
    return rows[:, 2].sum() / rows[:, 3].sum() - rows[:, 0].sum() / rows[:, 1].sum()


def shares(*columns):
    """What each question weighs in rates with these denominators."""
    return sum(column / column.sum() for column in columns)


def changed(table):
    """`change` with its interval; questions that have no denominator at all are left out."""
    rows = np.asarray(table, float)
    rows = rows[(rows[:, 1] > 0) | (rows[:, 3] > 0)]
    return jackknife(rows, change, shares(rows[:, 1], rows[:, 3]))


def mean_change(values):
    """A mean over questions with its interval."""
    return jackknife(np.asarray(values, float), np.mean)


def rate(numerator, denominator):
    """A share with its interval on the log odds."""
    rows = np.column_stack([numerator, denominator]).astype(float)
    rows = rows[rows[:, 1] > 0]
    return jackknife(rows, ratio, rows[:, 1], logit=True)


def vote(answers, gold):
    """Score of a vote (winners share the point), the winner's share, the margin of gold; -1 votes too."""
    counts = np.bincount(np.asarray(answers) + 1, minlength=gold + 2)
    winners = np.flatnonzero(counts == counts.max()) - 1
    margin = (counts[gold + 1] - np.delete(counts, gold + 1).max()) / len(answers)
    return (gold in winners) / len(winners), counts.max() / len(answers), margin


@dataclass
class Arm:
    """One arm on the questions of one domain."""

    folder: object
    name: str
    questions: pd.DataFrame

    def table(self, name):
        """A table of the arm's folder, on these questions."""
        own = pd.read_parquet(self.folder / "arms" / self.name / f"{name}.parquet")
        return own[own.qid.isin(self.questions.qid)].sort_values([*TRACE, *(["sid"] if "sid" in own else [])])

    @cached_property
    def traces(self):
        return self.table("traces")

    @cached_property
    def claims(self):
        return self.table("claims")

    @cached_property
    def steps(self):
        """Steps with verdict and the cell of the split."""
        rows = self.table("steps").merge(self.table("verdicts/exact")[[*STEP, "label"]], on=STEP)
        rows = rows.merge(self.claims[[*STEP, "stratum"]], on=STEP, how="left")
        return rows.assign(cell=rows.role + " / " + rows.stratum.fillna(""), wrong=rows.label == "erroneous")

    @cached_property
    def judged(self):
        return self.steps[self.steps.label.isin(JUDGED)]

    def by_question(self, values, rows):
        """Sums of a column, or a count (None), by question [questions]."""
        own = rows.groupby("qid").size() if values is None else rows.assign(x=values).groupby("qid").x.sum()
        return own.reindex(self.questions.qid, fill_value=0).to_numpy(float)

    def errors(self, rows=None):
        """Erroneous and judged steps [questions, 2]."""
        own = self.judged if rows is None else rows
        return np.column_stack([self.by_question(own.wrong, own), self.by_question(None, own)])

    def votes(self, keep=lambda own: own):
        """`vote` of each question [questions, 3]; NaN where no answer is left."""
        answers = {qid: keep(own.answer.to_numpy()) for qid, own in self.traces.groupby("qid")}
        return np.array(
            [
                vote(answers[qid], gold) if len(answers[qid]) else (np.nan,) * 3
                for qid, gold in zip(self.questions.qid, self.questions.gold, strict=True)
            ]
        )

    @cached_property
    def counted(self):
        """Right and wrong claims, traces with a wrong one, traces, by question [questions, 4]."""
        own = self.steps.assign(right=self.steps.label == "correct").groupby(TRACE)[["right", "wrong"]].sum()
        own = own.reset_index().assign(any_wrong=lambda rows: rows.wrong > 0, one=1)
        columns = ["right", "wrong", "any_wrong", "one"]
        return np.column_stack([self.by_question(own[name], own) for name in columns])

    @cached_property
    def locks(self):
        """Of each trace that was read and answers: what its forced answers say, by reader."""
        found = []
        texts = {key: own.sort_values("sid").text.tolist() for key, own in self.table("steps").groupby(TRACE)}
        options, gold = (self.questions.set_index("qid")[name] for name in ("options", "gold"))
        stated = {key: own.states_answer.to_numpy() for key, own in self.table("steps").groupby(TRACE)}
        known = self.traces[(self.traces.answer >= 0) & (self.traces.finish_reason != "length")]
        answers = known.set_index(TRACE).answer
        for reader in ("base", "distilled"):
            path = self.folder / "readings" / self.name / reader / "forced.parquet"
            forced = pd.read_parquet(path).sort_values([*TRACE, "k"])
            first = (forced.lead_in == 0) & (forced.permutation == 0) & (forced.layer == -1)
            for key, own in forced[first].groupby(TRACE):
                if key not in answers.index:
                    continue
                says = stated.get(key, np.zeros(0, bool))
                last = int(np.flatnonzero(says)[0]) if says.any() else len(says)
                p, answer = np.stack(own.p.to_numpy())[: last + 1].astype(float), answers[key]
                alone = (p == p.max(1, keepdims=True)).sum(1) == 1
                agrees = alone & (p.argmax(1) == answer)
                locked = next((k for k in range(last + 1) if agrees[k:].all()), np.nan)
                option = re.compile(rf"\b{re.escape(options[key[0]][answer])}\b")
                names = [k + 1 for k, text in enumerate(texts.get(key, [])[:last]) if option.search(text)]
                places = np.round(np.linspace(0, last, 3)).astype(int)
                found.append(
                    {
                        "qid": key[0],
                        "reader": reader,
                        "answer": answer,
                        "first": p[0].argmax(),
                        "at_prompt": agrees[0],
                        "spread": agrees[places].all() if last >= 2 else np.nan,
                        "early": agrees[:3].all() if last >= 2 else np.nan,
                        "never": not agrees[-1],
                        "right": answer == gold[key[0]],
                        "later": np.nan if np.isnan(locked) else min([*names, last + 1]) > locked,
                        "p_own": np.trapezoid(p[:, answer]) / last if last else p[0, answer],
                    }
                )
        return pd.DataFrame(found)

    def lock_sums(self, column, reader, names, right=None):
        """Sum and count of a column of `locks` by question [names, 2]; `right`: of such answers alone."""
        own = self.locks[(self.locks.reader == reader) & self.locks[column].notna()]
        own = own if right is None else own[own.right == right]
        by = own[column].astype(float).groupby(own.qid).agg(["sum", "size"])
        return by.reindex(names, fill_value=0).to_numpy(float)
