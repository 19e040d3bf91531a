"""How sure is the audit? Chance, the judge, and the way the traces were cut."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from mechcot.analyses.audit import certainty_figures
from mechcot.core.words import DIFFERENCE, NBSP, direction, number, percent, points, signed, why
from mechcot.report.parts import Findings, Part, Table


def certainty(found: Findings) -> tuple[Part, ...]:
    """What chance and what the judge could make of the change."""
    return difference(found), tipping(found)


def difference(found: Findings) -> Part:
    """The difference by steps and by questions, and its tests."""
    result = found.results["certainty"]
    if "step_weighted" not in result:
        return Part("ways", "The difference cannot be tested.", reason=result["reason"])
    step = result["step_weighted"]
    p, seen = number(step["p_value"]), number(step["detectable"])
    if p is None:
        return Part("ways", "The difference cannot be tested.", reason=why(step["p_value"]))
    reached = round(p * (result["draws"] + 1)) - 1  # the observed signs count as one draw more
    sentence = (
        f"If it were chance, question by question, which model is which, a change of wrong steps as large as "
        f"the one found ({points(step)}) would turn up in {reached:,} of {result['draws']:,} tries. "
        f"{_would_be_found(result, seen)}."
    )
    people = found.results["people"]
    judge = people.judge(found.settings.judge.kind)
    beside = None if judge is None else {"design": judge["design"], "people": people.sheet["people"]}
    return Part(
        "ways",
        sentence,
        certainty_figures.difference_forest(result, beside),
        tables=(_tests(result), _clustering(found, result)),
    )


def _would_be_found(result: Mapping[str, Any], seen: float | None) -> str:
    """The smallest true change that studies like this one find, or why nobody can tell."""
    if seen is None:
        return f"What true change would be found is not known: {why(result['step_weighted']['detectable'])}"
    return (
        f"A true change of {100 * seen:.1f} points would be found in {percent(result['power'], 0)} of "
        "studies like this one"
    )


def _tests(result: Mapping[str, Any]) -> Table:
    both = (result["step_weighted"], result["question_weighted"])
    rows = (
        ("change of wrong steps [95 % interval]", *map(points, both)),
        ("questions behind it", *(f"{one['n']:,}" for one in both)),
        ("standard error, questions as clusters", *(_of_hundred(one["se"]) for one in both)),
        ("p, signs of questions flipped", *(_plain(one["p_value"], 4) for one in both)),
        ("smallest change that would be found", *(_of_hundred(one["detectable"]) for one in both)),
    )
    note = (
        f"Intervals: {result['step_weighted']['method']}. Smallest change: found with a chance of "
        f"{percent(result['power'], 0)} at the level {result['alpha']:g}. Seed {result['seed']}."
    )
    return Table("Tests", ("", "every step weighs the same", "every question weighs the same"), rows, note)


def _clustering(found: Findings, result: Mapping[str, Any]) -> Table:
    arms = ("before", "after")
    own, bounds = result["clustering"], result["abstention"]
    rows: list[tuple[str, ...]] = [
        ("judged steps", *(f"{own[arm]['n_steps']:,}" for arm in arms), ""),
        ("questions with a judged step", *(f"{own[arm]['n_questions']:,}" for arm in arms), ""),
        ("likeness of steps of one question (ICC)", *(_plain(own[arm]["icc"]) for arm in arms), ""),
        (
            "variance over that of independent steps (design effect)",
            *(_plain(own[arm]["deff"]) for arm in arms),
            _plain(result["deff"]),
        ),
        ("standard error if steps were independent", "", "", _of_hundred(result["independent_se"])),
        ("claims left undecided", *(percent(bounds["share_abstained"][arm]) for arm in arms), ""),
    ]
    if any(number(bounds["share_abstained"][arm]) for arm in arms):
        for label, low, high in (
            ("wrong steps, whatever those are", "low", "high"),
            ("the same with chance (Imbens and Manski)", "interval_low", "interval_high"),
        ):
            rates = (_range(bounds[arm], low, high, percent) for arm in arms)
            rows.append((label, *rates, _range(bounds["difference"], low, high, points)))
    head = ("", found.before, found.after, "difference")
    return Table("Clustering, and claims left undecided", head, tuple(rows))


def _range(bounds: Mapping[str, Any], low: str, high: str, write: Callable[[Any], str]) -> str:
    if number(bounds[low]) is None or number(bounds[high]) is None:
        return f"not known: {why(bounds[low])}"
    return f"{write(bounds[low])} to {write(bounds[high])}"


def _of_hundred(leaf: Any) -> str:
    value = number(leaf)
    return f"not known: {why(leaf)}" if value is None else f"{100 * value:.2f} points"


def _plain(leaf: Any, digits: int = 2) -> str:
    value = number(leaf)
    return f"not known: {why(leaf)}" if value is None else f"{value:.{digits}f}"


def tipping(found: Findings) -> Part:
    """How biased the judge would have to be."""
    result = found.results["certainty"]
    rows = result.get("tipping", [])
    if not rows:
        reason = result.get("reason") or why(result["step_weighted"]) or "no step was judged"
        return Part("tipping", "No tipping point can be given.", reason=reason)
    least, most = rows[0], rows[-1]
    gap = number(least["difference"])
    stricter, other = (found.after, found.before) if gap is None or gap >= 0 else (found.before, found.after)
    needed = [abs(100 * (number(row["difference"]) or 0.0)) for row in (least, most)]
    sentence = (
        f"For both models to be wrong equally often in truth, the judge would have to call right steps of "
        f"{stricter} wrong more often than right steps of {other}: by {needed[0]:.1f} points if no step "
        f"is truly wrong, by {needed[1]:.1f} if {percent(most['prevalence'], 0)} of them are."
    )
    if direction(result["step_weighted"]) == "unclear":
        sentence = f"There is no clear change to explain away; for what it is: {sentence}"
    if found.settings.judge.kind == "exact":
        sentence += " The exact checker, which looks claims up, does not do that."
    head = (
        "steps truly wrong in both",
        f"right steps of {found.before} called wrong",
        f"of {found.after}",
        DIFFERENCE,
    )
    cells = tuple(
        (
            percent(row["prevalence"]),
            percent(row["false_positive_before"]),
            percent(row["false_positive_after"]),
            points(row["difference"]),
        )
        for row in rows
    )
    note = (
        f"For a judge that finds {percent(least['sensitivity'], 0)} of the wrong steps of either model. The "
        "difference in the last column is the same for every such share; its interval is that of the change. "
        "The last row is the largest share of truly wrong steps that fits the rates found."
    )
    return Part("tipping", sentence, tables=(Table("The judge that it would take", head, cells, note),))


_SCALES = {
    "risk": "wrong steps per step",
    "per_100_words": "wrong steps per 100 words",
    "log_odds": "log odds of a wrong step",
    "log_odds_with_length": "log odds, length held (a mediator)",
    "cloglog": "log rate of wrong steps, per step",
    "cloglog_with_length": "log rate of wrong steps per word, length held (a mediator)",
}


def scales(found: Findings) -> Part:
    """The difference in other units."""
    result = found.results["scales"]
    if "scales" not in result:
        return Part("scales", "Errors cannot be counted in other units.", reason=result["reason"])
    scales = result["scales"]
    words, rate = scales["per_100_words"], scales["cloglog_with_length"]
    ratio = number(rate)
    told = (
        f"a rate per word {math.exp(ratio):.2f} times as high" if ratio is not None else "no ratio of rates"
    )
    sentence = (
        f"Counted per 100 words, wrong steps go from {_plain(words['before'])} to {_plain(words['after'])} "
        f"(per step from {percent(scales['risk']['before'])} to {percent(scales['risk']['after'])}). "
        f"With the length of every step held, {found.after} has {told}."
    )
    rows = [_scale(name, label, scales[name]) for name, label in _SCALES.items()]
    rows.insert(1, _scale("risk", "wrong steps per step, by GEE", result["gee"]))
    rho = number(result["gee"]["correlation"])
    judged = [f"{result['n_judged'][when]:,}" for when in ("before", "after")]
    spoken = [f"{result['n_words'][when]:,}" for when in ("before", "after")]
    note = (
        f"Judged steps: {judged[0]} → {judged[1]}, with {spoken[0]} → {spoken[1]} words. Ratio: of odds or "
        "of rates, after over before. If errors fall on words independently and all questions are alike, "
        "the log rate per word (complementary log-log) is the same however the text is cut; real questions "
        "differ, and then no unit is free of the cutting. Distilling changes length, so that a row which "
        "holds it asks for what is left beside that (a direct effect). GEE: logistic, steps of a question "
        "exchangeable"
        + ("" if rho is None else f" (working correlation {rho:.2f})")
        + ", rates standardised, errors corrected for few questions."
    )
    head = ("unit", found.before, found.after, DIFFERENCE, "ratio")
    return Part(
        "scales", sentence, tables=(Table("The same change in other units", head, tuple(rows), note),)
    )


def _scale(name: str, label: str, scale: Mapping[str, Any]) -> tuple[str, ...]:
    ends = [scale["before"], scale["after"]]
    if name == "risk":
        return (label, *map(percent, ends), points(scale), "")
    value = number(scale)
    if value is None:
        return (label, *(_dash(end) for end in ends), f"not known: {why(scale)}", "")
    low, high = (number(scale[end]) for end in ("low", "high"))
    between = "" if low is None or high is None else f" [{signed(low, 2)},{NBSP}{signed(high, 2)}]"
    ratio = "" if name == "per_100_words" else f"{math.exp(value):.2f}"
    return (label, *(_dash(end) for end in ends), f"{signed(value, 2)}{between}", ratio)


def _dash(leaf: Any) -> str:
    value = number(leaf)
    return "–" if value is None else signed(value, 2).lstrip("+")


_MEASURES = {
    "n_traces": "traces",
    "n_steps": "steps",
    "n_traces_without_steps": "traces without a step",
    "steps_per_trace": "steps per trace",
    "words_per_step": "words per step",
    "characters_per_step": "characters per step",
    "coverage": "share of the reasoning inside steps",
    "share_cut": "traces whose last step the token limit cut",
}
_COUNTS = ("n_traces", "n_steps", "n_traces_without_steps")
_SHARES = ("coverage", "share_cut")


def segments(found: Findings) -> Part:
    """How the traces were cut."""
    result = found.results["segments"]
    arms = {name: result["arms"][name] for name in (found.before, found.after) if name in result["arms"]}
    if len(arms) < 2:
        return Part("segments", "The cutting cannot be compared.", reason="an arm has no traces to cut")
    told = ", ".join(
        f"{_plain(arm['steps_per_trace'], 1)} steps of {_plain(arm['words_per_step'], 1)} words ({name})"
        for name, arm in arms.items()
    )
    sentence = f"Cut by the same rule (“{result['segmenter']}”), a trace has on average {told}."
    rows = [
        (label, *(_measure(name, arm[name]) for arm in arms.values())) for name, label in _MEASURES.items()
    ]
    for name in next(iter(arms.values())):
        if name.startswith("share_") and name != "share_cut" and any(number(a[name]) for a in arms.values()):
            rule = name.removeprefix("share_")
            rows.append((f"steps made by the rule “{rule}”", *(percent(arm[name]) for arm in arms.values())))
    note = "Models that write in another manner are cut in another manner; compare this before their errors."
    table = Table("How each model’s traces were cut", ("", *arms), tuple(rows), note)
    return Part("segments", sentence, tables=(table,))


def _measure(name: str, leaf: Any) -> str:
    if name in _COUNTS:
        return f"{leaf:,}"
    return percent(leaf) if name in _SHARES else _plain(leaf)
