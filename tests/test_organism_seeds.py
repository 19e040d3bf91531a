"""The page of the organism's seeds is made from its numbers, and from a study as it is."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from mechcot import Study

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import along_organism  # noqa: E402
import report_seeds  # noqa: E402
import seeds_page  # noqa: E402


def test_every_table_of_the_page_is_that_of_the_numbers() -> None:
    rows, page = json.loads(seeds_page.NUMBERS.read_text()), seeds_page.PAGE.read_text()
    for name in seeds_page.SECTIONS:
        assert f"<!-- {name} -->\n{seeds_page.block(name, rows)}\n<!-- /{name} -->" in page


def test_the_page_of_checkpoints_is_that_of_its_numbers() -> None:
    told = json.loads(along_organism.NUMBERS.read_text())
    page = along_organism.PAGE.read_text()
    assert f"<!-- along -->\n{along_organism.block(told)}\n<!-- /along -->" in page


def test_a_finished_study_is_taken_as_it_is(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "seed-3").symlink_to(study.path)
    for name in ("PAGE", "NUMBERS"):
        shutil.copy(getattr(seeds_page, name), tmp_path)
        monkeypatch.setattr(seeds_page, name, tmp_path / getattr(seeds_page, name).name)
    asked = ["report_seeds.py", "--finished", "--write", "--studies", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", asked)
    report_seeds.main()
    told = capsys.readouterr().out
    assert "it stays" in told  # the page has other seeds, which took hours
    (row,) = json.loads(seeds_page.NUMBERS.read_text())
    assert row["seed"] == 3
    bare = study.summary()["knowledge"]["facts"]["arms"]["terse"]["bare_change"]
    change = f"{100 * bare['estimate']:+.1f} points [{100 * bare['low']:+.1f}, {100 * bare['high']:+.1f}]"
    assert change.replace("+0.0", "0.0") in seeds_page.block("knowledge", [row]).replace("+0.0", "0.0")
    assert seeds_page.block("hand-over", [row]) == "None of the 1 studies has it."
    monkeypatch.setattr(sys, "argv", [*asked, "--seeds", "7"])
    with pytest.raises(SystemExit):
        report_seeds.main()
    assert "no study of seeds [7] is finished" in capsys.readouterr().err
