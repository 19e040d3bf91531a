from pathlib import Path

import pandas as pd
import pytest

from mechcot import Study
from mechcot.analyses.arms import contrast_of
from mechcot.analyses.audit.analysis import audit_of
from mechcot.analyses.form import Analysis
from mechcot.analyses.knowledge.selected import selected_of
from mechcot.core import config, records
from mechcot.core.errors import AnalysisError, UsageError
from mechcot.core.stages import run_stages
from mechcot.pipeline import run as pipeline
from mechcot.probe import positions
from mechcot.study.writing import create_or_open
from report_cases import ordinary
from rewritten import as_written
from written_study import written_study


def _study(path: Path) -> Study:
    return create_or_open(path, config.resolve(preset="organism-small"), restarting=False)


def test_a_control_takes_from_the_headline_what_it_does_not_name(tmp_path: Path) -> None:
    study = _study(tmp_path / "s")
    assert contrast_of(study).after == "distilled"
    terse, chain = contrast_of(study, "terse"), contrast_of(study, "chain")
    assert (terse.before, terse.after, terse.domain) == ("base", "terse", "clinical")
    assert (chain.before, chain.after, chain.domain) == ("base", "distilled", "chain")
    with pytest.raises(UsageError, match=r"no control 'sugar'.*terse, chain"):
        contrast_of(study, "sugar")


def test_an_analysis_that_cannot_be_made_leaves_its_reason() -> None:
    def fails(study: None) -> dict[str, object]:
        raise AnalysisError("too few")

    assert Analysis("a", fails).result(None) == {"reason": "too few"}
    assert Analysis("a", fails, stored=lambda study: {"a": 1}).result(None) == {"a": 1}
    with pytest.raises(AnalysisError, match="too few"):
        Analysis("a", fails, needed=True).result(None)


def test_an_arm_that_writes_answers_alone_has_no_error_rate_and_its_answers(tmp_path: Path) -> None:
    """As its tables are read: columns of texts without a row."""
    written = written_study(tmp_path / "study", "controls.bare={after: distilled}", n_questions=4)
    _judge_exactly(written)
    tables = {"steps": records.STEPS, "claims": records.CLAIMS, "verdicts/exact": records.VERDICTS}
    for name, schema in tables.items():
        path = written.arm_path("distilled") / f"{name}.parquet"
        records.write_table(path, records.read_table(path, schema).iloc[:0], schema)
    as_written(written.path)
    audit = audit_of(Study.open(written.path), "bare")
    assert audit.before.error_rate is not None
    assert audit.after.error_rate is None
    assert audit.to_json()["delta"]["estimate"]["reason"] == "nothing to divide by after"


def _judge_exactly(study: Study) -> None:
    stages = [stage for stage in pipeline.stages_of(study, progress=False) if stage.name == "judge"]
    run_stages(study.path, stages, {})


def test_rows_of_the_store_are_found_by_key_not_by_order(study: Study) -> None:
    arm = study.settings.contrast.after
    index = study.activations(arm).frame()[["qid", "arm", "cid", "sid"]]
    shuffled = index.sample(frac=1.0, random_state=0).reset_index(drop=True)
    rows = positions(index, shuffled)
    pd.testing.assert_frame_equal(index.iloc[rows].reset_index(drop=True), shuffled)


def test_the_audit_of_a_control_uses_its_domain_and_arms(study: Study) -> None:
    audit = audit_of(study, "chain").to_json()
    steps = study.steps("base")
    chain = study.questions("chain").qid
    assert audit["before"]["n_steps"] == steps.qid.isin(chain).sum()
    assert {row["role"] for row in audit["roles"]} <= {*steps.role, *study.steps("distilled").role}


def test_claims_of_other_domains_are_not_counted_as_left_out_of_knowledge(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    study = ordinary(tmp_path_factory)
    asked = study.questions("clinical").qid
    claims = study.claims("distilled")
    read = claims[claims.cid < study.settings.reading.traces_per_question]
    assert not read.qid.isin(asked).all()  # the chain control has claims too, which no reading holds
    result = selected_of(study)
    assert result.excluded == {"unjudged": 0, "unread": 0}
    assert result.claims.n_claims == read.qid.isin(asked).sum()


def test_scales_margins_and_segments_are_of_the_contrasts_questions_and_arms(study: Study) -> None:
    audit, answers = study.audit(), study.answers()
    scales, margins, segments = study.scales(), study.gains(), study.segments()
    assert scales.scales["risk"].difference == audit.delta
    assert scales.n_judged == (audit.before.n_judged, audit.after.n_judged)
    assert (margins.arms, margins.k) == ((answers.before.arm, answers.after.arm), answers.before.k)
    assert margins.n_questions == answers.before.n_questions
    assert segments.arm.tolist() == list(study.settings.arms)
    assert (segments.share_sentence == 1).all()
