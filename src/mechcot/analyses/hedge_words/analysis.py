"""Hedges as words: how often both arms write them, and whether a hedged step is a wrong one.

Works on any study with steps: the words are those of a lexicon (`steps.hedge_words`), or where the task reads
claims its own hedge (an invented language may say "suggests" of what is certain). Beside hedges stand
marks of certainty and the first person: a model that writes less of all three has another manner, and no
less doubt. Whether hedges mark errors is counted among steps of one question, and tested by dealing the
verdicts out anew inside each question; that the two arms differ in it is its own number with its own
interval, since a mark of error that is found in one arm and not in the other need not differ between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.analyses.arms import on_questions, pair_of
from mechcot.analyses.form import INTERVAL, pick
from mechcot.core.records import STEP_KEY
from mechcot.core.results import Interval, Pair, Paired, Result, because, cells
from mechcot.stats import jackknife_interval, rate_interval, ratio_difference_interval, ratio_interval
from mechcot.stats.auroc import pairs_by_cluster
from mechcot.stats.frames import one_of_each
from mechcot.steps.hedge_words import KINDS, VERSION, found_in

if TYPE_CHECKING:
    from mechcot.study.folder import Study

Floats = NDArray[np.float64]
_NO_PAIR = "no question has a right and a wrong step"
_ALIKE = "none of its judged steps hedges, or all do"
DRAWS = 999


@dataclass(frozen=True)
class Wording(Result):
    """One kind of words in both arms.

    Attributes:
        steps: share of steps that hold one.
        density: of them a hundred words.
    """

    steps: Paired
    density: Paired


@dataclass(frozen=True)
class Marking(Result):
    """Whether hedged steps of one arm are wrong ones.

    Attributes:
        auroc: how often, of a wrong and a right step of one question, the wrong one alone hedges, ties half.
        p: verdicts dealt out anew inside each question, two-sided; None without a pair.
        n_pairs: of a wrong and a right step of one question.
        n_hedged: judged steps that hedge.
        n_judged: judged steps.
    """

    auroc: Interval
    p: float | None = field(metadata=because("there is no AUROC"))
    n_pairs: int
    n_hedged: int
    n_judged: int


@dataclass(frozen=True, eq=False)
class HedgeWordsResult(Result):
    """Hedges as words in both arms.

    Attributes:
        before: name of the arm before.
        after: of the arm after.
        n_questions: whose steps are looked at; equal texts count once.
        n_steps: of each arm, cut ones left out.
        words: `hedge`, `certain` and `first_person` to how often.
        marking: whether hedged steps are wrong ones, by arm.
        change: of that AUROC, after minus before, both arms of a question left out together.
        lexicon: version of the words; 0: the task's own hedge.
    """

    before: str
    after: str
    n_questions: int
    n_steps: Pair[int]
    words: dict[str, Wording]
    marking: Pair[Marking]
    change: Interval
    lexicon: int

    table = "rows"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row a kind of words and measure."""
        return [
            {"words": kind, "measure": measure, **cells(getattr(own, measure))}
            for kind, own in self.words.items()
            for measure in ("steps", "density")
        ]

    def __repr__(self) -> str:
        hedged = self.words["hedge"].steps
        told = f"{self.before} hedges in {hedged.before} of its steps, {self.after} in {hedged.after}"
        return f"HedgeWordsResult({told})"


def hedge_words_of(study: Study, *, draws: int = DRAWS) -> HedgeWordsResult:
    """How often the models hedge in words, and whether their hedges mark errors."""
    questions = study.questions(study.settings.contrast.domain)
    same = one_of_each(questions)

    def judged(arm: str) -> pd.DataFrame:
        steps = on_questions(questions, study.steps(arm))
        labels = study.verdicts(arm)[[*STEP_KEY, "label"]]
        steps = steps[steps.complete].merge(labels, on=STEP_KEY, how="left")
        if own:
            claims = study.claims(arm)[[*STEP_KEY, "hedged"]]
            steps = steps.merge(claims, on=STEP_KEY, how="left")
            steps["hedge"] = steps.hedged.eq(True).astype(int)
        return steps.assign(qid=steps.qid.map(same))

    before, after = pair_of(study)
    own = any(not study.claims(arm).empty for arm in (before, after))
    return analyse(judged(before), judged(after), before, after, draws=draws, seed=study.settings.seed)


def analyse(
    before: pd.DataFrame, after: pd.DataFrame, name: str, other: str, *, draws: int = DRAWS, seed: int = 0
) -> HedgeWordsResult:
    """Words of two arms on the same questions.

    Args:
        before: steps of the arm before: qid, text, n_words, label, and `hedge`, how many hedges each holds,
            where the lexicon shall not say so; equal questions go by one name.
        after: of the arm after.
        name: the arm before.
        other: the arm after.
        draws: deals of the verdicts.
        seed: of the deals.
    """
    tables = Pair(*(_counted(table) for table in (before, after)))
    order = sorted({*before.qid, *after.qid})
    rng = np.random.default_rng(seed)
    pairs = Pair(*(_pairs(table, order) for table in tables))
    marking = Pair(*(_marking(table, own, draws, rng) for table, own in zip(tables, pairs, strict=True)))
    return HedgeWordsResult(
        name,
        other,
        len(order),
        Pair(len(before), len(after)),
        {kind: _wording(tables, kind, order) for kind in KINDS},
        marking,
        _change(pairs, marking),
        0 if "hedge" in before else VERSION,
    )


def _counted(steps: pd.DataFrame) -> pd.DataFrame:
    """How many words of each kind a step holds, equal texts looked at once."""
    texts = steps.text.unique()
    kinds = [kind for kind in KINDS if kind not in steps]
    counts = {kind: {text: len(found_in(text, kind)) for text in texts} for kind in kinds}
    return steps.assign(**{kind: steps.text.map(counts[kind]).astype(int) for kind in kinds})


def _sums(table: pd.DataFrame, values: pd.Series, order: list[str]) -> Floats:
    found: Floats = values.groupby(table.qid).sum().reindex(order, fill_value=0).to_numpy(np.float64)
    return found


def _wording(tables: Pair[pd.DataFrame], kind: str, order: list[str]) -> Wording:
    steps = [
        (_sums(table, table[kind] > 0, order), _sums(table, table[kind] >= 0, order)) for table in tables
    ]
    words = [(_sums(table, 100 * table[kind], order), _sums(table, table.n_words, order)) for table in tables]
    (s0, s1), (w0, w1) = steps, words
    return Wording(
        Paired(rate_interval(*s0), rate_interval(*s1), ratio_difference_interval(*s0, *s1)),
        Paired(ratio_interval(*w0), ratio_interval(*w1), ratio_difference_interval(*w0, *w1)),
    )


def _judged(table: pd.DataFrame) -> pd.DataFrame:
    return table[table.label.isin(("correct", "erroneous"))]


def _pairs(table: pd.DataFrame, order: list[str]) -> Floats:
    """Pairs in order and all pairs of each question, [2, questions]."""
    own = _judged(table)
    found = np.zeros((2, len(order)))
    if len(own):
        code = pd.Index(order).get_indexer(pd.Index(own.qid))
        wrong = (own.label == "erroneous").to_numpy()
        _, each = pairs_by_cluster((own.hedge > 0).to_numpy(float), wrong, code, code)
        found[:, np.unique(code)] = each
    return found


def _marking(table: pd.DataFrame, pairs: Floats, draws: int, rng: np.random.Generator) -> Marking:
    own = _judged(table)
    right, total = pairs.sum(axis=1)
    hedged = (own.hedge > 0).to_numpy()
    counts = (int(total), int(hedged.sum()), len(own))
    if not total or not hedged.any() or hedged.all():
        return Marking(Interval(None, None, None, 0, "", _ALIKE if total else _NO_PAIR), None, *counts)
    stands = pairs[1] > 0
    without = (right - pairs[0, stands]) / np.maximum(total - pairs[1, stands], 1e-300)
    estimate = float(right / total)
    interval = jackknife_interval(estimate, without, logit=True, unit="questions", reason=_NO_PAIR)
    dealt = _dealt(own, hedged, draws, rng) / total
    beyond = int((np.abs(dealt - 0.5) >= abs(estimate - 0.5) - 1e-12).sum())
    return Marking(interval, (1 + beyond) / (1 + draws), *counts)


def _dealt(own: pd.DataFrame, hedged: NDArray[np.bool_], draws: int, rng: np.random.Generator) -> Floats:
    """Pairs in order with the verdicts of each question dealt out anew, [draws].

    With a score of two values a question's pairs in order hang on one number: how many of its hedged steps
    are called wrong, which is hypergeometric.
    """
    wrong = (own.label == "erroneous").to_numpy()
    table = pd.DataFrame({"n": 1, "h": hedged, "w": wrong}).groupby(own.qid.to_numpy()).sum()
    n, h, w = (table[name].to_numpy(np.int64) for name in ("n", "h", "w"))
    found = np.zeros(draws)
    for size, hedges, wrongs in zip(n, h, w, strict=True):
        if 0 < wrongs < size:
            both = rng.hypergeometric(hedges, size - hedges, wrongs, draws) if hedges else np.zeros(draws)
            plain_wrong, hedged_right = wrongs - both, hedges - both
            plain_right = size - wrongs - hedged_right
            found += both * plain_right + 0.5 * (both * hedged_right + plain_wrong * plain_right)
    return found


def _change(pairs: Pair[Floats], marking: Pair[Marking]) -> Interval:
    """After minus before, both arms of a question left out together."""
    for own in marking:
        if own.auroc.estimate is None:
            return Interval(None, None, None, 0, "", own.auroc.reason)
    totals = [one.sum(axis=1) for one in pairs]
    stands = (pairs[0][1] > 0) | (pairs[1][1] > 0)
    left = [
        (total[0] - one[0, stands]) / np.maximum(total[1] - one[1, stands], 1e-300)
        for one, total in zip(pairs, totals, strict=True)
    ]
    estimate = float(totals[1][0] / totals[1][1] - totals[0][0] / totals[0][1])
    return jackknife_interval(estimate, left[1] - left[0], logit=False, unit="questions")


def summarised(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    """Its lines of summary.json: share of steps that hedge, and whether those are wrong ones."""
    hedged = result["words"]["hedge"]["steps"]
    own = {
        arm: {
            "hedged_steps": pick(hedged, (role,))[role],
            "error_auroc": pick(result["marking"][role]["auroc"], INTERVAL),
        }
        for role, arm in arms.items()
    }
    changes = {"change": hedged["difference"], "auroc_change": result["change"]}
    return own | {name: pick(leaf, INTERVAL) for name, leaf in changes.items()}
