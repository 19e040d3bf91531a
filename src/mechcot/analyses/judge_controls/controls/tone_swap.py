"""How much the verdict hangs on manner: steps rewritten in the other arm's words, and in their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup

from mechcot.analyses.judge_controls.asking import Ask, Calls, PlanRow, verdicts
from mechcot.analyses.judge_controls.control import Control, Finding, Json, Setup, alone, whole_steps
from mechcot.analyses.judge_controls.counts import Arms, Estimates
from mechcot.analyses.judge_controls.wording import ROLES, drawn, points, share
from mechcot.core.records import STEP_KEY
from mechcot.core.results import SPREAD, Interval, Pair, Paired, Result
from mechcot.core.words import Table, number
from mechcot.judging.llm import plan
from mechcot.judging.rewriting import fidelity, plan_fidelity, plan_rewriting, rewrite
from mechcot.report.charts import ERRORS, Mark, Row, row_chart
from mechcot.report.figures import COLOURS
from mechcot.report.parts import Part, Section

FIDELITIES = ("preserved", "changed", "uncertain", "failed")
VARIANTS = {"own": "rewritten, own manner", "other": "rewritten, other manner"}


# --- asking ---------------------------------------------------------------------------------------


def _both_manners(items: pd.DataFrame, calls: Calls) -> pd.DataFrame:
    """Each step twice, with the arm in whose manner it is to be rewritten as `style`."""
    before, after = calls.sample.arms
    own = items.assign(variant="own", style=items.arm)
    other = own.assign(variant="other", style=own.arm.map({before: after, after: before}))
    return pd.concat([own, other], ignore_index=True)


def _manners(calls: Calls) -> dict[str, tuple[str, ...]]:
    return {arm: tuple(steps.text) for arm, steps in calls.sample.manners().items()}


def _send(items: pd.DataFrame, calls: Calls) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Steps in two manners, whether the claims stayed, and verdicts on those that did."""
    assert calls.rewriter is not None  # else the control is left out, as without a judge
    assert calls.judge is not None
    twice, questions = _both_manners(items, calls), calls.sample.questions
    made = rewrite(twice, questions, _manners(calls), calls.session(calls.rewriter))
    pairs = pd.DataFrame({"qid": twice.qid, "original": twice.text, "rewritten": made.rows.text})
    kept = fidelity(pairs, calls.session(calls.judge))
    rows = made.rows.assign(fidelity=kept.labels, label="")
    rows["reason"] = [own or of_pair for own, of_pair in zip(made.rows.reason, kept.reasons, strict=True)]
    stayed = rows.fidelity == "preserved"
    judged, about = verdicts(rows[stayed], calls)
    rows.loc[stayed, ["label", "reason"]] = judged[["label", "reason"]]
    return rows, {"rewriting": made.about, "fidelity": kept.about, **about}


def _plan(items: pd.DataFrame, calls: Calls) -> list[PlanRow]:
    assert calls.rewriter is not None
    assert calls.judge is not None
    sample, seed = calls.sample, calls.sample.seed
    twice = _both_manners(items, calls)
    made = plan_rewriting(twice, sample.questions, _manners(calls), calls.rewriter, calls.work, seed=seed)
    # A text for each manner that differs from the original, so that no two calls are counted as one.
    stand_ins = twice.assign(text=twice.text + twice["style"].map({sample.before: " .", sample.after: " !"}))
    pairs = pd.DataFrame({"qid": twice.qid, "original": twice.text, "rewritten": stand_ins.text})
    compared = plan_fidelity(pairs, calls.judge, None, seed=seed)
    judged = plan(stand_ins, sample.questions, calls.judge, None, seed=seed)
    return [
        PlanRow("", "rewritings", len(twice), made),
        PlanRow("", "comparisons", len(twice), compared, estimated=True),
        PlanRow("", "verdicts", len(twice), judged, estimated=True),
    ]


def _against(setup: Setup) -> str:
    if setup.rewriter is None:
        return "no rewriter was named (--rewriter FILE)"
    return setup.sample.against_manners()


# --- what it finds --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell(Result):
    """Claims of one arm in the manner of one arm, each "before" or "after"."""

    origin: str
    manner: str
    error: Interval = field(metadata=SPREAD)
    n_erroneous: int
    n_judged: int


@dataclass(frozen=True)
class Fidelity(Result):
    """Rewritings of one arm's steps by what became of the claim; "" was not compared."""

    variant: str
    arm: str
    counts: Mapping[str, int] = field(metadata=SPREAD)


@dataclass(frozen=True, repr=False)
class ToneSwap(Result):
    """Whose claims, and in whose manner: steps that both rewritings left their claim.

    Attributes:
        cells: error rates by origin and manner.
        origin: error of the claims of the arm after minus those of the arm before, mean of both manners.
        manner: error in the manner of the arm after minus that of the arm before, mean of both origins.
        origin_in_manner: the effect of origin in the manner of each arm; where the two differ, their mean
            `origin` is of neither.
        manner_of_origin: the effect of manner on the claims of each arm, likewise.
        interaction: origin's effect in the manner after minus that in the manner before.
        drift: error of the rewriting in the own manner minus the primary's on the same steps.
        fidelity: by variant and arm; only preserved claims are used anywhere.
    """

    cells: tuple[Cell, ...]
    origin: Interval
    manner: Interval
    origin_in_manner: Pair[Interval]
    manner_of_origin: Pair[Interval]
    interaction: Interval
    drift: Paired
    fidelity: tuple[Fidelity, ...]

    table = "cells"


def _of(
    rewritten: pd.DataFrame, primary: pd.DataFrame, arms: Arms, asked: Estimates
) -> Callable[[], ToneSwap]:
    """Origin by manner, on steps that both rewritings left their claim.

    A rewriting that failed for one manner alone would leave other steps in one cell than in the next,
    and what was lost would look like an effect of manner.
    """
    kept = {name: preserved(rewritten[rewritten["variant"] == name]) for name in VARIANTS}
    shared = kept["own"][STEP_KEY].merge(kept["other"][STEP_KEY], on=STEP_KEY)
    own, other = (arms.errors(rows.merge(shared, on=STEP_KEY)) for rows in kept.values())
    ratios = {
        ("before", "before"): own.before,
        ("before", "after"): other.before,
        ("after", "before"): other.after,
        ("after", "after"): own.after,
    }
    cells = {cell: asked.ask_rate(ratio) for cell, ratio in ratios.items()}
    signs = {role: 1.0 if role == "after" else -1.0 for role in ROLES}
    origin, manner = (
        asked.ask(*((signs[cell[place]] / 2, ratio) for cell, ratio in ratios.items())) for place in (0, 1)
    )
    interaction = asked.ask(*((signs[o] * signs[m], ratio) for (o, m), ratio in ratios.items()))
    in_manner, of_origin = (
        [asked.ask(*((signs[cell[place]], ratios[cell]) for cell in ratios if cell[1 - place] == role))
         for role in ROLES]
        for place in (0, 1)
    )  # fmt: skip
    plain = arms.errors(primary.merge(kept["own"][STEP_KEY], on=STEP_KEY))
    moved = [((1.0, new), (-1.0, old)) for new, old in zip(arms.errors(kept["own"]), plain, strict=True)]
    drift = (
        asked.ask(*moved[0]),
        asked.ask(*moved[1]),
        asked.ask(*moved[1], *((-factor, ratio) for factor, ratio in moved[0])),
    )
    return lambda: ToneSwap(
        tuple(
            Cell(*cell, cells[cell](), int(ratio.num.sum()), int(ratio.den.sum()))
            for cell, ratio in ratios.items()
        ),
        origin(),
        manner(),
        Pair(*(part() for part in in_manner)),
        Pair(*(part() for part in of_origin)),
        interaction(),
        Paired(*(part() for part in drift)),
        tuple(_fidelity(rewritten, arms)),
    )


def preserved(rewritten: pd.DataFrame) -> pd.DataFrame:
    """The rewritings that kept their step's claim."""
    return rewritten[rewritten["fidelity"] == "preserved"]


def _fidelity(rewritten: pd.DataFrame, arms: Arms) -> Iterator[Fidelity]:
    counts = rewritten.groupby(["variant", "arm", "fidelity"]).size()
    for variant in VARIANTS:
        for arm in arms.names:
            found = {name: int(counts.get((variant, arm, name), 0)) for name in (*FIDELITIES, "")}
            yield Fidelity(variant, arm, found)


# --- how it reads ---------------------------------------------------------------------------------


def _tables(found: Json) -> tuple[Table, ...]:
    swap, arms = found["tone_swap"], found["arms"]
    cells = {(cell["origin"], cell["manner"]): cell for cell in swap["cells"]}
    rates = [
        (
            f"claims of {arms[origin]}",
            *(
                share(cell["n_erroneous"], cell["n_judged"], cell)
                for manner in ROLES
                for cell in (cells[origin, manner],)
            ),
        )
        for origin in ROLES
    ]
    effects = [
        ("whose claim it is, in the manner of", *_simple(swap, "origin_in_manner"), points(swap["origin"])),
        ("in whose manner it is, claims of", *_simple(swap, "manner_of_origin"), points(swap["manner"])),
        ("interaction of the two", "", "", points(swap["interaction"])),
        ("drift of rewriting", *(points(swap["drift"][name]) for name in (*ROLES, "difference"))),
    ]
    kept = [
        (
            f"{row['arm']} in {'its own' if row['variant'] == 'own' else 'the other'} manner",
            *(f"{row[kind]:,}" for kind in FIDELITIES),
        )
        for row in swap["fidelity"]
    ]
    names = tuple(arms[role] for role in ROLES)
    return (
        Table("Wrong steps, rewritten", ("", *(f"in the manner of {arm}" for arm in names)), tuple(rates)),
        Table("What moves them", ("", *names, "mean effect [95 % interval]"), tuple(effects)),
        Table("Did the rewritings keep the claim?", ("", *FIDELITIES), tuple(kept)),
    )


def _part(found: Json) -> Part:
    if any(number(cell) is not None for cell in found["tone_swap"]["cells"]):
        return drawn("manner", judge_manner(found))
    return Part("manner", "No rewritten step kept its claim in both manners and was judged.")


def _simple(swap: Json, name: str) -> tuple[str, ...]:
    """One factor's effect at each level of the other one."""
    return tuple(points(swap[name][role]) for role in ROLES)


def _by_arm(swap: Json, name: str, what: str, arms: Json) -> str:
    told = zip(_simple(swap, name), ROLES, strict=True)
    return " and ".join(f"{effect} in {arms[role]}’s {what}" for effect, role in told)


def judge_manner(found: Json, *, title: str | None = None) -> go.Figure:
    """Whose claims, written in whose manner: error rates of rewritten steps.

    Args:
        found: `JudgeControlsResult.to_json()` with a tone swap.
        title: a statement in place of the one read off the numbers.
    """
    swap, arms = found["tone_swap"], found["arms"]
    cells = {(cell["origin"], cell["manner"]): cell for cell in swap["cells"]}
    statement = title or (
        f"Whose claim it is changes the step error by {_by_arm(swap, 'origin_in_manner', 'manner', arms)}; "
        f"in whose manner it is written by {_by_arm(swap, 'manner_of_origin', 'claims', arms)}"
    )
    caption = (
        f"Steps that both rewritings left their claim. On average over manners whose claim it is changes the "
        f"error by {points(swap['origin'])}, over claims in whose manner it is by {points(swap['manner'])}; "
        f"the interaction is {points(swap['interaction'])}. Rewriting alone, in the step’s own manner, "
        f"moves the difference of the arms by {points(swap['drift']['difference'])}."
    )
    rows = []
    for origin in ROLES:
        marks = [
            Mark(
                cell,
                COLOURS[manner],
                f"{arms[origin]}’s claims in {arms[manner]}’s manner: "
                f"{cell['n_erroneous']} of {cell['n_judged']} wrong",
                f"manner of {arms[manner]}",
            )
            for manner in ROLES
            for cell in (cells[origin, manner],)
        ]
        rows.append(Row(f"claims of {arms[origin]}", marks))
    return row_chart(statement, caption, rows, ERRORS)


MANNER = Section(
    "manner",
    "Is it the claims or their manner?",
    (),
    Markup(
        "Is it what is claimed, or how it sounds? Another model rewrites each step in the <dfn>manner</dfn> "
        "of the other arm and, to price the rewriting itself, in the manner of its own; only rewritings "
        "that keep the claim count. A <dfn>hedge</dfn> (“may be”) is put in or taken out by rule, the claim "
        "left alone."
    ),
    Markup(
        "Manner that the rewriter did not catch, and what it changed without notice: who checks that a "
        "claim was kept is a model as well."
    ),
)
TONE_SWAP = Control(
    "tone-swap",
    "rewritten",
    "steps are rewritten in the manner of their own arm and of the other",
    changes=alone,
    items=whole_steps,
    ask=Ask(_send, _plan),
    variants=VARIANTS,
    against=_against,
    counted=preserved,
    finding=Finding("tone_swap", "no step was rewritten", _of, MANNER, _part, _tables),
)
