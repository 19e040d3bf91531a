"""Figures out of results: one visual language, returned and never shown.

Every function takes a result, or what its `to_json()` gives (plain dicts and lists), and returns a plotly
figure. The statement is the title, denominators stand in the caption, intervals are bands or bars,
nulls and baselines are grey. An arm has one colour everywhere. Widths are left to the page; text is
wrapped so that a phone of 390 pixels shows it whole. All text that came from data is escaped.
`plots.save(figure, FILE)` keeps one: .html, or .svg and .png where a Chrome or Chromium is.

A rate or difference in these inputs is `{"estimate", "low", "high"}` (other keys are ignored), or
`{"value": null, "reason": ...}` where there is none, or a bare number.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import plotly.graph_objects as go

from mechcot.analyses.along.figures import along
from mechcot.analyses.answers.figures import reliability
from mechcot.analyses.audit.certainty_figures import difference_forest
from mechcot.analyses.audit.figures import error_by_answers, error_by_kind, headline, split
from mechcot.analyses.boundary.figures import boundary
from mechcot.analyses.commitment.figures import commitment_curves, commitment_two_by_two
from mechcot.analyses.controls.figures import controls
from mechcot.analyses.coupling.figures import coupling
from mechcot.analyses.gains.figures import error_by_transition, gains
from mechcot.analyses.greedy.figures import greedy
from mechcot.analyses.hedge.figures import hedge_by_layer
from mechcot.analyses.hedge_words.figures import hedge_words
from mechcot.analyses.judge_controls.controls.decoys import judge_decoys
from mechcot.analyses.judge_controls.controls.tone_swap import judge_manner
from mechcot.analyses.judge_controls.figures import judge_flips, judge_forest, judge_strata
from mechcot.analyses.knowledge.figures import facts_known, knowledge_bars
from mechcot.analyses.localisation.figures import head_map, localisation, patch_map
from mechcot.analyses.panel.figures import judges
from mechcot.analyses.probe.figures import probe_bars, probe_by_layer, probe_map
from mechcot.analyses.probe.worth_figures import probe_calibration, probe_null, probe_risk, probe_transfer
from mechcot.analyses.seeds.figures import seeds
from mechcot.analyses.steering.figures import steering_doses
from mechcot.analyses.traces.figures import forced, sub_steps, traces
from mechcot.analyses.weights.figures import weights_line, weights_map
from mechcot.core.errors import UsageError
from mechcot.core.results import for_figure
from mechcot.report.figures import AFTER, BEFORE, NULL, TEACHER, bare
from mechcot.report.pictures import keep_pictures, pictures, save

__all__ = [
    "AFTER",
    "BEFORE",
    "NULL",
    "TEACHER",
    "along",
    "bare",
    "boundary",
    "commitment_curves",
    "commitment_two_by_two",
    "controls",
    "coupling",
    "difference_forest",
    "error_by_answers",
    "error_by_kind",
    "error_by_transition",
    "facts_known",
    "forced",
    "gains",
    "greedy",
    "head_map",
    "headline",
    "hedge_by_layer",
    "hedge_words",
    "judge_decoys",
    "judge_flips",
    "judge_forest",
    "judge_manner",
    "judge_strata",
    "judges",
    "keep_pictures",
    "knowledge_bars",
    "localisation",
    "patch_map",
    "pictures",
    "probe_bars",
    "probe_by_layer",
    "probe_calibration",
    "probe_map",
    "probe_null",
    "probe_risk",
    "probe_transfer",
    "reliability",
    "save",
    "seeds",
    "split",
    "steering_doses",
    "sub_steps",
    "traces",
    "weights_line",
    "weights_map",
]


def _of_results(figure: Callable[..., go.Figure]) -> Callable[..., go.Figure]:
    """A figure of JSON that takes the results themselves as well."""

    @wraps(figure)
    def drawn(*given: Any, **named: Any) -> go.Figure:
        told = [for_figure(value) for value in given]
        try:
            return figure(*told, **{name: for_figure(value) for name, value in named.items()})
        except KeyError as error:
            raise UsageError(
                f"plots.{figure.__name__} finds no {error} in what it was given; its docstring names the "
                "result that it draws"
            ) from error

    return drawn


_NOT_OF_RESULTS = ("bare", "keep_pictures", "pictures", "save")

for _name in __all__:
    if callable(globals()[_name]) and _name not in _NOT_OF_RESULTS:
        globals()[_name] = _of_results(globals()[_name])
