"""From a study's tables to its analyses: which arms, which questions, which rows.

Each function reads what one analysis needs and calls it; the pipeline, the notebooks and `Study` call
these. What an analysis cannot say of a study (no claims, one class) is a result with a reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pandas as pd

from mechcot.analyses.answers import analysis as answers
from mechcot.analyses.audit import analysis as audit
from mechcot.analyses.audit import certainty as audit_inference
from mechcot.analyses.audit import scales as audit_scales
from mechcot.analyses.commitment import analysis as commitment
from mechcot.analyses.gains import analysis as margins
from mechcot.analyses.hedge import analysis as hedge
from mechcot.analyses.knowledge import analysis as knowledge
from mechcot.analyses.panel import analysis as panel
from mechcot.core.errors import AnalysisError, UsageError
from mechcot.core.records import STEP_KEY
from mechcot.probe.stored import positions
from mechcot.stats.interval import leaf
from mechcot.steps import segment_report
from mechcot.study.folder import recorded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mechcot.core.settings import ContrastSettings
    from mechcot.study.folder import Study


def or_reason(analysis: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """An analysis' JSON or, where the study's tables do not carry it, the reason."""
    try:
        return analysis()
    except AnalysisError as error:
        return {"reason": str(error)}


def contrast_of(study: Study, control: str | None = None) -> ContrastSettings:
    """The headline's contrast, or a control's, filled up from the headline's.

    Raises:
        UsageError: there is no such control.
    """
    headline = study.settings.contrast
    if control is None:
        return headline
    if control not in study.settings.controls:
        known = ", ".join(study.settings.controls) or "none"
        raise UsageError(f"there is no control '{control}' in {study.path}; there are: {known}")
    own = study.settings.controls[control].model_dump(exclude_none=True)
    return headline.model_copy(update=own)


def answers_of(study: Study, control: str | None = None) -> answers.AnswersResult:
    """What happened to the answers."""
    contrast = contrast_of(study, control)
    questions = study.questions(contrast.domain)
    before, after = (_of(questions, study.traces(arm)) for arm in (contrast.before, contrast.after))
    return answers.analyse(questions, before, after, draws=_draws(study), seed=study.settings.seed)


def audit_of(study: Study, control: str | None = None) -> audit.AuditResult:
    """What happened to the steps."""
    contrast = contrast_of(study, control)
    questions = study.questions(contrast.domain)
    tables = _of_both(study, contrast, questions, study.traces, study.steps, study.verdicts)
    claims = pd.concat([study.claims(arm) for arm in {contrast.before, contrast.after}])
    strata = _of(questions, claims)[[*STEP_KEY, "stratum"]] if (claims.stratum != "").any() else None
    return audit.analyse(questions, *tables, draws=_draws(study), seed=study.settings.seed, strata=strata)


def error_scales_of(study: Study, control: str | None = None) -> audit_scales.ErrorScales:
    """The change of step error per step, per 100 words, in log odds and complementary log-log."""
    contrast = contrast_of(study, control)
    questions = study.questions(contrast.domain)
    tables = _of_both(study, contrast, questions, study.traces, study.steps, study.verdicts)
    return audit_scales.error_scales(questions, *tables, draws=_draws(study), seed=study.settings.seed)


def inference_of(study: Study, control: str | None = None) -> audit_inference.InferenceResult:
    """How sure the change of step error is: tests, design effects, bounds, tipping point."""
    contrast = contrast_of(study, control)
    questions = study.questions(contrast.domain)
    tables = _of_both(study, contrast, questions, study.traces, study.steps, study.verdicts)
    return audit_inference.analyse(questions, *tables, draws=_draws(study), seed=study.settings.seed)


def margins_of(study: Study, control: str | None = None) -> margins.MarginsResult:
    """Which questions the change of the vote comes from, and what the steps did there."""
    contrast = contrast_of(study, control)
    questions = study.questions(contrast.domain)
    tables = _of_both(study, contrast, questions, study.traces, study.verdicts)
    return margins.analyse(questions, *tables, draws=_draws(study), seed=study.settings.seed)


def segments_of(study: Study) -> pd.DataFrame:
    """How each arm's traces of the headline's questions were cut into steps, a row an arm."""
    settings = study.settings.steps
    questions = study.questions(study.settings.contrast.domain)
    reports = [
        segment_report(
            _of(questions, study.traces(arm)),
            _of(questions, study.steps(arm)),
            settings.segmenter,
            settings.window,
        )
        for arm in study.settings.arms
    ]
    return pd.concat(reports, ignore_index=True)


def segments_json(study: Study) -> dict[str, Any]:
    """`segments_of` as JSON values, by arm, with the segmenter."""
    settings = study.settings.steps
    table = segments_of(study).set_index("arm")
    own = {
        str(arm): {
            str(name): int(value) if str(name).startswith("n_") else leaf(float(value), "there is no step")
            for name, value in row.items()
        }
        for arm, row in table.iterrows()
    }
    window = {"window": settings.window} if settings.segmenter == "words" else {}
    return {"segmenter": settings.segmenter, **window, "arms": own}


def further_instruments(study: Study) -> list[str]:
    """Recorded further instruments whose verdicts belong to the steps of both arms as they are now."""
    pair = _pair(study)
    return sorted(
        name
        for name in recorded(study.path)
        if all((study.arm_path(arm) / "verdicts" / f"{name}.parquet").exists() for arm in pair)
    )


def panel_json(study: Study) -> dict[str, Any]:
    """The study's own judge and every recorded further one as a panel, or the reason why there is none."""
    further = further_instruments(study)
    if not further:
        return {"reason": "one judge alone has judged these steps"}
    return panel.panel_of(study, [study.settings.judge.kind, *further]).to_json()


def controls_of(study: Study) -> dict[str, Any]:
    """Answers and audit of every control."""
    found = {}
    for name in study.settings.controls:
        contrast = contrast_of(study, name)
        found[name] = {
            "contrast": contrast.model_dump(mode="json"),
            "answers": answers_of(study, name).to_json(),
            "audit": audit_of(study, name).to_json(),
        }
    return found


def commitment_of(study: Study, author: str, reader: str | None = None) -> commitment.CommitmentResult:
    """When an author's traces settle on their answer, as a reader sees it."""
    questions = study.questions(study.settings.contrast.domain)
    read = study.settings.reading.traces_per_question
    traces = _of(questions, study.traces(author))
    return commitment.curves(
        study.forced(author, reader),
        traces[traces.cid < read],
        study.steps(author),
        study.verdicts(author),
        draws=_draws(study),
        seed=study.settings.seed,
    )


def commitments_of(study: Study) -> dict[str, Any]:
    """Commitment of both arms, their difference, and author x reader."""
    before, after = _pair(study)
    cells = {
        (author, reader): commitment_of(study, author, reader)
        for author in (before, after)
        for reader in (before, after)
    }
    own = {arm: cells[arm, arm] for arm in (before, after)}
    return {
        "arms": {arm: result.to_json() for arm, result in own.items()},
        "difference": commitment.compare(
            own[before], own[after], draws=_draws(study), seed=study.settings.seed
        ).to_json(),
        "two_by_two": commitment.two_by_two(
            cells, before=before, after=after, draws=_draws(study), seed=study.settings.seed
        ).to_json(),
    }


def hedge_of(study: Study) -> tuple[hedge.HedgeResult, hedge.HedgeProjection]:
    """The hedge direction of the arm before, and what it says of the arm after's asserted claims."""
    before, after = _pair(study)
    questions = study.questions(study.settings.contrast.domain)
    group = dict(zip(questions.qid, questions.group, strict=True))
    draws, seed = _draws(study), study.settings.seed
    X, claims = _at_claims(study, before)
    fitted = hedge.direction(X, claims, group=group, draws=draws, seed=seed)
    X, claims = _at_claims(study, after)
    return fitted, hedge.project(fitted, X, claims, study.verdicts(after), draws=draws, seed=seed)


def hedge_json(study: Study) -> dict[str, Any]:
    """`hedge_of` as JSON, or the reason why the task cannot tell."""
    for arm in _pair(study):
        if study.claims(arm).empty:
            return {"reason": f"the task reads no claims in the steps of '{arm}'"}
    fitted, projected = hedge_of(study)
    return {"before": fitted.to_json(), "after": projected.to_json()}


def knowledge_of(study: Study) -> knowledge.KnowledgeResult:
    """Whether the wrong claims of the arm after were known to the arm before."""
    before, after = _pair(study)
    # a reading holds the contrast's questions: claims about others were not left out, they were never asked
    claims = _of(study.questions(study.settings.contrast.domain), study.claims(after))
    return knowledge.table(
        study.truth(after, before),
        study.truth(after, after),
        claims[claims.cid < study.settings.reading.traces_per_question],
        study.verdicts(after),
        draws=_draws(study),
        seed=study.settings.seed,
    )


def knowledge_json(study: Study) -> dict[str, Any]:
    """`knowledge_of` as JSON, or the reason why the task cannot tell."""
    if study.truth(study.settings.contrast.after).empty:
        return {"reason": "the task does not know which objects would make a claim true"}
    return knowledge_of(study).to_json()


def _pair(study: Study) -> tuple[str, str]:
    return study.settings.contrast.before, study.settings.contrast.after


def _draws(study: Study) -> int:
    return study.settings.analysis.bootstrap


def _of_both(
    study: Study,
    contrast: ContrastSettings,
    questions: pd.DataFrame,
    *tables: Callable[[str], pd.DataFrame],
) -> list[pd.DataFrame]:
    """Tables of the arm before, then those of the arm after, on the contrast's questions."""
    return [_of(questions, table(arm)) for arm in (contrast.before, contrast.after) for table in tables]


def _of(questions: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    return table[table.qid.isin(questions.qid)].reset_index(drop=True)


def _at_claims(study: Study, arm: str) -> tuple[dict[int, NDArray[Any]], pd.DataFrame]:
    """The residual stream before each claim's decision, by layer, and the claims that were read."""
    activations = study.activations(arm)
    index = activations.frame()[STEP_KEY]
    claims = study.claims(arm).merge(index, on=STEP_KEY)
    rows = positions(index, claims)
    layers = activations.layers
    return {layer: activations.layer("resid_post", layer, "decision")[rows] for layer in layers}, claims
