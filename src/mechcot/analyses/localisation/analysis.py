"""At which layer, token and part a hedge is lost: recovery along the layers, beside matched token sets.

States of one checkpoint are put into the other in front of places where a hedge could stand. Recovery rises
to the whole gap by the last layer for any tokens whatever (but for what the host's own norm and unembedding
do), so a late rise is no place by itself. Beside each stretch's increment stands that of other token sets as
likely there, in nats: do these layers move hedges more than they move other words? And the share of the gap
that comes late stands beside that of such sets: is the way along the layers another one at all (methods 9b)?
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.analyses.arms import pair_of
from mechcot.analyses.form import INTERVAL, missing, pick
from mechcot.analyses.localisation.design import (
    AFTER,
    BEFORE,
    DENOISE,
    HEAD,
    MEANS,
    NOISE,
    READS,
    RESID,
    SETS,
    VALUES,
)
from mechcot.analyses.localisation.result import Cell, Increment, LocalisationResult, Null, Reads, Way
from mechcot.core import files, records
from mechcot.core.errors import AnalysisError
from mechcot.core.settings import Settings
from mechcot.core.words import number, why
from mechcot.stats import ratio_interval
from mechcot.stats.frames import one_of_each

if TYPE_CHECKING:
    from mechcot.study.folder import Study

Floats = NDArray[np.float64]
LEAST_GAP = 0.05
"""A set whose log-odds differ by less between the checkpoints, nats, has no gap to share out."""
_RUN = ["site", "layer", "back", "head"]
Key = tuple[str, int, int, int]
"""Site, layer, tokens back, and head."""


def asked(settings: Settings) -> bool:
    """Whether a study's settings ask for it."""
    return settings.localisation is not None


def localisation_of(study: Study) -> LocalisationResult:
    """At which layer, token and part a hedge is lost: states of one arm put into the other.

    Raises:
        AnalysisError: there was nothing to look at, and why.
    """
    folder, same = study.path / "localisation", one_of_each(study.questions())
    about = files.read_json(study.checked(folder / "about.json"))
    if "reason" in about:
        raise AnalysisError(about["reason"])
    values, means, sets, reads = (
        records.read_table(study.checked(folder / f"{name}.parquet"), schema)
        for name, schema in (("values", VALUES), ("means", MEANS), ("sets", SETS), ("reads", READS))
    )
    before, after = pair_of(study)
    reads = reads[reads.arm == before]
    return analyse(values.assign(qid=values.qid.map(same)), means, sets, reads, about, before, after)


def analyse(
    values: pd.DataFrame,
    means: pd.DataFrame,
    sets: pd.DataFrame,
    reads: pd.DataFrame,
    about: Mapping[str, Any],
    before: str,
    after: str,
) -> LocalisationResult:
    """Increments and cells of both ways, each beside the matched sets.

    Args:
        values: rows of `design.VALUES`; equal questions go by one name.
        means: rows of `design.MEANS`.
        sets: rows of `design.SETS`.
        reads: rows of `design.READS`, of the arm before.
        about: `localisation/about.json`.
        before: the arm that hedges.
        after: the other one.
    """
    hedge, others = sets[sets.set == 0].iloc[0], sets[sets.set > 0]
    match = tuple(float((others[name] - hedge[name]).abs().mean()) for name in ("logp", "spread"))
    return LocalisationResult(
        before,
        after,
        about["n_slots"],
        values.qid.nunique(),
        len(others),
        (match[0], match[1]),
        _way(values, means, about, DENOISE, (before, after)),
        _way(values, means, about, NOISE, (after, before)),
        tuple(
            Reads(int(row.layer), float(row.cosine), float(row.low), float(row.high), tuple(row.tokens))
            for row in records.rows(reads)
        ),
        about.get("no_heads", ""),
        about.get("source", ""),
        tuple(about.get("words", ())),
    )


def _way(
    values: pd.DataFrame, means: pd.DataFrame, about: Mapping[str, Any], way: str, names: tuple[str, str]
) -> Way:
    """One way: signed so that a recovery leads from the host to the donor."""
    roles = (BEFORE, AFTER) if way == DENOISE else (AFTER, BEFORE)
    donor, host = (_runs(values, means, role)["", -1, -1, -1] for role in roles)
    found = _runs(values, means, way)
    gap = (donor[0] - host[0], donor[1] - host[1])
    layers = about["layers"]
    reached = [host, *(found[RESID, layer, 0, -1] for layer in layers), donor]
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(reached)]
    n = _counts(values)
    usable = np.abs(gap[1][1:]) >= LEAST_GAP
    shares = np.array([step[1] / np.where(np.abs(gap[1]) < LEAST_GAP, np.nan, gap[1]) for step in steps])
    toward = np.sign(gap[1])  # of each set, from the host to the donor
    increments = tuple(
        Increment(layer, ratio_interval(step[0], n), _known(share[0]), _null(step[1][0], step[1][1:]))
        for layer, step, share in zip([*layers, None], steps, shares, strict=True)
    )
    third = [layer is None or layer > 2 / 3 * about["depth"] for layer in (*layers, None)]
    late = shares[third].sum(axis=0)
    peak = (np.array([step[1] for step in steps]) * toward).max(axis=0)
    most = int(np.argmax([step[1][0] * toward[0] for step in steps]))
    heads = [(mean - host[1]) * toward for key, (_, mean) in found.items() if key[0] == HEAD]
    best = np.max(heads, axis=0) if heads else None
    return Way(
        *names,
        ratio_interval(gap[0], n),
        _null(gap[1][0], gap[1][1:]),
        increments,
        [*layers, None][most],
        _at_least(peak[0], peak[1:]),
        _known(late[0]),
        None if np.isnan(late[0]) else _at_least(late[0], late[1:][usable]),
        tuple(
            Cell(
                *key[:3],
                ratio_interval(sums - host[0], n),
                _null(mean[0] - host[1][0], mean[1:] - host[1][1:]),
                key[3] if key[0] == HEAD else None,
            )
            for key, (sums, mean) in found.items()
        ),
        None if best is None else _at_least(best[0], best[1:]),
    )


def _runs(values: pd.DataFrame, means: pd.DataFrame, way: str) -> dict[Key, tuple[Floats, Floats]]:
    """Each pass of one way: sums of the hedge by question, and the means of all sets, the hedge first."""
    sums, by_set = (
        table[table.way == way]
        .pivot_table(index=_RUN, columns=across, values="log_odds", aggfunc="sum", sort=False)
        .sort_index(axis=1)
        for table, across in ((values, "qid"), (means, "set"))
    )
    places = sums.index.to_frame(index=False)
    keys = [(str(row.site), int(row.layer), int(row.back), int(row.head)) for row in records.rows(places)]
    return dict(zip(keys, zip(sums.to_numpy(), by_set.loc[sums.index].to_numpy(), strict=True), strict=True))


def _counts(values: pd.DataFrame) -> Floats:
    """Slots, [questions]."""
    found: Floats = values[values.way == AFTER].groupby("qid").n.sum().sort_index().to_numpy(np.float64)
    return found


def _null(own: float, others: Floats) -> Null | None:
    """How the hedge lies among matched sets, two-sided around their median."""
    if not len(others):
        return None
    low, middle, high = np.quantile(others, [0.025, 0.5, 0.975])
    beyond = int((np.abs(others - middle) >= abs(own - middle)).sum())
    return Null(float(low), float(high), (1 + beyond) / (1 + len(others)), len(others))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _at_least(own: float, others: Floats) -> float | None:
    return (1 + int((others >= own).sum())) / (1 + len(others)) if len(others) else None


def summarised(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    """Its lines of summary.json: the gap, and where most of it is, both ways."""
    if "restored" not in result:
        return missing(result["reason"])
    names = ("peak", "peak_p", "late", "late_p")
    return {
        way: {"gap": pick(result[way]["gap"], INTERVAL), **{name: result[way][name] for name in names}}
        for way in ("restored", "removed")
    }


def in_a_line(found: Mapping[str, Any]) -> str:
    """For the terminal's table, from its lines of summary.json."""
    if "restored" not in found:
        return f"not known ({why(found)})"
    own = found["restored"]
    peak = "the norm and unembedding" if number(own["peak"]) is None else f"layer {own['peak']:g}"
    p = number(own["peak_p"])
    beside = "" if p is None else f" (matched sets peak as high in {100 * p:.0f} % of cases)"
    return f"most of {number(own['gap']['estimate']) or 0.0:.1f} nats at {peak}{beside}"
