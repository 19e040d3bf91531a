"""Text or weights: how often the next step is wrong, by whose text it follows and whose weights write it.

Every prefix of either arm was gone on from by both arms. Rates are sums over questions; every difference of
them has one interval, the jackknife of questions, in which a question takes all of its prefixes, writers and
draws with it. Text and weights do not add (methods, amendment 31): both orders and the interaction are given.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mechcot.analyses.arms import pair_of
from mechcot.analyses.form import missing
from mechcot.analyses.handover.result import (
    GREEDY,
    SAMPLED,
    SLOT,
    Cell,
    Effects,
    HandoverResult,
    LeftOut,
    Measure,
    Outcomes,
    Terms,
    row_of,
)
from mechcot.core import handover_tables as tables
from mechcot.core import records
from mechcot.core.errors import AnalysisError
from mechcot.core.handover_tables import FORCED, FREE, NEUTRAL, OWN
from mechcot.core.results import Interval, Pair
from mechcot.stats import interval_of_sums, rate_interval
from mechcot.stats.cluster import Floats, safe_ratio
from mechcot.stats.frames import text_codes

if TYPE_CHECKING:
    from mechcot.core.settings import Settings
    from mechcot.study.folder import Study

FORMS = (FREE, FORCED, SLOT)
DECODINGS = (SAMPLED, GREEDY)
_CELL = ["arm", "source", "writer", "form", "decoding"]
_NO_SLOTS = "the task reads no claims, so that no slot can be forced"
_NO_NEUTRAL = "the task has no neutral statements"
_NOTHING = "no next step was judged correct or erroneous"

Key = tuple[str, str, str, str, str]
"""Of a cell: whose prefix, its source, writer, form, decoding."""


@dataclass(frozen=True)
class Counts:
    """Errors and judged steps of every cell, by question.

    Attributes:
        cells: [questions, 2] each; those that nothing was judged in are missing.
        n_questions: questions; equal texts are one.
    """

    cells: Mapping[Key, Floats]
    n_questions: int

    def of(self, key: Key) -> Floats:
        """[questions, 2]; zeros where nothing was judged."""
        return self.cells.get(key, np.zeros((self.n_questions, 2)))

    def why(self, keys: Sequence[Key]) -> str:
        """Why a rate of one of the cells does not exist."""
        empty = [key for key in keys if not self.of(key)[:, 1].any()]
        slots = any(key[3] in (FORCED, SLOT) for key in self.cells)
        neutral = any(key[1] == NEUTRAL for key in self.cells)
        if any(key[3] in (FORCED, SLOT) for key in empty) and not slots:
            return _NO_SLOTS
        return _NO_NEUTRAL if any(key[1] == NEUTRAL for key in empty) and not neutral else _NOTHING

    def combined(self, terms: Sequence[tuple[float, Key]]) -> Interval:
        """A sum of rates, each times its factor."""
        factors = np.array([factor for factor, _ in terms])
        columns = np.stack([self.of(key) for _, key in terms], axis=1)  # [questions, terms, 2]
        used = columns[..., 1].any(axis=1)
        columns = columns[used]
        share = columns[..., 1] / np.maximum(columns[..., 1].sum(axis=0), 1e-300)

        def statistic(sums: Floats) -> Floats:
            rates = safe_ratio(sums[:, 0::2], sums[:, 1::2])
            total: Floats = rates @ factors
            return total

        return interval_of_sums(
            columns.reshape(len(columns), 2 * len(terms)),
            statistic,
            weight=share @ np.abs(factors),
            reason=self.why([key for _, key in terms]),
        )


def analyse(
    questions: pd.DataFrame,
    arms: Pair[str],
    places: pd.DataFrame,
    steps: pd.DataFrame,
    verdicts: pd.DataFrame,
    *,
    temperature: float,
) -> HandoverResult:
    """Rates, effects and measures of a hand-over between two arms.

    Args:
        questions: rows of `records.QUESTIONS`.
        arms: before and after.
        places: rows of `PLACES` with a column `writer`, of both.
        steps: rows of `NEXT_STEPS` with a column `writer`, of both.
        verdicts: rows of `NEXT_VERDICTS` with a column `writer`: one for each row with the outcome `step`.
        temperature: of the study.

    Raises:
        AnalysisError: nothing was handed over, steps without a verdict, several instruments, rows of other
            arms.
    """
    joined = _joined(arms, places, steps, verdicts)
    codes = pd.Series(text_codes(questions), index=questions.qid)
    counts = Counts(_cells(joined, places, codes), int(codes.max()) + 1)
    own = places[(places.source == OWN) & (places.writer == arms.before)]
    return HandoverResult(
        before=arms.before,
        after=arms.after,
        instrument=", ".join(sorted(verdicts.instrument.unique())),
        temperature=temperature,
        samples=int(steps.draw.max()) + 1,
        n_prefixes={arm: int((own.arm == arm).sum()) for arm in arms},
        n_questions=int(own.qid.nunique()),
        cells=tuple(_rates(counts, arms)),
        effects=tuple(effects(counts, arms, form, how) for form, how in itertools.product(FORMS, DECODINGS)),
        terms=tuple(terms(counts, arms)),
        measures=(*_measures(counts, arms), *_selectivities(arms, joined, places, codes)),
        outcomes=tuple(_outcomes(joined)),
        left_out=tuple(_left_out(places)),
    )


def _joined(
    arms: Pair[str], places: pd.DataFrame, steps: pd.DataFrame, verdicts: pd.DataFrame
) -> pd.DataFrame:
    """Next steps with their labels, "" where there is none to judge, and their decoding."""
    if steps.empty:
        raise AnalysisError("nothing was handed over: no prefix fits the writers")
    for table, what in ((places, "places"), (steps, "next steps"), (verdicts, "verdicts")):
        for column in ("arm", "writer"):
            strange = sorted({*table[column]} - {*arms})
            if strange:
                raise AnalysisError(f"{what}: {column} '{strange[0]}' is none of {' and '.join(arms)}")
    if verdicts.instrument.nunique() > 1:
        raise AnalysisError(f"verdicts of several instruments: {sorted(verdicts.instrument.unique())}")
    key = [*tables.NEXT_KEY, "writer"]
    joined = steps.merge(verdicts[[*key, "label"]], on=key, how="left", validate="one_to_one")
    unjudged = joined[(joined.outcome == "step") & joined.label.isna()]
    if len(unjudged):
        raise AnalysisError(
            f"{len(unjudged)} next steps have no verdict (first: {dict(unjudged.iloc[0][key])}). Judge them "
            "again: mechcot run STUDY --restart-from handover-judge"
        )
    decoding = np.where(joined.draw == tables.GREEDY, GREEDY, SAMPLED)
    return joined.assign(label=joined.label.fillna(""), decoding=decoding)


def _cells(joined: pd.DataFrame, places: pd.DataFrame, codes: pd.Series) -> dict[Key, Floats]:
    judged = joined[joined.label.isin(["correct", "erroneous"])]
    rows = [judged.assign(wrong=(judged.label == "erroneous").astype(float))]
    read = places[places.p_truth.notna()]
    for decoding, p in ((SAMPLED, read.p_truth), (GREEDY, read.first_true)):
        rows.append(read.assign(form=SLOT, decoding=decoding, wrong=1 - p))
    table = pd.concat([part[["qid", *_CELL, "wrong"]] for part in rows])
    found: dict[Key, Floats] = {}
    for (arm, source, writer, form, how), own in table.groupby(_CELL, sort=False):
        q, n = codes[own.qid].to_numpy(), int(codes.max()) + 1
        sums = [np.bincount(q, own.wrong, n), np.bincount(q, minlength=n).astype(float)]
        found[str(arm), str(source), str(writer), str(form), str(how)] = np.stack(sums, axis=1)
    return found


def _rates(counts: Counts, arms: Pair[str]) -> list[Cell]:
    cells = []
    for form, how, source in itertools.product(FORMS, DECODINGS, (OWN, NEUTRAL)):
        for prefix, writer in itertools.product(arms, arms):
            key = (prefix, source, writer, form, how)
            if key not in counts.cells and source == NEUTRAL:
                continue
            errors, judged = counts.of(key).T
            found = rate_interval(errors, judged)
            if found.estimate is None:
                found = Interval(None, None, None, 0, found.method, counts.why([key]))
            cells.append(Cell(*key, found, int(judged.sum())))
    return cells


def effects(counts: Counts, arms: Pair[str], form: str, decoding: str) -> Effects:
    """Text and weights in both orders."""
    b, a = arms

    def of(*parts: tuple[float, str, str]) -> Interval:
        """Factor, whose prefix, writer."""
        return counts.combined([(f, (prefix, OWN, writer, form, decoding)) for f, prefix, writer in parts])

    return Effects(
        form,
        decoding,
        change=of((1, a, a), (-1, b, b)),
        effect_text=of((0.5, a, b), (-0.5, b, b), (0.5, a, a), (-0.5, b, a)),
        effect_weights=of((0.5, b, a), (-0.5, b, b), (0.5, a, a), (-0.5, a, b)),
        text_first=of((1, a, b), (-1, b, b)),
        weights_then=of((1, a, a), (-1, a, b)),
        weights_first=of((1, b, a), (-1, b, b)),
        text_then=of((1, a, a), (-1, b, a)),
        interaction=of((1, a, a), (-1, b, a), (-1, a, b), (1, b, b)),
    )


_PARTS: dict[str, tuple[tuple[float, str, str], ...]] = {
    "weights": ((1, FREE, SAMPLED),),
    "knowledge": ((1, FORCED, GREEDY),),
    "decoding": ((1, FORCED, SAMPLED), (-1, FORCED, GREEDY)),
    "choice": ((1, FREE, SAMPLED), (-1, FORCED, SAMPLED)),
}
"""Of each term of a change of writers: factor, form, decoding."""


def terms(counts: Counts, arms: Pair[str]) -> list[Terms]:
    """What after's weights change, on the prefixes of each arm and in the mean, as three terms."""
    found = []
    for name, prefixes in (*((arm, (arm,)) for arm in arms), ("mean", tuple(arms))):
        parts = {
            term: counts.combined(
                [
                    (sign * factor / len(prefixes), (prefix, OWN, writer, form, how))
                    for prefix in prefixes
                    for sign, writer in ((1, arms.after), (-1, arms.before))
                    for factor, form, how in parts
                ]
            )
            for term, parts in _PARTS.items()
        }
        found.append(Terms(name, **parts))
    return found


def _measures(counts: Counts, arms: Pair[str]) -> list[Measure]:
    """Choice, decoding and drift of every prefix and writer."""
    found = []
    for prefix, writer in itertools.product(arms, arms):

        def less(
            name: str, form: str, how: str, one: tuple[str, str, str], other: tuple[str, str, str],
            prefix: str = prefix, writer: str = writer,
        ) -> Measure:  # fmt: skip
            """Source, form and decoding of what is compared."""
            keys = [(prefix, source, writer, f, d) for source, f, d in (one, other)]
            value = counts.combined([(1, keys[0]), (-1, keys[1])])
            return Measure(name, prefix, writer, form, how, value)

        for how in DECODINGS:
            found.append(less("choice", FREE, how, (OWN, FREE, how), (OWN, FORCED, how)))
        for form in FORMS:
            found.append(less("decoding", form, SAMPLED, (OWN, form, SAMPLED), (OWN, form, GREEDY)))
        for form, how in itertools.product((FORCED, SLOT), DECODINGS):
            found.append(less("drift", form, how, (OWN, form, how), (NEUTRAL, form, how)))
    return found


def _selectivities(
    arms: Pair[str], joined: pd.DataFrame, places: pd.DataFrame, codes: pd.Series
) -> list[Measure]:
    wrote = joined[(joined.source == OWN) & (joined.decoding == SAMPLED) & joined.p_truth.notna()]
    wrote = wrote.assign(kind=wrote.role)
    offered = places[(places.source == OWN) & places.p_truth.notna()]
    found = []
    for prefix, writer in itertools.product(arms, arms):
        own, slots = (one[(one.arm == prefix) & (one.writer == writer)] for one in (wrote, offered))
        value = selectivity(own, slots, codes)
        found.append(Measure("selectivity", prefix, writer, SLOT, SAMPLED, value))
    return found


def selectivity(wrote: pd.DataFrame, offered: pd.DataFrame, codes: pd.Series) -> Interval:
    """Mean p(truth) at the slots that were written less that at those that were offered, kind by kind.

    Kinds weigh as they were written; those that were not both written and offered do not count.

    Args:
        wrote: qid, kind and p_truth of steps.
        offered: the same of forced slots.
        codes: number of each question, by qid.
    """
    kinds = sorted({*wrote.kind} & {*offered.kind})
    n = int(codes.max()) + 1 if len(codes) else 0

    def columns(own: pd.DataFrame, kind: str) -> list[npt.NDArray[Any]]:
        own = own[own.kind == kind]
        q = codes[own.qid].to_numpy(dtype=int)
        return [np.bincount(q, own.p_truth, n), np.bincount(q, minlength=n)]

    table = np.array([columns(own, kind) for kind in kinds for own in (wrote, offered)], dtype=float)
    table = table.reshape(len(kinds), 4, n).transpose(2, 0, 1) if kinds else np.zeros((0, 1, 4))
    table = table[table.any(axis=(1, 2))]

    def statistic(sums: Floats) -> Floats:
        p, m, po, mo = np.moveaxis(sums.reshape(len(sums), max(1, len(kinds)), 4), 2, 0)
        both = (m > 0) & (mo > 0)
        gaps = np.where(both, safe_ratio(p, m) - safe_ratio(po, mo), 0.0)
        weight = np.where(both, m, 0.0)
        return safe_ratio((weight * gaps).sum(1), weight.sum(1))

    share = table[..., [1, 3]] / np.maximum(table[..., [1, 3]].sum(axis=0), 1e-300)
    written = table[..., 1].sum(axis=0)
    weight = (share.sum(axis=2) * written).sum(axis=1) if len(table) else np.zeros(0)
    reason = "no kind of claim was both written and offered" if not offered.empty else _NO_SLOTS
    return interval_of_sums(
        table.reshape(len(table), 4 * max(1, len(kinds))), statistic, weight=weight, reason=reason
    )


# --- counts -----------------------------------------------------------------------------------------


def _outcomes(joined: pd.DataFrame) -> list[Outcomes]:
    names = ("step", "empty", "answer", "cut", "runs_on")
    found = []
    for (arm, source, writer, form, how), own in joined.groupby(_CELL):
        ids = (str(arm), str(source), str(writer), str(form), str(how))
        outcome, label = own.outcome.value_counts(), own.label.value_counts()
        counts = [int(outcome.get(name, 0)) for name in names]
        counts += [int(label.get(name, 0)) for name in records.LABELS]
        found.append(Outcomes(*ids, len(own), *counts))
    return found


def _left_out(places: pd.DataFrame) -> list[LeftOut]:
    found = []
    for column, what in (("left_out", "prefix"), ("no_slot", "slot")):
        own = places[places[column] != ""]
        for (arm, source, writer, reason), rows in own.groupby(["arm", "source", "writer", column]):
            ids = (str(arm), str(source), str(writer), str(reason))
            found.append(LeftOut(what, *ids, len(rows)))
    return found


# --- of a study -------------------------------------------------------------------------------------


def asked(settings: Settings) -> bool:
    """Whether a study has a hand-over."""
    return settings.handover is not None


def handover_of(study: Study) -> HandoverResult:
    """Whether the next step's errors go with the text before it or with the weights that write it.

    Raises:
        AnalysisError: the study has no hand-over.
    """
    if not asked(study.settings):
        raise AnalysisError(f"this study has no hand-over. Make it: mechcot handover {study.path}")
    arms = pair_of(study)

    def both(name: str, schema: Any) -> pd.DataFrame:
        parts = [
            records.read_table(study.checked(study.path / "handover" / arm / f"{name}.parquet"), schema)
            for arm in arms
        ]
        return pd.concat([part.assign(writer=arm) for arm, part in zip(arms, parts, strict=True)])

    return analyse(
        study.questions(study.settings.contrast.domain),
        arms,
        both("places", tables.PLACES).reset_index(drop=True),
        both("steps", tables.NEXT_STEPS).reset_index(drop=True),
        both("verdicts", tables.NEXT_VERDICTS).reset_index(drop=True),
        temperature=study.settings.sampling.temperature,
    )


_CHANGES = {
    "change": "change",
    "text": "effect_text",
    "weights": "effect_weights",
    "interaction": "interaction",
}
_TERMS = ("knowledge", "decoding", "choice")


def summarised(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    """Effects of text and weights on the next free step, and the terms of the weights', for summary.json."""
    if "effects" not in result:
        return {name: missing(result["reason"]) for name in (*_CHANGES, *_TERMS)}
    free, mean = (
        row_of(result["effects"], form=FREE, decoding=SAMPLED),
        row_of(result["terms"], prefix="mean"),
    )
    return {name: free[key] for name, key in _CHANGES.items()} | {name: mean[name] for name in _TERMS}
