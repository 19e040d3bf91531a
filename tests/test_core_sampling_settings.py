"""Arms that are sampled otherwise are compared by controls that say so, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from mechcot.core import config
from mechcot.core.errors import ConfigError
from mechcot.pipeline import run as pipeline
from mechcot.study.folder import Study

HOT = "arms.terse.sampling={temperature: 0.9}"


def test_an_arm_s_own_sampling_is_the_study_s_but_for_what_it_says() -> None:
    settings = config.resolve(overrides=(HOT, "controls.terse.differs=[temperature]", "sampling.top_k=5"))
    assert settings.sampling_of("base") == settings.sampling
    assert settings.sampling_of("terse") == settings.sampling.model_copy(update={"temperature": 0.9})


def test_a_student_of_another_seed_is_sampled_as_its_sibling(tmp_path: Path) -> None:
    both = tuple(f"arms.{arm}.sampling={{temperature: 0.9}}" for arm in ("base", "distilled"))
    alone = ("controls={terse: null, chain: {domain: chain}}", "arms.terse=null")
    settings = config.resolve(overrides=(*both, *alone, "seeds=[7]"))
    assert settings.sampling_of("distilled-seed-7").temperature == 0.9


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ((HOT,), "controls.terse: it compares 'base' at temperature 0.7 and 'terse' at temperature 0.9."),
        ((HOT,), "or declare it with controls.terse.differs=[temperature]"),
        ((HOT, "controls.terse.differs=[top_p]"), "temperature 0.9"),
        (("arms.distilled.sampling.max_new_tokens=7",), "it compares 'base' at max_new_tokens 90 and"),
        (("arms.distilled.sampling.max_new_tokens=7",), "a control that declares it (controls.NAME.differs:"),
        (
            ("seeds=[7]", "arms.distilled-seed-7.sampling.top_k=3", "arms.distilled-seed-7.distill.base=base",
             "arms.distilled-seed-7.distill.examples=rich"),
            "contrast: it compares 'base' at top_k 0 and 'distilled-seed-7' at top_k 3",
        ),
        (("arms.t={traces: t.csv, sampling: {top_p: 0.5}}",), "sampling: the arm is given as traces"),
        (("arms.terse.sampling.stop=[x]",), "'arms.terse.sampling.stop' is no setting; there are: sam"),
    ],
)  # fmt: skip
def test_arms_that_are_not_sampled_alike_are_refused_with_both_values(
    overrides: tuple[str, ...], says: str
) -> None:
    with pytest.raises(ConfigError) as error:
        config.resolve(overrides=overrides)
    assert says in str(error.value)


def test_only_the_stages_of_that_arm_are_others(tmp_path: Path) -> None:
    def stages(*overrides: str) -> dict[str, object]:
        settings = config.resolve(overrides=("controls.terse.differs=[temperature]", *overrides))
        made = pipeline.stages_of(Study(tmp_path, settings), progress=False)
        return {stage.name: stage.settings for stage in made[:-1]}

    plain, hot = stages(), stages(HOT)
    assert [name for name in plain if plain[name] != hot[name]] == ["sample-terse"]
    warm = hot["sample-terse"]
    assert isinstance(warm, dict)
    assert warm["sampling"]["temperature"] == 0.9
