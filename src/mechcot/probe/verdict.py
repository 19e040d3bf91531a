"""What a probe is worth, in words that say no more than the intervals."""

from __future__ import annotations

from collections.abc import Mapping

from mechcot.probe.baselines import Baseline, OnTheStack
from mechcot.probe.nulls import Nulls
from mechcot.probe.subjects import HeldOutSubjects
from mechcot.stats import Interval

_COMPARED = {
    "kind_only": ("knowing the kind of step", "kind"),
    "position_only": ("knowing the step's position", "position"),
    "length_only": ("knowing the step's length", "kind"),
    "answer_only": ("knowing whether the final answer is right", "answer outcome"),
    "uncertainty": ("the model's own uncertainty", "kind"),
    "text_only": ("reading the step's words", "kind"),
    "question_only": ("reading the question", "question"),
}
"""Single explanations: how they read, and within what the probe is then looked at."""

_SIGNALS = {"position_only": ("the step's position", "position"), "kind_only": ("the kind of step", "kind")}
"""What is named first, if nothing can be told from chance where it is held fixed."""


def verdict_of(
    headline: Interval,
    within: Mapping[str, Interval],
    baselines: Mapping[str, Baseline],
    stack: OnTheStack | None,
    nulls: Nulls,
    subjects: HeldOutSubjects | None = None,
) -> str:
    """Say what the probe is worth: against chance and what is simpler, what it adds, and the null's p.

    That it knows subjects is said where holding them out costs more than as many steps left out at random.
    """
    p = _null(nulls)
    if headline.estimate is None:
        return f"The probe cannot be scored: {headline.reason}."
    if headline.high is not None and headline.high < 0.5:
        return f"The probe does worse than chance: {told(headline)}. {p}"
    if headline.low is None or headline.low <= 0.5:
        return f"The probe is not distinguishable from chance: {told(headline)}. {p}"
    known = {
        name: row for name in _COMPARED if (row := baselines.get(name)) and row.auroc.estimate is not None
    }
    if not known:
        return f"The probe scores {told(headline)}. {_added(stack, baselines)}{_known(subjects)}{p}"
    said = _explained(headline, within, known) or _against(headline, within, known)
    return f"{said} {_added(stack, baselines)}{_known(subjects)}{p}"


def _explained(
    headline: Interval, within: Mapping[str, Interval], known: Mapping[str, Baseline]
) -> str | None:
    """Position or kind first, where the probe is no better and nothing can be told within it.

    That is what the intervals leave open; it does not say that position or kind *is* the signal.
    """
    for name, (what, where) in _SIGNALS.items():
        row, inside = known.get(name), within.get(where)
        if row is None or inside is None or (inside.low is not None and inside.low > 0.5):
            continue
        if row.probe_minus.low is None or row.probe_minus.low <= 0:
            return (
                f"The probe is not clearly better than knowing {what}: {headline.estimate:.2f} against "
                f"{row.auroc.estimate:.2f}; {_inside(where, inside)}"
            )
    return None


def _against(headline: Interval, within: Mapping[str, Interval], known: Mapping[str, Baseline]) -> str:
    """Compare with the best of the single explanations that the probe does not clearly beat, or of all."""
    unbeaten = {k: r for k, r in known.items() if r.probe_minus.low is None or r.probe_minus.low <= 0}
    pool = unbeaten or known
    name = max(pool, key=lambda key: pool[key].auroc.estimate or 0.0)
    best, (phrase, where) = pool[name], _COMPARED[name]
    relation = "better than every single simpler thing, the best of which is"
    if unbeaten:
        high, ahead = best.probe_minus.high, (best.probe_minus.estimate or 0.0) > 0
        relation = "not clearly better than" if ahead else "no better than"
        if high is not None and high < 0:
            relation = "worse than"
    tail = f" W{_inside(where, within[where])[1:]}" if where in within else ""
    numbers = f"{headline.estimate:.2f} against {best.auroc.estimate:.2f}"
    return f"The probe is {relation} {phrase}: {numbers}.{tail}"


def _inside(where: str, inside: Interval) -> str:
    if inside.estimate is None or inside.low is None or inside.high is None:
        return f"within one {where} it cannot be scored."
    found = "still separates" if inside.low > 0.5 else "cannot be told from chance"
    found = "does worse than chance" if inside.high < 0.5 else found
    return f"within one {where} it {found}: {told(inside)}."


def _added(stack: OnTheStack | None, baselines: Mapping[str, Baseline]) -> str:
    """What the probe adds to the comparator fixed in advance."""
    if stack is None or "stack" not in baselines:
        return ""
    alone, gain = baselines["stack"].auroc, stack.gain
    if gain.estimate == 0 and gain.low is None:
        return f"To all simpler things together ({alone.estimate:.2f}) no fold added the probe. "
    if gain.estimate is None or gain.low is None or gain.high is None:
        return ""
    numbers = told(gain, "+.3f")
    if gain.low > 0:
        return f"To all simpler things together ({alone.estimate:.2f}) it adds {numbers}. "
    if gain.high < 0:
        return f"From all simpler things together ({alone.estimate:.2f}) it takes away: {numbers}. "
    return f"What it adds to all simpler things ({alone.estimate:.2f}) cannot be told from 0: {numbers}. "


def _known(subjects: HeldOutSubjects | None) -> str:
    """That part of the signal is knowing subjects, where that is clear."""
    if subjects is None or subjects.difference.high is None or subjects.difference.high >= 0:
        return ""
    return (
        "Part of it is knowing the subjects: with those of the test steps held out it scores "
        f"{told(subjects.auroc)}, with as many training steps left out at random "
        f"{subjects.thinned.estimate:.2f}. "
    )


def _null(nulls: Nulls) -> str:
    """The primary null's p, or why there is none."""
    null = nulls.redrawn
    if null.p is None:
        return f"No p against redrawn labels: {null.reason}."
    return (
        f"p = {null.p:.3f} against labels redrawn given question, position, length and kind ({null.draws} "
        "draws)."
    )


def told(value: Interval, form: str = ".2f") -> str:
    """An interval in decimals, or why there is none."""
    if value.estimate is None:
        return f"none ({value.reason})"
    ends = "" if value.low is None or value.high is None else f" [{value.low:{form}}, {value.high:{form}}]"
    return f"{value.estimate:{form}}{ends}"
