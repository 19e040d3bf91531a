"""Every analysis there is: the pipeline, a study, the summary and the report loop over these."""

from __future__ import annotations

import json
from typing import Any

from mechcot.analyses.answers.analysis import answers_of
from mechcot.analyses.audit.analysis import audit_of
from mechcot.analyses.audit.certainty import inference_of
from mechcot.analyses.audit.scales import error_scales_of
from mechcot.analyses.audit.segments import segments_json, segments_of
from mechcot.analyses.commitment import analysis as commitment
from mechcot.analyses.controls.analysis import controls_of
from mechcot.analyses.form import Analysis
from mechcot.analyses.gains.analysis import margins_of
from mechcot.analyses.hedge import analysis as hedge
from mechcot.analyses.judge_controls.run import judge_controls_of
from mechcot.analyses.knowledge import analysis as knowledge
from mechcot.analyses.panel.analysis import panel_json, panel_of
from mechcot.analyses.probe import analysis as probe

ANALYSES = (
    Analysis("answers", answers_of, version=2, needed=True),
    Analysis("audit", audit_of, version=3, needed=True),
    Analysis("inference", inference_of),
    Analysis("scales", error_scales_of),
    Analysis("segments", segments_of, reads="cut", stored=segments_json, settings=("steps",), needed=True),
    Analysis("margins", margins_of),
    Analysis("panel", panel_of, reads="panel", stored=panel_json),
    Analysis("controls", controls_of, version=3, stored=controls_of, settings=("controls",), needed=True),
    Analysis(
        "commitment",
        commitment.commitment_of,
        version=2,
        reads="inside",
        stored=commitment.commitments_of,
        summary=commitment.summarised,
        page="mechcot.analyses.commitment.page:commitment",
    ),
    Analysis(
        "hedge",
        hedge.hedge_of,
        version=2,
        reads="inside",
        stored=hedge.hedge_json,
        summary=hedge.summarised,
        page="mechcot.analyses.hedge.page:doubt",
    ),
    Analysis(
        "probe",
        probe.probe_of,
        version=3,
        reads="inside",
        stored=probe.probes_of,
        summary=probe.summarised,
        page="mechcot.analyses.probe.page:section",
        needed=True,
    ),
    Analysis(
        "knowledge",
        knowledge.knowledge_of,
        version=2,
        reads="inside",
        stored=knowledge.knowledge_json,
        summary=knowledge.summarised,
    ),
    Analysis("judge_controls", judge_controls_of, version=None),
)
"""In the order of the report."""


def results() -> tuple[str, ...]:
    """The analyses that `mechcot run` makes, each `results/NAME.json`."""
    return tuple(analysis.name for analysis in ANALYSES if analysis.version is not None)


FIGURES = {
    "JudgeControlsResult": "mechcot.analyses.judge_controls.figures:judge_forest",
    "ProbeReport": "mechcot.analyses.probe.figures:probe_bars",
}
"""Where the figure of a result is drawn, by the result's class."""

TEXTS = {
    "JudgeControlsResult": "mechcot.analyses.judge_controls.text:terminal_text",
    "ProbeReport": "mechcot.probe.terminal:report_text",
}
"""Where a result is put into words for a terminal, likewise."""


def shown(result: Any) -> str:
    """A result for a terminal: its own text, or its table; several ones below each other."""
    if isinstance(result, tuple):
        return "\n\n".join(shown(part) for part in result)
    if isinstance(result, dict):
        return json.dumps(result, indent=1, ensure_ascii=False)
    if hasattr(result, "text"):
        return str(result.text())
    frame = result.to_frame() if hasattr(result, "to_frame") else result
    return str(frame.to_string(index=False, na_rep="-", float_format=lambda x: f"{x:.4g}"))
