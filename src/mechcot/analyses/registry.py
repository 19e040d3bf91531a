"""Every analysis there is: the pipeline, a study, the summary and the report loop over these."""

from __future__ import annotations

from mechcot.analyses.answers.analysis import answers_of
from mechcot.analyses.audit.analysis import audit_of
from mechcot.analyses.audit.certainty import inference_of
from mechcot.analyses.audit.scales import error_scales_of
from mechcot.analyses.audit.segments import segments_json, segments_of
from mechcot.analyses.commitment.analysis import commitment_of, commitments_of
from mechcot.analyses.controls.analysis import controls_of
from mechcot.analyses.form import Analysis
from mechcot.analyses.gains.analysis import margins_of
from mechcot.analyses.hedge.analysis import hedge_json, hedge_of
from mechcot.analyses.judge_controls.run import judge_controls_of
from mechcot.analyses.knowledge.analysis import knowledge_json, knowledge_of
from mechcot.analyses.panel.analysis import panel_json, panel_of
from mechcot.analyses.probe.analysis import probe_of, probes_of

ANALYSES = (
    Analysis("answers", answers_of, version=2, needed=True),
    Analysis("audit", audit_of, version=3, needed=True),
    Analysis("inference", inference_of),
    Analysis("scales", error_scales_of),
    Analysis("segments", segments_of, reads="cut", stored=segments_json, settings=("steps",), needed=True),
    Analysis("margins", margins_of),
    Analysis("panel", panel_of, reads="panel", stored=panel_json),
    Analysis("controls", controls_of, version=3, stored=controls_of, settings=("controls",), needed=True),
    Analysis("commitment", commitment_of, version=2, reads="inside", stored=commitments_of),
    Analysis("hedge", hedge_of, version=2, reads="inside", stored=hedge_json),
    Analysis("probe", probe_of, version=3, reads="inside", stored=probes_of, needed=True),
    Analysis("knowledge", knowledge_of, version=2, reads="inside", stored=knowledge_json),
    Analysis("judge_controls", judge_controls_of, version=None),
)
"""In the order of the report."""

RESULTS = tuple(analysis.name for analysis in ANALYSES if analysis.version is not None)
"""The analyses of a study that `mechcot run` makes, each `results/NAME.json`."""

FIGURES = {
    "JudgeControlsResult": "mechcot.analyses.judge_controls.figures:judge_forest",
    "ProbeReport": "mechcot.analyses.probe.figures:probe_bars",
}
"""Where the figure of a result is drawn, by the result's class."""

TEXTS = {
    "JudgeControlsResult": "mechcot.analyses.judge_controls.text:terminal_text",
    "ProbeReport": "mechcot.probe.words:report_text",
}
"""Where a result is put into words for a terminal, likewise."""
