"""The report's argument: its sections in order, each out of the parts that analyses give it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mechcot.analyses import method, opening, registry
from mechcot.analyses.confirmatory.page import marked
from mechcot.analyses.form import Analysis
from mechcot.core.naming import worded
from mechcot.core.offers import at
from mechcot.report.page import Top, render
from mechcot.report.parts import Findings, Part, Section
from mechcot.steps.of_study import kind_names

if TYPE_CHECKING:
    from mechcot.study.folder import Study


@dataclass(frozen=True)
class Frame:
    """A section that several analyses give parts to.

    Attributes:
        name: its anchor, and what `Analysis.pages` names it by.
        title: the question that it answers.
        order: whose parts come first; the others follow in the order of the registry.
        reading: how to read it; `{before}` and `{after}` are the arms.
        limits: what it does not show.
    """

    name: str
    title: str
    order: tuple[str, ...]
    reading: str
    limits: str


FRAMES = (
    Frame(
        "origin",
        "Where does the change come from?",
        ("audit", "kinds", "knowledge"),
        "The <dfn>kind</dfn> of a step is what it is about, as the task sorts steps. The <dfn>split</dfn> "
        "takes the change apart: kinds that both models write can become more or less frequent, or go wrong "
        "more or less often, and one model can write kinds that the other never does. Last, all models "
        "were asked a fixed list of facts that none of them wrote: a model <dfn>knows</dfn> one when a true "
        "<dfn>object</dfn> (what the fact says of its subject) is its first choice of the next word (of a "
        "pair: when the correction is likelier than the claim). Each is asked alone, as in training, and in "
        "its place: in a trace, or as a question. What is known alone and not first in its place is "
        "<dfn>known but not reached</dfn>. First choices at the wrong claims of {after} are selected on "
        "error, and come second.",
        "That a model reasons worse at the same thing: a kind that only one model writes has no rate in the "
        "other, so the third term of the split says what {after} now writes, not how well {before} would "
        "have written it. Sorting questions by who is right uses what happened after training. Knowing is "
        "read in two wordings; a model may know a fact and show it in neither, and a first choice may be a "
        "guess. That a fact was forgotten, or is not reached, is not why a step went wrong.",
    ),
    Frame(
        "gains",
        "Are the questions gained the ones whose steps got worse?",
        ("gains", "coupling", "answers", "answer_agreement"),
        "The <dfn>margin</dfn> of a question is how far the right answer leads the strongest other one in a "
        "vote, in shares of the vote; below 0 it is behind. Votes are noisy, and the same luck would be in "
        "the margin and in the change: so one half of the traces says where a question stood, the other half "
        "whether it was gained, and the steps that are counted are those of traces that did not vote. "
        "Last, inside one arm: a trace is <dfn>clean</dfn> where none of its judged claims is wrong, else "
        "flawed; if wrong claims mattered to the answer, clean traces would be right oftener, also among "
        "traces of one question.",
        "That the steps of a question gained are why it was gained. Votes here are of {half} traces, not of "
        "all {k}, so the gain is not the headline’s. Questions that both models find easy have little room "
        "for either. That clean traces are right oftener is no cause either way: a wrong claim can mislead, "
        "and a wrong answer can be argued for.",
    ),
    Frame(
        "sure",
        "How sure is the audit?",
        ("certainty", "greedy", "panel", "judge_controls", "people"),
        "Steps of one question stand and fall together, so the question is what is counted, resampled and "
        "tested. Then the judge: a judge that is stricter with one model’s manner of writing can make a "
        "difference out of none. The <dfn>tipping point</dfn> says how much stricter it would have to be; "
        "other judges and people say whether it is. Last, the steps themselves: what counts as one step, "
        "and in which unit errors are counted.",
        "That the judge is right. An interval covers other questions of the same sort, not another judge, "
        "another way of cutting, or another training run. Judges that agree can share a mistake.",
    ),
)
ORDER = (
    "changed", "planned", "origin", "gains", "traces", "controls", "seeds", "sure", "commitment", "causes",
    "along", "hedges", "doubt", "localisation", "steering",
)  # fmt: skip
"""The sections that come first; those of an analysis of its own follow in the order of the registry."""


def findings_of(study: Study) -> Findings:
    """Read a study's results, and what else its pages need."""
    others = {one.name: one.found(study) for one in registry.ANALYSES if one.found is not None}
    results = {name: study.result(name) for name in registry.results(study.settings)} | others
    return Findings(study.settings, worded(results, kind_names(study)))


def page_of(study: Study, summary: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """The page of a finished study.

    Args:
        study: with results, tables and the arms' own readings.
        summary: what `summarise` made of it.
        versions: package to version.
    """
    found = findings_of(study)
    tables = method.tables(study, found, summary, versions)
    top = Top(
        opening.heading(study), opening.asked(study, found), opening.follows(found), opening.cards(found),
        opening.export_of(study), kind_names(study),
    )  # fmt: skip
    return render(study, found, summary, sections=sections_of(found), top=top, tables=tables)


def sections_of(found: Findings) -> tuple[Section, ...]:
    """The report's sections in order."""
    given = [name for one in registry.ANALYSES if _shown(one, found) for name in one.pages]
    order = [*(name for name in ORDER if name in given), *given]
    return tuple(marked(found, section(found, name)) for name in dict.fromkeys(order))


def section(found: Findings, name: str) -> Section:
    """One section: that of an analysis of its own and parts of others, or a frame with the parts given it."""
    givers = [one for one in registry.ANALYSES if name in one.pages and _shown(one, found)]
    frame = next((frame for frame in FRAMES if frame.name == name), None)
    if frame is None:
        own: Section = at(givers[0].pages[name])(found)
        return replace(own, parts=(*own.parts, *_parts(givers[1:], name, found)))
    rank = {analysis: number for number, analysis in enumerate(frame.order)}
    givers.sort(key=lambda analysis: rank.get(analysis.name, len(rank)))
    parts = _parts(givers, name, found)
    if parts[0].reason:
        return Section(name, frame.title, tuple(parts), Markup(), Markup())
    names = {"before": found.before, "after": found.after, **_votes(found)}
    reading, limits = (Markup(text).format_map(names) for text in (frame.reading, frame.limits))
    return Section(name, frame.title, tuple(parts), reading, limits)


def _parts(givers: Sequence[Analysis], name: str, found: Findings) -> list[Part]:
    """The parts that analyses give a section."""
    parts: list[Part] = []
    for analysis in givers:
        more = at(analysis.pages[name])(found)
        parts += more if isinstance(more, tuple) else (more,)
    return parts


def _shown(analysis: Analysis, found: Findings) -> bool:
    there = analysis.found is None or found.results.get(analysis.name) is not None
    return there and (analysis.asked is None or analysis.asked(found.settings))


def _votes(found: Findings) -> dict[str, Any]:
    """How many traces vote in halves and in all."""
    return {name: found.results["gains"].get(name, "") for name in ("half", "k")}
