"""What the columns and codes of results' tables are called on a terminal, by the class of the result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mechcot.core.columns import Head, told
from mechcot.core.results import kinds_called
from mechcot.core.words import DIFFERENCE

_CHANGE = Head(DIFFERENCE, "row's change")
_ROW = {"before": Head("before", "row"), "after": Head("after", "row")}
_ASKED = {"bare": Head("asked alone"), "placed": Head("in its place")}

HEADS: Mapping[str, Mapping[str, Head]] = {
    "AnswerAgreementResult": {
        "agreement": Head("agree", "share"),
        "rules_confirmed": Head("rules confirmed", "share"),
        "judge_confirmed": Head("server confirmed", "share"),
        "accuracy_rules": Head("right by rules", "share"),
        "accuracy_judge": Head("right by server", "share"),
        "n_judge_only": Head("server only"),
        "n_judge_ambiguous": Head("server says ambiguous"),
    },
    "CouplingResult": {
        "right_if_clean": Head("right, no claim wrong", "share"),
        "right_if_flawed": Head("right, a claim wrong", "share"),
        "gap": Head("between them", "points"),
        "auroc_same_question": Head("AUROC inside questions"),
        "slope": Head("slope inside questions"),
    },
    "ErrorScales": _ROW
    | {
        "scale": Head("wrong steps"),
        "estimate": _CHANGE,
        "se": Head("standard error"),
        "risk": Head("per step", "share"),
        "risk_gee": Head("per step, by GEE", "share"),
        "per_100_words": Head("per 100 words"),
        "log_odds": Head("log odds"),
        "log_odds_with_length": Head("log odds, length held"),
        "cloglog": Head("log rate, per step"),
        "cloglog_with_length": Head("log rate, per word, length held"),
    },
    "GainsResult": {
        "low": Head("margin before, from"),
        "high": Head("to"),
        "n": Head("questions"),
        "change": Head("change of margin"),
        "null_gained": Head("gained, if shares were equal"),
        "null_lost": Head("lost, if shares were equal"),
    },
    "GreedyResult": {
        "number": Head("what"),
        "sampled": Head("change, sampled", "row's change"),
        "greedy": Head("change, without sampling", "row's change"),
        "noise_in_change": Head("less without sampling", "row's change"),
        "right claims a trace": Head("right claims a trace"),
        "wrong claims a trace": Head("wrong claims a trace"),
        "": Head("", "share"),
    },
    "HedgeFindings": {"estimate": Head("AUROC")},
    "HedgeWordsResult": _ROW
    | {
        "difference": _CHANGE,
        "hedge": Head("hedges"),
        "certain": Head("certainty"),
        "first_person": Head("first person"),
        "steps": Head("of the steps", "share"),
        "density": Head("a hundred words"),
    },
    "KindsResult": {"within": Head("change inside kinds", "points")},
    "KnowledgeResult": _ASKED
    | {
        "cell": Head("facts of"),
        "form": Head("asked"),
        "known": Head("known", "share"),
        "change": Head("change", "points"),
        "n_facts": Head("facts"),
        "stratum: head": Head("subjects met often"),
        "stratum: middle": Head("subjects met less"),
        "stratum: tail": Head("subjects met seldom"),
    },
    "PanelResult": {
        "before": Head("wrong before", "share"),
        "after": Head("wrong after", "share"),
        "delta": Head(DIFFERENCE, "points"),
        "n_before": Head("judged before"),
        "n_after": Head("judged after"),
    },
    "SeedsResult": {
        "answers": Head("right answers", "points"),
        "steps": Head("wrong steps", "points"),
    },
}
"""Heads of columns, and names of codes in rows, by the class of the result."""


def text(result: Any) -> str:
    """A result's rows for a terminal."""
    return told(result.to_frame(), HEADS[type(result).__name__], kinds_called(result))
