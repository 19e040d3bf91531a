"""Ratings in sentences and tables: what is said follows intervals and adjusted p-values."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from mechcot.analyses.likert.result import LikertResult
from mechcot.analyses.likert.scales import LOAD, OUTCOMES
from mechcot.core.words import (
    Table,
    change,
    listed,
    number,
    p_value,
    percent,
    plain_signs,
    score,
    why,
    wrapped,
)
from mechcot.stats.inference import ALPHA
from mechcot.stats.ordinal_mixed import TERMS

Json = Mapping[str, Any]
INTERPRETABILITY = "interpretability"


def compared(result: Json, outcome: str) -> str:
    """How the trace types differ from the first, as a sentence."""
    first = result["arms"][0]
    rows = [row for row in result["effects"] if (row["outcome"], row["other"]) == (outcome, first)]
    kinds: dict[str, list[str]] = {"higher": [], "lower": [], "not": [], "unknown": []}
    for row in rows:
        p, odds = number(row["p_holm"]), number(row["log_odds"])
        told = f"{row['arm']} (log odds {change(row['log_odds'], 2)})"
        if p is None or odds is None:
            kinds["unknown"].append(f"{row['arm']} ({why(row['log_odds']) or why(row['p_holm'])})")
        elif p < ALPHA:
            kinds["higher" if odds > 0 else "lower"].append(told)
        else:
            kinds["not"].append(told)
    what = "load" if outcome == LOAD else "interpretability"
    said = [
        f"{word} for {listed(kinds[kind])}"
        for kind, word in (("higher", "clearly higher"), ("lower", "clearly lower"))
        if kinds[kind]
    ]
    if kinds["not"]:
        said.append(f"not clearly different for {listed(kinds['not'])}")
    if kinds["unknown"]:
        said.append(f"not to be compared for {listed(kinds['unknown'])}")
    pairs = len(result["arms"]) * (len(result["arms"]) - 1) // 2
    counting = f", all {pairs} pairs counted," if pairs > 1 else ""
    return f"Rated {what} against {first}{counting} is {'; '.join(said)}."


def beside_accuracy(result: Json, outcome: str) -> str:
    """Where the trace type with most right answers stands among the ratings, as a sentence."""
    rates = {row["arm"]: row["rate"] for row in result["accuracy"] if number(row["rate"]) is not None}
    means = {row["arm"]: row["mean"] for row in result["means"] if row["outcome"] == outcome}
    most = max(number(rate) or 0.0 for rate in rates.values())
    best = [arm for arm, rate in rates.items() if number(rate) == most]
    order = sorted(means, key=lambda arm: -(number(means[arm]) or 0.0))
    what = "load (higher is worse)" if outcome == LOAD else "interpretability"
    told = listed([f"{score(means[arm])}, {_rank(order.index(arm), len(order))}" for arm in best])
    verb, own = ("has", "its") if len(best) == 1 else ("have", "their")
    return (
        f"{listed(best)} {verb} the most right answers ({percent(most)}); {own} mean {what} is {told} of "
        f"{len(order)} trace types."
    )


def _rank(place: int, n: int) -> str:
    return {0: "the highest", n - 1: "the lowest"}.get(place, f"number {place + 1}")


def people_table(result: Json) -> Table:
    """Who rated."""
    head = ("trace type", "asked", "returned", "left out", "kept", "ratings")
    rows = [
        (
            row["arm"],
            *(f"{n:,}" for n in (row["asked"], row["returned"], row["returned"] - row["kept"])),
            f"{row['kept']:,}",
            f"{row['ratings']:,}",
        )
        for row in result["people"]
    ]
    out = ", ".join(
        f"{row['participant']} ({row['arm']}, {row['missed']} of {row['checks']})"
        for row in result["excluded"]
    )
    note = (
        f"Left out for a missed attention check: {out or 'nobody'}. Ratings of those kept that are missing: "
        f"{result['missing']:,}."
    )
    return Table("participants", head, tuple(rows), note)


def means_table(result: Json) -> Table:
    """Mean ratings with intervals over participants."""
    means = {(row["arm"], row["outcome"]): row["mean"] for row in result["means"]}
    rows = tuple((arm, *(score(means[arm, outcome]) for outcome in OUTCOMES)) for arm in result["arms"])
    note = "Means of 1 to 5, 95 % intervals over participants, for these questions. Load: higher is worse."
    return Table("mean rating", ("trace type", *OUTCOMES), rows, note)


def effects_table(result: Json, rows: Sequence[Json] | None = None, *, title: str = "effect") -> Table:
    """Every pair on every outcome."""
    head = ("outcome", "trace type", "over", "log odds", "p", "p, all pairs", "Cliff’s delta")
    told = tuple(
        (
            row["outcome"],
            row["arm"],
            row["other"],
            change(row["log_odds"], 2),
            _p(row["p"]),
            _p(row["p_holm"]),
            change(row["delta"], 2),
        )
        for row in (result["effects"] if rows is None else rows)
    )
    note = (
        "Log odds ratio of a higher rating, for a participant and a question drawn at random (population-"
        "averaged); participants and questions are both clusters. Last p: Holm’s over an outcome’s pairs. "
        "Cliff’s delta: of participants’ means, for these traces; participants are resampled."
    )
    return Table(title, head, told, note)


def conditional_table(result: Json) -> Table:
    """The same effects for one and the same participant and question."""
    rows = []
    for row in result["conditional"]:
        if row["reason"]:
            rows.append((row["scale"], "–", row["reason"], "", ""))
        averaged = {
            one["arm"]: one["log_odds"]
            for one in result["effects"]
            if (one["outcome"], one["other"]) == (row["scale"], result["arms"][0])
        }
        sd = ", ".join(f"{row['sd'][term]:.2f}" for term in TERMS if row["sd"])
        rows += [
            (row["scale"], arm, change(averaged[arm], 2), change(row["effects"][arm], 2), sd)
            for arm in result["arms"]
            if arm in row["effects"]
        ]
    head = ("scale", "trace type", "population-averaged", "same participant and question", "SD")
    note = (
        f"Log odds against {result['arms'][0]}. Right: a cumulative-logit mixed model (Laplace, Wald), "
        "larger where participants and questions differ; SD: of participants, questions and texts."
    )
    return Table("effect for one and the same participant", head, tuple(rows), note)


def accuracy_table(result: Json) -> Table:
    """Right answers by trace type."""
    rows = tuple(
        (row["arm"], f"{percent(row['rate'])}{_ends(row['rate'])}", f"{row['right']} of {row['rated']}")
        for row in result["accuracy"]
    )
    return Table("right answers", ("trace type", "of all traces", "of the rated ones"), rows)


def reliability_line(result: Json) -> str:
    """Whether the three scales measure one thing."""
    return (
        f"The three scales of interpretability: alpha {_or_why(result['alpha'])}, omega "
        f"{_or_why(result['omega'])} (participants resampled)."
    )


def everyone_table(result: Json) -> Table | None:
    """Effects with nobody left out, where somebody was."""
    if not result["everyone"]:
        return None
    return effects_table(result, result["everyone"], title="with nobody left out")


def terminal_text(result: LikertResult) -> str:
    """The result for a terminal."""
    told = result.to_json()
    lines = [wrapped(compared(told, outcome)) for outcome in (INTERPRETABILITY, LOAD)]
    lines += [wrapped(reliability_line(told)), ""]
    first = [row for row in told["effects"] if row["outcome"] in (INTERPRETABILITY, LOAD)]
    tables = [people_table(told), means_table(told), effects_table(told, first), accuracy_table(told)]
    lines += list(itertools.chain.from_iterable((table.text(), "") for table in tables))
    if told["ignored_columns"]:
        ignored = ", ".join(map(plain_signs, told["ignored_columns"]))
        lines.append(f"Columns that were ignored: {ignored}")
    return "\n".join(lines).rstrip()


def _p(leaf: Any) -> str:
    value = number(leaf)
    return "–" if value is None else p_value(value).removeprefix("p ").removeprefix("= ")


def _ends(leaf: Json) -> str:
    low, high = number(leaf.get("low")), number(leaf.get("high"))
    return "" if low is None or high is None else f" [{100 * low:.1f}, {100 * high:.1f}]"


def _or_why(leaf: Any) -> str:
    return score(leaf) if number(leaf) is not None else f"not defined ({why(leaf)})"
