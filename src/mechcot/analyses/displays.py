"""How each kind of result shows itself: its figure, why it has none, its text for a terminal."""

from __future__ import annotations

from mechcot.analyses.heads import HEADS

_HERE = "mechcot.analyses"

FIGURES = {
    "AlongResult": f"{_HERE}.along.figures:along",
    "AnswersResult": f"{_HERE}.answers.figures:vote_curves",
    "AuditResult": f"{_HERE}.audit.figures:error_by_kind",
    "BoundaryResult": f"{_HERE}.boundary.figures:boundary",
    "CausesResult": f"{_HERE}.causes.figures:causes",
    "CertaintyResult": f"{_HERE}.audit.certainty_figures:difference_forest",
    "CommitmentComparison": f"{_HERE}.commitment.figures:comparison_forest",
    "CommitmentContrast": f"{_HERE}.commitment.figures:contrast_curves",
    "CommitmentResult": f"{_HERE}.commitment.figures:commitment_curve",
    "ControlResult": f"{_HERE}.audit.figures:control_headline",
    "ControlsResult": f"{_HERE}.controls.figures:controls_alone",
    "CouplingResult": f"{_HERE}.coupling.figures:coupling",
    "GainsResult": f"{_HERE}.gains.figures:gains",
    "HandoverResult": f"{_HERE}.handover.figures:cells",
    "GreedyResult": f"{_HERE}.greedy.figures:greedy",
    "HedgeWordsResult": f"{_HERE}.hedge_words.figures:hedge_words",
    "HedgeOrigin": f"{_HERE}.hedge.figures:origin",
    "HedgeFindings": f"{_HERE}.hedge.figures:hedge_by_layer",
    "Depth": f"{_HERE}.commitment.variants_page:depth_map",
    "HedgeProjection": f"{_HERE}.hedge.figures:hedge_by_layer",
    "HedgeResult": f"{_HERE}.hedge.figures:hedge_by_layer",
    "JudgeControlsResult": f"{_HERE}.judge_controls.figures:judge_forest",
    "FactsResult": f"{_HERE}.knowledge.figures:facts_known",
    "KindsResult": f"{_HERE}.kinds.page:figure",
    "KnowledgeResult": f"{_HERE}.knowledge.figures:knowledge",
    "LikertResult": f"{_HERE}.likert.figures:shown",
    "LocalisationResult": f"{_HERE}.localisation.figures:localisation",
    "PanelResult": f"{_HERE}.panel.figures:judges",
    "ProbeReport": f"{_HERE}.probe.figures:probe_bars",
    "SeedsResult": f"{_HERE}.seeds.figures:seeds",
    "SteeringResult": f"{_HERE}.steering.figures:steering_doses",
    "TracesResult": f"{_HERE}.traces.figures:traces",
    "Variants": f"{_HERE}.commitment.variants_page:way_curve",
    "WeightsResult": f"{_HERE}.weights.figures:weights_map",
    "SelectedOnError": f"{_HERE}.knowledge.figures:knowledge_bars",
    "TransferResult": f"{_HERE}.probe.worth_figures:probe_transfer",
    "UseResult": f"{_HERE}.probe.worth_figures:probe_risk",
    "Metrics": f"{_HERE}.probe.worth_figures:probe_calibration",
    "Nulls": f"{_HERE}.probe.worth_figures:probe_null",
    "TraceCommitment": f"{_HERE}.commitment.maps:trace_map",
    "TwoByTwo": f"{_HERE}.commitment.figures:commitment_two_by_two",
}
"""Where the figure of a result is drawn from its JSON, by the result's class."""

NO_FIGURE = {
    "AblationResult": "its measures have different units; to_frame() has them beside random directions",
    "Agreement": "it is a few coefficients; PanelResult.figure() draws the judges",
    "AnswerAgreementResult": "it counts how often two readings of the same answers agree, in to_frame()",
    "Certificate": "it is a list of checks, in to_frame()",
    "ClaimsResult": "each claim is measured in a unit of its own; to_frame() has them",
    "Compared": "it is a page: .show() opens it, .to_frame() is the alignment",
    "ConfirmatoryResult": "findings are in points, bits and AUROC; to_frame() has them",
    "ControlsPlan": "it is what work would take, in to_frame()",
    "Decoys": "it is a part: plots.judge_decoys(study.judge_controls(NAME)) draws it",
    "ErrorScales": "each scale has a unit of its own; plots.difference_forest(study.certainty()) draws the "
    "difference",
    "Estimate": "it is what work would take, in to_frame()",
    "FurtherVerdicts": "it counts verdicts, in to_frame(); study.panel().figure() draws the judges",
    "HedgeAcross": "the report draws it; to_frame() has the layers",
    "HedgeDirections": "study.hedge().figure() draws how well they foretell hedges; to_frame() has them all",
    "HedgePairs": "the report draws it; to_frame() has the places",
    "JudgeAccuracy": "it is a few shares, in to_frame() and on its card",
    "JudgeControls": "it says where the result lies: study.judge_controls(NAME).figure() draws it",
    "MadeTraces": "it counts what was written, in to_frame()",
    "Miniature": "it counts what a try has made, in to_frame()",
    "Power": "it is a few numbers of steps, in to_frame()",
    "SheetResult": "study.certainty() and study.panel() draw what people say, once a sheet is imported",
    "Split": "it is a part: plots.split(study.audit()) draws it",
    "ToneSwap": "it is a part: plots.judge_manner(study.judge_controls(NAME)) draws it",
}
"""Why a result with rows of its own has no figure, and what shows it in its place, by its class."""

TEXTS = {
    **dict.fromkeys(HEADS, f"{_HERE}.heads:text"),
    "AlongResult": f"{_HERE}.along.page:terminal_text",
    "AnswersResult": f"{_HERE}.answers.terminal:terminal_text",
    "AuditResult": f"{_HERE}.audit.terminal:terminal_text",
    "BoundaryResult": f"{_HERE}.boundary.page:terminal_text",
    "CausesResult": f"{_HERE}.causes.page:terminal_text",
    "ClaimsResult": f"{_HERE}.claims.page:terminal_text",
    "CommitmentContrast": f"{_HERE}.commitment.contrast:terminal_text",
    "CommitmentResult": f"{_HERE}.commitment.contrast:result_text",
    "ConfirmatoryResult": f"{_HERE}.confirmatory.page:terminal_text",
    "HandoverResult": f"{_HERE}.handover.page:terminal_text",
    "HedgePairs": f"{_HERE}.hedge_pairs.page:terminal_text",
    "JudgeAccuracy": f"{_HERE}.judge_accuracy.card:terminal_text",
    "JudgeControlsResult": f"{_HERE}.judge_controls.tables:terminal_text",
    "LikertResult": f"{_HERE}.likert.wording:terminal_text",
    "LocalisationResult": f"{_HERE}.localisation.page:terminal_text",
    "SteeringResult": f"{_HERE}.steering.page:terminal_text",
    "TracesResult": f"{_HERE}.traces.page:terminal_text",
    "WeightsResult": f"{_HERE}.weights.page:terminal_text",
    "ProbeReport": "mechcot.probe.terminal:report_text",
}
"""Where a result is put into words for a terminal, likewise; others show their table."""
