"""Whether restoring hedging changes what is claimed, on the page and in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from mechcot.analyses.steering import figures
from mechcot.analyses.steering.analysis import dose_at
from mechcot.analyses.steering.design import ABLATE
from mechcot.analyses.steering.result import MEASURES, SteeringResult
from mechcot.analyses.steering.strength import DEPTH, MOST_DIVERGENCE, MOST_SILENT
from mechcot.core.words import Table, direction, number, p_value, percent, points, score, wrapped
from mechcot.report.parts import Findings, Part, Section, nothing

_TITLE = "Does restoring hedging change step error?"
Json = Mapping[str, Any]


def section(found: Findings) -> Section:
    """What both arms write while the direction is added or taken out."""
    result = found.results["steering"]
    if "arms" not in result:
        return nothing("steering", _TITLE, "The hedge direction was not added to anything.", result["reason"])
    before, after = found.before, found.after
    parts = (
        Part(
            "steering",
            answer(result),
            figures.steering_doses(result),
            tables=(_doses(result, after), _candidates(result)),
        ),
        Part("steering-chance", _chance(result), tables=(_random(result),)),
        Part(
            "steering-before",
            itself(result),
            figures.steering_doses(result, arm=before),
            tables=(_doses(result, before),),
        ),
    )
    reading = Markup(
        "While a model writes, a multiple of {before}’s <dfn>hedge direction</dfn> is added to its inner "
        "state at every token; one unit is the distance between the means of hedged and asserted claims. "
        "Questions are in three parts: one fits the direction, one chooses its form, the layer and which "
        "strength is reported, one reports. <dfn>Damage</dfn> is a divergence of more than {most} nats a "
        "token where no hedge could stand, or {silent} more traces without an answer. A hedged claim that is "
        "false counts as a wrong step, as the checker does not hear hedges."
    ).format(before=before, most=MOST_DIVERGENCE, silent=points_of(MOST_SILENT))
    limits = Markup(
        "That {after} has no doubt: another direction, place or layer might bring hedges back. That what "
        "changes beside hedges comes of doubt: a random direction of the same length changes claims too, and "
        "stands beside. Strengths between those tried were not tried."
    ).format(after=after)
    return Section("steering", _TITLE, parts, reading, limits)


def points_of(share: float) -> str:
    """A difference of shares, unsigned."""
    return f"{100 * share:g} points"


def answer(result: Json) -> str:
    """Does restoring hedging in the arm after change step error? One sentence, and what follows."""
    before, after = result["before"], result["after"]
    own, dose = result["arms"][after], dose_at(result["arms"][after], result["scale"])
    wanted = f"{before}: {percent(result['wanted'])}, where strengths are chosen"
    shares = dose["shares"]
    hedged, wrong = shares["hedged"], shares["wrong"]
    if result["verdict"] == "restored":
        return (
            f"With {before}’s hedge direction at strength {result['scale']:g}, {percent(hedged['value'])} of "
            f"{after}’s claims are hedged without damage ({wanted}), and {_moves(wrong['change'])}; wrong "
            f"steps without a hedge change by {points(shares['asserted_wrong']['change'])}."
        )
    if result["verdict"] == "damage":
        said = (
            f"Hedging could not be put back into {after} without damage: strength {result['scale']:g} brings "
            f"it to {percent(hedged['value'])} of its claims ({wanted}), and traces without an answer change "
            f"by {points(shares['silent']['change'])}, its texts diverging by "
            f"{score(dose['divergence'])} nats a "
            f"token; {_moves(wrong['change'])}."
        )
    else:
        most = max(_added(own), key=lambda one: number(one["shares"]["hedged"]["value"]) or 0.0)
        said = (
            f"Hedging could not be put back into {after}: at no strength up to {_added(own)[-1]['scale']:g} "
            f"{_at_most(most['shares']['hedged']['value'])} ({wanted})."
        )
    return f"{said} {_safe(result, after)}"


def _at_most(share: Json) -> str:
    if not number(share):
        return "is any of its claims hedged"
    return f"are more than {percent(share)} of its claims hedged"


def _safe(result: Json, arm: str) -> str:
    """What the greatest strength without damage does."""
    own = result["arms"][arm]
    safe = number(own["safe"])
    if safe is None:
        return "Every strength that was tried does damage."
    shares = dose_at(own, safe)["shares"]
    return (
        f"At strength {safe:g}, the greatest without damage where strengths are chosen, "
        f"{_hedged(shares['hedged'])}, and "
        f"{_moves(shares['wrong']['change'])}."
    )


def _hedged(share: Json) -> str:
    """How many claims are hedged, with the change if there is any."""
    if not number(share["value"]):
        return "no claim is hedged"
    return f"{percent(share['value'])} of claims are hedged (a change of {points(share['change'])})"


def _moves(change: Json) -> str:
    """What wrong steps do, as the end of a sentence."""
    match direction(change):
        case "up" | "down":
            return f"wrong steps change by {points(change)}"
        case "unclear":
            return f"whether wrong steps change is not told ({points(change)})"
        case _:
            return "whether wrong steps change cannot be told"


def itself(result: Json) -> str:
    """The same in the arm whose direction it is, and what taking the direction out does."""
    before = result["before"]
    out = dose_at(result["arms"][before], 0.0, ABLATE)["shares"]
    bare = dose_at(result["arms"][before], 0.0)["shares"]["hedged"]["value"]
    return (
        f"In {before} itself {percent(bare)} of claims are hedged. {_safe(result, before)} With the "
        f"direction taken out, {_hedged(out['hedged'])}, and {_moves(out['wrong']['change'])}."
    )


def _chance(result: Json) -> str:
    wrong = result["chance"]["wrong"]
    own = dose_at(result["arms"][result["after"]], result["scale"])["shares"]["wrong"]["change"]
    return (
        f"Of {wrong['draws']} random directions of the same length at strength "
        f"{result['scale']:g}, 95 % change "
        f"{result['after']}’s wrong steps by {points_between(wrong['low'], wrong['high'])}; the "
        "hedge direction "
        f"changes them by {points(own)} ({p_value(wrong['p'])})."
    )


def points_between(low: float, high: float) -> str:
    """Two ends in points."""
    return f"{100 * low:+.1f} to {100 * high:+.1f} points".replace("-", "\u2212")


def _added(own: Json) -> list[Json]:
    return [one for one in own["doses"] if one["form"] != ABLATE and one["scale"] > 0]


def _doses(result: Json, arm: str) -> Table:
    rows = tuple(
        (
            "taken out" if one["form"] == ABLATE else f"{one['scale']:g}",
            *(percent(one["shares"][name]["value"]) for name in MEASURES),
            points(one["shares"]["wrong"]["change"]),
            score(one["divergence"]),
            score(one["surprise"]),
            score(one["landing"]),
        )
        for one in result["arms"][arm]["doses"]
    )
    head = ("strength", *MEASURES.values(), "change of wrong", "divergence", "surprise", "where hedges land")
    note = (
        f"{result['n_questions']} questions. Divergence: nats a token where no hedge could "
        "stand. Surprise: nats a "
        f"token of what was written, to {result['before']}. Where hedges land: AUROC of the "
        "probability of a hedge for "
        "a wrong claim, within kind."
    )
    return Table(f"What {arm} writes at each strength", head, rows, note)


def _candidates(result: Json) -> Table:
    rows = tuple(
        (
            arm,
            f"{one['layer']}",
            one["direction"],
            f"{one['effect']:.2f}",
            f"{one['divergence']:.3f}",
            "used" if _place(one) == _place(own) else "",
        )
        for arm, own in result["arms"].items()
        for one in own["candidates"]
    )
    other = ", ".join(
        f"layer {own['without_cut']['layer']}, {own['without_cut']['direction']} ({arm})"
        for arm, own in result["arms"].items()
    )
    note = (
        f"{result['n_choosing']} questions, on which nothing is reported. Used: the largest gain among "
        f"layers up to {DEPTH:g} of the depth that diverge by at most {MOST_DIVERGENCE} nats a token, or "
        f"what diverges least. With all layers: {other}. Forms: means, the difference of means; mass-mean, "
        "that through the inverse covariance within classes; logistic, the coefficients of a regression; "
        "each as long as the two means lie apart along it."
    )
    return Table(
        "One distance between the means, by layer and form of the direction",
        ("in", "layer", "form", "log-odds gained", "divergence", ""),
        rows,
        note,
    )


def _place(one: Json) -> tuple[Any, Any]:
    return one["layer"], one["direction"]


def _random(result: Json) -> Table:
    own = dose_at(result["arms"][result["after"]], result["scale"])["shares"]
    rows = tuple(
        (
            label,
            points(own[name]["change"]),
            points_between(result["chance"][name]["low"], result["chance"][name]["high"]),
            p_value(result["chance"][name]["p"]),
        )
        for name, label in MEASURES.items()
    )
    draws = result["chance"]["wrong"]["draws"]
    smoke = "" if draws >= 100 else " So few are a smoke test; --thorough draws 100."
    note = f"{draws} random directions with the claims’ covariance.{smoke}"
    head = ("", "hedge direction", "95 % of random ones", "p")
    return Table(f"The same strength in random directions, {result['after']}", head, rows, note)


def _short(leaf: Any) -> str:
    value = number(leaf)
    return "–" if value is None else f"{value:.2f}"


def terminal_text(result: SteeringResult) -> str:
    """The doses of both arms, and the answer."""
    found = result.to_json()
    rows = tuple(
        (
            arm,
            "taken out" if one["form"] == ABLATE else f"{one['scale']:g}",
            *(percent(one["shares"][name]["value"], 0) for name in ("hedged", "wrong", "right", "silent")),
            _short(one["divergence"]),
        )
        for arm, own in found["arms"].items()
        for one in own["doses"]
    )
    table = Table("", ("arm", "strength", "hedged", "wrong", "right", "no answer", "diverges"), rows)
    told = f"{answer(found)} {itself(found)} {_chance(found)}"
    return f"{table.text()}\n\n{wrapped(told)}"
