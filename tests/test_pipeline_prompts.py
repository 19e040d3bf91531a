"""Prompts as models are given them: compared before anything is sampled, and the same in every use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from conftest import WORDS, save_checkpoint
from mechcot.analyses.arms import traces_of
from mechcot.core import config
from mechcot.core.errors import DataError, ModelError, ReadingError
from mechcot.core.files import read_json
from mechcot.models.checkpoint import load_tokenizer
from mechcot.pipeline import run as pipeline
from mechcot.pipeline.judge import judge
from mechcot.pipeline.kinds import stages_of
from mechcot.pipeline.prompts import check_asked
from mechcot.reading.of_study import question_inputs
from mechcot.steps.of_study import audited_steps, task_of
from mechcot.study.folder import Study

OTHER = "w57 {{ messages[0].content }}{% if add_generation_prompt %} <think>{% endif %}"


def study_yaml(folder: Path, **more: Any) -> Path:
    for name in ("base", "other"):
        if not (folder / name).exists():
            save_checkpoint(folder / name)
    asked = [
        {"qid": q, "question": f"w{i}", "options": ["w5", "w6"], "answer": "A"} for i, q in enumerate("ab")
    ]
    (folder / "q.jsonl").write_text("\n".join(map(json.dumps, asked)))
    told = {
        "questions": {"path": f"{folder}/q.jsonl"},
        "arms": {
            "base": {"model": f"{folder}/base"},
            "distilled": {"model": f"{folder}/other"},
            "told": {
                "model": f"{folder}/base",
                "prompt": {"question": "w9 {stem} . {options}"},
                "sampling": {"samples": 1},
            },
        },
        "controls": {"told": {"after": "told", "differs": ["prompt", "samples", "judged"]}},
        "prompt": {"question": "{stem} . {options}", "option": "{text}", "separator": " "},
        "sampling": {"samples": 3, "max_new_tokens": 8},
        "judge": {"kind": "table", "path": f"{folder}/verdicts.csv", "traces_per_question": 2},
        "threads": 1,
        "preset": "models",
    }
    (folder / "study.yaml").write_text(json.dumps(told | more))
    return folder / "study.yaml"


def sampled(folder: Path, *overrides: str) -> Study:
    """A study up to its steps: the judge's table is not there yet."""
    with pytest.raises(DataError, match=r"verdicts\.csv"):
        pipeline.run(folder / "out", config=study_yaml(folder), overrides=overrides, progress=False)
    return Study(folder / "out", config.resolve(base=config.read_yaml(folder / "out" / "study.yaml")))


def words(ids: Any) -> str:
    return " ".join(WORDS[i] for i in ids)


def test_each_arm_is_asked_judged_and_counted_as_its_settings_say(tmp_path: Path) -> None:
    study = sampled(tmp_path)
    asked = {arm: [words(ids) for ids in study.traces(arm).prompt_ids] for arm in study.settings.arms}
    assert asked["base"] == asked["distilled"]
    assert asked["base"][::3] == ["w0 . w5 w6 <think>", "w1 . w5 w6 <think>"]
    assert asked["told"] == ["w9 w0 . w5 w6 <think>", "w9 w1 . w5 w6 <think>"]
    told = read_json(study.path / "prompts.json")
    digests = {arm: own["digest"] for arm, own in told["arms"].items()}
    assert digests["base"] == digests["distilled"] != digests["told"]
    assert told["compared"] == ["contrast"]
    # The control says that samples may differ: both then have as many.
    assert [len(table) for table in traces_of(study, "told")] == [2, 2]
    assert [len(table) for table in traces_of(study)] == [6, 6]
    steps = audited_steps(study, "base")
    assert set(steps.cid) <= {0, 1}
    assert len(steps) < len(study.steps("base"))
    rows = pd.concat([audited_steps(study, arm) for arm in study.settings.arms])
    rows.assign(label="correct")[["qid", "arm", "cid", "sid", "label"]].to_csv(tmp_path / "verdicts.csv")
    judge(study, False, tmp_path)
    judged = pd.concat([study.verdicts(arm) for arm in study.settings.arms])
    assert len(judged) == len(rows)
    assert set(judged[judged.arm == "told"].cid) == {0}
    # Whoever reads an arm's text reads it behind the prompt that it was written under.
    tokenizer = load_tokenizer(tmp_path / "base")
    (first, _) = question_inputs(study, "told", task_of(study, "told"), tokenizer)
    assert words(first.prompt_ids) == "w9 w0 . w5 w6 <think>"
    with pytest.raises(ReadingError, match=r"arm 'told': from token 0 on it was asked 'w9 w0"):
        question_inputs(study, "told", task_of(study), tokenizer)
    with pytest.raises(DataError, match=r"arm base: its checkpoint's tokenizer now makes other prompts"):
        check_asked(study, "base", {"a": (1, 2)})


def test_two_templates_are_found_before_anything_is_sampled(tmp_path: Path) -> None:
    settings = study_yaml(tmp_path)
    (tmp_path / "other" / "chat_template.jinja").write_text(OTHER)
    with pytest.raises(ModelError) as error:
        pipeline.run(tmp_path / "out", config=settings, progress=False)
    assert "contrast: it compares 'base' and 'distilled', whose chat templates put question 'a'" in str(
        error.value
    )
    assert "'base' is asked 'w0 . w5 w6 <think>' and 'distilled' 'w57 w0 . w5 w6 <think>'" in str(error.value)
    assert "Name one template for all (prompt.template)" in str(error.value)
    assert not (tmp_path / "out" / "arms").exists()
    (tmp_path / "mine.jinja").write_text(OTHER)
    study = sampled(tmp_path, f"prompt.template={tmp_path}/mine.jinja")
    for arm in ("base", "distilled"):
        assert words(study.traces(arm).prompt_ids[0]) == "w57 w0 . w5 w6 <think>"


def test_an_arm_with_a_template_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine.jinja").write_text(OTHER)
    study = sampled(tmp_path, f"arms.told.prompt={{template: {tmp_path}/mine.jinja}}")
    assert words(study.traces("told").prompt_ids[0]).startswith("w57 ")
    assert words(study.traces("base").prompt_ids[0]).startswith("w0 ")


def test_stages_that_know_no_template_have_the_keys_of_older_studies(tmp_path):
    settings = config.resolve(preset="organism-small", overrides=("causes={}", "steering={}", "handover={}"))
    stages = {one.name: one.settings for one in stages_of(Study(tmp_path, settings))}
    for name in ("causes-of-base", "steering-texts", "handover-by-base"):
        assert "template" not in stages[name]["prompt"]
    assert stages["handover-judge"]["judge"] == {"kind": "exact", "path": None}
