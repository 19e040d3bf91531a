"""What hedging follows: how seldom a fact was met (doubt), its subject (frequency), or neither (memorised).

A direction that tells hedged from asserted claims may mark doubt about the fact, unfamiliarity of whom it is
about, or a habit learnt by heart. Where the task knows how often a fact and its subject were met, apart from
each other, three AUROCs of claims tell them apart. Pairs lie within a kind of claim, and

- `fact`: claims whose subjects were met as often, by how seldom the fact was met;
- `subject`: claims whose facts were met as often, by how seldom the subject was met;
- `again`: claims whose facts and subjects were met as often, by how often the same question's other traces
  hedge: what is left that is not by chance.

The first two count claims about subjects whose hedges the training text does not teach, where there are any:
of the others a model may know by heart what it would else have to judge. The third counts those others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.core.records import STEP_KEY
from mechcot.core.results import Interval, Result
from mechcot.core.words import number
from mechcot.stats.auroc import leave_one_out
from mechcot.stats.jackknife import jackknife_interval
from mechcot.steps.of_study import questions_by_id, task_of
from mechcot.tasks import Question, Task

if TYPE_CHECKING:
    from mechcot.study.folder import Study

Answer = Literal["doubt", "frequency", "memorised", "cannot tell"]
Floats = NDArray[np.float64]

MATTERS = 0.55
"""An AUROC whose whole interval lies above this tells something."""
NOTHING = 0.6
"""One whose whole interval lies below this tells nothing to speak of."""
ORIGINS = {
    "fact": "how seldom the fact was met, subjects met as often",
    "subject": "how seldom the subject was met, facts met as often",
    "again": "how often the question’s other traces hedge, fact and subject met as often",
}
"""What each AUROC is of, in words."""
LEVELS = 10
"""More distinct frequencies than this are cut into tenths of the claims."""
_UNIT = "subjects"
_NO_PAIRS = "no pair of one hedged and one asserted claim to compare"


@dataclass(frozen=True)
class HedgeOrigin(Result):
    """What the arm's hedging follows, on its own claims.

    Attributes:
        fact: AUROC of how seldom the fact was met, among claims whose subjects were met as often.
        subject: AUROC of how seldom the subject was met, among claims whose facts were met as often.
        again: AUROC of how often the question's other traces hedge, among claims alike in both.
        n_claims: that the first two count.
        n_subjects: of those claims.
        untaught: whether they are about subjects whose hedges the training text does not teach; else all are.
    """

    fact: Interval
    subject: Interval
    again: Interval
    n_claims: int
    n_subjects: int
    untaught: bool

    derived = ("answer", "decided_by")

    @property
    def answer(self) -> Answer:
        """Doubt, frequency, memorised, or cannot tell."""
        return answer_of(self.fact, self.subject, self.again)[0]

    @property
    def decided_by(self) -> str:
        """The interval that decides, or the one that does not."""
        return answer_of(self.fact, self.subject, self.again)[1]


def answer_of(fact: Any, subject: Any, again: Any) -> tuple[Answer, str]:
    """What three AUROCs say, and the name of the one that decides.

    An interval decides that something matters where it lies above `MATTERS`, and that it does not where it
    lies below `NOTHING`. The fact comes first: what follows doubt may follow frequency too.

    Args:
        fact: interval, or its JSON.
        subject: likewise.
        again: likewise.
    """
    for name, one, yes in (
        ("fact", fact, "doubt"),
        ("subject", subject, "frequency"),
        ("again", again, "memorised"),
    ):
        matters = _matters(one)
        if matters:
            return yes, name  # type: ignore[return-value]
        if matters is None:
            return "cannot tell", name
    return "cannot tell", "again"


def _matters(interval: Any) -> bool | None:
    """Whether an AUROC tells something; None: its interval does not decide."""
    leaf = interval if isinstance(interval, Mapping) else interval.to_json()
    low, high = number(leaf["low"]), number(leaf["high"])
    if low is None or high is None:
        return None
    return True if low > MATTERS else False if high < NOTHING else None


def origin(claims: pd.DataFrame) -> HedgeOrigin:
    """What hedging follows.

    Args:
        claims: a row a claim: `relation`, `subject`, `qid`, `cid`, `hedged`, and of its fact `met` and
            `subject_met` (how often, on scales that rise with it) and `taught`.
    """
    taught = claims["taught"].to_numpy(bool)
    untaught = bool((~taught).any())
    asked = claims[~taught] if untaught else claims
    fact_rare, subject_rare = _rare(asked, "met"), _rare(asked, "subject_met")
    return HedgeOrigin(
        fact=within(fact_rare, asked, [levels(subject_rare)]),
        subject=within(subject_rare, asked, [levels(fact_rare)]),
        again=_again(claims[taught]),
        n_claims=len(asked),
        n_subjects=asked["subject"].nunique(),
        untaught=untaught,
    )


def _rare(claims: pd.DataFrame, name: str) -> Floats:
    return -claims[name].to_numpy(np.float64)


def levels(values: Floats) -> NDArray[np.int64]:
    """Which claims were met as often: equal values, or tenths of the claims where there are many."""
    found, code = np.unique(values, return_inverse=True)
    if len(found) <= LEVELS:
        return np.asarray(code, dtype=np.int64)
    inner = np.quantile(values, np.linspace(0, 1, LEVELS + 1)[1:-1])
    return np.searchsorted(inner, values, side="left").astype(np.int64)


def _again(claims: pd.DataFrame) -> Interval:
    """Claims of a question's even traces by the hedged share of its odd ones, and the other way round."""
    odd = claims["cid"].to_numpy(np.int64) % 2
    shares = claims.assign(odd=odd).pivot_table(index="qid", columns="odd", values="hedged", aggfunc="mean")
    other = shares.reindex(columns=[1, 0]).to_numpy(np.float64)
    at = shares.index.get_indexer(pd.Index(claims["qid"]))
    score = other[at, odd] if len(claims) else np.empty(0)
    known = np.isfinite(score)
    kept = claims[known]
    alike = [levels(_rare(kept, name)) for name in ("met", "subject_met")]
    return within(score[known], kept, [*alike, odd[known]])


def within(score: Floats, claims: pd.DataFrame, inside: Sequence[Any], label: str = "hedged") -> Interval:
    """AUROC of a score for a label, pairs within a kind and within some levels; subjects left out in turn.

    Args:
        score: [claims].
        claims: with `relation`, `subject` and the label.
        inside: levels, [claims] each.
        label: the column that is foretold.
    """
    if not len(claims):
        return Interval(None, None, None, 0, "", _NO_PAIRS)
    cells = pd.DataFrame({i: np.asarray(one) for i, one in enumerate(inside)})
    strata = cells.groupby(list(cells)).ngroup().to_numpy()
    truth = claims[label].to_numpy(bool)
    left = leave_one_out(score, truth, claims["relation"], claims["subject"], strata=strata)
    return jackknife_interval(left.auroc, left.without, logit=True, unit=_UNIT, reason=_NO_PAIRS)


def of_claims(claims: pd.DataFrame, questions: Mapping[str, Question], task: Task) -> pd.DataFrame:
    """The claims whose facts the task knows how often they were met, with `met`, `subject_met` and `taught`.

    Args:
        claims: rows of `records.CLAIMS`, with the `text` of their steps.
        questions: by id.
        task: it has `exposure`.
    """
    assert task.exposure is not None
    told = [
        task.exposure(questions[qid], text) for qid, text in zip(claims["qid"], claims["text"], strict=True)
    ]
    kept = [one for one in told if one is not None]
    return claims[[one is not None for one in told]].assign(
        met=[one.fact for one in kept],
        subject_met=[one.subject for one in kept],
        taught=[one.taught for one in kept],
    )


def origin_of(study: Study, arm: str) -> HedgeOrigin | None:
    """What an arm's hedging follows; None where the task does not tell facts from their subjects.

    Args:
        study: with its steps and claims.
        arm: whose.
    """
    task = task_of(study)
    if task.exposure is None:
        return None
    texts = study.steps(arm)[[*STEP_KEY, "text"]]
    claims = of_claims(study.claims(arm).merge(texts, on=STEP_KEY), questions_by_id(study), task)
    return origin(claims) if len(claims) else None
