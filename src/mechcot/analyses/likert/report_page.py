"""The page of a study of ratings, its section of the study's report, and where both are kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mechcot.analyses.likert import figures, wording
from mechcot.analyses.likert.result import LikertResult
from mechcot.analyses.likert.scales import LOAD
from mechcot.analyses.likert.stored import RESULT
from mechcot.core import files
from mechcot.core.manifest import MANIFEST
from mechcot.core.naming import ARM_COLOURS
from mechcot.core.stages import Stage, run_stages, versions
from mechcot.core.words import bracket, number, percent, score
from mechcot.core.work import content_key
from mechcot.report import figures as style
from mechcot.report.frame import drawn, template
from mechcot.report.palette import arm_colours
from mechcot.report.parts import Findings, Part, Section
from mechcot.study.writing import locked

if TYPE_CHECKING:
    from mechcot.study.folder import Study

PAGE = "likert/report.html"
_INTERPRETABILITY = "interpretability"
_READING = Markup(
    "Each participant read traces of one type and rated each on four statements from 1 to 5. "
    "<dfn>Interpretability</dfn> is three of them together: could one foretell the answer, understand each "
    "part, and does the answer follow. <dfn>Load</dfn>, the effort it took, is an axis of its own: higher is "
    "worse. A <dfn>log odds</dfn> of 0 means that two types are rated alike; +0.7 that a rating at least as "
    "high as any given one has twice the odds."
)
_LIMITS = Markup(
    "That a trace is how the model came to its answer: people rate what they read. A trace type may be rated "
    "lower because its answers are wrong more often, and participants were not told which are right. "
    "Participants are those who took part, questions those that were drawn; an association of accuracy and "
    "rating over a few trace types is a description of these types."
)


def write_result(study: Study, result: LikertResult) -> tuple[Path, Path]:
    """Write `results/likert.json` and `likert/report.html`; a manifest that is there records both.

    Raises:
        StudyError: another process writes to the study, or it cannot be written.
    """
    said = result.to_json()
    drawn_from = {**said, ARM_COLOURS: arm_colours(study.settings)}

    def write(work: Path) -> None:
        files.write_json(study.path / RESULT, said)
        files.write_text(study.path / PAGE, render(drawn_from))

    places = (study.path / RESULT, study.path / PAGE)
    if not (study.path / MANIFEST).exists():  # tables put together by hand
        write(study.path)
        return places
    with locked(study.path):
        stage = Stage("likert", 1, {"key": content_key(said)}, (), (RESULT, PAGE), write)
        run_stages(study.path, [stage], versions())
    return places


def render(result: Mapping[str, Any]) -> str:
    """One self-contained page, every text escaped: accuracy and interpretability by trace type, then why."""
    sections = [
        Section(
            "joint", "Do right answers and readable traces go together?", _joint(result), _READING, _LIMITS
        ),
        Section("rated", "How were the traces rated?", _rated(result), Markup(), Markup()),
        Section("certain", "How certain is it?", _certain(result), Markup(), Markup()),
    ]
    return template("result.html").render(
        tab=f"Ratings {result['form']}",
        kicker=f"mechcot likert · {' · '.join(result['arms'])}",
        title="What do people make of the traces?",
        verdict=wording.compared(result, _INTERPRETABILITY),
        cards=_cards(result),
        sections=sections,
        tables=(wording.people_table(result), wording.accuracy_table(result)),
        colours={"before": style.BEFORE, "after": style.AFTER},
        **drawn(sections),
    )


def section(findings: Findings) -> Section:
    """The ratings in the study's report."""
    result = findings.coloured(findings.results["likert"])
    parts = (*_joint(result), _answers(result))
    return Section("likert", "What do people make of the traces?", parts, _READING, _LIMITS)


def _cards(result: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    means = {(row["arm"], row["outcome"]): row["mean"] for row in result["means"]}
    cards = []
    for row in result["accuracy"]:
        arm = row["arm"]
        read = f"interpretability {score(means[arm, _INTERPRETABILITY])}\nload {score(means[arm, LOAD])}"
        right = bracket(row["rate"], lambda end: f"{100 * end:.0f}")
        cards.append((arm, f"{percent(row['rate'], 0)} right", f"of all its traces{right}\n{read}"))
    return cards


def _joint(result: Mapping[str, Any]) -> tuple[Part, ...]:
    return tuple(
        Part(
            f"likert-{outcome}",
            wording.beside_accuracy(result, outcome),
            figures.against_accuracy(result, outcome),
            tables=(wording.means_table(result),) if outcome == _INTERPRETABILITY else (),
        )
        for outcome in (_INTERPRETABILITY, LOAD)
    )


def _answers(result: Mapping[str, Any]) -> Part:
    return Part(
        "likert-ratings",
        wording.compared(result, _INTERPRETABILITY),
        figures.ratings(result),
        tables=(wording.effects_table(result),),
    )


def _rated(result: Mapping[str, Any]) -> tuple[Part, ...]:
    agree = {(row["arm"], row["scale"]): row["agree"] for row in result["agree"]}
    most = max(result["arms"], key=lambda arm: number(agree[arm, "faithfulness"]) or 0.0)
    said = f"That the answer follows is agreed to most often of {most}: {score(agree[most, 'faithfulness'])}."
    return (
        _answers(result),
        Part("likert-load-ratings", wording.compared(result, LOAD), figures.load(result)),
        Part("likert-agreement", said, figures.agreement(result)),
    )


def _certain(result: Mapping[str, Any]) -> tuple[Part, ...]:
    everyone = wording.everyone_table(result)
    tables = (wording.conditional_table(result), *([everyone] if everyone else []))
    return (Part("likert-certain", wording.reliability_line(result), tables=tables),)
