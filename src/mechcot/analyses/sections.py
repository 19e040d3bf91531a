"""The report's argument: which sections it has, in order, out of the parts of each analysis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mechcot.analyses import measured, registry
from mechcot.analyses.answers import page as answers
from mechcot.analyses.audit import certainty_page as certainty
from mechcot.analyses.audit import figures as audit_figures
from mechcot.analyses.audit import page as audit
from mechcot.analyses.controls import page as controls
from mechcot.analyses.gains import page as gains
from mechcot.analyses.judge_controls import study_report as judge_controls
from mechcot.analyses.knowledge import page as knowledge
from mechcot.analyses.panel import page as panel
from mechcot.core.offers import at
from mechcot.core.words import direction, percent, points
from mechcot.report.page import Card, render
from mechcot.report.parts import Findings, Part, Section

if TYPE_CHECKING:
    from mechcot.study.folder import Study


def findings_of(study: Study) -> Findings:
    """Read a study's results."""
    return Findings(study.settings, {name: study.result(name) for name in registry.results()})


def page_of(study: Study, summary: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """The page of a finished study.

    Args:
        study: with results, tables and the arms' own readings.
        summary: what `summarise` made of it.
        versions: package to version.
    """
    found = findings_of(study)
    sections = (
        audit.changed(found),
        origin(found),
        gained(found),
        controls.controls(found),
        sure(found, panel.People.of(study), judge_controls.results_of(study)),
        *(at(analysis.page)(found) for analysis in registry.ANALYSES if analysis.page),
    )
    tables = measured.tables(study, found, summary, versions)
    return render(study, found, summary, sections=sections, cards=_cards(found), tables=tables)


def origin(found: Findings) -> Section:
    """Where the change of the step error comes from."""
    result = found.results["audit"]
    parts = (
        Part("by_answers", audit.both_right(result["both_correct"]), audit_figures.error_by_answers(result)),
        audit.kinds(found, result),
        audit.split(found, result["split"]),
        knowledge.knowledge(found),
    )
    reading = Markup(
        "The <dfn>kind</dfn> of a step is what it is about, as the task sorts steps. The <dfn>split</dfn> "
        "takes the change apart: kinds that both models write can become more or less frequent, or go wrong "
        "more or less often, and one model can write kinds that the other never does. Last, at the place "
        "where {after} wrote a wrong claim, both models were asked for their first choice of the next word: "
        "a model <dfn>knows</dfn> there when that choice is true."
    ).format(after=found.after)
    limits = Markup(
        "That a model reasons worse at the same thing: a kind that only one model writes has no rate in the "
        "other, so the third term of the split says what {after} now writes, not how well {before} would "
        "have written it. Sorting questions by who is right uses what happened after training. Knowing is "
        "read at one place in one wording; a model may know a fact and not show it there."
    ).format(before=found.before, after=found.after)
    return Section("origin", "Where does the change come from?", parts, reading, limits)


def gained(found: Findings) -> Section:
    """Where the vote changed, and whether the questions gained are those whose steps got worse."""
    result, title = found.results["margins"], "Are the questions gained the ones whose steps got worse?"
    tables = (answers.votes(found),)
    if "transitions" not in result:
        part = Part("gains", "Gains cannot be told by margin.", reason=result["reason"])
        return Section("gains", title, (part, answers.calibration(found, tables)), Markup(), Markup())
    reading = Markup(
        "The <dfn>margin</dfn> of a question is how far the right answer leads the strongest other one in a "
        "vote, in shares of the vote; below 0 it is behind. Votes are noisy, and the same luck would be in "
        "the margin and in the change: so one half of the traces says where a question stood, the other half "
        "whether it was gained, and the steps that are counted are those of traces that did not vote."
    )
    limits = Markup(
        "That the steps of a question gained are why it was gained. Votes here are of {half} traces, not of "
        "all {k}, so the gain is not the headline’s. Questions that both models find easy have little room "
        "for either."
    ).format(half=result["half"], k=result["k"])
    parts = (gains.margins(result), gains.joined(found, result), answers.calibration(found, tables))
    return Section("gains", title, parts, reading, limits)


def sure(found: Findings, people: panel.People, tried: Mapping[str, Mapping[str, Any]]) -> Section:
    """What chance, the judge and the cutting of the traces could make of the change of step error.

    Args:
        found: the study's results.
        people: the sheet that people filled.
        tried: the judge controls of `judge_controls.study_report.results_of`.
    """
    parts = (
        certainty.difference(found, people.sheet),
        certainty.tipping(found),
        panel.panel(found),
        judge_controls.controls_part(found, tried),
        panel.people(found, people),
        certainty.scales(found),
        certainty.segments(found),
    )
    reading = Markup(
        "Steps of one question stand and fall together, so the question is what is counted, resampled and "
        "tested. Then the judge: a judge that is stricter with one model’s manner of writing can make a "
        "difference out of none. The <dfn>tipping point</dfn> says how much stricter it would have to be; "
        "other judges and people say whether it is. Last, the steps themselves: what counts as one step, "
        "and in which unit errors are counted."
    )
    limits = Markup(
        "That the judge is right. An interval covers other questions of the same sort, not another judge, "
        "another way of cutting, or another training run. Judges that agree can share a mistake."
    )
    return Section("sure", "How sure is the audit?", parts, reading, limits)


def _cards(found: Findings) -> tuple[Card, Card]:
    votes, steps = found.results["answers"], found.results["audit"]
    rows = (
        ("Right answers", votes, "sc", votes["delta_sc"]),
        ("Wrong steps", steps, "error_rate", steps["delta"]),
    )
    first, second = (
        Card(name, percent(part["before"][key]), percent(part["after"][key]), points(delta), direction(delta))
        for name, part, key, delta in rows
    )
    return first, second
