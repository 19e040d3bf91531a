"""The difference of step error on every scale that it is spoken of in, side by side.

Which arm errs more can depend on the scale where steps differ in length: see `stats.scales` for
what each scale holds constant, and docs/steps.md for what merging steps does to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mechcot.analyses.arm_steps import ArmSteps, counts_of
from mechcot.analyses.arms import Arms
from mechcot.core.errors import AnalysisError
from mechcot.core.results import Pair, Result, cells
from mechcot.stats.cluster import Floats, Ints, ratio_difference
from mechcot.stats.gee import GeeDifference, gee_difference
from mechcot.stats.jackknife import ratio_difference_interval
from mechcot.stats.scales import Link, ScaleDifference, scale_difference

if TYPE_CHECKING:
    from mechcot.study.folder import Study

SCALES: tuple[tuple[str, Link, bool], ...] = (
    ("log_odds", "logit", False),
    ("log_odds_with_length", "logit", True),
    ("cloglog", "cloglog", False),
    ("cloglog_with_length", "cloglog", True),
)
"""Name, link, and whether log(words) is the offset."""


@dataclass(frozen=True)
class ErrorScales(Result):
    """Two arms' step error on the same questions, on several scales (differences are after - before).

    Attributes:
        arms: names before and after.
        instrument: whose verdicts these are.
        n_judged: correct and erroneous steps before and after.
        n_erroneous: erroneous steps before and after.
        n_words: words in judged steps before and after.
        scales: by name. `risk` (error per step) and `per_100_words` are rates, their intervals the jackknife
            of questions; the others are those of `SCALES`. Length is a mediator: what holds it asks for a
            direct effect, and is never the primary difference.
        gee: error per step once more, by estimating equations.
    """

    arms: Pair[str]
    instrument: str
    n_judged: Pair[int]
    n_erroneous: Pair[int]
    n_words: Pair[int]
    scales: dict[str, ScaleDifference]
    gee: GeeDifference

    table = "rows"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row per scale; `ratio` is e^difference where that is a ratio."""
        return [
            {"scale": name, **cells(scale), "ratio": _ratio(name, scale.difference.estimate)}
            for name, scale in self.scales.items()
        ] + [{"scale": "risk_gee", **cells(self.gee)}]

    def __repr__(self) -> str:
        differences = ", ".join(f"{name} {scale.difference}" for name, scale in self.scales.items())
        return f"ErrorScales({' -> '.join(self.arms)}, {self.instrument}: {differences})"


_RATIOS = {name for name, _, _ in SCALES}


def _ratio(scale: str, difference: float | None) -> float | None:
    return None if difference is None or scale not in _RATIOS else float(np.exp(difference))


def error_scales(
    arms: Arms,
) -> ErrorScales:
    """The difference of step error per step, per 100 words, in log odds and complementary log-log.

    Only judged steps (correct or erroneous) and their words count.

    Args:
        arms: before and after.

    Raises:
        AnalysisError: as `audit.analyse`; also a judged step without a word, two instruments.
    """
    before, after = arms.steps
    rows = [_judged(arm, when) for arm, when in ((before, "before"), (after, "after"))]
    (wrong0, question0, words0), (wrong1, question1, words1) = rows
    scales = _rates(rows, len(arms.sums[0]))
    for name, link, with_length in SCALES:
        offsets = (np.log(words0), np.log(words1)) if with_length else (None, None)
        scales[name] = scale_difference(wrong0, question0, wrong1, question1, link, *offsets)
    return ErrorScales(
        arms=Pair(before.name, after.name),
        instrument=arms.instrument,
        n_judged=Pair(len(wrong0), len(wrong1)),
        n_erroneous=Pair(int(wrong0.sum()), int(wrong1.sum())),
        n_words=Pair(int(words0.sum()), int(words1.sum())),
        scales=scales,
        gee=gee_difference(*counts_of(arms.steps), arms.text),
    )


def _judged(arm: ArmSteps, when: str) -> tuple[Floats, Ints, Floats]:
    """Wrong or not, question and words of every judged step."""
    rows = arm.steps.loc[arm.is_judged]
    words: Floats = rows["n_words"].to_numpy(dtype=np.float64)
    if (words < 1).any():
        raise AnalysisError(f"steps {when}: {int((words < 1).sum())} judged steps have no words (n_words)")
    wrong: Floats = np.asarray(rows["label"] == "erroneous", dtype=np.float64)
    question: Ints = arm.text[rows["q"].to_numpy(dtype=np.int64)]  # equal texts are one question
    return wrong, question, words


def _rates(rows: list[tuple[Floats, Ints, Floats]], n_questions: int) -> dict[str, ScaleDifference]:
    """Error per step and per 100 words, from sums by question."""
    sums = [
        [np.bincount(q, weights=w, minlength=n_questions) for w in (wrong, np.ones_like(wrong), words / 100)]
        for wrong, q, words in rows
    ]
    found = {}
    for name, column in (("risk", 1), ("per_100_words", 2)):
        pairs = (sums[0][0], sums[0][column], sums[1][0], sums[1][column])
        point = ratio_difference(*pairs)
        found[name] = ScaleDifference(
            point.rate_before, point.rate_after, ratio_difference_interval(*pairs), point.se
        )
    return found


def scales_of(study: Study, control: str | None = None) -> ErrorScales:
    """The change of step error per step, per 100 words, in log odds and complementary log-log."""
    return error_scales(Arms.of(study, control))
