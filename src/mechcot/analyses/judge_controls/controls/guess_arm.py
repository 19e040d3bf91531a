"""Whether the judge can tell whose step it reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mechcot.analyses.judge_controls.asking import Ask, Calls, PlanRow
from mechcot.analyses.judge_controls.control import Control, Finding, Json, Setup, whole_steps
from mechcot.analyses.judge_controls.controls.decoys import ALIKE
from mechcot.analyses.judge_controls.counts import Arms, Estimates
from mechcot.analyses.judge_controls.wording import ROLES
from mechcot.core.results import Interval, Pair, Result
from mechcot.core.words import Table, counted, number, score, why
from mechcot.judging.guessing import guess_arms, plan_guesses
from mechcot.report.parts import Part
from mechcot.stats.auroc import leave_one_out
from mechcot.stats.jackknife import jackknife_interval


def _writers(calls: Calls) -> dict[str, list[tuple[str, str]]]:
    """Steps that show each arm's manner, with their questions."""
    shown = calls.sample.manners()
    return {arm: list(zip(steps.qid, steps.text, strict=True)) for arm, steps in shown.items()}


def _send(items: pd.DataFrame, calls: Calls) -> tuple[pd.DataFrame, dict[str, Any]]:
    assert calls.judge is not None  # else the control is left out
    after = calls.sample.after
    found = guess_arms(items, _writers(calls), after, calls.session(calls.judge))
    scores = pd.array(found.probabilities, dtype="Float64")
    return items.assign(score=scores, reason=found.reasons), {"guesses": found.about}


def _plan(items: pd.DataFrame, calls: Calls) -> list[PlanRow]:
    assert calls.judge is not None
    sample = calls.sample
    found = plan_guesses(items, _writers(calls), sample.after, calls.judge, calls.work, seed=sample.seed)
    return [PlanRow("", "guesses", len(items), found)]


def _against(setup: Setup) -> str:
    return setup.sample.against_manners()


@dataclass(frozen=True, repr=False)
class GuessArm(Result):
    """Whether the judge can tell whose step it reads.

    Attributes:
        auroc: of its probability that the arm after wrote the step.
        n_steps: steps with a guess.
        n_failed: steps without one.
    """

    auroc: Interval
    n_steps: Pair[int]
    n_failed: int

    note = "0.5: the judge cannot tell whose step it reads, so it is blinded; 1: it always can."
    derived = ("note",)


def _of(rows: pd.DataFrame, primary: pd.DataFrame, arms: Arms, asked: Estimates) -> Callable[[], GuessArm]:
    guessed = rows[rows["score"].notna()]
    left = leave_one_out(
        guessed["score"].to_numpy(dtype=np.float64),
        guessed["late"].to_numpy(dtype=bool),
        np.zeros(len(guessed), dtype=np.int64),  # nothing was fitted: all pairs count
        guessed["qid"],
    )
    reason = "the judge guessed no step of one of the arms"
    found = jackknife_interval(left.auroc, left.without, logit=True, unit="questions", reason=reason)
    n_steps = arms.count(guessed, pd.Series(True, index=guessed.index))
    return lambda: GuessArm(found, n_steps, len(rows) - len(guessed))


def _tables(found: Json) -> tuple[Table, ...]:
    guess, arms = found["guess_arm"], found["arms"]
    counts = (*(f"{guess['n_steps'][role]:,}" for role in ROLES), f"{guess['n_failed']:,}")
    head = ("", *(f"steps of {arms[role]}" for role in ROLES), "without a guess", "AUROC [95 % interval]")
    row = ("0.5 is blinded, 1 always knows", *counts, score(guess["auroc"]))
    return (Table("Guess of the arm", head, (row,)),)


def _part(found: Json) -> Part:
    guess = found["guess_arm"]
    n = sum(guess["n_steps"].values())
    failed = f", {guess['n_failed']:,} without a guess" if guess["n_failed"] else ""
    sentence = f"Whether the judge can tell the arms apart is not known: {why(guess['auroc'])}."
    if number(guess["auroc"]) is not None:
        sentence = (
            "Asked who wrote a step, the judge puts the arm after higher with an AUROC of "
            f"{score(guess['auroc'])} ({counted(n, 'step')}{failed}): 0.5 would mean that it is blinded, 1 "
            "that it always knows."
        )
    return Part("guess", sentence)


GUESS_ARM = Control(
    "guess-arm",
    "guess of the arm",
    "the judge tells whose step it is from steps of both arms",
    items=whole_steps,
    ask=Ask(_send, _plan, labels=False),
    against=_against,
    finding=Finding("guess_arm", "no arm was guessed", _of, ALIKE, _part, _tables),
)
