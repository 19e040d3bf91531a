"""What a probe is worth, in words that say no more than the intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mechcot.core.words import listed
from mechcot.probe.baselines import Baseline, OnTheStack
from mechcot.probe.incremental import NOT_USED, BeyondPosition
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


_KEPT = {"question": "question", "position": "position", "length": "position and length", "kind": "kind"}
"""What the null keeps, by the stratum that is there where it was given."""

_ENOUGH = 0.05
"""The p from which on chance is not told apart from what the null keeps."""


@dataclass(frozen=True)
class Evidence:
    """What a verdict is read off, see `ProbeReport`; `auroc` is the nested estimate."""

    auroc: Interval
    within: Mapping[str, Interval]
    baselines: Mapping[str, Baseline]
    stack: OnTheStack | None
    nulls: Nulls
    subjects: HeldOutSubjects | None = None
    position: BeyondPosition | None = None


def verdict_of(found: Evidence) -> str:
    """Say what the probe is worth: against chance and what is simpler, what it adds, and the null's p.

    That it knows subjects is said where holding them out costs more than as many steps left out at random.
    """
    p, headline = _null(found.nulls, found.within), found.auroc
    if headline.estimate is None:
        return f"The probe cannot be scored: {headline.reason}."
    if headline.high is not None and headline.high < 0.5:
        return f"The probe does worse than chance: {told(headline)}. {p}"
    if headline.low is None or headline.low <= 0.5:
        return f"The probe is not distinguishable from chance: {told(headline)}. {p}"
    known = {
        name: row
        for name in _COMPARED
        if (row := found.baselines.get(name)) and row.auroc.estimate is not None
    }
    further = f"{_added(found.stack, found.baselines)}{_known(found.subjects)}{p}"
    if not known:
        return f"The probe scores {told(headline)}. {further}"
    said = _explained(headline, found.within, known) or _against(headline, found.within, known)
    return f"{said} {_beyond_position(found.position, known.get('position_only'))}{further}"


def _beyond_position(found: BeyondPosition | None, alone: Baseline | None) -> str:
    """Whether position is the signal, by a margin fixed in advance; or what the probe adds to it.

    It is the signal only where the probe adds less than the margin and position alone beats chance.
    """
    if found is None or found.gain.low is None or alone is None:
        return ""
    numbers, margin = f"{told(found.gain, '+.3f')} bits a step", f"{found.margin:.3f}"
    if not found.is_nothing:
        if found.gain.low > 0:
            return f"Beyond the step's position it adds {numbers}. "
        return f"What it adds to the step's position is open: {numbers}, margin {margin}. "
    ahead = found.gain.low > 0 or (alone.probe_minus.low is not None and alone.probe_minus.low > 0)
    if ahead or alone.auroc.low is None or alone.auroc.low <= 0.5:
        return f"What it adds to the step's position lies under the margin of {margin}: {numbers}. "
    return (
        f"The signal is the step's position: alone it scores {told(alone.auroc)}, and what the probe adds "
        f"lies under the margin of {margin} that was fixed before: {numbers}. "
    )


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
    if gain.reason == NOT_USED:
        return f"Beside all simpler things together ({alone.estimate:.2f}) {NOT_USED}. "
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


def _null(nulls: Nulls, within: Mapping[str, Interval]) -> str:
    """What the primary null's p says and no more, or why there is none; it keeps what was given alone."""
    null, kept = nulls.redrawn, [name for name, stratum in _KEPT.items() if stratum in within]
    if null.p is None:
        return f"No p against redrawn labels: {null.reason}."
    least = 1 / (1 + null.draws)
    given = f"p = {null.p:.3f} against labels redrawn given these ({null.draws} draws)"
    known = f"{listed(kept)} explain{'s' * (len(kept) == 1)}" if kept else "on labels dealt out at random"
    if least >= _ENOUGH:
        return f"Whether the best layer scores more than {known} cannot be said with so few draws: {given}."
    how = "more than" if null.p < _ENOUGH else "not clearly more than"
    return f"The best layer scores {how} {known}: {given}."


def told(value: Interval, form: str = ".2f") -> str:
    """An interval in decimals, or why there is none; that no fold used the probe, where that is why."""
    if value.estimate is None:
        return f"none ({value.reason})"
    if value.reason == NOT_USED:
        return NOT_USED
    ends = "" if value.low is None or value.high is None else f" [{value.low:{form}}, {value.high:{form}}]"
    return f"{value.estimate:{form}}{ends}"
