"""The page's later sections: commitment, doubt, probes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from mechcot import plots
from mechcot.core.words import clause, counted, listed, number, percent, points, score, why
from mechcot.report.parts import Findings, Part, Section

_AUROC = Markup(
    "<dfn>AUROC</dfn> says how often a score puts the right one of two claims higher: 0.5 is chance, 1 is "
    "always."
)


def commitment(found: Findings) -> Section:
    """When each arm's traces are settled, and whether the text or the reader settles them."""
    result = found.results["commitment"]
    title = "When is the answer settled, and by whose text?"
    if "arms" not in result:
        return _nothing("commitment", title, "Forced answers cannot be compared here.", result["reason"])
    arms = {name: result["arms"][name] for name in (found.before, found.after)}
    mass = " and ".join(f"{percent(arm['raw_mass'], 0)} ({name})" for name, arm in arms.items())
    reading = Markup(
        "After each step the trace is cut off and the model has to answer at once: a <dfn>forced "
        "answer</dfn>. A trace is <dfn>locked</dfn> from the first cut after which every forced answer is "
        "the one that the trace ends in; it never locks when the last cut before the answer is stated still "
        "gives another. To tell the text from the reader, each model also read the other one's traces."
    )
    limits = Markup(
        "That steps after the lock do not matter, or that steps before it do: nothing was changed in a trace "
        "to try it. A forced answer stands where the model would not answer by itself: there the options "
        "together hold {mass} of the probability. A model may also repeat an option that was just named."
        "{left}"
    ).format(mass=mass, left=_left_out(arms))
    parts = (
        Part("curves", _settled(found, arms, result["difference"]), plots.commitment_curves(arms)),
        Part("cross", _whose(found, result["two_by_two"]), plots.commitment_two_by_two(result["two_by_two"])),
    )
    return Section("commitment", title, parts, reading, limits)


def _left_out(arms: dict[str, Any]) -> str:
    """How many of the arms' traces their locks leave out, "" where they leave out none."""
    counts = {name: sum(arm["excluded"].values()) for name, arm in arms.items()}
    if not any(counts.values()):
        return ""
    parts = [
        f"{n:,} of {name}’s {counted(arms[name]['n_traces'] + n, 'trace')}" for name, n in counts.items()
    ]
    return (
        " Traces that give no option, were cut or were not read are left out "
        f"({listed(parts)}), so the two models may be seen on partly other questions."
    )


def _nothing(name: str, title: str, sentence: str, reason: str) -> Section:
    """A section whose analysis has only a reason: nothing to explain, nothing to misread."""
    return Section(name, title, (Part(name, sentence, reason=reason),), Markup(), Markup())


def _settled(found: Findings, arms: dict[str, Any], difference: dict[str, Any]) -> str:
    a, b = arms[found.before], arms[found.after]
    first = clause(
        "traces locked before the first word",
        a["locked_at_prompt"],
        b["locked_at_prompt"],
        difference["differences"]["locked_at_prompt"],
    )
    return (
        f"From {found.before} to {found.after}, {first}; {percent(a['never_share'])} and "
        f"{percent(b['never_share'])} never lock."
    )


def _whose(found: Findings, cross: dict[str, Any]) -> str:
    effects = cross["measures"]["mean_p_own"]
    return (
        f"Putting {found.after}’s text in place of {found.before}’s moves the probability of the trace’s own "
        f"answer by {points(effects['effect_text'])}; putting {found.after} in place of {found.before} as "
        f"the reader moves it by {points(effects['effect_reader'])}."
    )


def doubt(found: Findings) -> Section:
    """What is left of the doubt that the arm before used to say."""
    result = found.results["hedge"]
    title = f"What is left of {found.before}’s doubt?"
    if "before" not in result:
        return _nothing("doubt", title, "Hedges cannot be told here.", result["reason"])
    reading = Markup(
        "A <dfn>hedge</dfn> is a word that marks a claim as doubtful; a claim without one is "
        "<dfn>asserted</dfn>. At each <dfn>layer</dfn> (one stage of the model’s computation; layer 0 has "
        "seen the word alone) the <dfn>hedge direction</dfn> is the average difference of {before}’s inner "
        "state just before hedged and just before asserted claims of the same kind. {auroc} The grey band is "
        "what random directions reach."
    ).format(before=found.before, auroc=_AUROC)
    limits = Markup(
        "That the direction is what makes a model hedge, or that {after} feels doubt: it may mark how seldom "
        "a name was seen, most of all if layer 0 shows it too. The best layer is picked after looking, which "
        "flatters it; the curve is what counts."
    ).format(after=found.after)
    return Section("doubt", title, (_own(found, result), _moved(found, result)), reading, limits)


def _own(found: Findings, result: dict[str, Any]) -> Part:
    own = result["before"]
    rates = (
        f"{found.before} hedges {percent(own['rate'])} of its claims and {found.after} "
        f"{percent(result['after']['rate'])}"
    )
    if own["reason"]:
        return Part("hedge", f"{rates}; no hedge direction can be found.", reason=own["reason"])
    return Part(
        "hedge",
        f"{rates}; inside {found.before}, what will be hedged can be told from what will be asserted "
        f"{_best(own['by_layer'])}.",
        plots.hedge_by_layer(own),
    )


def _moved(found: Findings, result: dict[str, Any]) -> Part:
    moved = result["after"]
    if moved["reason"]:
        sentence = f"What the direction says of {found.after}’s claims cannot be told."
        return Part("projection", sentence, reason=moved["reason"])
    return Part(
        "projection",
        f"Along the same direction, wrong claims that {found.after} asserts can be told from right ones "
        f"{_best(moved['by_layer'])}.",
        plots.hedge_by_layer(moved),
    )


def _best(rows: Sequence[dict[str, Any]]) -> str:
    """Where a direction does best, and whether random ones do as well there."""
    known = [row for row in rows if number(row["auroc"]) is not None]
    if not known:
        return f"at no layer ({why(rows[0]['auroc'])})"
    best = max(known, key=lambda row: number(row["auroc"]) or 0.0)
    value, chance = number(best["auroc"]) or 0.0, best["random"]
    low = number(best["auroc"].get("low"))
    text = f"an AUROC of {score(best['auroc'])} at layer {best['layer']}, its best"
    if low is None or low <= 0.5:
        worst = min(known, key=lambda row: number(row["auroc"]) or 0.0)
        if (number(worst["auroc"].get("high")) or 1.0) < 0.5:
            turned = f"an AUROC of {score(worst['auroc'])} at layer {worst['layer']}"
            return f"only the other way round ({turned})"
        return f"no better than by chance ({text})"
    if chance is not None and value <= chance["high"]:
        return f"no better than random directions can ({text})"
    return f"with {text}"


def probes(found: Findings) -> Section:
    """What a probe sees beyond position, kind and uncertainty."""
    reports = found.results["probe"]
    reading = Markup(
        "A <dfn>probe</dfn> is a linear rule that is fitted on a model’s inner state at the end of each step "
        "to tell wrong steps from right ones, and scored on questions that it was not fitted on. Questions "
        "with one right answer’s entity stay together, and no claim is scored whose very words it was fitted "
        "on; an entity of another option may be spoken of in both. Beside it stand rules that see less: the "
        "step’s place, its kind, and how unsure the model is by its own account: <dfn>entropy</dfn>, the "
        "spread of its next word, and <dfn>surprisal</dfn>, how unlikely the words were that it wrote. Only "
        "what the probe adds to these, or finds within one kind, speaks of the inside. {auroc}"
    ).format(auroc=Markup() if "before" in found.results["hedge"] else _AUROC)
    limits = Markup(
        "That the model uses what a probe reads, or knows that a step is wrong. A probe that is no better "
        "than the kind of step only tells kinds apart. Choosing the best point of a curve by layer flatters "
        "it; the dashed line, whose layer was chosen without the test questions, does not."
    )
    fitted = {name: report for name, report in reports.items() if "auroc" in report}
    shades = {found.before: plots.BEFORE, found.after: plots.AFTER}
    parts = [_probe(name, reports[name], shades[name]) for name in (found.after, found.before)]
    if fitted:
        colours = [shades[name] for name in fitted]
        where = "; ".join(
            f"in {name} the layer chosen most often is {report['layer']}" for name, report in fitted.items()
        )
        figure = plots.probe_by_layer(fitted, colours=colours)
        parts.append(Part("layers", f"By layer: {where}.", figure))
    return Section("probe", "What does a probe see inside?", tuple(parts), reading, limits)


_WITHIN = ("kind", "position", "question")
_BASELINES = (
    "position_only", "kind_only", "answer_only", "uncertainty", "text_only", "stack", "entropy_object",
)  # fmt: skip
"""What stands under the probe, in this order; the probe's own page has them all."""


def _probe(name: str, report: dict[str, Any], colour: str) -> Part:
    if "auroc" not in report:
        return Part(f"probe-{name}", f"In {name}, no probe can be fitted.", reason=report["reason"])
    verdict = report["verdict"][:1].lower() + report["verdict"][1:]
    shown = {"auroc", "verdict", "stack", "n_steps", "n_errors", "n_questions", "n_folds"}
    kept = {key: value for key, value in report.items() if key in shown}
    for part, names in (("within", _WITHIN), ("baselines", _BASELINES)):
        kept[part] = {key: report[part][key] for key in names if key in report[part]}
    figure = plots.probe_bars(kept, colour=colour)
    return Part(f"probe-{name}", f"In {name}, {verdict}", figure)
