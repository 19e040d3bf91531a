"""Which steps of a trace matter to its answer? Three ways of asking, each under its own name.

*Direct attention*: a step is hidden from the lead-in that forces the answer; later steps have read it
already. *Swap, prefix held*: one claim's object is another one, all else as written, and the answer is
forced. *Regeneration*: all behind the changed step is written anew: the total effect. Whether it matters
that a step is *wrong* is what repairing its claim does less what swapping it for another wrong one does,
within the same step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from mechcot.analyses.arms import pair_of
from mechcot.analyses.causes import design, others
from mechcot.analyses.causes.effects import (
    effects_of,
    of_knock_outs,
    of_regenerations,
    of_swaps,
    regenerated,
)
from mechcot.analyses.causes.result import (
    ALL,
    CLAIMS,
    CORE,
    HELD,
    OWN,
    RATIONALE,
    REWRITTEN,
    RIGHT,
    STEPS,
    TOTAL,
    WRONGNESS,
    CausesResult,
)
from mechcot.analyses.causes.wording import effect
from mechcot.analyses.form import INTERVAL, missing, pick
from mechcot.core import files, records
from mechcot.core.errors import AnalysisError
from mechcot.core.results import Pair
from mechcot.core.settings import Settings
from mechcot.steps.of_study import task_of

if TYPE_CHECKING:
    from mechcot.study.folder import Study

NO_CLAIMS = "no claim before the answer can be swapped"
NO_STEPS = (
    "swaps of claims need a task with a checker (docs/causes.md), and no other trace of a question has a "
    "step of the same kind with a verdict"
)
NO_REWRITING = "no rewriting of a step by the server is used (docs/causes.md)"
NOT_ASKED = "the settings ask for knock-outs alone"


def asked(settings: Settings) -> bool:
    """Whether a study's settings ask which steps matter: by changing traces, or by hiding steps."""
    return settings.causes is not None or settings.reading.knock_out != "none"


def causes_of(study: Study) -> CausesResult:
    """Which steps of a trace matter to its answer, and whether it matters that they are wrong.

    Raises:
        AnalysisError: the settings do not ask for it, or it has not been made yet.
    """
    settings, pair = study.settings, pair_of(study)
    if not asked(settings):
        raise AnalysisError(
            "the study's settings do not ask which steps matter. Make it: mechcot commitment "
            f"{study.path} --steps swaps"
        )
    found = _tables(study) if settings.causes else {name: _empty(name) for name in design.TABLES}
    values, turns = [], []
    gold = study.questions().set_index("qid").gold
    for arm in pair:
        turns.append(regenerated(_of(found["continuations"], arm), gold))
        values += [of_swaps(_of(found["swaps"], arm)), of_regenerations(turns[-1]), _knock_outs(study, arm)]
    known = [one for one in values if len(one)]
    about = [_about(study, arm) for arm in pair]
    by_arm = {name: [_of(table, arm) for arm in pair] for name, table in found.items()}
    swaps, drawn = by_arm["swaps"], by_arm["continuations"]
    return CausesResult(
        before=pair.before,
        after=pair.after,
        scope=settings.reading.knock_out,
        draws=settings.causes.draws if settings.causes else 0,
        swapped=_swapped(study),
        no_swaps=_no_swaps(study, found["swaps"]),
        traces=Pair(*(int(one["traces"]) for one in about)),
        left_out=Pair(*(one["left_out"] for one in about)),
        no_other_right=no_other_right(found["swaps"]),
        effects=effects_of(pd.concat(known), pair, groups_of(study)) if known else (),
        flips=tuple(row for i, arm in enumerate(pair) for row in others.flips_of(swaps[i], turns[i], arm)),
        first=tuple(row for i, arm in enumerate(pair) for row in others.first_of(drawn[i], arm)),
        controls=tuple(
            row for i, arm in enumerate(pair) for row in others.controls_of(by_arm["controls"][i], arm)
        ),
        free=tuple(
            row for i, arm in enumerate(pair) for row in others.free_of(by_arm["forced"][i], drawn[i], arm)
        ),
    )


def _of(table: pd.DataFrame, arm: str) -> pd.DataFrame:
    return table[table.arm == arm]


def _empty(name: str) -> pd.DataFrame:
    frame: pd.DataFrame = design.TABLES[name].empty_table().to_pandas()
    return frame


def _tables(study: Study) -> dict[str, pd.DataFrame]:
    """The tables of causes/, both arms."""
    found = {}
    for name, schema in design.TABLES.items():
        parts = []
        for arm in pair_of(study):
            path = study.path / "causes" / arm / f"{name}.parquet"
            if not path.exists():
                raise AnalysisError(
                    f"{path} is not there yet. Make it: mechcot commitment {study.path} --steps swaps"
                )
            parts.append(records.read_table(study.checked(path), schema))
        found[name] = pd.concat(parts, ignore_index=True)
    return found


def _about(study: Study, arm: str) -> Mapping[str, Any]:
    if study.settings.causes is None:
        return {"traces": 0, "left_out": {}}
    found: dict[str, Any] = files.read_json(study.checked(study.path / "causes" / arm / "about.json"))
    return found


def _knock_outs(study: Study, arm: str) -> pd.DataFrame:
    if study.settings.reading.knock_out == "none":
        return pd.DataFrame()
    return of_knock_outs(study.knockouts(arm), study.forced(arm), study.traces(arm), study.steps(arm))


def _no_swaps(study: Study, swaps: pd.DataFrame) -> str:
    if len(swaps):
        return ""
    if study.settings.causes is None:
        return NOT_ASKED
    return {CLAIMS: NO_CLAIMS, STEPS: NO_STEPS, REWRITTEN: NO_REWRITING}[_swapped(study)]


def _swapped(study: Study) -> str:
    if task_of(study).objects is not None:
        return CLAIMS
    asked = study.settings.causes
    return STEPS if asked is None or asked.rewriter is None else REWRITTEN


def groups_of(study: Study) -> dict[str, tuple[str, ...]]:
    """Roles that are looked at together: claims that answers follow from and the others, else all."""
    core = task_of(study).core
    if not core:
        roles = pd.concat([study.steps(arm).role for arm in pair_of(study)]).unique()
        return {ALL: tuple(sorted(roles))}
    claimed = set()
    for arm in pair_of(study):
        steps = study.steps(arm)[[*records.STEP_KEY, "role"]]
        claimed |= set(steps.merge(study.claims(arm)[records.STEP_KEY], on=records.STEP_KEY).role)
    return {RATIONALE: tuple(sorted(claimed - core)), CORE: tuple(sorted(claimed & core))}


def no_other_right(swaps: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """By role: right claims without another right value in their place, and all right claims.

    Args:
        swaps: rows of `design.SWAPPED`.
    """
    right = swaps[swaps.label == "correct"]
    found = {}
    for kind, rows in right.groupby("kind"):
        steps = rows.groupby(records.STEP_KEY).variant.agg(lambda names: design.OTHER_RIGHT in set(names))
        found[str(kind)] = (int((~steps).sum()), len(steps))
    return found


def summarised(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    """Its lines of summary.json: the effect of wrongness, held and in all."""
    if "effects" not in result:
        return missing(result["reason"])
    lines: dict[str, Any] = {}
    for kind in (RATIONALE, CORE):
        for name, estimand, measure in (("held", HELD, OWN), ("regenerated", TOTAL, RIGHT)):
            row = effect(result, estimand, measure, WRONGNESS, kind)
            if row is not None:
                lines[f"wrongness of {kind} steps, {name}"] = {
                    arm: pick(row[role], INTERVAL) for role, arm in arms.items()
                }
    return lines
