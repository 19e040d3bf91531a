"""Every analysis there is: the pipeline, a study, the summary and the report loop over these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mechcot.analyses.along import analysis as along
from mechcot.analyses.answer_agreement import analysis as answer_agreement
from mechcot.analyses.answers import analysis as answers
from mechcot.analyses.audit import analysis as audit
from mechcot.analyses.audit.certainty import certainty_of
from mechcot.analyses.audit.scales import scales_of
from mechcot.analyses.audit.segments import segments_json, segments_of
from mechcot.analyses.audit.segments import terminal_text as segments_text
from mechcot.analyses.causes import analysis as causes
from mechcot.analyses.claims import analysis as claims
from mechcot.analyses.commitment import analysis as commitment
from mechcot.analyses.commitment.contrast import contrast
from mechcot.analyses.confirmatory import analysis as confirmatory
from mechcot.analyses.controls import analysis as controls
from mechcot.analyses.coupling import analysis as coupling
from mechcot.analyses.form import Analysis, missing
from mechcot.analyses.gains.analysis import gains_of
from mechcot.analyses.greedy import analysis as greedy
from mechcot.analyses.handover import analysis as handover
from mechcot.analyses.hedge import across, places
from mechcot.analyses.hedge import analysis as hedge
from mechcot.analyses.hedge_pairs import analysis as hedge_pairs
from mechcot.analyses.hedge_words import analysis as hedge_words
from mechcot.analyses.judge_controls.run import judge_controls_of
from mechcot.analyses.judge_controls.study_report import results_of
from mechcot.analyses.kinds import analysis as kinds
from mechcot.analyses.knowledge import analysis as knowledge
from mechcot.analyses.likert.stored import found as rated
from mechcot.analyses.likert.stored import ratings_of
from mechcot.analyses.localisation import analysis as localisation
from mechcot.analyses.panel.analysis import panel_json, panel_of
from mechcot.analyses.panel.people import people_of
from mechcot.analyses.probe import analysis as probe
from mechcot.analyses.probe.opened import probe_in
from mechcot.analyses.seeds import analysis as seeds
from mechcot.analyses.steering import analysis as steering
from mechcot.analyses.sub_steps import analysis as sub_steps
from mechcot.analyses.traces import analysis as traces
from mechcot.analyses.weights import analysis as weights
from mechcot.core.errors import AnalysisError, NotMade
from mechcot.core.settings import Settings

if TYPE_CHECKING:
    from mechcot.study.folder import Study

_HERE = "mechcot.analyses"
_ACROSS, _PAIRS = f"{_HERE}.hedge.across_page:part", f"{_HERE}.hedge_pairs.page:part"

ANALYSES = (
    Analysis(
        "answers",
        answers.answers_of,
        version=8,
        needed=True,
        summary=answers.summarised,
        pages={"gains": f"{_HERE}.answers.page:calibration"},
        rows={"counts": f"{_HERE}.answers.page:counts"},
    ),
    Analysis(
        "answer_agreement",
        answer_agreement.answer_agreement_of,
        reads="answers",
        settings=("answers",),
        asked=answer_agreement.asked,
        pages={"gains": f"{_HERE}.answer_agreement.page:agreement"},
    ),
    Analysis(
        "audit",
        audit.audit_of,
        version=12,
        settings=("confirmatory",),
        needed=True,
        summary=audit.summarised,
        pages={"changed": f"{_HERE}.audit.page:changed", "origin": f"{_HERE}.audit.page:origin"},
        rows={"counts": f"{_HERE}.audit.page:counts"},
    ),
    Analysis(
        "kinds",
        kinds.kinds_of,
        reads="kinds",
        settings=("kinds",),
        asked=kinds.asked,
        summary=kinds.summarised,
        pages={"origin": f"{_HERE}.kinds.page:mistaken"},
    ),
    Analysis("certainty", certainty_of, version=3, pages={"sure": f"{_HERE}.audit.certainty_page:certainty"}),
    Analysis("scales", scales_of, version=5, pages={"sure": f"{_HERE}.audit.certainty_page:scales"}),
    Analysis(
        "segments",
        segments_of,
        reads="cut",
        stored=segments_json,
        settings=("steps",),
        needed=True,
        pages={"sure": f"{_HERE}.audit.certainty_page:segments"},
        told=segments_text,
    ),
    Analysis("gains", gains_of, version=4, pages={"gains": f"{_HERE}.gains.page:gains"}),
    Analysis(
        "coupling",
        coupling.coupling_of,
        settings=("controls",),
        summary=coupling.summarised,
        pages={"gains": f"{_HERE}.coupling.page:coupling"},
    ),
    Analysis(
        "panel",
        panel_of,
        version=4,
        reads="panel",
        stored=panel_json,
        pages={"sure": f"{_HERE}.panel.page:panel"},
    ),
    Analysis(
        "controls",
        controls.controls_of,
        version=12,
        settings=("controls", "confirmatory"),
        needed=True,
        summary=controls.summarised,
        pages={"controls": f"{_HERE}.controls.page:controls"},
        told=controls.terminal_text,
    ),
    Analysis(
        "seeds",
        seeds.seeds_of,
        asked=seeds.asked,
        summary=seeds.summarised,
        pages={"seeds": f"{_HERE}.seeds.page:section"},
    ),
    Analysis(
        "along",
        along.along_of,
        reads="along",
        asked=along.asked,
        summary=along.summarised,
        pages={"along": f"{_HERE}.along.page:section"},
    ),
    Analysis(
        "commitment",
        commitment.commitment_of,
        version=6,
        reads="inside",
        stored=commitment.commitments_of,
        summary=commitment.summarised,
        pages={"commitment": f"{_HERE}.commitment.page:commitment"},
        rows={"left out": f"{_HERE}.commitment.page:used"},
        told=contrast,
    ),
    Analysis(
        "hedge_words",
        hedge_words.hedge_words_of,
        summary=hedge_words.summarised,
        pages={"hedges": f"{_HERE}.hedge_words.page:section"},
    ),
    Analysis(
        "hedge",
        hedge.hedge_of,
        version=6,
        reads="inside",
        stored=hedge.hedge_json,
        summary=hedge.summarised,
        pages={"doubt": f"{_HERE}.hedge.page:doubt"},
        rows={"left out": f"{_HERE}.hedge.page:used"},
    ),
    Analysis("hedge_directions", places.hedge_directions_of, version=None),
    Analysis(
        "hedge_across", across.hedge_across_of, reads="across", asked=across.asked, pages={"doubt": _ACROSS}
    ),
    Analysis(
        "hedge_pairs",
        hedge_pairs.hedge_pairs_of,
        reads="pairs",
        asked=hedge_pairs.asked,
        pages={"doubt": _PAIRS},
    ),
    Analysis(
        "probe",
        probe_in,
        version=7,
        reads="inside",
        stored=probe.probes_of,
        summary=probe.summarised,
        needed=True,
        pages={"probe": f"{_HERE}.probe.page:section"},
        rows={"probes": f"{_HERE}.probe.page:table"},
    ),
    Analysis(
        "knowledge",
        knowledge.knowledge_of,
        version=5,
        reads="known",
        settings=("knowledge",),
        summary=knowledge.summarised,
        pages={"origin": f"{_HERE}.knowledge.page:knowledge"},
        rows={"left out": f"{_HERE}.knowledge.page:used"},
    ),
    Analysis(
        "handover",
        handover.handover_of,
        reads="handover",
        asked=handover.asked,
        summary=handover.summarised,
        pages={"handover": f"{_HERE}.handover.page:section"},
        rows={"left out": f"{_HERE}.handover.page:used"},
    ),
    Analysis(
        "weights",
        weights.weights_of,
        version=2,
        reads="weights",
        settings=("weights",),
        asked=weights.asked,
        summary=weights.summarised,
        pages={"weights": f"{_HERE}.weights.page:section"},
    ),
    Analysis(
        "causes",
        causes.causes_of,
        reads="causes",
        settings=("causes", "reading"),
        asked=causes.asked,
        summary=causes.summarised,
        pages={"changed": f"{_HERE}.causes.page:headline", "causes": f"{_HERE}.causes.page:section"},
    ),
    Analysis(
        "localisation",
        localisation.localisation_of,
        version=3,
        reads="localisation",
        settings=("localisation",),
        asked=localisation.asked,
        summary=localisation.summarised,
        pages={"localisation": f"{_HERE}.localisation.page:section"},
    ),
    Analysis(
        "steering",
        steering.steering_of,
        version=2,
        reads="steering",
        settings=("steering",),
        asked=steering.asked,
        summary=steering.summarised,
        pages={"steering": f"{_HERE}.steering.page:section"},
    ),
    Analysis(
        "trace_checks",
        traces.trace_checks_of,
        version=2,
        reads="traces",
        settings=("traces",),
        asked=traces.asked,
        summary=traces.summarised,
        pages={"traces": f"{_HERE}.traces.page:section"},
    ),
    Analysis(
        "sub_steps",
        sub_steps.sub_steps_of,
        reads="sub-steps",
        asked=sub_steps.asked,
        summary=sub_steps.summarised,
        pages={"traces": f"{_HERE}.sub_steps.page:parts"},
    ),
    Analysis(
        "greedy",
        greedy.greedy_of,
        reads="greedy",
        settings=("controls", "sampling"),
        asked=greedy.asked,
        summary=greedy.summarised,
        pages={"sure": f"{_HERE}.greedy.page:greedy"},
    ),
    Analysis(
        "confirmatory",
        confirmatory.confirmatory_of,
        version=None,
        found=confirmatory.found,
        summary=confirmatory.summarised,
        pages={"planned": f"{_HERE}.confirmatory.page:planned"},
    ),
    Analysis(
        "judge_controls",
        judge_controls_of,
        version=None,
        found=results_of,
        pages={"sure": f"{_HERE}.judge_controls.study_report:controls_part"},
    ),
    Analysis(
        "ledger",
        claims.claims_of,
        version=None,
        found=claims.found,
        summary=claims.summarised,
        rows={"claims": f"{_HERE}.claims.page:ledger"},
    ),
    Analysis(
        "likert",
        ratings_of,
        version=None,
        found=rated,
        pages={"likert": f"{_HERE}.likert.report_page:section"},
    ),
    Analysis(
        "people", people_of, version=None, found=people_of, pages={"sure": f"{_HERE}.panel.page:people"}
    ),
)
"""Their stages in order, and the lines of summary.json."""


def results(settings: Settings | None = None) -> tuple[str, ...]:
    """The analyses that `mechcot run` makes of a study, each `results/NAME.json`.

    Args:
        settings: of the study; None: those that every study has.
    """
    return tuple(analysis.name for analysis in ANALYSES if made(analysis, settings))


def made(analysis: Analysis, settings: Settings | None) -> bool:
    """Whether `mechcot run` makes an analysis of a study with these settings."""
    asked = analysis.asked is None or (settings is not None and analysis.asked(settings))
    return analysis.version is not None and asked


def shown_in(settings: Settings) -> dict[str, Analysis]:
    """What `mechcot show` has of a study: what `mechcot run` makes of it, and what is read off that."""
    return {one.name: one for one in ANALYSES if made(one, settings) or (one.found and one.summary)}


def json_of(analysis: Analysis, study: Study) -> dict[str, Any]:
    """The result of such an analysis as JSON values."""
    found: dict[str, Any] = analysis.found(study) if analysis.found else study.result(analysis.name)
    return found


def all_json(study: Study) -> dict[str, dict[str, Any]]:
    """Every analysis that can be shown, by name; one that is asked for and was not made has a reason."""
    found = {}
    for name, analysis in shown_in(study.settings).items():
        try:
            found[name] = json_of(analysis, study)
        except NotMade:
            found[name] = missing(f"not made yet; mechcot run {study.path} makes it")
        except AnalysisError as error:
            found[name] = missing(str(error))
    return found


def not_here(found: dict[str, Any]) -> str:
    """Why a result says nothing, as a whole or in all its parts for one reason; "" where it does."""
    if "reason" in found:
        return str(found["reason"])
    reasons = {str(part.get("reason", "")) if isinstance(part, dict) else "" for part in found.values()}
    return reasons.pop() if len(reasons) == 1 else ""
