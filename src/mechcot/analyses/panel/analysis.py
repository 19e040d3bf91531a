"""Do the judges agree, and does each of them see the same change? Several instruments on the same steps.

Agreement is reported for each arm by itself, in three label sets: all four verdicts; correct, abstain and
erroneous, which have that order; and the steps that a judge called correct or erroneous alone (its other
steps count as not rated). Failures of an instrument are missing ratings. Differences are after - before;
every interval leaves out questions, the same ones for all judges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from mechcot.core.errors import AnalysisError
from mechcot.core.records import LABELS, STEP_KEY
from mechcot.core.results import Interval, Pair, Result, because, cells, keyed
from mechcot.stats.agreement import NOTE, Agreement, agreement
from mechcot.stats.cluster import Ints
from mechcot.stats.frames import (
    describe,
    one_arm,
    question_codes,
    require_columns,
    require_unique,
    text_codes,
)
from mechcot.stats.jackknife import rate_interval, ratio_difference_interval
from mechcot.stats.latent import LatentDifference, latent_difference
from mechcot.stats.pooled import PooledDifference, pooled_difference

if TYPE_CHECKING:
    from mechcot.study.folder import Study

_VERDICTS = LABELS[:4]
_DECIDED = LABELS[:2]
_GRADED = ("correct", "abstain", "erroneous")
LABEL_SETS = {"four": _VERDICTS, "graded": _GRADED, "two": _DECIDED}
"""Which labels an agreement is about: all verdicts, those in between which a judge may hesitate (they have an
order), or correct and erroneous."""


@dataclass(frozen=True)
class PanelJudge(Result):
    """What one instrument says of the two arms.

    Attributes:
        instrument: its name.
        before: error rate before, erroneous / (correct + erroneous).
        after: error rate after.
        delta: after - before, step-weighted.
        counts: label to its steps, before and after; failures among them.
    """

    instrument: str
    before: Interval
    after: Interval
    delta: Interval
    counts: Pair[dict[str, int]]

    derived = ("direction",)

    @property
    def direction(self) -> str:
        """Where the interval of the difference lies: "up", "down", "unclear", or "unknown" without one."""
        low, high = self.delta.low, self.delta.high
        if low is None or high is None:
            return "unknown"
        return "up" if low > 0 else "down" if high < 0 else "unclear"


@dataclass(frozen=True)
class PanelResult(Result):
    """Several instruments on the same steps.

    Attributes:
        arms: before and after.
        judges: one by one.
        agreement: arm to label set to how far they agree there; see `LABEL_SETS`.
        same_sign: share of the judges with a difference that points the way most of them do; None
            without a difference. Ties between the two ways give 0.5.
        pooled: the mean of the judges' differences.
        latent: the difference behind the judges, if their mistakes have nothing to do with each other; for
            comparison alone, see `stats.latent`.
    """

    arms: Pair[str]
    judges: tuple[PanelJudge, ...] = field(metadata=keyed("instrument"))
    agreement: dict[str, dict[str, Agreement]]
    same_sign: float | None = field(metadata=because("no judge has a difference"))
    pooled: PooledDifference
    latent: LatentDifference

    note: ClassVar[str] = NOTE
    derived = ("note",)
    table = "rows"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row per judge; `n` are the steps that it decided."""
        return [
            {**cells(judge), "n": Pair(*(sum(own[label] for label in _DECIDED) for own in judge.counts))}
            for judge in self.judges
        ]

    @property
    def coefficients(self) -> list[dict[str, Any]]:
        """A row per arm, label set and coefficient of agreement."""
        return [
            {"arm": arm, "labels": labels, **row}
            for arm, sets in self.agreement.items()
            for labels, found in sets.items()
            for row in found.coefficients
        ]

    def __repr__(self) -> str:
        deltas = ", ".join(f"{judge.instrument} {judge.delta}" for judge in self.judges)
        raws = " -> ".join(
            "?" if (raw := self.agreement[arm]["four"].raw.estimate) is None else f"{raw:.3f}"
            for arm in self.arms
        )
        return f"PanelResult({' -> '.join(self.arms)}: differences {deltas}; raw agreement {raws})"


def analyse(
    questions: pd.DataFrame,
    before: Mapping[str, pd.DataFrame],
    after: Mapping[str, pd.DataFrame],
    *,
    seed: int = 0,
) -> PanelResult:
    """Set several instruments' verdicts on the same two arms side by side.

    Args:
        questions: rows of `records.QUESTIONS` (used: qid, and its text where it is there).
        before: instrument to its rows of `records.VERDICTS` on the arm before.
        after: the same instruments on the arm after.
        seed: of the starts of `latent`.

    Raises:
        AnalysisError: fewer than two instruments, different ones before and after, a missing column,
            several arms in a table, a step twice, an unknown question or label.
    """
    names = list(before)
    if set(names) != set(after):
        raise AnalysisError(f"the instruments before are {sorted(before)}, those after {sorted(after)}")
    if len(names) < 2:
        raise AnalysisError(
            f"a panel needs the verdicts of two instruments, there is {', '.join(names) or 'none'}; "
            "judge the same steps with another one"
        )
    index, text = pd.Index(questions["qid"]), text_codes(questions)
    tables = [
        {name: _checked(tables[name], index, text, f"verdicts of {name} {when}") for name in names}
        for when, tables in (("before", before), ("after", after))
    ]
    arms = [_arm(own, when) for own, when in zip(tables, ("before", "after"), strict=True)]
    sums = {
        name: (*_sums(tables[0][name], len(index)), *_sums(tables[1][name], len(index))) for name in names
    }
    judges = tuple(_judge(name, tables[0][name], tables[1][name], sums[name]) for name in names)
    return PanelResult(
        arms=Pair(arms[0], arms[1]),
        judges=judges,
        agreement={
            arm: {labels: _agreement(own, categories) for labels, categories in LABEL_SETS.items()}
            for arm, own in zip(arms, tables, strict=True)
        },
        same_sign=_same_sign([judge.delta.estimate for judge in judges]),
        pooled=pooled_difference(list(sums.values())),
        latent=_latent(tables[0], tables[1], seed),
    )


def panel_of(study: Study, instruments: Sequence[str] = ()) -> PanelResult:
    """The panel of a study: its contrast's arms and questions, all its instruments by default."""
    contrast = study.settings.contrast
    questions = study.questions(contrast.domain)
    names = list(instruments) or study.instruments()
    before, after = (
        {name: (table := study.verdicts(arm, name))[table.qid.isin(questions.qid)] for name in names}
        for arm in (contrast.before, contrast.after)
    )
    return analyse(questions, before, after, seed=study.settings.seed)


def _checked(verdicts: pd.DataFrame, index: pd.Index, text: Ints, what: str) -> pd.DataFrame:
    """Step key, label and `q`, the number of the question's text."""
    require_columns(verdicts, [*STEP_KEY, "label"], what)
    one_arm(verdicts, what)
    require_unique(verdicts, STEP_KEY, what)
    unknown = verdicts[~verdicts["label"].isin(LABELS)]
    if len(unknown):
        raise AnalysisError(
            f"{what}: {describe(unknown, STEP_KEY)} has the label {unknown['label'].iloc[0]!r}; "
            f"there are {', '.join(LABELS)}"
        )
    return verdicts[[*STEP_KEY, "label"]].assign(q=text[question_codes(verdicts, index, what)])


def _arm(tables: Mapping[str, pd.DataFrame], when: str) -> str:
    arms = sorted({str(table["arm"].iloc[0]) for table in tables.values()})
    if len(arms) != 1:
        raise AnalysisError(f"verdicts {when}: the instruments judged different arms: {arms}")
    return arms[0]


def _agreement(tables: Mapping[str, pd.DataFrame], categories: Sequence[str]) -> Agreement:
    labels = _side_by_side(tables, categories)
    return agreement(
        labels,
        labels.index.get_level_values("q"),
        categories=categories,
        ordered=categories == _GRADED,
    )


def _side_by_side(tables: Mapping[str, pd.DataFrame], categories: Sequence[str]) -> pd.DataFrame:
    """Labels [steps, judges], missing where a judge gave none of these."""
    key = [*STEP_KEY, "q"]
    ratings = [
        table[table["label"].isin(categories)].set_index(key)["label"].rename(name)
        for name, table in tables.items()
    ]
    return pd.concat(ratings, axis=1).sort_index()


def _latent(
    before: Mapping[str, pd.DataFrame], after: Mapping[str, pd.DataFrame], seed: int
) -> LatentDifference:
    own = [_side_by_side({name: arm[name] for name in before}, _DECIDED) for arm in (before, after)]
    wrong = [(labels == "erroneous").astype(float).where(labels.notna()) for labels in own]
    owner = [labels.index.get_level_values("q") for labels in own]
    return latent_difference(wrong[0], owner[0], wrong[1], owner[1], seed=seed)


def _judge(
    name: str, before: pd.DataFrame, after: pd.DataFrame, sums: tuple[Ints, Ints, Ints, Ints]
) -> PanelJudge:
    errors0, judged0, errors1, judged1 = sums
    counts = [{label: int((table["label"] == label).sum()) for label in LABELS} for table in (before, after)]
    return PanelJudge(
        instrument=name,
        before=rate_interval(errors0, judged0),
        after=rate_interval(errors1, judged1),
        delta=ratio_difference_interval(*sums),
        counts=Pair(counts[0], counts[1]),
    )


def _sums(table: pd.DataFrame, n_questions: int) -> tuple[Ints, Ints]:
    """Erroneous and judged steps of each question [questions]."""
    wrong = table.loc[table["label"] == "erroneous", "q"]
    judged = table.loc[table["label"].isin(_DECIDED), "q"]
    return np.bincount(wrong, minlength=n_questions), np.bincount(judged, minlength=n_questions)


def _same_sign(deltas: Sequence[float | None]) -> float | None:
    known = [delta for delta in deltas if delta is not None]
    if not known:
        return None
    ups, downs = sum(delta > 0 for delta in known), sum(delta < 0 for delta in known)
    return max(ups, downs) / len(known)


def panel_json(study: Study) -> dict[str, Any]:
    """The study's own judge and every other one as a panel, or the reason why there is none."""
    if len(study.instruments()) < 2:
        return {"reason": "one judge alone has judged these steps"}
    return panel_of(study).to_json()
