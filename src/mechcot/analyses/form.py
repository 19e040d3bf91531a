"""What an analysis is: its name, what it reads, and how it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mechcot.core.errors import AnalysisError

if TYPE_CHECKING:
    from mechcot.core.settings import Settings
    from mechcot.study.folder import Study

Reads = Literal[
    "answers", "cut", "judged", "panel", "inside", "known", "greedy", "handover", "weights", "causes",
    "localisation", "steering", "across", "pairs", "along", "traces", "kinds", "sub-steps",
]  # fmt: skip
"""Answers by rules and by a judge; the steps; their verdicts too; those of further instruments too; the
readings too; what the arms know of a list of facts too; the verdicts of greedy traces too; next steps behind
prefixes and their verdicts; models made of the two checkpoints; the readings and changed traces; states of
one checkpoint put into the other; what was written under an edit; the readings and whichever of these two
there is; the readings, and claims with a hedge and without; the verdicts, and the own readings of what was
kept along a training; the verdicts and
people's kinds of steps; the traces and answers behind traces that were put there; what is read inside of
sub-steps."""


@dataclass(frozen=True)
class Analysis:
    """One question of the report.

    Attributes:
        name: `results/NAME.json`, the stage NAME, `study.NAME()`.
        of: the analysis of a study: `of(study, **options)` gives its result.
        version: of its code; a higher one makes the result anew. None: it has no stage, but a command.
        reads: which of the study's files its stage depends on.
        stored: what `results/NAME.json` holds; None: `of(study).to_json()`.
        settings: sections of the settings that it depends on, beside those of every analysis.
        asked: whether a study's settings ask for it; None: every study has it. One that is not asked for has
            no stage, no result and no page.
        summary: its lines of summary.json, `(result, {"before": arm, "after": arm})` to JSON values.
        found: what its pages read where it has no stage, of the study; None where there is nothing, and then
            no page.
        pages: section of the report to the function of the findings that gives its part, its parts or the
            whole section there, as `module:function`; loaded when the page is made.
        rows: table at the page's end to the function of the findings that gives its rows there, or the
            whole table, likewise; see `method.py`.
        told: what `mechcot show` prints of a study; None: `of(study)`.
        needed: whether a study without it is no study: then what it cannot say stops the run.
    """

    name: str
    of: Callable[..., Any]
    version: int | None = 1
    reads: Reads = "judged"
    stored: Callable[[Study], dict[str, Any]] | None = None
    settings: tuple[str, ...] = ()
    asked: Callable[[Settings], bool] | None = None
    summary: Callable[[Mapping[str, Any], Mapping[str, str]], dict[str, Any]] | None = None
    found: Callable[[Study], Any] | None = None
    pages: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, str] = field(default_factory=dict)
    told: Callable[[Study], Any] | None = None
    needed: bool = False

    @property
    def says(self) -> str:
        """What it is about, in a line."""
        return str(self.of.__doc__ or "").partition("\n")[0].rstrip(".")

    def result(self, study: Study) -> dict[str, Any]:
        """The result as JSON values or, where the study's tables do not carry it, the reason."""
        try:
            return self.stored(study) if self.stored else self.of(study).to_json()
        except AnalysisError as error:
            if self.needed:
                raise
            return {"reason": str(error)}


def missing(reason: str) -> dict[str, Any]:
    """The place of a number that does not exist."""
    return {"value": None, "reason": reason}


INTERVAL = ("estimate", "low", "high")
"""What summary.json says of an interval."""


def pick(source: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Some numbers of a result for summary.json: of an interval its estimate."""
    return {
        name: leaf.get("estimate", leaf) if isinstance(leaf := source[name], Mapping) else leaf
        for name in names
    }


_LEFT_OUT = {
    "truncated": "cut by the token limit",
    "no_answer": "without an answer",
    "no_reading": "not read",
    "unjudged": "without a verdict correct or erroneous",
    "unread": "in traces that were not read",
}


def left_out(excluded: Mapping[str, int]) -> str:
    """What an analysis could not use, in words."""
    kept = [f"{n:,} {_LEFT_OUT.get(name, name)}" for name, n in excluded.items() if n]
    return ", ".join(kept) or "nothing"


STRATA = {
    "both": "both right",
    "only_after": "only {after} right",
    "only_before": "only {before} right",
    "neither": "neither right",
}
"""Questions by which arm answers them rightly, in words."""
