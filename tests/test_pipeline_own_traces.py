"""Self-distillation: a base's own right traces as what a student of it learns from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mechcot import Study
from mechcot.core import config, records
from mechcot.core.errors import ConfigError, DataError
from mechcot.core.presets import PRESETS
from mechcot.core.teacher_records import CHAINS
from mechcot.distill.examples import load_examples
from mechcot.pipeline import run as pipeline
from mechcot.pipeline.own_traces import DRAWS, right_traces, write_own
from mechcot.sampling import Completion
from mechcot.steps.of_study import world_of
from mechcot.tasks.organism.teacher import examples
from mechcot.tasks.organism.tokenizer import END_OF_THINK, build_tokenizer

SMALL = tuple(f"organism.{name}={value}" for name, value in PRESETS["organism-small"]["organism"].items())


def all_arms(folder: Path, study: Study, *more: str) -> Study:
    """A study with all arms, of the world of the shared one and with its base."""
    settings = config.resolve(preset="organism-all-arms", overrides=(*SMALL, *more), seed=study.settings.seed)
    shutil.copytree(study.path / "models" / "base", folder / "models" / "base")
    return Study(folder, settings)


def test_the_preset_has_every_arm_and_declares_the_one_that_is_asked_otherwise(tmp_path: Path) -> None:
    settings = config.resolve(preset="organism-all-arms")
    assert list(settings.arms) == [
        "base", "distilled", "terse", "expert", "self-distilled", "answer-only", "teacher",
        "distilled-seed-7001", "distilled-seed-7002",
    ]  # fmt: skip
    assert settings.contrast.replicates == ("distilled-seed-7001", "distilled-seed-7002")
    names = [stage.name for stage in pipeline.stages_of(Study(tmp_path, settings), progress=False)]
    assert names.index("pretrain") < names.index("own-traces") < names.index("distill-self-distilled")
    with pytest.raises(ConfigError, match=r"controls\.expert: it compares 'base' with prompt\.question"):
        config.resolve(preset="organism-all-arms", overrides=("controls.expert.differs=[]",))
    plain = Study(tmp_path, config.resolve(preset="organism"))
    assert "own-traces" not in [stage.name for stage in pipeline.stages_of(plain, progress=False)]


def test_the_organism_s_base_is_taught_on_its_own_right_traces(study: Study, tmp_path: Path) -> None:
    own = all_arms(tmp_path, study, "organism.teacher_traces=60")
    write_own(own, "base", False, tmp_path / "work")
    rows = load_examples(tmp_path / "examples" / "own.parquet")
    organism = own.settings.organism
    assert organism is not None
    asked = examples(world_of(own), "terse", organism, own.settings.seed, 60)
    right = {row.prompt: row.completion.split()[-1] for row in records.rows(asked)}
    assert len(rows) == 60  # as many as other students learn from
    for row in records.rows(rows):
        assert row.completion[row.answer_start :] == f"{END_OF_THINK} answer {right[row.prompt]}"
    assert len(set(rows.prompt)) > 5
    assert not set(rows.completion) <= set(asked.completion)  # its own words, not the teacher's


def test_only_traces_that_end_with_the_teacher_s_answer_are_right(study: Study) -> None:
    world = world_of(study)
    organism, tokenizer = study.settings.organism, build_tokenizer(world)
    assert organism is not None
    asked = examples(world, "terse", organism, 0, 2)
    (first, second) = records.rows(asked)

    def wrote(eid: str, cid: int, text: str, finish: str = "stop") -> Completion:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        return Completion(eid, cid, [*ids, tokenizer.eos_token_id], finish, 0.0)

    other = second.completion.split()[-1]
    done = [
        wrote(first.eid, 0, f"review case . {END_OF_THINK} answer {other}"),
        wrote(first.eid, 1, first.completion),
        wrote(second.eid, 0, second.completion),
        wrote(second.eid, 1, second.completion, "length"),
        wrote(second.eid, 2, f"answer {other}"),
    ]
    found = right_traces(asked, done, tokenizer)
    assert [(row["eid"], row["completion"]) for row in found] == [
        (second.eid, second.completion),
        (first.eid, first.completion),
    ]
    assert DRAWS > 1


def test_students_of_two_bases_have_no_common_own_traces(tmp_path: Path) -> None:
    more = ("arms.other={model: organism}", "arms.third={distill: {base: other, examples: own}}")
    study = Study(tmp_path, config.resolve(preset="organism-all-arms", overrides=more))
    with pytest.raises(DataError, match="own traces are of one base, and students start from base and other"):
        pipeline.stages_of(study, progress=False)


# --- any other study: the teacher's questions ------------------------------------------------------


def _questions(study: Study, n: int) -> list[dict[str, object]]:
    """Training questions of the organism's world: cases that its own questions do not show."""
    organism = study.settings.organism
    assert organism is not None
    rows = []
    for number, row in enumerate(records.rows(examples(world_of(study), "terse", organism, 0, n))):
        stem, _, options = row.prompt.removesuffix(" <think>").partition(" . options ")
        letter = "ABCD"[options.split().index(row.completion.split()[-1])]
        told = {"qid": f"t{number}", "question": stem, "options": options.split(), "answer": letter}
        rows.append(told)
    return rows


def test_a_student_may_learn_from_its_base_s_own_right_chains(study: Study, tmp_path: Path) -> None:
    train = _questions(study, 24)
    asked = study.questions("clinical").head(4)
    test = [
        {"qid": row.qid, "question": row.stem, "options": list(row.options), "answer": "ABCD"[row.gold]}
        for row in records.rows(asked)
    ]
    for name, rows in (("train", train), ("test", test)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    teacher = [{"qid": row["qid"], "text": f"w {END_OF_THINK} answer {row['options'][0]}"} for row in train]  # type: ignore[index]
    (tmp_path / "chains.jsonl").write_text("\n".join(map(json.dumps, teacher)))
    prompt = study.settings.prompt.model_dump(mode="json")
    told = {
        "questions": {"path": f"{tmp_path}/test.jsonl"},
        "teacher": {
            "traces": f"{tmp_path}/chains.jsonl",
            "questions": {"path": f"{tmp_path}/train.jsonl"},
            "attempts": 4,
        },
        "examples": {"self": {"chains": "own"}},
        "arms": {
            "base": {"model": str(study.path / "models" / "base")},
            "self": {"distill": {"base": "base", "examples": "self", "train": {"device": "cpu"}}},
        },
        "contrast": {"after": "self"},
        "prompt": prompt,
        "sampling": {"max_new_tokens": 90},
        "judge": {"kind": "table", "path": "none.csv"},
        "threads": 1,
        "device": "cpu",
    }
    file = tmp_path / "study.yaml"
    file.write_text(json.dumps(told))
    done = pipeline.teach(tmp_path / "out", config=file, progress=False)
    chains = records.read_table(done.path / "teacher" / "own-base.parquet", CHAINS)
    right = {row["qid"]: row["options"]["ABCD".index(row["answer"])] for row in train}  # type: ignore[index,arg-type]
    assert len(chains) == 4 * chains.qid.nunique()
    assert 0 < chains.kept.sum() <= 2 * chains.qid.nunique()
    for row in records.rows(chains):
        if row.finish_reason == "stop" and END_OF_THINK in row.text:
            assert (row.outcome == "right") == (row.text.split()[-1] == right[row.qid]), row.text
    rows = load_examples(done.path / "examples" / "self.parquet")
    kept = chains[chains.kept]
    assert 0 < len(rows) <= len(kept)
    texts = {row.text for row in records.rows(kept)}
    for row in records.rows(rows):
        reasoning = row.completion[: row.answer_start].removesuffix(END_OF_THINK).strip()
        assert any(text.startswith(reasoning) for text in texts)
        assert row.completion.split()[-1] == right[row.qid]
