"""A name that is mistyped: what is near by is said, and no study is made in its place without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from called import called
from mechcot.core.manifest import studies_near

STUDY = ("stduy", "--quiet")


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with some studies."""
    for name in ("study", "studies/organism", "studies/medqa", ".study.importing"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "study.yaml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("named", "near"),
    [
        ("stduy", ["study"]),
        ("organism", ["studies/organism"]),
        ("studies/organsim", ["studies/organism"]),
        ("studeis/organism", ["studies/organism"]),
        ("studies", ["studies/medqa", "studies/organism"]),
        ("another", []),
    ],
)
def test_the_study_that_was_meant_is_found(named: str, near: list[str], beside: Path) -> None:
    assert [str(path) for path in studies_near(Path(named))] == near
    assert studies_near(beside / named) == [beside / path for path in near]


@pytest.mark.parametrize(
    "command",
    [
        "plan {}", "read {}", "report {}", "view {}", "show {}", "audit {}", "probe {}", "commitment {}",
        "handover {}", "knowledge {}", "weights {}", "hedge {}", "boundary {}", "claims {}", "teacher {}",
        "judge {} --judge local", "judge-controls {}", "sheet draw {}", "sheet import {} filled.csv",
        "likert draw {}", "likert import {} filled.csv", "verify {}", "export {} --card cards",
        "traces check --task cotemp {}",
    ],
)  # fmt: skip
def test_what_needs_a_study_refuses_one_that_is_not_there(command: str, beside: Path) -> None:
    before = sorted(beside.rglob("*"))
    done = called(*command.format("stduy").split())
    assert (done.returncode, done.stdout) == (1, "")
    assert "stduy is no study: there is no such folder. Did you mean study?" in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(beside.rglob("*")) == before


def test_a_study_that_is_made_anew_is_said_to_be_before_all_else(beside: Path) -> None:
    done = called("run", "stduy", "--preset", "organism-small", "--dry-run", "--quiet")
    told = (
        "stduy is no study yet: a new one of the model organism (of other models: --config FILE) would be "
        "made there. Did you mean study?"
    )
    assert done.stderr.splitlines()[0] == told
    assert not (beside / "stduy").exists()
    done = called("run", "another", "--preset", "organism-small", "--dry-run")
    assert done.stderr.splitlines()[0].endswith("would be made there")
    refused = called("run", "studies")
    assert "studies is not empty and no study (no study.yaml). Did you mean studies/medqa" in refused.stderr
