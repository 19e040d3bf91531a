"""The dose of coupled traces: what the training traces hold, and that the table is of the numbers."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from mechcot import Study
from mechcot.core import records
from mechcot.steps.of_study import world_of
from mechcot.tasks.base import Question
from mechcot.tasks.organism.checker import CORE, task
from mechcot.tasks.organism.teacher import examples

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import dose  # noqa: E402


def made(study: Study, rest: str, share: int) -> pd.DataFrame:
    assert study.settings.organism is not None
    return dose.traces(world_of(study), rest, share, study.settings.organism, 3)


def roles(study: Study, table: pd.DataFrame) -> list[set[str]]:
    """The roles of the claims of every clinical trace."""
    own, found = task(world_of(study)), []
    for row in records.rows(table):
        if row.prompt.startswith("case"):
            question = Question("", "", row.prompt, (), 0, "")
            steps = [f"{step.strip()} ." for step in row.completion[: row.answer_start].split(" .")]
            found.append({own.role(question, step) for step in steps if own.claim(question, step)})
    return found


def test_a_dose_is_the_share_of_traces_whose_claims_all_determine_the_answer(study: Study) -> None:
    for rest, rationale in (
        ("rich", CORE | {"disease fact", "drug fact"}),
        ("loose", {"disease fact", "drug fact"}),
    ):
        found = {share: roles(study, made(study, rest, share)) for share in dose.DOSES}
        n = len(found[0])
        coupled = {share: [own <= CORE for own in rows] for share, rows in found.items()}
        assert [sum(coupled[share]) for share in (0, 100)] == [0, n]
        for share in (25, 50):
            assert sum(coupled[share]) / n == pytest.approx(share / 100, abs=0.08)
        assert all(high for low, high in zip(coupled[25], coupled[50], strict=True) if low)
        assert all(own <= rationale for own in found[0])
    assert not any(own & CORE for own in roles(study, made(study, "loose", 0)))


def test_nothing_but_the_reasoning_depends_on_the_dose(study: Study) -> None:
    tables = [made(study, rest, share) for rest in dose.RESTS for share in dose.DOSES]
    for table in tables:
        ends = [row.completion[row.answer_start :] for row in records.rows(table)]
        assert ends == [row.completion[row.answer_start :] for row in records.rows(tables[0])]
        assert list(table.prompt) == list(tables[0].prompt)
        assert table.eid.is_unique
    organism = study.settings.organism
    assert organism is not None
    for rest, share, variant in (("rich", 0, "rich"), ("rich", 100, "terse"), ("loose", 100, "terse")):
        own = examples(world_of(study), variant, organism, 3, organism.teacher_traces)  # type: ignore[arg-type]
        assert list(made(study, rest, share).completion) == list(own.completion)


def test_the_page_s_table_is_that_of_the_numbers() -> None:
    told = json.loads((ROOT / "docs" / "dose.json").read_text())
    assert (
        f"<!-- dose.py -->\n{dose.block(told)}\n<!-- /dose.py -->" in (ROOT / "docs" / "audit.md").read_text()
    )


def test_a_study_that_is_there_takes_the_students_between(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(study.path, tmp_path / "seed-3", ignore=shutil.ignore_patterns("work", "readings"))
    monkeypatch.setattr(dose, "DOSES", (0, 50, 100))
    done = dose.measured(tmp_path, "organism-small", 3, ["rich"])
    rows = dose.kept(done, ["rich"])["points"]
    assert [row["dose"] for row in rows] == [0, 50, 100]
    steps = [row["steps"]["estimate"] for row in rows]
    assert steps == sorted(steps, reverse=True)
    audit = study.result("audit")["delta"]
    assert rows[0]["steps"] == {name: audit[name] for name in ("estimate", "low", "high")}
