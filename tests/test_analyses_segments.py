"""How a study's traces were cut: by hand, on the contrast's questions, with the window of words."""

import pandas as pd
import pytest

from mechcot.analyses.audit.segments import segments_json
from mechcot.core import config, records
from mechcot.steps import step_rows
from mechcot.steps.of_study import questions_by_id, task_of
from mechcot.study.writing import create_or_open

TEXTS = {"clinical-0": ("one two three. four five", "six."), "chain-0": ("seven. eight. nine.",)}


def cut_study(folder, *overrides):
    study = create_or_open(
        folder, config.resolve(preset="organism-small", overrides=overrides), restarting=False
    )
    questions = [
        {
            "qid": qid, "domain": qid.split("-")[0], "stem": "s", "options": ["x", "y"], "gold": 0,
            "group": qid, "stratum": "",
        }
        for qid in TEXTS
    ]  # fmt: skip
    records.write_table(folder / "questions.parquet", questions, records.QUESTIONS)
    for arm in study.settings.arms:
        traces = [
            {
                "qid": qid, "arm": arm, "cid": cid, "text": text, "prompt_ids": [1],
                "token_ids": list(range(len(text))), "token_start": list(range(len(text))),
                "token_end": list(range(1, len(text) + 1)), "finish_reason": "stop", "sum_logprob": -1.0,
                "reasoning_end": len(text), "answer": 0, "answer_rule": "strict", "answer_start": -1,
                "answer_end": -1,
            }
            for qid, own in TEXTS.items()
            for cid, text in enumerate(own)
        ]  # fmt: skip
        records.write_table(study.arm_path(arm) / "traces.parquet", traces, records.TRACES)
        table = pd.DataFrame(traces)
        steps = step_rows(table, questions_by_id(study), task_of(study), study.settings.steps.window)
        records.write_table(study.arm_path(arm) / "steps.parquet", steps, records.STEPS)
    return study


def test_steps_are_counted_on_the_contrasts_questions(tmp_path):
    study = cut_study(tmp_path / "s", "steps.segmenter=structural")
    found = segments_json(study)
    assert set(found) == {"segmenter", "arms"}  # only cutting by words has a window
    assert list(found["arms"]) == list(study.settings.arms)
    base = found["arms"]["base"]
    assert (base["n_traces"], base["n_steps"], base["n_traces_without_steps"]) == (2, 3, 0)
    assert (base["steps_per_trace"], base["words_per_step"]) == (1.5, 2.0)


def test_cutting_by_words_says_its_window(tmp_path):
    found = segments_json(cut_study(tmp_path / "s", "steps.segmenter=words", "steps.window=2"))
    assert (found["segmenter"], found["window"]) == ("words", 2)
    base = found["arms"]["base"]
    assert base["n_traces"] == 2
    assert base["words_per_step"] == pytest.approx(6 / base["n_steps"])
