"""The headline numbers with and without the noise of sampling: sampled traces beside one greedy trace.

A sampled trace can state what its model does not hold likeliest. The greedy trace of a question, at
temperature 0, votes nowhere and enters no primary rate; it stands beside the samples, on the same questions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mechcot.analyses.arms import Arms, contrast_of
from mechcot.analyses.form import INTERVAL, pick
from mechcot.core.results import Interval, Pair, Paired, Result, keyed
from mechcot.core.settings import Settings
from mechcot.stats import interval_of_sums, rate_interval, ratio_difference_interval, ratio_interval
from mechcot.stats.cluster import Floats, safe_ratio
from mechcot.stats.jackknife import by_text
from mechcot.stats.votes import plurality_right

if TYPE_CHECKING:
    from mechcot.study.folder import Study

HEADLINE = "headline"
RATES = ("right answers", "traces with a wrong claim", "wrong steps", "wrong steps where both are right")
NUMBERS = ("right answers", "right claims a trace", "wrong claims a trace", *RATES[1:])


@dataclass(frozen=True)
class Number(Result):
    """One headline number, by sampled and by greedy traces.

    Attributes:
        name: one of `NUMBERS`.
        sampled: by all samples of a question.
        greedy: by its greedy trace.
        noise: sampled minus greedy, in each arm.
        noise_in_change: the change by samples minus the change by greedy traces.
    """

    name: str
    sampled: Paired
    greedy: Paired
    noise: Pair[Interval]
    noise_in_change: Interval


@dataclass(frozen=True)
class Contrast(Result):
    """A contrast's numbers.

    Attributes:
        contrast: `headline`, or a control's name.
        arms: before and after.
        n_questions: questions of equal text count once.
        n_cut: greedy traces cut by the token limit.
        n_no_answer: greedy traces without an answer; they count as wrong.
        numbers: the headline's.
    """

    contrast: str
    arms: Pair[str]
    n_questions: int
    n_cut: Pair[int]
    n_no_answer: Pair[int]
    numbers: tuple[Number, ...] = field(metadata=keyed("name"))


@dataclass(frozen=True, repr=False)
class GreedyResult(Result):
    """With and without sampling noise.

    Attributes:
        temperature: of the samples.
        samples: of each question.
        contrasts: the headline's, then the controls'.
        left_out: controls with an arm that is given as traces, and so has no greedy ones, with that arm.
    """

    temperature: float
    samples: int
    contrasts: tuple[Contrast, ...] = field(metadata=keyed("contrast"))
    left_out: dict[str, str]

    table = "rows"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row a contrast and number."""
        return [
            {"contrast": own.contrast, "number": one.name, "sampled": one.sampled.difference}
            | {"greedy": one.greedy.difference, "noise_in_change": one.noise_in_change}
            for own in self.contrasts
            for one in own.numbers
        ]

    def __repr__(self) -> str:
        told = "; ".join(f"{one.name} {one.greedy.difference}" for one in self.contrasts[0].numbers)
        return f"GreedyResult(changes of the headline without sampling: {told})"


def asked(settings: Settings) -> bool:
    """Whether a study's settings ask for greedy traces."""
    return settings.sampling.greedy


def greedy_of(study: Study) -> GreedyResult:
    """The headline numbers with and without the noise of sampling."""
    contrasts, left_out = [], {}
    for control in (None, *study.settings.controls):
        contrast = contrast_of(study, control)
        arms = Pair(contrast.before, contrast.after)
        given = next((arm for arm in arms if study.settings.arms[arm].traces is not None), None)
        if given is not None:
            left_out[str(control)] = given
            continue
        sampled, greedy = Arms.of(study, control), Arms.greedy(study, control)
        traces = (greedy.traces_before, greedy.traces_after)
        contrasts.append(
            Contrast(
                control or HEADLINE,
                arms,
                n_questions=len(set(sampled.text.tolist())),
                n_cut=Pair(*(int((own.finish_reason == "length").sum()) for own in traces)),
                n_no_answer=Pair(*(int((own.answer < 0).sum()) for own in traces)),
                numbers=tuple(_numbers(sampled, greedy)),
            )
        )
    own = study.settings.sampling
    return GreedyResult(own.temperature, own.samples, tuple(contrasts), left_out)


Sums = tuple[Floats, Floats]
"""Numerators and denominators [questions]."""


def _numbers(sampled: Arms, greedy: Arms) -> Iterator[Number]:
    tables = [_sums(arms) for arms in (sampled, greedy)]
    for name in NUMBERS:
        (s0, s1), (g0, g1) = (own[name] for own in tables)
        yield Number(
            name,
            _paired(name, s0, s1),
            _paired(name, g0, g1),
            Pair(ratio_difference_interval(*g0, *s0), ratio_difference_interval(*g1, *s1)),
            _change_of_changes(s0, s1, g0, g1),
        )


def _sums(arms: Arms) -> dict[str, Pair[Sums]]:
    """Of each number: numerator and denominator of each arm, questions of equal text together."""

    def joined(num: Any, den: Any) -> Sums:
        told = [by_text(column, arms.text) for column in (num, den)]
        return told[0], told[1]

    gold, index = arms.gold, np.arange(len(arms.gold))
    claims = [arm.claims_by_question() for arm in arms.steps]
    right = [plurality_right(votes, gold) for votes in arms.ballots]
    both = right[0] & right[1]
    steps = [(arm.erroneous(), arm.judged()) for arm in arms.steps]
    found: dict[str, list[Sums]] = {
        "right answers": [joined(votes[index, gold], votes.sum(axis=1)) for votes in arms.ballots],
        "right claims a trace": [joined(own["right"], own["traces"]) for own in claims],
        "wrong claims a trace": [joined(own["wrong"], own["traces"]) for own in claims],
        "traces with a wrong claim": [joined(own["any_wrong"], own["traces"]) for own in claims],
        "wrong steps": [joined(*own) for own in steps],
        "wrong steps where both are right": [joined(e * both, n * both) for e, n in steps],
    }
    return {name: Pair(*own) for name, own in found.items()}


def _paired(name: str, before: Sums, after: Sums) -> Paired:
    own = rate_interval if name in RATES else ratio_interval
    return Paired(own(*before), own(*after), ratio_difference_interval(*before, *after))


def _change_of_changes(s0: Sums, s1: Sums, g0: Sums, g1: Sums) -> Interval:
    """The change by samples minus that by greedy traces, all four of a question left out together."""
    table = np.stack([*s0, *s1, *g0, *g1], axis=1)
    table = table[(table[:, 1::2] > 0).any(axis=1)]

    def statistic(sums: Floats) -> Floats:
        rates = [safe_ratio(sums[:, i], sums[:, i + 1]) for i in (0, 2, 4, 6)]
        return np.asarray((rates[1] - rates[0]) - (rates[3] - rates[2]))

    share = table[:, 1::2] / np.maximum(table[:, 1::2].sum(axis=0), 1e-300)
    return interval_of_sums(table, statistic, weight=share.sum(axis=1), reason="nothing to divide by")


def summarised(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    """Every number of every contrast by greedy traces, for summary.json."""
    return {
        name: {
            number: {arm: pick(one["greedy"], (role,))[role] for role, arm in arms.items()}
            | {"delta": pick(one["greedy"]["difference"], INTERVAL)}
            | {"noise_in_change": pick(one["noise_in_change"], INTERVAL)}
            for number, one in own["numbers"].items()
        }
        for name, own in result["contrasts"].items()
    }
