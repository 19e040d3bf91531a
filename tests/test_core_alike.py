"""Arms that are asked or judged otherwise are compared by controls that say so, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from mechcot.core import config
from mechcot.core.errors import ConfigError
from mechcot.steps.of_study import task_of
from mechcot.study.folder import Study

TOLD = 'arms.told={model: organism, prompt: {question: "review {stem} . options {options}"}}'
CONTROL = "controls.told={after: told, differs: [prompt]}"
SHOT = '{question: "case f1", solution: "answer g1"}'
EXAMPLES = "arms.taught={distill: {base: base, examples: mine.jsonl}"


def test_an_arm_s_own_prompt_is_the_study_s_but_for_what_it_says(tmp_path: Path) -> None:
    settings = config.resolve(overrides=(TOLD, CONTROL))
    assert settings.prompt_of("base") == settings.prompt
    own = settings.prompt_of("told")
    assert own == settings.prompt.model_copy(update={"question": "review {stem} . options {options}"})
    study = Study(tmp_path, settings)
    assert task_of(study, "told").format.question == own.question
    assert task_of(study, "base").format == task_of(study).format


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (
            (TOLD, "controls.told={after: told}"),
            "controls.told: it compares 'base' with prompt.question '{stem} . options {options}' and 'told' "
            "with prompt.question 'review {stem} . options {options}'.",
        ),
        ((TOLD, "controls.told={after: told}"), "or declare it with controls.told.differs=[prompt]"),
        (
            ("arms.base.prompt.thinking=true",),
            "contrast: it compares 'base' with prompt.thinking true and 'distilled' with prompt.thinking "
            "null.",
        ),
        (
            (f"arms.told={{model: organism, prompt: {{shots: [{SHOT}]}}}}", "controls.told={after: told}"),
            "'base' with prompt.shots of 0 worked questions and 'told' with prompt.shots of 1 worked "
            "questions ('case f1' ...)",
        ),
        (
            ("arms.base.prompt.thinking=true", f"{EXAMPLES}, prompt: {{thinking: true}}}}",
             "contrast.after=taught", "controls={}"),
            "arms.base.prompt: the contrast's arms are asked alike, as `prompt` says; write it there",
        ),
        (
            ("arms.told={model: organism, prompt: {question: 'no slot'}}",),
            "arms.told.prompt: question must hold the slot {stem}",
        ),
        (
            ("arms.told={model: organism, prompt: {question: '{stem}'}}",),
            "arms.told.prompt.question must hold the slots {stem} and {options}",
        ),
        (
            ("arms.told={model: organism, prompt: {system: x, chat: false}}",),
            "arms.told.prompt: system: a plain text has none",
        ),
        (("arms.t={traces: t.csv, prompt: {system: x}}",), "prompt: the arm is given as traces"),
        (
            ("contrast.differs=[temperature]",),
            "contrast.differs: temperature: this is declared of arms out of files, and 'base' is sampled",
        ),
        (
            ("arms.terse.prompt.thinking=true",),
            "arms.terse.prompt: it learns from examples that are written with the study's prompt",
        ),
        (
            ("arms.terse.judged=1",),
            "controls.terse: it compares 'base' with all of its traces of a question judged and 'terse' "
            "with 1 of its traces of a question judged. Judge both alike (arms.NAME.judged), or declare it "
            "with controls.terse.differs=[judged]",
        ),
        (
            ("judge.traces_per_question=2", "arms.distilled.judged=4"),
            "contrast: it compares 'base' with 2 of its traces",
        ),
        (("arms.terse.sampling.samples=3",), "'base' at samples 16 and 'terse' at samples 3. Sample both"),
    ],
)  # fmt: skip
def test_arms_that_are_not_asked_or_judged_alike_are_refused_with_both_values(
    overrides: tuple[str, ...], says: str
) -> None:
    with pytest.raises(ConfigError) as error:
        config.resolve(overrides=overrides)
    assert says in str(error.value)


def test_shots_that_begin_alike_are_other_shots() -> None:
    shots = ["{question: case, solution: one}", "{question: case, solution: two}"]
    told = [f"arms.t{n}={{model: organism, prompt: {{shots: [{shot}]}}}}" for n, shot in enumerate(shots)]
    with pytest.raises(ConfigError, match=r"controls\.t: it compares 't0' with prompt\.shots of 1"):
        config.resolve(overrides=(*told, "controls.t={before: t0, after: t1}"))
    config.resolve(overrides=(*told, "controls.t={before: t0, after: t1, differs: [prompt]}"))


def test_without_own_prompts_no_stage_has_another_key(tmp_path: Path) -> None:
    """Studies that are older than the setting stay as they are."""
    prompt = config.resolve().prompt
    assert not {"template", "system", "shots"} & prompt.basis().keys()
    assert "template" not in prompt.whole()
    assert config.resolve().judge.basis() == {"kind": "exact", "path": None}


def test_a_template_that_is_not_there_is_named(tmp_path: Path) -> None:
    settings = config.resolve(overrides=(f"prompt.template={tmp_path}/none.jinja",))
    with pytest.raises(ConfigError, match=r"prompt\.template: .*none\.jinja"):
        settings.prompt.basis()
