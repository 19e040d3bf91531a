"""A plan counts as registered only if it stood before the outcome was known, whatever is made again later."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mechcot.core import config
from mechcot.core.manifest import load_manifest, save_manifest
from mechcot.core.registration import registrations
from mechcot.core.settings import Settings
from mechcot.study.writing import create_or_open

LARGER = "confirmatory.smallest.steps=0.1"


def settings(*overrides: str) -> Settings:
    return config.resolve(preset="organism-small", overrides=overrides)


def opened(root: Path, *overrides: str) -> dict[str, bool]:
    """Open a study with these settings, as a run does; whether its plan stood before each outcome."""
    wanted = settings(*overrides)
    create_or_open(root, wanted, restarting=False)
    return {name: one.before for name, one in registrations(root, wanted).items()}


def put(root: Path, name: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).touch()


def test_a_new_study_registers_its_plan_with_the_time_before_anything_is_known(tmp_path: Path) -> None:
    assert opened(tmp_path / "s") == {"answers": True, "verdicts": True}
    registered = load_manifest(tmp_path / "s")["registered"]
    (plan,) = registered["plans"]
    assert (registered["known"], plan["known"], len(plan["sha256"])) == ([], [], 64)
    assert set(plan["plan"]) == {"confirmatory", "contrast", "judge"}
    assert datetime.now(UTC) - datetime.fromisoformat(plan["at"]) < timedelta(minutes=5)
    opened(tmp_path / "s")
    assert load_manifest(tmp_path / "s")["registered"] == registered


def test_traces_tell_the_answers_and_verdicts_the_steps(tmp_path: Path) -> None:
    root = tmp_path / "s"
    opened(root)
    put(root, "arms/base/traces.parquet")
    assert opened(root, LARGER) == {"answers": False, "verdicts": True}
    put(root, "arms/base/verdicts/exact.parquet")
    assert opened(root, "confirmatory.smallest.steps=0.2") == {"answers": False, "verdicts": False}
    late = registrations(root, settings("confirmatory.smallest.steps=0.2"))["verdicts"]
    assert late.changed == ("confirmatory.smallest.steps: was 0.1, now 0.2",)
    # the plan that stood before the verdicts is the plan, whatever was tried in between
    assert opened(root, LARGER) == {"answers": False, "verdicts": True}
    assert opened(root) == {"answers": True, "verdicts": False}


def test_of_several_plans_before_the_outcome_the_last_one_counts(tmp_path: Path) -> None:
    root = tmp_path / "s"
    opened(root)
    opened(root, LARGER)
    put(root, "arms/base/verdicts/exact.parquet")
    assert opened(root)["verdicts"] is False
    assert opened(root, LARGER)["verdicts"] is True


@pytest.mark.parametrize("begun", ["work/judge/key", "work/calls/replies.sqlite"])
def test_a_judge_that_was_killed_has_told_something(tmp_path: Path, begun: str) -> None:
    opened(tmp_path / "s")
    put(tmp_path / "s", begun)
    assert opened(tmp_path / "s", LARGER)["verdicts"] is False


def test_what_was_known_stays_known_when_it_is_made_again(tmp_path: Path) -> None:
    root = tmp_path / "s"
    opened(root)
    verdicts = root / "arms/base/verdicts/exact.parquet"
    put(root, "arms/base/verdicts/exact.parquet")
    create_or_open(root, settings(LARGER), restarting=True)  # what --restart-from does first
    verdicts.unlink()
    assert opened(root, LARGER)["verdicts"] is False


def test_another_contrast_or_judge_is_another_plan(tmp_path: Path) -> None:
    opened(tmp_path / "s")
    put(tmp_path / "s", "arms/base/verdicts/exact.parquet")
    assert opened(tmp_path / "s", "contrast.after=terse")["verdicts"] is False
    assert opened(tmp_path / "s", "analysis.folds=3") == {"answers": True, "verdicts": True}


def test_a_study_of_an_earlier_version_has_no_plan_from_before(tmp_path: Path) -> None:
    root = tmp_path / "s"
    opened(root)
    put(root, "arms/base/verdicts/exact.parquet")
    save_manifest(root, {k: v for k, v in load_manifest(root).items() if k != "registered"})
    assert opened(root)["verdicts"] is False
    assert registrations(root, settings())["verdicts"].changed == ()
