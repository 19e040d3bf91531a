"""From filled forms to what they say: counts, means, effects, reliability, and accuracy beside them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mechcot.analyses.handed_out.key import open_key, refuse_other_sources
from mechcot.analyses.likert.draw import FORMAT, sources
from mechcot.analyses.likert.read_back import Returned, read_filled
from mechcot.analyses.likert.result import Conditional, Effect, LikertResult
from mechcot.analyses.likert.scales import AGREE, INTERPRETABILITY, LOAD, OUTCOMES, POINTS, STATEMENTS
from mechcot.core.errors import AnalysisError, DataError
from mechcot.core.results import Interval
from mechcot.stats.cluster import Floats
from mechcot.stats.frames import text_codes
from mechcot.stats.inference import holm
from mechcot.stats.jackknife import by_text, rate_interval, ratio_interval
from mechcot.stats.ordinal import OrdinalFit, Ratings, fit_ordinal
from mechcot.stats.ordinal_mixed import TERMS, fit_mixed
from mechcot.stats.rating_scales import Reliability, cliffs_delta, reliability
from mechcot.study.folder import Study

_SCALES = list(STATEMENTS)
PEOPLE = "participants"


def read_ratings(study: Study, filled: Sequence[Path], key: Path) -> LikertResult:
    """Read filled forms back.

    A participant who missed an attention check is left out of everything but `everyone`.

    Args:
        study: that the forms were drawn from.
        filled: exports, one or many participants in each.
        key: the sealed key that was written with the forms.

    Raises:
        DataError: the key or a file cannot be used; names file, row and value. Or nobody is left of an arm.
        StudyError: the study's questions or traces are not those of the draw.
    """
    sealed, name = open_key(key, "form", FORMAT)
    arms = tuple(sealed["arms"])
    found = sources(study, arms)
    refuse_other_sources(study, key, sealed, found, "the rated traces")
    back = read_filled(filled, name, sealed)
    table = back.ratings.merge(pd.DataFrame(sealed["items"])[["item", "qid"]], on="item")
    out = back.missed.index[back.missed > 0]
    kept = table[~table.participant.isin(out)]
    people = _people(sealed, arms, back, kept)
    for row in people.itertuples():
        if not row.ratings:
            raise DataError(
                f"{filled[0]}: no participant of {row.arm} is left ({row.returned} returned one and missed "
                "an attention check); an arm without ratings cannot be compared"
            )
    draws, seed = study.settings.analysis.bootstrap, study.settings.seed
    pages = {one["participant"]: len(one["items"]) for one in sealed["participants"]}
    asked = sum(pages[participant] for participant in kept.participant.unique())
    fits = {outcome: _fit(kept, scales, arms) for outcome, scales in OUTCOMES.items()}
    consistent = _reliability(kept, draws, seed)
    return LikertResult(
        form=name,
        arms=arms,
        domain=sealed["domain"],
        people=people,
        excluded=_excluded(sealed, back),
        missing=asked * len(_SCALES) - int(kept[_SCALES].notna().sum().sum()),
        questions=int(kept.qid.nunique()),
        counts=_counts(kept, arms),
        means=tuple(
            {"arm": arm, "outcome": outcome, "mean": _mean(kept[kept.arm == arm], scales)}
            for arm in arms
            for outcome, scales in OUTCOMES.items()
        ),
        agree=tuple(
            {"arm": arm, "scale": scale, "agree": _agree(fits[scale], number)}
            for number, arm in enumerate(arms)
            for scale in _SCALES
        ),
        effects=tuple(one for o in OUTCOMES for one in _effects(kept, o, arms, fits[o], draws, seed)),
        everyone=_everyone(table, arms, draws, seed) if len(out) else (),
        conditional=tuple(_conditional(kept, scale, arms) for scale in _SCALES),
        alpha=consistent.alpha,
        omega=consistent.omega,
        accuracy=_accuracy(study, sealed, arms),
        ignored_columns=back.ignored,
        sources=found,
    )


def ratings_of(table: pd.DataFrame, scales: Sequence[str], arms: Sequence[str]) -> Ratings:
    """Some scales of the table in long form; empty ratings are left out."""
    long = table.melt(["participant", "arm", "qid"], list(scales), "scale", "value").dropna()
    return Ratings(
        value=long.value.to_numpy(np.int64) - 1,
        scale=pd.Categorical(long.scale, list(scales)).codes.astype(np.int64),
        group=pd.Categorical(long.arm, list(arms)).codes.astype(np.int64),
        rater=pd.factorize(long.participant, sort=True)[0].astype(np.int64),
        item=pd.factorize(long.qid, sort=True)[0].astype(np.int64),
        categories=len(POINTS),
        groups=len(arms),
    )


def _people(
    sealed: Mapping[str, Any], arms: Sequence[str], back: Returned, kept: pd.DataFrame
) -> pd.DataFrame:
    asked = pd.Series([one["arm"] for one in sealed["participants"]]).value_counts()
    returned = back.ratings.groupby("arm").participant.nunique()
    counted = kept[kept[_SCALES].notna().any(axis=1)].groupby("arm").participant.nunique()
    ratings = kept.groupby("arm")[_SCALES].count().sum(axis=1)
    columns = {"asked": asked, "returned": returned, "kept": counted, "ratings": ratings}
    table = pd.DataFrame(
        {name: one.reindex(list(arms)).fillna(0).astype(int) for name, one in columns.items()}
    )
    return table.rename_axis("arm").reset_index()


def _excluded(sealed: Mapping[str, Any], back: Returned) -> pd.DataFrame:
    people = {one["participant"]: one for one in sealed["participants"]}
    rows = [
        (name, people[name]["arm"], int(missed), len(people[name]["checks"]))
        for name, missed in back.missed.items()
        if missed
    ]
    return pd.DataFrame(rows, columns=["participant", "arm", "missed", "checks"])


def _counts(kept: pd.DataFrame, arms: Sequence[str]) -> pd.DataFrame:
    rows = []
    for arm, scale in itertools.product(arms, _SCALES):
        values = kept.loc[kept.arm == arm, scale]
        points = {str(point): int((values == point).sum()) for point in range(1, len(POINTS) + 1)}
        rows.append({"arm": arm, "scale": scale, **points})
    return pd.DataFrame(rows)


def _mean(own: pd.DataFrame, scales: Sequence[str]) -> Interval:
    by = own.groupby("participant")[list(scales)]
    return ratio_interval(by.sum().sum(axis=1), by.count().sum(axis=1), unit=PEOPLE)


def _fit(kept: pd.DataFrame, scales: Sequence[str], arms: Sequence[str]) -> OrdinalFit | str:
    """The fit, or why there is none."""
    try:
        return fit_ordinal(ratings_of(kept, scales, arms))
    except AnalysisError as error:
        return str(error)


def _nothing(reason: str) -> Interval:
    return Interval(None, None, None, 0, "cumulative logit", reason)


def _agree(fit: OrdinalFit | str, arm: int) -> Interval:
    return _nothing(fit) if isinstance(fit, str) else fit.at_least(0, AGREE - 1, arm)


def _effects(
    kept: pd.DataFrame, outcome: str, arms: Sequence[str], fit: OrdinalFit | str, draws: int, seed: int
) -> tuple[Effect, ...]:
    """Every pair of arms, the later over the earlier."""
    scales = list(OUTCOMES[outcome])
    values = kept.set_index(["arm", "participant"])[scales].stack().groupby(level=[0, 1]).mean()
    means: dict[str, Floats] = {arm: values.loc[arm].to_numpy(np.float64) for arm in arms}
    rows = []
    for other, arm in itertools.combinations(range(len(arms)), 2):
        effect, p = (_nothing(fit), None) if isinstance(fit, str) else fit.contrast(arm, other)
        delta = cliffs_delta(means[arms[arm]], means[arms[other]], draws=draws, seed=seed)
        rows.append((arms[arm], arms[other], effect, p, delta))
    adjusted = holm([row[3] for row in rows])
    return tuple(
        Effect(outcome, arm, other, effect, p, p_holm, delta)
        for (arm, other, effect, p, delta), p_holm in zip(rows, adjusted, strict=True)
    )


def _everyone(table: pd.DataFrame, arms: Sequence[str], draws: int, seed: int) -> tuple[Effect, ...]:
    return tuple(
        one
        for outcome in ("interpretability", LOAD)
        for one in _effects(table, outcome, arms, _fit(table, OUTCOMES[outcome], arms), draws, seed)
    )


def _conditional(kept: pd.DataFrame, scale: str, arms: Sequence[str]) -> Conditional:
    try:
        fit = fit_mixed(ratings_of(kept, (scale,), arms))
    except AnalysisError as error:
        return Conditional(scale, {}, {}, str(error))
    effects = {arm: fit.contrast(number, 0) for number, arm in enumerate(arms) if number}
    return Conditional(scale, effects, dict(zip(TERMS, fit.sd, strict=True)))


def _reliability(kept: pd.DataFrame, draws: int, seed: int) -> Reliability:
    whole = kept.dropna(subset=list(INTERPRETABILITY))
    rater, names = pd.factorize(whole.participant, sort=True)
    arms = whole.groupby("participant").arm.first().reindex(names)
    return reliability(whole[list(INTERPRETABILITY)], rater, pd.factorize(arms)[0], draws=draws, seed=seed)


def _accuracy(study: Study, sealed: Mapping[str, Any], arms: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """Right answers of every arm over the questions of the contrast, and among its rated traces."""
    questions = study.questions(sealed["domain"])
    gold, texts = questions.set_index("qid").gold, text_codes(questions)
    items = pd.DataFrame(sealed["items"])
    rows = []
    for arm in arms:
        traces = study.traces(arm)
        traces = traces[traces.qid.isin(gold.index)]
        right = (traces.answer == traces.qid.map(gold)).astype(float)
        sums, counts = (
            values.groupby(traces.qid).sum().reindex(gold.index, fill_value=0.0)
            for values in (right, right * 0 + 1)
        )
        rated = items[items.arm == arm].merge(traces.assign(right=right), on=["qid", "cid"])
        rate = rate_interval(by_text(sums, texts), by_text(counts, texts))
        rows.append({"arm": arm, "rate": rate, "right": int(rated.right.sum()), "rated": len(rated)})
    return tuple(rows)
