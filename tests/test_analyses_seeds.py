"""Students of several training seeds: the settings that ask for them, the result and the page."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mechcot import Study
from mechcot.analyses.arms import Arms
from mechcot.analyses.seeds.analysis import analyse
from mechcot.core.config import resolve, to_yaml
from mechcot.core.errors import ConfigError, StudyError
from mechcot.pipeline import run as pipeline
from test_report_page import Page


def test_seeds_add_an_arm_each_once() -> None:
    settings = resolve(preset="organism-small", overrides=("seeds=[1, 2]",))
    assert list(settings.arms)[-2:] == ["distilled-seed-1", "distilled-seed-2"]
    assert settings.contrast.replicates == ("distilled-seed-1", "distilled-seed-2")
    student, own = (settings.arms[name].distill for name in ("distilled", "distilled-seed-2"))
    assert own == student.model_copy(update={"seed": 2})
    import yaml

    written = yaml.safe_load(to_yaml(settings))
    assert resolve(base=written) == settings
    with pytest.raises(ConfigError, match="or the student's own"):
        resolve(base=written, overrides=("seeds=[0]",))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("seeds=[1, 1]",), r"seeds: \[1, 1\] names a seed twice"),
        (("seeds=[0]",), "or the student's own"),
        (("seeds=[-1]",), "greater than or equal to 0"),
        (
            ("seeds=[1]", "contrast.after=base", "contrast.before=terse"),
            "the arm 'base' is not distilled here",
        ),
        (("contrast.replicates=[moon]",), "contrast.replicates: there is no arm 'moon'"),
        (("contrast.replicates=[base]",), "names an arm twice"),
        (("contrast.replicates=[terse, terse]",), "names an arm twice"),
    ],
)
def test_seeds_that_cannot_be_are_refused_by_name(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(preset="organism-small", overrides=overrides)


def test_a_finished_study_takes_further_seeds_and_nothing_else_anew(study: Study, tmp_path: Path) -> None:
    shutil.copytree(study.path, tmp_path / "study", ignore=shutil.ignore_patterns("work"))
    rows = pipeline.plan(tmp_path / "study", overrides=("seeds=[1]",)).rows
    todo = {row.what for row in rows if row.state == "to do"}
    assert "distill-distilled-seed-1" in todo
    assert "sample-distilled-seed-1" in todo
    assert not todo & {"pretrain", "distill-distilled", "sample-base", "read-base-by-base"}
    with pytest.raises(StudyError, match="made with other settings"):
        pipeline.run(tmp_path / "study", overrides=("arms.terse.distill.seed=1",), progress=False)


@pytest.fixture(scope="module")
def three(study: Study) -> tuple[Study, list[Arms]]:
    contrast = study.settings.contrast
    return study, [
        Arms.between(study, contrast.model_copy(update={"after": arm}))
        for arm in ("distilled", "terse", "distilled")
    ]


def test_the_mean_is_of_the_students_changes(three: tuple[Study, list[Arms]]) -> None:
    study, arms = three
    found = analyse(arms, [0, 1, None])
    rich, terse = (study.summary(), study.result("controls")["terse"])
    changes = [rich["audit"]["delta"]["estimate"], terse["audit"]["delta"]["estimate"]]
    gains = [study.result("answers")["delta_sc"], terse["answers"]["delta_sc"]]
    assert found.steps.mean.estimate == pytest.approx((2 * changes[0] + changes[1]) / 3)
    assert found.answers.mean.estimate == pytest.approx((2 * gains[0]["estimate"] + gains[1]["estimate"]) / 3)
    assert found.steps.sd == pytest.approx(np.std([changes[0], changes[1], changes[0]], ddof=1))
    assert found.students[0].answers.low == pytest.approx(gains[0]["low"])
    assert [row.seed for row in found.students] == [0, 1, None]
    assert found.to_json()["students"][2]["seed"] == {"value": None, "reason": "its checkpoint was given"}
    wider = found.steps.mean
    assert wider.high - wider.low > found.students[0].steps.high - found.students[0].steps.low


def test_students_that_are_named_stand_in_summary_and_page(study: Study, tmp_path: Path) -> None:
    shutil.copytree(study.path, tmp_path / "study", ignore=shutil.ignore_patterns("work"))
    own = pipeline.run(tmp_path / "study", overrides=("contrast.replicates=[terse]",), progress=False)
    told = own.summary()["seeds"]["steps"]
    assert told["seeds"] == 2
    assert told["smallest"] < told["estimate"] < told["largest"]
    assert told["low"]["value"] is None if isinstance(told["low"], dict) else told["low"] is None
    page = Page(own.report.read_text(encoding="utf-8")).text["seeds"]
    assert "Do other training seeds show it?" in page
    assert "Of 2 students of other training seeds" in page
    assert "too few to say how seeds spread" in page
    assert "Two checkpoints" in own.report.read_text(encoding="utf-8")
