"""Does restoring hedging change step error? From what was written under edits to doses and a verdict.

Layer and strength were chosen on one part of the questions; everything here is counted on another. A hedged
claim that is wrong counts as wrong (`wrong`): the checker does not hear the hedge. `asserted_wrong` does not
count it, and falls by hedging alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.analyses.arms import pair_of
from mechcot.analyses.form import INTERVAL, missing, pick
from mechcot.analyses.steering.design import ABLATE, ADD, SELECT, TABLES, TEST
from mechcot.analyses.steering.result import MEASURES, ArmSteering, Chance, Dose, Share, SteeringResult
from mechcot.analyses.steering.strength import (
    Candidate,
    choose_scale,
    hedged_share,
    strengths_of,
)
from mechcot.core import files, records
from mechcot.core.errors import AnalysisError
from mechcot.core.settings import Settings
from mechcot.core.words import points, why
from mechcot.stats import (
    Interval,
    jackknife_interval,
    rate_interval,
    ratio_difference_interval,
    ratio_interval,
)
from mechcot.stats.auroc import leave_one_out
from mechcot.stats.frames import one_of_each

if TYPE_CHECKING:
    from mechcot.study.folder import Study

Floats = NDArray[np.float64]
Sums = tuple[Floats, Floats]

_PARTS = {
    "hedged": ("n_hedged", "n_claims"),
    "wrong": ("n_wrong", "n_judged"),
    "asserted_wrong": ("n_wrong_asserted", "n_judged"),
    "right": ("right", "n"),
    "silent": ("silent", "n"),
}
"""Numerator and denominator of each of `MEASURES`."""


def asked(settings: Settings) -> bool:
    """Whether a study's settings ask for it."""
    return settings.steering is not None


def steering_of(study: Study) -> SteeringResult:
    """Whether putting hedging back changes what is claimed: its direction added while the arms write.

    Raises:
        AnalysisError: there was no direction, or nothing could check what is written; and why.
    """
    folder, same = study.path / "steering", one_of_each(study.questions())
    about = files.read_json(study.checked(folder / "about.json"))
    if "reason" in about:
        raise AnalysisError(about["reason"])
    tables = (
        records.read_table(study.checked(folder / f"{name}.parquet"), schema)
        for name, schema in TABLES.items()
    )
    texts, passes, places = (table.assign(qid=table.qid.map(same)) for table in tables)
    about["parts"] = {same[qid]: part for qid, part in about["parts"].items()}
    return analyse(texts, passes, places, about, *pair_of(study))


def analyse(
    texts: pd.DataFrame,
    passes: pd.DataFrame,
    places: pd.DataFrame,
    about: Mapping[str, Any],
    before: str,
    after: str,
) -> SteeringResult:
    """Doses of both arms, what random directions do, and the verdict.

    Questions of equal text go by one name.

    Args:
        texts: rows of `design.TEXTS`.
        passes: rows of `design.PASSES`.
        places: rows of `design.PLACES`.
        about: `steering/about.json`.
        before: the arm whose direction it is.
        after: the arm that it is put back into.
    """
    part = about["parts"]
    names = sorted(qid for qid, own in part.items() if own == TEST)
    texts = texts.assign(silent=texts.answer < 0, n=1, n_wrong_asserted=texts.n_wrong - texts.n_wrong_hedged)
    arms = {
        arm: _arm(texts[texts.arm == arm], passes[passes.arm == arm], places[places.arm == arm], told, names)
        for arm, told in about["arms"].items()
    }
    wanted = hedged_share(texts[texts.arm == before])
    scale, why = choose_scale(arms[after].strengths, wanted)
    own = texts[texts.arm == after]
    drawn = passes[(passes.draw > 0) & (passes.part == TEST)]
    return SteeringResult(
        before,
        after,
        len(names),
        sum(said == SELECT for said in part.values()),
        wanted,
        scale,
        why or "restored",
        arms,
        _chance(own[own.part == TEST], scale, names),
        float(drawn.divergence.sum() / max(1, drawn.n_tokens.sum())),
    )


def _arm(
    texts: pd.DataFrame, passes: pd.DataFrame, places: pd.DataFrame, told: Mapping[str, Any], names: list[str]
) -> ArmSteering:
    strengths = strengths_of(texts, passes)
    tested, read = texts[texts.part == TEST], passes[passes.part == TEST]
    bare = _sums(_under(tested, ADD, 0.0), names)
    edits = [(ADD, one.scale) for one in strengths]
    safe = [one.scale for one in strengths if one.scale > 0 and not one.damaged]
    return ArmSteering(
        told["layer"],
        told["direction"],
        Candidate(**told["without_cut"]),
        told["undamaged"],
        tuple(Candidate(**one) for one in told["candidates"]),
        strengths,
        max(safe) if safe else None,
        tuple(
            _dose(_under(tested, *edit), _under(read, *edit), _under(places, *edit), bare, edit, names)
            for edit in (*edits, (ABLATE, 0.0))
        ),
    )


def _under(table: pd.DataFrame, form: str, scale: float, draw: int = 0) -> pd.DataFrame:
    return table[(table.form == form) & (table.scale == scale) & (table.draw == draw)]


def _sums(texts: pd.DataFrame, names: list[str]) -> dict[str, Sums]:
    """Numerator and denominator of each measure by question, [questions] each."""
    columns = sorted({column for pair in _PARTS.values() for column in pair})
    totals = texts.groupby("qid")[columns].sum().reindex(names, fill_value=0)
    return {
        name: (totals[num].to_numpy(float), totals[den].to_numpy(float))
        for name, (num, den) in _PARTS.items()
    }


def _dose(
    texts: pd.DataFrame,
    passes: pd.DataFrame,
    places: pd.DataFrame,
    bare: Mapping[str, Sums],
    edit: tuple[str, float],
    names: list[str],
) -> Dose:
    sums = _sums(texts, names)
    shares = {
        name: Share(rate_interval(*sums[name]), ratio_difference_interval(*bare[name], *sums[name]))
        for name in MEASURES
    }
    return Dose(
        *edit,
        len(texts),
        int(texts.n_claims.sum()),
        int(texts.n_judged.sum()),
        shares,
        _mean(passes, "divergence", names),
        _mean(texts, "surprise", names),
        _landing(places[places.qid.isin(names)]),
    )


def _mean(table: pd.DataFrame, column: str, names: list[str]) -> Interval:
    """Of a column a token, over questions."""
    known = table[table[column].notna()]
    totals = known.groupby("qid")[[column, "n_tokens"]].sum().reindex(names, fill_value=0)
    if not totals["n_tokens"].sum():
        return Interval(None, None, None, 0, "", "nothing to read in the tokens of the arm before")
    return ratio_interval(totals[column].to_numpy(float), totals["n_tokens"].to_numpy(float))


def _landing(places: pd.DataFrame) -> Interval:
    kinds, _ = pd.factorize(places.relation, sort=True)
    wrong = places.wrong.to_numpy() == 1
    if not wrong.any() or wrong.all():
        return Interval(None, None, None, 0, "", "all claims are right, or all are wrong")
    left = leave_one_out(places.p_hedge.to_numpy(np.float32), wrong, kinds, places.qid.to_numpy())
    return jackknife_interval(
        left.auroc, left.without, logit=True, unit="questions, the direction held fixed"
    )


def _chance(texts: pd.DataFrame, scale: float, names: list[str]) -> dict[str, Chance]:
    bare, own = (_sums(_under(texts, ADD, at), names) for at in (0.0, scale))
    random = [_sums(_under(texts, ADD, scale, int(draw)), names) for draw in sorted(set(texts.draw) - {0})]
    found = {}
    for name in MEASURES:
        start = _rate(bare[name])
        changes = np.array([_rate(one[name]) - start for one in random])
        beyond = np.abs(changes) >= abs(_rate(own[name]) - start)
        low, high = np.quantile(changes, [0.025, 0.975])
        found[name] = Chance(
            float(low), float(high), float((1 + beyond.sum()) / (1 + len(changes))), len(changes)
        )
    return found


def _rate(sums: Sums) -> float:
    """A share of nothing is 0."""
    return float(sums[0].sum() / max(1.0, sums[1].sum()))


def dose_at(arm: Mapping[str, Any], scale: float, form: str = ADD) -> dict[str, Any]:
    """One dose of `ArmSteering.to_json()`."""
    found: dict[str, Any] = next(one for one in arm["doses"] if (one["form"], one["scale"]) == (form, scale))
    return found


def summarised(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    """Its lines of summary.json."""
    if "arms" not in result:
        return missing(result["reason"])
    dose = dose_at(result["arms"][arms["after"]], result["scale"])
    changes = {name: pick(dose["shares"][name]["change"], INTERVAL) for name in MEASURES}
    told = ("verdict", "wanted", "scale", "n_questions")
    return {name: result[name] for name in told} | {"changes": changes}


_VERDICTS = {
    "restored": "brought back",
    "damage": "not brought back without damage",
    "not reached": "not brought back at any strength",
}


def in_a_line(found: Mapping[str, Any], after: str) -> str:
    """For the terminal's table, from its lines of summary.json."""
    if "changes" not in found:
        return f"not known ({why(found)})"
    changes = found["changes"]
    return (
        f"{_VERDICTS[found['verdict']]} in {after}; at strength {found['scale']:g} hedged claims "
        f"{points(changes['hedged'])}, wrong steps {points(changes['wrong'])}"
    )
