"""The main job as a whole, on the organism and on two plain checkpoints."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from conftest import save_checkpoint, word_tokenizer
from mechcot import Study
from mechcot.analyses import registry
from mechcot.core.errors import ConfigError, DataError, StudyError, UsageError
from mechcot.core.manifest import load_manifest, verify
from mechcot.core.settings import Settings
from mechcot.pipeline import kinds
from mechcot.pipeline import run as pipeline
from mechcot.pipeline.run import stages_of

LEAVES = [
    *(
        f"answers.{arm}.{key}"
        for arm in ("base", "distilled")
        for key in ("accuracy", "sc", "ece", "k", "n_questions")
    ),
    *(f"answers.delta_sc.{key}" for key in ("estimate", "low", "high")),
    *(
        f"audit.{arm}.{key}"
        for arm in ("base", "distilled")
        for key in ("error_rate", "abstain_rate", "not_checkable_rate", "n_steps")
    ),
    *(f"audit.delta.{key}" for key in ("estimate", "low", "high")),
    *(f"audit.both_correct.{key}" for key in ("estimate", "low", "high", "n_questions")),
    *(f"audit.split.{key}" for key in ("common_composition", "common_within", "unshared")),
    *(
        f"controls.{control}.{arm}.{key}"
        for control in ("terse", "chain")
        for arm in ("base", "distilled")
        for key in ("sc", "error_rate")
    ),
    *(
        f"controls.{control}.delta_error.{key}"
        for control in ("terse", "chain")
        for key in ("estimate", "low", "high")
    ),
    *(
        f"commitment.{arm}.{key}"
        for arm in ("base", "distilled")
        for key in ("locked_at_prompt", "locked_at_first_claim", "never_share")
    ),
    "hedge.base.auroc_by_layer",
    "hedge.base_direction_in_distilled.error_auroc_by_layer",
    *(
        f"probe.{arm}.{key}"
        for arm in ("base", "distilled")
        for key in ("layer", "auroc", "position_only", "kind_only", "entropy", "within_kind")
    ),
    *(f"knowledge.{key}" for key in ("knew", "forgot", "learned", "never_knew")),
    "seed",
    "versions",
]


def _leaf(summary: dict[str, Any], dotted: str) -> Any:
    value: Any = summary
    for part in dotted.split("."):
        if isinstance(value, dict) and "reason" in value and part not in value:
            return value
        value = value[part]
    return value


@pytest.fixture
def copied(study: Study, tmp_path: Path) -> Path:
    path = tmp_path / "copy"
    shutil.copytree(study.path, path)
    return path


def test_the_summary_holds_every_promised_leaf(study: Study) -> None:
    summary = study.summary()
    assert summary["schema_version"] == 1
    assert summary["seed"] == 3
    for dotted in LEAVES:
        leaf = _leaf(summary, dotted)
        assert leaf is not None, dotted
        assert not isinstance(leaf, dict) or dotted == "versions" or leaf.get("reason"), dotted
    assert "seconds" not in json.dumps(summary)


def test_every_row_can_be_opened_down_to_its_text(study: Study) -> None:
    for arm in study.settings.arms:
        traces, steps, verdicts = study.traces(arm), study.steps(arm), study.verdicts(arm)
        assert len(steps) == len(verdicts)
        assert len(traces) == len(study.questions()) * study.settings.sampling.samples
        joined = steps.merge(
            traces, on=["qid", "arm", "cid"], suffixes=("", "_trace"), validate="many_to_one"
        )
        for row in joined.itertuples(index=False):
            assert row.text_trace[row.char_start : row.char_end] == row.text
            assert row.text_trace[row.token_start[row.tok_start] :].startswith(row.text)
            assert row.token_end[row.tok_end - 1] == row.char_end


def test_claims_point_at_their_tokens(study: Study) -> None:
    arm = study.settings.contrast.after
    traces = study.traces(arm).set_index(["qid", "cid"])
    for claim in study.claims(arm).head(200).itertuples(index=False):
        trace = traces.loc[(claim.qid, claim.cid)]
        start, end = trace.token_start[claim.tok_object], trace.token_end[claim.tok_object]
        assert trace.text[start:end].strip() == claim.object
        start, end = trace.token_start[claim.tok_decision], trace.token_end[claim.tok_decision]
        assert claim.subject.endswith(trace.text[start:end].strip())


def test_readings_agree_with_the_sampler_about_the_same_tokens(study: Study) -> None:
    """Surprisals of a reading and log-probabilities of the sampler come from different code."""
    for arm in (study.settings.contrast.before, study.settings.contrast.after):
        traces = study.traces(arm).set_index(["qid", "cid"])
        for row in study.signals(arm).itertuples(index=False):
            assert -sum(row.surprisal) == pytest.approx(traces.loc[(row.qid, row.cid)].sum_logprob, abs=2e-3)


def test_a_second_run_does_nothing(study: Study) -> None:
    before = (study.path / "manifest.json").stat().st_mtime_ns
    pipeline.run(study.path, progress=False)
    assert (study.path / "manifest.json").stat().st_mtime_ns == before


def test_only_the_analyses_run_again_when_their_settings_change(copied: Path) -> None:
    before = load_manifest(copied)["stages"]
    pipeline.run(copied, overrides=("analysis={bootstrap: 100, permutations: 0, folds: 2}",), progress=False)
    after = load_manifest(copied)["stages"]
    again = {name for name in before if before[name]["key"] != after[name]["key"]}
    assert again == {*registry.results(), "report"}


def test_changed_sampling_is_refused_and_can_be_made_again(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StudyError, match=r"sampling\.temperature: was 0\.7, now 1\.0"):
        pipeline.run(copied, overrides=("sampling.temperature=1.0",), progress=False)
    old = load_manifest(copied)["stages"]
    with pytest.raises(StudyError, match="stage questions of this study is done"):
        pipeline.run(
            copied, overrides=("organism.pretrain_steps=9",), restart_from="sample-base", progress=False
        )
    organism = Study.open(copied).settings.organism
    assert organism is not None
    assert organism.pretrain_steps != 9
    assert load_manifest(copied)["stages"] == old
    cut = kinds.STAGES.index(kinds.answer_stages)  # what follows the traces is made again as ever
    monkeypatch.setattr(kinds, "STAGES", kinds.STAGES[:cut])
    study = pipeline.run(
        copied, overrides=("sampling.temperature=1.0",), restart_from="sample-base", progress=False
    )
    new = load_manifest(copied)["stages"]
    assert new["pretrain"] == old["pretrain"]
    assert new["sample-base"]["outputs"] != old["sample-base"]["outputs"]
    assert study.settings.sampling.temperature == 1.0


def test_a_changed_file_is_found(copied: Path) -> None:
    assert verify(copied) == []
    path = copied / "arms" / "base" / "traces.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert len(verify(copied)) == 1


def test_study_methods_give_what_the_results_hold(study: Study) -> None:
    assert study.audit().to_json() == study.result("audit")
    assert study.answers("chain").to_json() == study.result("controls")["chain"]["answers"]
    assert study.report.exists()
    trace = study.trace(study.questions("clinical").qid[0])
    assert {"text", "role", "label"} <= set(trace.columns)
    assert "step error" in repr(study)
    assert "<table" in study._repr_html_()


# --- any checkpoints ------------------------------------------------------------------------------


@pytest.fixture
def models_study(tmp_path: Path) -> Path:
    """Settings of a study on two random checkpoints, its questions and where verdicts will lie."""
    base, student = save_checkpoint(tmp_path / "base"), save_checkpoint(tmp_path / "student", seed=1)
    word_tokenizer(tmp_path)
    questions = [
        {"id": f"n{i}", "stem": f"w{i} w{i + 1}", "options": [f"w{i}", f"w{i + 1}", f"w{i + 2}"], "key": "B"}
        for i in range(12)
    ]
    (tmp_path / "questions.jsonl").write_text("\n".join(json.dumps(row) for row in questions))
    (tmp_path / "study.yaml").write_text(
        f"""
questions: {{path: {tmp_path}/questions.jsonl, columns: {{qid: id, stem: stem, options: options, gold: key}}}}
arms:
  base: {{model: {base}}}
  distilled: {{model: {student}}}
prompt:
  question: "{{stem}} . {{options}}"
  option: "{{text}}"
  separator: " "
  answer_pattern: 'answer (?P<answer>\\S+)'
  answer_form: text
  lead_in: [". answer "]
  terminator: null
sampling: {{samples: 3, max_new_tokens: 40}}
judge: {{kind: table, path: {tmp_path}/verdicts.csv}}
analysis: {{bootstrap: 100, permutations: 0, folds: 2}}
threads: 1
"""
    )
    return tmp_path


def test_two_plain_checkpoints_go_through_the_same_stages(models_study: Path) -> None:
    path = models_study / "out"
    with pytest.raises(DataError, match=r"verdicts\.csv"):
        pipeline.run(path, config=models_study / "study.yaml", progress=False)
    steps = pd.concat(
        [pd.read_parquet(path / "arms" / arm / "steps.parquet") for arm in ("base", "distilled")]
    )
    verdicts = steps[["qid", "arm", "cid", "sid"]].copy()
    verdicts["label"] = ["erroneous" if len(text) % 3 == 0 else "correct" for text in steps.text]
    verdicts.to_csv(models_study / "verdicts.csv", index=False)
    study = pipeline.run(path, config=models_study / "study.yaml", progress=False)
    summary = study.summary()
    assert summary["audit"]["base"]["n_steps"] == len(study.steps("base"))
    assert summary["knowledge"]["knew"]["reason"]
    assert study.report.read_text().startswith("<!doctype html>")
    with pytest.raises(UsageError, match="its task has no facts of its own; name a file of pairs"):
        pipeline.knowledge(path, progress=False)
    _asked_pairs(models_study, path)


def _asked_pairs(folder: Path, path: Path) -> None:
    """Pairs given to the finished study: every arm is asked; the report follows with the next run."""
    pairs = folder / "pairs.csv"
    rows = [
        {
            "id": i,
            "subject": f"w{i % 9}",
            "claim": f"w{i} w{i + 1} w{i + 2}",
            "correction": f"w{i} w{i + 3} w{i + 2}",
        }
        for i in range(30)
    ]
    pd.DataFrame(rows).assign(checked=["no"] * 6 + ["yes"] * 24).to_csv(pairs, index=False)
    plan = pipeline.plan_knowledge(path, pairs)
    assert [(row.what, row.n) for row in plan.rows] == [
        ("facts", 30),
        ("facts-base", 24),
        ("facts-distilled", 24),
    ]
    study = pipeline.knowledge(path, pairs=pairs, progress=False)
    found = study.knowledge().facts
    assert (found.n_listed, found.n_facts, found.coverage, found.placed_in) == (30, 24, 0.8, "question")
    assert study.result("knowledge")["facts"]["arms"]["distilled"]["overlap"] == {}
    done = pipeline.run(path, progress=False)
    assert done.summary()["knowledge"]["facts"]["n_facts"] == 24
    assert "80.0 % of the 30 listed have a checked correction" in " ".join(
        done.report.read_text().split()
    ).replace("\N{NO-BREAK SPACE}", " ")
    pairs.write_text(pairs.read_text().replace("yes", "perhaps", 1))
    with pytest.raises(DataError, match=r"pairs.csv, row 7: checked is 'perhaps'"):
        pipeline.knowledge(path, progress=False)


def test_a_judge_file_is_read_before_anything_runs(models_study: Path) -> None:
    path = models_study / "out"
    overrides = ("judge.kind=llm", f"judge.path={models_study}/none.yaml")
    with pytest.raises(ConfigError, match=r"judge\.path: there is no file '\S*none\.yaml'\. Put it there"):
        pipeline.run(path, config=models_study / "study.yaml", overrides=overrides, progress=False)
    assert not (path / "questions.parquet").exists()


def test_changed_questions_are_refused_by_name(models_study: Path) -> None:
    path = models_study / "out"
    with pytest.raises(DataError):
        pipeline.run(path, config=models_study / "study.yaml", progress=False)
    file = models_study / "questions.jsonl"
    file.write_text(file.read_text().replace('"key": "B"', '"key": "A"'))
    with pytest.raises(StudyError, match=r"questions\.jsonl changed since.*--restart-from questions"):
        pipeline.run(path, config=models_study / "study.yaml", progress=False)


def test_no_two_stages_share_a_name(study):
    """The manifest keeps a stage by its name: of two, one would forget what the other wrote."""
    asked = {"handover": {}, "weights": {}, "causes": {}, "localisation": {}, "steering": {}, "along": [0.5]}
    asked["traces"] = {"forced": 1}
    settings = Settings(**study.settings.model_dump(mode="json") | asked)
    names = [stage.name for stage in stages_of(Study(study.path, settings))]
    assert len(names) == len(set(names))
    assert {"steering-texts", "steering", "localisation-patches", "localisation"} <= set(names)


@pytest.mark.parametrize("name", ["study.yaml", "organsim.yml", "a.json"])
def test_a_settings_file_that_is_not_there_is_no_new_study(name: str, tmp_path: Path) -> None:
    for call in (pipeline.run, pipeline.plan):
        with pytest.raises(StudyError, match=rf"{re.escape(name)}: there is no such file.*--config FILE"):
            call(tmp_path / name)
    assert not (tmp_path / name).exists()
