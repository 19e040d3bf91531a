"""The answers of two arms on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mechcot.analyses.answers.analysis import AnswersResult, ArmAnswers
from mechcot.core.columns import Unit, written
from mechcot.core.words import DIFFERENCE, Table


def terminal_text(result: AnswersResult) -> str:
    """What happened to the answers: all questions, those where both arms name an option, calibration."""
    arms, named = (result.before, result.after), result.named
    rows = [
        _shares("right answers, single traces", [arm.accuracy for arm in arms], result.delta_accuracy),
        _shares(f"right answers, by vote of {arms[0].k}", [_vote(arm) for arm in arms], result.delta_sc),
        _shares(f"  both name an option ({_n(named.n_questions)})", named.sc, named.delta_sc),
        _numbers("calibration error (ECE), plain", "ece", result, result.delta_ece),
        _numbers("  bins of equal mass", "ece_equal_mass", result, result.delta_ece_equal_mass),
        _numbers("  squared, without bias of noise", "ece_squared", result, result.delta_ece_squared),
        ("  both name an option, plain", *(written(value, (), "number") for value in named.ece), ""),
        _shares("vote share minus share right", [arm.votes.gap for arm in arms], result.delta_gap, "points"),
        _numbers("slope of right on vote share", "slope", result, result.delta_slope),
        _numbers("Brier score", "brier", result, result.delta_brier),
        _shares("traces without an answer", [arm.share_no_answer for arm in arms]),
        _shares("traces cut by the token limit", [arm.share_truncated for arm in arms]),
    ]
    head = (_n(arms[0].n_questions), arms[0].arm, arms[1].arm, DIFFERENCE)
    naming = named.naming
    note = (
        ""
        if naming.estimate is None
        else f"Of the gain by vote, {_told(naming, 'share')} is naming an option at all."
    )
    return Table("", head, tuple(rows), note).text()


def _n(questions: int) -> str:
    return f"{questions:,} {'question' if questions == 1 else 'questions'}"


def _vote(arm: ArmAnswers) -> Any:
    return arm.sc_interval or arm.votes.sc


def _shares(what: str, arms: Sequence[Any], change: Any = None, unit: Unit = "share") -> tuple[str, ...]:
    return (what, *(_told(value, unit) for value in arms), "" if change is None else _told(change, "points"))


def _numbers(what: str, name: str, result: AnswersResult, change: Any) -> tuple[str, ...]:
    values = (getattr(arm.votes, name) for arm in (result.before, result.after))
    return (what, *(written(value, (), "number") for value in values), _told(change, "number"))


def _told(value: Any, unit: Unit) -> str:
    """A number, or an interval with its ends."""
    if hasattr(value, "estimate"):
        return written(value.estimate, (value.low, value.high), unit)
    return written(value, (), unit)
